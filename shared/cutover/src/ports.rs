//! What a cutover needs from outside, as traits: two clusters, the journal and a bucket. In production they are those of
//! `live`; the simulation has others.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use documents::rehearsal::Rehearsal;
use documents::{Objects, Settings};
use journal::CutoverLease;
pub use kafka::WrittenBatch;
use kafka::{CommittedOffset, Each, GroupDescription, GroupListing, NewOffset, ProducerIdentity};
use migration::progress::PartitionProgress;
use migration::{BatchId, Phase, Result, TopicPartition};
pub use write_fence::ports::{Acls, Record};

/// Offsets by partition, in records.
pub type Offsets = BTreeMap<TopicPartition, i64>;

/// What is needed behind the point of no return: the cluster that is left may be gone by then.
pub trait BehindTheMark: Sync {
    /// The cluster that is migrated to.
    type Target: Target;
    /// The journal.
    type Ledger: Ledger;
    /// The run's bucket.
    type Objects: Objects;

    /// The cluster that is migrated to.
    fn target(&self) -> &Self::Target;
    /// The journal.
    fn ledger(&self) -> &Self::Ledger;
    /// The run's bucket.
    fn objects(&self) -> &Self::Objects;
    /// The time of day, by this function's clock.
    fn now(&self) -> DateTime<Utc>;
}

/// All of it.
pub trait Ports: BehindTheMark {
    /// The cluster that is left.
    type Source: Source;
    /// The ACLs of the cluster that is left.
    type Acls: Acls;
    /// The journal's record of the write fence.
    type Fence: Record;

    /// The cluster that is left.
    fn source(&self) -> &Self::Source;
    /// The ACLs of the cluster that is left.
    fn acls(&self) -> &Self::Acls;
    /// The journal's record of the write fence.
    fn fence(&self) -> &Self::Fence;
}

/// The cluster that is left. Calls repeat what fails for a passing reason, as [`kafka::Cluster`] does.
pub trait Source: Sync {
    /// The end of each log (high watermark).
    fn ends(&self, partitions: &[TopicPartition]) -> impl Future<Output = Result<Offsets>> + Send;

    /// The last stable offset of each log: below its end while a transaction is open.
    fn stable_ends(&self, partitions: &[TopicPartition]) -> impl Future<Output = Result<Offsets>> + Send;

    /// Batches from the offset `from` of a partition up to its end, oldest first.
    fn batches(
        &self,
        from: &[(TopicPartition, i64)],
    ) -> impl Future<Output = Result<BTreeMap<TopicPartition, Vec<WrittenBatch>>>> + Send;

    /// Appends an empty transaction's commit marker to each of `partitions`. Partitions that cannot take one are named with the
    /// reason; the others have theirs, or will have it in a moment.
    fn append_markers(&self, partitions: &[TopicPartition]) -> impl Future<Output = Result<Markers>> + Send;

    /// Appends a sentinel record to each of `partitions`, and returns its offset. A repeat may append another one.
    fn append_records(&self, partitions: &[TopicPartition]) -> impl Future<Output = Each<TopicPartition, i64>> + Send;

    /// What changed on the source since `rehearsal`.
    fn changes_since(&self, rehearsal: &Rehearsal) -> impl Future<Output = Result<SourceChanges>> + Send;

    /// Every consumer group.
    fn groups(&self) -> impl Future<Output = Result<Vec<GroupListing>>> + Send;

    /// The committed offsets of each group, with those that an unfinished transaction is about to change.
    fn group_offsets(&self, groups: &[String]) -> impl Future<Output = Result<BTreeMap<String, GroupOffsets>>> + Send;

    /// Offsets of groups that open transactions are about to commit, whether the group has any yet or not.
    fn pending_offsets(&self) -> impl Future<Output = Result<Vec<PendingOffset>>> + Send;

    /// What calls are repeated for at the moment, as [`kafka::Cluster::trouble`].
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// The cluster that is migrated to.
pub trait Target: Sync {
    /// First and end offset of each log.
    fn bounds(
        &self,
        partitions: &[TopicPartition],
    ) -> impl Future<Output = Result<BTreeMap<TopicPartition, (i64, i64)>>> + Send;

    /// Refuses to go on when one of `topics` has not the configs under which it is copied.
    fn hold_configs(&self, topics: &[Arc<str>]) -> impl Future<Output = Result<()>> + Send;

    /// Groups as the target has them.
    fn describe_groups(&self, groups: &[String]) -> impl Future<Output = Each<String, GroupDescription>> + Send;

    /// The offsets that are committed for each group now.
    fn group_offsets(
        &self,
        groups: &[String],
    ) -> impl Future<Output = Result<BTreeMap<String, Vec<CommittedOffset>>>> + Send;

    /// Commits offsets of one group, with an outcome for each.
    fn commit(&self, group: &str, offsets: &[NewOffset]) -> impl Future<Output = Each<TopicPartition, ()>> + Send;

    /// Puts configs, quotas and ACLs in place. What is refused is a warning with its repair; repeating changes nothing.
    fn apply(&self, settings: &Settings) -> impl Future<Output = Result<Applied>> + Send;

    /// What calls are repeated for at the moment, as [`kafka::Cluster::trouble`].
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// The journal. Errors are those of [`journal::Journal`].
pub trait Ledger: Sync {
    /// Claims the cutover, see [`journal::Journal::claim_cutover`]; the key of the plan when the point of no return is passed.
    fn claim(&self) -> impl Future<Output = Result<(CutoverLease, Option<String>)>> + Send;

    /// Checks that the claim holds, see [`journal::Journal::check_cutover`].
    fn check(&self, lease: &CutoverLease) -> impl Future<Output = Result<()>> + Send;

    /// Marks the point of no return, see [`journal::Journal::mark_committed`].
    fn mark(&self, lease: &CutoverLease, plan: &str) -> impl Future<Output = Result<()>> + Send;

    /// The migration's phase.
    fn phase(&self) -> impl Future<Output = Result<Phase>> + Send;

    /// Since when producers are confirmed to be frozen; none when they are not.
    fn frozen_since(&self) -> impl Future<Output = Result<Option<DateTime<Utc>>>> + Send;

    /// Progress of the partitions of `batches`, without topics that were left out.
    fn progress(
        &self,
        batches: &[BatchId],
    ) -> impl Future<Output = Result<Vec<(BatchId, Vec<PartitionProgress>)>>> + Send;

    /// Records what an attempt failed with, for whoever ends the freeze.
    fn note_attempt(&self, attempt: &Attempt) -> impl Future<Output = Result<()>> + Send;

    /// Tells the tail to stop.
    fn stop_tail(&self) -> impl Future<Output = Result<()>> + Send;

    /// Moves on to `awaiting_client_switch`.
    fn ready(&self, reason: &str) -> impl Future<Output = Result<()>> + Send;
}

/// What became of markers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Markers {
    /// The producer whose markers they are.
    pub identity: ProducerIdentity,
    /// Partitions without one, and why.
    pub refused: BTreeMap<TopicPartition, String>,
}

/// What changed on the source since a rehearsal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceChanges {
    /// What is not carried over, by name.
    pub appeared: Vec<String>,
}

/// What a group has committed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupOffsets {
    /// Its offsets.
    pub offsets: Vec<CommittedOffset>,
    /// Partitions with a commit that is not decided yet.
    pub pending: Vec<TopicPartition>,
}

/// A group's offset that an open transaction is about to commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PendingOffset {
    /// The group.
    pub group: String,
    /// The partition that the offset is of; none when the source does not let this principal see it.
    pub partition: Option<TopicPartition>,
    /// Producer id of the transaction.
    pub producer_id: i64,
}

/// What was put in place on the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Topics that got other configs.
    pub configs: usize,
    /// Limits that were set.
    pub quotas: usize,
    /// ACLs that were added.
    pub acls: usize,
    /// What was not, why, and how to repair it.
    pub warnings: Vec<String>,
}

/// How far an attempt came, and what ended it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The step.
    pub step: &'static str,
    /// What it failed with.
    pub error: String,
}
