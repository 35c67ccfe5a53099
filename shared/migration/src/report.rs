//! What precheck and plan tell an operator.

use std::fmt;

use serde::{Deserialize, Serialize};

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
}

/// What a migration would do, found without touching anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Where it starts.
    pub source: PlannedCluster,
    /// Where it goes.
    pub target: PlannedCluster,
    /// Topics to create on the target, by name.
    pub topics: Vec<PlannedTopic>,
    /// Topics of Kafka and MSK themselves, left out.
    pub skipped_internal: Vec<String>,
    /// Partitions to create on the target.
    pub partitions_to_create: usize,
    /// Bytes the seed will copy.
    pub estimated_seed_bytes: i64,
    /// How long the seed may take.
    pub estimated_seed: Estimate,
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
            Self::SourceBrokers => "source_brokers",
            Self::TargetBrokers => "target_brokers",
            Self::Throttle => "throttle",
        })
    }
}
