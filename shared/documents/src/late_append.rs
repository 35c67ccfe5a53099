//! Late records that an operator had appended to the target, by numbered appends.
//!
//! Every object is stored once and never changed. The number of an append can be taken once, and the next one is begun only when the
//! one before is done: so whatever two invocations do at once, they carry out the same appends in the same order.
//!
//! Written by `cutover` (`late_records`), read by `cutover`, `validate`, `evidence` and the CLI.

use chrono::{DateTime, Utc};
use migration::{Result, TopicPartition};
use serde::{Deserialize, Serialize};

use crate::document::{Document, read_if_there};
use crate::objects::Objects;

/// The key of the append `number`, from 1.
pub fn key(number: u32) -> String {
    format!("cutover/late/{number:06}.json")
}

/// The key of what became of it.
pub fn done_key(number: u32) -> String {
    format!("cutover/late/{number:06}-done.json")
}

/// The key of the batches of the append `number`, as the invocation with the lease `epoch` read them.
pub fn batches_key(number: u32, epoch: u64) -> String {
    format!("cutover/late/{number:06}-{epoch:06}.batches")
}

/// What one append brings over, decided before its first record is produced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateAppend {
    /// Who wanted it.
    pub by: String,
    /// When it was begun.
    #[serde(with = "clock::micros")]
    pub begun_at: DateTime<Utc>,
    /// Producer id that writes these records and no others (KIP-98). Sequence numbers of each partition begin at 0.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// Key of the batches as they are produced.
    pub batches: String,
    /// What is brought over.
    pub partitions: Vec<LateRange>,
    /// What the source had removed before it was read.
    pub removed: Vec<LateRemoved>,
}

impl Document for LateAppend {
    const NAME: &'static str = "the plan of an append of late records";
    const VERSION: u32 = 1;
}

/// Late records of one partition that one append brings over. Offsets in records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateRange {
    /// The partition.
    #[serde(flatten)]
    pub partition: TopicPartition,
    /// Source offset from which on they were read.
    pub from: i64,
    /// Source offset up to which they were read.
    pub to: i64,
    /// How many there are: committed ones, without markers.
    pub records: i64,
    /// Where the target's log ended when the append began: its records lie at or behind it.
    pub target_end: i64,
}

/// Offsets of the source that were removed there before they were read. Whether they were records is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateRemoved {
    /// The partition.
    #[serde(flatten)]
    pub partition: TopicPartition,
    /// The first offset.
    pub from: i64,
    /// Behind the last one.
    pub to: i64,
}

/// What became of an append.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateAppended {
    /// When it was done.
    #[serde(with = "clock::micros")]
    pub done_at: DateTime<Utc>,
    /// What became of each partition of the plan.
    pub partitions: Vec<Landed>,
}

impl Document for LateAppended {
    const NAME: &'static str = "the outcome of an append of late records";
    const VERSION: u32 = 1;
}

/// Where an append's records of one partition came to lie on the target. Records of clients may lie between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landed {
    /// The partition.
    #[serde(flatten)]
    pub partition: TopicPartition,
    /// Target offset of the first of them that was seen.
    pub first: Option<i64>,
    /// Target offset behind the last of them that was seen.
    pub next: Option<i64>,
    /// Why it is not known that all of them were appended, when it is not.
    pub problem: Option<String>,
}

/// One append.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// Its number, from 1.
    pub number: u32,
    /// What it brings over.
    #[serde(flatten)]
    pub plan: LateAppend,
    /// What became of it; none while it is under way.
    pub done: Option<LateAppended>,
}

/// Every append of a migration, oldest first. Only the last one may be under way.
///
/// # Errors
/// Those of [`read_if_there`].
pub async fn all(objects: &impl Objects) -> Result<Vec<Append>> {
    let mut appends = Vec::new();
    for number in 1.. {
        let Some(plan) = read_if_there(objects, &key(number)).await? else { break };
        let done = read_if_there(objects, &done_key(number)).await?;
        appends.push(Append { number, plan, done });
    }
    Ok(appends)
}

/// Source offset from which on records of `partition` are in none of `appends`.
pub fn next_of(appends: &[Append], partition: &TopicPartition) -> Option<i64> {
    let ranges = appends.iter().flat_map(|append| &append.plan.partitions);
    ranges.filter(|range| range.partition == *partition).map(|range| range.to).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{decode, encode};

    fn plan(to: i64) -> LateAppend {
        let partition = TopicPartition::new("orders", 3);
        LateAppend {
            by: "ada".to_owned(),
            begun_at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            producer_id: 7,
            producer_epoch: 0,
            batches: batches_key(1, 2),
            partitions: vec![LateRange { partition: partition.clone(), from: 10, to, records: 2, target_end: 5 }],
            removed: vec![LateRemoved { partition, from: 8, to: 10 }],
        }
    }

    #[test]
    fn a_plan_and_its_outcome_read_back() {
        let stored = encode(&plan(12)).unwrap();
        assert_eq!(decode::<LateAppend>(&stored).unwrap(), plan(12));
        let landed =
            Landed { partition: TopicPartition::new("orders", 3), first: Some(5), next: Some(9), problem: None };
        let done = LateAppended { done_at: plan(12).begun_at, partitions: vec![landed] };
        assert_eq!(decode::<LateAppended>(&encode(&done).unwrap()).unwrap(), done);
    }

    #[test]
    fn the_next_append_begins_where_the_last_one_ended() {
        let append = |number, to| Append { number, plan: plan(to), done: None };
        let appends = [append(1, 12), append(2, 20)];
        assert_eq!(next_of(&appends, &TopicPartition::new("orders", 3)), Some(20));
        assert_eq!(next_of(&appends, &TopicPartition::new("orders", 4)), None);
    }
}
