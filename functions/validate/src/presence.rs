//! What has become of a topic: whether it is the one that was migrated.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kafka::{AclOperation, Cluster, TopicInfo};
use migration::Result;

/// How often a topic has to be missing, and the pause between two looks: a broker that has just started does not know every
/// topic yet.
const LOOKS: u32 = 4;
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What has become of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It is there, with the partitions that it had at least.
    There,
    /// Another topic has its name. Neither ids nor partitions change by a fault: somebody has deleted and created it.
    Recreated,
    /// It is not there any more. No fault removes a topic: somebody has deleted it.
    Deleted,
    /// This function may not describe it, and brokers do not list what one may not describe.
    Hidden,
}

/// What a topic has to be like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Partitions that it had at the cutover.
    pub(crate) partitions: usize,
    /// Its id, if it is known.
    pub(crate) id: Option<String>,
}

/// What has become of the `wanted` topics on `cluster`.
///
/// # Errors
/// Transient when the cluster cannot be asked.
pub(crate) async fn look(
    cluster: &Cluster,
    wanted: &BTreeMap<Arc<str>, Wanted>,
) -> Result<BTreeMap<Arc<str>, Presence>> {
    let mut found = presences(wanted, &cluster.topics().await?);
    for _ in 1..LOOKS {
        if found.values().all(|presence| *presence == Presence::There) {
            return Ok(found);
        }
        tokio::time::sleep(LOOK_EVERY).await;
        found = presences(wanted, &cluster.topics().await?);
    }
    let missing = found.iter().filter(|(_, presence)| **presence == Presence::Deleted);
    let missing: Vec<_> = missing.map(|(topic, _)| topic.clone()).collect();
    if !missing.is_empty() {
        let operations = cluster.topic_operations(&missing).await?;
        let hidden = operations.into_iter().filter(|(_, may)| !may.contain(AclOperation::Describe));
        found.extend(hidden.map(|(topic, _)| (topic, Presence::Hidden)));
    }
    Ok(found)
}

fn presences(wanted: &BTreeMap<Arc<str>, Wanted>, topics: &[TopicInfo]) -> BTreeMap<Arc<str>, Presence> {
    let there: BTreeMap<_, _> = topics.iter().map(|topic| (&topic.name, topic)).collect();
    let presence = |(name, wanted): (&Arc<str>, &Wanted)| {
        let presence = match there.get(name) {
            None => Presence::Deleted,
            Some(topic) => {
                let other = wanted.id.as_ref().zip(topic.id.as_ref()).is_some_and(|(was, is)| was != is);
                if other || topic.partitions.len() < wanted.partitions { Presence::Recreated } else { Presence::There }
            }
        };
        (name.clone(), presence)
    };
    wanted.iter().map(presence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::PartitionInfo;

    fn presence(wanted: (usize, Option<&str>), found: Option<(i32, Option<&str>)>) -> Presence {
        let info = |partition| PartitionInfo { partition, leader: Some(1), replicas: vec![1], isr: vec![1] };
        let topic = |(partitions, id): (i32, Option<&str>)| TopicInfo {
            name: "orders".into(),
            id: id.map(str::to_owned),
            internal: false,
            partitions: (0..partitions).map(info).collect(),
        };
        let wanted = Wanted { partitions: wanted.0, id: wanted.1.map(str::to_owned) };
        let topics: Vec<_> = found.map(topic).into_iter().collect();
        presences(&BTreeMap::from([("orders".into(), wanted)]), &topics)["orders"]
    }

    #[test]
    fn a_topic_is_known_by_its_id_and_keeps_its_partitions() {
        assert_eq!(presence((3, Some("A")), Some((3, Some("A")))), Presence::There);
        assert_eq!(presence((3, Some("A")), Some((7, Some("A")))), Presence::There, "partitions may be added");
        assert_eq!(presence((3, Some("A")), Some((3, Some("B")))), Presence::Recreated);
        assert_eq!(presence((3, None), Some((3, Some("B")))), Presence::There, "without ids nothing tells");
        assert_eq!(presence((3, None), Some((2, None))), Presence::Recreated, "partitions are never removed");
        assert_eq!(presence((3, Some("A")), None), Presence::Deleted);
    }
}
