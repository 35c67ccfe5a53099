//! What became of the groups of one chunk of a plan, so that whoever completes the cutover later leaves them alone.
//!
//! Written by `cutover` behind each chunk of commits, read by whoever completes the cutover.

use serde::{Deserialize, Serialize};

use crate::document::Document;

/// The key for the chunk number `chunk` of the plan under the key `plan`.
pub fn key(plan: &str, chunk: usize) -> String {
    format!("{}/commits/{chunk:05}.json", plan.trim_end_matches(".json"))
}

/// What became of a chunk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedChunk {
    /// Groups of which every offset is in place, or further on.
    pub groups: usize,
    /// Offsets that are in place, or further on.
    pub offsets: usize,
    /// Groups of which an offset is not in place.
    #[serde(default)]
    pub not_committed: Vec<NotCommitted>,
    /// What is not in place, and how to repair it; what went on on the target.
    pub warnings: Vec<String>,
}

/// A group for which the target took no commit, or not all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotCommitted {
    /// The group.
    pub group: String,
    /// Why the first of its offsets that are not in place is not.
    pub reason: String,
}

impl Document for CommittedChunk {
    const NAME: &'static str = "the outcome of a chunk of commits";
    const VERSION: u32 = 1;
}
