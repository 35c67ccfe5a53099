//! Making new batches out of the records of stored ones.

use std::ops::RangeBounds;

use super::header::{NO_LEADER_EPOCH, Stamp};
use super::offsets::push_offset;
use super::record::{RawRecord, RawRecords, fields_size, put_fields};
use super::stream::RecordStream;
use super::writer::{Mark, Writer};
use super::{BatchError, Codec, DecodeLimit, Entry, OffsetRun, OldMessage, RawBatch};

/// Share of a size limit that a part of a batch is planned to take, in sixteenths: parts compress a little worse than the
/// whole, and a part that misses the limit has to be cut and compressed again.
const PLANNED: usize = 15;

/// A batch made of records of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reencoded {
    /// The batch: dense and CreateTime. Its base offset is that of its first record, the offsets after it are
    /// consecutive.
    pub batch: RawBatch,
    /// The offsets its records had, in their order.
    pub runs: Vec<OffsetRun>,
}

/// Gathers records of one partition, in their order, for new batches. Every record keeps its key, value and headers to the
/// byte, and the timestamp that consumers saw. Records of batches are not taken apart: their fields are copied as they
/// lie, behind new deltas.
#[derive(Debug)]
pub struct Assembly {
    writer: Writer,
    codec: Codec,
    /// Of the first batch.
    leader_epoch: Option<i32>,
    runs: Vec<OffsetRun>,
}

impl Assembly {
    /// Of no records yet, to be compressed with `codec`.
    pub fn new(codec: Codec) -> Self {
        Self { writer: Writer::with_capacity(0), codec, leader_epoch: None, runs: Vec::new() }
    }

    /// Bytes of the records before compression, and a header.
    pub const fn plain_size(&self) -> usize {
        self.writer.size()
    }

    /// How the records will be compressed.
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// Adds the records of `entry` whose offsets are in `keep`. After an error, none of them is there.
    ///
    /// # Errors
    /// What [`RawBatch::decode`] and [`OldMessage::decode`] report of the entry as a whole (the insides of a batch's record
    /// are not looked at), and [`BatchError::Encode`] for a control batch, whose records mean nothing outside their log,
    /// or beyond what the format can count.
    pub fn add(&mut self, entry: &Entry, keep: impl RangeBounds<i64>, limit: DecodeLimit) -> Result<(), BatchError> {
        let (mark, runs) = (self.writer.mark(), self.runs.len());
        let last_run = self.runs.last().copied();
        let added = match entry {
            Entry::Batch(batch) => self.add_batch(batch, &keep, limit),
            Entry::Old(message) => self.add_message(message, &keep, limit),
        };
        if added.is_err() {
            self.rewind(mark, runs, last_run);
        }
        added
    }

    /// Gathers the records of `batch` from offset `from` on piece by piece, for a batch that unpacks to more than is to be held at
    /// once: `part` gets those of about `size` bytes before compression, again and again, as [`Codec`] of the batch. A record has
    /// at most `limit`.
    ///
    /// # Errors
    /// Those of `part`, and of [`Self::add`]; what `part` did not get by then was not looked at.
    pub fn in_parts(
        batch: &RawBatch,
        from: i64,
        (size, limit): (usize, DecodeLimit),
        mut part: impl FnMut(Self) -> Result<(), BatchError>,
    ) -> Result<(), BatchError> {
        let header = batch.header();
        let empty = || Self { leader_epoch: Some(header.partition_leader_epoch), ..Self::new(header.codec()) };
        let (mut records, mut gathered) = (RecordStream::new(batch, limit)?, empty());
        while let Some(record) = records.next()? {
            if record.offset < from {
                continue;
            }
            gathered.push(&record, record.offset)?;
            if gathered.plain_size() >= size {
                part(std::mem::replace(&mut gathered, empty()))?;
            }
        }
        part(gathered)
    }

    /// The source offset behind the last record; none if there are no records.
    pub fn end(&self) -> Option<i64> {
        self.runs.last().map(OffsetRun::end)
    }

    /// The records as one batch of producer `stamp`; none if there are none.
    ///
    /// # Errors
    /// [`BatchError::Compression`]; [`BatchError::Encode`] beyond what the format can count (2 GiB).
    pub fn finish(self, stamp: Stamp) -> Result<Option<Reencoded>, BatchError> {
        let Some(first) = self.runs.first().map(|run| run.first) else { return Ok(None) };
        let compressed = self.compress(first)?;
        self.sealed(compressed, first, stamp).map(Some)
    }

    /// Appends the records to `out` as batches of at most `max_bytes` each, of no producer yet.
    ///
    /// # Errors
    /// Those of [`Self::finish`], and [`BatchError::RecordTooLarge`] for a record that alone is larger; the records before
    /// the fault are in `out` then.
    pub fn finish_within(self, max_bytes: usize, out: &mut Vec<Reencoded>) -> Result<(), BatchError> {
        let Some(first) = self.runs.first().map(|run| run.first) else { return Ok(()) };
        let compressed = self.compress(first)?;
        let bytes = compressed.as_ref().map_or(self.writer.size(), Vec::len);
        if bytes <= max_bytes {
            out.push(self.sealed(compressed, first, Stamp::NONE)?);
            return Ok(());
        }
        if self.writer.count() == 1 {
            return Err(BatchError::RecordTooLarge { offset: first, bytes, limit: max_bytes });
        }
        drop(compressed);
        let plain = self.writer.size();
        let planned = (max_bytes / 16 * PLANNED) as f64 / bytes as f64 * plain as f64;
        // At most half, so that every cut makes at least two parts.
        self.cut((planned as usize).min(plain / 2))?.into_iter().try_for_each(|part| part.finish_within(max_bytes, out))
    }

    fn add_batch(
        &mut self,
        batch: &RawBatch,
        keep: &impl RangeBounds<i64>,
        limit: DecodeLimit,
    ) -> Result<(), BatchError> {
        let header = batch.header();
        let offset = header.base_offset;
        if header.is_control() {
            return Err(BatchError::Encode { offset, reason: "it is a control batch" });
        }
        self.leader_epoch.get_or_insert(header.partition_leader_epoch);
        let data = batch.uncompressed(limit)?;
        self.writer.reserve(data.len());
        let mut records = RawRecords::new(header, &data);
        while let Some(record) = records.next()? {
            if keep.contains(&record.offset) {
                self.push(&record, record.offset)?;
            }
        }
        Ok(())
    }

    /// Adds a record whose offset on the source is `offset`.
    fn push(&mut self, record: &RawRecord<'_>, offset: i64) -> Result<(), BatchError> {
        let put_fields = |out: &mut Vec<u8>| out.extend_from_slice(record.fields);
        self.writer
            .push(record.attributes, record.timestamp, record.fields.len(), put_fields)
            .map_err(|reason| BatchError::Encode { offset, reason })?;
        push_offset(&mut self.runs, offset);
        Ok(())
    }

    fn add_message(
        &mut self,
        message: &OldMessage,
        keep: &impl RangeBounds<i64>,
        limit: DecodeLimit,
    ) -> Result<(), BatchError> {
        message.for_each(limit, |record| {
            if !keep.contains(&record.offset) {
                return Ok(());
            }
            const ATTRIBUTES: u8 = 0;
            self.writer
                .push(ATTRIBUTES, record.timestamp, fields_size(record.key, record.value), |out| {
                    put_fields(out, record.key, record.value);
                })
                .map_err(|reason| BatchError::Encode { offset: message.offset(), reason })?;
            push_offset(&mut self.runs, record.offset);
            Ok(())
        })
    }

    fn rewind(&mut self, mark: Mark, runs: usize, last_run: Option<OffsetRun>) {
        self.writer.rewind(mark);
        self.runs.truncate(runs);
        if let (Some(run), Some(before)) = (self.runs.last_mut(), last_run) {
            *run = before;
        }
    }

    fn compress(&self, offset: i64) -> Result<Option<Vec<u8>>, BatchError> {
        let codec = self.codec;
        let failed = |error: std::io::Error| BatchError::Compression { offset, codec, reason: error.to_string() };
        self.writer.compress(codec).map_err(failed)
    }

    fn sealed(self, compressed: Option<Vec<u8>>, first: i64, stamp: Stamp) -> Result<Reencoded, BatchError> {
        let leader_epoch = self.leader_epoch.unwrap_or(NO_LEADER_EPOCH);
        let batch = self.writer.finish(compressed, self.codec, first, leader_epoch, stamp)?;
        Ok(Reencoded { batch, runs: self.runs })
    }

    /// The same records in assemblies of about `size` bytes before compression, of at least one record each.
    fn cut(self, size: usize) -> Result<Vec<Self>, BatchError> {
        let empty = || Self { leader_epoch: self.leader_epoch, ..Self::new(self.codec) };
        let mut offsets = self.runs.iter().flat_map(|run| run.first..run.end());
        let (mut parts, mut part) = (Vec::new(), empty());
        let mut records = self.writer.records();
        while let (Some(record), Some(offset)) = (records.next()?, offsets.next()) {
            if part.writer.count() > 0 && part.writer.size() + record.fields.len() > size {
                parts.push(std::mem::replace(&mut part, empty()));
            }
            part.push(&record, offset)?;
        }
        parts.push(part);
        Ok(parts)
    }
}
