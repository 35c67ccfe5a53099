//! What a scan of one partition of the target sees.

use kafka::batch::{Entry, Header};

use crate::late::ports::{Scanned, ScannedBatch};

/// Batches of a producer, and offsets that the log does not have any more.
#[derive(Debug)]
pub(super) struct Sight {
    producer: i64,
    /// The offset that comes next where none is missing.
    next: i64,
    gap: Option<i64>,
    bytes: usize,
    batches: Vec<ScannedBatch>,
}

impl Sight {
    /// Of `producer`, by a scan that was to begin at `from` and begins at `begin`, where the log does.
    pub(super) fn new(from: i64, begin: i64, producer: i64) -> Self {
        let gap = (begin > from).then_some(begin);
        Self { producer, next: begin, gap, bytes: 0, batches: Vec::new() }
    }

    /// Takes the next batch. Bytes that were seen so far.
    pub(super) fn take(&mut self, entry: &Entry) -> usize {
        if let Entry::Batch(batch) = entry {
            let header = batch.header();
            if header.base_offset > self.next {
                self.gap = Some(header.base_offset);
            }
            if header.producer_id == self.producer && !header.is_control() {
                self.gap = None;
                self.batches.push(seen(header));
            }
            self.bytes += header.size();
        }
        self.next = entry.next_offset();
        self.bytes
    }

    /// What was seen of a log from `start` to `end`, up to `reached`.
    pub(super) fn scanned(self, start: i64, end: i64, reached: i64) -> Scanned {
        Scanned { start, end, reached, gap: self.gap, batches: self.batches }
    }
}

/// Compaction leaves fewer records in a batch, with a largest timestamp of their own, and its first and last offset as they were.
fn seen(header: &Header) -> ScannedBatch {
    let records = header.next_offset() - header.base_offset;
    ScannedBatch {
        sequence: header.base_sequence,
        records,
        offset: header.base_offset,
        newest: (i64::from(header.records_count) == records).then_some(header.max_timestamp),
        clock: header.timestamp_type(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::batch::{Codec, Record, Stamp, encode};

    fn batch(base: i64, producer: i64) -> Entry {
        let records = [Record { timestamp: 5, ..Record::default() }, Record { timestamp: 6, ..Record::default() }];
        Entry::Batch(encode(&records, Codec::None, Stamp::nth(producer, 0, 0), base).unwrap())
    }

    /// The gap behind which nothing of the producer 7 is seen, of batches of two records.
    fn gap(from: i64, begin: i64, batches: &[(i64, i64)]) -> Option<i64> {
        let mut sight = Sight::new(from, begin, 7);
        batches.iter().for_each(|(base, producer)| _ = sight.take(&batch(*base, *producer)));
        sight.scanned(begin, 90, 90).gap
    }

    #[test]
    fn a_gap_of_offsets_is_seen_unless_a_batch_of_the_producer_follows() {
        assert_eq!(gap(40, 40, &[(40, 1), (42, 1)]), None);
        assert_eq!(gap(41, 41, &[(40, 1), (42, 1)]), None, "the first batch may begin before");
        assert_eq!(gap(40, 40, &[(44, 1), (46, 1)]), Some(44), "compaction took what was there");
        assert_eq!(gap(40, 40, &[(40, 1), (50, 1)]), Some(50));
        assert_eq!(gap(40, 40, &[(44, 1), (46, 7)]), None);
        assert_eq!(gap(40, 40, &[(40, 7), (50, 1)]), Some(50));
        assert_eq!(gap(40, 60, &[(60, 1)]), Some(60), "retention did");
    }

    #[test]
    fn a_batch_is_seen_with_its_timestamps() {
        let mut sight = Sight::new(40, 40, 7);
        sight.take(&batch(40, 7));
        let seen = sight.scanned(0, 42, 42).batches[0];
        assert_eq!((seen.records, seen.offset, seen.newest), (2, 40, Some(6)));
    }
}
