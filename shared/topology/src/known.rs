//! Which configs of the source's topics the target's can have. The target itself says it: a broker that describes a topic
//! names every config it knows.

use std::collections::BTreeSet;
use std::sync::Arc;

use kafka::{Cluster, ConfigEntry};
use migration::{Error, Result};

use crate::configs::TopicConfigs;

/// Configs that would be wrong on the target although it may know them, with the reason. Reassignments put lists of broker
/// ids into the second and third (KIP-73).
const NOT_FOR_TARGET: [(&str, &str); 3] = [
    ("message.format.version", "the target stores format v2 alone and ignores it"),
    ("leader.replication.throttled.replicas", "it names brokers of the source"),
    ("follower.replication.throttled.replicas", "it names brokers of the source"),
];

/// What the topics of a target can be configured with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownConfigs(BTreeSet<String>);

impl KnownConfigs {
    /// Asks `target` about `topic`, which it has to have.
    ///
    /// # Errors
    /// When the target cannot be asked, or has no such topic.
    pub async fn ask(target: &Cluster, topic: &Arc<str>) -> Result<Self> {
        let entries = kafka::all_ok(target.topic_configs(std::slice::from_ref(topic)).await)?.remove(topic);
        let entries = entries.ok_or_else(|| Error::transient("a topic's configs are missing").at_topic(topic))?;
        Ok(entries.into())
    }

    /// Why a topic of the target does not get the config `name`, if it does not.
    pub fn refusal(&self, name: &str) -> Option<&'static str> {
        match NOT_FOR_TARGET.iter().find(|(unfit, _)| *unfit == name) {
            Some((_, reason)) => Some(reason),
            None if self.0.contains(name) => None,
            None => Some("the target does not know it, or does not let it be set"),
        }
    }

    /// Those of `configs` that a topic of the target gets.
    pub fn only(&self, configs: &TopicConfigs) -> TopicConfigs {
        let known = configs.iter().filter(|(name, _)| self.refusal(name).is_none());
        known.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// From how the target describes a topic.
impl From<Vec<ConfigEntry>> for KnownConfigs {
    fn from(entries: Vec<ConfigEntry>) -> Self {
        Self(entries.into_iter().filter(|entry| !entry.read_only).map(|entry| entry.name).collect())
    }
}

#[cfg(test)]
impl KnownConfigs {
    pub(crate) fn of(names: &[&str]) -> Self {
        Self(names.iter().map(|name| (*name).to_owned()).collect())
    }
}

#[cfg(test)]
impl<const N: usize> From<[&str; N]> for KnownConfigs {
    fn from(names: [&str; N]) -> Self {
        Self(names.map(str::to_owned).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::ConfigSource;

    #[test]
    fn what_the_target_names_and_lets_set_is_known() {
        let entry = |name: &str, read_only| ConfigEntry {
            name: name.to_owned(),
            value: None,
            source: ConfigSource::Default,
            read_only,
            sensitive: false,
        };
        let known = KnownConfigs::from(vec![entry("retention.ms", false), entry("remote.storage.enable", true)]);
        assert_eq!(known, ["retention.ms"].into());
    }

    #[test]
    fn what_the_target_does_not_know_or_should_not_have_is_left_out() {
        let known = KnownConfigs::from(["retention.ms", "leader.replication.throttled.replicas"]);
        let names = ["retention.ms", "leader.replication.throttled.replicas", "message.downconversion.enable"];
        let source: TopicConfigs = names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
        assert_eq!(known.only(&source).into_keys().collect::<Vec<_>>(), ["retention.ms"]);
        assert_eq!(known.refusal("leader.replication.throttled.replicas"), Some("it names brokers of the source"));
        assert!(known.refusal("message.downconversion.enable").unwrap().contains("does not know"));
    }
}
