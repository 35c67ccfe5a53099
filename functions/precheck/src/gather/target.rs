//! What only matters of a cluster that is moved to: its limits, what it already holds, who already reads it.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka::{Cluster, ConfigEntry, OffsetSpec};
use migration::{Result, TopicPartition};
use tokio::task::JoinSet;

use super::partly;
use crate::facts::{Arriving, BrokerLimits, Partly, Reached};

/// Reads a target; `shared` are its topics that the source has too.
pub(super) async fn read(cluster: &Cluster, reached: &Reached, shared: &[Arc<str>]) -> Arriving {
    let (limits, ends, groups) =
        tokio::join!(limits(cluster, &reached.brokers), ends(cluster, reached, shared), cluster.list_groups());
    let active = |groups: Vec<kafka::GroupListing>| {
        groups.into_iter().filter(|group| group.state.is_active()).map(|group| group.id).collect()
    };
    Arriving { limits, ends, active_groups: groups.map(active).map_err(Into::into) }
}

/// The limits of every broker: each can have its own.
async fn limits(cluster: &Cluster, brokers: &[i32]) -> Result<Vec<BrokerLimits>> {
    let mut asked = JoinSet::new();
    for broker in brokers.iter().copied() {
        let cluster = cluster.clone();
        asked.spawn(async move { (broker, cluster.broker_configs(broker).await) });
    }
    let mut limits = Vec::with_capacity(brokers.len());
    for (broker, entries) in asked.join_all().await {
        limits.push(broker_limits(broker, &entries?));
    }
    limits.sort_unstable_by_key(|limits| limits.broker);
    Ok(limits)
}

fn broker_limits(broker: i32, entries: &[ConfigEntry]) -> BrokerLimits {
    let number = |name: &str| entries.iter().find(|entry| entry.name == name)?.value.as_deref()?.parse().ok();
    BrokerLimits {
        broker,
        message_max_bytes: number("message.max.bytes"),
        replica_fetch_max_bytes: number("replica.fetch.max.bytes"),
    }
}

async fn ends(cluster: &Cluster, reached: &Reached, topics: &[Arc<str>]) -> Partly<BTreeMap<Arc<str>, i64>> {
    let partitions = reached.led(topics);
    let Partly { known, missing } = partly(cluster.list_offsets(&partitions, OffsetSpec::Latest).await);
    Partly { known: by_topic(known), missing }
}

fn by_topic(ends: BTreeMap<TopicPartition, i64>) -> BTreeMap<Arc<str>, i64> {
    let mut largest = BTreeMap::new();
    for (partition, end) in ends {
        let topic = largest.entry(partition.topic).or_insert(end);
        *topic = end.max(*topic);
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::ConfigSource;

    #[test]
    fn a_broker_that_does_not_say_has_no_limit_made_up() {
        let entry = ConfigEntry {
            name: "message.max.bytes".into(),
            value: Some("1048588".into()),
            source: ConfigSource::Default,
            read_only: false,
            sensitive: false,
        };
        let limits = broker_limits(2, &[entry]);
        assert_eq!((limits.message_max_bytes, limits.replica_fetch_max_bytes), (Some(1_048_588), None));
    }

    #[test]
    fn a_topic_ends_where_its_longest_partition_does() {
        let ends = [(0, 0), (1, 7), (2, 3)].map(|(partition, end)| (TopicPartition::new("orders", partition), end));
        assert_eq!(by_topic(ends.into()), BTreeMap::from([("orders".into(), 7)]));
    }
}
