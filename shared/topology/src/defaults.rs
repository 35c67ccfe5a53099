//! Defaults of the brokers that differ between source and target. A topic that does not set such a config behaves
//! differently after the migration, although its own configs are equal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::inventory::Topics;
use crate::known::KnownConfigs;

/// A default that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultDrift {
    /// The topic config.
    pub config: String,
    /// What a topic of the source has without setting it.
    pub source: String,
    /// What a topic of the target has without setting it.
    pub target: String,
    /// How many topics do not set it.
    pub topics: usize,
}

/// Defaults that differ and reach at least one of `topics`. Both maps are what a topic without configs has, by config.
pub fn drift(
    source: &BTreeMap<String, String>,
    target: &BTreeMap<String, String>,
    topics: &Topics,
    known: &KnownConfigs,
) -> Vec<DefaultDrift> {
    let drift = |(config, is): (&String, &String)| {
        let was = source.get(config).filter(|was| *was != is && known.refusal(config).is_none())?;
        let inheriting = topics.values().filter(|topic| !topic.configs.contains_key(config)).count();
        let (config, source, target) = (config.clone(), was.clone(), is.clone());
        (inheriting > 0).then_some(DefaultDrift { config, source, target, topics: inheriting })
    };
    target.iter().filter_map(drift).collect()
}

impl DefaultDrift {
    /// One line for an operator.
    pub fn line(&self) -> String {
        let Self { config, source, target, topics } = self;
        format!(
            "{topics} topics take {config} from their brokers, which have {source} on the source and {target} on the target; \
             to keep the source's, set it on the topics or in the target's configuration"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Topic;
    use kafka::TopicInfo;

    #[test]
    fn only_what_a_topic_inherits_matters() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let topic = |configs: &[(&str, &str)]| Topic {
            info: TopicInfo { name: "t".into(), id: None, internal: false, partitions: Vec::new() },
            configs: map(configs),
            max_message_bytes: 1,
        };
        let source = map(&[("retention.ms", "1"), ("segment.ms", "2"), ("index.interval.bytes", "3"), ("gone", "4")]);
        let target = map(&[("retention.ms", "9"), ("segment.ms", "9"), ("index.interval.bytes", "3"), ("new", "5")]);
        let topics = Topics::from([
            ("a".into(), topic(&[("segment.ms", "7")])),
            ("b".into(), topic(&[("segment.ms", "7"), ("retention.ms", "7")])),
        ]);
        let known = KnownConfigs::from(["retention.ms", "segment.ms", "index.interval.bytes", "new"]);
        let drift = drift(&source, &target, &topics, &known);
        assert_eq!(drift.len(), 1, "{drift:?}");
        assert!(
            drift[0].line().starts_with("1 topics take retention.ms from their brokers, which have 1 on the source")
        );
    }
}
