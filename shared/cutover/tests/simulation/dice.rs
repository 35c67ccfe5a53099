//! Everything random comes from one seeded generator, so that a seed is a run.

use std::ops::Range;
use std::time::Duration;

/// The generator of one world.
#[derive(Debug)]
pub(crate) struct Dice(fastrand::Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// True `per_mille` times in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u32) -> bool {
        self.0.u32(0..1000) < per_mille
    }

    pub(crate) fn number(&mut self, range: Range<i64>) -> i64 {
        self.0.i64(range)
    }

    pub(crate) fn index(&mut self, range: Range<usize>) -> usize {
        self.0.usize(range)
    }

    pub(crate) fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.0.usize(..among.len())]
    }

    pub(crate) fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.0.u64(range))
    }
}
