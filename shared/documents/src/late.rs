//! What reached the source behind the cutover's fence: records that were written, and offsets that groups committed, too late to
//! be brought over. Records that were appended to the target since ([`late_append`](crate::late_append)) are not in it any more.
//!
//! Written by `cutover` each time it looks, read by `validate`, `evidence` and the CLI.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use migration::TopicPartition;
use serde::{Deserialize, Serialize};

use crate::document::Document;
use crate::late_append::LateRemoved;

/// Its key.
pub const KEY: &str = "cutover/late.json";

/// The journal's fact with the first lines of it.
pub const FACT: &str = "late";

/// What was found so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    /// When the source was looked at last.
    #[serde(with = "clock::micros_option")]
    pub looked_at: Option<DateTime<Utc>>,
    /// Why the last look failed, and since when looks fail; none when it did not. A source that was switched off is normal
    /// behind the switch.
    pub unseen: Option<Unseen>,
    /// Records that the target does not have, by partition.
    pub records: Vec<LateRecords>,
    /// What the source removed before it was looked at.
    #[serde(default)]
    pub removed: Vec<LateRemoved>,
    /// Partitions that cannot be looked at, and why.
    #[serde(default)]
    pub unreadable: BTreeMap<String, String>,
    /// Commits, by group and partition.
    pub commits: Vec<LateCommit>,
}

impl Document for Late {
    const NAME: &'static str = "the list of late records and commits";
    const VERSION: u32 = 1;
}

/// A source that cannot be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unseen {
    /// When the first look in a row failed.
    #[serde(with = "clock::micros")]
    pub since: DateTime<Utc>,
    /// Why the last one did.
    pub error: String,
}

/// Records of one partition that were written to the source behind its end in the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateRecords {
    /// The partition.
    #[serde(flatten)]
    pub partition: TopicPartition,
    /// Source offset of the first of them.
    pub from: i64,
    /// Source offset behind the last of them.
    pub to: i64,
    /// How many there are: committed ones, without transaction markers.
    pub records: i64,
    /// Whether there may be more: only so many are counted.
    #[serde(default)]
    pub at_least: bool,
    /// Producer ids that wrote them, as far as they are idempotent producers.
    pub producers: Vec<i64>,
    /// The newest timestamp in them.
    #[serde(with = "clock::micros_option")]
    pub newest: Option<DateTime<Utc>>,
    /// When they were seen first.
    #[serde(with = "clock::micros")]
    pub first_seen: DateTime<Utc>,
}

/// An offset that a group committed on the source behind the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateCommit {
    /// The group.
    pub group: String,
    /// The partition.
    #[serde(flatten)]
    pub partition: TopicPartition,
    /// The offset that was brought over, on the source.
    pub planned: i64,
    /// The offset that is committed on the source now.
    pub found: i64,
    /// Members of the group on the source when it was seen first: client id and host.
    pub members: Vec<String>,
    /// When it was seen first.
    #[serde(with = "clock::micros")]
    pub first_seen: DateTime<Utc>,
}
