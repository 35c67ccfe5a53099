//! Configs of brokers and topics, as far as rules ask for them.

use kafka::{Cluster, ConfigEntry, ConfigSource};
use migration::Result;
use tokio::task::JoinSet;

use crate::facts::{BrokerConfig, Setting, TimestampBounds, TopicConfig};

/// The configs of every broker: each can have its own.
pub(super) async fn configs(cluster: &Cluster, brokers: &[i32]) -> Result<Vec<BrokerConfig>> {
    let mut asked = JoinSet::new();
    for broker in brokers.iter().copied() {
        let cluster = cluster.clone();
        asked.spawn(async move { (broker, cluster.broker_configs(broker).await) });
    }
    let mut configs = Vec::with_capacity(brokers.len());
    for (broker, entries) in asked.join_all().await {
        configs.push(broker_config(broker, &entries?));
    }
    configs.sort_unstable_by_key(|config| config.broker);
    Ok(configs)
}

fn broker_config(broker: i32, entries: &[ConfigEntry]) -> BrokerConfig {
    let entries = Entries(entries);
    BrokerConfig {
        broker,
        message_max_bytes: entries.number("message.max.bytes"),
        replica_fetch_max_bytes: entries.number("replica.fetch.max.bytes"),
        socket_request_max_bytes: entries.number("socket.request.max.bytes"),
        timestamps: entries.timestamps("log."),
        bounds_either_side: entries.value("log.message.timestamp.before.max.ms").is_some(),
        max_connections: ["max.connections", "max.connections.per.ip"]
            .into_iter()
            .filter_map(|name| entries.number(name))
            .min(),
        topics: kafka::defaults_of_topics(entries.0),
        super_users: entries.0.iter().any(|entry| entry.name == "super.users"),
        threads: entries.number("num.io.threads").zip(entries.number("num.network.threads")).map(|(io, net)| io + net),
        readdressed: entries.0.iter().any(|entry| {
            entry.name == "advertised.listeners"
                && matches!(entry.source, ConfigSource::DynamicBroker | ConfigSource::DynamicDefaultBroker)
        }),
        settings: entries.0.iter().map(|entry| (entry.name.clone(), setting(entry))).collect(),
    }
}

/// A broker leaves the values of sensitive configs out, and of those that it does not know itself, such as an authorizer's
/// (`KafkaConfig.maybeSensitive`). Whatever it does, they are not kept.
fn setting(entry: &ConfigEntry) -> Setting {
    Setting { value: entry.value.clone().filter(|_| !entry.sensitive), is_set: !entry.is_default() }
}

/// The configs of a topic that rules ask for.
pub(super) fn topic_config(entries: &[ConfigEntry]) -> TopicConfig {
    let entries = Entries(entries);
    // Every negative retention means no limit.
    let limit = |name: &str| entries.number(name).filter(|limit| (0..i64::MAX).contains(limit));
    let dated_by_clients = entries.value("message.timestamp.type") != Some("LogAppendTime");
    let own = entries.0.iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
    TopicConfig {
        max_message_bytes: entries.number("max.message.bytes"),
        cleanup_policy: entries.value("cleanup.policy").unwrap_or_default().to_owned(),
        retention_ms: limit("retention.ms"),
        retention_bytes: limit("retention.bytes"),
        delete_retention_ms: entries.number("delete.retention.ms"),
        timestamps: entries.timestamps("").filter(|_| dated_by_clients),
        min_in_sync: entries.number("min.insync.replicas").and_then(|number| usize::try_from(number).ok()),
        tiered: entries.value("remote.storage.enable") == Some("true"),
        own: own.filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?))).collect(),
    }
}

/// Configs to be looked up by name.
struct Entries<'a>(&'a [ConfigEntry]);

impl<'a> Entries<'a> {
    fn value(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|entry| entry.name == name)?.value.as_deref()
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.value(name)?.parse().ok()
    }

    /// The bounds of timestamps. Until Kafka 3.5 one config is the bound of both sides; from 3.6 to 3.9 it still counts on a
    /// side whose own bound is the default (KIP-937, `LogConfig.getMessageTimestampBeforeMaxMs`).
    fn timestamps(&self, prefix: &str) -> Option<TimestampBounds> {
        let bound = |name: &str| self.number(&format!("{prefix}message.timestamp.{name}"));
        let both = bound("difference.max.ms");
        let side = |name| bound(name).filter(|own| *own < i64::MAX).or(both).or_else(|| bound(name));
        Some(TimestampBounds { before_ms: side("before.max.ms")?, after_ms: side("after.max.ms")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, value: &str, source: ConfigSource) -> ConfigEntry {
        ConfigEntry { name: name.into(), value: Some(value.into()), source, read_only: false, sensitive: false }
    }

    fn topic(entries: &[(&str, &str)]) -> TopicConfig {
        let entries = entries.iter().map(|(name, value)| entry(name, value, ConfigSource::Default));
        topic_config(&entries.collect::<Vec<_>>())
    }

    #[test]
    fn a_broker_that_does_not_say_has_no_limit_made_up() {
        let config = broker_config(2, &[entry("message.max.bytes", "1048588", ConfigSource::Default)]);
        assert_eq!((config.message_max_bytes, config.replica_fetch_max_bytes), (Some(1_048_588), None));
        assert_eq!((config.timestamps, config.readdressed), (None, false));
    }

    #[test]
    fn sensitive_values_are_not_kept() {
        let secret = ConfigEntry { sensitive: true, ..entry("ssl.key.password", "secret", ConfigSource::StaticBroker) };
        let known = entry("group.max.size", "7", ConfigSource::Default);
        let settings = broker_config(1, &[secret, known]).settings;
        assert_eq!(settings["ssl.key.password"], Setting { value: None, is_set: true });
        assert_eq!(settings["group.max.size"], Setting { value: Some("7".to_owned()), is_set: false });
    }

    #[test]
    fn the_smaller_limit_of_connections_counts() {
        let limits = [("max.connections", "5000"), ("max.connections.per.ip", "200")];
        let entries = limits.map(|(name, value)| entry(name, value, ConfigSource::StaticBroker));
        assert_eq!(broker_config(1, &entries).max_connections, Some(200));
    }

    #[test]
    fn only_an_address_that_was_altered_at_run_time_is_remembered() {
        let listeners = |source| broker_config(1, &[entry("advertised.listeners", "PLAINTEXT://b:9092", source)]);
        assert!(listeners(ConfigSource::DynamicBroker).readdressed);
        assert!(!listeners(ConfigSource::StaticBroker).readdressed);
    }

    #[test]
    fn unlimited_retention_is_no_limit() {
        let config = topic(&[("retention.ms", "-1"), ("retention.bytes", "1000")]);
        assert_eq!((config.retention_ms, config.retention_bytes), (None, Some(1000)));
        let config = topic(&[("retention.ms", "9223372036854775807"), ("max.message.bytes", "17")]);
        assert_eq!((config.retention_ms, config.max_message_bytes), (None, Some(17)));
    }

    #[test]
    fn cleanup_policies_are_told_apart() {
        let config = topic(&[("cleanup.policy", "compact, delete")]);
        assert!(config.cleans_by("compact") && config.cleans_by("delete"));
        assert!(!topic(&[("cleanup.policy", "delete")]).cleans_by("compact"));
    }

    #[test]
    fn what_is_set_on_the_topic_is_told_from_what_it_inherits() {
        let entries =
            [entry("a", "1", ConfigSource::DynamicTopic), entry("b", "2", ConfigSource::DynamicDefaultBroker)];
        assert_eq!(topic_config(&entries).own, [("a".to_owned(), "1".to_owned())].into());
    }

    #[test]
    fn the_old_bound_counts_on_a_side_without_its_own() {
        const MAX: &str = "9223372036854775807";
        let (before, after) = ("message.timestamp.before.max.ms", "message.timestamp.after.max.ms");
        let both = "message.timestamp.difference.max.ms";
        let bounds = |entries: &[(&str, &str)]| {
            let bounds = topic(entries).timestamps.unwrap();
            (bounds.before_ms, bounds.after_ms)
        };
        assert_eq!(bounds(&[(both, "5")]), (5, 5));
        assert_eq!(bounds(&[(both, MAX), (before, "7"), (after, "3")]), (7, 3));
        assert_eq!(bounds(&[(both, "5"), (before, "7"), (after, "3")]), (7, 3));
        assert_eq!(bounds(&[(both, "5"), (before, MAX), (after, "3")]), (5, 3));
        assert_eq!(bounds(&[(before, MAX), (after, "3600000")]), (i64::MAX, 3_600_000));
        assert_eq!(topic(&[(both, "5"), ("message.timestamp.type", "LogAppendTime")]).timestamps, None);
    }
}
