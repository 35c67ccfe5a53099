//! Messages of the formats before Kafka 0.11: magic 0, and magic 1 with timestamps (`LegacyRecord`,
//! `AbstractLegacyRecordBatch`, KIP-31, KIP-32).
//!
//! A log that was written in them still holds them, and a fetch returns them as they are. A message is a record, or a
//! *wrapper* whose value is the compressed messages of a producer's batch.

use bytes::{Buf, Bytes};

use super::codec::LARGEST_OLD_CODEC;
use super::header::{LARGEST_BASE_OFFSET, LOG_OVERHEAD};
use super::record::RecordView;
use super::{BatchError, Codec, DecodeLimit, Record};

/// Timestamp of a record that has none (`RecordBatch.NO_TIMESTAMP`).
const NO_TIMESTAMP: i64 = -1;
/// Bytes of checksum, magic and attributes.
const PREFIX: usize = 6;
/// Where the bytes start that the checksum covers, counted from the checksum on; the magic is first.
const CRC_COVERS_FROM: usize = 4;

const CODEC_MASK: i8 = 0x07;
const LOG_APPEND_TIME: i8 = 0x08;

/// One message of magic 0 or 1 as it lies in a log: a record, or a wrapper around compressed records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldMessage {
    offset: i64,
    message: Message,
}

/// A message without its offset.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    /// From the checksum to the end.
    bytes: Bytes,
    magic: i8,
    codec: Codec,
    is_log_append_time: bool,
    timestamp: i64,
}

impl OldMessage {
    /// Reads `entry`, which is offset, length and as many bytes as the length says.
    pub(super) fn parse(mut entry: Bytes) -> Result<Self, BatchError> {
        let offset = entry.get_i64();
        entry.advance(LOG_OVERHEAD - size_of::<i64>());
        if !(0..=LARGEST_BASE_OFFSET).contains(&offset) {
            return Err(BatchError::Field { offset, field: "offset", value: offset });
        }
        let message = Message::parse(entry).map_err(|fault| BatchError::Record { offset, index: 0, fault })?;
        Ok(Self { offset, message })
    }

    /// Offset of the record; of a wrapper, that of its last record.
    pub const fn offset(&self) -> i64 {
        self.offset
    }

    /// Offset after the last record.
    pub const fn next_offset(&self) -> i64 {
        self.offset + 1
    }

    /// The format, 0 or 1.
    pub const fn magic(&self) -> i8 {
        self.message.magic
    }

    /// How the records are compressed; never with zstd, which is younger than these formats.
    pub const fn codec(&self) -> Codec {
        self.message.codec
    }

    /// Bytes in the log, offset and length included.
    pub const fn size(&self) -> usize {
        LOG_OVERHEAD + self.message.bytes.len()
    }

    /// Checks the stored CRC-32 (of IEEE 802.3, not the CRC-32C of batches). What a wrapper holds is checked record by
    /// record when it is read.
    ///
    /// # Errors
    /// [`BatchError::Crc`] when it does not hold.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        self.message.verify_crc(self.offset)
    }

    /// Reads every record, with its offset and the timestamp a consumer would see. Headers are younger than the formats.
    ///
    /// # Errors
    /// [`BatchError::TooLarge`] beyond `limit`, and the error that names the fault when a wrapper does not hold whole,
    /// undamaged, uncompressed messages with ascending offsets up to its own.
    pub fn decode(&self, limit: DecodeLimit) -> Result<Vec<Record>, BatchError> {
        let mut records = Vec::new();
        self.for_each(limit, |record| {
            records.push(record.to_record()?);
            Ok(())
        })?;
        Ok(records)
    }

    /// Gives every record to `take`, in order. The timestamp is what a consumer sees: -1 in magic 0, the wrapper's if the broker's
    /// clock set it, else the record's own.
    ///
    /// # Errors
    /// Those of `take` and of [`Self::decode`].
    pub(super) fn for_each(
        &self,
        limit: DecodeLimit,
        mut take: impl FnMut(&RecordView<'_>) -> Result<(), BatchError>,
    ) -> Result<(), BatchError> {
        let invalid = |index, fault| BatchError::Record { offset: self.offset, index, fault };
        let parts = self.message.key_and_value().map_err(|fault| invalid(0, fault))?;
        let Some(codec) = self.compression() else {
            return take(&RecordView::without_headers(self.offset, self.message.timestamp, parts));
        };
        let value = parts[1].ok_or_else(|| invalid(0, "a compressed message has no value"))?;
        let data = self.message.bytes.slice_ref(value);
        let data = codec.decompress_old(data, self.message.magic, limit, self.offset)?;
        let base = self.base_offset(&data)?;
        let mut inner = Inner { rest: data, index: 0 };
        let mut next = 0;
        while let Some((relative, message)) = inner.next().map_err(|fault| invalid(inner.index, fault))? {
            let index = inner.index - 1;
            if message.codec != Codec::None {
                return Err(invalid(index, "a compressed message lies within another"));
            }
            message.verify_crc(self.offset)?;
            let offset = relative.checked_add(base).filter(|offset| (next..=self.offset).contains(offset));
            let offset = offset.ok_or_else(|| invalid(index, "the offset is out of order or outside the message"))?;
            let parts = message.key_and_value().map_err(|fault| invalid(index, fault))?;
            take(&RecordView::without_headers(offset, self.timestamp_of(&message), parts))?;
            next = offset + 1;
        }
        Ok(())
    }

    fn compression(&self) -> Option<Codec> {
        Some(self.message.codec).filter(|codec| *codec != Codec::None)
    }

    /// What to add to the offsets of the messages in `data`. They are absolute in a wrapper of magic 0; in one of magic 1
    /// they are relative to a first record that compaction may have removed, and the wrapper has the last one's (KIP-31).
    fn base_offset(&self, data: &Bytes) -> Result<i64, BatchError> {
        let invalid = |index, fault| BatchError::Record { offset: self.offset, index, fault };
        let (mut inner, mut last) = (Inner { rest: data.clone(), index: 0 }, None);
        while let Some((relative, _)) = inner.next().map_err(|fault| invalid(inner.index, fault))? {
            last = Some(relative);
        }
        let last = last.ok_or_else(|| invalid(0, "a compressed message holds no others"))?;
        match self.message.magic {
            0 => Ok(0),
            _ => self
                .offset
                .checked_sub(last)
                .filter(|base| *base >= 0)
                .ok_or_else(|| invalid(inner.index - 1, "the offset is beyond that of the message around it")),
        }
    }

    fn timestamp_of(&self, inner: &Message) -> i64 {
        match inner.magic {
            0 => NO_TIMESTAMP,
            _ if self.message.is_log_append_time => self.message.timestamp,
            _ => inner.timestamp,
        }
    }
}

impl Message {
    /// Reads the fields before the key. The lengths behind them are looked at by [`Self::key_and_value`].
    fn parse(bytes: Bytes) -> Result<Self, &'static str> {
        const TOO_SHORT: &str = "the message ends within its fields";
        let mut fields = bytes.get(CRC_COVERS_FROM..).ok_or(TOO_SHORT)?;
        let magic = fields.try_get_i8().map_err(|_| TOO_SHORT)?;
        let attributes = fields.try_get_i8().map_err(|_| TOO_SHORT)?;
        let timestamp = match magic {
            0 => NO_TIMESTAMP,
            1 => fields.try_get_i64().map_err(|_| TOO_SHORT)?,
            _ => return Err("the message is of another format"),
        };
        let codec = Codec::from_id(i16::from(attributes & CODEC_MASK)).filter(|codec| *codec <= LARGEST_OLD_CODEC);
        let codec = codec.ok_or("the message has an impossible codec")?;
        let is_log_append_time = magic > 0 && attributes & LOG_APPEND_TIME != 0;
        Ok(Self { bytes, magic, codec, is_log_append_time, timestamp })
    }

    fn verify_crc(&self, offset: i64) -> Result<(), BatchError> {
        let (mut stored, covered) = self.bytes.split_at(CRC_COVERS_FROM);
        let mut crc = flate2::Crc::new();
        crc.update(covered);
        match (stored.get_u32(), crc.sum()) {
            (stored, computed) if stored == computed => Ok(()),
            (stored, computed) => Err(BatchError::Crc { offset, stored, computed }),
        }
    }

    fn key_and_value(&self) -> Result<[Option<&[u8]>; 2], &'static str> {
        let timestamp = if self.magic == 0 { 0 } else { size_of::<i64>() };
        let mut fields = self.bytes.get(PREFIX + timestamp..).ok_or("the message ends within its fields")?;
        Ok([read_nullable(&mut fields)?, read_nullable(&mut fields)?])
    }
}

/// A field behind its length; any negative length is null (`Utils.sizeDelimited`).
fn read_nullable<'a>(fields: &mut &'a [u8]) -> Result<Option<&'a [u8]>, &'static str> {
    let length = fields.try_get_i32().map_err(|_| "the message ends within its fields")?;
    let Ok(length) = usize::try_from(length) else { return Ok(None) };
    let (part, rest) = fields.split_at_checked(length).ok_or("a field reaches beyond the message")?;
    *fields = rest;
    Ok(Some(part))
}

/// The messages in a wrapper.
struct Inner {
    rest: Bytes,
    /// Messages read.
    index: usize,
}

impl Inner {
    /// The next message and its offset as stored; none at the end.
    fn next(&mut self) -> Result<Option<(i64, Message)>, &'static str> {
        const CUT_OFF: &str = "the message is cut off";
        if self.rest.is_empty() {
            return Ok(None);
        }
        let offset = self.rest.try_get_i64().map_err(|_| CUT_OFF)?;
        let length = self.rest.try_get_i32().map_err(|_| CUT_OFF)?;
        let length = usize::try_from(length).map_err(|_| "the length is negative")?;
        if length > self.rest.len() {
            return Err(CUT_OFF);
        }
        let message = Message::parse(self.rest.split_to(length))?;
        self.index += 1;
        Ok(Some((offset, message)))
    }
}

#[cfg(test)]
mod tests;
