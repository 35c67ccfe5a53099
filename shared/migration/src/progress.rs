//! How far the copy of one partition has come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::TopicPartition;

mod gaps;

pub use gaps::{Gap, Gaps};

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
    /// Batches that did not pass through raw.
    #[serde(default, skip_serializing_if = "ReencodedCounts::is_empty")]
    pub reencoded: ReencodedCounts,
    /// Offsets that the source deleted before they were copied, and behind which the copy went on.
    #[serde(default, skip_serializing_if = "Gaps::is_empty")]
    pub gaps: Gaps,
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
            reencoded: ReencodedCounts::default(),
            gaps: Gaps::default(),
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

/// How many batches of the source were encoded again, by the reason why. In JSON an object of reason and count.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReencodedCounts(BTreeMap<String, i64>);

impl ReencodedCounts {
    /// Counts `batches` more for `reason`.
    pub fn add(&mut self, reason: &str, batches: i64) {
        match self.0.get_mut(reason) {
            Some(count) => *count += batches,
            None if batches != 0 => _ = self.0.insert(reason.to_owned(), batches),
            None => {}
        }
    }

    /// Counts all of `others` too.
    pub fn add_all(&mut self, others: &Self) {
        others.iter().for_each(|(reason, batches)| self.add(reason, batches));
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All together.
    pub fn total(&self) -> i64 {
        self.0.values().sum()
    }

    /// Reasons and counts, in the order of the reasons' names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(reason, batches)| (reason.as_str(), *batches))
    }
}

impl<'a> FromIterator<&'a Self> for ReencodedCounts {
    fn from_iter<I: IntoIterator<Item = &'a Self>>(all: I) -> Self {
        let mut sum = Self::default();
        all.into_iter().for_each(|counts| sum.add_all(counts));
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_reason_add_up_and_are_absent_while_there_are_none() {
        let mut progress = PartitionProgress::new(TopicPartition::new("orders", 3), 0, 0);
        let json = serde_json::to_value(&progress).unwrap();
        assert_eq!(json.get("reencoded"), None);
        assert_eq!(serde_json::from_value::<PartitionProgress>(json).unwrap(), progress);
        progress.reencoded.add("holes", 2);
        progress.reencoded.add("merged", 0);
        let mut other = progress.reencoded.clone();
        other.add("merged", 40);
        let sum: ReencodedCounts = [&progress.reencoded, &other].into_iter().collect();
        assert_eq!(sum.iter().collect::<Vec<_>>(), [("holes", 4), ("merged", 40)]);
        assert_eq!(sum.total(), 44);
        let json = serde_json::to_value(&progress).unwrap();
        assert_eq!(json["reencoded"], serde_json::json!({"holes": 2}));
        assert_eq!(serde_json::from_value::<PartitionProgress>(json).unwrap(), progress);
    }
}
