//! What is stored of a batch: one object, overwritten by every later validation.

use std::collections::BTreeMap;

use migration::report::validation::Problem;
use migration::{BatchId, Result, TopicPartition};
use runtime::{Run, Store};
use serde::{Deserialize, Serialize};

use crate::partition::late::Late;

/// Version of the stored form.
const SCHEMA: u32 = 2;

/// The results of one batch of partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BatchResults {
    schema: u32,
    /// Which validation these are of, see [`attempt`]. Those of an earlier one say nothing about the present.
    pub(crate) attempt: u32,
    /// The batch.
    pub(crate) batch: BatchId,
    /// Whether every partition of the batch has its results here.
    pub(crate) complete: bool,
    /// By partition, in the order in which they were finished.
    pub(crate) partitions: Vec<PartitionResult>,
}

/// The results of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartitionResult {
    /// The partition.
    #[serde(flatten)]
    pub(crate) partition: TopicPartition,
    /// Counts and offsets.
    pub(crate) counts: Counts,
    /// Records compared field by field.
    pub(crate) spot: Spot,
    /// The proof of its end.
    pub(crate) sentinels: Sentinels,
}

/// Counts and offsets of one partition, in records. An offset that could not be asked is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Records copied: the target has to have them at `[0, expected)`.
    pub(crate) expected: i64,
    /// Log start offset of the target.
    pub(crate) target_start: Option<i64>,
    /// Log end offset of the target.
    pub(crate) target_end: Option<i64>,
    /// Those of them that were found on the target by reading it; none when they were not counted.
    #[serde(default)]
    pub(crate) counted: Option<i64>,
    /// Those of them that are not there although the log begins before them.
    #[serde(default)]
    pub(crate) missing: i64,
    /// Source offset up to which was copied.
    pub(crate) source_next: i64,
    /// High watermark of the source.
    pub(crate) source_end: Option<i64>,
    /// Committed records of the source behind the copy that the target does not have.
    pub(crate) late: Late,
    /// Those that somebody has appended to the target.
    pub(crate) late_appended: u64,
    /// What is wrong with them.
    pub(crate) problems: Vec<Problem>,
}

/// Comparison of sampled records of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spot {
    /// Records compared: matched and mismatched.
    pub(crate) compared: u64,
    /// Records that are equal in every field.
    pub(crate) matched: u64,
    /// Records that differ, or that the target does not have.
    pub(crate) mismatched: u64,
    /// Records that could not be compared, by reason.
    pub(crate) skipped: BTreeMap<String, u64>,
    /// What is wrong with them.
    pub(crate) problems: Vec<Problem>,
}

/// What a partition's end was proven by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProvenBy {
    /// The commit marker of an empty transaction.
    Marker,
    /// A sentinel record.
    Record,
    /// An end that stood still.
    End,
    /// An end that stood still while its leader refused writes.
    Fence,
}

/// The proof of one partition's end, looked at again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sentinels {
    /// Proofs looked for.
    pub(crate) checked: u64,
    /// What they are.
    pub(crate) by: Option<ProvenBy>,
    /// What is wrong with them.
    pub(crate) problems: Vec<Problem>,
}

/// Which validation of the run this is: every one is let in by the finalize gate, which counts.
///
/// # Errors
/// Those of the journal.
pub(crate) async fn attempt(run: &Run<'_>) -> Result<u32> {
    let gate = run.journal.gate(journal::GateName::Finalize).await?;
    Ok(gate.map_or(0, |gate| gate.attempt))
}

impl BatchResults {
    /// No results yet.
    pub(crate) const fn none(batch: BatchId, attempt: u32) -> Self {
        Self { schema: SCHEMA, attempt, batch, complete: false, partitions: Vec::new() }
    }

    /// The results that `attempt` has stored of `batch` so far. Those of another attempt or of another version do not
    /// count, nor does an object that cannot be read: the next store replaces it.
    ///
    /// # Errors
    /// Transient when the store cannot be asked.
    pub(crate) async fn load(store: &Store, batch: BatchId, attempt: u32) -> Result<Self> {
        let none = || Self::none(batch, attempt);
        let Some(object) = store.get(&name(batch)).await? else { return Ok(none()) };
        let stored: Option<Self> = serde_json::from_slice(&object.body).ok();
        let current =
            stored.filter(|stored| stored.schema == SCHEMA && stored.attempt == attempt && stored.batch == batch);
        Ok(current.unwrap_or_else(none))
    }

    /// Stores the results, whatever was there.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn save(&self, store: &Store) -> Result<()> {
        store.put_json(&name(self.batch), self).await
    }
}

fn name(batch: BatchId) -> String {
    format!("validation/batch-{batch}.json")
}
