//! What one cutover does, decided before its point of no return and never changed afterwards.
//!
//! Written by `cutover` under a name that can be taken once, [`key`]; which of them counts is what the journal's committed mark
//! names. Read by `cutover` (whoever completes it), `validate`, `evidence` and the CLI.

use chrono::{DateTime, Utc};
use migration::TopicPartition;
use serde::{Deserialize, Serialize};

use crate::document::Document;
use crate::settings::Settings;

/// The key of the plan that the invocation with the lease `epoch` made in its `attempt`, for the cutover that began with the
/// run's `version`.
pub fn key(version: u64, epoch: u64, attempt: u32) -> String {
    format!("cutover/plans/{version:06}-{epoch:06}-{attempt:03}.json")
}

/// What a cutover does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CutoverPlan {
    /// When it was made.
    #[serde(with = "clock::micros")]
    pub made_at: DateTime<Utc>,
    /// Id of the rehearsal that was approved.
    pub rehearsal: String,
    /// Where every partition ends on both sides.
    pub ends: Vec<PartitionEnd>,
    /// Every consumer group of the source.
    pub groups: Vec<GroupPlan>,
    /// Configs, quotas and ACLs for the target.
    pub settings: Settings,
    /// What is not brought over as it is, and what appeared on the source since the rehearsal.
    pub warnings: Vec<String>,
}

impl Document for CutoverPlan {
    const NAME: &'static str = "the cutover's plan";
    const VERSION: u32 = 1;
}

/// Where a partition ends. Offsets in records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionEnd {
    /// The partition.
    #[serde(flatten)]
    pub partition: TopicPartition,
    /// End of the source's log under the fence, its sentinel included. What lies at or behind it was written too late.
    pub source_end: i64,
    /// End of the target's log.
    pub target_end: i64,
    /// What proves that everything before was copied.
    pub proof: EndProof,
}

/// What proves that everything below a partition's end was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum EndProof {
    /// The commit marker of an empty transaction, at this source offset.
    Marker {
        /// Source offset of the marker.
        source_offset: i64,
        /// Producer id of the transaction.
        producer_id: i64,
        /// Its epoch.
        producer_epoch: i16,
    },
    /// A record, at this source offset.
    Record {
        /// Source offset of the record.
        source_offset: i64,
    },
    /// The end of the log stood still, and everything below it was copied.
    End,
    /// The same, while the partition's leader refused writes to everybody by the ACLs of a write fence.
    Fence,
}

/// One group, translated or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPlan {
    /// The group's id.
    pub group: String,
    /// Why none of its offsets are brought over, when none are.
    pub skipped: Option<String>,
    /// Its offsets of topics that this migration is about.
    pub offsets: Vec<PlannedOffset>,
    /// How many it has of topics that `topology.include` and `topology.exclude` leave to another migration.
    #[serde(default)]
    pub outside: usize,
}

/// One committed offset and its place on the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedOffset {
    /// The partition.
    #[serde(flatten)]
    pub partition: TopicPartition,
    /// Committed on the source.
    pub source_offset: i64,
    /// To commit on the target; none when the partition is not part of the migration.
    pub target_offset: Option<i64>,
    /// The metadata string, as it is.
    pub metadata: String,
    /// What is special about this offset.
    pub note: Option<String>,
}

impl GroupPlan {
    /// A group of which nothing is brought over, and why.
    pub fn skipped(group: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { group: group.into(), skipped: Some(reason.into()), offsets: Vec::new(), outside: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{decode, encode};

    #[test]
    fn a_plan_reads_back_and_plans_sort_by_version_and_epoch() {
        let partition = TopicPartition::new("orders", 3);
        let offset = PlannedOffset {
            partition: partition.clone(),
            source_offset: 7,
            target_offset: Some(5),
            metadata: "m".to_owned(),
            note: None,
        };
        let plan = CutoverPlan {
            made_at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            rehearsal: "r".to_owned(),
            ends: vec![
                PartitionEnd { partition: partition.clone(), source_end: 9, target_end: 6, proof: EndProof::End },
                PartitionEnd { partition: partition.clone(), source_end: 9, target_end: 6, proof: EndProof::Fence },
                PartitionEnd {
                    partition,
                    source_end: 9,
                    target_end: 6,
                    proof: EndProof::Marker { source_offset: 8, producer_id: 4, producer_epoch: 1 },
                },
            ],
            groups: vec![
                GroupPlan { group: "g".to_owned(), skipped: None, offsets: vec![offset], outside: 1 },
                GroupPlan::skipped("h", "why"),
            ],
            settings: Settings::default(),
            warnings: vec!["w".to_owned()],
        };
        assert_eq!(decode::<CutoverPlan>(&encode(&plan).unwrap()).unwrap(), plan);
        assert!(key(9, 1, 1) < key(10, 1, 1) && key(10, 2, 1) < key(10, 10, 1));
    }
}
