//! The journal's items, under the conditions of `journal::cutover`, `journal::transition` and `journal::freeze`.

use chrono::{DateTime, Utc};
use cutover::ports::Attempt;
use journal::{CutoverLease, StoredFence, TailWanted};
use migration::progress::PartitionProgress;
use migration::{BatchId, Error, Phase, Result};

use crate::setup::Setup;
use crate::tail::Tail;

/// The run's item, its freeze, and the progress of its batches.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) phase: Phase,
    pub(crate) version: u64,
    pub(crate) committed: bool,
    pub(crate) plan: Option<String>,
    pub(crate) epoch: u64,
    /// Since when producers are frozen, by the clock of whoever confirmed it; none once they were let go.
    pub(crate) frozen_at: Option<DateTime<Utc>>,
    /// Guards the freeze's record.
    pub(crate) edition: u64,
    pub(crate) wanted: TailWanted,
    pub(crate) fence: Option<StoredFence>,
    pub(crate) attempt: Option<Attempt>,
    /// Progress by batch.
    pub(crate) progress: Vec<Vec<PartitionProgress>>,
}

/// The run's item as somebody read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) phase: Phase,
    pub(crate) version: u64,
    pub(crate) committed: bool,
    pub(crate) plan: Option<String>,
    pub(crate) epoch: u64,
}

impl Item {
    pub(crate) fn new(setup: &Setup, tail: &Tail) -> Self {
        Self {
            phase: Phase::DrainReady,
            version: 6,
            committed: false,
            plan: None,
            epoch: 0,
            frozen_at: None,
            edition: 0,
            wanted: TailWanted::Run,
            fence: None,
            attempt: None,
            progress: (0..setup.batches).map(|batch| tail.of_batch(setup, batch)).collect(),
        }
    }

    pub(crate) fn meta(&self) -> Meta {
        let Self { phase, version, committed, epoch, .. } = *self;
        Meta { phase, version, committed, plan: self.plan.clone(), epoch }
    }

    /// Counts the epoch up, in phase `cutover` alone.
    pub(crate) fn claim(&mut self) -> Result<(CutoverLease, Option<String>)> {
        if self.phase != Phase::Cutover {
            return Err(not_in_cutover(self.phase));
        }
        self.epoch += 1;
        Ok((CutoverLease { version: self.version, epoch: self.epoch }, self.plan.clone()))
    }

    /// The conditional write of the mark; whether its condition held.
    pub(crate) fn mark(&mut self, lease: &CutoverLease, plan: &str) -> bool {
        let holds = self.phase == Phase::Cutover
            && self.version == lease.version
            && self.epoch == lease.epoch
            && !self.committed;
        if holds {
            (self.committed, self.plan) = (true, Some(plan.to_owned()));
        }
        holds
    }

    /// The conditional write of a transition; whether the item was still as `meta` says.
    pub(crate) fn advance(&mut self, meta: &Meta, to: Phase) -> bool {
        let holds = self.phase == meta.phase && self.version == meta.version && self.committed == meta.committed;
        if holds {
            (self.phase, self.version) = (to, self.version + 1);
        }
        holds
    }

    /// The conditional write of the freeze's record; whether nobody wrote it since `edition`.
    pub(crate) fn set_frozen(&mut self, edition: u64, at: Option<DateTime<Utc>>) -> bool {
        let holds = self.edition == edition;
        if holds {
            (self.edition, self.frozen_at) = (edition + 1, at);
        }
        holds
    }

    /// Progress of each of `batches`.
    pub(crate) fn progress(&self, batches: &[BatchId]) -> Vec<(BatchId, Vec<PartitionProgress>)> {
        batches.iter().map(|batch| (*batch, self.progress[batch.0 as usize].clone())).collect()
    }
}

impl Meta {
    /// What keeps the holder of `lease` from going on.
    pub(crate) fn why_not(&self, lease: &CutoverLease) -> Option<Error> {
        if self.phase != Phase::Cutover {
            return Some(not_in_cutover(self.phase));
        }
        if self.version != lease.version {
            return Some(Error::blocked("this cutover was given up and another one began"));
        }
        (self.epoch != lease.epoch).then(|| Error::fenced("another invocation took the cutover over"))
    }
}

fn not_in_cutover(phase: Phase) -> Error {
    Error::blocked(format_args!("the migration is in phase {phase}, not in cutover"))
}
