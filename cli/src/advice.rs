//! What a migration waits for, and the command that gives it.

use chrono::{DateTime, Utc};
use journal::{Freeze, FreezeHow, FreezeState, Gate, GateName, GateState, Meta, Side};
use migration::{Config, Phase};
use serde::Serialize;

use crate::command_line::CommandLine;
use crate::render;
use crate::session::Snapshot;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Next {
    /// In words.
    pub(crate) action: String,
    /// The command for it, if there is one.
    pub(crate) command: Option<String>,
}

/// Whether the migration stands at the gate until somebody decides.
pub(crate) fn is_open(gate: Option<&Gate>) -> bool {
    gate.is_some_and(|gate| gate.state == GateState::Open)
}

/// What comes next for a migration that stands at `snapshot`.
pub(crate) fn next(snapshot: &Snapshot, config: &Config, line: &CommandLine) -> Next {
    let Snapshot { meta, gate } = snapshot;
    let open = is_open(gate.as_ref());
    let follow = |action: &str| (action.to_owned(), Some(line.command("resume")));
    let (action, command) = match meta.phase {
        Phase::Planned | Phase::Precheck | Phase::TopologyCopy => follow("wait for the seed; the command follows it"),
        Phase::Seed => follow("wait until everything is seeded; the command follows it"),
        Phase::Tail => follow(&format!(
            "wait until no partition lags by more than {} for {}; the command follows it",
            config.cutover.drain_max_partition_lag, config.cutover.drain_stable_window
        )),
        Phase::DrainReady => ("prepare the clients, then start the cutover".to_owned(), Some(line.command("cutover"))),
        Phase::Cutover if open => (freeze_action(config), Some(line.ack(GateName::Freeze.name()))),
        Phase::Cutover => follow("wait until the offsets are translated; the command follows it"),
        Phase::AwaitingClientSwitch => {
            let action = "switch the clients to the target, then confirm it";
            (action.to_owned(), Some(line.command("cutover-ack")))
        }
        Phase::Validating if open || gate.is_none() => {
            ("validate and store the evidence".to_owned(), Some(line.command("finalize")))
        }
        Phase::Validating => follow("wait for the validation; the command follows it"),
        Phase::Failed => after_failure(meta, line),
        Phase::Finalized => ("nothing: the migration is finalized".to_owned(), None),
        Phase::RolledBack => ("nothing: the migration was given up".to_owned(), None),
    };
    Next { action, command }
}

fn freeze_action(config: &Config) -> String {
    let whom = match &config.cutover.producer_freeze_webhook {
        Some(_) => "the freeze webhook is still to acknowledge, or you do",
        None => "freeze the producers, then confirm it",
    };
    format!("{whom} (within {})", config.cutover.max_producer_freeze)
}

fn after_failure(meta: &Meta, line: &CommandLine) -> (String, Option<String>) {
    if meta.failed_in == Some(Phase::Validating) {
        let action = "repair what validation found, then validate again";
        return (action.to_owned(), Some(line.command("finalize")));
    }
    let at = meta.resumes_at().map_or_else(String::new, |phase| format!("; it goes on with {phase}"));
    (format!("remove the cause of the failure, then resume{at}"), Some(line.command("resume")))
}

/// The freeze in words, for status and after a cutover.
pub(crate) fn freeze(freeze: Option<&Freeze>, now: DateTime<Utc>) -> String {
    let Some(freeze) = freeze else { return "never frozen".to_owned() };
    let current = freeze.current();
    let length = render::span(current.length(now));
    match freeze.state() {
        FreezeState::Frozen => format!("frozen for {length} so far (by {})", current.by),
        FreezeState::Unfrozen { towards } => format!("were frozen for {length}, write to the {} since", towards.name()),
    }
}

/// What a person has to know about producers after a failed cutover.
pub(crate) fn producers_after_failure(freeze: Option<&Freeze>, now: DateTime<Utc>) -> String {
    let Some(freeze) = freeze else { return "producers: were not frozen, nothing to do".to_owned() };
    let by_hand = freeze.current().how == FreezeHow::Operator;
    match freeze.state() {
        FreezeState::Frozen => format!(
            "producers: still FROZEN, for {} so far; resume the migration, or let them go on by hand",
            render::span(freeze.current().length(now))
        ),
        FreezeState::Unfrozen { towards: Side::Source } if by_hand => {
            "producers: you froze them; let them go on against the source".to_owned()
        }
        FreezeState::Unfrozen { towards } => format!("producers: unfrozen, they write to the {}", towards.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{config, meta, start};

    fn line() -> CommandLine {
        CommandLine { migration_id: "m1".parse().unwrap(), config: None, journal_dir: None }
    }

    fn gate(name: GateName, state: GateState) -> Gate {
        Gate {
            name,
            attempt: 1,
            state,
            decision: None,
            decided_by: None,
            decided_at: None,
            opened_at: start(),
            deadline: None,
        }
    }

    fn command(meta: Meta, gate: Option<Gate>) -> Option<String> {
        next(&Snapshot { meta, gate }, &config(), &line()).command
    }

    #[test]
    fn every_phase_that_goes_on_has_a_command() {
        for phase in Phase::ALL {
            assert_eq!(command(meta(phase), None).is_none(), phase.is_terminal(), "{phase}");
        }
    }

    #[test]
    fn where_the_operator_decides_the_command_decides() {
        let verb = |phase, gate| command(meta(phase), gate).unwrap();
        assert_eq!(verb(Phase::DrainReady, None), "msk-kraft cutover --migration-id m1");
        assert_eq!(verb(Phase::AwaitingClientSwitch, None), "msk-kraft cutover-ack --migration-id m1");
        let open = gate(GateName::Finalize, GateState::Open);
        assert_eq!(verb(Phase::Validating, Some(open)), "msk-kraft finalize --migration-id m1");
        let sent = gate(GateName::Finalize, GateState::Sent);
        assert_eq!(verb(Phase::Validating, Some(sent)), "msk-kraft resume --migration-id m1");
        let open = gate(GateName::Freeze, GateState::Open);
        assert_eq!(verb(Phase::Cutover, Some(open)), "msk-kraft ack freeze --migration-id m1");
    }

    #[test]
    fn a_failed_validation_is_finalized_again_and_anything_else_resumed() {
        let failed_in = |phase| Meta { failed_in: Some(phase), ..meta(Phase::Failed) };
        assert!(command(failed_in(Phase::Validating), None).unwrap().starts_with("msk-kraft finalize"));
        let next = next(&Snapshot { meta: failed_in(Phase::DrainReady), gate: None }, &config(), &line());
        assert!(next.command.unwrap().starts_with("msk-kraft resume"));
        assert!(next.action.ends_with("goes on with tail"), "{}", next.action);
    }

    #[test]
    fn producers_are_never_forgotten() {
        assert_eq!(freeze(None, start()), "never frozen");
        assert!(producers_after_failure(None, start()).contains("not frozen"));
    }
}
