//! Which topics are migrated, and how they are brought over.

use serde::{Deserialize, Serialize};

use super::TopicPattern;
use crate::scope;

/// The repartition topics of Kafka Streams, those of its foreign-key joins included, which keep records for ever (`retention.ms=-1`)
/// and from which Streams deletes those that it has read (`repartition.purge.interval.ms`). Names as in
/// `StreamsResetter.matchesInternalTopicFormat`, but for those of joins that somebody has named: other topics may be called like them.
const REPARTITION: [&str; 2] =
    [".*-repartition", ".*-KTABLE-FK-JOIN-SUBSCRIPTION-(REGISTRATION|RESPONSE)-[0-9]+-topic"];

/// How topics are brought over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Topology {
    /// Topics to migrate; every topic when there is no pattern.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<TopicPattern>,
    /// Topics to leave out of those.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<TopicPattern>,
    /// What happens to a config that already differs on the target.
    pub on_config_drift: ConfigDrift,
    /// What happens to a value that topics inherit and would inherit otherwise on the target.
    pub on_default_drift: DefaultDrift,
    /// What happens when a topic is deleted on the source after the migration began.
    pub on_topic_deleted: TopicDeleted,
    /// What happens when keys of a compacted topic live on the target alone.
    pub on_deleted_keys: KeysDeleted,
    /// What happens when the source deletes records that were not copied yet.
    pub on_records_deleted: RecordsDeleted,
    /// Topics that go on behind such records whatever `on_records_deleted` says.
    pub record_gap_of: Vec<TopicPattern>,
}

impl Default for Topology {
    fn default() -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            on_config_drift: ConfigDrift::default(),
            on_default_drift: DefaultDrift::default(),
            on_topic_deleted: TopicDeleted::default(),
            on_deleted_keys: KeysDeleted::default(),
            on_records_deleted: RecordsDeleted::default(),
            record_gap_of: REPARTITION.into_iter().filter_map(|pattern| pattern.parse().ok()).collect(),
        }
    }
}

impl Topology {
    /// Whether the copy of `topic` goes on behind records that the source deleted before they were copied.
    pub fn records_gaps_of(&self, topic: &str) -> bool {
        self.on_records_deleted == RecordsDeleted::RecordGap
            || self.record_gap_of.iter().any(|pattern| pattern.matches(topic))
    }

    /// Whether `topic` is one to migrate, as far as `include` and `exclude` say.
    pub fn selects(&self, topic: &str) -> bool {
        let mut included = self.include.iter().filter(|pattern| pattern.matches(topic));
        let is_included = match topic.starts_with(scope::MSK_CONNECT) {
            // A pattern for all names does not mean these.
            true => included.any(|pattern| pattern.begins_with(scope::MSK_CONNECT)),
            false => self.include.is_empty() || included.next().is_some(),
        };
        is_included && !self.exclude.iter().any(|pattern| pattern.matches(topic))
    }

    /// Whether `topic` is left to others than this migration and its waves: it is the cluster's own, or that of a connector of
    /// MSK Connect, and no pattern of `include` names it.
    pub fn leaves(&self, topic: &str) -> bool {
        scope::is_internal_topic(topic) || topic.starts_with(scope::MSK_CONNECT) && !self.selects(topic)
    }

    /// Whether patterns select a part of the topics: the migration is one of several waves.
    pub fn is_partial(&self) -> bool {
        !(self.include.is_empty() && self.exclude.is_empty())
    }

    /// The selection as one text, empty when every topic is migrated.
    pub fn selection(&self) -> String {
        if !self.is_partial() {
            return String::new();
        }
        let named =
            |patterns: &[TopicPattern]| patterns.iter().map(|p| format!("{:?} ", p.as_str())).collect::<String>();
        format!("include {}exclude {}", named(&self.include), named(&self.exclude)).trim_end().to_owned()
    }
}

/// What happens when a topic is deleted on the source after the migration began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopicDeleted {
    /// The migration stops and names the topic.
    #[default]
    Fail,
    /// The migration goes on without it; the target keeps what was copied.
    LeaveOut,
}

/// What happens when keys of a compacted topic live on the target alone, since their deletion was compacted away on the source
/// before it was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeysDeleted {
    /// The cutover does not begin, and names them.
    #[default]
    Fail,
    /// They stay on the target, as a warning.
    Keep,
}

/// What happens when the source deletes records, by retention or on demand, that were not copied yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordsDeleted {
    /// The partition stops and names the offsets.
    #[default]
    Stop,
    /// The copy goes on at the log's start; the offsets are on record, and a warning.
    RecordGap,
}

/// What happens to a topic config that already differs on the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigDrift {
    /// The source's value wins.
    #[default]
    OverwriteWithSource,
    /// The target's value stays.
    KeepTarget,
    /// The migration stops and names the difference.
    Fail,
}

/// What happens to a value that topics take from the source's brokers, where the target's brokers would let records be deleted,
/// compacted, refused or dated otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefaultDrift {
    /// The source's value is set on the topics of the target.
    #[default]
    CarryOver,
    /// The topics take the target's.
    KeepTarget,
    /// The migration stops before it copies, and names the difference.
    Fail,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml_as_json: serde_json::Value) -> Topology {
        serde_json::from_value(yaml_as_json).unwrap()
    }

    #[test]
    fn the_topics_that_kafka_streams_purges_record_gaps_unless_somebody_says_otherwise() {
        let silent = read(serde_json::json!({}));
        assert!(silent.records_gaps_of("app-count-repartition") && !silent.records_gaps_of("app-count-changelog"));
        assert!(!silent.records_gaps_of("app-repartition-orders"), "the whole name counts");
        for joins in [
            "app-KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-0000000006-topic",
            "app-KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-0000000014-topic",
        ] {
            assert!(silent.records_gaps_of(joins), "{joins}");
        }
        for other in [
            "app-KTABLE-FK-JOIN-SUBSCRIPTION-STATE-STORE-0000000010-changelog",
            "newsletter-subscription-registration-topic",
        ] {
            assert!(!silent.records_gaps_of(other), "{other}");
        }
        let named = read(serde_json::json!({"record_gap_of": ["queue-.*"]}));
        assert!(named.records_gaps_of("queue-1") && !named.records_gaps_of("app-count-repartition"));
        let none = read(serde_json::json!({"record_gap_of": []}));
        assert!(!none.records_gaps_of("app-count-repartition"));
        let all = read(serde_json::json!({"on_records_deleted": "record_gap"}));
        assert!(all.records_gaps_of("orders"));
        assert_eq!(read(serde_json::to_value(&none).unwrap()), none, "an empty list is not the default one");
    }

    #[test]
    fn waves_are_selected_by_patterns() {
        let topology = |include: &[&str], exclude: &[&str]| {
            let parse = |patterns: &[&str]| patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
            Topology { include: parse(include), exclude: parse(exclude), ..Topology::default() }
        };
        let all = topology(&[], &[]);
        assert!(all.selects("orders") && !all.is_partial());
        let wave = topology(&["orders-.*", "bills"], &[".*-test"]);
        assert!(wave.selects("orders-eu") && wave.selects("bills") && wave.is_partial());
        assert!(!wave.selects("orders-test") && !wave.selects("users"));
        assert!(!topology(&[], &["tmp.*"]).selects("tmp-1") && topology(&[], &["tmp.*"]).selects("orders"));
    }

    #[test]
    fn topics_of_msk_connect_are_migrated_when_they_are_named() {
        const OFFSETS: &str = "__amazon_msk_connect_offsets_dbz_123-4";
        let selects = |include: &[&str]| {
            let include = include.iter().map(|pattern| pattern.parse().unwrap()).collect();
            let topology = Topology { include, ..Topology::default() };
            assert_eq!(topology.leaves(OFFSETS), !topology.selects(OFFSETS));
            topology.selects(OFFSETS)
        };
        assert!(!selects(&[]) && !selects(&[".*"]) && !selects(&["__amazon_msk_connect_status_.*"]));
        assert!(selects(&[OFFSETS]) && selects(&[".*", "__amazon_msk_connect_offsets_.*"]));
        assert!(!selects(&[]) && Topology::default().leaves("__consumer_offsets"));
        assert!(!Topology::default().leaves("orders"));
    }
}
