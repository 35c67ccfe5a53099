//! The 61 bytes before the records (`DefaultRecordBatch`).

use bytes::{Buf, BufMut};

use super::{BatchError, Codec, OffsetRun, crc};

/// Bytes of a batch before its records.
pub const HEADER_SIZE: usize = 61;
/// Bytes of base offset and length, which the length field does not count.
pub(super) const LOG_OVERHEAD: usize = 12;
/// Where the magic byte is, in every format.
pub(super) const MAGIC_AT: usize = 16;
/// The format this module reads.
pub(super) const MAGIC: i8 = 2;
/// Where the checksum is.
const CRC_AT: usize = 17;
/// Where the bytes start that the checksum covers; the attributes are first.
pub(super) const CRC_COVERS_FROM: usize = 21;

const CODEC_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
const DELETE_HORIZON: i16 = 0x40;

/// The largest offset at which any batch may begin without its last offset being beyond what there is.
pub(super) const LARGEST_BASE_OFFSET: i64 = i64::MAX - i32::MAX as i64 - 1;

/// The leader epoch of a batch that no leader has appended.
pub(super) const NO_LEADER_EPOCH: i32 = -1;

/// No producer id, epoch or sequence.
const NONE: i8 = -1;

/// Whose a batch is, for the broker's duplicate detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Producer id that a broker gave out, or -1.
    pub producer_id: i64,
    /// Its epoch, or -1.
    pub producer_epoch: i16,
    /// Sequence of the batch's first record, or -1.
    pub base_sequence: i32,
}

impl Stamp {
    /// No producer: the broker does not look for duplicates.
    pub const NONE: Self = Self { producer_id: NONE as i64, producer_epoch: NONE as i16, base_sequence: NONE as i32 };

    /// The stamp of a batch whose first record is the producer's `nth` (from 0) in the partition: sequences count
    /// records and wrap to 0 after `i32::MAX` (`DefaultRecordBatch.incrementSequence`).
    pub const fn nth(producer_id: i64, producer_epoch: i16, nth: i64) -> Self {
        Self { producer_id, producer_epoch, base_sequence: (nth & i32::MAX as i64) as i32 }
    }
}

/// Whose clock a batch's timestamps are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's, one for each record.
    CreateTime,
    /// The broker's when it appended the batch: every record has the batch's maximum timestamp.
    LogAppendTime,
}

/// A batch's header. One made by [`Header::parse`] has only possible values: offsets and counts are not negative, do
/// not contradict each other, and cannot overflow; the codec is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Offset of the first record when the batch was written; compaction may have removed that record since.
    pub base_offset: i64,
    /// Bytes after this field.
    pub batch_length: i32,
    /// Epoch of the leader that appended the batch; outside the checksum.
    pub partition_leader_epoch: i32,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: i16,
    /// Last offset minus base offset, which compaction preserves.
    pub last_offset_delta: i32,
    /// What the records' timestamps are relative to, in ms: the first record's timestamp, or the delete horizon.
    pub base_timestamp: i64,
    /// The latest timestamp, in ms.
    pub max_timestamp: i64,
    /// Producer id, or -1.
    pub producer_id: i64,
    /// The producer's epoch, or -1.
    pub producer_epoch: i16,
    /// Sequence of the first record, or -1.
    pub base_sequence: i32,
    /// Records in the batch; 0 when compaction has removed all.
    pub records_count: i32,
}

impl Header {
    /// Reads the header at the front of `bytes`.
    ///
    /// # Errors
    /// [`BatchError::NotOneBatch`] for fewer than [`HEADER_SIZE`] bytes, [`BatchError::OldFormat`],
    /// [`BatchError::UnknownFormat`], [`BatchError::Length`], or [`BatchError::Field`] for any other impossible value.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let Some(mut fields) = bytes.get(..HEADER_SIZE) else {
            return Err(BatchError::NotOneBatch { bytes: bytes.len() });
        };
        let base_offset = fields.get_i64();
        let batch_length = fields.get_i32();
        let partition_leader_epoch = fields.get_i32();
        check_magic(base_offset, fields.get_i8())?;
        let header = Self {
            base_offset,
            batch_length,
            partition_leader_epoch,
            crc: fields.get_u32(),
            attributes: fields.get_i16(),
            last_offset_delta: fields.get_i32(),
            base_timestamp: fields.get_i64(),
            max_timestamp: fields.get_i64(),
            producer_id: fields.get_i64(),
            producer_epoch: fields.get_i16(),
            base_sequence: fields.get_i32(),
            records_count: fields.get_i32(),
        };
        header.checked()
    }

    /// Refuses impossible values.
    pub(super) fn checked(self) -> Result<Self, BatchError> {
        let offset = self.base_offset;
        let (delta, count) = (i64::from(self.last_offset_delta), i64::from(self.records_count));
        let impossible = |field, value| Err(BatchError::Field { offset, field, value });
        if (self.batch_length as i64) < (HEADER_SIZE - LOG_OVERHEAD) as i64 {
            return Err(BatchError::Length { offset, length: self.batch_length });
        }
        if !(0..=LARGEST_BASE_OFFSET).contains(&offset) {
            return impossible("base offset", offset);
        }
        if delta < 0 {
            return impossible("last offset delta", delta);
        }
        if !(0..=delta + 1).contains(&count) {
            return impossible("records count", count);
        }
        if Codec::from_id(self.attributes & CODEC_MASK).is_none() {
            return impossible("codec", (self.attributes & CODEC_MASK).into());
        }
        Ok(self)
    }

    /// Offset of the last record when the batch was written.
    pub const fn last_offset(&self) -> i64 {
        self.base_offset + self.last_offset_delta as i64
    }

    /// Offset after the batch.
    pub const fn next_offset(&self) -> i64 {
        self.last_offset() + 1
    }

    /// Whether the batch is a transaction marker or another of the brokers' own, not a client's.
    pub const fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Whether the batch belongs to a transaction.
    pub const fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether the base timestamp is the time from which compaction may remove the batch's tombstones (KIP-534).
    pub const fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON != 0
    }

    /// Whose clock the timestamps are from.
    pub const fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME == 0 { TimestampType::CreateTime } else { TimestampType::LogAppendTime }
    }

    /// How the records are compressed.
    pub fn codec(&self) -> Codec {
        // Parsing refused every other value.
        Codec::from_id(self.attributes & CODEC_MASK).unwrap_or(Codec::None)
    }

    /// Whether a batch written with these offsets still has all its records, so that they are known without decoding.
    pub const fn is_dense(&self) -> bool {
        self.last_offset_delta as i64 + 1 == self.records_count as i64
    }

    /// The offsets of the records of a dense batch.
    pub fn dense_run(&self) -> Option<OffsetRun> {
        self.is_dense().then_some(OffsetRun { first: self.base_offset, count: self.records_count.into() })
    }

    /// Bytes of the whole batch, header included.
    pub const fn size(&self) -> usize {
        LOG_OVERHEAD + self.batch_length as usize
    }

    /// The header of the same records as an ordinary batch of producer `stamp`, its checksum corrected for the change.
    pub(super) fn stamped(self, stamp: Stamp) -> Self {
        let stamped = Self {
            attributes: self.attributes & !(TRANSACTIONAL | DELETE_HORIZON),
            producer_id: stamp.producer_id,
            producer_epoch: stamp.producer_epoch,
            base_sequence: stamp.base_sequence,
            ..self
        };
        let covered = CRC_COVERS_FROM..HEADER_SIZE;
        let (old, new) = (self.to_bytes(), stamped.to_bytes());
        let correction = crc::correction(&old[covered.clone()], &new[covered], self.size() - HEADER_SIZE);
        Self { crc: self.crc ^ correction, ..stamped }
    }

    /// The bytes it is read from.
    pub(super) fn to_bytes(self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        self.write(&mut bytes);
        bytes
    }

    /// Sets the checksum to that of `batch`, which has this header's place at its front, and writes the header there.
    pub(super) fn seal(mut self, batch: &mut [u8]) -> Self {
        self.write(batch);
        self.crc = crc32c::crc32c(&batch[CRC_COVERS_FROM..]);
        batch[CRC_AT..CRC_COVERS_FROM].copy_from_slice(&self.crc.to_be_bytes());
        self
    }

    fn write(&self, mut out: &mut [u8]) {
        out.put_i64(self.base_offset);
        out.put_i32(self.batch_length);
        out.put_i32(self.partition_leader_epoch);
        out.put_i8(MAGIC);
        out.put_u32(self.crc);
        out.put_i16(self.attributes);
        out.put_i32(self.last_offset_delta);
        out.put_i64(self.base_timestamp);
        out.put_i64(self.max_timestamp);
        out.put_i64(self.producer_id);
        out.put_i16(self.producer_epoch);
        out.put_i32(self.base_sequence);
        out.put_i32(self.records_count);
    }
}

/// Refuses every format but this module's.
pub(super) const fn check_magic(offset: i64, magic: i8) -> Result<(), BatchError> {
    match magic {
        MAGIC => Ok(()),
        0 | 1 => Err(BatchError::OldFormat { offset, magic }),
        _ => Err(BatchError::UnknownFormat { offset, magic }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            base_offset: 7,
            batch_length: 49,
            partition_leader_epoch: 3,
            crc: 0xdead_beef,
            attributes: 0x10 | 0x40 | 4,
            last_offset_delta: 9,
            base_timestamp: 1_000,
            max_timestamp: 2_000,
            producer_id: 11,
            producer_epoch: 2,
            base_sequence: 5,
            records_count: 4,
        }
    }

    #[test]
    fn a_header_reads_back() {
        let parsed = Header::parse(&header().to_bytes()).unwrap();
        assert_eq!(parsed, header());
        assert_eq!((parsed.last_offset(), parsed.next_offset(), parsed.size()), (16, 17, HEADER_SIZE));
        assert!(parsed.is_transactional() && parsed.has_delete_horizon() && !parsed.is_control());
        assert_eq!((parsed.codec(), parsed.timestamp_type()), (Codec::Zstd, TimestampType::CreateTime));
        assert_eq!((parsed.is_dense(), parsed.dense_run()), (false, None));
    }

    #[test]
    fn a_stamp_changes_identity_and_two_flags_only() {
        let stamp = Stamp { producer_id: 99, producer_epoch: 0, base_sequence: 1 };
        let stamped = header().stamped(stamp);
        let (attributes, crc) = (Codec::Zstd as i16, stamped.crc);
        let expected = Header { producer_id: 99, producer_epoch: 0, base_sequence: 1, attributes, crc, ..header() };
        assert_eq!(stamped, expected);
    }

    #[test]
    fn sequences_wrap_after_the_largest() {
        let sequence = |nth| Stamp::nth(1, 0, nth).base_sequence;
        assert_eq!(sequence(0), 0);
        assert_eq!(sequence(i32::MAX.into()), i32::MAX);
        assert_eq!(sequence(i64::from(i32::MAX) + 1), 0);
        assert_eq!(sequence(10 * (1 << 31) + 5), 5);
    }

    #[test]
    fn impossible_values_are_refused_by_name() {
        let cases = [
            (Header { base_offset: -1, ..header() }, "base offset"),
            (Header { base_offset: i64::MAX, ..header() }, "base offset"),
            (Header { last_offset_delta: -1, records_count: 0, ..header() }, "last offset delta"),
            (Header { records_count: -1, ..header() }, "records count"),
            (Header { records_count: 11, ..header() }, "records count"),
            (Header { attributes: 5, ..header() }, "codec"),
        ];
        for (header, expected) in cases {
            let error = Header::parse(&header.to_bytes()).unwrap_err();
            assert!(matches!(error, BatchError::Field { field, .. } if field == expected), "{error}");
        }
        let short = Header { batch_length: 48, ..header() };
        assert_eq!(Header::parse(&short.to_bytes()), Err(BatchError::Length { offset: 7, length: 48 }));
        assert_eq!(Header::parse(&[0; 60]), Err(BatchError::NotOneBatch { bytes: 60 }));
    }
}
