//! The life of one invocation of the cutover function: it ends by itself, dies, or stands still and goes on later.

use std::time::Duration;

use cutover::{Job, Outcome};
use migration::config::Sentinels;
use migration::{BatchId, Error, ErrorKind, Result};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::dice::Dice;
use crate::request::{Death, Invocation};
use crate::source::Writer;
use crate::world::{Shared, World};

/// Time after which everybody can know that a cutover is done.
const LONG_AGO: Duration = Duration::from_secs(60);

/// How an invocation ended; none when it died.
pub(crate) type Ended = Option<Result<Outcome>>;

/// Invokes the function for the rehearsal `rehearsal`.
pub(crate) fn invoke(world: &Shared, rehearsal: &str, death: Option<Death>) -> JoinHandle<Ended> {
    let mut invocation = Invocation::new(world);
    let number = invocation.number;
    let (killed, frozen, job) = {
        let world = &mut *world.lock();
        let World { dice, faults, setup, .. } = world;
        // At any moment, or at a request, so that what comes late in a cutover is met too.
        let is_killed = dice.chance(faults.kills);
        let at_request = dice.chance(600);
        let killed = (is_killed && !at_request).then(|| moment(dice));
        let death = death.or_else(|| {
            let death = Death { request: dice.index(0..60), is_sent: dice.chance(500) };
            (is_killed && at_request).then_some(death)
        });
        let frozen = dice.chance(faults.freezes).then(|| (moment(dice), dice.millis(1_000..600_000)));
        let job = Job {
            limits: setup.limits.clone(),
            selection: setup.selection.clone(),
            batches: (0..setup.batches).map(BatchId).collect(),
            rehearsal: rehearsal.to_owned(),
        };
        invocation.death = death;
        world.note(|| format!("{number} begins, dies {killed:?} or {death:?}, stands still {frozen:?}"));
        (killed, frozen, job)
    };
    tokio::task::spawn_local(async move {
        let work = cutover::cut_over(&invocation, &job);
        let life = timeout(killed.unwrap_or(Duration::from_secs(1 << 30)), standing_still(&invocation, work, frozen));
        let ended: Ended = tokio::select! {
            biased;
            () = invocation.died() => None,
            ended = life => ended.ok(),
        };
        let (world, sent) = (&mut *invocation.world.lock(), invocation.sent());
        world.note(|| format!("{number} ends after {sent} requests: {ended:?}"));
        if world.witness.requests.1 == 0 {
            world.witness.requests.1 = sent;
        }
        judge(world, number, &ended);
        ended
    })
}

/// Most of what matters happens early.
fn moment(dice: &mut Dice) -> Duration {
    if dice.chance(600) { dice.millis(0..900) } else { dice.millis(0..15_000) }
}

/// Lets `work` stand still once, as a sandbox that is frozen.
async fn standing_still<T>(
    invocation: &Invocation,
    work: impl Future<Output = T>,
    frozen: Option<(Duration, Duration)>,
) -> T {
    tokio::pin!(work);
    if let Some((after, length)) = frozen {
        if let Ok(done) = timeout(after, &mut work).await {
            return done;
        }
        {
            let world = &mut *invocation.world.lock();
            world.saw("frozen sandbox");
            let known = world.witness.known(invocation.number);
            known.stood_still_in = Some(known.sent);
        }
        sleep(length).await;
    }
    work.await
}

/// Which ends of an invocation there may be.
fn judge(world: &mut World, number: usize, ended: &Ended) {
    world.saw(match ended {
        None => "invocation killed",
        Some(Ok(Outcome::Already)) => "already done",
        Some(Ok(Outcome::Ready { .. })) => "ready",
        Some(Err(error)) => match error.kind {
            ErrorKind::Deadline => "deadline",
            ErrorKind::Fenced => "fenced",
            ErrorKind::Transient => "failed for a passing reason",
            ErrorKind::Unsafe if error.message.starts_with("a producer ignores the freeze") => "straggler found",
            ErrorKind::Unsafe => "found unsafe",
            _ => "blocked",
        },
    });
    let Some(Err(error)) = ended else { return };
    let verdict = match error.kind {
        ErrorKind::Internal | ErrorKind::Invalid => Err("this is no error of a cutover".to_owned()),
        ErrorKind::Deadline => judge_deadline(world, number, &error.message),
        _ => Ok(()),
    };
    // Whoever stands still when it asks whether it was overtaken, or in which phase the run is, says what was true then.
    let is_deaf = match world.witness.known(number).stood_still_in {
        Some("check") => true,
        Some("phase") => error.message.starts_with("the migration is in phase"),
        _ => false,
    };
    let verdict = verdict.and(if is_deaf { Ok(()) } else { judge_words(world, error) });
    if let Err(why) = verdict {
        world.broken(format!("{number} ended with {} {error}: {why}", error.kind));
    }
}

/// What an error says is true.
fn judge_words(world: &World, error: &Error) -> Result<(), String> {
    let says = |words: &str| error.message.contains(words);
    let faults = &world.setup.faults;
    let is_reachable = faults.lost + faults.slow + faults.outages == 0;
    let is_ready = world.witness.ready_at.is_some_and(|at| at.elapsed() > LONG_AGO);
    let is_spoiled = world.target.logs.iter().any(|log| log.spoiled_at.is_some());
    let has_lost = world.source.logs.iter().any(|log| log.lost.is_some());
    let mut entries = world.source.logs.iter().flat_map(|log| &log.entries);
    // Two invocations may place records at almost the same moment.
    let may_be_ours = world.setup.limits.sentinels == Sentinels::Records;
    let ignores = may_be_ours || entries.any(|entry| entry.writer == Writer::Ignoring);
    match () {
        () if is_ready && is_reachable => Err("the cutover was done long ago".to_owned()),
        () if says("othing was committed") && world.witness.marked.is_some() && is_reachable => {
            Err("a plan is marked".to_owned())
        }
        () if says("written there by another client") && !is_spoiled => Err("nobody else wrote there".to_owned()),
        () if says("a config was altered") && world.target.altered.is_empty() => Err("no config was".to_owned()),
        () if says("ignores the freeze") && !ignores && is_reachable => Err("nobody ignores it".to_owned()),
        () if says("records were lost there") && !has_lost => Err("no record was lost".to_owned()),
        () => Ok(()),
    }
}

/// An error of a limit that passed says in which step, and what was waited for when that was somebody else's to end.
fn judge_deadline(world: &mut World, number: usize, message: &str) -> Result<(), String> {
    let known = world.witness.known(number).clone();
    let Some((_, rest)) = message.split_once("passed in step \"") else { return Err("no step is named".to_owned()) };
    let (step, waits) = rest.split_once('"').unwrap_or_default();
    let waits = waits.split(". Nothing was committed").next().unwrap_or_default();
    let named = |text: &str| waits.contains(text);
    let open = known.open.iter().any(|partition| named(&format!("open transaction on {partition} ")));
    let pending = known.pending.iter().any(|id| named(&format!("pending commit of group {id}")));
    let says_open = named("open transaction on");
    let says_pending = named("pending commit of group");
    if says_open {
        world.saw("deadline names a transaction");
    }
    if says_pending {
        world.saw("deadline names a pending commit");
    }
    match step {
        _ if says_open && !open => Err("no such transaction was open any more".to_owned()),
        _ if says_pending && !pending => Err("no such commit was pending any more".to_owned()),
        "prove the fence" if !known.open.is_empty() && !open => Err("no open transaction is named".to_owned()),
        "read groups" if !known.pending.is_empty() && !pending => Err("no pending commit is named".to_owned()),
        _ => Ok(()),
    }
}
