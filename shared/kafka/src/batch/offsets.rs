//! Which offsets the records of a batch have.

use super::stream::RecordStream;
use super::{BatchError, DecodeLimit, RawBatch};

/// Consecutive offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetRun {
    /// The first.
    pub first: i64,
    /// How many; at least 1.
    pub count: i64,
}

impl OffsetRun {
    /// The offset after the last.
    pub const fn end(&self) -> i64 {
        self.first + self.count
    }
}

/// The offsets of the batch's records as the longest runs possible, ascending. Reads the header alone unless compaction
/// has left holes, and else one record at a time, of at most `limit`.
///
/// # Errors
/// What [`RawBatch::visit`] reports of a batch with holes.
pub fn record_offsets(batch: &RawBatch, limit: DecodeLimit) -> Result<Vec<OffsetRun>, BatchError> {
    if let Some(run) = batch.header().dense_run() {
        return Ok(vec![run]);
    }
    let mut records = RecordStream::new(batch, limit)?;
    let mut runs = Vec::new();
    while let Some(record) = records.next()? {
        push_offset(&mut runs, record.offset);
    }
    Ok(runs)
}

/// Adds an offset above all so far.
pub(super) fn push_offset(runs: &mut Vec<OffsetRun>, offset: i64) {
    match runs.last_mut() {
        Some(run) if run.end() == offset => run.count += 1,
        _ => runs.push(OffsetRun { first: offset, count: 1 }),
    }
}
