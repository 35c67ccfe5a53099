//! How far the copy of one partition has come.

use serde::{Deserialize, Serialize};

use crate::ids::TopicPartition;

/// Copy state of one partition as the journal stores it. All offsets and counts are in records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionProgress {
    /// The partition, the same on both sides.
    pub partition: TopicPartition,
    /// Next source offset to copy: everything below it is on the target or was rightly left out.
    pub source_next: i64,
    /// Records copied so far, which is also the next offset on the target.
    pub target_next: i64,
    /// Log start offset of the source when the copy began.
    pub source_start: i64,
    /// Last stable offset of the source that the seed has to reach; fixed when the seed begins.
    pub seed_end: i64,
    /// Last stable offset of the source as last seen.
    pub source_end: i64,
    /// Bytes of the source's log when the copy began, to tell large partitions from small ones.
    pub source_bytes: i64,
    /// Bytes of record batches produced to the target.
    pub bytes: i64,
    /// Batches that could not pass through raw and were encoded again.
    pub reencoded: i64,
    /// S3 key of the sealed offset runs, if any were sealed.
    pub runs_key: Option<String>,
    /// Offset runs since the sealed ones, encoded by the copy crate as base64.
    pub runs_open: String,
    /// Why the partition stopped, when it did.
    pub stopped: Option<String>,
}

impl PartitionProgress {
    /// A partition of which nothing has been copied yet.
    pub fn new(partition: TopicPartition, source_start: i64, seed_end: i64) -> Self {
        Self {
            partition,
            source_next: source_start,
            target_next: 0,
            source_start,
            seed_end,
            source_end: seed_end,
            source_bytes: 0,
            bytes: 0,
            reencoded: 0,
            runs_key: None,
            runs_open: String::new(),
            stopped: None,
        }
    }

    /// The same with the size of the source's log in bytes.
    #[must_use]
    pub const fn sized(mut self, source_bytes: i64) -> Self {
        self.source_bytes = source_bytes;
        self
    }

    /// Source offsets still to go; transaction markers count, as they do in a consumer's lag.
    pub fn lag(&self) -> i64 {
        (self.source_end - self.source_next).max(0)
    }

    /// Whether the seed has copied everything that was there at its start.
    pub fn is_seeded(&self) -> bool {
        self.source_next >= self.seed_end
    }
}
