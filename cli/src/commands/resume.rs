//! `resume`: following a migration again, and starting it anew where it stopped.

use std::time::Duration;

use documents::rehearsal;
use journal::Freeze;
use migration::{Config, Phase, Result};

use super::{Exit, rehearse};
use crate::advice;
use crate::args::RunArgs;
use crate::follow::{self, Follower, LOOK, Moment};
use crate::session::{Session, Snapshot};

/// Questions to Step Functions until an execution that has failed must have ended.
const ENDING: (u32, Duration) = (30, Duration::from_secs(2));

/// Runs the verb.
pub(super) async fn run(args: &RunArgs) -> Result<Exit> {
    let (session, snapshot) = Session::open(args).await?;
    let events = session.events().await?;
    if let Some(last) = events.last() {
        session.console.say(format!("phase {} since:\n{last}", snapshot.meta.phase));
    }
    if snapshot.meta.phase.is_terminal() {
        follow::conclude(&session, &snapshot)?;
        return Ok(Exit::Done);
    }
    let running = running(&session, &snapshot).await?;
    let running = match running {
        Some(follower) if wants_the_tail(&session, &snapshot).await? => {
            session.console.say("the newest rehearsal found what another execution may cure: going back to the tail");
            end(&session, &follower).await?;
            None
        }
        running => running,
    };
    let Some(mut follower) = running else {
        session.console.say("no execution of the migration is running: starting one");
        let mut follower = Follower::start(&session, Some(&snapshot)).await?;
        return advance(&session, &mut follower).await;
    };
    session.console.say(format!("running: {}", follower.execution().arn));
    let moment = look(&mut follower).await?;
    if waits(&moment, &Config::from_json(&moment.snapshot.meta.config)?) {
        follower.conclude(&moment.snapshot)?;
        return Ok(Exit::Waiting);
    }
    advance(&session, &mut follower).await
}

/// Whether the newest rehearsal found something at `drain_ready` that the tail has to take up, or that the configuration may cure
/// that is given now: an execution keeps the one that it was started with.
async fn wants_the_tail(session: &Session, snapshot: &Snapshot) -> Result<bool> {
    if snapshot.meta.phase != Phase::DrainReady {
        return Ok(false);
    }
    let newest = rehearse::newest(session, snapshot, &Config::from_json(&snapshot.meta.config)?).await?;
    let cured = |code: &str| rehearsal::CURED_BY_TAIL.contains(&code);
    // One of before this drain says nothing about now.
    let since = session.events().await?.last().map(|event| event.at);
    let newest = newest.filter(|newest| since.is_none_or(|since| newest.made_at > since));
    let changed = !session.config_changes().is_empty();
    Ok(newest.is_some_and(|newest| {
        let cures = newest.findings.iter().any(|finding| cured(&finding.code));
        cures || changed && newest.blockers().next().is_some()
    }))
}

/// Ends the execution that waits at the gate `cutover`, so that another one can begin.
async fn end(session: &Session, follower: &Follower<'_>) -> Result<()> {
    let executions = session.executions()?;
    let arn = &follower.execution().arn;
    session.patiently("stop the execution", || executions.stop(arn, "Superseded", "msk-kraft resume")).await
}

async fn look(follower: &mut Follower<'_>) -> Result<Moment> {
    loop {
        if let Some(moment) = follower.look().await? {
            return Ok(moment);
        }
    }
}

/// The execution to follow. One that has just recorded its failure is about to end: it is waited for, so that another
/// can take its place.
pub(super) async fn running<'a>(session: &'a Session, snapshot: &Snapshot) -> Result<Option<Follower<'a>>> {
    for _ in 0..ENDING.0 {
        let Some(mut follower) = Follower::join(session, snapshot).await? else { return Ok(None) };
        let moment = look(&mut follower).await?;
        if moment.phase() != Phase::Failed || !moment.current {
            return Ok(Some(follower));
        }
        session.console.say("the failed execution is ending ...");
        tokio::time::sleep(ENDING.1).await;
    }
    Follower::join(session, snapshot).await
}

/// Whether only a person can move the migration on.
fn waits(moment: &Moment, config: &Config) -> bool {
    let asked = match moment.phase() {
        Phase::DrainReady | Phase::AwaitingClientSwitch | Phase::Validating => true,
        // With a webhook the gate is open while the webhook works.
        Phase::Cutover => config.cutover.producer_freeze_webhook.is_none(),
        _ => false,
    };
    asked && moment.open
}

/// Follows an execution until it needs the operator or has ended.
pub(super) async fn advance(session: &Session, follower: &mut Follower<'_>) -> Result<Exit> {
    let (exit, moment) = follower.until(reached).await?;
    if exit == Exit::Failed {
        tell_failure(session, follower, &moment).await?;
    }
    follower.conclude(&moment.snapshot)?;
    Ok(exit)
}

/// Where following ends.
fn reached(moment: &Moment) -> Option<Exit> {
    if !moment.current {
        return None;
    }
    match moment.phase() {
        Phase::Failed => Some(Exit::Failed),
        Phase::DrainReady | Phase::AwaitingClientSwitch | Phase::Finalized | Phase::RolledBack => Some(Exit::Done),
        // A freeze that nobody but the operator confirms, and the operator is at another terminal.
        Phase::Cutover | Phase::Validating if moment.open => {
            let config = Config::from_json(&moment.snapshot.meta.config).ok()?;
            waits(moment, &config).then_some(Exit::Done)
        }
        _ => None,
    }
}

/// Says why the migration failed and what that means for producers.
pub(super) async fn tell_failure(session: &Session, follower: &mut Follower<'_>, moment: &Moment) -> Result<()> {
    let reason = follower.last_event().map_or("", |event| event.reason.as_str());
    let failed_in = moment.snapshot.meta.failed_in.map_or_else(String::new, |phase| format!(" in {phase}"));
    session.console.say(format!("failed{failed_in}: {reason}"));
    let freeze = freeze_after_failure(session, follower, moment).await?;
    let committed = moment.snapshot.meta.committed;
    if freeze.is_some() {
        session.console.say(advice::producers_after_failure(freeze.as_ref(), committed, session.journal().now()));
    }
    Ok(())
}

/// The freeze once the failed execution has let producers go, or has ended without.
async fn freeze_after_failure(
    session: &Session,
    follower: &mut Follower<'_>,
    moment: &Moment,
) -> Result<Option<Freeze>> {
    let mut told = false;
    loop {
        // Asked before the journal is read: what an execution wrote, it wrote before it ended.
        let ended = follower.has_ended().await?;
        let freeze = session.patiently("read the freeze", || session.journal().freeze_state()).await?;
        let held = freeze.as_ref().is_some_and(Freeze::may_hold_producers);
        if ended || !held || moment.snapshot.meta.committed {
            return Ok(freeze);
        }
        if !told {
            session.console.say("producers: the failed execution is letting them go on against the source ...");
            told = true;
        }
        tokio::time::sleep(LOOK).await;
    }
}
