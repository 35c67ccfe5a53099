//! Building batches: from records, and from batches that cannot be copied as they are.

use std::fmt;
use std::ops::RangeBounds;

use super::header::{HEADER_SIZE, Header, LOG_OVERHEAD, Stamp, TimestampType};
use super::offsets::push_offset;
use super::record::RawRecords;
use super::{BatchError, Codec, DecodeLimit, OffsetRun, RawBatch, Record, varint};

/// The leader epoch of a batch that no leader has appended.
const NO_LEADER_EPOCH: i32 = -1;

/// Why a batch cannot be produced with a new stamp alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Compaction removed some of its records, and brokers accept only consecutive offsets from clients.
    Holes,
    /// It begins before the first wanted offset (log start, or where a copy resumes).
    Straddles,
    /// Its timestamps are the broker's; a CreateTime topic would show the producer's instead.
    LogAppendTime,
}

impl Reason {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Holes => "holes",
            Self::Straddles => "straddles",
            Self::LogAppendTime => "log-append-time",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why the batch has to go through [`reencode`] when its records from `first_wanted_offset` on are to be copied, the first
/// reason that applies; none when [`RawBatch::stamped`] is enough. Batches without records to copy (control batches,
/// empty ones, those that end before the offset) are the caller's to leave out.
pub const fn needs_reencoding(header: &Header, first_wanted_offset: i64) -> Option<Reason> {
    if !header.is_dense() {
        Some(Reason::Holes)
    } else if header.base_offset < first_wanted_offset {
        Some(Reason::Straddles)
    } else {
        match header.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(Reason::LogAppendTime),
        }
    }
}

/// A rebuilt batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reencoded {
    /// The batch: dense, CreateTime, with the original's codec and leader epoch. Its base offset is that of its first
    /// record, the offsets after it are consecutive.
    pub batch: RawBatch,
    /// The offsets its records had, in their order.
    pub runs: Vec<OffsetRun>,
}

/// Rebuilds `batch` as producer `stamp`'s with only the records whose offsets are in `keep`; none if there are none. Every
/// record keeps its key, value and headers to the byte, and the timestamp that consumers saw.
///
/// # Errors
/// What [`RawBatch::decode`] reports of the batch as a whole (the insides of a record are not looked at), and
/// [`BatchError::Encode`] for a control batch, whose records mean nothing outside their log.
pub fn reencode(
    batch: &RawBatch,
    keep: impl RangeBounds<i64>,
    stamp: Stamp,
    limit: DecodeLimit,
) -> Result<Option<Reencoded>, BatchError> {
    let header = batch.header();
    let offset = header.base_offset;
    if header.is_control() {
        return Err(BatchError::Encode { offset, reason: "it is a control batch" });
    }
    let data = batch.uncompressed(limit)?;
    let mut records = RawRecords::new(header, &data);
    let mut writer = Writer::with_capacity(data.len());
    let mut runs = Vec::new();
    while let Some(record) = records.next()? {
        if keep.contains(&record.offset) {
            push_offset(&mut runs, record.offset);
            let put_fields = |out: &mut Vec<u8>| out.extend_from_slice(record.fields);
            writer
                .push(record.attributes, record.timestamp, record.fields.len(), put_fields)
                .map_err(|reason| BatchError::Encode { offset, reason })?;
        }
    }
    let Some(first) = runs.first() else { return Ok(None) };
    let batch = writer.finish(first.first, header.partition_leader_epoch, header.codec(), stamp)?;
    Ok(Some(Reencoded { batch, runs }))
}

/// Makes `records` one CreateTime batch of producer `stamp`. The records get consecutive offsets from `base_offset`; the
/// ones in them are not read.
///
/// # Errors
/// [`BatchError::Encode`] without records or beyond what the format can count (2 GiB), [`BatchError::Field`] for an
/// impossible base offset.
pub fn encode(records: &[Record], codec: Codec, stamp: Stamp, base_offset: i64) -> Result<RawBatch, BatchError> {
    let mut writer = Writer::with_capacity(0);
    for record in records {
        const ATTRIBUTES: u8 = 0;
        writer
            .push(ATTRIBUTES, record.timestamp, record.fields_size(), |out| record.put_fields(out))
            .map_err(|reason| BatchError::Encode { offset: base_offset, reason })?;
    }
    writer.finish(base_offset, NO_LEADER_EPOCH, codec, stamp)
}

/// A dense batch in the making.
struct Writer {
    /// Room for the header, then the records.
    buffer: Vec<u8>,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl Writer {
    /// With room for about so many bytes of records.
    fn with_capacity(bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(HEADER_SIZE + bytes);
        buffer.resize(HEADER_SIZE, 0);
        Self { buffer, count: 0, base_timestamp: 0, max_timestamp: i64::MIN }
    }

    /// Adds a record whose fields from the key on are `size` bytes that `put_fields` writes.
    fn push(
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
        varint::put(&mut self.buffer, length as i64);
        self.buffer.push(attributes);
        varint::put(&mut self.buffer, timestamp_delta);
        varint::put(&mut self.buffer, offset_delta);
        let start = self.buffer.len();
        put_fields(&mut self.buffer);
        debug_assert_eq!(self.buffer.len() - start, size);
        Ok(())
    }

    /// Compresses the records and writes the header.
    fn finish(self, base_offset: i64, leader_epoch: i32, codec: Codec, stamp: Stamp) -> Result<RawBatch, BatchError> {
        let impossible = |reason| BatchError::Encode { offset: base_offset, reason };
        if self.count == 0 {
            return Err(impossible("there are none"));
        }
        let mut batch = compressed(self.buffer, codec).map_err(|error| BatchError::Compression {
            offset: base_offset,
            codec,
            reason: error.to_string(),
        })?;
        let header = Header {
            base_offset,
            batch_length: i32::try_from(batch.len() - LOG_OVERHEAD)
                .map_err(|_| impossible("they are larger than the format allows"))?,
            partition_leader_epoch: leader_epoch,
            crc: 0,
            attributes: codec as i16,
            last_offset_delta: self.count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: stamp.producer_id,
            producer_epoch: stamp.producer_epoch,
            base_sequence: stamp.base_sequence,
            records_count: self.count,
        };
        let header = header.checked()?.seal(&mut batch);
        Ok(RawBatch::from_parts(header, batch.into()))
    }
}

/// The batch in `buffer` with everything behind the header compressed.
fn compressed(buffer: Vec<u8>, codec: Codec) -> std::io::Result<Vec<u8>> {
    if codec == Codec::None {
        return Ok(buffer);
    }
    let mut out = Vec::with_capacity(buffer.len() / 2);
    out.resize(HEADER_SIZE, 0);
    codec.compress(&buffer[HEADER_SIZE..], &mut out)?;
    Ok(out)
}
