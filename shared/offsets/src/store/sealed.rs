//! A sealed object: the runs of one part of a partition, and the list of the parts before it.

use migration::{Error, Result, TopicPartition};

use crate::leb128::{put, take};
use crate::runs::OffsetRuns;

/// Begins a sealed object.
const MAGIC: &[u8; 8] = b"MSKRUNS1";

/// One sealed part as the parts after it list it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Source offset of the first record.
    pub(super) source: i64,
    /// Target offset of the first record.
    pub(super) target: i64,
    /// Number of records, at least 1.
    pub(super) records: i64,
    /// Number of runs, at least 1.
    pub(super) runs: usize,
    /// Epoch of the invocation that stored it.
    pub(super) epoch: u64,
}

impl Part {
    /// The part that `runs` are, when `epoch` stores them; none without runs.
    pub(super) fn of(runs: &OffsetRuns, epoch: u64) -> Option<Self> {
        let source = runs.as_slice().first()?.source;
        let target = runs.target_start();
        Some(Self { source, target, records: runs.target_end() - target, runs: runs.len(), epoch })
    }

    /// Target offset after the last record.
    pub(super) const fn target_end(&self) -> i64 {
        self.target + self.records
    }

    /// The object's name. It says which records the object is about, so that two objects of one name hold the same runs,
    /// and whose it is, so that an invocation that was overtaken replaces none that a newer one refers to.
    pub(super) fn name(&self, partition: &TopicPartition) -> String {
        let TopicPartition { topic, partition } = partition;
        format!("runs/{topic}/{partition}/{:020}-{:020}-{}.runs", self.target, self.target_end(), self.epoch)
    }
}

/// The content of a sealed object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sealed {
    /// Every part from target offset 0 on; the last one is this object.
    pub(super) parts: Vec<Part>,
    /// The runs of the last part.
    pub(super) runs: OffsetRuns,
}

impl Sealed {
    /// [`MAGIC`], then unsigned LEB128 numbers: how many parts there are, for each part the gap between its first source
    /// offset and that of the part before it, records, runs and epoch, and then the runs as [`OffsetRuns::encode`] has
    /// them.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put(&mut out, self.parts.len() as i64);
        let mut source = 0;
        for part in &self.parts {
            put(&mut out, part.source - source);
            put(&mut out, part.records);
            put(&mut out, part.runs as i64);
            put(&mut out, part.epoch.cast_signed());
            source = part.source;
        }
        out.extend(self.runs.encode());
        out
    }

    /// Reads [`Self::encode`]'s form. Memory grows with the input only.
    ///
    /// # Errors
    /// Internal when the bytes are not such a form, or list another last part than they hold.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let damaged = || Error::internal("stored offset runs are damaged");
        let mut rest = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?;
        let parts = take_parts(&mut rest).ok_or_else(damaged)?;
        let runs = OffsetRuns::decode(rest)?;
        let last = parts.last().ok_or_else(damaged)?;
        match Part::of(&runs, last.epoch) {
            Some(own) if own == *last => Ok(Self { parts, runs }),
            _ => Err(damaged()),
        }
    }
}

fn take_parts(bytes: &mut &[u8]) -> Option<Vec<Part>> {
    let count = take(bytes)?;
    let mut parts = Vec::new();
    let (mut source, mut target) = (0_i64, 0_i64);
    for _ in 0..count {
        source = source.checked_add(take(bytes)?)?;
        let records = take(bytes).filter(|records| *records > 0)?;
        let runs = usize::try_from(take(bytes)?).ok()?;
        let epoch = take(bytes)?.cast_unsigned();
        parts.push(Part { source, target, records, runs, epoch });
        target = target.checked_add(records)?;
    }
    Some(parts)
}
