//! One slice on its way to the target: which of its batches may be sent, and what the answers say.
//!
//! A leader that knows nothing of a producer id in a partition takes any sequence number (KIP-360): on a new partition,
//! and where the id was idle for a day, by the time of its last records (`ProducerStateManager.isProducerExpired`).
//! Batches behind one that is refused would be appended in its place. So the first batch of a slice is sent alone until it
//! was acknowledged, unless the slice before has just been taken; the next one after every fault too, and never a batch
//! that the target is known to have.

use std::time::Duration;

use kafka::batch::ProduceBytes;
use kafka::{Each, Produced, TopicPartition};
use migration::{Error, Result};
use tokio::time::Instant;

use super::is_sequence_fault;
use crate::slice::Slice;

/// Bytes after which a request takes no further partition.
const REQUEST_BYTES: usize = 4 * 1024 * 1024;

/// A slice on its way.
pub(super) struct Sending<'a> {
    pub(super) slice: &'a Slice,
    /// Target offset of each batch, and the end after the last.
    pub(super) offsets: Vec<i64>,
    /// Batches the target has.
    pub(super) acknowledged: usize,
    /// Batches sent in the current pass, or acknowledged.
    pub(super) sent: usize,
    pub(super) fault: Option<Fault>,
    /// Times in a row that the target refused the next sequence number although it ends where it should.
    pub(super) realigned: u32,
    /// When the leader last took a batch, if it is known to check our sequence numbers; until then one batch is in flight at a
    /// time.
    pub(super) checked: Option<Instant>,
    /// Where the target ended when it was asked last: it may have more than this slice.
    seen_end: i64,
    /// When something was acknowledged last.
    moved: Instant,
}

/// Why a partition did not go on.
pub(super) enum Fault {
    Kafka(kafka::Error),
    /// The target appended a batch elsewhere than `at`, where it must be.
    Misplaced {
        at: i64,
        problem: String,
    },
    /// The target appended a batch with other timestamps.
    Retimed,
}

impl<'a> Sending<'a> {
    /// Skips the batches below the target's `end`. `checked` says when the leader took the batch before the slice from
    /// this writer, if it has just done so.
    pub(super) fn new(slice: &'a Slice, end: i64, checked: Option<Instant>) -> Result<Self> {
        let mut next = slice.from.target_next;
        let mut offsets = vec![next];
        for batch in &slice.batches {
            next += i64::from(batch.header().records_count);
            offsets.push(next);
        }
        let mut sending = Self {
            slice,
            offsets,
            acknowledged: 0,
            sent: 0,
            fault: None,
            realigned: 0,
            checked: None,
            seen_end: end,
            moved: Instant::now(),
        };
        sending.align(end)?;
        sending.sent = sending.acknowledged;
        sending.checked = checked.filter(|_| sending.acknowledged == 0);
        Ok(sending)
    }

    /// Sets what is acknowledged from the target's `end`.
    pub(super) fn align(&mut self, end: i64) -> Result<()> {
        self.seen_end = end;
        let last = self.offsets.len() - 1;
        if end >= self.offsets[last] {
            self.acknowledged = last;
            return Ok(());
        }
        let found = self.offsets.binary_search(&end);
        self.acknowledged = found.map_err(|_| {
            let expected = self.offsets[self.acknowledged];
            let problem =
                if end < self.offsets[0] { "lost records it had acknowledged" } else { "was written by somebody else" };
            Error::data_unsafe(format_args!("the target {problem}: it ends at {end}, expected {expected}"))
                .at(&self.slice.partition)
                .at_offset(self.slice.from.source_next)
        })?;
        Ok(())
    }

    /// The passing fault that it met, for people.
    pub(super) fn passing_fault(&self) -> Option<Error> {
        match &self.fault {
            Some(Fault::Kafka(error)) if error.is_retryable() => {
                Some(Error::from(error.clone()).at(&self.slice.partition))
            }
            _ => None,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.acknowledged == self.slice.batches.len()
    }

    fn acknowledged_end(&self) -> i64 {
        self.offsets[self.acknowledged]
    }

    /// Where the target ends at least: what it has beyond this slice must not be sent again either.
    pub(super) fn target_end(&self) -> i64 {
        self.acknowledged_end().max(self.seen_end)
    }

    /// Whether nothing was acknowledged for `patience`.
    pub(super) fn stood_still_for(&self, patience: Duration) -> bool {
        self.moved.elapsed() >= patience
    }

    /// Whether its fault is one after which it is looked where the target ends: any that may pass, unless it was tried for `patience`.
    pub(super) fn is_looked_at(&self, patience: Duration) -> bool {
        match &self.fault {
            Some(Fault::Kafka(error)) if is_sequence_fault(error) => true,
            Some(Fault::Kafka(error)) => error.is_retryable() && !self.stood_still_for(patience),
            _ => false,
        }
    }

    /// The error for a target that replaced timestamps.
    pub(super) fn retimed(&self) -> Error {
        let message = "the target replaced the timestamps of the records, message.timestamp.type is not CreateTime there any \
                       more; delete the topic on the target and start a new migration";
        Error::data_unsafe(message).at(&self.slice.partition).at_offset(self.source_offset())
    }

    pub(super) fn source_offset(&self) -> i64 {
        self.slice.batches.get(self.acknowledged).map_or(self.slice.to.source_next, |batch| batch.header().base_offset)
    }

    fn next_batch(&mut self) -> Option<ProduceBytes> {
        if self.fault.is_some() || (self.checked.is_none() && self.sent > self.acknowledged) {
            return None;
        }
        let batch = self.slice.batches.get(self.sent)?;
        self.sent += 1;
        Some(batch.to_produce())
    }

    /// The largest timestamp in the batch that is answered next. A broker answers a repeat of a batch that it has with it,
    /// as if the topic kept its own time (`UnifiedLog.append`, the case of a duplicate).
    fn newest_timestamp(&self) -> Option<i64> {
        self.slice.batches.get(self.acknowledged).map(|batch| batch.header().max_timestamp)
    }

    fn note(&mut self, answer: kafka::Result<Produced>) {
        if self.fault.is_some() {
            return;
        }
        let expected = self.acknowledged_end();
        match answer {
            Ok(Produced { log_append_time: Some(time), .. }) if Some(time) != self.newest_timestamp() => {
                self.fault = Some(Fault::Retimed);
            }
            Ok(produced) if produced.base_offset == expected => {
                self.acknowledged += 1;
                self.realigned = 0;
                self.moved = Instant::now();
                self.checked = Some(self.moved);
            }
            Ok(produced) => {
                let problem = format!("the target appended at {}, expected {expected}", produced.base_offset);
                self.fault = Some(Fault::Misplaced { at: expected, problem });
            }
            Err(error) => {
                self.fault = Some(Fault::Kafka(error));
                self.checked = None;
            }
        }
    }
}

/// The next batch of as many partitions as fit into a request, going around from `front`.
pub(super) fn next_request(open: &mut [Sending<'_>], front: &mut usize) -> Vec<(usize, TopicPartition, ProduceBytes)> {
    let count = open.len();
    let mut request = Vec::new();
    let mut bytes = 0;
    for step in 0..count {
        let index = (*front + step) % count;
        let Some(batch) = open[index].next_batch() else { continue };
        bytes += batch.size();
        request.push((index, open[index].slice.partition.clone(), batch));
        if bytes >= REQUEST_BYTES {
            *front = index + 1;
            break;
        }
    }
    request
}

/// Answers come in the order asked.
pub(super) fn note_answers(open: &mut [Sending<'_>], sent: &[usize], answers: Each<TopicPartition, Produced>) {
    for (index, (_, answer)) in sent.iter().zip(answers) {
        open[*index].note(answer);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::WINDOW;
    use super::*;
    use journal::Position;
    use kafka::batch::{Codec, Record, Stamp, encode};

    const BATCHES: i64 = 8;

    /// Eight batches of two records each, on the target from offset 10 on.
    pub(in super::super) fn slice() -> Slice {
        let from = Position { source_next: 100, target_next: 10 };
        let mut slice = Slice::at(TopicPartition::new("orders", 0), from, 200);
        for batch in 0..BATCHES {
            let records = [Record::default(), Record::default()];
            let batch = encode(&records, Codec::None, Stamp::nth(7, 0, 10 + 2 * batch), 100 + 2 * batch).unwrap();
            slice.batches.push(batch.into());
        }
        slice.to = Position { source_next: 116, target_next: 26 };
        slice
    }

    /// As it is behind an acknowledgement.
    fn checked(slice: &Slice, end: i64) -> Sending<'_> {
        Sending { checked: Some(Instant::now()), ..Sending::new(slice, end, None).unwrap() }
    }

    fn appended(base_offset: i64) -> kafka::Result<Produced> {
        Ok(Produced { base_offset, log_append_time: None, log_start: 0 })
    }

    fn refused() -> kafka::Result<Produced> {
        Err(kafka::Error::Unreachable { message: String::new() })
    }

    /// Requests that can be sent before an answer comes.
    fn in_flight(open: &mut [Sending<'_>]) -> usize {
        let mut front = 0;
        (0..WINDOW).take_while(|_| !next_request(open, &mut front).is_empty()).count()
    }

    #[test]
    fn nothing_follows_the_first_batch_until_the_leader_has_taken_it() {
        let slice = slice();
        let mut open = [Sending::new(&slice, 10, None).unwrap()];
        assert_eq!(in_flight(&mut open), 1, "a leader that does not know the producer would take any other batch too");
        open[0].note(appended(10));
        assert_eq!(in_flight(&mut open), WINDOW);
    }

    #[test]
    fn right_behind_a_slice_that_was_taken_the_next_one_goes_on() {
        let slice = slice();
        assert_eq!(in_flight(&mut [Sending::new(&slice, 10, Some(Instant::now())).unwrap()]), WINDOW);
        let partly_there = Sending::new(&slice, 12, Some(Instant::now())).unwrap();
        assert_eq!(in_flight(&mut [partly_there]), 1, "somebody else wrote what is there");
    }

    #[test]
    fn after_a_fault_the_batch_goes_alone_again() {
        let slice = slice();
        let mut open = [checked(&slice, 10)];
        assert_eq!(in_flight(&mut open), WINDOW);
        open[0].note(appended(10));
        open[0].note(refused());
        open[0].note(appended(14));
        assert_eq!((open[0].acknowledged, open[0].checked), (1, None), "what came behind a fault does not count");
        open[0].fault = None;
        open[0].sent = open[0].acknowledged;
        assert_eq!(in_flight(&mut open), 1);
    }

    #[test]
    fn what_the_target_has_beyond_a_slice_is_remembered() {
        let slice = slice();
        assert_eq!(Sending::new(&slice, 40, None).unwrap().target_end(), 40, "the next slice may be there as well");
        let mut sending = Sending::new(&slice, 10, None).unwrap();
        sending.note(appended(10));
        assert_eq!(sending.target_end(), 12);
    }

    #[test]
    fn a_batch_at_another_place_is_a_foreign_writer() {
        let slice = slice();
        let mut sending = Sending::new(&slice, 12, None).unwrap();
        assert_eq!(sending.acknowledged, 1);
        sending.note(appended(13));
        assert!(matches!(sending.fault, Some(Fault::Misplaced { at: 12, .. })));
    }

    #[test]
    fn a_target_that_replaces_timestamps_is_unsafe() {
        let slice = slice();
        let mut sending = checked(&slice, 10);
        sending.note(Ok(Produced { base_offset: 10, log_append_time: Some(1_777_000_000_000), log_start: 0 }));
        assert!(matches!(sending.fault, Some(Fault::Retimed)));
    }

    #[test]
    fn an_end_within_a_batch_or_before_the_slice_is_unsafe() {
        let slice = slice();
        for end in [9, 11, 25] {
            let error = Sending::new(&slice, end, None).err().unwrap();
            assert_eq!(error.kind, migration::ErrorKind::Unsafe, "{end}");
        }
        assert!(Sending::new(&slice, 30, None).unwrap().is_done());
    }

    #[test]
    fn the_answer_to_a_repeat_is_no_replaced_timestamp() {
        let slice = slice();
        let newest = slice.batches[0].header().max_timestamp;
        let answered = |time| {
            let mut sending = checked(&slice, 10);
            sending.note(Ok(Produced { base_offset: 10, log_append_time: Some(time), log_start: -1 }));
            (sending.acknowledged, sending.fault.is_some())
        };
        assert_eq!(answered(newest), (1, false));
        assert_eq!(answered(newest + 1), (0, true), "the topic keeps its own time");
    }
}
