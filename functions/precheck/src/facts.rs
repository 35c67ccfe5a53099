//! What was gathered, as plain data: the rules decide on this and on nothing else.
//!
//! A part that could not be read stays in here as its error, so that the parts that could be read are still judged.

mod replication;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use kafka::{AclBinding, ClientQuota, GroupListing, MetadataMode, Operations, ServedVersions, Transaction};
use migration::{Config, Error, Result, TopicPartition};
use topology::transactions::OpenTransaction;

pub(crate) use replication::Replication;

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

    /// The first reason why a blocker cannot be told from none that may pass by itself. Without the MSK API precheck goes on:
    /// it may be out of a private network's reach for good.
    pub(crate) fn passing(&self) -> Option<Error> {
        let clusters = [&self.source, &self.target].map(|cluster| cluster.reached.as_ref().err());
        let buckets = [&self.backup, &self.evidence].map(|bucket| bucket.reachable.as_ref().err());
        let read = [
            self.source.reached.as_ref().ok().and_then(|source| source.hidden.as_ref().err()),
            self.evidence.lock.as_ref().err(),
        ];
        let leaving = self.leaving.iter().flat_map(Leaving::unread);
        let arriving = self.arriving.iter().flat_map(Arriving::unread);
        let refused =
            self.arriving.iter().flat_map(|arriving| arriving.refused.values().map(|error| error.clone().into()));
        let known = clusters.into_iter().chain(buckets).chain(read).flatten().chain(leaving).chain(arriving);
        known.cloned().chain(refused).find(|error: &Error| error.kind.is_retryable())
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
    /// Number of brokers that MSK or the cluster itself knows; one that is down for the moment counts where MSK tells.
    pub(crate) fn brokers(&self) -> Option<usize> {
        self.reached.as_ref().ok().map(|reached| self.brokers_with(reached)).or(self.described_brokers())
    }

    /// The same for a cluster that can be reached, as `reached`.
    pub(crate) fn brokers_with(&self, reached: &Reached) -> usize {
        self.described_brokers().unwrap_or(0).max(reached.brokers.len())
    }

    fn described_brokers(&self) -> Option<usize> {
        self.described.as_ref().ok()?.brokers
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
    /// Whether it is `ACTIVE`: neither being changed nor broken.
    pub(crate) active: bool,
    /// How it keeps its metadata, when the answer tells.
    pub(crate) mode: Option<MetadataMode>,
    /// Kafka version, such as `3.9.x.kraft`.
    pub(crate) version: Option<String>,
    /// Number of brokers.
    pub(crate) brokers: Option<usize>,
    /// Availability zones that its brokers are in.
    pub(crate) zones: usize,
    /// Version of the cluster's settings, which every update has to name.
    pub(crate) current_version: Option<String>,
    /// Type of its brokers, such as `kafka.m7g.xlarge`.
    pub(crate) instance_type: Option<String>,
    /// Provisioned throughput of a broker's storage in MiB/s, when it is switched on.
    pub(crate) provisioned_mib_per_second: Option<i32>,
    /// Size of a broker's disk in GiB, when it has one.
    pub(crate) volume_gib: Option<i32>,
    /// Whether its brokers have public addresses.
    pub(crate) public: bool,
    /// Whether Prometheus may read its brokers (open monitoring).
    pub(crate) open_monitoring: bool,
}

/// What the brokers of a cluster say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reached {
    /// The cluster's id.
    pub(crate) id: Option<String>,
    /// How it keeps its metadata.
    pub(crate) mode: MetadataMode,
    /// Name of the user that the functions are to it, where that is known; Kafka's principal is `User:` and this.
    pub(crate) user: Option<String>,
    /// Ids of the brokers that are alive.
    pub(crate) brokers: Vec<i32>,
    /// Topics by name, without those that the cluster keeps for itself.
    pub(crate) topics: BTreeMap<Arc<str>, Topic>,
    /// Number of topics that the configuration's patterns leave out.
    pub(crate) left_out: usize,
    /// Names of topics that this function may not describe, so that nothing else of them is known; without those that the
    /// cluster keeps for itself.
    pub(crate) hidden: Result<BTreeSet<Arc<str>>>,
    /// Names of the topics that the cluster keeps for itself, hidden ones too.
    pub(crate) internal: BTreeSet<Arc<str>>,
    /// Replicas of all partitions, those of the cluster's own topics too.
    pub(crate) replicas: usize,
    /// Partitions of `topics` without a leader: nobody can be asked about them.
    pub(crate) leaderless: BTreeSet<TopicPartition>,
    /// How the replicas of `topics` stand.
    pub(crate) replication: Replication,
    /// For how long the certificate that the functions show to its brokers is still valid, when they show one.
    pub(crate) certificate_valid_for: Option<Duration>,
    /// The versions of requests that each broker serves.
    pub(crate) served: Result<BTreeMap<i32, ServedVersions>>,
}

impl Reached {
    /// The same with only the topics that `selection` migrates.
    pub(crate) fn selected(mut self, selection: &migration::config::Topology) -> Self {
        let all = self.topics.len();
        self.topics.retain(|topic, _| selection.selects(topic));
        self.left_out += all - self.topics.len();
        self.hidden = self.hidden.map(|hidden| hidden.into_iter().filter(|topic| selection.selects(topic)).collect());
        self.leaderless.retain(|partition| selection.selects(&partition.topic));
        self.replication = self.replication.only(|topic| selection.selects(topic));
        self
    }

    /// Every partition of `topics` with its bytes, which are nothing where they are not in `sizes`, and its replicas.
    pub(crate) fn partitions(&self, sizes: &BTreeMap<TopicPartition, i64>) -> Vec<(TopicPartition, i64, usize)> {
        let of = |(name, topic): (&Arc<str>, &Topic)| {
            let (partitions, replicas) = (topic.named_partitions(name), topic.replication_factor);
            partitions.map(move |partition| {
                let bytes = sizes.get(&partition).copied().unwrap_or(0);
                (partition, bytes, replicas)
            })
        };
        self.topics.iter().flat_map(of).collect()
    }

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
    /// Most replicas that a partition is meant to have.
    pub(crate) replication_factor: usize,
}

impl Topic {
    /// The partitions of the topic, if this is its `name`.
    pub(crate) fn named_partitions(self, name: &Arc<str>) -> impl Iterator<Item = TopicPartition> + use<> {
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
    pub(crate) missing: Option<(usize, Error)>,
}

impl<T> Partly<T> {
    /// Why the first of those that are missing is.
    fn reason(&self) -> Option<&Error> {
        self.missing.as_ref().map(|(_, error)| error)
    }
}

/// What only matters of a source.
#[derive(Debug, Clone)]
pub(crate) struct Leaving {
    /// Configs of the topics to be copied.
    pub(crate) configs: Partly<BTreeMap<Arc<str>, TopicConfig>>,
    /// What topics take from their brokers, by config.
    pub(crate) inherited: BTreeMap<String, String>,
    /// Configs of its brokers.
    pub(crate) brokers: Result<Vec<BrokerConfig>>,
    /// Consumer groups, without those of MSK's own checks.
    pub(crate) groups: Result<Vec<GroupListing>>,
    /// `group.instance.id`s of the static members by group.
    pub(crate) static_members: Partly<BTreeMap<String, Vec<String>>>,
    /// ACLs; `None` when the cluster has no authorizer.
    pub(crate) acls: Result<Option<Vec<AclBinding>>>,
    /// Transactional producers; `None` when the cluster has never had one.
    pub(crate) transactions: Option<Transactions>,
    /// Bytes on the leaders, of the partitions to be copied that have one.
    pub(crate) sizes: Result<BTreeMap<TopicPartition, i64>>,
    /// From where to where those logs go.
    pub(crate) logs: Partly<BTreeMap<TopicPartition, Range<i64>>>,
    /// What was found in the logs that were looked into.
    pub(crate) sample: Partly<Sample>,
    /// Client quotas.
    pub(crate) quotas: Result<Vec<ClientQuota>>,
    /// What the function may do there.
    pub(crate) permitted: Permitted,
}

impl Leaving {
    /// Why parts are missing that blockers follow from.
    fn unread(&self) -> impl Iterator<Item = &Error> {
        let parts = [
            self.configs.reason(),
            self.brokers.as_ref().err(),
            self.groups.as_ref().err(),
            self.acls.as_ref().err(),
            self.sizes.as_ref().err(),
            self.logs.reason(),
            self.sample.reason(),
        ];
        parts.into_iter().flatten().chain(self.permitted.unread())
    }
}

/// What only matters of a target.
#[derive(Debug, Clone)]
pub(crate) struct Arriving {
    /// Configs of its brokers.
    pub(crate) brokers: Result<Vec<BrokerConfig>>,
    /// Of the topics that the source has too: the largest end offset of their partitions.
    pub(crate) ends: Partly<BTreeMap<Arc<str>, i64>>,
    /// Groups that have, or may have, members.
    pub(crate) active_groups: Result<BTreeSet<String>>,
    /// ACLs; `None` when the cluster has no authorizer.
    pub(crate) acls: Result<Option<Vec<AclBinding>>>,
    /// Client quotas.
    pub(crate) quotas: Result<Vec<ClientQuota>>,
    /// What the function may do there; groups are those of the source.
    pub(crate) permitted: Permitted,
    /// Topics that it does not have and would not create, each with what it says.
    pub(crate) refused: BTreeMap<Arc<str>, kafka::Error>,
}

impl Arriving {
    /// Why parts are missing that blockers follow from.
    fn unread(&self) -> impl Iterator<Item = &Error> {
        let parts = [self.brokers.as_ref().err(), self.acls.as_ref().err(), self.ends.reason()];
        parts.into_iter().flatten().chain(self.permitted.unread())
    }
}

/// Transactional producers of a source.
#[derive(Debug, Clone)]
pub(crate) struct Transactions {
    /// The transactional ids that coordinators know; `None` when a broker cannot list them (before Kafka 3.0).
    pub(crate) producers: Result<Option<Vec<Transaction>>>,
    /// Transactions that hold a last stable offset back.
    pub(crate) open: Result<Vec<OpenTransaction>>,
}

/// The operations that brokers say this function's principal is authorized for (KIP-430).
#[derive(Debug, Clone)]
pub(crate) struct Permitted {
    /// On the cluster as a whole; `None` when the broker does not tell.
    pub(crate) cluster: Result<Option<Operations>>,
    /// By topic, of those of the source.
    pub(crate) topics: Result<BTreeMap<Arc<str>, Operations>>,
    /// By group, as far as groups could be asked about without changing anything.
    pub(crate) groups: Partly<BTreeMap<String, Operations>>,
}

impl Permitted {
    fn unread(&self) -> impl Iterator<Item = &Error> {
        [self.cluster.as_ref().err(), self.topics.as_ref().err(), self.groups.reason()].into_iter().flatten()
    }
}

/// What the first megabyte of some logs holds. Nothing else was read: a batch elsewhere can be larger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Partitions that were looked into, and those that were large enough to matter.
    pub(crate) partitions: (usize, usize),
    /// The largest batch that was found in each topic and that holds a single record, so that it cannot be cut.
    pub(crate) single_records: BTreeMap<Arc<str>, SingleRecord>,
}

/// A batch that holds one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SingleRecord {
    /// Its partition.
    pub(crate) partition: TopicPartition,
    /// Its offset.
    pub(crate) offset: i64,
    /// Bytes of the batch as it is stored.
    pub(crate) bytes: i64,
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
    /// `delete.retention.ms`: how long a deletion is kept that says that a key is gone, at least.
    pub(crate) delete_retention_ms: Option<i64>,
    /// Bounds of record timestamps, unless brokers set the time themselves (`LogAppendTime`).
    pub(crate) timestamps: Option<TimestampBounds>,
    /// `min.insync.replicas`.
    pub(crate) min_in_sync: Option<usize>,
    /// Whether old segments are in tiered storage (`remote.storage.enable`), where their size cannot be asked for.
    pub(crate) tiered: bool,
    /// Configs that are set on the topic itself.
    pub(crate) own: BTreeMap<String, String>,
}

impl TopicConfig {
    /// The largest batch that the target takes for the topic while it is copied, in bytes.
    pub(crate) fn copy_limit(&self) -> Option<i64> {
        topology::copying(self.max_message_bytes?).get("max.message.bytes")?.parse().ok()
    }

    /// Whether `cleanup.policy` names `policy`.
    pub(crate) fn cleans_by(&self, policy: &str) -> bool {
        self.cleanup_policy.split(',').any(|part| part.trim() == policy)
    }
}

/// How far a record's timestamp may be from the broker's clock, in milliseconds; `i64::MAX` is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimestampBounds {
    /// In the past.
    pub(crate) before_ms: i64,
    /// In the future.
    pub(crate) after_ms: i64,
}

/// Configs of one broker; none of what the broker did not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BrokerConfig {
    /// Broker id.
    pub(crate) broker: i32,
    /// `message.max.bytes`.
    pub(crate) message_max_bytes: Option<i64>,
    /// `replica.fetch.max.bytes`.
    pub(crate) replica_fetch_max_bytes: Option<i64>,
    /// `socket.request.max.bytes`.
    pub(crate) socket_request_max_bytes: Option<i64>,
    /// Bounds of the timestamps of topics that set none.
    pub(crate) timestamps: Option<TimestampBounds>,
    /// Whether it knows a bound for either side of time, as brokers do from Kafka 3.6 on.
    pub(crate) bounds_either_side: bool,
    /// `max.connections` or `max.connections.per.ip`, whichever is smaller.
    pub(crate) max_connections: Option<i64>,
    /// `num.io.threads` and `num.network.threads` together.
    pub(crate) threads: Option<i64>,
    /// What topics have there that set nothing, by config.
    pub(crate) topics: BTreeMap<String, String>,
    /// Whether `super.users` is set; to whom brokers do not tell.
    pub(crate) super_users: bool,
    /// Whether `advertised.listeners` was altered while the broker ran.
    pub(crate) readdressed: bool,
    /// Everything that the broker tells, by name.
    pub(crate) settings: BTreeMap<String, Setting>,
}

/// A config of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Its value; none when it is sensitive, or null.
    pub(crate) value: Option<String>,
    /// Whether somebody has set it, so that it is not Kafka's default.
    pub(crate) is_set: bool,
}

/// A bucket as the functions see it.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// Why it cannot be used, if it cannot.
    pub(crate) reachable: Result<()>,
    /// The region it is in, when S3 says so.
    pub(crate) region: Option<String>,
    /// Whether overwritten and deleted objects are kept as older versions.
    pub(crate) versioned: Result<bool>,
    /// Its Object Lock, if it has any.
    pub(crate) lock: Result<Option<Lock>>,
    /// The KMS key that it encrypts objects with by default, if it has one of its own; only of the bucket of the evidence.
    pub(crate) default_key: Result<Option<String>>,
    /// What storing an object showed, where that was tried.
    pub(crate) probe: Option<Probe>,
}

/// Object Lock of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lock {
    /// What holds for objects that are stored without a retention of their own.
    pub(crate) default: Option<DefaultLock>,
}

/// How long objects are locked that do not say so themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DefaultLock {
    /// Days.
    pub(crate) days: i64,
    /// Compliance mode, in which nobody can unlock them; else governance mode.
    pub(crate) compliance: bool,
}

/// What storing an object showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probe {
    /// ARN of the KMS key that S3 encrypted it with, if it used one.
    pub(crate) key: Option<String>,
}
