//! Topics that have another replication factor on the target than on the source: it has fewer brokers, or had the topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::inventory::{Topic, Topics};
use crate::target_state::TopicState;

/// The topics whose replication factors differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Replication(BTreeMap<Arc<str>, Factors>);

/// Replication factors of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Factors {
    source: usize,
    target: usize,
}

impl Replication {
    /// Compares topics of the source with their counterparts, as far as the target has them.
    pub fn between(source: &Topics, target: &BTreeMap<Arc<str>, TopicState>) -> Self {
        let differs = |(name, topic): (&Arc<str>, &Topic)| {
            let (source, target) = (topic.replication_factor(), target.get(name)?.replication_factor);
            (source != target).then(|| (name.clone(), Factors { source, target }))
        };
        Self(source.iter().filter_map(differs).collect())
    }

    /// One line for an operator, if there is any.
    pub fn line(&self) -> Option<String> {
        let (first, Factors { source, target }) = self.0.first_key_value()?;
        let count = self.0.len();
        Some(format!(
            "{count} topics have another replication factor than on the source, first {first}: {source} there, {target} on \
             the target"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::{PartitionInfo, TopicInfo};

    #[test]
    fn only_factors_that_differ_are_named() {
        let topic = |name: &str, replicas: Vec<i32>| {
            let partitions = vec![PartitionInfo { partition: 0, leader: None, replicas, isr: Vec::new() }];
            let info = TopicInfo { name: name.into(), id: None, internal: false, partitions };
            (
                info.name.clone(),
                Topic { info, configs: BTreeMap::new(), inherited: Default::default(), max_message_bytes: 1 },
            )
        };
        let there = |name: &str| {
            let state = TopicState { partitions: 1, replication_factor: 2, configs: BTreeMap::new() };
            (name.into(), state)
        };
        let source = Topics::from([topic("fewer", vec![1, 2, 3]), topic("gone", vec![1]), topic("same", vec![1, 2])]);
        let line = Replication::between(&source, &["fewer", "same"].map(there).into()).line().unwrap();
        assert!(line.starts_with("1 topics") && line.ends_with("first fewer: 3 there, 2 on the target"), "{line}");
        assert_eq!(Replication::default().line(), None);
    }
}
