//! What topics inherit from their brokers, static, dynamic or built in, and would inherit otherwise on the target. A topic that
//! does not set such a config behaves differently after the migration, although its own configs are equal.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka::Cluster;
use migration::config::DefaultDrift as Policy;
use migration::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::configs::{TopicConfigs, same_value};
use crate::inventory::Topic;
use crate::known::KnownConfigs;

/// Differences that an error names.
const NAMED: usize = 5;

/// Configs by which a broker deletes, compacts, refuses or dates records. How topics bound timestamps of what clients write is not
/// among them: no copied record is judged by that, and Kafka 4 bounds the future of every topic (KIP-1030).
const DECIDING: [&str; 12] = [
    "cleanup.policy",
    "compression.type",
    "delete.retention.ms",
    "max.compaction.lag.ms",
    "max.message.bytes",
    "message.downconversion.enable",
    "message.timestamp.type",
    "min.compaction.lag.ms",
    MIN_INSYNC,
    "retention.bytes",
    "retention.ms",
    "unclean.leader.election.enable",
];

const MIN_INSYNC: &str = "min.insync.replicas";

/// What topics of a target have without configs of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetDefaults {
    /// Values by config. One is missing that the target does not tell.
    values: TopicConfigs,
    /// Most replicas of a partition, by topic.
    replicas: BTreeMap<Arc<str>, usize>,
}

impl TargetDefaults {
    /// Asks `target` about the first of the topics with these `replicas`, all of which it has to have.
    ///
    /// # Errors
    /// When the target cannot be asked, or has no such topic.
    pub async fn ask(target: &Cluster, replicas: BTreeMap<Arc<str>, usize>) -> Result<Self> {
        let values = match replicas.keys().next() {
            Some(topic) => target.inherited_topic_configs(topic).await?,
            None => TopicConfigs::new(),
        };
        Ok(Self { values, replicas })
    }

    #[cfg(test)]
    pub(crate) fn of(values: TopicConfigs) -> Self {
        Self { values, replicas: BTreeMap::new() }
    }
}

/// A default that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DefaultDrift {
    /// The topic config.
    pub config: String,
    /// What a topic of the source has without setting it.
    pub source: String,
    /// What a topic of the target has without setting it; nothing when the target does not tell.
    pub target: Option<String>,
    /// Whether records are deleted, compacted, refused or dated by it.
    pub decides: bool,
    /// Whether the cutover sets the source's value on the topics of the target.
    pub carried_over: bool,
}

impl DefaultDrift {
    /// What the topic called `name` would get otherwise on the target than it has on the source, having only `own` configs there.
    pub fn of(
        (name, topic): (&Arc<str>, &Topic),
        own: &TopicConfigs,
        (target, known): (&TargetDefaults, &KnownConfigs),
        policy: Policy,
    ) -> Vec<Self> {
        let inherits = |config: &String| {
            !topic.configs.contains_key(config) && !own.contains_key(config) && known.refusal(config).is_none()
        };
        let inherited = topic.inherited.iter().filter(|(config, _)| inherits(config));
        let replicas = target.replicas.get(name).copied();
        let between = |(config, source): (&String, &String)| {
            let target = target.values.get(config).map(String::as_str);
            Self::between(config, &possible(config, source, replicas), target, policy)
        };
        inherited.filter_map(between).collect()
    }

    /// What becomes of `config`, which is inherited as `source` and would be as `target`, where that is told.
    pub fn between(config: &str, source: &str, target: Option<&str>, policy: Policy) -> Option<Self> {
        let decides = decides(config, source, target);
        let is_same = target.is_some_and(|target| same_value(config, source, target));
        // Of other configs nothing depends on what is not told.
        if is_same || (target.is_none() && !decides) {
            return None;
        }
        let carried_over = decides && policy == Policy::CarryOver;
        let (config, source, target) = (config.to_owned(), source.to_owned(), target.map(str::to_owned));
        Some(Self { config, source, target, decides, carried_over })
    }

    /// One line for an operator, about `topics` topics.
    pub fn line(&self, topics: usize) -> String {
        let Self { config, source, target, decides, carried_over } = self;
        let target = target.as_ref().map_or_else(|| "does not tell".to_owned(), |target| format!("has {target}"));
        let told =
            format!("{topics} topics inherit {config}={source} from the source's brokers, and the target {target}");
        match (carried_over, decides) {
            (true, _) => format!("{told}: the cutover sets the source's on the topics"),
            (false, true) => format!("{told}, which they get: records are deleted, compacted, refused or dated by it"),
            (false, false) => format!(
                "{told}, which they get; to keep the source's, set it on the topics or in the target's configuration"
            ),
        }
    }
}

/// The value of `config` that a topic with so many `replicas` can have: no more in sync than it has.
fn possible(config: &str, source: &str, replicas: Option<usize>) -> String {
    match (source.parse::<usize>(), replicas) {
        (Ok(wanted), Some(replicas)) if config == MIN_INSYNC => wanted.min(replicas).to_string(),
        _ => source.to_owned(),
    }
}

/// Whether a broker with `target` deletes, compacts, refuses or dates records that one with `source` does not. A larger limit
/// refuses nothing, and leaders that are elected from replicas in sync lose nothing.
fn decides(config: &str, source: &str, target: Option<&str>) -> bool {
    let numbers = || Some((source.parse::<i64>().ok()?, target?.parse::<i64>().ok()?));
    match config {
        "max.message.bytes" => numbers().is_none_or(|(source, target)| target < source),
        "unclean.leader.election.enable" => source == "false",
        _ => DECIDING.contains(&config),
    }
}

/// Refuses `drifts`, each with the number of its topics, where the `policy` is `fail` and one decides about records.
///
/// # Errors
/// Blocked, naming configs and both values.
pub fn refuse(policy: Policy, drifts: &BTreeMap<DefaultDrift, usize>) -> Result<()> {
    let deciding: Vec<_> =
        drifts.iter().filter(|(drift, _)| drift.decides).map(|(drift, topics)| drift.line(*topics)).collect();
    if policy != Policy::Fail || deciding.is_empty() {
        return Ok(());
    }
    let more = deciding.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Err(Error::blocked(format_args!(
        "topics would inherit something else on the target and topology.on_default_drift is fail: {}{more}. Set the source's \
         values in the target's configuration or on the source's topics, or set it to carry_over or keep_target",
        deciding.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join("; ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::TopicInfo;

    fn map(pairs: &[(&str, &str)]) -> TopicConfigs {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn drift(
        own: &[(&str, &str)],
        source: &[(&str, &str)],
        target: &[(&str, &str)],
        policy: Policy,
    ) -> Vec<DefaultDrift> {
        let name: Arc<str> = "orders".into();
        let info = TopicInfo { name: name.clone(), id: None, internal: false, partitions: Vec::new() };
        let topic = Topic { info, configs: map(own), inherited: Arc::new(map(source)), max_message_bytes: 1 };
        let target = TargetDefaults { values: map(target), replicas: [(name.clone(), 2)].into() };
        let all: Vec<_> = source.iter().map(|(config, _)| *config).collect();
        DefaultDrift::of((&name, &topic), &topic.configs, (&target, &KnownConfigs::of(&all)), policy)
    }

    fn carried(config: &str, source: &str, target: Option<&str>) -> Option<String> {
        let target: Vec<_> = target.map(|target| (config, target)).into_iter().collect();
        let found = drift(&[], &[(config, source)], &target, Policy::CarryOver).pop()?;
        found.carried_over.then_some(found.source)
    }

    #[test]
    fn what_would_delete_compact_refuse_or_date_records_is_carried_over() {
        // Report 27: kept for ever on the source, 7 days on the target.
        assert_eq!(carried("retention.ms", "-1", Some("604800000")).as_deref(), Some("-1"));
        for (config, source, target) in [
            ("retention.bytes", "-1", "1000"),
            ("cleanup.policy", "delete", "compact"),
            ("delete.retention.ms", "86400000", "5"),
            ("min.compaction.lag.ms", "5", "0"),
            ("max.compaction.lag.ms", "5", "9223372036854775807"),
            ("message.timestamp.type", "CreateTime", "LogAppendTime"),
            ("max.message.bytes", "2000000", "1048588"),
            ("compression.type", "producer", "gzip"),
            ("unclean.leader.election.enable", "false", "true"),
            ("message.downconversion.enable", "true", "false"),
        ] {
            assert_eq!(carried(config, source, Some(target)).as_deref(), Some(source), "{config}");
            assert_eq!(carried(config, source, Some(source)), None, "{config}");
        }
        assert_eq!(carried("cleanup.policy", "compact,delete", Some("delete, compact")), None, "the same in meaning");
    }

    #[test]
    fn a_target_that_does_not_tell_its_default_gets_the_sources() {
        assert_eq!(carried("retention.ms", "604800000", None).as_deref(), Some("604800000"));
        assert_eq!(drift(&[], &[("segment.ms", "5")], &[], Policy::CarryOver), []);
    }

    #[test]
    fn what_refuses_and_loses_nothing_is_only_named() {
        assert_eq!(carried("max.message.bytes", "1048588", Some("2000000")), None);
        assert_eq!(carried("unclean.leader.election.enable", "true", Some("false")), None);
        let named = drift(&[], &[("segment.ms", "5")], &[("segment.ms", "6")], Policy::CarryOver);
        assert_eq!((named.len(), named[0].carried_over), (1, false));
        assert!(
            named[0]
                .line(3)
                .starts_with("3 topics inherit segment.ms=5 from the source's brokers, and the target has 6")
        );
    }

    #[test]
    fn no_topic_wants_more_replicas_in_sync_than_it_has() {
        assert_eq!(carried(MIN_INSYNC, "3", Some("1")).as_deref(), Some("2"));
        assert_eq!(carried(MIN_INSYNC, "3", Some("2")), None);
        assert_eq!(carried(MIN_INSYNC, "1", Some("2")).as_deref(), Some("1"));
    }

    #[test]
    fn only_what_a_topic_inherits_matters() {
        let (source, target) =
            ([("retention.ms", "1"), ("segment.ms", "2")], [("retention.ms", "9"), ("segment.ms", "9")]);
        let configs = |own: &[(&str, &str)]| -> Vec<String> {
            drift(own, &source, &target, Policy::CarryOver).into_iter().map(|drift| drift.config).collect()
        };
        assert_eq!(configs(&[]), ["retention.ms", "segment.ms"]);
        assert_eq!(configs(&[("retention.ms", "9")]), ["segment.ms"]);
    }

    #[test]
    fn the_configuration_can_say_otherwise() {
        let of = |policy| drift(&[], &[("retention.ms", "-1")], &[("retention.ms", "5")], policy);
        let left = of(Policy::KeepTarget);
        assert!(left[0].decides && !left[0].carried_over && left[0].line(1).contains("are deleted"), "{left:?}");
        let counted = |policy| of(policy).into_iter().map(|drift| (drift, 4)).collect::<BTreeMap<_, _>>();
        for policy in [Policy::CarryOver, Policy::KeepTarget] {
            refuse(policy, &counted(policy)).unwrap();
        }
        let error = refuse(Policy::Fail, &counted(Policy::Fail)).unwrap_err();
        assert!(error.message.contains("4 topics inherit retention.ms=-1"), "{error}");
        let harmless = drift(&[], &[("segment.ms", "5")], &[("segment.ms", "6")], Policy::Fail);
        refuse(Policy::Fail, &harmless.into_iter().map(|drift| (drift, 1)).collect()).unwrap();
    }
}
