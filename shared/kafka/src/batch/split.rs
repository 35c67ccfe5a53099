//! Cutting a record set into what it holds.

use bytes::{Buf, Bytes};

use super::header::{HEADER_SIZE, Header, LOG_OVERHEAD, MAGIC, MAGIC_AT};
use super::{BatchError, Codec, OldMessage, RawBatch};

/// Smallest value of the length field in any format (`LegacyRecord.RECORD_OVERHEAD_V0`).
const SMALLEST_LENGTH: usize = 14;

/// What a log holds one after the other. A topic whose `message.format.version` was raised has old messages in front of
/// batches, and a follower of such a leader may see both in one record set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A batch of the format of today.
    Batch(RawBatch),
    /// A message, or several compressed into one, of the formats before Kafka 0.11.
    Old(OldMessage),
}

impl Entry {
    /// Bytes in the log.
    pub const fn size(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.header().size(),
            Self::Old(message) => message.size(),
        }
    }

    /// Offset after its last record.
    pub const fn next_offset(&self) -> i64 {
        match self {
            Self::Batch(batch) => batch.header().next_offset(),
            Self::Old(message) => message.next_offset(),
        }
    }

    /// How its records are compressed.
    pub fn codec(&self) -> Codec {
        match self {
            Self::Batch(batch) => batch.header().codec(),
            Self::Old(message) => message.codec(),
        }
    }

    /// Checks the stored checksum.
    ///
    /// # Errors
    /// [`BatchError::Crc`] when it does not hold.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        match self {
            Self::Batch(batch) => batch.verify_crc(),
            Self::Old(message) => message.verify_crc(),
        }
    }
}

/// Cuts `records`, the record set of a fetch response or a log segment, into its entries without copying.
///
/// Brokers cut a response at its size limit, so an entry that is not all there is the silent end; [`Entries::rest`] tells.
/// Checksums are not computed ([`Entry::verify_crc`]). After an error the iterator is at its end, because what follows
/// cannot be told apart.
pub fn entries(records: Bytes) -> Entries {
    Entries { rest: records, failed: false }
}

/// The same as [`entries`] for record sets that hold batches alone; an old message is [`BatchError::OldFormat`].
pub fn split(records: Bytes) -> Batches {
    Batches(entries(records))
}

/// Iterator of [`entries`].
#[derive(Debug, Clone)]
pub struct Entries {
    rest: Bytes,
    failed: bool,
}

impl Entries {
    /// What has not been given out: at the end, the start of an entry that was cut off, or what the error is about.
    pub const fn rest(&self) -> &Bytes {
        &self.rest
    }

    /// Bytes of the next entry, whole or cut off, if enough is there to tell: what a fetch has to allow to get it.
    pub fn next_size(&self) -> Option<usize> {
        let length = self.rest.get(size_of::<i64>()..)?.try_get_i32().ok()?;
        usize::try_from(length).ok().map(|length| LOG_OVERHEAD + length)
    }

    fn take_entry(&mut self) -> Result<Option<Entry>, BatchError> {
        let (mut fields, size) = (&self.rest[..], self.next_size());
        let (Ok(offset), Ok(length)) = (fields.try_get_i64(), fields.try_get_i32()) else { return Ok(None) };
        let Some(size) = size.filter(|size| *size >= LOG_OVERHEAD + SMALLEST_LENGTH) else {
            return Err(BatchError::Length { offset, length });
        };
        let Some(magic) = self.rest.get(MAGIC_AT) else { return Ok(None) };
        let magic = magic.cast_signed();
        match magic {
            MAGIC if size < HEADER_SIZE => return Err(BatchError::Length { offset, length }),
            0..=MAGIC => {}
            _ => return Err(BatchError::UnknownFormat { offset, magic }),
        }
        if self.rest.len() < size {
            return Ok(None);
        }
        if magic == MAGIC {
            let header = Header::parse(&self.rest)?;
            return Ok(Some(Entry::Batch(RawBatch::from_parts(header, self.rest.split_to(size)))));
        }
        let message = OldMessage::parse(self.rest.slice(..size))?;
        self.rest.advance(size);
        Ok(Some(Entry::Old(message)))
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.take_entry();
        self.failed = next.is_err();
        next.transpose()
    }
}

/// Iterator of [`split`].
#[derive(Debug, Clone)]
pub struct Batches(Entries);

impl Batches {
    /// See [`Entries::rest`].
    pub const fn rest(&self) -> &Bytes {
        self.0.rest()
    }

    /// See [`Entries::next_size`].
    pub fn next_size(&self) -> Option<usize> {
        self.0.next_size()
    }
}

impl Iterator for Batches {
    type Item = Result<RawBatch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let before = self.0.rest.clone();
        let message = match self.0.next()? {
            Ok(Entry::Batch(batch)) => return Some(Ok(batch)),
            Err(error) => return Some(Err(error)),
            Ok(Entry::Old(message)) => message,
        };
        self.0 = Entries { rest: before, failed: true };
        Some(Err(BatchError::OldFormat { offset: message.offset(), magic: message.magic() }))
    }
}
