//! What is known about a cluster: its brokers, controller, topics and leaders.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use migration::TopicPartition;
use serde::{Deserialize, Serialize};

use crate::Api;
use crate::error::{Place, Result, check};

/// How a cluster keeps its metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetadataMode {
    /// In ZooKeeper.
    ZooKeeper,
    /// In a Raft quorum of its own controllers (KIP-500).
    KRaft,
}

impl std::fmt::Display for MetadataMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ZooKeeper => "ZooKeeper",
            Self::KRaft => "KRaft",
        })
    }
}

/// A live broker as the cluster advertises it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broker {
    /// Node id.
    pub id: i32,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: i32,
    /// Rack, which is an availability zone on MSK.
    pub rack: Option<String>,
}

impl Broker {
    /// Where it is connected to.
    pub(crate) fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// A topic and its partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicInfo {
    /// Name.
    pub name: Arc<str>,
    /// Id, in the form of Kafka's own tools; it tells a topic from another that had its name before (KIP-516). None on
    /// a cluster whose `inter.broker.protocol.version` is below 2.8.
    pub id: Option<String>,
    /// Whether Kafka itself keeps it, like `__consumer_offsets`.
    pub internal: bool,
    /// Its partitions by number.
    pub partitions: Vec<PartitionInfo>,
}

impl TopicInfo {
    /// The topic's partitions by their full name.
    pub fn topic_partitions(&self) -> impl Iterator<Item = TopicPartition> {
        self.partitions.iter().map(|info| TopicPartition::new(self.name.clone(), info.partition))
    }
}

/// Where a partition is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionInfo {
    /// Number, from 0.
    pub partition: i32,
    /// The broker that takes writes for it, unless it is offline.
    pub leader: Option<i32>,
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Vec<i32>,
    /// The replicas that are in sync.
    pub isr: Vec<i32>,
}

/// A snapshot of a cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metadata {
    pub(crate) cluster_id: Option<String>,
    /// On KRaft this is some broker, which passes requests on to the controller.
    pub(crate) controller: Option<i32>,
    pub(crate) brokers: BTreeMap<i32, Broker>,
    pub(crate) topics: BTreeMap<Arc<str>, TopicInfo>,
}

impl Metadata {
    /// The request for all of it.
    pub(crate) fn request() -> MetadataRequest {
        MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false)
    }

    /// The snapshot in an answer.
    pub(crate) fn from_response(response: MetadataResponse) -> Result<Self> {
        check(Api::Metadata, response.error_code, || Place::Cluster, None)?;
        let broker = |broker: kafka_protocol::messages::metadata_response::MetadataResponseBroker| {
            let id = broker.node_id.0;
            let rack = broker.rack.map(|rack| rack.to_string());
            (id, Broker { id, host: broker.host.to_string(), port: broker.port, rack })
        };
        let topics = response.topics.into_iter().filter_map(topic_info);
        Ok(Self {
            cluster_id: response.cluster_id.map(|id| id.to_string()),
            controller: node(response.controller_id.0),
            brokers: response.brokers.into_iter().map(broker).collect(),
            topics: topics.map(|topic| (topic.name.clone(), topic)).collect(),
        })
    }

    /// A partition of `topic` without a leader that is alive, if there is one.
    pub(crate) fn leaderless(&self, topic: &str) -> Option<TopicPartition> {
        self.topics.get(topic)?.topic_partitions().find(|partition| self.leader(partition).is_none())
    }

    /// The leader of `partition`, if it has one that is alive.
    pub(crate) fn leader(&self, partition: &TopicPartition) -> Option<i32> {
        let topic = self.topics.get(&partition.topic)?;
        let at = topic.partitions.binary_search_by_key(&partition.partition, |info| info.partition).ok()?;
        topic.partitions[at].leader.filter(|leader| self.brokers.contains_key(leader))
    }
}

fn node(id: i32) -> Option<i32> {
    (id >= 0).then_some(id)
}

/// A topic that is just being deleted has an error and no partitions; it is as good as gone.
fn topic_info(topic: MetadataResponseTopic) -> Option<TopicInfo> {
    let name = topic.name.filter(|_| topic.error_code == 0 || !topic.partitions.is_empty())?;
    let mut partitions: Vec<PartitionInfo> = topic.partitions.into_iter().map(partition_info).collect();
    partitions.sort_unstable_by_key(|info| info.partition);
    let id = (!topic.topic_id.is_nil()).then(|| URL_SAFE_NO_PAD.encode(topic.topic_id.as_bytes()));
    Some(TopicInfo { name: name.as_str().into(), id, internal: topic.is_internal, partitions })
}

fn partition_info(partition: MetadataResponsePartition) -> PartitionInfo {
    let ids = |nodes: Vec<kafka_protocol::messages::BrokerId>| nodes.into_iter().map(|node| node.0).collect();
    PartitionInfo {
        partition: partition.partition_index,
        leader: node(partition.leader_id.0),
        replicas: ids(partition.replica_nodes),
        isr: ids(partition.isr_nodes),
    }
}

/// The newest snapshot, and whether it is still believed.
#[derive(Debug)]
pub(crate) struct Cache {
    state: Mutex<State>,
    refreshing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    snapshot: Arc<Metadata>,
    /// How many doubts there had been when the snapshot was asked for.
    as_of: u64,
    doubts: u64,
}

impl Cache {
    /// A cache that has no snapshot yet.
    pub(crate) fn new() -> Self {
        let state = State { snapshot: Arc::default(), as_of: 0, doubts: 1 };
        Self { state: Mutex::new(state), refreshing: tokio::sync::Mutex::new(()) }
    }

    /// The newest snapshot, believed or not.
    pub(crate) fn newest(&self) -> Arc<Metadata> {
        self.lock().snapshot.clone()
    }

    /// Doubts the snapshot: the next [`Cache::get`] asks for a new one.
    pub(crate) fn invalidate(&self) {
        self.lock().doubts += 1;
    }

    /// The snapshot if it is believed, else a new one from `ask`. Callers that come meanwhile share the answer; a doubt
    /// that comes meanwhile counts against it.
    pub(crate) async fn get<F>(&self, ask: impl FnOnce() -> F) -> Result<Arc<Metadata>>
    where
        F: Future<Output = Result<Metadata>>,
    {
        if let Some(believed) = self.believed() {
            return Ok(believed);
        }
        let _one_at_a_time = self.refreshing.lock().await;
        if let Some(believed) = self.believed() {
            return Ok(believed);
        }
        let as_of = self.lock().doubts;
        let snapshot = Arc::new(ask().await?);
        let mut state = self.lock();
        state.as_of = as_of;
        state.snapshot = snapshot.clone();
        Ok(snapshot)
    }

    fn believed(&self) -> Option<Arc<Metadata>> {
        let state = self.lock();
        (state.as_of == state.doubts).then(|| state.snapshot.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(id: &str) -> Metadata {
        Metadata { cluster_id: Some(id.to_owned()), ..Metadata::default() }
    }

    async fn id(cache: &Cache, fresh: &str) -> String {
        let metadata = cache.get(|| async { Ok(named(fresh)) }).await.unwrap();
        metadata.cluster_id.clone().unwrap()
    }

    #[tokio::test]
    async fn a_snapshot_is_asked_for_only_when_it_is_doubted() {
        let cache = Cache::new();
        assert_eq!(id(&cache, "a").await, "a");
        assert_eq!(id(&cache, "b").await, "a");
        cache.invalidate();
        cache.invalidate();
        assert_eq!(id(&cache, "c").await, "c");
        assert_eq!(id(&cache, "d").await, "c");
    }

    #[tokio::test]
    async fn a_doubt_during_the_question_counts_against_the_answer() {
        let cache = Cache::new();
        cache
            .get(|| async {
                cache.invalidate();
                Ok(named("old"))
            })
            .await
            .unwrap();
        assert_eq!(id(&cache, "new").await, "new");
    }

    #[tokio::test]
    async fn a_failed_question_leaves_the_doubt() {
        let cache = Cache::new();
        let failed = cache.get(|| async { Err(crate::Error::Unreachable { message: String::new() }) }).await;
        assert!(failed.is_err());
        assert_eq!(id(&cache, "a").await, "a");
    }

    #[test]
    fn a_leader_that_is_not_alive_is_none() {
        let partition = |partition, leader| PartitionInfo { partition, leader, replicas: vec![], isr: vec![] };
        let broker = Broker { id: 1, host: "h".into(), port: 9092, rack: None };
        let partitions = vec![partition(0, Some(1)), partition(1, Some(2)), partition(2, None)];
        let topic = TopicInfo { name: "t".into(), id: None, internal: false, partitions };
        let metadata = Metadata {
            brokers: [(1, broker)].into(),
            topics: [(topic.name.clone(), topic)].into(),
            ..Metadata::default()
        };
        let leader = |topic: &str, partition| metadata.leader(&TopicPartition::new(topic, partition));
        assert_eq!(
            [leader("t", 0), leader("t", 1), leader("t", 2), leader("t", 3), leader("u", 0)],
            [Some(1), None, None, None, None]
        );
        assert_eq!(metadata.leaderless("t"), Some(TopicPartition::new("t", 1)));
        assert_eq!(metadata.leaderless("u"), None);
    }
}
