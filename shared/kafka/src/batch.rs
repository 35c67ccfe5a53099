//! Kafka record batches (magic 2, KIP-98) as bytes: cut, check, re-stamp, decode and rebuild them.
//!
//! A copy should carry a batch as the producer wrote it, so the normal way touches the header only:
//!
//! 1. [`entries`] cuts a fetched record set into [`RawBatch`]es and older messages without copying;
//! 2. [`AbortedFilter`] and [`Header`] tell which of them hold records to copy;
//! 3. [`RawBatch::stamped`] puts a header with the copier's producer identity before the records;
//! 4. [`StampedBatch::to_produce`] gives the bytes a Produce request wants, the records still where they were read.
//!
//! A broker takes only batches whose records have consecutive offsets and keep their own timestamps, and none above a
//! size. The few others ([`needs_reencoding`]), messages of older formats ([`OldMessage`]) and small neighbours that are
//! worth merging go through an [`Assembly`], which makes new batches around the untouched bytes of each record's key, value
//! and headers.
//!
//! Everything here is pure computation on untrusted bytes: malformed input gives a [`BatchError`] that names the offset,
//! and decompression stops at a [`DecodeLimit`]. What unpacks to more than that is read record by record ([`Entry::visit`]).

use bytes::Bytes;

mod aborted;
mod assembly;
mod codec;
mod control;
mod crc;
mod error;
mod header;
mod offsets;
mod old;
mod record;
mod snappy;
mod split;
mod stamped;
mod stream;
mod transform;
mod unappendable;
mod varint;
mod writer;

pub use aborted::{AbortedFilter, AbortedTransaction};
pub use assembly::{Assembly, Reencoded};
pub use codec::{Codec, DecodeLimit};
pub use control::{ControlType, Marker, control_type, markers};
pub use crc::crc_combine;
pub use error::BatchError;
pub use header::{HEADER_SIZE, Header, Stamp, TimestampType};
pub use offsets::{OffsetRun, record_offsets};
pub use old::OldMessage;
pub use record::{Record, RecordView};
pub use split::{Batches, Entries, Entry, entries, split};
pub use stamped::{ProduceBytes, StampedBatch};
pub use transform::{Reason, encode, needs_reencoding, reencode};

pub(crate) use record::record_size;
pub(crate) use unappendable::unappendable;

use record::RawRecords;

/// One whole record batch: its bytes and the header read from them.
///
/// The header is well-formed and the bytes are exactly as long as it says; whether the checksum holds is only known
/// after [`RawBatch::verify_crc`], and whether the records can be read after [`RawBatch::decode`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawBatch {
    header: Header,
    bytes: Bytes,
}

impl RawBatch {
    /// Reads `bytes` as exactly one batch.
    ///
    /// # Errors
    /// What [`split`] reports, or [`BatchError::NotOneBatch`] when bytes are missing or left over.
    pub fn parse(bytes: Bytes) -> Result<Self, BatchError> {
        let size = bytes.len();
        let mut batches = split(bytes);
        match batches.next() {
            Some(Ok(batch)) if batches.rest().is_empty() => Ok(batch),
            Some(Err(error)) => Err(error),
            Some(Ok(_)) | None => Err(BatchError::NotOneBatch { bytes: size }),
        }
    }

    /// Pairs a header with the bytes it was read from or written to.
    fn from_parts(header: Header, bytes: Bytes) -> Self {
        debug_assert_eq!(header.size(), bytes.len());
        Self { header, bytes }
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The whole batch, header included, as a broker stores it in a log segment.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The whole batch, giving up the header.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Checks the stored CRC-32C against the bytes it covers (attributes to the end).
    ///
    /// # Errors
    /// [`BatchError::Crc`] when they differ.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let computed = crc32c::crc32c(&self.bytes[header::CRC_COVERS_FROM..]);
        if computed == self.header.crc {
            return Ok(());
        }
        Err(BatchError::Crc { offset: self.header.base_offset, stored: self.header.crc, computed })
    }

    /// Makes the batch one of producer `stamp`: sets producer id, epoch and base sequence, and clears the transactional
    /// and delete horizon flags. Offsets, timestamps, leader epoch and records stay as they are.
    ///
    /// Clearing the delete horizon flag alters no timestamp: with the flag set the base timestamp field holds the
    /// horizon, and the log cleaner wrote every record's delta relative to that same value, so readers add the two
    /// whether the flag is set or not (`MemoryRecordsBuilder` and `DefaultRecordBatch.RecordIterator`, KIP-534).
    ///
    /// The checksum is carried over, not computed anew: the old one is corrected by the effect of the changed header
    /// bytes. That costs no pass over the records, and a batch damaged before the stamp still fails its check after it,
    /// at the latest in the broker that receives it.
    ///
    /// Copies nothing. Control batches and LogAppendTime batches are not for this: a broker rejects the former from clients
    /// and would give the latter's records different timestamps.
    #[must_use]
    pub fn stamped(self, stamp: Stamp) -> StampedBatch {
        StampedBatch::from_parts(self.header.stamped(stamp), self.bytes.slice(HEADER_SIZE..))
    }

    /// The batch as a Produce request carries it, without copying.
    pub fn to_produce(&self) -> ProduceBytes {
        StampedBatch::from(self.clone()).to_produce()
    }

    /// Reads every record, with its offset and the timestamp a consumer would see.
    ///
    /// Records of an uncompressed batch point into the batch, those of a compressed one into one decompressed buffer.
    /// Beyond the buffer, memory stays within a small multiple of the limit.
    ///
    /// # Errors
    /// [`BatchError::TooLarge`] beyond `limit`, and the error that names the fault when the records are malformed, cut
    /// off, out of order or followed by more bytes.
    pub fn decode(&self, limit: DecodeLimit) -> Result<Vec<Record>, BatchError> {
        let data = self.uncompressed(limit)?;
        let mut raw = RawRecords::new(&self.header, &data);
        let mut records = Vec::with_capacity(raw.size_limit());
        while let Some(record) = raw.next()? {
            records.push(record.materialise(&data).map_err(|fault| raw.error(record.index, fault))?);
        }
        Ok(records)
    }

    /// The bytes of the records, decompressed; nothing for a batch that compaction emptied.
    fn uncompressed(&self, limit: DecodeLimit) -> Result<Bytes, BatchError> {
        if self.header.records_count == 0 {
            return Ok(Bytes::new());
        }
        let data = self.bytes.slice(HEADER_SIZE..);
        self.header.codec().decompress(data, limit, self.header.base_offset)
    }
}

#[cfg(test)]
mod tests;
