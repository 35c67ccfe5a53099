//! The cutover's account of itself.
//!
//! Written by `cutover` when everything is in place, read by `validate`, `evidence` and the CLI.

use chrono::{DateTime, Utc};
use migration::TopicPartition;
use serde::{Deserialize, Serialize};

use crate::commits::NotCommitted;
use crate::document::Document;

/// Its key.
pub const KEY: &str = "cutover/report.json";

/// What a cutover did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutoverReport {
    /// Groups with at least one offset on the target.
    pub groups_translated: usize,
    /// Offsets on the target.
    pub offsets_committed: usize,
    /// Groups of which an offset is not on the target: somebody has to commit it.
    #[serde(default)]
    pub not_committed: Vec<NotCommitted>,
    /// Topics that got other configs.
    pub topics_reconfigured: usize,
    /// Client quotas that were set.
    pub quotas_set: usize,
    /// ACLs that were added.
    pub acls_created: usize,
    /// What needs a person's attention, with its repair.
    pub warnings: Vec<String>,
    /// Key of the plan that was carried out.
    pub plan: String,
    /// When the freeze was confirmed.
    #[serde(with = "clock::micros_option")]
    pub frozen_at: Option<DateTime<Utc>>,
    /// When everything was in place.
    #[serde(with = "clock::micros")]
    pub ready_at: DateTime<Utc>,
    /// From one to the other, in milliseconds.
    pub freeze_ms: u64,
    /// How long each step of the last invocation took.
    pub steps: Vec<StepTime>,
    /// Where every partition ends.
    pub ends: Vec<ReportedEnd>,
}

impl Document for CutoverReport {
    const NAME: &'static str = "the cutover's report";
    const VERSION: u32 = 1;
}

/// How long a step took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTime {
    /// The step.
    pub step: String,
    /// Milliseconds.
    pub ms: u64,
}

/// Where a partition ends, in records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedEnd {
    /// The partition.
    #[serde(flatten)]
    pub partition: TopicPartition,
    /// On the source.
    pub source_end: i64,
    /// On the target.
    pub target_end: i64,
}
