//! The phases of a migration and the one table of transitions between them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Where a migration stands. Stored by name; an unknown name is refused when read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Accepted, nothing touched.
    Planned,
    /// Read-only checks of both clusters and of AWS.
    Precheck,
    /// Topics and ACLs are created on the target.
    TopologyCopy,
    /// The records that existed at its start are copied.
    Seed,
    /// New records are followed until the lag stays small.
    Tail,
    /// Following goes on; the operator decides about the cutover.
    DrainReady,
    /// Producers are frozen, the rest is drained, offsets are translated and committed.
    Cutover,
    /// Offsets are on the target; clients are being switched.
    AwaitingClientSwitch,
    /// Source and target are compared.
    Validating,
    /// Validated, evidence signed and stored.
    Finalized,
    /// Stopped by an error; resumable.
    Failed,
    /// Given up by the operator before anything was committed on the target.
    RolledBack,
}

use Phase::{
    AwaitingClientSwitch, Cutover, DrainReady, Failed, Finalized, Planned, Precheck, RolledBack, Seed, Tail,
    TopologyCopy, Validating,
};

impl Phase {
    /// Every phase, in the order of a migration without trouble.
    pub const ALL: [Self; 12] = [
        Planned,
        Precheck,
        TopologyCopy,
        Seed,
        Tail,
        DrainReady,
        Cutover,
        AwaitingClientSwitch,
        Validating,
        Finalized,
        Failed,
        RolledBack,
    ];

    /// The phases that may follow this one without a failure; `Failed` is left through [`Phase::resumes_at`].
    const fn successors(self) -> &'static [Self] {
        match self {
            Planned => &[Precheck, RolledBack],
            Precheck => &[TopologyCopy, RolledBack],
            TopologyCopy => &[Seed, RolledBack],
            Seed => &[Tail, RolledBack],
            Tail => &[DrainReady, RolledBack],
            // Back to `Tail`: the lag grew again before the operator decided, or a resume has to prove it anew.
            DrainReady => &[Cutover, Tail, RolledBack],
            // Back to `Tail`: a cutover that stopped before its first commit is repeated from there.
            Cutover => &[AwaitingClientSwitch, Tail],
            AwaitingClientSwitch => &[Validating],
            Validating => &[Finalized],
            // A failure before the first commit on the target can still be given up.
            Failed => &[RolledBack],
            Finalized | RolledBack => &[],
        }
    }

    /// Checks that a migration in this phase may go to `to`.
    ///
    /// # Errors
    /// [`ErrorKind::Blocked`](crate::ErrorKind::Blocked) names both phases when the table has no such transition.
    pub fn check_transition(self, to: Self) -> Result<(), Error> {
        let fails = to == Failed && !self.is_terminal() && self != Failed;
        let resumes = self == Failed && !matches!(to, Failed | DrainReady | Finalized);
        if fails || resumes || self.successors().contains(&to) {
            return Ok(());
        }
        Err(Error::blocked(format_args!("a migration in phase {self} cannot go to {to}")))
    }

    /// Where a run that stopped in this phase goes on. Lag, fence and validation are proven again, never remembered: a
    /// stop in `drain_ready`, or in `cutover` before the first commit, resumes at `tail`.
    ///
    /// `committed` says whether the first offset was committed on the target.
    pub const fn resumes_at(self, committed: bool) -> Self {
        match self {
            Cutover if committed => Cutover,
            Cutover | DrainReady => Tail,
            Planned | Precheck => Precheck,
            other => other,
        }
    }

    /// Whether nothing follows this phase.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Finalized | RolledBack)
    }

    /// Whether the operator may still roll back: nothing was committed on the target and no cutover is under way.
    pub const fn allows_rollback(self) -> bool {
        matches!(self, Planned | Precheck | TopologyCopy | Seed | Tail | DrainReady)
    }

    /// The name as stored and printed.
    pub const fn name(self) -> &'static str {
        match self {
            Planned => "planned",
            Precheck => "precheck",
            TopologyCopy => "topology_copy",
            Seed => "seed",
            Tail => "tail",
            DrainReady => "drain_ready",
            Cutover => "cutover",
            AwaitingClientSwitch => "awaiting_client_switch",
            Validating => "validating",
            Finalized => "finalized",
            Failed => "failed",
            RolledBack => "rolled_back",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_and_printed_names_agree() {
        for phase in Phase::ALL {
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.name());
        }
        assert!(serde_json::from_str::<Phase>("\"paused\"").is_err());
    }

    #[test]
    fn the_way_without_trouble_is_open() {
        let way = &Phase::ALL[..10];
        for pair in way.windows(2) {
            pair[0].check_transition(pair[1]).unwrap();
        }
    }

    #[test]
    fn nothing_leaves_a_terminal_phase_and_no_phase_is_skipped() {
        for to in Phase::ALL {
            assert!(Finalized.check_transition(to).is_err());
            assert!(RolledBack.check_transition(to).is_err());
        }
        assert!(Seed.check_transition(Cutover).is_err());
        assert!(Tail.check_transition(Seed).is_err());
        assert!(Failed.check_transition(Finalized).is_err());
    }

    #[test]
    fn rollback_ends_where_cutover_begins() {
        for phase in Phase::ALL {
            if phase.allows_rollback() {
                phase.check_transition(RolledBack).unwrap();
            }
        }
        for phase in [Cutover, AwaitingClientSwitch, Validating, Finalized] {
            assert!(phase.check_transition(RolledBack).is_err(), "{phase}");
        }
    }

    #[test]
    fn what_must_be_proven_again_is_not_resumed_as_true() {
        assert_eq!(DrainReady.resumes_at(false), Tail);
        assert_eq!(Cutover.resumes_at(false), Tail);
        assert_eq!(Cutover.resumes_at(true), Cutover);
        assert_eq!(Seed.resumes_at(false), Seed);
    }
}
