//! Counts and offsets of one partition.
//!
//! The copy is dense: `expected` records lie at `[0, expected)` of the target, and whatever follows is the clients'. The
//! source must have ended where the copy did.

use kafka::batch::{self, AbortedFilter, BatchError, DecodeLimit, Entry, OffsetRun, Record};
use kafka::{Cluster, Code, FetchPosition, Fetched, Isolation};
use migration::progress::PartitionProgress;
use migration::{Result, TopicPartition};

use super::{Bench, lookup};
use crate::check::Problem;
use crate::policy::Policy;
use crate::results::Counts;

/// Late records are counted up to here: their number changes nothing.
const LATE_COUNTED: u64 = 1000;
/// Bytes fetched at once while counting them; one whole batch comes even if it is larger.
const LATE_BYTES: i32 = 1024 * 1024;

/// Committed records of the source behind the copy.
#[derive(Debug, Default, PartialEq, Eq)]
struct Late {
    records: u64,
    /// Source offset of the first one.
    first: Option<i64>,
    /// Up to where was read.
    next: i64,
    /// Why reading ended early.
    unreadable: Option<String>,
}

/// Counts one partition that the target has.
///
/// # Errors
/// Transient when a cluster could not be asked.
pub(crate) async fn count(bench: &Bench<'_>, progress: &PartitionProgress, policy: &Policy) -> Result<Counts> {
    let partition = &progress.partition;
    let (target_start, target_end) = bench.second.bounds(partition).await?;
    let mut counts = Counts {
        expected: progress.target_next,
        target_start: Some(target_start),
        target_end: Some(target_end),
        source_next: progress.source_next,
        ..Counts::default()
    };
    counts.problems = judge_target(&counts, policy, bench.config.validation.count_tolerance, partition);
    if let Some(reason) = &progress.stopped {
        counts.problems.push(Problem::failed(partition, format_args!("the copy of this partition stopped: {reason}")));
    }
    let Some((end, stable)) = bench.source_ends.get(partition).copied() else {
        let gone = "the source does not have this partition any more, so the target cannot be compared with it";
        counts.problems.push(Problem::failed(partition, gone));
        return Ok(counts);
    };
    counts.source_end = Some(end);
    let late = if stable > progress.source_next {
        read_late(&bench.source, partition, progress.source_next, stable).await?
    } else {
        Late::default()
    };
    counts.late_records = late.records;
    counts.problems.extend(judge_source(partition, progress.source_next, end, stable, &late));
    Ok(counts)
}

/// What the target's log bounds say about the copied records.
fn judge_target(counts: &Counts, policy: &Policy, tolerance: i64, partition: &TopicPartition) -> Vec<Problem> {
    let expected = counts.expected;
    let mut problems = Vec::new();
    let weigh = |difference: i64, message: String| {
        if difference > tolerance { Problem::failed(partition, message) } else { Problem::warning(partition, message) }
    };
    let end = counts.target_end.unwrap_or(0);
    let behind = expected - end;
    if behind > 0 {
        let message =
            format!("the target ends at offset {end}, but {expected} records were copied: {behind} are missing");
        problems.push(weigh(behind, message));
    }
    let start = counts.target_start.unwrap_or(0);
    let removed = start.min(expected);
    if removed > 0 && policy.removes() {
        let message = format!(
            "the target's log starts at offset {start}: {removed} of {expected} copied records were removed there by the \
             topic's own configuration ({})",
            policy.because
        );
        problems.push(Problem::warning(partition, message));
    } else if removed > 0 {
        let message = format!(
            "the target's log starts at offset {start}: {removed} of {expected} copied records are missing, and the \
             topic's configuration does not remove any ({})",
            policy.because
        );
        problems.push(weigh(removed, message));
    }
    problems
}

/// What the source's end says: `next` is where the copy ended, `end` the high watermark, `stable` the last stable offset.
/// `count_tolerance` is no excuse here, since a late record is one that the target does not have.
fn judge_source(partition: &TopicPartition, next: i64, end: i64, stable: i64, late: &Late) -> Vec<Problem> {
    let mut problems = Vec::new();
    if end < next {
        problems.push(Problem::failed(
            partition,
            format_args!(
                "the source ends at offset {end}, before {next} up to which it was copied: was the topic created anew, or \
                 did an unclean leader election shorten it?"
            ),
        ));
    }
    if let Some(first) = late.first {
        let count = if late.records >= LATE_COUNTED { "at least " } else { "" };
        problems.push(Problem::failed(
            partition,
            format_args!(
                "{count}{} record(s) from source offset {first} on were written after the copy had ended and are not on \
                 the target: a producer ignored the freeze; bring them over by hand",
                late.records
            ),
        ));
    }
    if let Some(reason) = &late.unreadable {
        problems.push(Problem::failed(
            partition,
            format_args!(
                "what follows the copied records on the source at offset {} cannot be read: {reason}",
                late.next
            ),
        ));
    }
    if stable < end && end > next {
        problems.push(Problem::failed(
            partition,
            format_args!(
                "an open transaction holds the source from offset {} to {end}: end it, so that its records are known to \
                 count or not, and finalize again",
                stable.max(next)
            ),
        ));
    }
    problems
}

/// Counts the committed records of the source in `[from, stable)`: transaction markers, aborted records and what
/// compaction left empty are offsets without a record.
async fn read_late(source: &Cluster, partition: &TopicPartition, from: i64, stable: i64) -> Result<Late> {
    let mut late = Late { next: from, ..Late::default() };
    let mut idle = 0;
    while late.next < stable && late.records < LATE_COUNTED && late.unreadable.is_none() {
        let position = FetchPosition { partition: partition.clone(), offset: late.next, max_bytes: LATE_BYTES };
        let fetched = match lookup::fetch(source, &position, Isolation::ReadCommitted).await {
            Ok(fetched) => fetched,
            // Retention or DeleteRecords was faster: what it removed counts as records, since nothing says otherwise.
            Err(error) if error.code() == Some(Code::OffsetOutOfRange) => {
                late.unreadable = Some(error.to_string());
                break;
            }
            Err(error) => return Err(error.into()),
        };
        let before = late.next;
        late.take(fetched);
        idle = if late.next == before { idle + 1 } else { 0 };
        if idle == 10 {
            return Err(migration::Error::transient("the source answers without records")
                .at(partition)
                .at_offset(before));
        }
    }
    Ok(late)
}

impl Late {
    fn take(&mut self, fetched: Fetched) {
        let mut aborted = AbortedFilter::new(fetched.aborted);
        for entry in batch::entries(fetched.records) {
            let taken = entry.and_then(|entry| self.take_entry(&entry, &mut aborted));
            if let Err(error) = taken {
                self.unreadable = Some(error.to_string());
                return;
            }
        }
    }

    fn take_entry(&mut self, entry: &Entry, aborted: &mut AbortedFilter) -> Result<(), BatchError> {
        let offsets = match entry {
            Entry::Batch(batch) if aborted.is_aborted(batch)? || batch.header().is_control() => Vec::new(),
            Entry::Batch(batch) => batch::record_offsets(batch, DecodeLimit::default())?,
            Entry::Old(message) => {
                let one = |record: Record| OffsetRun { first: record.offset, count: 1 };
                message.decode(DecodeLimit::default())?.into_iter().map(one).collect()
            }
        };
        for run in offsets {
            let first = run.first.max(self.next);
            let count = run.end() - first;
            if count > 0 {
                self.first.get_or_insert(first);
                self.records += count as u64;
            }
        }
        self.next = self.next.max(entry.next_offset());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Outcome;
    use crate::policy::tests::policy;
    use bytes::Bytes;
    use kafka::batch::{Codec, Stamp, encode};

    fn counts(expected: i64, start: i64, end: i64) -> Counts {
        Counts { expected, target_start: Some(start), target_end: Some(end), ..Counts::default() }
    }

    fn judged(expected: i64, start: i64, end: i64, policy: &Policy) -> Vec<Outcome> {
        let partition = TopicPartition::new("t", 0);
        judge_target(&counts(expected, start, end), policy, 1, &partition).iter().map(|p| p.outcome).collect()
    }

    #[test]
    fn a_target_with_all_records_and_later_ones_passes() {
        let forever = policy(&[("retention.ms", "-1")]);
        assert!(judged(10, 0, 10, &forever).is_empty());
        assert!(judged(10, 0, 500, &forever).is_empty());
        assert!(judged(0, 0, 0, &forever).is_empty());
    }

    #[test]
    fn missing_records_fail_beyond_the_tolerance_and_never_pass() {
        let forever = policy(&[("retention.ms", "-1")]);
        assert_eq!(judged(10, 0, 9, &forever), [Outcome::Warning]);
        assert_eq!(judged(10, 0, 8, &forever), [Outcome::Failed]);
        assert_eq!(judged(10, 1, 10, &forever), [Outcome::Warning]);
        assert_eq!(judged(10, 2, 12, &forever), [Outcome::Failed]);
    }

    #[test]
    fn what_the_topics_configuration_removed_is_a_warning_only_at_the_start() {
        let week = policy(&[("cleanup.policy", "delete"), ("retention.ms", "604800000")]);
        assert_eq!(judged(10, 7, 10, &week), [Outcome::Warning]);
        assert_eq!(judged(10, 0, 5, &week), [Outcome::Failed], "retention never removes the end");
        let compact = policy(&[("cleanup.policy", "compact")]);
        assert_eq!(judged(10, 7, 10, &compact), [Outcome::Warning]);
    }

    fn at_source(next: i64, end: i64, stable: i64, late: &Late) -> Vec<Outcome> {
        judge_source(&TopicPartition::new("t", 0), next, end, stable, late).iter().map(|p| p.outcome).collect()
    }

    #[test]
    fn the_source_has_to_end_where_the_copy_did() {
        let none = Late::default();
        assert!(at_source(10, 10, 10, &none).is_empty());
        assert!(at_source(10, 12, 12, &none).is_empty(), "two markers");
        assert_eq!(at_source(10, 9, 9, &none), [Outcome::Failed]);
        assert_eq!(at_source(10, 12, 10, &none), [Outcome::Failed], "an open transaction");
        let late = Late { records: 1, first: Some(11), next: 12, unreadable: None };
        assert_eq!(at_source(10, 12, 12, &late), [Outcome::Failed], "one late record is lost, whatever the tolerance");
    }

    #[test]
    fn only_records_behind_the_copy_count_as_late() {
        let records = |count: usize| vec![Record { value: Some(Bytes::from_static(b"v")), ..Record::default() }; count];
        let log = encode(&records(4), Codec::None, Stamp::NONE, 8).unwrap().into_bytes();
        let fetched = |records| Fetched {
            high_watermark: 20,
            last_stable_offset: 20,
            log_start: 0,
            aborted: Vec::new(),
            records,
        };
        let mut late = Late { next: 10, ..Late::default() };
        late.take(fetched(log.clone()));
        assert_eq!(late, Late { records: 2, first: Some(10), next: 12, unreadable: None });
        let mut late = Late { next: 12, ..Late::default() };
        late.take(fetched(log));
        assert_eq!(late, Late { next: 12, ..Late::default() });
    }

    #[test]
    fn damaged_late_records_are_told_and_not_taken_for_none() {
        let mut late = Late { next: 0, ..Late::default() };
        late.take(Fetched {
            high_watermark: 1,
            last_stable_offset: 1,
            log_start: 0,
            aborted: Vec::new(),
            records: Bytes::from(vec![0xff; 80]),
        });
        assert!(late.unreadable.is_some());
    }
}
