//! The logs on both sides: batches with offsets, and what a leader remembers of producers (`ProducerStateManager`).

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cutover::late::ports::{Scanned, ScannedBatch};
use kafka::batch::{Codec, DecodeLimit, RawBatch, Record, Stamp, TimestampType, encode};
use kafka::{Api, Code, ConfigEntry, Place, TopicPartition};

/// Batches of a producer that a leader remembers.
const REMEMBERED: usize = 5;

/// A record whose value is `id`, which no other record has.
fn record(id: u64) -> Record {
    Record { timestamp: 1_000 + id as i64, value: Some(Bytes::from(id.to_string())), ..Record::default() }
}

/// A partition of the source.
#[derive(Debug, Default)]
pub(crate) struct SourceLog {
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// Offset and id of every record that was ever written.
    pub(crate) history: Vec<(i64, u64)>,
    batches: Vec<(i64, Bytes)>,
}

impl SourceLog {
    pub(crate) fn starting_at(offset: i64) -> Self {
        Self { start: offset, end: offset, ..Self::default() }
    }

    pub(crate) fn write(&mut self, ids: &[u64], codec: Codec) {
        let records: Vec<_> = ids.iter().map(|id| record(*id)).collect();
        let batch = encode(&records, codec, Stamp::NONE, self.end).unwrap();
        self.history.extend((self.end..).zip(ids.iter().copied()));
        self.batches.push((self.end, batch.into_bytes()));
        self.end += ids.len() as i64;
    }

    /// At most `most` whole batches from the one that holds `offset` on.
    pub(crate) fn read(&self, offset: i64, most: usize) -> Bytes {
        let behind = self.batches.iter().rposition(|(base, _)| *base <= offset).unwrap_or(0);
        let mut bytes = BytesMut::new();
        self.batches.iter().skip(behind).take(most).for_each(|(_, batch)| bytes.extend_from_slice(batch));
        bytes.freeze()
    }

    /// Removes whole batches below `offset`.
    pub(crate) fn remove_below(&mut self, offset: i64) -> bool {
        let before = self.start;
        self.batches.retain(|(base, _)| *base >= offset);
        self.start = self.batches.first().map_or(self.end, |(base, _)| *base);
        self.start > before
    }
}

/// A batch on the target.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) offset: i64,
    pub(crate) producer: i64,
    pub(crate) sequence: i32,
    pub(crate) ids: Vec<u64>,
    /// Whether compaction removed it.
    pub(crate) cleaned: bool,
}

impl Entry {
    fn last_sequence(&self) -> i32 {
        self.sequence + self.ids.len() as i32 - 1
    }
}

/// A partition of the target.
#[derive(Debug, Default)]
pub(crate) struct TargetLog {
    /// Every batch, removed ones too, without those that a leader lost.
    pub(crate) entries: Vec<Entry>,
    pub(crate) start: i64,
    /// Batches that every replica has.
    pub(crate) replicated: usize,
    /// Batches of which producers are forgotten.
    forgotten: usize,
    pub(crate) removed: bool,
    /// Counts changes of leaders.
    pub(crate) leader: u32,
    /// Why nobody can ask for it, and why nobody can once an append is stored.
    pub(crate) absent: Option<Absent>,
    pub(crate) absent_later: Option<Absent>,
}

/// Why a partition cannot be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    NoLeader,
    Deleted,
}

/// How a leader takes a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Appended(usize),
    Duplicate(usize),
}

impl TargetLog {
    pub(crate) fn end(&self) -> i64 {
        self.entries.last().map_or(0, |last| last.offset + last.ids.len() as i64)
    }

    pub(crate) fn high_watermark(&self) -> i64 {
        self.entries[..self.replicated].last().map_or(0, |last| last.offset + last.ids.len() as i64)
    }

    pub(crate) fn client_writes(&mut self, ids: Vec<u64>) {
        let offset = self.end();
        self.entries.push(Entry { offset, producer: -1, sequence: -1, ids, cleaned: false });
    }

    /// Takes a batch of an idempotent producer, as `ProducerAppendInfo` and `ProducerStateEntry` check it.
    pub(crate) fn take(&mut self, batch: Bytes) -> Result<Taken, Code> {
        let batch = RawBatch::parse(batch).unwrap();
        batch.verify_crc().unwrap();
        let header = *batch.header();
        let known = self.entries.iter().enumerate().skip(self.forgotten);
        let known: Vec<_> = known.filter(|(_, entry)| entry.producer == header.producer_id).collect();
        let last_five = &known[known.len().saturating_sub(REMEMBERED)..];
        let count = header.records_count as usize;
        if let Some((index, _)) =
            last_five.iter().find(|(_, entry)| entry.sequence == header.base_sequence && entry.ids.len() == count)
        {
            return Ok(Taken::Duplicate(*index));
        }
        if known.last().is_some_and(|(_, last)| last.last_sequence() + 1 != header.base_sequence) {
            return Err(Code::OutOfOrderSequenceNumber);
        }
        let records = batch.decode(DecodeLimit::default()).unwrap();
        let id = |record: &Record| {
            let id = std::str::from_utf8(record.value.as_ref().unwrap()).unwrap().parse().unwrap();
            assert_eq!(record.timestamp, 1_000 + id as i64, "a timestamp was changed");
            id
        };
        let ids = records.iter().map(id).collect();
        let offset = self.end();
        self.entries.push(Entry {
            offset,
            producer: header.producer_id,
            sequence: header.base_sequence,
            ids,
            cleaned: false,
        });
        Ok(Taken::Appended(self.entries.len() - 1))
    }

    /// Itself, when it can be asked for.
    pub(crate) fn absence(&self, partition: &TopicPartition) -> kafka::Result<&Self> {
        match self.absent {
            None => Ok(self),
            Some(_) => Err(kafka::Error::NoLeader { partition: partition.clone() }),
        }
    }

    /// The topic's configs: none that matters.
    pub(crate) fn configs(&self, topic: &Arc<str>) -> kafka::Result<Vec<ConfigEntry>> {
        if self.absent == Some(Absent::Deleted) {
            let (api, code) = (Api::DescribeConfigs, Code::UnknownTopicOrPartition);
            return Err(kafka::Error::Broker { api, code, place: Place::Topic(topic.clone()), message: None });
        }
        Ok(Vec::new())
    }

    /// At most `most` batches from `from` on.
    pub(crate) fn scan(&self, from: i64, producer: i64, most: usize) -> Option<Scanned> {
        let end = self.high_watermark();
        if end < from {
            return None;
        }
        let is_there = |entry: &&Entry| entry.offset >= from.max(self.start) && !entry.cleaned;
        let visible = self.entries[..self.replicated].iter().filter(is_there);
        let visible: Vec<_> = visible.collect();
        let reached = visible.get(most).map_or(end, |later| later.offset).max(self.start);
        let batch = |entry: &Entry| ScannedBatch {
            sequence: entry.sequence,
            records: entry.ids.len() as i64,
            offset: entry.offset,
            newest: entry.ids.iter().map(|id| 1_000 + *id as i64).max(),
            clock: TimestampType::CreateTime,
        };
        let begin = from.max(self.start);
        let mut scanned = Scanned { start: self.start, end: end.max(self.start), reached, ..Scanned::default() };
        scanned.gap = (begin > from).then_some(begin);
        let mut next = begin;
        for entry in visible.into_iter().take(most) {
            scanned.gap = if entry.offset > next { Some(entry.offset) } else { scanned.gap };
            next = entry.offset + entry.ids.len() as i64;
            if entry.producer == producer {
                scanned.gap = None;
                scanned.batches.push(batch(entry));
            }
        }
        Some(scanned)
    }

    /// Another replica leads, without what was not replicated. Whether something was lost.
    pub(crate) fn change_leader(&mut self) -> bool {
        let lost = self.entries.len() > self.replicated;
        self.entries.truncate(self.replicated);
        self.forgotten = self.forgotten.min(self.entries.len());
        self.leader += 1;
        lost
    }

    /// Producers of all that is there are forgotten.
    pub(crate) fn forget(&mut self) {
        self.forgotten = self.entries.len();
    }

    /// Removes one batch, which is neither the last one nor the last one of a producer that is remembered
    /// (`Cleaner.shouldDiscardBatch`).
    pub(crate) fn compact(&mut self, which: usize) -> bool {
        let is_last = |at: usize| {
            let later = &self.entries[at + 1..];
            let producer = self.entries[at].producer;
            at >= self.forgotten && producer >= 0 && later.iter().all(|entry| entry.producer != producer)
        };
        if which + 1 >= self.replicated || self.entries[which].cleaned || is_last(which) {
            return false;
        }
        self.entries[which].cleaned = true;
        self.removed = true;
        true
    }

    /// Removes everything below the high watermark.
    pub(crate) fn remove_all(&mut self) -> bool {
        let before = self.start;
        self.start = self.high_watermark();
        self.removed |= self.start > before;
        self.start > before
    }
}
