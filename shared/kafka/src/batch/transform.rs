//! Building batches: from records, and from batches that cannot be copied as they are.

use std::fmt;
use std::ops::RangeBounds;

use super::header::{Header, NO_LEADER_EPOCH, Stamp, TimestampType};
use super::writer::Writer;
use super::{Assembly, BatchError, Codec, DecodeLimit, Entry, RawBatch, Record, Reencoded};

/// Why a batch cannot be produced with a new stamp alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Compaction removed some of its records, and brokers accept only consecutive offsets from clients.
    Holes,
    /// It begins before the first wanted offset (log start, or where a copy resumes).
    Straddles,
    /// Its timestamps are the broker's; a CreateTime topic would show the producer's instead.
    LogAppendTime,
    /// It is of a format before Kafka 0.11, which brokers do not take any more.
    OldFormat,
    /// It is larger than the target takes.
    TooLarge,
    /// It and its neighbours are small, and one batch of all of them is copied many times as fast.
    Merged,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::Holes, Self::Straddles, Self::LogAppendTime, Self::OldFormat, Self::TooLarge, Self::Merged];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Holes => "holes",
            Self::Straddles => "straddles",
            Self::LogAppendTime => "log-append-time",
            Self::OldFormat => "old-format",
            Self::TooLarge => "too-large",
            Self::Merged => "merged",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why the batch has to be encoded again ([`Assembly`]), whatever its size, when its records from `first_wanted_offset` on are to be copied, the first
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

/// Rebuilds `batch` as producer `stamp`'s with only the records whose offsets are in `keep`; none if there are none.
///
/// # Errors
/// Those of [`Assembly`].
pub fn reencode(
    batch: &RawBatch,
    keep: impl RangeBounds<i64>,
    stamp: Stamp,
    limit: DecodeLimit,
) -> Result<Option<Reencoded>, BatchError> {
    let mut assembly = Assembly::new(batch.header().codec());
    assembly.add(&Entry::Batch(batch.clone()), keep, limit)?;
    assembly.finish(stamp)
}

/// Makes `records` one CreateTime batch of producer `stamp`. The records get consecutive offsets from `base_offset`; the
/// ones in them are not read.
///
/// # Errors
/// [`BatchError::Encode`] without records or beyond what the format can count (2 GiB), [`BatchError::Field`] for an
/// impossible base offset.
pub fn encode(records: &[Record], codec: Codec, stamp: Stamp, base_offset: i64) -> Result<RawBatch, BatchError> {
    let mut writer = Writer::with_capacity(0);
    let impossible = |reason| BatchError::Encode { offset: base_offset, reason };
    if records.is_empty() {
        return Err(impossible("there are none"));
    }
    for record in records {
        const ATTRIBUTES: u8 = 0;
        writer
            .push(ATTRIBUTES, record.timestamp, record.fields_size(), |out| record.put_fields(out))
            .map_err(impossible)?;
    }
    let compressed = writer.compress(codec).map_err(|error| BatchError::Compression {
        offset: base_offset,
        codec,
        reason: error.to_string(),
    })?;
    writer.finish(compressed, codec, base_offset, NO_LEADER_EPOCH, stamp)
}
