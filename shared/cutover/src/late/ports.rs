//! What an append of late records needs from outside, as traits. In production they are those of `live`; the simulation has others.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use copy::Slice;
use documents::Objects;
use journal::{LateLease, Position, ProducerId};
use kafka::batch::{ProduceBytes, TimestampType};
use kafka::{ConfigEntry, Each, Produced, ProducerIdentity};
use migration::progress::PartitionProgress;
use migration::{Phase, Result, TopicPartition};

/// All of it.
pub trait Ports: Sync {
    /// The cluster that is left.
    type Source: Source;
    /// The cluster that is migrated to.
    type Target: Target;
    /// The journal.
    type Ledger: Ledger;
    /// The run's bucket.
    type Objects: Objects;

    /// The cluster that is left.
    fn source(&self) -> &Self::Source;
    /// The cluster that is migrated to.
    fn target(&self) -> &Self::Target;
    /// The journal.
    fn ledger(&self) -> &Self::Ledger;
    /// The run's bucket.
    fn objects(&self) -> &Self::Objects;
    /// The time of day, by this function's clock.
    fn now(&self) -> DateTime<Utc>;
    /// Whether this invocation should take no new work.
    fn is_out_of_time(&self) -> bool;
}

/// Where a log begins and ends. Offsets in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The first offset that is there.
    pub start: i64,
    /// The last stable offset: what lies below is decided.
    pub stable: i64,
    /// The high watermark.
    pub end: i64,
}

/// The cluster that is left.
pub trait Source: Sync {
    /// What reads it.
    type Reader: Reader;

    /// Where the log of each partition begins and ends, or in words why it is not the one that was copied.
    fn bounds(
        &self,
        partitions: &[TopicPartition],
    ) -> impl Future<Output = Result<BTreeMap<TopicPartition, Result<Bounds, String>>>> + Send;

    /// What reads committed records from the given positions on, as batches stamped for `producer` that are no larger than the topics
    /// of `limits` take.
    fn reader(
        &self,
        from: BTreeMap<TopicPartition, Position>,
        limits: BTreeMap<Arc<str>, usize>,
        producer: ProducerId,
    ) -> Self::Reader;
}

/// Reads the source on and on, one answer after the other.
pub trait Reader: Send {
    /// Reads `partitions` once, about `max_bytes` in all, and remembers how far it is with each. A slice may be of no length.
    fn read(
        &mut self,
        partitions: &[TopicPartition],
        max_bytes: usize,
    ) -> impl Future<Output = Result<Vec<Slice>>> + Send;
}

/// The cluster that is migrated to.
pub trait Target: Sync {
    /// The high watermark of each log.
    fn ends(&self, partitions: &[TopicPartition]) -> impl Future<Output = Each<TopicPartition, i64>> + Send;

    /// Configs of topics.
    fn configs(&self, topics: &[Arc<str>]) -> impl Future<Output = Each<Arc<str>, Vec<ConfigEntry>>> + Send;

    /// A producer id that nobody had before.
    fn new_producer(&self) -> impl Future<Output = Result<ProducerIdentity>> + Send;

    /// Batches of `producer` from an offset on up to the high watermark, or as far as one call looks. Tried once.
    fn scan(
        &self,
        partition: &TopicPartition,
        from: i64,
        producer: i64,
    ) -> impl Future<Output = kafka::Result<Scanned>> + Send;

    /// Writes one batch, once, without repeats.
    fn produce(
        &self,
        partition: &TopicPartition,
        batch: ProduceBytes,
    ) -> impl Future<Output = kafka::Result<Produced>> + Send;
}

/// What a scan of one partition found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scanned {
    /// The first offset that the log still has.
    pub start: i64,
    /// The high watermark when the scan began.
    pub end: i64,
    /// Where the scan ended, and goes on the next time.
    pub reached: i64,
    /// The first offset behind the last ones that the log does not have any more, by retention or compaction, where no batch of the
    /// producer follows. Offsets of a log follow each other without a gap otherwise.
    pub gap: Option<i64>,
    /// The producer's batches, in order.
    pub batches: Vec<ScannedBatch>,
}

/// One batch of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScannedBatch {
    /// Sequence number of its first record.
    pub sequence: i32,
    /// Records it was written with.
    pub records: i64,
    /// Its first offset.
    pub offset: i64,
    /// Its largest timestamp, in milliseconds since 1970; none where compaction has removed records from it.
    pub newest: Option<i64>,
    /// Whose clock its timestamps are from.
    pub clock: TimestampType,
}

/// Where the copy of a partition ended, on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyEnd {
    /// The partition.
    pub partition: TopicPartition,
    /// Source offset up to which everything was copied. What lies at or behind it is late.
    pub source_next: i64,
    /// Where its records end on the target.
    pub target_next: i64,
}

impl From<PartitionProgress> for CopyEnd {
    fn from(progress: PartitionProgress) -> Self {
        let PartitionProgress { partition, source_next, target_next, .. } = progress;
        Self { partition, source_next, target_next }
    }
}

/// The journal. Errors are those of [`journal::Journal`].
pub trait Ledger: Sync {
    /// The migration's phase; of a failed one the phase that failed.
    fn phase(&self) -> impl Future<Output = Result<Phase>> + Send;

    /// Claims the late records, see [`journal::Journal::claim_late`].
    fn claim(&self) -> impl Future<Output = Result<LateLease>> + Send;

    /// Checks that the claim holds, see [`journal::Journal::check_late`].
    fn check(&self, lease: &LateLease) -> impl Future<Output = Result<()>> + Send;

    /// Where the copy ended, after making sure that no copy goes on; and the producer that it wrote with.
    fn copied(&self) -> impl Future<Output = Result<(Vec<CopyEnd>, i64)>> + Send;
}
