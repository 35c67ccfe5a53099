//! The journal as a cutover's ledger.

use chrono::{DateTime, Utc};
use journal::{CutoverLease, TailWanted};
use migration::progress::PartitionProgress;
use migration::{BatchId, Phase, Result};
use runtime::Run;
use serde_json::json;

use crate::ports::{Attempt, Ledger};

/// The journal's fact that says how far the last attempt of a cutover came, and what ended it.
pub const ATTEMPT: &str = "cutover_attempt";

/// The journal of a run.
pub(crate) struct LiveLedger<'a>(&'a Run<'a>);

impl<'a> LiveLedger<'a> {
    pub(super) const fn new(run: &'a Run<'a>) -> Self {
        Self(run)
    }
}

impl Ledger for LiveLedger<'_> {
    async fn claim(&self) -> Result<(CutoverLease, Option<String>)> {
        let (lease, meta) = self.0.journal.claim_cutover().await?;
        Ok((lease, meta.plan))
    }

    async fn check(&self, lease: &CutoverLease) -> Result<()> {
        self.0.journal.check_cutover(lease).await
    }

    async fn mark(&self, lease: &CutoverLease, plan: &str) -> Result<()> {
        self.0.journal.mark_committed(lease, plan).await
    }

    async fn phase(&self) -> Result<Phase> {
        Ok(self.0.journal.meta().await?.phase)
    }

    async fn frozen_since(&self) -> Result<Option<DateTime<Utc>>> {
        Ok(self.0.journal.freeze_state().await?.and_then(|freeze| freeze.frozen_since()))
    }

    async fn progress(&self, batches: &[BatchId]) -> Result<Vec<(BatchId, Vec<PartitionProgress>)>> {
        self.0.progress(batches.iter().copied()).await
    }

    async fn note_attempt(&self, attempt: &Attempt) -> Result<()> {
        let at = clock::timestamp(self.0.journal.now());
        self.0.journal.set_fact(ATTEMPT, &json!({"at": at, "step": attempt.step, "error": attempt.error})).await
    }

    async fn stop_tail(&self) -> Result<()> {
        self.0.journal.set_tail_wanted(TailWanted::Stop, self.0.meta.executions).await
    }

    async fn ready(&self, reason: &str) -> Result<()> {
        self.0.journal.transition(Phase::AwaitingClientSwitch, reason).await.map(drop)
    }
}
