//! A rehearsal of the cutover: what it would do and whether it could, found out while producers go on.
//!
//! Written by `cutover` under a name that can be taken once, [`key`]; never changed. The journal's fact [`NEWEST`] names the
//! newest. The gate `cutover` names the one that was approved. Read by `cutover`, `gate`, `evidence` and the CLI.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use kafka::CoordinatorLimits;
use migration::MigrationId;
use serde::{Deserialize, Serialize};

use crate::document::Document;
use crate::settings::{Settings, SettingsFound};

/// The journal's fact that holds the id of the newest rehearsal.
pub const NEWEST: &str = "rehearsal";

/// The journal's fact that says why a cutover that was approved did not begin: an object with `rehearsal` (the id of a newer
/// one, or null) and `differences` (lines); null when it began.
pub const DIFFERS: &str = "rehearsal_differs";

/// Codes of findings that the tail cures when it is entered again: it takes up what is new, settles what was deleted, and tries
/// again what stopped.
pub const CURED_BY_TAIL: [&str; 4] = [
    "cutover.partition_not_copied",
    "cutover.empty_partition_not_copied",
    "cutover.topic_deleted",
    "cutover.partition_stopped",
];

/// The key of the rehearsal `id`.
pub fn key(id: &str) -> String {
    format!("cutover/rehearsals/{id}.json")
}

/// What a cutover would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// Its id; later ones are greater.
    pub id: String,
    /// The migration.
    pub migration_id: MigrationId,
    /// When it was made.
    #[serde(with = "clock::micros")]
    pub made_at: DateTime<Utc>,
    /// What stands in the way, what needs attention, and what is good to know.
    pub findings: Vec<Finding>,
    /// The lag of that moment, asked of the source.
    pub lag: Lag,
    /// Every consumer group of the source.
    pub groups: Vec<RehearsedGroup>,
    /// What the target would get besides.
    pub settings: Settings,
    /// What the source had, to name what appears later.
    pub source: SettingsFound,
    /// Topics that take no marker, and why.
    #[serde(default)]
    pub no_markers: BTreeMap<Arc<str>, String>,
    /// Replicas that have to be in sync before a leader takes a marker, where that is more than one.
    #[serde(default)]
    pub min_insync_replicas: BTreeMap<Arc<str>, usize>,
    /// Limits of the target's group coordinators, as far as they are known.
    #[serde(default)]
    pub coordinators: CoordinatorLimits,
    /// How long each step of the freeze is expected to take.
    pub expected: Vec<ExpectedStep>,
}

impl Document for Rehearsal {
    const NAME: &'static str = "the rehearsal";
    const VERSION: u32 = 1;
}

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// The cutover is refused.
    Blocker,
    /// The cutover goes on; somebody should know.
    Warning,
    /// Good to know.
    Info,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// How much it weighs.
    pub weight: Weight,
    /// Stable code, such as `cutover.tail_not_running`.
    pub code: String,
    /// What it is about: a topic, a partition, a group, a config.
    pub subject: String,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub way_out: String,
}

/// How far the copy was behind the source, in records (markers count).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lag {
    /// Partitions.
    pub partitions: usize,
    /// Records of all partitions.
    pub total: i64,
    /// Records of the partition that is furthest behind.
    pub largest: i64,
}

/// What would become of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsedGroup {
    /// The group's id.
    pub group: String,
    /// Why nothing of it would be brought over, if so.
    pub skipped: Option<String>,
    /// Offsets that would be committed.
    pub offsets: usize,
    /// Their weight in the target's `__consumer_offsets`, in bytes.
    pub bytes: usize,
}

/// How long a step is expected to take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedStep {
    /// The step.
    pub step: String,
    /// Milliseconds.
    pub ms: u64,
}

impl Rehearsal {
    /// What stands in the way.
    pub fn blockers(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.weight == Weight::Blocker)
    }

    /// How long the freeze is expected to last, in milliseconds.
    pub fn expected_ms(&self) -> u64 {
        self.expected.iter().map(|step| step.ms).sum()
    }
}
