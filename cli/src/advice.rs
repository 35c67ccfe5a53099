//! What a migration waits for, and the command that gives it.

use chrono::{DateTime, Utc};
use journal::{Freeze, FreezeHow, FreezeState, Gate, GateName, GateState, Meta, Side};
use migration::config::Cutover;
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
            let action = match &config.cutover.client_switch_webhook {
                Some(_) => "the client switch webhook is to switch the clients and to say so; if it does not, you do",
                None => "switch the clients to the target, then confirm it",
            };
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
    let Cutover { freeze_reaction_timeout, max_producer_freeze, .. } = &config.cutover;
    format!("{whom} (within {freeze_reaction_timeout}; from then on the cutover has {max_producer_freeze})")
}

/// Which limit runs from the confirmed freeze on.
pub(crate) fn outage_limit(config: &Config) -> String {
    format!(
        "producers count as frozen from now on: the cutover has {} (cutover.max_producer_freeze) until its point of no return, \
         then they go on writing to the source",
        config.cutover.max_producer_freeze
    )
}

fn after_failure(meta: &Meta, line: &CommandLine) -> (String, Option<String>) {
    if meta.failed_in == Some(Phase::Validating) {
        let action = "repair what validation found, or accept it, then validate again";
        return (action.to_owned(), Some(line.command("finalize")));
    }
    let at = meta.resumes_at().map_or_else(String::new, |phase| format!("; it goes on with {phase}"));
    (format!("remove the cause of the failure, then resume{at}"), Some(line.command("resume")))
}

/// The freeze in words, for status and after a cutover.
pub(crate) fn freeze(freeze: Option<&Freeze>, now: DateTime<Utc>) -> String {
    let Some(freeze) = freeze else { return "never frozen".to_owned() };
    let current = freeze.current();
    let length = render::span(freeze.length(now));
    match freeze.state() {
        FreezeState::Asked => format!(
            "asked to stop {} ago (by {}), not confirmed yet: some may stand still",
            render::span(current.reaction(now)),
            current.by
        ),
        FreezeState::Frozen => format!("frozen for {length} so far (by {})", current.by),
        FreezeState::Unfrozen { towards } if current.frozen_at.is_none() => {
            format!("were asked to stop, which was never confirmed; write to the {} since", towards.name())
        }
        FreezeState::Unfrozen { towards } => format!("were frozen for {length}, write to the {} since", towards.name()),
        FreezeState::NotReached => "not frozen: the webhook was not reached, nobody was asked to stop".to_owned(),
    }
}

/// That producers stand still, or may do so, where they should not.
pub(crate) fn held(freeze: &Freeze) -> &'static str {
    match freeze.state() {
        FreezeState::Asked => "producers were asked to stop, and some may stand still",
        _ => "producers are still FROZEN",
    }
}

/// What a person has to know about producers after a cutover that failed, behind its point of no return if `committed`.
pub(crate) fn producers_after_failure(freeze: Option<&Freeze>, committed: bool, now: DateTime<Utc>) -> String {
    let Some(freeze) = freeze else { return "producers: were not frozen, nothing to do".to_owned() };
    if committed && freeze.may_hold_producers() {
        return format!(
            "producers: still FROZEN, for {} so far, and have to stay so: offsets are committed on the target, and what is written to \
             the source now is not copied; resume completes the cutover",
            render::span(freeze.length(now))
        );
    }
    let by_hand = freeze.current().how == FreezeHow::Operator;
    match freeze.state() {
        FreezeState::Frozen => format!(
            "producers: still FROZEN, for {} so far; resume the migration, or let them go on by hand and say so (rollback --by-hand)",
            render::span(freeze.length(now))
        ),
        FreezeState::Asked => {
            "producers: were asked to stop, and some may stand still; resume the migration, or let them go on by hand and say so \
             (rollback --by-hand)"
                .to_owned()
        }
        FreezeState::Unfrozen { towards: Side::Source } if by_hand && freeze.current().frozen_at.is_some() => {
            "producers: you froze them; let them go on against the source".to_owned()
        }
        FreezeState::Unfrozen { towards: Side::Source } if by_hand => {
            "producers: their freeze was not confirmed; let those that you stopped go on against the source".to_owned()
        }
        FreezeState::Unfrozen { towards } => format!("producers: unfrozen, they write to the {}", towards.name()),
        FreezeState::NotReached => "producers: the webhook was not reached, nobody was asked to stop".to_owned(),
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

    fn periods(period: serde_json::Value) -> Freeze {
        serde_json::from_value(serde_json::json!([period])).unwrap()
    }

    #[test]
    fn producers_are_never_forgotten_and_never_called_frozen_when_nobody_froze_them() {
        assert_eq!(freeze(None, start()), "never frozen");
        assert!(producers_after_failure(None, false, start()).contains("not frozen"));
        let at = |second| journal::timestamp(start() + chrono::TimeDelta::seconds(second));
        let now = start() + chrono::TimeDelta::seconds(60);
        let base = |how: &str| serde_json::json!({"asked_at": at(0), "how": how, "by": "ada"});
        let with = |how: &str, more: serde_json::Value| {
            let mut period = base(how);
            period.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            periods(period)
        };
        let frozen = serde_json::json!({"frozen_at": at(10)});
        let confirmed = serde_json::json!({"frozen_at": at(10), "unfrozen_at": at(50), "towards": "source"});
        let unconfirmed = serde_json::json!({"unfrozen_at": at(50), "towards": "source"});
        let unheard = serde_json::json!({"reached": false});
        for (case, status, failed, held) in [
            (periods(base("webhook")), "asked to stop 1m 00s ago (by ada)", "some may stand still; resume", true),
            (with("webhook", frozen), "frozen for 50s so far (by ada)", "still FROZEN, for 50s", true),
            (with("webhook", confirmed.clone()), "were frozen for 40s", "unfrozen, they write to the source", false),
            (with("operator", confirmed), "were frozen for 40s", "you froze them", false),
            (with("operator", unconfirmed.clone()), "never confirmed", "those that you stopped", false),
            (with("webhook", unconfirmed), "never confirmed", "unfrozen", false),
            (with("webhook", unheard), "nobody was asked to stop", "nobody was asked to stop", false),
        ] {
            let texts = (freeze(Some(&case), now), producers_after_failure(Some(&case), false, now));
            assert!(texts.0.contains(status) && texts.1.contains(failed), "{texts:?}");
            assert_eq!(case.may_hold_producers(), held, "{texts:?}");
            let is_frozen = case.state() == FreezeState::Frozen;
            assert_eq!(texts.1.contains("FROZEN"), is_frozen, "{texts:?}");
            assert!(is_frozen || !texts.0.starts_with("frozen"), "{texts:?}");
        }
    }

    #[test]
    fn both_limits_are_named_where_producers_are_to_be_frozen() {
        let open = gate(GateName::Freeze, GateState::Open);
        let next = next(&Snapshot { meta: meta(Phase::Cutover), gate: Some(open) }, &config(), &line());
        assert!(next.action.contains("within 10m; from then on the cutover has 1m"), "{}", next.action);
        assert!(outage_limit(&config()).contains("1m (cutover.max_producer_freeze)"));
    }
}
