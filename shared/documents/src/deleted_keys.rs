//! Keys of compacted topics that live on the target and of which the source has nothing any more: their deletion was compacted
//! away before the copy came to it. One document for each batch of partitions.
//!
//! Written by `tail-batch` while it follows, read by the rehearsal and by `validate`. Keys themselves are not in it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use migration::{BatchId, TopicPartition};
use serde::{Deserialize, Serialize};

use crate::document::Document;

/// Most target offsets that are listed of one partition.
pub const LISTED: usize = 100;

/// Its key.
pub fn key(batch: BatchId) -> String {
    format!("deleted-keys/{batch}.json")
}

/// What was found in the partitions of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedKeys {
    /// Compacted partitions that were compared by key.
    pub partitions: Vec<ComparedKeys>,
}

impl Document for DeletedKeys {
    const NAME: &'static str = "the comparison by key";
    const VERSION: u32 = 1;
}

impl DeletedKeys {
    /// By partition.
    pub fn by_partition(self) -> BTreeMap<TopicPartition, ComparedKeys> {
        self.partitions.into_iter().map(|one| (one.partition.clone(), one)).collect()
    }
}

/// One compacted partition, compared by key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparedKeys {
    /// The partition.
    #[serde(flatten)]
    pub partition: TopicPartition,
    /// When the comparison ended.
    #[serde(with = "clock::micros")]
    pub at: DateTime<Utc>,
    /// When the copy was at the end of the source last, as far as is known: a deletion can be lost when it is behind for longer
    /// than deletions are kept.
    #[serde(with = "clock::micros")]
    pub followed_until: DateTime<Utc>,
    /// Target offset up to which keys were compared.
    pub target_end: i64,
    /// Keys that live there.
    pub live: u64,
    /// Those of them of which the source has neither a value nor a deletion.
    pub deleted: u64,
    /// Target offsets of the newest record of such keys, the first [`LISTED`] of them.
    pub offsets: Vec<i64>,
    /// Why it could not be compared, if it could not: nothing is known then.
    #[serde(default)]
    pub failed: Option<String>,
    /// How many functions have begun this comparison without coming to its end; 0 once one did.
    #[serde(default)]
    pub begun: u32,
}

impl ComparedKeys {
    /// Nothing known yet of `partition`, whose comparison begins at `at` for the time `begun`.
    pub fn begun(partition: TopicPartition, at: DateTime<Utc>, begun: u32) -> Self {
        Self {
            partition,
            at,
            followed_until: at,
            target_end: 0,
            live: 0,
            deleted: 0,
            offsets: Vec::new(),
            failed: None,
            begun,
        }
    }

    /// Whether its comparison has begun and is to be waited for.
    pub const fn is_unfinished(&self) -> bool {
        self.begun > 0 && self.failed.is_none()
    }
}
