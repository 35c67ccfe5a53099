//! How far the records of the target were counted again behind the copy, by reading them: one document for each batch of
//! partitions.
//!
//! Written by `tail-batch` while it follows, and by `validate`, which counts the rest. Two that write at once do no harm: what is
//! lost of a document is counted again.

use std::collections::BTreeMap;

use migration::{BatchId, TopicPartition};
use serde::{Deserialize, Serialize};

use crate::document::Document;

/// Its key.
pub fn key(batch: BatchId) -> String {
    format!("recount/{batch}.json")
}

/// What was counted of the partitions of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recount {
    /// By partition.
    pub partitions: Vec<Recounted>,
}

impl Document for Recount {
    const NAME: &'static str = "the count of the target's records";
    const VERSION: u32 = 1;
}

impl Recount {
    /// By partition.
    pub fn by_partition(self) -> BTreeMap<TopicPartition, Recounted> {
        self.partitions.into_iter().map(|one| (one.partition.clone(), one)).collect()
    }
}

/// What was counted of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recounted {
    /// The partition.
    #[serde(flatten)]
    pub partition: TopicPartition,
    /// Target offset up to which records were counted.
    pub next: i64,
    /// Offsets below `next` that had been removed at the start of the log before they were counted.
    #[serde(default)]
    pub removed: i64,
    /// Offsets below `next` that hold no record although the log begins before them.
    #[serde(default)]
    pub missing: i64,
    /// The first and the last of those.
    #[serde(default)]
    pub missing_between: Option<(i64, i64)>,
}

impl Recounted {
    /// Nothing counted yet of `partition`.
    pub const fn new(partition: TopicPartition) -> Self {
        Self { partition, next: 0, removed: 0, missing: 0, missing_between: None }
    }

    /// Records found.
    pub const fn records(&self) -> i64 {
        self.next - self.removed - self.missing
    }

    /// Adds `number` offsets without a record, all of them in `first..=last`.
    pub fn miss(&mut self, number: i64, first: i64, last: i64) {
        self.missing += number;
        self.missing_between = Some(match self.missing_between {
            Some((earlier, until)) => (earlier.min(first), until.max(last)),
            None => (first, last),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_counted_and_bounded() {
        let mut counted = Recounted::new(TopicPartition::new("orders", 1));
        counted.next = 100;
        counted.removed = 10;
        counted.miss(2, 40, 49);
        counted.miss(3, 20, 22);
        assert_eq!((counted.records(), counted.missing_between), (85, Some((20, 49))));
        let json = serde_json::to_value(&counted).unwrap();
        assert_eq!(serde_json::from_value::<Recounted>(json).unwrap(), counted);
    }
}
