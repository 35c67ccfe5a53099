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

/// Topics of the source that the target does not have and would not create, as topology copy does or with the configs that the
/// cutover gives them; each with its reason.
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
    let mut refused = would_not_create(cluster, &wanted).await;
    let others = wanted.into_iter().filter(|topic| !refused.contains_key(&topic.name));
    let own = others.filter_map(|topic| {
        let configs = leaving.configs.known.get(&topic.name)?.own.clone();
        Some(NewTopic { configs, ..topic })
    });
    let own = own.collect();
    refused.extend(would_not_take(cluster, own).await);
    refused
}

async fn would_not_create(cluster: &Cluster, wanted: &[NewTopic]) -> BTreeMap<Arc<str>, kafka::Error> {
    let each = cluster.would_create_topics(wanted).await;
    each.into_iter().filter_map(|(name, outcome)| Some((name, outcome.err()?))).collect()
}

/// Which of `wanted` the target would not create because of the values of their configs: newer versions have narrower bounds
/// (KIP-1030). Configs that it does not know are not copied, so they are no reason; it names one of them at a time.
async fn would_not_take(cluster: &Cluster, mut wanted: Vec<NewTopic>) -> BTreeMap<Arc<str>, kafka::Error> {
    let mut refused = BTreeMap::new();
    while !wanted.is_empty() {
        let mut answers = would_not_create(cluster, &wanted).await;
        wanted.retain_mut(|topic| {
            let Some(error) = answers.remove(&topic.name) else { return false };
            let again = unknown_config(&error).is_some_and(|name| topic.configs.remove(name).is_some());
            if !again {
                refused.insert(topic.name.clone(), error);
            }
            again
        });
    }
    refused
}

/// The config that the target does not know, when that is what `error` says (`LogConfig.validateNames`).
fn unknown_config(error: &kafka::Error) -> Option<&str> {
    let kafka::Error::Broker { message: Some(message), .. } = error else { return None };
    message.strip_prefix("Unknown topic config name: ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::{Api, Code, Place};

    #[test]
    fn a_config_that_is_not_known_is_told_from_a_value_that_is_not_taken() {
        let error = |message: &str| kafka::Error::Broker {
            api: Api::CreateTopics,
            code: Code::InvalidConfig,
            place: Place::Topic("orders".into()),
            message: Some(message.into()),
        };
        let unknown = error("Unknown topic config name: message.downconversion.enable");
        assert_eq!(unknown_config(&unknown), Some("message.downconversion.enable"));
        let narrow = error("Invalid value 32768 for configuration segment.bytes: Value must be at least 1048576");
        assert_eq!(unknown_config(&narrow), None);
    }

    #[test]
    fn a_topic_ends_where_its_longest_partition_does() {
        let ends = [(0, 0), (1, 7), (2, 3)].map(|(partition, end)| (TopicPartition::new("orders", partition), end));
        assert_eq!(by_topic(ends.into()), BTreeMap::from([("orders".into(), 7)]));
    }
}
