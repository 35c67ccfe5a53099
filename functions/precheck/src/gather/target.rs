//! What only matters of a cluster that is moved to: its limits, what it already holds, who already reads it, and whether it
//! would take the topics.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka::{Cluster, NewTopic, OffsetSpec};
use migration::TopicPartition;

use super::{brokers, partly, permitted};
use crate::facts::{Arriving, Leaving, Partly, Permitted, Reached};

/// Reads a target. `source` is the other side, if it could be reached.
pub(super) async fn read(cluster: &Cluster, reached: &Reached, source: Option<&Reached>) -> Arriving {
    let wanted: Vec<_> = source.into_iter().flat_map(|source| source.topics.keys().cloned()).collect();
    let both = |topic: &&Arc<str>| source.is_some_and(|source| source.topics.contains_key(*topic));
    let shared: Vec<_> = reached.topics.keys().filter(both).cloned().collect();
    let (brokers, ends, groups, acls, quotas, permitted) = tokio::join!(
        brokers::configs(cluster, &reached.brokers),
        ends(cluster, reached, &shared),
        cluster.list_groups(),
        cluster.describe_acls(),
        cluster.client_quotas(),
        permitted::on(cluster, &wanted),
    );
    let active = |groups: Vec<kafka::GroupListing>| {
        groups.into_iter().filter(|group| group.state.is_active()).map(|group| group.id).collect()
    };
    Arriving {
        brokers,
        ends,
        active_groups: groups.map(active).map_err(Into::into),
        acls: acls.map_err(Into::into),
        quotas: quotas.map_err(Into::into),
        permitted,
        refused: BTreeMap::new(),
    }
}

/// What can only be asked of a target when the source is known: whether it would create its topics, and what may be done to
/// its groups.
pub(super) async fn ask_for(
    cluster: &Cluster,
    reached: &Reached,
    source: (&Reached, &Leaving),
    known: Arriving,
) -> Arriving {
    let (topics, leaving) = source;
    let (refused, groups) = tokio::join!(
        refused(cluster, reached, topics, leaving),
        permitted::on_groups(cluster, reached, &leaving.groups)
    );
    Arriving { refused, permitted: Permitted { groups, ..known.permitted }, ..known }
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

/// Topics of the source that the target does not have and would not create as topology copy does, each with its reason.
async fn refused(
    cluster: &Cluster,
    reached: &Reached,
    source: &Reached,
    leaving: &Leaving,
) -> BTreeMap<Arc<str>, kafka::Error> {
    let missing = source.topics.iter().filter(|(name, _)| !reached.topics.contains_key(*name));
    let wanted = missing.filter_map(|(name, topic)| {
        let max_message_bytes = leaving.configs.known.get(name)?.max_message_bytes?;
        Some(NewTopic {
            name: name.clone(),
            partitions: i32::try_from(topic.partitions).ok()?,
            replication_factor: i16::try_from(topic.replication_factor.min(reached.brokers.len())).ok()?,
            configs: topology::copying(max_message_bytes),
        })
    });
    let wanted: Vec<_> = wanted.collect();
    let each = cluster.would_create_topics(&wanted).await;
    each.into_iter().filter_map(|(name, outcome)| Some((name, outcome.err()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_ends_where_its_longest_partition_does() {
        let ends = [(0, 0), (1, 7), (2, 3)].map(|(partition, end)| (TopicPartition::new("orders", partition), end));
        assert_eq!(by_topic(ends.into()), BTreeMap::from([("orders".into(), 7)]));
    }
}
