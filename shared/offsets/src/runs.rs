//! Offset runs: which source offset became which target offset.
//!
//! A run is a stretch of records that are dense on both sides. The target is always dense, because a broker refuses a
//! batch with holes, so that a list of runs is a list of `(gap, length)` on the source side and takes a few bytes a run.
//! A partition without transactions or compaction is one run however long it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use migration::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::leb128::{count, put, take};

/// A stretch of records that are dense on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetRun {
    /// Source offset of the first record.
    pub source: i64,
    /// Target offset of the first record.
    pub target: i64,
    /// Number of records, at least 1.
    pub len: i64,
}

impl OffsetRun {
    const fn source_end(self) -> i64 {
        self.source + self.len
    }
}

/// The runs of one stretch of one partition, ascending on both sides and dense on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetRuns {
    /// Target offset of the first record, also while there is none.
    start: i64,
    runs: Vec<OffsetRun>,
}

impl OffsetRuns {
    /// No runs yet; the first record will be at `target`.
    pub const fn starting_at(target: i64) -> Self {
        Self { start: target, runs: Vec::new() }
    }

    /// The runs, ascending.
    pub fn as_slice(&self) -> &[OffsetRun] {
        &self.runs
    }

    /// Number of runs.
    pub const fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether there is no record.
    pub const fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Target offset of the first record, or where it will be.
    pub const fn target_start(&self) -> i64 {
        self.start
    }

    /// Target offset after the last record.
    pub fn target_end(&self) -> i64 {
        self.runs.last().map_or(self.start, |run| run.target + run.len)
    }

    /// Appends `len` records that begin at `source` on the source and follow on the target.
    ///
    /// # Errors
    /// Internal when the source offsets do not ascend; nothing is appended then.
    pub fn push(&mut self, source: i64, len: i64) -> Result<()> {
        let target = self.target_end();
        match self.runs.last_mut() {
            _ if len <= 0 => return Err(Error::internal("an offset run must have a record").at_offset(source)),
            Some(last) if source < last.source_end() => {
                return Err(Error::internal("offset runs must ascend").at_offset(source));
            }
            Some(last) if source == last.source_end() => last.len += len,
            _ => self.runs.push(OffsetRun { source, target, len }),
        }
        Ok(())
    }

    /// Appends `later`, which has to begin where this ends on the target.
    ///
    /// # Errors
    /// Internal when it does not.
    pub fn extend(&mut self, later: &Self) -> Result<()> {
        if later.start != self.target_end() {
            return Err(Error::internal(format_args!(
                "offset runs do not join: {} is followed by {}",
                self.target_end(),
                later.start
            )));
        }
        later.runs.iter().try_for_each(|run| self.push(run.source, run.len))
    }

    /// Makes room for `runs` more. Without it, long lists are copied as they grow.
    pub(crate) fn reserve(&mut self, runs: usize) {
        self.runs.reserve_exact(runs);
    }

    /// Target offset of the first copied record whose source offset is at least `source`; [`Self::target_end`] when there
    /// is none. The one rule for gaps, transaction markers, aborted records and compaction holes.
    pub fn translate(&self, source: i64) -> i64 {
        let after = self.runs.partition_point(|run| run.source <= source);
        let inside = after.checked_sub(1).map(|index| self.runs[index]).filter(|run| source < run.source_end());
        match inside {
            Some(run) => run.target + (source - run.source),
            None => self.runs.get(after).map_or_else(|| self.target_end(), |run| run.target),
        }
    }

    /// Source offset of the record at `target`, if it is one of these.
    pub fn source_of(&self, target: i64) -> Option<i64> {
        let after = self.runs.partition_point(|run| run.target <= target);
        let run = self.runs[after.checked_sub(1)?];
        (target < run.target + run.len).then(|| run.source + (target - run.target))
    }

    /// The compact form: unsigned LEB128 numbers, first the target start, then for each run the gap to the run before it
    /// on the source, and the length.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(10 + self.runs.len() * 3);
        put(&mut out, self.start);
        let mut end = 0;
        for run in &self.runs {
            put(&mut out, run.source - end);
            put(&mut out, run.len);
            end = run.source_end();
        }
        out
    }

    /// Reads [`Self::encode`]'s form. Memory grows with the input only.
    ///
    /// # Errors
    /// Internal when the bytes are not such a form.
    pub fn decode(mut bytes: &[u8]) -> Result<Self> {
        let damaged = || Error::internal("stored offset runs are damaged");
        let mut runs = Self::starting_at(take(&mut bytes).ok_or_else(damaged)?);
        runs.reserve(count(bytes) / 2);
        let mut end = 0_i64;
        while !bytes.is_empty() {
            let gap = take(&mut bytes).ok_or_else(damaged)?;
            let len = take(&mut bytes).ok_or_else(damaged)?;
            let source = end.checked_add(gap).ok_or_else(damaged)?;
            end = source.checked_add(len).ok_or_else(damaged)?;
            runs.target_end().checked_add(len).ok_or_else(damaged)?;
            runs.push(source, len)?;
        }
        Ok(runs)
    }

    /// [`Self::encode`] as text, for the journal and for object metadata.
    pub fn to_text(&self) -> String {
        STANDARD_NO_PAD.encode(self.encode())
    }

    /// Reads [`Self::to_text`]'s form; empty text is no runs from target offset 0.
    ///
    /// # Errors
    /// Internal when the text is not such a form.
    pub fn from_text(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self::starting_at(0));
        }
        let bytes = STANDARD_NO_PAD.decode(text);
        Self::decode(&bytes.map_err(|_| Error::internal("stored offset runs are damaged"))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Ascending source offsets with holes, as a partition's committed records have them.
    fn offsets() -> impl Strategy<Value = (i64, Vec<i64>)> {
        let gaps = proptest::collection::vec(prop_oneof![4 => Just(0_i64), 1 => 1_i64..2000], 0..200);
        (0_i64..1 << 40, 0_i64..1 << 40, gaps).prop_map(|(target, first, gaps)| {
            let mut next = first;
            let sources = gaps.into_iter().map(|gap| {
                next += gap + 1;
                next - 1
            });
            (target, sources.collect())
        })
    }

    fn runs_of(target: i64, sources: &[i64]) -> OffsetRuns {
        let mut runs = OffsetRuns::starting_at(target);
        sources.iter().for_each(|source| runs.push(*source, 1).unwrap());
        runs
    }

    proptest! {
        #[test]
        fn translation_agrees_with_counting((target, sources) in offsets()) {
            let runs = runs_of(target, &sources);
            let (first, last) = (sources.first().copied().unwrap_or(5), sources.last().copied().unwrap_or(5));
            for wanted in (first - 3).max(0)..(last + 3).min(first + 4000) {
                let below = sources.iter().filter(|source| **source < wanted).count();
                prop_assert_eq!(runs.translate(wanted), target + i64::try_from(below).unwrap());
            }
            for (index, source) in sources.iter().enumerate() {
                prop_assert_eq!(runs.source_of(target + i64::try_from(index).unwrap()), Some(*source));
            }
            prop_assert_eq!(runs.source_of(runs.target_end()), None);
        }

        #[test]
        fn the_stored_form_reads_back((target, sources) in offsets()) {
            let runs = runs_of(target, &sources);
            prop_assert_eq!(&OffsetRuns::from_text(&runs.to_text()).unwrap(), &runs);
        }

        #[test]
        fn split_and_joined_is_the_same((target, sources) in offsets(), at in 0_usize..200) {
            let at = at.min(sources.len());
            let mut joined = runs_of(target, &sources[..at]);
            joined.extend(&runs_of(joined.target_end(), &sources[at..])).unwrap();
            prop_assert_eq!(joined, runs_of(target, &sources));
        }

        #[test]
        fn damaged_bytes_are_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = OffsetRuns::decode(&bytes);
        }
    }

    #[test]
    fn offsets_that_go_back_are_refused() {
        let mut runs = OffsetRuns::starting_at(0);
        runs.push(10, 5).unwrap();
        assert!(runs.push(14, 1).is_err());
        assert!(runs.push(20, 0).is_err());
        assert_eq!(runs.target_end(), 5);
    }

    #[test]
    fn a_plain_partition_is_one_run() {
        let mut runs = OffsetRuns::starting_at(0);
        (0..1000).for_each(|batch| runs.push(batch * 10, 10).unwrap());
        assert_eq!(runs.as_slice().len(), 1);
        assert!(runs.encode().len() <= 5);
    }
}
