//! Late records: what was written to the source behind the end of the copy. Each of them is missing on the target, unless
//! somebody has brought it over.

use std::collections::BTreeMap;

use documents::late_append::{self, Append};
use kafka::batch::{self, AbortedFilter, BatchError, DecodeLimit, Entry, OffsetRun, Record};
use kafka::{Cluster, Code, FetchPosition, Fetched, Isolation};
use migration::report::CheckName;
use migration::report::validation::Problem;
use migration::{Error, Result, TopicPartition};
use runtime::Store;
use serde::{Deserialize, Serialize};

use super::lookup;

/// Late records are counted up to here.
const COUNTED: u64 = 100_000;
/// Bytes fetched at once while counting them; one whole batch comes even if it is larger.
const FETCHED_BYTES: i32 = 1024 * 1024;
/// Answers without anything new until the source counts as silent.
const IDLE_ANSWERS: u32 = 10;

/// Committed records of the source in a stretch behind the copy. Offsets are the source's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Late {
    /// How many there are.
    pub(crate) records: u64,
    /// Whether there may be more: only so many are counted.
    pub(crate) at_least: bool,
    /// The first one.
    pub(crate) first: Option<i64>,
    /// Behind the last one.
    pub(crate) last_next: i64,
    /// Up to where was read.
    pub(crate) next: i64,
    /// The stretch that the source removed before it was read.
    pub(crate) removed: Option<(i64, i64)>,
    /// Why reading ended early.
    pub(crate) unreadable: Option<String>,
}

/// What was appended to the target since the copy, by partition.
#[derive(Debug, Default)]
pub(crate) struct Repaired(BTreeMap<TopicPartition, Appended>);

/// Late records of one partition that were appended to the target. Offsets are the source's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Appended {
    /// Every late record below this offset.
    pub(crate) next_offset: i64,
    /// How many they are.
    pub(crate) records: u64,
    /// Who wanted it last.
    pub(crate) by: String,
    /// What the source had removed before it was read.
    removed: Vec<(i64, i64)>,
    /// Why it is not known that all of them are there.
    problems: Vec<String>,
    /// The number of the append that is not done.
    unfinished: Option<u32>,
}

impl Repaired {
    /// What was put on record of late records that were appended; nothing where none were.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn load(store: &Store) -> Result<Self> {
        Ok(late_append::all(store).await?.into())
    }

    /// What was appended of `partition`.
    pub(crate) fn of(&self, partition: &TopicPartition) -> Option<&Appended> {
        self.0.get(partition)
    }
}

impl From<Vec<Append>> for Repaired {
    fn from(appends: Vec<Append>) -> Self {
        let mut repaired = Self::default();
        for Append { number, plan, done } in appends {
            for range in plan.partitions {
                let appended = repaired.0.entry(range.partition).or_default();
                appended.next_offset = appended.next_offset.max(range.to);
                appended.records += range.records.unsigned_abs();
                appended.by.clone_from(&plan.by);
                appended.unfinished = done.is_none().then_some(number);
            }
            for removed in plan.removed {
                repaired.0.entry(removed.partition).or_default().removed.push((removed.from, removed.to));
            }
            for landed in done.into_iter().flat_map(|done| done.partitions) {
                repaired.0.entry(landed.partition).or_default().problems.extend(landed.problem);
            }
        }
        repaired
    }
}

impl Appended {
    /// What is to be said of it.
    fn problems(&self, partition: &TopicPartition) -> Vec<Problem> {
        let Self { next_offset, records, by, .. } = self;
        let mut problems = Vec::new();
        if let Some(number) = self.unfinished {
            let message = format_args!(
                "append {number} of late records below source offset {next_offset} was begun for {by} and is not done: complete it with \
                 msk-kraft late-records --append, then finalize again"
            );
            problems.push(Problem::failed(partition, message));
        } else if *records > 0 {
            let message = format_args!(
                "{records} late record(s) below source offset {next_offset} were written after the copy had ended and appended to \
                 the target for {by}: they lie behind what clients wrote there before"
            );
            problems.push(Problem::warning(partition, message));
        }
        problems.extend(self.problems.iter().map(|why| {
            Problem::failed(partition, format_args!("whether all late records were appended is not known: {why}"))
        }));
        problems.extend(self.removed.iter().map(|removed| gone(partition, *removed)));
        problems
    }
}

/// What the source removed before anybody read it.
fn gone(partition: &TopicPartition, (from, to): (i64, i64)) -> Problem {
    let message = format_args!(
        "source offsets {from} to {} were written after the copy had ended and removed on the source before they were looked \
         at: whether they were records is not known, and they are not on the target",
        to - 1
    );
    Problem::failed(partition, message)
}

/// What is to be said of the late records of `partition`: `found` lies behind everything that was copied or, as `appended` says,
/// appended later.
pub(crate) fn late(partition: &TopicPartition, found: &Late, appended: Option<&Appended>) -> Vec<Problem> {
    let mut problems = appended.map(|appended| appended.problems(partition)).unwrap_or_default();
    if let Some(first) = found.first {
        let at_least = if found.at_least { "at least " } else { "" };
        let accept = CheckName::CountsAndOffsets;
        let message = format_args!(
            "{at_least}{} late record(s) at source offsets {first} to {} were written after the copy had ended and are not on the \
             target: a producer ignored the freeze. Stop it; append them with msk-kraft late-records --append, or accept \
             {accept}:{partition}",
            found.records,
            found.last_next - 1
        );
        problems.push(Problem::failed(partition, message));
    }
    problems.extend(found.removed.map(|removed| gone(partition, removed)));
    if let Some(reason) = &found.unreadable {
        let message = format_args!(
            "what follows the copied records on the source at offset {} cannot be read: {reason}",
            found.next
        );
        problems.push(Problem::failed(partition, message));
    }
    problems
}

/// Counts the committed records of the source in `[from, stable)`: transaction markers, aborted records and what compaction
/// left empty are offsets without a record.
///
/// # Errors
/// Transient when the source does not answer.
pub(crate) async fn read(source: &Cluster, partition: &TopicPartition, from: i64, stable: i64) -> Result<Late> {
    let mut late = Late { next: from, ..Late::default() };
    let mut idle = 0;
    while late.next < stable && late.unreadable.is_none() {
        if late.records >= COUNTED {
            late.at_least = true;
            break;
        }
        let position = FetchPosition { partition: partition.clone(), offset: late.next, max_bytes: FETCHED_BYTES };
        let before = late.next;
        match lookup::fetch(source, &position, Isolation::ReadCommitted).await {
            Ok(fetched) => late.take(fetched, stable),
            Err(error) if error.code() == Some(Code::OffsetOutOfRange) => {
                late.skip_removed(lookup::log_start(source, partition).await?, stable, &error.to_string());
            }
            Err(error) => return Err(error.into()),
        }
        idle = if late.next == before { idle + 1 } else { 0 };
        if idle == IDLE_ANSWERS {
            return Err(Error::transient("the source answers without records").at(partition).at_offset(before));
        }
    }
    Ok(late)
}

impl Late {
    fn take(&mut self, fetched: Fetched, stable: i64) {
        let mut aborted = AbortedFilter::new(fetched.aborted);
        for entry in batch::entries(fetched.records) {
            let taken = entry.and_then(|entry| self.take_entry(&entry, &mut aborted, stable));
            if let Err(error) = taken {
                self.unreadable = Some(error.to_string());
                return;
            }
        }
    }

    fn take_entry(&mut self, entry: &Entry, aborted: &mut AbortedFilter, stable: i64) -> Result<(), BatchError> {
        let offsets = match entry {
            Entry::Batch(batch) if aborted.is_aborted(batch)? || batch.header().is_control() => Vec::new(),
            Entry::Batch(batch) => batch::record_offsets(batch, DecodeLimit::default())?,
            Entry::Old(message) => {
                let one = |record: Record| OffsetRun { first: record.offset, count: 1 };
                message.decode(DecodeLimit::default())?.into_iter().map(one).collect()
            }
        };
        for run in offsets {
            // A batch may begin before what was asked for, and end behind what is known to be committed.
            let (first, end) = (run.first.max(self.next), run.end().min(stable));
            if end > first {
                self.first.get_or_insert(first);
                self.records += (end - first) as u64;
                self.last_next = end;
            }
        }
        self.next = self.next.max(entry.next_offset());
        Ok(())
    }

    /// The log starts at `start` now: nobody knows what lay before.
    fn skip_removed(&mut self, start: i64, stable: i64, error: &str) {
        if start <= self.next {
            // The log ends before, which the source's end tells.
            self.unreadable = Some(error.to_owned());
            return;
        }
        let to = start.min(stable);
        let from = self.removed.map_or(self.next, |(from, _)| from);
        self.removed = Some((from, to));
        self.next = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use chrono::DateTime;
    use documents::LateAppend;
    use documents::late_append::{Landed, LateAppended, LateRange, LateRemoved};
    use kafka::batch::{Codec, Stamp, encode};
    use migration::report::Outcome;

    fn partition() -> TopicPartition {
        TopicPartition::new("orders", 3)
    }

    fn said(found: &Late, appended: Option<&Appended>) -> Vec<(Outcome, String)> {
        late(&partition(), found, appended).into_iter().map(|problem| (problem.outcome, problem.message)).collect()
    }

    #[test]
    fn late_records_are_named_with_partition_offsets_and_count() {
        assert!(said(&Late::default(), None).is_empty());
        let two = Late { records: 2, first: Some(51), last_next: 53, next: 54, ..Late::default() };
        let found = said(&two, None);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, Outcome::Failed);
        for part in ["2 late record(s)", "offsets 51 to 52", "late-records --append", "counts_and_offsets:orders/3"] {
            assert!(found[0].1.contains(part), "{part}: {}", found[0].1);
        }
        let many = Late { at_least: true, records: 100_000, ..two };
        assert!(said(&many, None)[0].1.starts_with("at least 100000"));
    }

    #[test]
    fn what_was_appended_is_a_warning_and_what_came_after_it_is_not() {
        let appended = Appended { next_offset: 53, records: 2, by: "ada".to_owned(), ..Appended::default() };
        let nothing_more = said(&Late::default(), Some(&appended));
        assert_eq!(nothing_more.iter().map(|(outcome, _)| *outcome).collect::<Vec<_>>(), [Outcome::Warning]);
        assert!(nothing_more[0].1.contains("2 late record(s) below source offset 53"), "{}", nothing_more[0].1);
        let another = Late { records: 1, first: Some(60), last_next: 61, next: 61, ..Late::default() };
        let outcomes: Vec<_> = said(&another, Some(&appended)).into_iter().map(|(outcome, _)| outcome).collect();
        assert_eq!(outcomes, [Outcome::Warning, Outcome::Failed]);
    }

    /// An append of two late records of the partition up to source offset `to`.
    fn append(number: u32, to: i64, problem: Option<&str>) -> Append {
        let plan = LateAppend {
            by: "ada".to_owned(),
            begun_at: DateTime::UNIX_EPOCH,
            producer_id: 7,
            producer_epoch: 0,
            batches: String::new(),
            partitions: vec![LateRange { partition: partition(), from: to - 2, to, records: 2, target_end: 90 }],
            removed: Vec::new(),
        };
        let landed =
            Landed { partition: partition(), first: Some(90), next: Some(99), problem: problem.map(str::to_owned) };
        let done = LateAppended { done_at: DateTime::UNIX_EPOCH, partitions: vec![landed] };
        Append { number, plan, done: Some(done) }
    }

    #[test]
    fn appends_add_up_by_partition() {
        let repaired = Repaired::from(vec![append(1, 12, None), append(2, 20, None)]);
        let appended = repaired.of(&partition()).unwrap();
        assert_eq!((appended.next_offset, appended.records, appended.by.as_str()), (20, 4, "ada"));
        assert_eq!(repaired.of(&TopicPartition::new("orders", 4)), None);
    }

    #[test]
    fn an_append_that_is_not_done_and_what_it_does_not_know_are_findings() {
        let failed = |append: Append| {
            let repaired = Repaired::from(vec![append]);
            let said = said(&Late::default(), repaired.of(&partition()));
            said.into_iter()
                .filter(|(outcome, _)| *outcome == Outcome::Failed)
                .map(|(_, message)| message)
                .collect::<Vec<_>>()
        };
        assert!(failed(append(1, 12, None)).is_empty());
        let unfinished = failed(Append { done: None, ..append(3, 12, None) });
        assert!(
            unfinished[0].contains("append 3 of late records") && unfinished[0].contains("--append"),
            "{unfinished:?}"
        );
        let unknown = failed(append(1, 12, Some("the topic was deleted")));
        assert!(unknown[0].contains("not known: the topic was deleted"), "{unknown:?}");
        let mut removed = append(1, 12, None);
        removed.plan.removed.push(LateRemoved { partition: partition(), from: 7, to: 10 });
        assert!(failed(removed)[0].contains("offsets 7 to 9"));
    }

    #[test]
    fn what_the_source_removed_unseen_is_a_finding() {
        let mut removed = Late { next: 10, ..Late::default() };
        removed.skip_removed(15, 40, "out of range");
        removed.skip_removed(20, 40, "out of range");
        assert_eq!((removed.removed, removed.next), (Some((10, 20)), 20));
        assert!(said(&removed, None)[0].1.contains("offsets 10 to 19"));
        let mut short = Late { next: 10, ..Late::default() };
        short.skip_removed(3, 40, "out of range");
        assert!(short.unreadable.is_some(), "the log ends before");
    }

    fn fetched(records: Bytes) -> Fetched {
        Fetched { high_watermark: 20, last_stable_offset: 20, log_start: 0, aborted: Vec::new(), records }
    }

    #[test]
    fn only_committed_records_behind_the_copy_count() {
        let records = |count: usize| vec![Record { value: Some(Bytes::from_static(b"v")), ..Record::default() }; count];
        let log = encode(&records(4), Codec::None, Stamp::NONE, 8).unwrap().into_bytes();
        let counted = |from, stable| {
            let mut late = Late { next: from, ..Late::default() };
            late.take(fetched(log.clone()), stable);
            (late.records, late.first, late.last_next)
        };
        assert_eq!(counted(10, 20), (2, Some(10), 12));
        assert_eq!(counted(12, 20), (0, None, 0));
        assert_eq!(counted(8, 9), (1, Some(8), 9));
    }

    #[test]
    fn damaged_late_records_are_a_finding_and_not_taken_for_none() {
        let mut late = Late::default();
        late.take(fetched(Bytes::from(vec![0xff; 80])), 20);
        assert!(late.unreadable.is_some());
        assert_eq!(said(&late, None)[0].0, Outcome::Failed);
    }
}
