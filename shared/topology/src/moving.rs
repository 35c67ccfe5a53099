//! Replicas of topics while partitions are being moved.

use std::collections::BTreeMap;

use kafka::{Cluster, Reassignment, TopicInfo};
use migration::config::Topology;
use migration::{Result, TopicPartition};

use crate::inventory::{Inventory, inventory};

/// [`inventory`] for copying: with the replicas that topics are meant to have.
///
/// While a partition is moved it has the replicas that come beside those that go, and topics would be created with all of them
/// on the target. Which go is asked before and after the topics are read, since a reassignment may begin or end meanwhile.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn to_be_copied(source: &Cluster, selection: &Topology) -> Result<Inventory> {
    let before = source.reassignments().await?;
    let mut inventory = inventory(source, selection).await?;
    for moving in [before, source.reassignments().await?] {
        for topic in inventory.topics.values_mut() {
            without_leaving(&mut topic.info, &moving);
        }
    }
    Ok(inventory)
}

/// Takes the replicas away that a reassignment under way removes (KIP-455): what is left is what the topic is meant to have,
/// also where the reassignment changes their number.
pub fn without_leaving(topic: &mut TopicInfo, moving: &BTreeMap<TopicPartition, Reassignment>) {
    for info in &mut topic.partitions {
        let partition = TopicPartition::new(topic.name.clone(), info.partition);
        if let Some(moving) = moving.get(&partition) {
            info.replicas.retain(|broker| !moving.removing.contains(broker));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kafka::PartitionInfo;

    use super::*;
    use crate::configs::TopicConfigs;
    use crate::inventory::Topic;

    #[test]
    fn replicas_that_a_reassignment_removes_are_not_counted() {
        let partition = |partition, replicas: &[i32]| PartitionInfo {
            partition,
            leader: Some(1),
            replicas: replicas.to_vec(),
            isr: vec![1],
        };
        let partitions = vec![partition(0, &[2, 1]), partition(1, &[1])];
        let info = TopicInfo { name: "moving".into(), id: None, internal: false, partitions };
        let (configs, inherited) = (TopicConfigs::new(), Arc::default());
        let mut topic = Topic { info, configs, inherited, max_message_bytes: 1 };
        assert_eq!(topic.replication_factor(), 2, "as metadata has it");
        let moving = |adding: &[i32], removing: &[i32]| {
            let reassignment = Reassignment { adding: adding.to_vec(), removing: removing.to_vec() };
            BTreeMap::from([(TopicPartition::new("moving", 0), reassignment)])
        };
        without_leaving(&mut topic.info, &moving(&[2], &[]));
        assert_eq!(topic.replication_factor(), 2, "it is given a second replica");
        without_leaving(&mut topic.info, &moving(&[2], &[1]));
        assert_eq!((topic.replication_factor(), &topic.info.partitions[0].replicas), (1, &vec![2]));
    }
}
