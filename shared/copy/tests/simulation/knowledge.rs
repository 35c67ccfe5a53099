//! What invocations know of the target, and what they must not do when they know it.
//!
//! A leader that has forgotten the producer takes any batch. What comes of it is excused where nobody could have known,
//! and only there.

use std::collections::BTreeMap;

use crate::target::{TargetLog, Written};
use crate::wire::Batch;

/// Half of the sequence numbers: one that is further ahead than this is behind.
const HALF: i64 = 1 << 30;

/// What the invocations of a world know.
#[derive(Debug, Default)]
pub(crate) struct Knowledge {
    /// Where partitions end, as invocations were told.
    ends: BTreeMap<(usize, usize), i64>,
    /// The invocation that claimed last.
    pub(crate) claimer: usize,
    /// The first thing that an invocation should not have done.
    pub(crate) misdeed: Option<String>,
}

impl Knowledge {
    /// Invocation `number` is told that `partition` ends at `end`.
    pub(crate) fn told(&mut self, number: usize, partition: usize, end: i64) {
        self.ends.insert((number, partition), end);
    }

    /// The end of `partition` was lost with its leader.
    pub(crate) fn lost(&mut self, partition: usize) {
        self.ends.retain(|(_, known), _| *known != partition);
    }

    /// Invocation `number` sends `batch`: not what lies on the target already, as far as it knows.
    pub(crate) fn sends(&mut self, number: usize, partition: usize, batch: &Batch) {
        let Some(end) = self.ends.get(&(number, partition)) else { return };
        let ahead = (i64::from(batch.sequence) - end) & i64::from(i32::MAX);
        if ahead > HALF {
            let sequence = batch.sequence;
            self.blame(format!("{number} sends sequence {sequence} to {partition}, which it knows to end at {end}"));
        }
    }

    /// A leader that had forgotten the producer took a batch of invocation `number` where it does not belong. `late` is
    /// what arrives behind the end of its connection; `log` is how it was before.
    pub(crate) fn misplaced(&mut self, number: usize, partition: usize, late: bool, log: &TargetLog) {
        let overtaken = number != self.claimer;
        let others = log.written().is_some_and(|written| written.by != number || written.late);
        // What follows the last batch may be on its way by then.
        let forgotten = log.written().zip(log.forgot()).is_some_and(|(Written { at, .. }, forgot)| forgot >= at);
        if !(overtaken || late || others || forgotten) {
            self.blame(format!("{number} sent a batch to {partition} behind one that was not acknowledged"));
        }
    }

    fn blame(&mut self, misdeed: String) {
        self.misdeed.get_or_insert(misdeed);
    }
}
