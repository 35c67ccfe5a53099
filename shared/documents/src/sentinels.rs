//! What a cutover placed at the ends of the source's partitions, so that a repeated attempt of the same cutover does not place
//! more.
//!
//! Written and read by `cutover`. Which of them count is in the plan.

use migration::TopicPartition;
use serde::{Deserialize, Serialize};

use crate::cutover_plan::EndProof;
use crate::document::Document;

/// The key for the cutover that began with the run's `version`.
pub fn key(version: u64) -> String {
    format!("cutover/sentinels/{version:06}.json")
}

/// What was placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentinelsPlaced {
    /// By partition.
    pub partitions: Vec<Placed>,
}

impl Document for SentinelsPlaced {
    const NAME: &'static str = "the list of sentinels";
    const VERSION: u32 = 1;
}

/// What was placed on a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The partition.
    #[serde(flatten)]
    pub partition: TopicPartition,
    /// End of the source's log behind it, in records.
    pub source_end: i64,
    /// What it is.
    pub proof: EndProof,
}
