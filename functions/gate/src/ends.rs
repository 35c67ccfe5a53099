//! How a migration fails: by an error of its execution, because producers were frozen for too long, or because the operator
//! gives the cutover up.
//!
//! The phase changes first. A cutover function may still run although its state has failed, and once the migration is not in
//! cutover it can no longer pass the point of no return. The other way round it could commit offsets on the target while
//! producers, let go, write records to the source that nobody copies.

use chrono::{DateTime, Utc};
use journal::{Freeze, FreezeState, Gate, GateName, Meta, Side, TailWanted, Transition, Verdict, timestamp};
use migration::config::Span;
use migration::message::Caught;
use migration::{Error, Phase, Result};
use runtime::Run;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{fence, producers, report};

/// The fact in which the cutover function notes how its last try ended.
const ATTEMPT: &str = "cutover_attempt";

/// The execution failed. Before the first commit on the target the source is still the truth, so producers go on there;
/// after it they stay frozen until somebody decides.
///
/// # Errors
/// Those of the webhook, with what the operator has to do; those of the journal and of the bucket.
pub(crate) async fn fail(run: &Run<'_>, cause: &Caught) -> Result<Value> {
    stop_tail(run).await?;
    let reason = reason(run, cause).await?;
    run.journal.fail(&reason).await?;
    let_go(run).await?;
    report::failure(run, &reason).await.inspect_err(|error| tracing::warn!(%error, "no report of the failure"))
}

/// The state machine's watchdog: producers were frozen for as long as they may be. When the cutover has not passed the point of
/// no return, it fails, and they go on. Says whether it has failed.
///
/// # Errors
/// As [`fail`].
pub(crate) async fn expire(run: &Run<'_>) -> Result<Value> {
    let reason = expiry(run).await?;
    let expired = match run.journal.abort_cutover(&reason).await? {
        Transition::Done(_) => true,
        // It failed otherwise, or an earlier call's answer was lost: nothing goes on there either.
        Transition::Already(_) => failed_in_cutover(&run.journal.meta().await?),
    };
    if expired {
        end(run, &reason).await?;
    }
    Ok(json!({"expired": expired}))
}

/// The operator gives the cutover up, at any moment before the point of no return. The execution ends by itself when it finds
/// that out.
///
/// # Errors
/// Blocked when there is no cutover to give up, or not any more; otherwise as [`fail`].
pub(crate) async fn give_up(run: &Run<'_>, by: &str, reason: &str) -> Result<Value> {
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let reason = format!("the cutover was given up by {by}{because}");
    if let Transition::Already(phase) = run.journal.abort_cutover(&reason).await? {
        let meta = run.journal.meta().await?;
        if meta.committed {
            return Err(Error::blocked(
                "offsets are committed on the target: the cutover cannot be given up any more, it goes forward; resume completes it",
            ));
        }
        if !failed_in_cutover(&meta) {
            return Err(Error::blocked(format_args!(
                "there is no cutover to give up: the migration is in phase {phase}"
            )));
        }
    }
    end(run, &reason).await?;
    Ok(json!({"given_up": true}))
}

/// What follows a cutover that was aborted, again when it is asked for again.
async fn end(run: &Run<'_>, reason: &str) -> Result<()> {
    stop_tail(run).await?;
    let_go(run).await?;
    // Without it everything is said in the journal.
    if let Err(error) = report::failure(run, reason).await {
        tracing::warn!(%error, "no report of the failure");
    }
    Ok(())
}

/// Stops the tail of the execution that is found here, and of none that begins later.
pub(crate) async fn stop_tail(run: &Run<'_>) -> Result<()> {
    run.journal.set_tail_wanted(TailWanted::Stop, run.meta.executions).await
}

fn failed_in_cutover(meta: &Meta) -> bool {
    meta.phase == Phase::Failed && meta.failed_in == Some(Phase::Cutover) && !meta.committed
}

/// Lifts the write fence and lets producers go on against the source, unless the point of no return is passed, or another execution
/// has begun meanwhile, also since the look at the phase: that one lets them go itself before it enters, and freezes them again for its own cutover.
async fn let_go(run: &Run<'_>) -> Result<()> {
    // The freeze is read first: one that began after the look at the phase is another.
    let Some(freezes) = run.journal.freeze_state().await? else { return Ok(()) };
    let meta = run.journal.meta().await?;
    if meta.committed || meta.phase != Phase::Failed {
        return Ok(());
    }
    fence::lift(run, meta.version, "the end of the cutover").await?;
    let unfrozen = producers::unfreeze_from(run, &freezes, Side::Source).await;
    unfrozen.map_err(|error| by_hand(run, "producers could NOT be unfrozen, do it by hand", error))
}

/// `error` of letting producers go, with what an operator has to know first, and what he can say when he has done it himself.
pub(crate) fn by_hand(run: &Run<'_>, what: &str, error: Error) -> Error {
    let message = format!(
        "{what}: {}. When they were let go by hand, and the webhook is gone for good: `msk-kraft rollback --by-hand --migration-id {}`",
        error.message, run.id
    );
    Error { message, ..error }
}

/// How the cutover function's last try ended.
#[derive(Debug, Deserialize)]
struct Attempt {
    at: DateTime<Utc>,
    step: String,
    error: String,
}

/// Why a cutover ends at its limit: the limit, and what has kept the cutover from ending by itself.
async fn expiry(run: &Run<'_>) -> Result<String> {
    let freeze = run.journal.freeze_state().await?;
    let attempt = run.meta.facts.get(ATTEMPT).and_then(|attempt| Attempt::deserialize(attempt).ok());
    Ok(expired(freeze.as_ref(), attempt.as_ref(), run.config.cutover.max_producer_freeze, run.journal.now()))
}

fn expired(freeze: Option<&Freeze>, attempt: Option<&Attempt>, limit: Span, now: DateTime<Utc>) -> String {
    let since = freeze.and_then(Freeze::frozen_since);
    let lasted = freeze.map_or(0, |freeze| freeze.length(now).as_secs());
    let last = match attempt.filter(|attempt| since.is_some_and(|since| attempt.at >= since)) {
        Some(Attempt { at, step, error }) => {
            format!("its last error, at {} in the step {step:?}, was: {error}", timestamp(*at))
        }
        None => "no step of it has failed: it was at work, or its function did not answer".to_owned(),
    };
    format!(
        "Deadline: producers were frozen for {lasted}s, and cutover.max_producer_freeze is {limit}: the cutover ended before the \
         point of no return, nothing was committed on the target, and producers go on writing to the source; {last}"
    )
}

/// Why the execution failed, with what the journal knows beyond what the state machine was told.
async fn reason(run: &Run<'_>, cause: &Caught) -> Result<String> {
    let said = cause.reason();
    if run.meta.phase != Phase::Cutover || run.meta.committed {
        return Ok(said);
    }
    let began = run.journal.events().await?.last().map(|event| event.at);
    let gate = run.journal.gate(GateName::Freeze).await?;
    let gate = gate.filter(|gate| began.is_some_and(|began| gate.opened_at >= began));
    let freeze = run.journal.freeze_state().await?;
    let promised = run.journal.webhook_calls().await?.calls.last().is_some_and(|call| call.status == Some(202));
    Ok(explained(said, gate.as_ref(), freeze.as_ref(), promised, run.config.cutover.freeze_reaction_timeout))
}

/// `said`, and what became of the gate `freeze` of this cutover. `promised` says that the webhook was to acknowledge later.
fn explained(said: String, gate: Option<&Gate>, freeze: Option<&Freeze>, promised: bool, limit: Span) -> String {
    let Some(gate) = gate else { return said };
    match &gate.decision {
        Some(decision) if decision.verdict == Verdict::Reject => {
            let by = gate.decided_by.as_deref().unwrap_or("somebody");
            let because = if decision.reason.is_empty() { String::new() } else { format!(": {}", decision.reason) };
            format!("{said}; rejected by {by}{because}")
        }
        None if freeze.is_some_and(|freeze| freeze.state() == FreezeState::Asked) => {
            let said = match said.strip_prefix("States.Timeout") {
                Some(_) => format!(
                    "Deadline: nobody confirmed within cutover.freeze_reaction_timeout of {limit} that producers are frozen"
                ),
                None => said,
            };
            let promise =
                if promised { "; the webhook promised (HTTP 202) to acknowledge later, and did not" } else { "" };
            said + promise
        }
        _ => said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn freeze(periods: Value) -> Freeze {
        serde_json::from_value(periods).unwrap()
    }

    fn asked() -> Freeze {
        freeze(json!([{"asked_at": at(100), "how": "webhook", "by": "webhook"}]))
    }

    fn frozen() -> Freeze {
        freeze(json!([{"asked_at": at(100), "frozen_at": at(110), "how": "webhook", "by": "webhook"}]))
    }

    #[test]
    fn an_expired_freeze_names_the_error_that_belongs_to_it() {
        let attempt = |second| Attempt { at: at(second), step: "drain".to_owned(), error: "NOT_LEADER".to_owned() };
        let limit = Span::from_secs(60);
        let own = expired(Some(&frozen()), Some(&attempt(150)), limit, at(173));
        assert!(
            own.starts_with("Deadline: producers were frozen for 63s, and cutover.max_producer_freeze is 1m"),
            "{own}"
        );
        assert!(own.contains("in the step \"drain\", was: NOT_LEADER"), "{own}");
        for (freeze, attempt) in [(frozen(), Some(attempt(105))), (frozen(), None), (asked(), Some(attempt(150)))] {
            let other = expired(Some(&freeze), attempt.as_ref(), limit, at(173));
            assert!(other.contains("no step of it has failed"), "an error of another freeze: {other}");
        }
    }

    fn gate(decision: Option<journal::Decision>) -> Gate {
        serde_json::from_value(json!({
            "name": "freeze", "attempt": 1, "state": "OPEN", "decision": decision, "decided_by": "ada",
            "decided_at": null, "opened_at": at(100), "deadline": null,
        }))
        .unwrap()
    }

    #[test]
    fn a_failure_says_what_the_state_machine_does_not_know() {
        let limit = Span::from_secs(600);
        let refused = || "Blocked: producers were not frozen".to_owned();
        let timeout = || "States.Timeout".to_owned();
        let reject = |reason: &str| Some(gate(Some(journal::Decision::reject(reason))));
        let approve = Some(gate(Some(journal::Decision::approve("yes"))));
        let late = "Deadline: nobody confirmed within cutover.freeze_reaction_timeout of 10m that producers are frozen";
        for (said, gate, freeze, promised, expected) in [
            (
                refused(),
                reject("team is away"),
                asked(),
                false,
                "Blocked: producers were not frozen; rejected by ada: team is away",
            ),
            (refused(), reject(""), asked(), true, "Blocked: producers were not frozen; rejected by ada"),
            (refused(), None, asked(), false, "Blocked: producers were not frozen"),
            (timeout(), Some(self::gate(None)), asked(), false, late),
            (timeout(), approve, frozen(), false, "States.Timeout"),
        ] {
            assert_eq!(explained(said, gate.as_ref(), Some(&freeze), promised, limit), expected);
        }
        let promised = explained(timeout(), Some(&self::gate(None)), Some(&asked()), true, limit);
        assert!(promised.starts_with(late) && promised.ends_with("acknowledge later, and did not"), "{promised}");
    }
}
