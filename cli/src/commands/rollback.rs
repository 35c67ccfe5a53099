//! `rollback`: giving a migration up before its point of no return.

use journal::{Decision, GateName, Meta};
use migration::{Config, Error, Phase, Result};
use serde::Deserialize;

use super::{Exit, decide, resume};
use crate::args::RollbackArgs;
use crate::executions::Execution;
use crate::follow::{self, Follower, Moment};
use crate::session::{Session, Snapshot};
use crate::{advice, console, naming};

/// What the operator types to confirm.
const CONFIRMATION: &str = "rollback";
/// Topics that are named when it is told what stays.
const TOPICS_SHOWN: usize = 10;

/// Runs the verb.
pub(super) async fn run(args: &RollbackArgs) -> Result<Exit> {
    let (session, snapshot) = Session::open(&args.run).await?;
    session.events().await?;
    if snapshot.meta.phase == Phase::RolledBack {
        session.console.say("the migration is rolled back already");
        if args.by_hand && !confirmed(&session, &snapshot, args).await? {
            session.console.say("not confirmed: nothing was changed");
            return Ok(Exit::Failed);
        }
        complete(&session, &snapshot, args.by_hand).await?;
        tell_what_stays(&session, &snapshot).await?;
        return Ok(Exit::Done);
    }
    check(&session, &snapshot, args.by_hand)?;
    if !confirmed(&session, &snapshot, args).await? {
        session.console.say("not confirmed: nothing was changed");
        return Ok(Exit::Failed);
    }
    // It has gone on while somebody thought about the question.
    let snapshot = session.snapshot().await?;
    check(&session, &snapshot, args.by_hand)?;
    let reason = args.reason.as_deref().unwrap_or("rolled back by the operator");
    if is_cutting_over(&snapshot.meta) {
        give_up(&session, reason).await?;
    }
    let running = Follower::join(&session, &snapshot).await?;
    let after = match running {
        Some(mut follower) if snapshot.meta.phase == Phase::DrainReady && !args.by_hand => {
            reject(&session, &mut follower, reason).await?
        }
        Some(follower) => {
            stop(&session, follower.execution()).await?;
            invoke(&session, &snapshot, reason, args.by_hand).await?
        }
        None => invoke(&session, &snapshot, reason, args.by_hand).await?,
    };
    let Some(after) = after else { return Ok(Exit::Failed) };
    tell_what_stays(&session, &after).await?;
    follow::conclude(&session, &after)?;
    Ok(Exit::Done)
}

/// Does what an earlier rollback could not: lets producers go, or records that this was done by hand, and leaves its report.
async fn complete(session: &Session, snapshot: &Snapshot, by_hand: bool) -> Result<()> {
    let freeze = session.patiently("read the freeze", || session.journal().freeze_state()).await?;
    let held = freeze.as_ref().filter(|freeze| freeze.may_hold_producers());
    if let Some(freeze) = held {
        let what = if by_hand { "you let them go by hand" } else { "letting them go on against the source" };
        session.console.say(format!("{}: {what}", advice::held(freeze)));
    }
    let evidence = session.host.evidence(&Config::from_json(&snapshot.meta.config)?, session.id());
    let fence = session.patiently("read the write fence", || session.journal().write_fence()).await?;
    let fenced = fence.is_some_and(|stored| stored.fence.may_hold());
    if fenced {
        let what = if by_hand { "you removed it by hand" } else { "lifting it" };
        session.console.say(format!("the write fence may still keep producers from writing to the source: {what}"));
    }
    if fenced || held.is_some() || evidence.get("rollback.json").await.is_ok_and(|report| report.is_none()) {
        invoke(session, snapshot, "rolled back again", by_hand).await?;
    }
    Ok(())
}

/// Whether a cutover is under way that can still be given up.
fn is_cutting_over(meta: &Meta) -> bool {
    meta.phase == Phase::Cutover && !meta.committed
}

/// Refuses where there is no way back, and `by_hand` while a cutover stands: that one ends first.
fn check(session: &Session, snapshot: &Snapshot, by_hand: bool) -> Result<()> {
    let meta = &snapshot.meta;
    if is_cutting_over(meta) && by_hand {
        return Err(Error::blocked(format_args!(
            "a cutover is under way: --by-hand is for what could not be undone behind one. Give it up first: {}",
            session.line.command("rollback")
        )));
    }
    if is_cutting_over(meta) {
        return Ok(());
    }
    let Err(error) = meta.check_transition(Phase::RolledBack) else { return Ok(()) };
    let way_out = match meta.phase {
        Phase::Finalized => format!("{} is finalized", session.id()),
        _ => {
            "offsets are committed on the target. The source is untouched: to go back, point the clients at it by hand"
                .to_owned()
        }
    };
    Err(Error::blocked(format_args!("{}\nrollback is not available: {way_out}", error.message)))
}

/// Gives the cutover up: from then on it cannot pass the point of no return, and producers go on.
async fn give_up(session: &Session, reason: &str) -> Result<()> {
    session.console.say("giving the cutover up first");
    let (functions, by) = (session.functions(), naming::operator());
    session.patiently("give the cutover up", || functions.give_up(session.id(), &by, reason)).await?;
    let freeze = session.patiently("read the freeze", || session.journal().freeze_state()).await?;
    session.console.say(advice::producers_after_failure(freeze.as_ref(), false, session.journal().now()));
    Ok(())
}

async fn confirmed(session: &Session, snapshot: &Snapshot, args: &RollbackArgs) -> Result<bool> {
    if args.yes {
        return Ok(true);
    }
    if !console::can_ask() {
        return Err(Error::invalid("rollback asks for confirmation and stdin is not a TTY: add --yes"));
    }
    let cutover = if is_cutting_over(&snapshot.meta) { "; its cutover is under way and ends first" } else { "" };
    let by_hand = if args.by_hand {
        "You say that producers were let go, and that the ACLs of a write fence were removed, by hand: neither the webhook nor the \
         source is asked, and the journal will say that it was you.\n"
    } else {
        ""
    };
    let question = format!(
        "{by_hand}The migration {} (phase {}{cutover}) will be given up for good. Type `{CONFIRMATION}` to go on:",
        session.id(),
        snapshot.meta.phase
    );
    Ok(console::ask(&session.console, &question).await.is_ok_and(|answer| answer == CONFIRMATION))
}

/// At `drain_ready` the state machine itself rolls back. Nothing when it failed instead, which is said.
async fn reject(session: &Session, follower: &mut Follower<'_>, reason: &str) -> Result<Option<Snapshot>> {
    decide::when_armed(session, follower, GateName::Cutover, &Decision::reject(reason)).await?;
    let reached = |moment: &Moment| match moment.phase() {
        Phase::RolledBack => Some(true),
        Phase::Failed if moment.current => Some(false),
        _ => None,
    };
    let (rolled_back, moment) = follower.until(reached).await?;
    if rolled_back {
        return Ok(Some(moment.snapshot));
    }
    resume::tell_failure(session, follower, &moment).await?;
    session.console.say(format!("next_command: {}", session.line.command("rollback")));
    Ok(None)
}

/// Stops an execution. Its end is not waited for: functions in flight go on for a while, and stop when they find the
/// migration rolled back, after which the journal refuses whatever they would record.
async fn stop(session: &Session, execution: &Execution) -> Result<()> {
    let executions = session.executions()?;
    session.console.say(format!("stopping {}", execution.arn));
    session
        .patiently("stop the execution", || executions.stop(&execution.arn, "RolledBack", "msk-kraft rollback"))
        .await
}

async fn invoke(session: &Session, before: &Snapshot, reason: &str, by_hand: bool) -> Result<Option<Snapshot>> {
    let (functions, by) = (session.functions(), by_hand.then(naming::operator));
    let report = session.patiently("roll back", || functions.rollback(session.id(), reason, by.as_deref())).await?;
    let events = session.events().await?;
    for event in events.iter().filter(|event| event.number > before.meta.version) {
        if session.console.is_json() {
            session.console.json_line(event)?;
        } else {
            session.console.data(event.to_string());
        }
    }
    if let Some(report) = report {
        session.console.say(format!("report: {report}"));
    }
    session.snapshot().await.map(Some)
}

/// Says what a rollback does not undo.
async fn tell_what_stays(session: &Session, snapshot: &Snapshot) -> Result<()> {
    let config = Config::from_json(&snapshot.meta.config)?;
    let fence = session.patiently("read the write fence", || session.journal().write_fence()).await?;
    if fence.is_some_and(|stored| stored.fence.may_hold()) {
        session.console.say(format!(
            "a function that was cut off may still set ACLs of the write fence: in a quarter of an hour look once more, until when the \
             run's secrets stay: {}",
            session.line.command("rollback")
        ));
    } else {
        session.forget_secrets(&config).await;
    }
    let store = session.backup(&config);
    let target = config.target.name();
    match brought(session, &config).await {
        None => session.console.say(format!("on the target {target}: no topics were recorded as created")),
        Some(Brought { created, existing }) => {
            session.console.say(format!(
                "on the target {target} stay {} topics with what was copied, under copy-time configs (no retention, no \
                 compaction: delete them), and added ACLs: {}",
                created.len(),
                shown(&created)
            ));
            if !existing.is_empty() {
                session.console.say(format!(
                    "{} topics that the target had before have what was copied and copy-time configs too: {}; delete their \
                     records and set the configs that are on record in {}",
                    existing.len(),
                    shown(&existing),
                    store.url("topology/before.json")
                ));
            }
        }
    }
    session
        .console
        .say(format!("segments and reports stay under {}; delete by hand what is not needed", store.url("")));
    Ok(())
}

/// The first few names.
fn shown(topics: &[String]) -> String {
    let first = topics.iter().take(TOPICS_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match topics.len().saturating_sub(TOPICS_SHOWN) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Topics of the target that the migration wrote to, as `topology/report.json` names them.
#[derive(Debug, Deserialize)]
struct Brought {
    /// Those that it created.
    created: Vec<String>,
    /// Those that were there before.
    existing: Vec<String>,
}

/// The topics, as far as they are recorded.
async fn brought(session: &Session, config: &Config) -> Option<Brought> {
    // Missing when the migration did not get that far; anything else is no reason to fail after the fact.
    let object = session.backup(config).get("topology/report.json").await.ok()??;
    serde_json::from_slice(&object.body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_topics_are_counted() {
        let topics = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>();
        assert_eq!(shown(&topics(2)), "0, 1");
        assert!(shown(&topics(12)).ends_with("8, 9 and 2 more"));
    }
}
