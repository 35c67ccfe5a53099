//! How long producers have been frozen, and how long they may still be.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use journal::Journal;
use migration::config::Span;
use migration::{Error, Result};
use runtime::Run;
use serde::Serialize;

/// How long each step of a cutover took, for the report: the freeze is made of these.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Steps(Vec<Step>);

#[derive(Debug, Serialize)]
struct Step {
    step: &'static str,
    ms: u128,
}

impl Steps {
    /// Runs `work` and notes its time under `step`.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) async fn time<T>(&mut self, step: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let began = Instant::now();
        let outcome = work.await;
        let ms = began.elapsed().as_millis();
        tracing::info!(step, ms, ok = outcome.is_ok(), "cutover step");
        self.0.push(Step { step, ms });
        outcome
    }
}

/// The clock of one freeze.
pub(crate) struct FreezeClock<'a> {
    journal: &'a Journal,
    frozen_at: DateTime<Utc>,
    longest: Span,
}

impl<'a> FreezeClock<'a> {
    /// Reads when the freeze on record began.
    ///
    /// # Errors
    /// Blocked when producers are not frozen.
    pub(crate) async fn start(run: &'a Run<'_>) -> Result<Self> {
        let freeze = run.journal.freeze_state().await?;
        let frozen_at = freeze
            .and_then(|freeze| freeze.frozen_since())
            .ok_or_else(|| Error::blocked("producers are not frozen; resume, then run cutover again"))?;
        let longest = run.config.cutover.max_producer_freeze;
        Ok(Self { journal: &run.journal, frozen_at, longest })
    }

    /// Time left before the freeze has lasted too long.
    pub(crate) fn left(&self) -> Duration {
        let spent = (self.journal.now() - self.frozen_at).to_std().unwrap_or_default();
        Duration::from(self.longest).saturating_sub(spent)
    }

    /// Refuses to go on when the time is up; `before` says before what.
    ///
    /// # Errors
    /// Deadline.
    pub(crate) fn check(&self, before: &str) -> Result<()> {
        if self.left() > Duration::ZERO {
            return Ok(());
        }
        Err(Error::deadline(format_args!(
            "max_producer_freeze of {} passed before {before}; nothing was committed on the target. Producers go on writing \
             to the source; resume and try again, with a longer cutover.max_producer_freeze if the cluster needs it",
            self.longest
        )))
    }
}
