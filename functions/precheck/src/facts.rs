//! What was gathered, as plain data: the rules decide on this and on nothing else.
//!
//! A part that could not be read stays in here as its error, so that the parts that could be read are still judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka::{AclBinding, GroupListing, MetadataMode};
use migration::{Config, Result, TopicPartition};

/// Everything about a configuration's clusters and buckets.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The configuration.
    pub(crate) config: Config,
    /// Whether this very run has begun to copy, so that records on the target are its own.
    pub(crate) copying: bool,
    /// The source as a whole.
    pub(crate) source: Cluster,
    /// The target as a whole.
    pub(crate) target: Cluster,
    /// What only matters of a source, when it could be reached.
    pub(crate) leaving: Option<Leaving>,
    /// What only matters of a target, when it could be reached.
    pub(crate) arriving: Option<Arriving>,
    /// The bucket of the working data.
    pub(crate) backup: Bucket,
    /// The bucket of the evidence.
    pub(crate) evidence: Bucket,
}

impl Facts {
    /// The source's topics that are to be copied; none when it could not be reached.
    pub(crate) fn source_topics(&self) -> impl Iterator<Item = (&Arc<str>, &Topic)> {
        self.source.reached.iter().flat_map(|reached| &reached.topics)
    }

    /// The id that both clusters have, if they have the same.
    pub(crate) fn shared_cluster_id(&self) -> Option<&str> {
        let source = self.source.reached.as_ref().ok()?.id.as_deref()?;
        let target = self.target.reached.as_ref().ok()?.id.as_deref()?;
        (source == target).then_some(source)
    }

    /// Whether both sides are one cluster, which makes every comparison of the two meaningless.
    pub(crate) fn is_one_cluster(&self) -> bool {
        self.config.source.cluster_arn == self.config.target.cluster_arn || self.shared_cluster_id().is_some()
    }
}

/// One cluster as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    /// What the MSK API says.
    pub(crate) described: Result<Described>,
    /// What its brokers say.
    pub(crate) reached: Result<Reached>,
}

impl Cluster {
    /// Number of brokers: those alive, or those the MSK API knows when none can be reached.
    pub(crate) fn brokers(&self) -> Option<usize> {
        let described = || self.described.as_ref().ok()?.brokers;
        self.reached.as_ref().ok().map(|reached| reached.brokers.len()).or_else(described)
    }

    /// Version of the cluster's settings for a command, or a placeholder for it.
    pub(crate) fn current_version(&self) -> &str {
        let described = self.described.as_ref().ok();
        described.and_then(|described| described.current_version.as_deref()).unwrap_or("<current version>")
    }
}

/// What the MSK API says of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Described {
    /// Whether it is MSK Serverless.
    pub(crate) serverless: bool,
    /// How it keeps its metadata, when the answer tells.
    pub(crate) mode: Option<MetadataMode>,
    /// Kafka version, such as `3.9.x.kraft`.
    pub(crate) version: Option<String>,
    /// Number of brokers.
    pub(crate) brokers: Option<usize>,
    /// Version of the cluster's settings, which every update has to name.
    pub(crate) current_version: Option<String>,
    /// Type of its brokers, such as `kafka.m7g.xlarge`.
    pub(crate) instance_type: Option<String>,
    /// Provisioned throughput of a broker's storage in MiB/s, when it is switched on.
    pub(crate) provisioned_mib_per_second: Option<i32>,
}

/// What the brokers of a cluster say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reached {
    /// The cluster's id.
    pub(crate) id: Option<String>,
    /// How it keeps its metadata.
    pub(crate) mode: MetadataMode,
    /// Ids of the brokers that are alive.
    pub(crate) brokers: Vec<i32>,
    /// Topics by name, without those that the cluster keeps for itself.
    pub(crate) topics: BTreeMap<Arc<str>, Topic>,
    /// Names of the topics that the cluster keeps for itself.
    pub(crate) internal: BTreeSet<Arc<str>>,
    /// Partitions of `topics` without a leader: nobody can be asked about them.
    pub(crate) leaderless: BTreeSet<TopicPartition>,
}

impl Reached {
    /// Partitions of those of `topics` that the cluster has, as far as they have a leader.
    pub(crate) fn led<'a>(&self, topics: impl IntoIterator<Item = &'a Arc<str>>) -> Vec<TopicPartition> {
        let shapes = topics.into_iter().filter_map(|name| Some((name, self.topics.get(name)?)));
        let partitions = shapes.flat_map(|(name, topic)| topic.named_partitions(name));
        partitions.filter(|partition| !self.leaderless.contains(partition)).collect()
    }
}

/// A topic's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Topic {
    /// Partitions.
    pub(crate) partitions: usize,
    /// Most replicas of a partition.
    pub(crate) replication_factor: usize,
}

impl Topic {
    /// The partitions of the topic, if this is its `name`.
    fn named_partitions(self, name: &Arc<str>) -> impl Iterator<Item = TopicPartition> {
        let name = name.clone();
        (0..i32::try_from(self.partitions).unwrap_or(i32::MAX))
            .map(move |index| TopicPartition::new(name.clone(), index))
    }
}

/// What was read of many things, and what could not be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Partly<T> {
    /// What was read.
    pub(crate) known: T,
    /// How many could not be read, and the first reason.
    pub(crate) missing: Option<(usize, migration::Error)>,
}

/// What only matters of a source.
#[derive(Debug, Clone)]
pub(crate) struct Leaving {
    /// Configs of the topics to be copied.
    pub(crate) configs: Partly<BTreeMap<Arc<str>, TopicConfig>>,
    /// Consumer groups, without those of MSK's own checks.
    pub(crate) groups: Result<Vec<GroupListing>>,
    /// `group.instance.id`s of the static members by group.
    pub(crate) static_members: Partly<BTreeMap<String, Vec<String>>>,
    /// ACLs; `None` when the cluster has no authorizer.
    pub(crate) acls: Result<Option<Vec<AclBinding>>>,
    /// Partitions with an open transaction; `None` when transactions have never been used on the cluster.
    pub(crate) open_transactions: Option<Partly<BTreeSet<TopicPartition>>>,
}

/// What only matters of a target.
#[derive(Debug, Clone)]
pub(crate) struct Arriving {
    /// Size limits of its brokers.
    pub(crate) limits: Result<Vec<BrokerLimits>>,
    /// Of the topics that the source has too: the largest end offset of their partitions.
    pub(crate) ends: Partly<BTreeMap<Arc<str>, i64>>,
    /// Groups that have, or may have, members.
    pub(crate) active_groups: Result<BTreeSet<String>>,
}

/// The configs of a topic that matter here, each as it is in force, wherever it is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TopicConfig {
    /// `max.message.bytes`.
    pub(crate) max_message_bytes: Option<i64>,
    /// `cleanup.policy`.
    pub(crate) cleanup_policy: String,
    /// `retention.ms`, unless it is unlimited.
    pub(crate) retention_ms: Option<i64>,
    /// `retention.bytes`, unless it is unlimited.
    pub(crate) retention_bytes: Option<i64>,
}

impl TopicConfig {
    /// Whether `cleanup.policy` names `policy`.
    pub(crate) fn cleans_by(&self, policy: &str) -> bool {
        self.cleanup_policy.split(',').any(|part| part.trim() == policy)
    }
}

/// How large batches may be at one broker, in bytes; none when the broker did not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BrokerLimits {
    /// Broker id.
    pub(crate) broker: i32,
    /// `message.max.bytes`.
    pub(crate) message_max_bytes: Option<i64>,
    /// `replica.fetch.max.bytes`.
    pub(crate) replica_fetch_max_bytes: Option<i64>,
}

/// A bucket as the functions see it.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// Why it cannot be used, if it cannot.
    pub(crate) reachable: Result<(), String>,
    /// Whether it has Object Lock; `None` when that does not matter.
    pub(crate) object_lock: Option<Result<bool>>,
}
