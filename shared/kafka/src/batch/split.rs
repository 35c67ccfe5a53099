//! Cutting a record set into batches.

use bytes::{Buf, Bytes};

use super::header::{HEADER_SIZE, Header, LOG_OVERHEAD, MAGIC, MAGIC_AT, check_magic};
use super::{BatchError, RawBatch};

/// Smallest value of the length field in any format (`LegacyRecord.RECORD_OVERHEAD_V0`).
const SMALLEST_LENGTH: usize = 14;

/// Cuts `records`, the record set of a fetch response or a log segment, into its batches without copying.
///
/// Brokers cut a response at its size limit, so a batch that is not all there is the silent end; [`Batches::rest`] tells.
/// Checksums are not computed ([`RawBatch::verify_crc`]). After an error the iterator is at its end, because what
/// follows cannot be told apart.
pub fn split(records: Bytes) -> Batches {
    Batches { rest: records, failed: false }
}

/// Iterator of [`split`].
#[derive(Debug, Clone)]
pub struct Batches {
    rest: Bytes,
    failed: bool,
}

impl Batches {
    /// What has not been given out: at the end, the start of a batch that was cut off, or what the error is about.
    pub const fn rest(&self) -> &Bytes {
        &self.rest
    }

    /// Bytes of the next batch, whole or cut off, if enough is there to tell: what a fetch has to allow to get it.
    pub fn next_size(&self) -> Option<usize> {
        let length = self.rest.get(size_of::<i64>()..)?.try_get_i32().ok()?;
        usize::try_from(length).ok().map(|length| LOG_OVERHEAD + length)
    }

    fn take_batch(&mut self) -> Result<Option<RawBatch>, BatchError> {
        let (mut fields, size) = (&self.rest[..], self.next_size());
        let (Ok(offset), Ok(length)) = (fields.try_get_i64(), fields.try_get_i32()) else { return Ok(None) };
        let Some(size) = size.filter(|size| *size >= LOG_OVERHEAD + SMALLEST_LENGTH) else {
            return Err(BatchError::Length { offset, length });
        };
        let Some(magic) = self.rest.get(MAGIC_AT) else { return Ok(None) };
        if magic.cast_signed() == MAGIC && size < HEADER_SIZE {
            return Err(BatchError::Length { offset, length });
        }
        check_magic(offset, magic.cast_signed())?;
        if self.rest.len() < size {
            return Ok(None);
        }
        let header = Header::parse(&self.rest)?;
        Ok(Some(RawBatch::from_parts(header, self.rest.split_to(size))))
    }
}

impl Iterator for Batches {
    type Item = Result<RawBatch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.take_batch();
        self.failed = next.is_err();
        next.transpose()
    }
}
