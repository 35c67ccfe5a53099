//! A batch on its way to another cluster: a new header before records that stay where they were read.

use bytes::Bytes;

use super::header::CRC_COVERS_FROM;
use super::{HEADER_SIZE, Header, RawBatch, crc_combine};

/// A batch of the copier's: its own header, and the records of a [`RawBatch`] untouched and not copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StampedBatch {
    header: Header,
    records: Bytes,
}

impl StampedBatch {
    /// `records` are the bytes behind the header's.
    pub(super) fn from_parts(header: Header, records: Bytes) -> Self {
        debug_assert_eq!(header.size(), HEADER_SIZE + records.len());
        Self { header, records }
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes of the whole batch.
    pub const fn size(&self) -> usize {
        self.header.size()
    }

    /// The whole batch as a log segment holds it, in two pieces to write one after the other.
    pub fn log_pieces(&self) -> [Bytes; 2] {
        [Bytes::copy_from_slice(&self.header.to_bytes()), self.records.clone()]
    }

    /// CRC-32C of [`Self::log_pieces`], without a pass over the records: the header's checksum covers them.
    pub fn log_crc(&self) -> u32 {
        let front = crc32c::crc32c(&self.header.to_bytes()[..CRC_COVERS_FROM]);
        crc_combine(front, self.header.crc, self.size() - CRC_COVERS_FROM)
    }

    /// The batch as a Produce request carries it.
    pub fn to_produce(&self) -> ProduceBytes {
        let header = Header { base_offset: 0, ..self.header };
        ProduceBytes([Bytes::copy_from_slice(&header.to_bytes()), self.records.clone()])
    }

    /// The same batch in one piece, which copies the records.
    pub fn to_raw(&self) -> RawBatch {
        RawBatch::from_parts(self.header, self.log_pieces().concat().into())
    }
}

/// A batch that carries its stamp already, as one read from a segment.
impl From<RawBatch> for StampedBatch {
    fn from(batch: RawBatch) -> Self {
        Self::from_parts(*batch.header(), batch.into_bytes().slice(HEADER_SIZE..))
    }
}

/// A batch as a Produce request carries it, with base offset 0, which is outside the checksum. In two pieces to write one
/// after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProduceBytes([Bytes; 2]);

impl ProduceBytes {
    /// Bytes of both pieces.
    pub const fn size(&self) -> usize {
        self.0[0].len() + self.0[1].len()
    }

    /// The pieces.
    pub const fn pieces(&self) -> &[Bytes; 2] {
        &self.0
    }

    /// Both pieces in one, which copies them.
    pub fn concat(&self) -> Bytes {
        self.0.concat().into()
    }
}

/// Bytes that are sent as they are.
impl From<Bytes> for ProduceBytes {
    fn from(bytes: Bytes) -> Self {
        Self([bytes, Bytes::new()])
    }
}
