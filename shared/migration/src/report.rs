//! What precheck, plan and validation report to an operator.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::phase::Phase;

pub mod acceptance;
pub mod validation;

pub use acceptance::Acceptable;
pub use validation::{CheckName, Outcome, Overall, ValidationReport};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The migration cannot begin.
    Blocker,
    /// The migration can begin; somebody should know this.
    Warning,
    /// Nothing to do.
    Info,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Blocker => "blocker",
            Self::Warning => "warning",
            Self::Info => "info",
        })
    }
}

/// One thing precheck found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable code, such as `B03`.
    pub code: String,
    /// How much it matters.
    pub severity: Severity,
    /// What it is about: a cluster by its side, a bucket, a part of the configuration.
    pub subject: String,
    /// What was found, with the names it is about.
    pub message: String,
    /// Why that matters.
    pub cause: String,
    /// What to do about it.
    pub fix: String,
    /// Everything by name that it is about, where the message names only a few; at most 5,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
}

/// The outcome of a precheck: findings, blockers first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrecheckReport {
    /// The findings, by severity, then code, then subject.
    pub findings: Vec<Finding>,
}

impl PrecheckReport {
    /// A report of `findings`, put in order.
    pub fn new(mut findings: Vec<Finding>) -> Self {
        findings.sort_by(|a, b| (a.severity, &a.code, &a.subject).cmp(&(b.severity, &b.code, &b.subject)));
        Self { findings }
    }

    /// Findings that keep the migration from beginning.
    pub fn blockers(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Blocker)
    }
}

/// One cluster as a plan describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCluster {
    /// Name out of the ARN.
    pub name: String,
    /// ARN.
    pub arn: String,
    /// `ZOOKEEPER` or `KRAFT`.
    pub metadata: String,
    /// Kafka version as the MSK API gives it, such as `3.9.x.kraft`.
    pub kafka: String,
    /// Number of brokers.
    pub brokers: usize,
    /// Type of its brokers, such as `kafka.m7g.xlarge`, when the MSK API tells.
    pub instance_type: Option<String>,
}

/// One topic to bring over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedTopic {
    /// Name.
    pub name: String,
    /// Partitions.
    pub partitions: usize,
    /// Replication factor on the source.
    pub replication_factor: usize,
    /// Bytes on the leaders of the source.
    pub bytes: i64,
    /// Bytes of its largest partition.
    pub largest_partition_bytes: i64,
    /// Whether the target has a topic of the name already.
    pub on_target: bool,
    /// Whether its offsets will be the same on both sides.
    pub offsets: PlannedOffsets,
}

/// Whether a topic's records will have the same offsets on both sides, as far as that shows without reading them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedOffsets {
    /// What to expect.
    pub outlook: Outlook,
    /// What it follows from.
    pub why: String,
}

/// What to expect of offsets. Whatever it is, groups are translated, and `msk-kraft offsets` has the exact map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outlook {
    /// They stay as they are: nothing is missing on the source now.
    Identity,
    /// They move: something is missing already.
    Translated,
    /// Only reading the topic tells.
    Unknown,
}

/// What a migration would do, found without touching anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Where it starts.
    pub source: PlannedCluster,
    /// Where it goes.
    pub target: PlannedCluster,
    /// Topics to copy, by name.
    pub topics: Vec<PlannedTopic>,
    /// Number of topics that the configuration's patterns leave out; other waves may bring them over.
    #[serde(default)]
    pub topics_left_out: usize,
    /// Topics of Kafka and MSK themselves, left out.
    pub skipped_internal: Vec<String>,
    /// Groups of sink connectors on the source: what they write elsewhere may depend on offsets.
    #[serde(default)]
    pub sink_groups: Vec<String>,
    /// Partitions to copy.
    pub partitions: usize,
    /// Partitions to create on the target.
    pub partitions_to_create: usize,
    /// Batches that the partitions are dealt into: as many functions follow the source in the tail.
    pub batches: usize,
    /// Bytes the seed will copy.
    pub estimated_seed_bytes: i64,
    /// How long the seed may take.
    pub estimated_seed: Estimate,
    /// What the seed cannot be shorter than; none without partitions.
    pub critical_path: Option<CriticalPath>,
    /// How long each phase may take, in their order.
    pub phases: Vec<PhaseEstimate>,
    /// Limits of the target's brokers that are too small for batches of the source.
    pub limits_to_raise: Vec<LimitToRaise>,
    /// What could not be read, and is missing from the plan.
    pub unread: Vec<String>,
}

/// The largest partition, and the batch that it is dealt into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CriticalPath {
    /// `topic/partition`.
    pub partition: String,
    /// Its bytes.
    pub bytes: i64,
    /// Seconds that it takes one function: no number of functions copies it faster.
    pub seconds: u64,
    /// Partitions of its batch, itself included.
    pub batch_partitions: usize,
    /// Seconds that its batch takes one function: smaller batches come closer to `seconds`.
    pub batch_seconds: u64,
}

/// How long a phase may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseEstimate {
    /// The phase.
    pub phase: Phase,
    /// Seconds.
    pub seconds: u64,
    /// How `seconds` are meant.
    pub meaning: Meaning,
    /// The bottleneck.
    pub bound_by: String,
    /// How the number came about.
    pub why: String,
}

/// How a number of seconds is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// From figures that were not measured on these clusters.
    Estimated,
    /// It cannot be shorter.
    AtLeast,
    /// It fails when it would be longer.
    AtMost,
}

/// A limit of the target's brokers that is too small.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitToRaise {
    /// Name of the broker config.
    pub name: String,
    /// The smallest of the brokers' values, in bytes.
    pub smallest: i64,
    /// What the source's topics allow, in bytes.
    pub needed: i64,
}

/// How long a seed may take, from what is known of its parts. Never measured on the clusters themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// Seconds.
    pub seconds: u64,
    /// Bytes of the source's leaders per second.
    pub bytes_per_second: u64,
    /// What keeps it from being faster.
    pub bound_by: Binding,
    /// Copy functions at the same time.
    pub functions: u32,
}

/// What a copy may be bound by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// Number and network of the copy functions (`seed.max_concurrent_partitions`, `seed.partitions_per_batch`).
    Functions,
    /// The largest batch, which one function copies: at least the largest partition, see [`CriticalPath`].
    LargestBatch,
    /// The source's disks.
    SourceBrokers,
    /// The target's disks.
    TargetBrokers,
    /// The configured throttle.
    Throttle,
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Functions => "functions",
            Self::LargestBatch => "largest_batch",
            Self::SourceBrokers => "source_brokers",
            Self::TargetBrokers => "target_brokers",
            Self::Throttle => "throttle",
        })
    }
}
