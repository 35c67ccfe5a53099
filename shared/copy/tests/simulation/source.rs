//! The source's logs as a leader keeps them: segments, transactions, compaction, deletion, and the answer to a fetch
//! (`UnifiedLog.read`, `LogSegment.read`, `TransactionIndex`).

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use kafka::batch::Record;
use kafka::{AbortedTransaction, Code, Fetched};

use crate::dice::Dice;
use crate::wire::Batch;

/// Where in a batch begins what its checksum covers.
const CHECKED: usize = 21;

/// A batch in a log.
#[derive(Debug)]
struct Entry {
    batch: Batch,
    bytes: Bytes,
}

/// A transaction that ended in an abort.
#[derive(Debug)]
struct Aborted {
    producer: i64,
    first: i64,
    /// Offset of its marker.
    last: i64,
}

/// One partition's log, and what really happened to it.
#[derive(Debug, Default)]
pub(crate) struct SourceLog {
    entries: Vec<Entry>,
    /// First offsets of segments. A fetch is answered out of one.
    segments: BTreeSet<i64>,
    end: i64,
    start: i64,
    /// Where it has ever started.
    pub(crate) starts: BTreeSet<i64>,
    /// Open transactions: producer, and the records of each so far.
    open: BTreeMap<i64, Vec<Record>>,
    aborted: Vec<Aborted>,
    /// Every record that was ever committed, as a consumer sees it.
    pub(crate) committed: BTreeMap<i64, Record>,
    /// Offsets of committed records that compaction took.
    pub(crate) compacted: BTreeSet<i64>,
    /// Offsets of batches of which a bit was flipped.
    pub(crate) damaged: BTreeSet<i64>,
}

impl SourceLog {
    /// An empty log that begins at `start`.
    pub(crate) fn starting_at(start: i64) -> Self {
        let starts = BTreeSet::from([start]);
        Self { start, end: start, segments: starts.clone(), starts, ..Self::default() }
    }

    pub(crate) const fn start(&self) -> i64 {
        self.start
    }

    pub(crate) const fn end(&self) -> i64 {
        self.end
    }

    /// Producers with an open transaction.
    pub(crate) fn open(&self) -> Vec<i64> {
        self.open.keys().copied().collect()
    }

    pub(crate) fn last_stable(&self) -> i64 {
        let firsts = self.open.values().filter_map(|records| records.first());
        // Not below the log start (`UnifiedLog.maybeIncrementFirstUnstableOffset`).
        firsts.map(|record| record.offset).min().unwrap_or(self.end).max(self.start)
    }

    /// Begins a new segment.
    pub(crate) fn roll(&mut self) {
        self.segments.insert(self.end);
    }

    /// Appends `batch`, whose records and base are numbered here.
    pub(crate) fn append(&mut self, mut batch: Batch) {
        batch.base = self.end;
        batch.last_delta = batch.records.len() as i32 - 1;
        for (offset, record) in (self.end..).zip(&mut batch.records) {
            record.offset = offset;
        }
        self.end += batch.records.len() as i64;
        let mut seen = batch.records.clone();
        if let Some(time) = batch.append_time {
            seen.iter_mut().for_each(|record| record.timestamp = time);
        }
        match batch.transactional {
            true => self.open.entry(batch.producer).or_default().extend(seen),
            false => self.committed.extend(seen.into_iter().map(|record| (record.offset, record))),
        }
        self.entries.push(Entry { bytes: batch.encode(), batch });
    }

    /// Ends the open transaction of `producer` with a marker.
    pub(crate) fn end_transaction(&mut self, producer: i64, commit: bool, timestamp: i64) {
        let Some(records) = self.open.remove(&producer) else { return };
        let key = Bytes::from(vec![0, 0, 0, u8::from(commit)]);
        let marker = Record {
            offset: self.end,
            timestamp,
            key: Some(key),
            value: Some(Bytes::from(vec![0; 6])),
            headers: Vec::new(),
        };
        let batch = Batch {
            base: self.end,
            transactional: true,
            control: true,
            producer,
            sequence: -1,
            records: vec![marker],
            ..Batch::default()
        };
        if commit {
            self.committed.extend(records.into_iter().map(|record| (record.offset, record)));
        } else {
            self.aborted.push(Aborted { producer, first: records[0].offset, last: self.end });
        }
        self.entries.push(Entry { bytes: batch.encode(), batch });
        self.end += 1;
    }

    /// Moves the log start, possibly into a batch or an open transaction (`DeleteRecords`).
    pub(crate) fn delete_before(&mut self, start: i64) {
        self.start = self.start.max(start.min(self.end));
        self.starts.insert(self.start);
        self.entries.retain(|entry| entry.batch.last() >= self.start);
    }

    /// Takes some records of ended transactions below `before`, as the log cleaner does: batches keep their first and last
    /// offsets, emptied ones go or stay without records, and a marker goes after what it marks.
    pub(crate) fn compact(&mut self, before: i64, per_mille: u32, dice: &mut Dice) {
        let before = before.min(self.last_stable());
        if before <= self.start {
            return;
        }
        let mut holding: BTreeSet<i64> = BTreeSet::new();
        let mut kept = Vec::with_capacity(self.entries.len());
        for mut entry in std::mem::take(&mut self.entries) {
            let batch = &mut entry.batch;
            let goes = batch.last() < before && !self.damaged.contains(&batch.base);
            if goes && batch.control {
                if !holding.contains(&batch.producer) && dice.chance(per_mille) {
                    continue;
                }
            } else if goes && !batch.records.is_empty() {
                let all = dice.chance(per_mille / 3);
                batch.records.retain(|_| !all && !dice.chance(per_mille));
                if batch.records.is_empty() && dice.chance(700) {
                    continue;
                }
                entry.bytes = batch.encode();
            }
            let batch = &entry.batch;
            if batch.control {
                holding.remove(&batch.producer);
            } else if batch.transactional && !batch.records.is_empty() {
                holding.insert(batch.producer);
            }
            kept.push(entry);
        }
        self.entries = kept;
        // A marker and its line in the index go together (`CleanedTransactionMetadata`).
        let markers: BTreeSet<i64> =
            self.entries.iter().filter(|entry| entry.batch.control).map(|entry| entry.batch.base).collect();
        self.aborted.retain(|aborted| markers.contains(&aborted.last));
        let left: BTreeSet<i64> =
            self.entries.iter().flat_map(|entry| &entry.batch.records).map(|record| record.offset).collect();
        let gone = self.committed.range(self.start..before).map(|(offset, _)| *offset);
        self.compacted.extend(gone.filter(|offset| !left.contains(offset)));
    }

    /// Flips a bit of what the checksum covers in a batch at or behind `from`, if there is one.
    pub(crate) fn damage(&mut self, from: i64, dice: &mut Dice) {
        let intact = |entry: &&mut Entry| entry.batch.base >= from && !self.damaged.contains(&entry.batch.base);
        let Some(entry) = self.entries.iter_mut().find(intact) else { return };
        let mut bytes = entry.bytes.to_vec();
        let at = dice.index(CHECKED..bytes.len());
        bytes[at] ^= 1 << dice.index(0..8);
        entry.bytes = bytes.into();
        self.damaged.insert(entry.batch.base);
    }

    /// The answer to a read-committed fetch at `offset` of at most `max_bytes`, or one batch of any size if `min_one`.
    pub(crate) fn fetch(&self, offset: i64, max_bytes: usize, min_one: bool) -> Result<Fetched, Code> {
        if offset < self.start || offset > self.end {
            return Err(Code::OffsetOutOfRange);
        }
        let stable = self.last_stable();
        // The last stable offset may lie in a batch of an open transaction, when the log start does.
        let readable = |entry: &&Entry| offset < stable && entry.batch.last() >= offset && entry.batch.base < stable;
        let mut found = self.entries.iter().filter(readable).peekable();
        let mut fetched = Fetched {
            high_watermark: self.end,
            last_stable_offset: stable,
            log_start: self.start,
            aborted: Vec::new(),
            records: Bytes::new(),
        };
        let Some(first) = found.peek() else { return Ok(fetched) };
        let behind = first.batch.base + 1;
        let segment_end = self.segments.range(behind..).next().copied().unwrap_or(i64::MAX);
        let limit = if min_one { max_bytes.max(first.bytes.len()) } else { max_bytes };
        if limit < first.bytes.len() {
            return Ok(fetched);
        }
        let mut records = BytesMut::new();
        for entry in found.take_while(|entry| entry.batch.base < segment_end) {
            let room = limit - records.len();
            records.extend_from_slice(&entry.bytes[..entry.bytes.len().min(room)]);
            if records.len() == limit {
                break;
            }
        }
        fetched.records = records.freeze();
        let reaches = |aborted: &&Aborted| aborted.last >= offset && aborted.first < segment_end;
        let listed =
            |aborted: &Aborted| AbortedTransaction { producer_id: aborted.producer, first_offset: aborted.first };
        fetched.aborted = self.aborted.iter().filter(reaches).map(listed).collect();
        Ok(fetched)
    }

    /// Committed records that a consumer would still find.
    pub(crate) fn present(&self) -> impl Iterator<Item = i64> + '_ {
        let stable = self.last_stable();
        self.committed.range(self.start..stable).map(|(offset, _)| *offset).filter(|at| !self.compacted.contains(at))
    }
}
