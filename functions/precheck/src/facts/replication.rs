//! How the replicas of a cluster's partitions stand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka::{Reassignment, TopicInfo};
use migration::{Result, TopicPartition};

/// The replicas of the topics that are not the cluster's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replication {
    /// Partitions whose replicas are being moved.
    pub(crate) moving: Result<BTreeSet<TopicPartition>>,
    /// Topics whose partitions are meant to have different numbers of replicas, with the fewest and the most.
    pub(crate) uneven: BTreeMap<Arc<str>, (usize, usize)>,
    /// Partitions of which some replica is not in sync, with the number of those that are. None without a leader.
    pub(crate) behind: BTreeMap<TopicPartition, usize>,
    /// Brokers that replicas are on and that are not alive.
    pub(crate) dead: BTreeSet<i32>,
}

impl Replication {
    /// Of a cluster without trouble.
    #[cfg(test)]
    pub(crate) fn sound() -> Self {
        let (uneven, behind) = (BTreeMap::new(), BTreeMap::new());
        Self { moving: Ok(BTreeSet::new()), uneven, behind, dead: BTreeSet::new() }
    }

    /// Of `topics`, which have the replicas that they are meant to have, on a cluster of which `brokers` are alive.
    pub(crate) fn of(
        topics: &[TopicInfo],
        brokers: &[i32],
        moving: Result<BTreeMap<TopicPartition, Reassignment>>,
    ) -> Self {
        let partitions = || topics.iter().flat_map(|topic| topic.topic_partitions().zip(&topic.partitions));
        let behind = partitions().filter(|(_, info)| info.leader.is_some() && info.isr.len() < info.replicas.len());
        let holding = partitions().flat_map(|(_, info)| info.replicas.iter().copied());
        Self {
            moving: moving.map(|moving| moving.into_keys().collect()),
            uneven: topics.iter().filter_map(uneven).collect(),
            behind: behind.map(|(partition, info)| (partition, info.isr.len())).collect(),
            dead: holding.filter(|broker| !brokers.contains(broker)).collect(),
        }
    }

    /// The same of those topics that `selects` lets pass. Brokers are the cluster's.
    pub(crate) fn only(mut self, selects: impl Fn(&Arc<str>) -> bool) -> Self {
        self.moving = self.moving.map(|moving| moving.into_iter().filter(|moved| selects(&moved.topic)).collect());
        self.uneven.retain(|topic, _| selects(topic));
        self.behind.retain(|partition, _| selects(&partition.topic));
        self
    }
}

fn uneven(topic: &TopicInfo) -> Option<(Arc<str>, (usize, usize))> {
    let numbers = || topic.partitions.iter().map(|partition| partition.replicas.len());
    let (fewest, most) = (numbers().min()?, numbers().max()?);
    (fewest < most).then(|| (topic.name.clone(), (fewest, most)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::PartitionInfo;

    fn topic(name: &str, partitions: &[(&[i32], &[i32])]) -> TopicInfo {
        let partition = |(index, (replicas, isr)): (usize, &(&[i32], &[i32]))| PartitionInfo {
            partition: i32::try_from(index).unwrap(),
            leader: isr.first().copied(),
            replicas: replicas.to_vec(),
            isr: isr.to_vec(),
        };
        let partitions = partitions.iter().enumerate().map(partition).collect();
        TopicInfo { name: name.into(), id: None, internal: false, partitions }
    }

    #[test]
    fn what_is_uneven_behind_or_on_dead_brokers_is_found() {
        let topics = [
            topic("even", &[(&[1, 2], &[1, 2])]),
            topic("odd", &[(&[1, 2], &[1, 2]), (&[1, 2, 3], &[1]), (&[3], &[])]),
        ];
        let found = Replication::of(&topics, &[1, 2], Ok(BTreeMap::new()));
        assert_eq!(found.uneven, BTreeMap::from([("odd".into(), (1, 3))]));
        assert_eq!(found.behind, BTreeMap::from([(TopicPartition::new("odd", 1), 1)]));
        assert_eq!(found.dead, BTreeSet::from([3]));
        assert_eq!(found.only(|topic| &**topic == "even").uneven, BTreeMap::new());
    }
}
