//! How long producers may still be frozen.
//!
//! The limit is counted from the moment at which the freeze was confirmed, by the functions' clocks. Those may differ a little,
//! so the state machine has a timer of its own, which ends a freeze whatever a function thinks the time is.

use std::time::Duration;

use clock::Deadline;
use migration::config::Span;
use migration::{Error, Result};

use crate::ports::{Ledger, Ports, Source, Target};
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

    /// The error for a limit that passed: what was going on, and the last failure before. That is what a cluster answers at the
    /// moment, else what the last attempt ended with.
    pub(crate) fn passed(&self, ports: &impl Ports, steps: &Steps, last: Option<&Error>) -> Error {
        let of_source = ports.source().trouble().map(|trouble| format!("the source: {trouble}"));
        let of_target = ports.target().trouble().map(|trouble| format!("the target: {trouble}"));
        let failure = of_source.or(of_target).or_else(|| last.map(ToString::to_string));
        let failure = failure.map_or_else(String::new, |failure| format!("; the last failure was: {failure}"));
        Error::deadline(format_args!(
            "max_producer_freeze of {} passed in {}{failure}. Nothing was committed on the target and producers go on writing \
             to the source. Remove the cause, or raise cutover.max_producer_freeze, then resume",
            self.longest,
            steps.describe()
        ))
    }
}
