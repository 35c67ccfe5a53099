//! Leaving out what aborted transactions wrote, as a `read_committed` consumer does (`CompletedFetch`).
//!
//! A broker answers such a consumer with the batches below the last stable offset, aborted ones included, and a list of
//! the aborted transactions that reach into them. Filtering is the client's part.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use super::control::{ControlType, control_type};
use super::{BatchError, RawBatch};

/// An aborted transaction, as a fetch response lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Who wrote it.
    pub producer_id: i64,
    /// Where its first record is.
    pub first_offset: i64,
}

/// Tells the batches of aborted transactions in one partition's part of one fetch response.
#[derive(Debug, Clone)]
pub struct AbortedFilter {
    /// Not reached yet, as (first offset, producer id), the least on top.
    ahead: BinaryHeap<Reverse<(i64, i64)>>,
    /// Producers within an aborted transaction.
    aborting: HashSet<i64>,
}

impl AbortedFilter {
    /// For a response that lists `aborted`, in any order.
    pub fn new(aborted: Vec<AbortedTransaction>) -> Self {
        let ahead = aborted.into_iter().map(|transaction| Reverse((transaction.first_offset, transaction.producer_id)));
        Self { ahead: ahead.collect(), aborting: HashSet::new() }
    }

    /// Whether the records of `batch` were aborted. Every batch of the response has to pass here, control batches
    /// included, in the order of the response. An abort marker itself is not aborted; as a control batch it holds nothing
    /// to copy all the same.
    ///
    /// # Errors
    /// When a control batch's type cannot be read: what its producer's next batches are would be a guess.
    pub fn is_aborted(&mut self, batch: &RawBatch) -> Result<bool, BatchError> {
        let header = batch.header();
        if header.producer_id < 0 {
            return Ok(false);
        }
        self.reach(header.last_offset());
        if control_type(batch)? == Some(ControlType::Abort) {
            self.aborting.remove(&header.producer_id);
            return Ok(false);
        }
        Ok(header.is_transactional() && self.aborting.contains(&header.producer_id))
    }

    /// Takes over the transactions that begin at `offset` or before.
    fn reach(&mut self, offset: i64) {
        while let Some(Reverse((first_offset, producer_id))) = self.ahead.peek() {
            if *first_offset > offset {
                break;
            }
            self.aborting.insert(*producer_id);
            self.ahead.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::{Codec, Header, Record, Stamp, encode};
    use super::*;

    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;

    fn batch(offset: i64, producer_id: i64, flags: i16, keys: &[&[u8]]) -> RawBatch {
        let record = |key: &&[u8]| Record { key: Some(key.to_vec().into()), ..Record::default() };
        let records: Vec<_> = keys.iter().map(record).collect();
        let stamp = Stamp { producer_id, ..Stamp::NONE };
        let batch = encode(&records, Codec::None, stamp, offset).unwrap();
        let mut bytes = batch.bytes().to_vec();
        let header = Header { attributes: flags, ..*batch.header() }.seal(&mut bytes);
        RawBatch::from_parts(header, bytes.into())
    }

    fn data(offset: i64, producer_id: i64, records: usize) -> RawBatch {
        batch(offset, producer_id, TRANSACTIONAL, &vec![&b"k"[..]; records])
    }

    fn marker(offset: i64, producer_id: i64, control_type: u8) -> RawBatch {
        batch(offset, producer_id, TRANSACTIONAL | CONTROL, &[&[0, 0, 0, control_type]])
    }

    fn aborted(producer_id: i64, first_offset: i64) -> AbortedTransaction {
        AbortedTransaction { producer_id, first_offset }
    }

    #[test]
    fn the_same_producer_can_abort_then_commit() {
        let mut filter = AbortedFilter::new(vec![aborted(1, 0)]);
        let batches = [data(0, 1, 2), data(2, 2, 1), marker(3, 1, 0), data(4, 1, 1), marker(5, 1, 1)];
        let dropped: Vec<_> = batches.iter().map(|batch| filter.is_aborted(batch).unwrap()).collect();
        assert_eq!(dropped, [true, false, false, false, false]);
    }

    #[test]
    fn a_plain_batch_of_an_aborting_producer_stays() {
        let mut filter = AbortedFilter::new(vec![aborted(1, 0)]);
        assert!(!filter.is_aborted(&batch(0, 1, 0, &[b"k"])).unwrap());
        assert!(filter.is_aborted(&data(1, 1, 1)).unwrap());
    }

    #[test]
    fn a_transaction_counts_from_the_batch_that_contains_its_first_offset() {
        let mut filter = AbortedFilter::new(vec![aborted(1, 5)]);
        assert!(!filter.is_aborted(&data(0, 1, 5)).unwrap());
        assert!(filter.is_aborted(&data(5, 1, 1)).unwrap());
        let mut filter = AbortedFilter::new(vec![aborted(1, 4)]);
        assert!(filter.is_aborted(&data(0, 1, 5)).unwrap());
    }

    #[test]
    fn a_control_batch_without_a_type_is_an_error() {
        for key in [&[][..], &[0, 0, 0], &[0xff, 0xff, 0, 0]] {
            let broken = batch(3, 1, TRANSACTIONAL | CONTROL, &[key]);
            let error = AbortedFilter::new(Vec::new()).is_aborted(&broken).unwrap_err();
            assert!(matches!(error, BatchError::Record { offset: 3, index: 0, .. }), "{error}");
        }
    }

    /// What one producer does next.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Write { producer: i64, records: usize },
        WritePlain { producer: i64 },
        End { producer: i64, commit: bool },
    }

    fn step() -> impl Strategy<Value = Step> {
        let producer = 0i64..4;
        prop_oneof![
            4 => (producer.clone(), 1usize..4).prop_map(|(producer, records)| Step::Write { producer, records }),
            1 => (10i64..12).prop_map(|producer| Step::WritePlain { producer }),
            2 => (producer, any::<bool>()).prop_map(|(producer, commit)| Step::End { producer, commit }),
        ]
    }

    /// A log in which every transaction ends, the aborted transactions, and the offsets of batches that were aborted.
    fn log(steps: &[Step]) -> (Vec<RawBatch>, Vec<AbortedTransaction>, BTreeSet<i64>) {
        let (mut batches, mut list, mut gone) = (Vec::<RawBatch>::new(), Vec::new(), BTreeSet::new());
        let mut open: Vec<(i64, Vec<i64>)> = Vec::new();
        let ends = (0..4).map(|producer| Step::End { producer, commit: producer % 2 == 0 });
        for step in steps.iter().copied().chain(ends) {
            let offset = batches.last().map_or(0, |batch| batch.header().next_offset());
            match step {
                Step::Write { producer, records } => {
                    match open.iter_mut().find(|(id, _)| *id == producer) {
                        Some((_, written)) => written.push(offset),
                        None => open.push((producer, vec![offset])),
                    }
                    batches.push(data(offset, producer, records));
                }
                Step::WritePlain { producer } => batches.push(batch(offset, producer, 0, &[b"k"])),
                Step::End { producer, commit } => {
                    let Some(at) = open.iter().position(|(id, _)| *id == producer) else { continue };
                    let (_, written) = open.remove(at);
                    batches.push(marker(offset, producer, u8::from(commit)));
                    if !commit {
                        list.push(aborted(producer, written[0]));
                        gone.extend(written);
                    }
                }
            }
        }
        (batches, list, gone)
    }

    proptest! {
        #[test]
        fn exactly_the_aborted_batches_go_wherever_a_fetch_begins(steps in vec(step(), 0..40), from in 0.0f64..1.0) {
            let (batches, list, gone) = log(&steps);
            let from = (from * batches.len() as f64) as usize;
            let start = batches.get(from).map_or(0, |batch| batch.header().base_offset);
            // A broker lists the transactions that were still open or not yet begun where the fetch starts.
            let ends = |producer: i64, first: i64| {
                let ends = |batch: &&RawBatch| {
                    let header = batch.header();
                    header.is_control() && header.producer_id == producer && header.base_offset > first
                };
                batches.iter().find(ends).map_or(i64::MAX, |batch| batch.header().base_offset)
            };
            let list = list.into_iter().filter(|one| ends(one.producer_id, one.first_offset) >= start).collect();
            let mut filter = AbortedFilter::new(list);
            for batch in &batches[from..] {
                let expected = gone.contains(&batch.header().base_offset);
                prop_assert_eq!(filter.is_aborted(batch).unwrap(), expected, "{:?}", batch.header());
            }
        }
    }
}
