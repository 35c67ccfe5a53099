//! Reads both clusters and AWS, all at once where it can. It stores one small object (`buckets`) and changes nothing else.
//!
//! Brokers are asked about all of their partitions at once, topics some hundred at a time; only groups are asked about one
//! by one, since every group has a coordinator of its own. What fails for a passing reason is asked again
//! (`kafka::RetryPolicy`, and the AWS SDK's own retries), so that what is missing in the end is worth a finding.

mod brokers;
mod buckets;
mod msk;
mod permitted;
mod sample;
mod source;
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use kafka::{Each, Reassignment, TopicInfo};
use migration::config::{ClusterConfig, Topology};
use migration::{Config, Error, Result, TopicPartition};
use runtime::Host;

use crate::facts::{Cluster, Facts, Partly, Reached, Replication, Topic};

/// Gathers what the rules need. `copying` says whether this very run has begun to copy.
pub(crate) async fn gather(host: &Host, config: Config, copying: bool) -> Facts {
    let (source_described, target_described, source, target, backup, evidence) = tokio::join!(
        msk::describe(&host.aws, &config.source),
        msk::describe(&host.aws, &config.target),
        reach(host, &config.source, &config.topology),
        reach(host, &config.target, &config.topology),
        buckets::backup(&host.aws.s3, &config),
        buckets::evidence(&host.aws.s3, &config),
    );
    let source = source.map(|(cluster, reached)| (cluster, reached.selected(&config.topology)));
    let leaving = async {
        let (cluster, reached) = source.as_ref().ok()?;
        Some(source::read(cluster, reached).await)
    };
    let arriving = async {
        let (cluster, reached) = target.as_ref().ok()?;
        Some(target::read(cluster, reached, source.as_ref().ok().map(|(_, source)| source)).await)
    };
    let (leaving, arriving) = tokio::join!(leaving, arriving);
    let arriving = match (arriving, &source, &leaving, &target) {
        (Some(known), Ok((_, from)), Some(leaving), Ok((cluster, to))) => {
            Some(target::ask_for(cluster, to, (from, leaving), known).await)
        }
        (known, ..) => known,
    };
    Facts {
        copying,
        source: Cluster { described: source_described, reached: source.map(|(_, reached)| reached) },
        target: Cluster { described: target_described, reached: target.map(|(_, reached)| reached) },
        leaving,
        arriving,
        backup,
        evidence,
        config,
    }
}

/// Connects to every broker of a cluster and reads its topics.
///
/// # Errors
/// Those of [`runtime::clusters::Clusters::connect`], naming each broker that cannot be connected to, and of reading the
/// metadata.
async fn reach(host: &Host, config: &ClusterConfig, selection: &Topology) -> Result<(kafka::Cluster, Reached)> {
    let cluster = host.clusters.connect(&host.aws, config).await?;
    let unreachable = cluster.unreachable_brokers().await?;
    if !unreachable.is_empty() {
        return Err(out_of_reach(&unreachable));
    }
    let (topics, hidden, moving, served) = tokio::join!(
        led_topics(&cluster, selection),
        cluster.hidden_topics(),
        cluster.reassignments(),
        cluster.served_versions(),
    );
    let mut topics = topics?;
    let brokers: Vec<_> = cluster.brokers().await?.iter().map(|broker| broker.id).collect();
    let leaderless = leaderless(&topics, selection);
    let replicas = replicas(&topics);
    let replication = replication(&mut topics, selection, &brokers, moving.map_err(Into::into));
    let (topics, mut internal) = sort_out(topics, selection);
    let hidden = hidden.map_err(Into::into).map(|hidden| {
        let (hidden_internal, hidden) = hidden.into_iter().partition(|topic| selection.leaves(topic));
        internal.extend::<BTreeSet<_>>(hidden_internal);
        hidden
    });
    let (mode, user) = (cluster.metadata_mode(), host.clusters.user(config).await);
    let reached = Reached {
        id: cluster.id(),
        mode,
        user,
        brokers,
        topics,
        left_out: 0,
        hidden,
        internal,
        replicas,
        leaderless,
        replication,
        certificate_valid_for: certificate_valid_for(&cluster),
        served: served.map_err(Into::into),
    };
    Ok((cluster, reached))
}

fn certificate_valid_for(cluster: &kafka::Cluster) -> Option<Duration> {
    let expires = cluster.settings().auth.tls()?.expires()?;
    Some((expires - Clock::system().now()).to_std().unwrap_or_default())
}

/// How the replicas of `topics` stand, which are left with those that they are meant to have.
fn replication(
    topics: &mut [TopicInfo],
    selection: &Topology,
    brokers: &[i32],
    moving: Result<BTreeMap<TopicPartition, Reassignment>>,
) -> Replication {
    for topic in topics.iter_mut() {
        topology::moving::without_leaving(topic, moving.as_ref().unwrap_or(&BTreeMap::new()));
    }
    let own: Vec<_> = topics.iter().filter(|topic| !is_left(topic, selection)).cloned().collect();
    let own_only = |mut moving: BTreeMap<TopicPartition, Reassignment>| {
        moving.retain(|partition, _| own.iter().any(|topic| topic.name == partition.topic));
        moving
    };
    Replication::of(&own, brokers, moving.map(own_only))
}

/// Every phase works with every broker, so one that is out of reach stands for all.
fn out_of_reach(brokers: &[(kafka::Broker, kafka::Error)]) -> Error {
    let named = brokers
        .iter()
        .map(|(broker, error)| format!("broker {} ({}:{}): {error}", broker.id, broker.host, broker.port));
    let message = format!("not every broker can be reached: {}", named.collect::<Vec<_>>().join("; "));
    match brokers.iter().find(|(_, error)| !error.is_retryable()) {
        Some((_, error)) => Error::new(error.kind(), message),
        None => Error::transient(message),
    }
}

/// The topics, once every partition of those that are migrated has a leader: one that is about to get another has none for a
/// moment. As they are, if that lasts.
async fn led_topics(cluster: &kafka::Cluster, selection: &Topology) -> kafka::Result<Vec<TopicInfo>> {
    let all_led = || async {
        let topics = cluster.topics().await?;
        match leaderless(&topics, selection).into_iter().find(|partition| selection.selects(&partition.topic)) {
            Some(partition) => Err(kafka::Error::NoLeader { partition }),
            None => Ok(topics),
        }
    };
    match cluster.with_retries(all_led).await {
        Err(kafka::Error::NoLeader { .. }) => cluster.topics().await,
        settled => settled,
    }
}

/// The topic that a cluster has since its first transaction.
pub(crate) use source::TRANSACTIONS;

/// Partitions without a leader, of topics that are not the cluster's own.
fn leaderless(topics: &[TopicInfo], selection: &Topology) -> BTreeSet<TopicPartition> {
    let own = topics.iter().filter(|topic| !is_left(topic, selection));
    let partitions = own.flat_map(|topic| topic.topic_partitions().zip(&topic.partitions));
    partitions.filter(|(_, info)| info.leader.is_none()).map(|(partition, _)| partition).collect()
}

fn replicas(topics: &[TopicInfo]) -> usize {
    topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.replicas.len()).sum()
}

fn is_left(topic: &TopicInfo, selection: &Topology) -> bool {
    topic.internal || selection.leaves(&topic.name)
}

/// Topics to be copied, and the names of those that the cluster keeps for itself.
fn sort_out(topics: Vec<TopicInfo>, selection: &Topology) -> (BTreeMap<Arc<str>, Topic>, BTreeSet<Arc<str>>) {
    let (internal, own): (Vec<_>, Vec<_>) = topics.into_iter().partition(|topic| is_left(topic, selection));
    let shape = |topic: TopicInfo| {
        let replicas = topic.partitions.iter().map(|partition| partition.replicas.len()).max();
        (topic.name, Topic { partitions: topic.partitions.len(), replication_factor: replicas.unwrap_or(0) })
    };
    (own.into_iter().map(shape).collect(), internal.into_iter().map(|topic| topic.name).collect())
}

/// Separates what was read from what was not.
pub(crate) fn partly<K: Ord, T>(each: Each<K, T>) -> Partly<BTreeMap<K, T>> {
    let mut known = BTreeMap::new();
    let mut missing: Option<(usize, Error)> = None;
    for (key, outcome) in each {
        match outcome {
            Ok(value) => drop(known.insert(key, value)),
            Err(error) => missing.get_or_insert_with(|| (0, error.into())).0 += 1,
        }
    }
    Partly { known, missing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::PartitionInfo;

    fn topic(name: &str, internal: bool, replicas: &[usize]) -> TopicInfo {
        let partition = |(index, replicas): (usize, &usize)| PartitionInfo {
            partition: i32::try_from(index).unwrap(),
            leader: Some(1),
            replicas: (1..).take(*replicas).collect(),
            isr: vec![1],
        };
        TopicInfo {
            name: name.into(),
            id: None,
            internal,
            partitions: replicas.iter().enumerate().map(partition).collect(),
        }
    }

    #[test]
    fn the_clusters_own_topics_are_set_apart() {
        let topics = vec![
            topic("__consumer_offsets", true, &[3]),
            topic("__amazon_msk_canary", false, &[3]),
            topic("orders", false, &[3, 2]),
        ];
        let (own, internal) = sort_out(topics, &Topology::default());
        assert_eq!(own, BTreeMap::from([("orders".into(), Topic { partitions: 2, replication_factor: 3 })]));
        assert_eq!(internal.len(), 2);
    }

    #[test]
    fn partitions_without_a_leader_are_not_asked_about() {
        let mut orders = topic("orders", false, &[3, 3]);
        orders.partitions[1].leader = None;
        let mut offsets = topic("__consumer_offsets", true, &[3]);
        offsets.partitions[0].leader = None;
        let topics = vec![orders, offsets];
        let everything = Topology::default();
        let leaderless = leaderless(&topics, &everything);
        assert_eq!(leaderless, BTreeSet::from([TopicPartition::new("orders", 1)]));
        let (topics, internal) = sort_out(topics, &everything);
        let mode = kafka::MetadataMode::KRaft;
        let reached = Reached {
            id: None,
            mode,
            user: None,
            brokers: vec![1],
            topics,
            left_out: 0,
            hidden: Ok(BTreeSet::new()),
            internal,
            replicas: 7,
            leaderless,
            replication: Replication::sound(),
            certificate_valid_for: None,
            served: Ok(BTreeMap::new()),
        };
        assert_eq!(reached.led(reached.topics.keys()), [TopicPartition::new("orders", 0)]);
        assert!(reached.led([&"absent".into()]).is_empty());
    }

    #[test]
    fn every_broker_out_of_reach_is_named() {
        let broker = |id| kafka::Broker { id, host: format!("b-{id}"), port: 9094, rack: None };
        let timeout = kafka::Error::Unreachable { message: "timeout".to_owned() };
        let both = [(broker(2), timeout.clone()), (broker(3), timeout.clone())];
        let error = out_of_reach(&both);
        assert!(error.message.contains("broker 2 (b-2:9094): ") && error.message.contains("; broker 3 (b-3:9094): "));
        assert!(error.kind.is_retryable());
        let refused = kafka::Error::Tls { broker: "b-3:9094".into(), message: "unknown authority".to_owned() };
        assert!(!out_of_reach(&[(broker(2), timeout), (broker(3), refused)]).kind.is_retryable());
    }

    #[test]
    fn one_failure_does_not_hide_the_rest() {
        let failure = || kafka::Error::Usage { message: "no".to_owned() };
        let read = partly(vec![("a", Ok(1)), ("b", Err(failure())), ("c", Err(failure())), ("d", Ok(4))]);
        assert_eq!(read.known, BTreeMap::from([("a", 1), ("d", 4)]));
        assert_eq!(read.missing.map(|(count, error)| (count, error.message)), Some((2, "no".to_owned())));
    }
}
