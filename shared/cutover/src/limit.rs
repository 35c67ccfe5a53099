//! How long producers may still be frozen.
//!
//! The limit is counted from the moment at which the freeze was confirmed, by the functions' clocks. Those may differ a little,
//! so the state machine has a timer of its own, which ends a freeze whatever a function thinks the time is.

use std::time::Duration;

use clock::Deadline;
use migration::config::Span;
use migration::{Error, Result};

use crate::ports::{Ledger, Ports};
use crate::steps::Steps;

/// The time limit of one freeze.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FreezeLimit {
    deadline: Deadline,
    longest: Span,
}

impl FreezeLimit {
    /// Counts from the freeze on record.
    ///
    /// # Errors
    /// Blocked when producers are not frozen.
    pub(crate) async fn start(ports: &impl Ports, longest: Span) -> Result<Self> {
        let since = ports.ledger().frozen_since().await?;
        let since =
            since.ok_or_else(|| Error::blocked("producers are not frozen; resume, then run the cutover again"))?;
        // Another function's clock may be ahead: then no time has passed yet.
        let spent = (ports.now() - since).to_std().unwrap_or_default();
        Ok(Self { deadline: Deadline::after(Duration::from(longest).saturating_sub(spent)), longest })
    }

    /// The moment at which the limit passes.
    pub(crate) const fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// The error for a limit that passed: what was going on, and the last failure before.
    pub(crate) fn passed(&self, steps: &Steps, last: Option<&Error>) -> Error {
        let failure = last.map_or_else(String::new, |error| format!("; the last failure was: {error}"));
        Error::deadline(format_args!(
            "max_producer_freeze of {} passed in {}{failure}. Nothing was committed on the target and producers go on writing \
             to the source. Remove the cause, or raise cutover.max_producer_freeze, then resume",
            self.longest,
            steps.describe()
        ))
    }
}
