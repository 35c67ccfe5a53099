//! `cutover` and `cutover-ack`: from `drain_ready` to `validating`.

use documents::rehearsal;
use journal::{Decision, GateName};
use migration::config::Cutover;
use migration::{Config, Error, Phase, Result};
use runtime::clusters::bootstrap_servers;
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;

use super::{Exit, decide, late_records, rehearse, resume};
use crate::args::{CutoverArgs, RunArgs};
use crate::follow::{self, Follower, Moment};
use crate::session::{Session, Snapshot};
use crate::{advice, console};

/// What the operator types to confirm that producers are frozen.
const FROZEN: &str = "frozen";

/// The question whether producers are frozen.
#[derive(Debug)]
enum Question {
    /// Not to be asked: the webhook knows.
    ForWebhook,
    /// To be asked when the gate opens.
    Pending,
    /// Asked.
    Asked(Receiver<String>),
    /// Answered.
    Answered,
}

/// Runs `cutover`.
pub(super) async fn run(args: &CutoverArgs) -> Result<Exit> {
    if args.rehearse {
        return rehearse::run(&args.run).await;
    }
    let (session, snapshot) = Session::open(&args.run).await?;
    session.events().await?;
    // A cutover whose terminal was lost can be taken up again, even at the question about producers.
    if !matches!(snapshot.meta.phase, Phase::DrainReady | Phase::Cutover) {
        return Err(out_of_phase(&session, &snapshot, "cutover", Phase::DrainReady)?);
    }
    let config = Config::from_json(&snapshot.meta.config)?;
    let question = match config.cutover.producer_freeze_webhook {
        Some(_) => Question::ForWebhook,
        None if console::can_ask() => Question::Pending,
        None => return Err(no_terminal(&session)),
    };
    let mut follower = decide::joined(&session, &snapshot).await?;
    if snapshot.meta.phase == Phase::DrainReady {
        let rehearsal = rehearse::fresh(&session, &snapshot).await?;
        if rehearsal.blockers().next().is_some() {
            return Err(rehearse::refused(&rehearsal));
        }
        session.console.say(rehearse::text(&rehearsal));
        let decision = Decision { rehearsal: Some(rehearsal.id), ..Decision::approve("") };
        decide::when_armed(&session, &mut follower, GateName::Cutover, &decision).await?;
    }
    let decided = session.snapshot().await?.gate.filter(|gate| gate.name == GateName::Cutover);
    let decided = decided.map_or(u32::MAX, |gate| gate.attempt);
    follow_cutover(&session, &mut follower, &config, question, decided).await
}

/// Whether the cutover came back to its gate, which was decided at the attempt `decided`: what was approved does not hold any more.
fn came_back(moment: &Moment, decided: u32) -> bool {
    let gate = moment.snapshot.gate.as_ref().filter(|gate| gate.name == GateName::Cutover);
    moment.open && gate.is_some_and(|gate| gate.attempt > decided)
}

/// Says what is otherwise than approved.
fn say_differences(session: &Session, moment: &Moment) {
    let fact = moment.snapshot.meta.facts.get(rehearsal::DIFFERS);
    let lines = fact.and_then(|fact| fact.get("differences")?.as_array());
    session.console.say("producers were not stopped: what was approved is not known to hold any more");
    for line in lines.into_iter().flatten().filter_map(|line| line.as_str()) {
        session.console.say(format!("since it was approved: {line}"));
    }
    session.console.say(format!("look at it, then try again\nnext_command: {}", session.line.command("cutover")));
}

async fn follow_cutover(
    session: &Session,
    follower: &mut Follower<'_>,
    config: &Config,
    mut question: Question,
    decided: u32,
) -> Result<Exit> {
    loop {
        let Some(moment) = follower.look().await? else { continue };
        match moment.phase() {
            Phase::AwaitingClientSwitch | Phase::Validating | Phase::Finalized => {
                follower.pause_progress();
                tell_switch(session, follower, config).await?;
                follower.conclude(&moment.snapshot)?;
                return Ok(Exit::Done);
            }
            Phase::Failed | Phase::RolledBack if moment.current => {
                follower.pause_progress();
                resume::tell_failure(session, follower, &moment).await?;
                follower.conclude(&moment.snapshot)?;
                return Ok(Exit::Failed);
            }
            Phase::DrainReady if came_back(&moment, decided) => {
                follower.pause_progress();
                say_differences(session, &moment);
                return Ok(Exit::Failed);
            }
            Phase::Cutover => question = settle(session, follower, config, &moment, question).await,
            _ => {}
        }
        follower.go_on(&moment).await?;
    }
}

/// Asks when the gate is open, and answers it when the operator has answered.
async fn settle(
    session: &Session,
    follower: &mut Follower<'_>,
    config: &Config,
    moment: &Moment,
    question: Question,
) -> Question {
    match question {
        Question::Pending if moment.open => {
            follower.pause_progress();
            Question::Asked(console::ask(&session.console, &freeze_question(config)))
        }
        Question::Asked(mut answer) => match answer.try_recv() {
            Err(TryRecvError::Empty) => Question::Asked(answer),
            Ok(text) if text.eq_ignore_ascii_case(FROZEN) => {
                answer_freeze(session, &Decision::approve("producers are frozen")).await;
                follower.resume_progress();
                Question::Answered
            }
            Ok(_) | Err(TryRecvError::Closed) => {
                answer_freeze(session, &Decision::reject("the operator did not freeze the producers")).await;
                Question::Answered
            }
        },
        other => other,
    }
}

fn freeze_question(config: &Config) -> String {
    let Cutover { freeze_reaction_timeout, max_producer_freeze, .. } = &config.cutover;
    format!(
        "\nStop every producer of {source} now, and let what they have in flight be acknowledged.\n\
         Type `{FROZEN}` within {freeze_reaction_timeout} (cutover.freeze_reaction_timeout) when they have stopped; from then on the \
         cutover has {max_producer_freeze}\n(cutover.max_producer_freeze) until its point of no return, or they go on writing to \
         the source. Anything else gives the cutover up:",
        source = config.source.name(),
    )
}

/// An answer that comes too late is not the end: the journal tells what became of the cutover.
async fn answer_freeze(session: &Session, decision: &Decision) {
    if let Err(error) = decide::now(session, GateName::Freeze, decision).await {
        session.console.say(format!("the answer was not taken: {error}"));
    }
}

/// Says what was translated, how long producers have stood still, and where clients go.
async fn tell_switch(session: &Session, follower: &Follower<'_>, config: &Config) -> Result<()> {
    if let Some(event) = follower.last_event() {
        session.console.say(format!("clients can be switched now: {}", event.reason));
    }
    let freeze = session.patiently("read the freeze", || session.journal().freeze_state()).await?;
    session.console.say(format!("producers: {}", advice::freeze(freeze.as_ref(), session.journal().now())));
    match bootstrap_servers(&session.host.aws, &config.target).await {
        Ok(servers) => session.console.say(format!("bootstrap.servers of the target: {servers}")),
        Err(error) => session.console.say(format!("bootstrap.servers of the target: unknown here ({error})")),
    }
    Ok(())
}

fn no_terminal(session: &Session) -> Error {
    Error::invalid(format_args!(
        "producer freeze: stdin is not a TTY, and the migration was started without cutover.producer_freeze_webhook.\n\
         Run cutover in an interactive shell. Or answer both gates yourself:\n  {}\n  {}   (once producers are frozen)",
        session.line.ack("cutover"),
        session.line.ack("freeze")
    ))
}

/// Runs `cutover-ack`.
pub(super) async fn acknowledge(args: &RunArgs) -> Result<Exit> {
    let (session, snapshot) = Session::open(args).await?;
    session.events().await?;
    match snapshot.meta.phase {
        Phase::AwaitingClientSwitch => {}
        Phase::Validating | Phase::Finalized => {
            session.console.say("the client switch is acknowledged already");
            follow::conclude(&session, &snapshot)?;
            return Ok(Exit::Done);
        }
        _ => return Err(out_of_phase(&session, &snapshot, "cutover-ack", Phase::AwaitingClientSwitch)?),
    }
    let mut follower = decide::joined(&session, &snapshot).await?;
    late_records::warn(&session).await;
    decide::when_armed(&session, &mut follower, GateName::ClientSwitch, &Decision::approve("")).await?;
    let reached = |moment: &Moment| match moment.phase() {
        Phase::Failed if moment.current => Some(Exit::Failed),
        Phase::Validating | Phase::Finalized => Some(Exit::Done),
        _ => None,
    };
    let (exit, moment) = follower.until(reached).await?;
    if exit == Exit::Failed {
        resume::tell_failure(&session, &mut follower, &moment).await?;
    }
    follower.conclude(&moment.snapshot)?;
    Ok(exit)
}

/// The error of a verb in a phase in which it means nothing, with what does.
///
/// # Errors
/// Invalid when the stored configuration cannot be used.
pub(super) fn out_of_phase(session: &Session, snapshot: &Snapshot, verb: &str, phase: Phase) -> Result<Error> {
    let next = advice::next(snapshot, &Config::from_json(&snapshot.meta.config)?, &session.line);
    let command = next.command.map_or_else(String::new, |command| format!("\nnext_command: {command}"));
    Ok(Error::blocked(format_args!(
        "{verb} is for phase {phase}, and {} is in {}\nnext: {}{command}",
        session.id(),
        snapshot.meta.phase,
        next.action
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::config;

    #[test]
    fn the_question_says_what_to_do_what_to_type_and_by_when() {
        let question = freeze_question(&config());
        assert!(
            question.contains("of old now")
                && question.contains("`frozen` within 10m (cutover.freeze_reaction_timeout)")
                && question.contains("the cutover has 1m\n(cutover.max_producer_freeze)"),
            "{question}"
        );
    }
}
