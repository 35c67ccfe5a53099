//! Deciding a gate that the migration stands at, or is about to.

use std::time::{Duration, Instant};

use journal::{Decision, Gate, GateName, Verdict};
use migration::{Error, Result};
use runtime::gates::Answered;

use crate::console::Console;
use crate::follow::Follower;
use crate::naming;
use crate::session::{Session, Snapshot};

/// Longest wait for the state machine to arm its gate, once it is in the gate's phase.
const ARMING: Duration = Duration::from_secs(120);

/// The execution that waits at, or comes to, the gate.
///
/// # Errors
/// Blocked when none is running.
pub(super) async fn joined<'a>(session: &'a Session, snapshot: &Snapshot) -> Result<Follower<'a>> {
    Follower::join(session, snapshot).await?.ok_or_else(|| {
        Error::blocked(format_args!(
            "{} is in phase {}, but no execution of it is running: resume it first\nnext_command: {}",
            session.id(),
            snapshot.meta.phase,
            session.line.command("resume")
        ))
    })
}

/// Decides `name` as soon as the execution has armed it.
///
/// # Errors
/// Blocked when the migration leaves the gate's phase before that, or when somebody has decided the other way; Deadline
/// when the gate is not armed in time.
pub(super) async fn when_armed(
    session: &Session,
    follower: &mut Follower<'_>,
    name: GateName,
    decision: &Decision,
) -> Result<()> {
    let begun = Instant::now();
    loop {
        if let Some(moment) = follower.look().await? {
            if moment.armed && moment.phase() == name.phase() {
                return now(session, name, decision).await;
            }
            if moment.current && moment.phase() != name.phase() {
                return Err(Error::blocked(format_args!(
                    "gate {name} is decided in phase {}, the migration is in {}",
                    name.phase(),
                    moment.phase()
                ))
                .in_run(session.id()));
            }
            follower.go_on(&moment).await?;
        }
        if begun.elapsed() > ARMING {
            return Err(Error::deadline(format_args!(
                "the state machine has not armed gate {name} within {}s; look at the execution {}",
                ARMING.as_secs(),
                follower.execution().arn
            ))
            .in_run(session.id()));
        }
    }
}

/// Decides `name` at once.
///
/// # Errors
/// Blocked when nothing waits there, or when somebody has decided the other way.
pub(super) async fn now(session: &Session, name: GateName, decision: &Decision) -> Result<()> {
    let by = naming::operator();
    let functions = session.functions();
    let decide = || functions.decide(session.id(), name, decision, &by);
    let answered = session.patiently("answer the gate", decide).await?;
    tell(&session.console, &answered, decision.verdict, &by)
}

/// Says what became of a decision that `by` made.
///
/// # Errors
/// Blocked when somebody else was faster, and decided otherwise than `wanted`.
pub(super) fn tell(console: &Console, answered: &Answered, wanted: Verdict, by: &str) -> Result<()> {
    let Answered { gate, heard, given_up } = answered;
    if *given_up {
        console.say(format!(
            "gate {}: it was approved by {} already, so {by} gave the cutover up: producers go on writing to the source",
            gate.name,
            gate.decided_by.as_deref().unwrap_or("somebody")
        ));
        return Ok(());
    }
    check_verdict(gate, wanted)?;
    console.say(format!("gate {}: {wanted} by {}", gate.name, gate.decided_by.as_deref().unwrap_or(by)));
    if !heard {
        console.say(
            "Step Functions has no state that waits there: it was answered before, or its execution has ended; `msk-kraft \
             status` and `resume` tell",
        );
    }
    Ok(())
}

/// Whether the gate was decided as wanted: somebody else may have been faster.
///
/// # Errors
/// Blocked when it was not.
fn check_verdict(gate: &Gate, wanted: Verdict) -> Result<()> {
    match gate.decision.as_ref().map(|decision| decision.verdict) {
        Some(verdict) if verdict != wanted => Err(Error::blocked(format_args!(
            "gate {} was answered already: {verdict} by {}",
            gate.name,
            gate.decided_by.as_deref().unwrap_or("somebody")
        ))),
        _ => Ok(()),
    }
}
