//! Writing the records of a dense batch, and the batch around them.

use std::io;

use super::header::{HEADER_SIZE, Header, LOG_OVERHEAD, Stamp};
use super::record::RawRecords;
use super::{BatchError, Codec, RawBatch, varint};

/// Bytes that a record's length, attributes and deltas take at most.
const RECORD_PREFIX_MAX: usize = 2 * varint::MAX_VARINT + varint::MAX_VARLONG + size_of::<u8>();

/// A dense CreateTime batch in the making.
#[derive(Debug)]
pub(super) struct Writer {
    /// Room for the header, then the records.
    buffer: Vec<u8>,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

/// The state of a [`Writer`] to go back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    length: usize,
    count: i32,
    max_timestamp: i64,
}

impl Writer {
    /// With room for about so many bytes of records.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(HEADER_SIZE + bytes);
        buffer.resize(HEADER_SIZE, 0);
        Self { buffer, count: 0, base_timestamp: 0, max_timestamp: i64::MIN }
    }

    /// Records so far.
    pub(super) const fn count(&self) -> i32 {
        self.count
    }

    /// Bytes of the batch before compression.
    pub(super) const fn size(&self) -> usize {
        self.buffer.len()
    }

    /// Makes room for so many bytes of records more.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.buffer.reserve(bytes);
    }

    /// Where the writer stands.
    pub(super) const fn mark(&self) -> Mark {
        Mark { length: self.buffer.len(), count: self.count, max_timestamp: self.max_timestamp }
    }

    /// Takes back every record since `mark`.
    pub(super) fn rewind(&mut self, mark: Mark) {
        self.buffer.truncate(mark.length);
        (self.count, self.max_timestamp) = (mark.count, mark.max_timestamp);
    }

    /// Adds a record whose fields from the key on are `size` bytes that `put_fields` writes.
    pub(super) fn push(
        &mut self,
        attributes: u8,
        timestamp: i64,
        size: usize,
        put_fields: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), &'static str> {
        if self.count == 0 {
            self.base_timestamp = timestamp;
        }
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
        let offset_delta = i64::from(self.count);
        let length = size_of_val(&attributes) + varint::size(timestamp_delta) + varint::size(offset_delta) + size;
        if length > i32::MAX as usize {
            return Err("a record is larger than the format allows");
        }
        self.count = self.count.checked_add(1).ok_or("too many records")?;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.buffer.reserve(RECORD_PREFIX_MAX + size);
        varint::put(&mut self.buffer, length as i64);
        self.buffer.push(attributes);
        varint::put(&mut self.buffer, timestamp_delta);
        varint::put(&mut self.buffer, offset_delta);
        let start = self.buffer.len();
        put_fields(&mut self.buffer);
        debug_assert_eq!(self.buffer.len() - start, size);
        Ok(())
    }

    /// The whole batch with the records compressed and no header yet; nothing when it would have to be copied to be the
    /// same ([`Codec::None`]).
    pub(super) fn compress(&self, codec: Codec) -> io::Result<Option<Vec<u8>>> {
        if codec == Codec::None {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(self.buffer.len() / 2);
        out.resize(HEADER_SIZE, 0);
        codec.compress(&self.buffer[HEADER_SIZE..], &mut out)?;
        Ok(Some(out))
    }

    /// Writes the header in front of `compressed`, which [`Self::compress`] made with `codec`.
    pub(super) fn finish(
        self,
        compressed: Option<Vec<u8>>,
        codec: Codec,
        base_offset: i64,
        leader_epoch: i32,
        stamp: Stamp,
    ) -> Result<RawBatch, BatchError> {
        let header = self.header(codec, base_offset, leader_epoch, stamp);
        let mut batch = compressed.unwrap_or(self.buffer);
        let batch_length = i32::try_from(batch.len() - LOG_OVERHEAD).map_err(|_| BatchError::Encode {
            offset: base_offset,
            reason: "they are larger than the format allows",
        })?;
        let header = Header { batch_length, ..header }.checked()?.seal(&mut batch);
        Ok(RawBatch::from_parts(header, batch.into()))
    }

    /// Reads the records back; their offsets count from 0.
    pub(super) fn records(&self) -> RawRecords<'_> {
        RawRecords::new(&self.header(Codec::None, 0, 0, Stamp::NONE), &self.buffer[HEADER_SIZE..])
    }

    /// The header but for length and checksum.
    fn header(&self, codec: Codec, base_offset: i64, partition_leader_epoch: i32, stamp: Stamp) -> Header {
        Header {
            base_offset,
            batch_length: 0,
            partition_leader_epoch,
            crc: 0,
            attributes: codec as i16,
            last_offset_delta: self.count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: stamp.producer_id,
            producer_epoch: stamp.producer_epoch,
            base_sequence: stamp.base_sequence,
            records_count: self.count,
        }
    }
}
