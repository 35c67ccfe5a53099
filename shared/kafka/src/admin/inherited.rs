//! What topics have that set nothing themselves: values of their brokers, static, dynamic or built in.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;

use super::configs::{ConfigEntry, ConfigSource, TOPIC, only};
use crate::Api;
use crate::cluster::Cluster;
use crate::error::{Place, Result, check};
use crate::groups::unless_refused;

/// Milliseconds of the units that the names of brokers' configs end with.
const HOURS: i64 = 3_600_000;
const MINUTES: i64 = 60_000;

/// Configs of brokers behind those of topics, with the unit of each in the topic's. The first that is set counts, wherever it is
/// set (`org.apache.kafka.server.config.ServerTopicConfigSynonyms`, KIP-226).
const BEHIND: [(&str, &[(&str, i64)]); 27] = [
    ("cleanup.policy", &[("log.cleanup.policy", 1)]),
    ("compression.type", &[("compression.type", 1)]),
    ("delete.retention.ms", &[("log.cleaner.delete.retention.ms", 1)]),
    ("file.delete.delay.ms", &[("log.segment.delete.delay.ms", 1)]),
    ("flush.messages", &[("log.flush.interval.messages", 1)]),
    ("flush.ms", &[("log.flush.interval.ms", 1), ("log.flush.scheduler.interval.ms", 1)]),
    ("index.interval.bytes", &[("log.index.interval.bytes", 1)]),
    ("local.retention.bytes", &[("log.local.retention.bytes", 1)]),
    ("local.retention.ms", &[("log.local.retention.ms", 1)]),
    ("max.compaction.lag.ms", &[("log.cleaner.max.compaction.lag.ms", 1)]),
    ("max.message.bytes", &[("message.max.bytes", 1)]),
    ("message.downconversion.enable", &[("log.message.downconversion.enable", 1)]),
    ("message.timestamp.after.max.ms", &[("log.message.timestamp.after.max.ms", 1)]),
    ("message.timestamp.before.max.ms", &[("log.message.timestamp.before.max.ms", 1)]),
    ("message.timestamp.difference.max.ms", &[("log.message.timestamp.difference.max.ms", 1)]),
    ("message.timestamp.type", &[("log.message.timestamp.type", 1)]),
    ("min.cleanable.dirty.ratio", &[("log.cleaner.min.cleanable.ratio", 1)]),
    ("min.compaction.lag.ms", &[("log.cleaner.min.compaction.lag.ms", 1)]),
    ("min.insync.replicas", &[("min.insync.replicas", 1)]),
    ("preallocate", &[("log.preallocate", 1)]),
    ("retention.bytes", &[("log.retention.bytes", 1)]),
    ("retention.ms", &[("log.retention.ms", 1), ("log.retention.minutes", MINUTES), ("log.retention.hours", HOURS)]),
    ("segment.bytes", &[("log.segment.bytes", 1)]),
    ("segment.index.bytes", &[("log.index.size.max.bytes", 1)]),
    ("segment.jitter.ms", &[("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", HOURS)]),
    ("segment.ms", &[("log.roll.ms", 1), ("log.roll.hours", HOURS)]),
    ("unclean.leader.election.enable", &[("unclean.leader.election.enable", 1)]),
];

/// What a topic without configs of its own has on a broker whose configs are `broker`, by config, in the topic's units. A config
/// is missing that the broker does not tell, or whose value is null.
pub fn defaults_of_topics(broker: &[ConfigEntry]) -> BTreeMap<String, String> {
    let told: BTreeMap<&str, &str> =
        broker.iter().filter_map(|entry| Some((entry.name.as_str(), entry.value.as_deref()?))).collect();
    let default = |(config, behind): &(&str, &[(&str, i64)])| {
        let (value, unit) = behind.iter().find_map(|(name, unit)| Some((*told.get(name)?, *unit)))?;
        Some(((*config).to_owned(), in_milliseconds(value, unit)))
    };
    BEHIND.iter().filter_map(default).collect()
}

impl Cluster {
    /// What `topic` would have without configs of its own, by config: the values of its brokers, in the topic's units. A
    /// config is missing where a null is inherited, or where the topic sets it itself and this client may not describe brokers.
    ///
    /// # Errors
    /// When there is no such topic.
    pub async fn inherited_topic_configs(&self, topic: &Arc<str>) -> Result<BTreeMap<String, String>> {
        let (broker, configs) = self.with_retries(|| self.describe_with_synonyms(topic)).await?;
        // A broker lists no value behind a topic's own when its first name is not set, as `log.retention.ms` is not by default
        // (`ConfigHelper.configSynonyms` drops all up to it).
        let unlisted = configs.iter().any(|config| is_own(config) && behind(config).is_none());
        let mut inherited = match unlisted {
            true => unless_refused(self.broker_configs(broker).await)?.map_or_else(BTreeMap::new, |broker| {
                let mut defaults = defaults_of_topics(&broker);
                defaults.retain(|name, _| configs.iter().any(|config| config.name.as_str() == name));
                defaults
            }),
            false => BTreeMap::new(),
        };
        for config in configs.into_iter().filter(|config| !config.is_sensitive) {
            let name = config.name.to_string();
            match (is_own(&config), behind(&config)) {
                (false, _) => config.value.and_then(|value| inherited.insert(name, value.to_string())),
                (true, listed) => listed.and_then(|value| inherited.insert(name, value)),
            };
        }
        Ok(inherited)
    }

    async fn describe_with_synonyms(&self, topic: &Arc<str>) -> Result<(i32, Vec<DescribeConfigsResourceResult>)> {
        let broker = self.any_broker().await?;
        let results = self.describe_configs(broker, TOPIC, std::slice::from_ref(topic), true).await?;
        let result = only(broker, results)?;
        let message = result.error_message.as_deref();
        check(Api::DescribeConfigs, result.error_code, || Place::Topic(topic.clone()), message)?;
        Ok((broker, result.configs))
    }
}

fn is_own(config: &DescribeConfigsResourceResult) -> bool {
    ConfigSource::from(config.config_source) == ConfigSource::DynamicTopic
}

/// The value behind the topic's own, as far as the broker lists one.
fn behind(config: &DescribeConfigsResourceResult) -> Option<String> {
    let behind =
        config.synonyms.iter().find(|synonym| ConfigSource::from(synonym.source) != ConfigSource::DynamicTopic)?;
    let unit = match behind.name.rsplit('.').next() {
        Some("hours") => HOURS,
        Some("minutes") => MINUTES,
        _ => 1,
    };
    Some(in_milliseconds(behind.value.as_ref()?, unit))
}

/// `value` of a config that counts in `unit` milliseconds. Negative values mean no limit, whatever the unit.
fn in_milliseconds(value: &str, unit: i64) -> String {
    match value.parse::<i64>() {
        Ok(number) if unit > 1 && number > 0 => number.saturating_mul(unit).to_string(),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spread::text;
    use kafka_protocol::messages::describe_configs_response::DescribeConfigsSynonym;

    #[test]
    fn the_value_behind_a_topics_own_is_in_the_topics_unit() {
        let synonym = |name: &str, value: &str, source: i8| {
            DescribeConfigsSynonym::default().with_name(text(name)).with_value(Some(text(value))).with_source(source)
        };
        let config = |synonyms: Vec<DescribeConfigsSynonym>| {
            let own =
                DescribeConfigsResourceResult::default().with_name(text("retention.ms")).with_value(Some(text("7")));
            behind(&own.with_config_source(1).with_synonyms(synonyms))
        };
        let own = || synonym("retention.ms", "7", 1);
        assert_eq!(config(vec![own(), synonym("log.retention.hours", "168", 5)]).as_deref(), Some("604800000"));
        assert_eq!(config(vec![own(), synonym("log.retention.minutes", "5", 4)]).as_deref(), Some("300000"));
        assert_eq!(config(vec![own(), synonym("log.retention.hours", "-1", 4)]).as_deref(), Some("-1"));
        assert_eq!(config(vec![own(), synonym("log.retention.ms", "9", 3)]).as_deref(), Some("9"));
        assert_eq!(config(vec![own()]), None);
    }

    #[test]
    fn brokers_tell_what_topics_have_without_setting_it() {
        let entry = |(name, value): &(&str, Option<&str>)| ConfigEntry {
            name: (*name).to_owned(),
            value: value.map(str::to_owned),
            source: ConfigSource::Default,
            read_only: false,
            sensitive: false,
        };
        let defaults =
            |configs: &[(&str, Option<&str>)]| defaults_of_topics(&configs.iter().map(entry).collect::<Vec<_>>());
        let (ms, minutes, hours) = ("log.retention.ms", "log.retention.minutes", "log.retention.hours");
        let retention = |configs: &[(&str, Option<&str>)]| defaults(configs).remove("retention.ms");
        assert_eq!(retention(&[(ms, None), (minutes, None), (hours, Some("168"))]).as_deref(), Some("604800000"));
        assert_eq!(retention(&[(ms, None), (minutes, Some("5")), (hours, Some("168"))]).as_deref(), Some("300000"));
        assert_eq!(retention(&[(ms, Some("-1")), (minutes, Some("5")), (hours, Some("168"))]).as_deref(), Some("-1"));
        assert_eq!(retention(&[(hours, Some("-1"))]).as_deref(), Some("-1"));
        assert_eq!(retention(&[(hours, Some("9223372036854775807"))]), Some(i64::MAX.to_string()));
        assert_eq!(retention(&[]), None);
        let others = defaults(&[("message.max.bytes", Some("17")), ("log.cleanup.policy", Some("compact"))]);
        assert_eq!((&*others["max.message.bytes"], &*others["cleanup.policy"]), ("17", "compact"));
    }
}
