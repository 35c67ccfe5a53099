//! How far one partition of an append is on the target.

use copy::Slice;
use documents::late_append::{Landed, LateRange};
use kafka::Produced;
use kafka::batch::{ProduceBytes, StampedBatch};
use migration::{Error, Result};

use tokio::time::Instant;

use super::ports::Scanned;

/// One partition of an append. Sequence numbers count its records from 0.
#[derive(Debug)]
pub(super) struct Sending<'a> {
    slice: &'a Slice,
    /// Where the next scan goes on: at first where the target ended when the append began.
    pub(super) scan_from: i64,
    /// Sequence number that the target wants next, by what every replica has: a scan up to the high watermark, or an acknowledgement.
    next: i64,
    /// Whether `next` is known: by a scan, and nothing went wrong since.
    pub(super) is_certain: bool,
    /// Since when at least that is so: before the scan, or the acknowledgement.
    pub(super) known_at: Instant,
    first: Option<i64>,
    end: Option<i64>,
    /// The first offset behind ones that were gone before they were looked at, where nothing was seen that proves what was among them.
    unseen: Option<i64>,
    /// What is wrong with what was appended, when something is.
    flaw: Option<String>,
    /// Why it is given up, when it is.
    pub(super) problem: Option<String>,
    /// What keeps it from being completed until it is repaired.
    pub(super) fault: Option<Error>,
    /// The last fault that may pass, and since when there is one.
    pub(super) trouble: Option<(kafka::Error, Instant)>,
    /// Attempts that failed since there was progress.
    pub(super) stalled: u32,
    /// How often it was looked at since whether the topic is there.
    pub(super) looks: u32,
}

impl<'a> Sending<'a> {
    /// The partition of `range`, whose batches are `slice`.
    ///
    /// # Errors
    /// Unsafe when the slice is not what the range says.
    pub(super) fn new(range: &LateRange, slice: &'a Slice) -> Result<Self> {
        let (from, to) = (slice.from, slice.to);
        let records: i64 = slice.batches.iter().map(|batch| i64::from(batch.header().records_count)).sum();
        if (from.source_next, to.source_next, to.target_next, records)
            != (range.from, range.to, range.records, range.records)
        {
            return Err(Error::data_unsafe("the stored batches of late records are not those of their plan")
                .at(&range.partition));
        }
        Ok(Self {
            slice,
            scan_from: range.target_end,
            next: 0,
            is_certain: false,
            known_at: Instant::now(),
            first: None,
            end: None,
            unseen: None,
            flaw: None,
            problem: None,
            fault: None,
            trouble: None,
            stalled: 0,
            looks: 0,
        })
    }

    /// The stretch of records.
    pub(super) const fn slice(&self) -> &'a Slice {
        self.slice
    }

    /// Whether nothing is left to be sent.
    pub(super) const fn is_done(&self) -> bool {
        self.problem.is_some() || self.next >= self.slice.to.target_next
    }

    /// Whether to go on with it.
    pub(super) const fn is_open(&self) -> bool {
        !self.is_done() && self.fault.is_none()
    }

    /// Takes a fault that may pass. What is known of the target does not count any more.
    pub(super) fn fail(&mut self, error: kafka::Error) {
        let since = self.trouble.take().map_or_else(Instant::now, |(_, since)| since);
        self.trouble = Some((error, since));
        self.stalled += 1;
        self.is_certain = false;
    }

    /// The batch that the target wants next.
    pub(super) fn next_batch(&self) -> Option<ProduceBytes> {
        self.batch_from(self.next).map(StampedBatch::to_produce)
    }

    /// Takes what a scan found of the append. A batch of its producer id that is none of its batches is a fault.
    pub(super) fn found(&mut self, scanned: &Scanned) {
        self.unseen = scanned.gap.or_else(|| self.unseen.filter(|_| scanned.batches.is_empty()));
        for found in &scanned.batches {
            let sequence = i64::from(found.sequence);
            let ours = self.batch_from(sequence).filter(|ours| i64::from(ours.header().records_count) == found.records);
            let Some(ours) = ours else {
                let message = format!(
                    "the target has a batch with the sequence number {sequence} of this append that is none of its batches: somebody \
                     else uses its producer id"
                );
                self.fault = Some(Error::data_unsafe(message).at(&self.slice.partition).at_offset(found.offset));
                return;
            };
            let header = *ours.header();
            let is_kept = found.newest.is_none_or(|newest| newest == header.max_timestamp);
            if found.clock != header.timestamp_type() || !is_kept {
                self.flaw.get_or_insert_with(|| {
                    format!(
                        "the target replaced the timestamps of its records from offset {} on: message.timestamp.type of the topic was \
                         LogAppendTime while they were appended",
                        found.offset
                    )
                });
            }
            self.landed(found.offset, found.records);
            self.advance(sequence + found.records);
        }
        self.scan_from = self.scan_from.max(scanned.reached);
        self.is_certain = scanned.reached >= scanned.end;
    }

    /// Behind which offset it cannot be told what was appended: records were removed before they were looked at, and up to the end
    /// nothing of the append is seen behind them that would prove what came before it.
    pub(super) fn out_of_sight(&self) -> Option<i64> {
        self.unseen.filter(|_| self.is_certain && !self.is_done())
    }

    /// Takes the answer to the batch that was sent. Timestamps that the target replaced are a fault.
    pub(super) fn appended(&mut self, produced: Produced) {
        let Some(batch) = self.batch_from(self.next) else { return };
        let header = *batch.header();
        // The answer to a repeat has a time too, that of the batch (`UnifiedLog.append`, the case of a duplicate).
        if produced.log_append_time.is_some_and(|time| time != header.max_timestamp) {
            let message = "the target replaced the timestamps of late records: message.timestamp.type of the topic was changed to \
                           LogAppendTime since they were looked at; set it to CreateTime and repeat";
            self.fault = Some(Error::data_unsafe(message).at(&self.slice.partition).at_offset(header.base_offset));
            return;
        }
        let records = i64::from(header.records_count);
        self.landed(produced.base_offset, records);
        self.advance(self.next + records);
    }

    /// Where it came to lie.
    pub(super) fn outcome(&self) -> Landed {
        let Self { first, end, problem, flaw, .. } = self;
        let problem = problem.as_ref().or(flaw.as_ref()).cloned();
        Landed { partition: self.slice.partition.clone(), first: *first, next: *end, problem }
    }

    fn landed(&mut self, offset: i64, records: i64) {
        self.first = Some(self.first.map_or(offset, |first| first.min(offset)));
        self.end = Some(self.end.map_or(offset + records, |end| end.max(offset + records)));
    }

    fn advance(&mut self, next: i64) {
        if next > self.next {
            self.next = next;
            self.stalled = 0;
            self.looks = 0;
            self.trouble = None;
        }
    }

    fn batch_from(&self, sequence: i64) -> Option<&'a StampedBatch> {
        self.slice.batches.iter().find(|batch| i64::from(batch.header().base_sequence) == sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::late::ports::ScannedBatch;
    use journal::Position;
    use kafka::TopicPartition;
    use kafka::batch::{Codec, Record, Stamp, TimestampType, encode};

    /// Three batches of two records.
    fn slice() -> Slice {
        let mut slice = Slice::at(TopicPartition::new("t", 0), Position { source_next: 100, target_next: 0 }, 200);
        for batch in 0..3 {
            let records = [Record { timestamp: 5, ..Record::default() }, Record { timestamp: 6, ..Record::default() }];
            slice.batches.push(encode(&records, Codec::None, Stamp::nth(7, 0, 2 * batch), 100).unwrap().into());
        }
        slice.to = Position { source_next: 120, target_next: 6 };
        slice
    }

    fn range() -> LateRange {
        LateRange { partition: TopicPartition::new("t", 0), from: 100, to: 120, records: 6, target_end: 40 }
    }

    fn scanned(start: i64, batches: &[(i32, i64, i64)]) -> Scanned {
        let batch = |(sequence, records, offset): &(i32, i64, i64)| ScannedBatch {
            sequence: *sequence,
            records: *records,
            offset: *offset,
            newest: Some(6),
            clock: TimestampType::CreateTime,
        };
        let gap = (start > 40 && batches.is_empty()).then_some(start);
        Scanned { start, gap, end: 90, reached: 90, batches: batches.iter().map(batch).collect() }
    }

    const fn produced(base_offset: i64, log_append_time: Option<i64>) -> Produced {
        Produced { base_offset, log_append_time, log_start: 0 }
    }

    #[test]
    fn what_a_scan_shows_is_not_sent_again() {
        let slice = slice();
        let mut sending = Sending::new(&range(), &slice).unwrap();
        sending.found(&scanned(0, &[(0, 2, 50), (2, 2, 60)]));
        assert!(sending.is_certain && !sending.is_done());
        assert_eq!((sending.next, sending.scan_from), (4, 90));
        sending.appended(produced(70, None));
        assert!(sending.is_done());
        let landed = sending.outcome();
        assert_eq!((landed.first, landed.next, landed.problem), (Some(50), Some(72), None));
    }

    #[test]
    fn a_later_batch_proves_those_before_even_where_compaction_took_them() {
        let slice = slice();
        let mut sending = Sending::new(&range(), &slice).unwrap();
        sending.found(&scanned(0, &[(4, 2, 60)]));
        assert!(sending.is_done());
    }

    #[test]
    fn a_foreign_batch_of_the_producer_id_is_unsafe() {
        let slice = slice();
        for found in [(1, 2, 50), (0, 3, 50), (6, 2, 50)] {
            let mut sending = Sending::new(&range(), &slice).unwrap();
            sending.found(&scanned(0, &[found]));
            assert_eq!(sending.fault.unwrap().kind, migration::ErrorKind::Unsafe, "{found:?}");
        }
    }

    #[test]
    fn nothing_seen_behind_a_log_start_that_moved_proves_nothing() {
        let slice = slice();
        let after = |scans: &[Scanned]| {
            let mut sending = Sending::new(&range(), &slice).unwrap();
            scans.iter().for_each(|scanned| sending.found(scanned));
            sending.out_of_sight()
        };
        assert_eq!(after(&[scanned(41, &[])]), Some(41));
        assert_eq!(after(&[scanned(40, &[])]), None);
        let found = scanned(41, &[(0, 2, 50)]);
        assert_eq!(after(std::slice::from_ref(&found)), None, "what comes behind the gap proves what was in it");
        assert_eq!(
            after(&[found.clone(), Scanned { gap: None, ..scanned(90, &[]) }]),
            None,
            "what was scanned may be removed"
        );
        let (gap, later) =
            (Scanned { end: 95, reached: 95, ..scanned(91, &[]) }, Scanned { reached: 50, ..scanned(41, &[]) });
        assert_eq!(after(&[found.clone(), gap]), Some(91));
        assert_eq!(after(std::slice::from_ref(&later)), None, "a scan that is not at the end does not tell yet");
        assert_eq!(after(&[later.clone(), scanned(41, &[])]), Some(41), "what came before it is not forgotten");
        assert_eq!(after(&[later, found]), None);
    }

    #[test]
    fn replaced_timestamps_are_unsafe_and_the_answer_to_a_repeat_is_none() {
        let slice = slice();
        let mut sending = Sending::new(&range(), &slice).unwrap();
        sending.appended(produced(50, Some(6)));
        assert_eq!((sending.next, &sending.fault), (2, &None));
        sending.appended(produced(52, Some(7)));
        assert_eq!(sending.fault.unwrap().kind, migration::ErrorKind::Unsafe);
    }

    #[test]
    fn timestamps_that_an_earlier_invocation_saw_replaced_are_a_problem_of_the_outcome() {
        let slice = slice();
        let problem = |change: fn(&mut ScannedBatch)| {
            let mut sending = Sending::new(&range(), &slice).unwrap();
            let mut scanned = scanned(0, &[(0, 2, 50)]);
            scanned.batches.iter_mut().for_each(change);
            sending.found(&scanned);
            assert!(!sending.is_done(), "the rest is appended");
            sending.outcome().problem
        };
        assert_eq!(problem(|_| ()), None);
        assert_eq!(problem(|batch| batch.newest = None), None, "compaction left fewer records in it");
        assert!(problem(|batch| batch.newest = Some(7)).unwrap().contains("replaced the timestamps"));
        assert!(problem(|batch| batch.clock = TimestampType::LogAppendTime).unwrap().contains("from offset 50 on"));
    }

    #[test]
    fn what_compaction_took_is_not_appended_again() {
        let slice = slice();
        let mut sending = Sending::new(&range(), &slice).unwrap();
        sending.found(&Scanned { gap: Some(60), ..scanned(0, &[(0, 2, 50)]) });
        assert_eq!(sending.out_of_sight(), Some(60), "the second batch may have been there");
        sending.found(&scanned(0, &[(4, 2, 95)]));
        assert_eq!((sending.out_of_sight(), sending.is_done()), (None, true));
    }

    #[test]
    fn stored_batches_have_to_be_those_of_the_plan() {
        let error = Sending::new(&LateRange { records: 5, ..range() }, &slice()).unwrap_err();
        assert_eq!(error.kind, migration::ErrorKind::Unsafe);
    }
}
