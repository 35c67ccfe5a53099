//! What functions knew and did, and the promises that are broken or kept at the moment at which something happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use cutover::ports::GroupOffsets;
use documents::CutoverPlan;
use kafka::NewOffset;
use migration::{Phase, TopicPartition};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::decision;
use crate::target::By;
use crate::world::World;

/// Longest time from a look at the lease to a commit that is sent because of it.
const FRESH: Duration = Duration::from_secs(10);

/// Longest time that the state machine needs from one state to the next.
pub(crate) const STEP: Duration = Duration::from_millis(500);

/// Requests that decide nothing: what else is asked for has to be known before the fence is looked at last.
const NOT_DECIDING: [&str; 9] =
    ["ends", "stable ends", "written batches", "check", "put new", "put", "mark", "note attempt", "read meta"];

/// Requests of calls that are made when the freeze's limit passes: the mark's may have begun before.
const ENDING: [&str; 6] = ["frozen since", "check", "note attempt", "phase", "mark", "read meta"];

/// Those of an invocation that takes itself off the record of the write fence, which reads the list of its rules behind that record.
const SETTLING: [&str; 3] = ["read the write fence", "write the write fence", "remove rules"];

/// Timers are no finer than this.
const TICK: Duration = Duration::from_millis(2);

/// What an invocation knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// When the freeze has lasted too long, by its clock.
    until: Option<DateTime<Utc>>,
    /// What it last sent, and what it had sent when it stood still.
    pub(crate) sent: &'static str,
    pub(crate) stood_still_in: Option<&'static str>,
    /// Whether it completes what was decided.
    is_behind_mark: bool,
    /// When its lease was last found to hold.
    checked: Option<Instant>,
    /// What groups had committed when it last asked.
    pub(crate) snapshot: BTreeMap<String, GroupOffsets>,
    /// When it last looked at the last stable offsets.
    pub(crate) settled: Option<Instant>,
    /// When it last asked for anything that it decides by, but for the ends of logs.
    pub(crate) decided: Option<Instant>,
    /// When it last looked at the target's ends.
    pub(crate) bounds: Option<Instant>,
    /// When it last looked at the source's ends.
    pub(crate) looked: Option<Instant>,
    /// Partitions on which it last found a transaction open.
    pub(crate) open: BTreeSet<TopicPartition>,
    /// Groups of which it found commits pending when it last looked at all of them.
    pub(crate) pending: BTreeSet<String>,
    /// Those that it found in the look that is under way.
    pub(crate) listed: BTreeSet<String>,
}

/// The decision that counts.
#[derive(Debug, Clone)]
pub(crate) struct Marked {
    pub(crate) key: String,
    pub(crate) plan: CutoverPlan,
}

/// A freeze and what ends it.
#[derive(Debug)]
struct Freeze {
    confirmed: Instant,
    /// When the state machine learned of it.
    answered: Option<Instant>,
    limit: Duration,
    /// Calls under way that end it.
    ending: BTreeSet<usize>,
    is_over: bool,
}

impl Freeze {
    /// Whether it has not lasted too long, by the time of the state machine, which learns of it in one call.
    fn is_in_time(&self) -> bool {
        self.answered.unwrap_or(self.confirmed).elapsed() <= self.limit + STEP
    }
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// The first broken promise, and who waits for one.
    pub(crate) broken: Option<String>,
    pub(crate) breaks: Arc<Notify>,
    known: BTreeMap<usize, Known>,
    /// What was known when a plan was stored.
    plans: BTreeMap<String, Known>,
    pub(crate) marked: Option<Marked>,
    /// Since when clients may be switched.
    pub(crate) ready_at: Option<Instant>,
    freeze: Option<Freeze>,
    /// Requests of the first invocation: up to its mark, and all.
    pub(crate) requests: (usize, usize),
}

impl Witness {
    /// Whether the cutover is done.
    pub(crate) const fn is_over(&self) -> bool {
        self.ready_at.is_some()
    }

    /// Whether consumers begin on the target.
    pub(crate) const fn may_begin(&self, are_eager: bool) -> bool {
        self.ready_at.is_some() || (are_eager && self.marked.is_some())
    }

    pub(crate) fn begins(&mut self, number: usize) {
        self.known.insert(number, Known::default());
    }

    pub(crate) fn known(&mut self, number: usize) -> &mut Known {
        self.known.entry(number).or_default()
    }

    pub(crate) fn claims(&mut self, number: usize, is_behind_mark: bool) {
        self.known(number).is_behind_mark = is_behind_mark;
    }

    pub(crate) fn checks(&mut self, number: usize) {
        self.known(number).checked = Some(Instant::now());
    }

    pub(crate) fn knows_freeze(&mut self, number: usize, until: Option<DateTime<Utc>>) {
        self.known(number).until = until;
    }

    pub(crate) fn snapshot(&mut self, number: usize, offsets: &BTreeMap<String, GroupOffsets>) {
        self.known(number).snapshot = offsets.clone();
    }

    /// Invocation `number` stored an object under a name of its own.
    pub(crate) fn stores(&mut self, number: usize, key: &str) {
        let known = self.known(number).clone();
        self.plans.insert(key.to_owned(), known);
    }

    /// Producers are confirmed to stand still.
    pub(crate) fn frozen(&mut self, limit: Duration) {
        let confirmed = Instant::now();
        self.freeze = Some(Freeze { confirmed, answered: None, limit, ending: BTreeSet::new(), is_over: false });
    }

    /// The state machine knows that they do.
    pub(crate) fn knows_frozen(&mut self) {
        if let Some(freeze) = &mut self.freeze {
            freeze.answered = Some(Instant::now());
        }
    }

    /// A call begins that ends the freeze, unless it comes too late to count.
    pub(crate) fn begins_to_end(&mut self, call: usize) {
        if let Some(freeze) = self.freeze.as_mut().filter(|freeze| freeze.is_in_time()) {
            freeze.ending.insert(call);
        }
    }

    /// Such a call is answered.
    pub(crate) fn ended(&mut self, call: usize) {
        if let Some(freeze) = &mut self.freeze {
            freeze.ending.remove(&call);
        }
    }
}

impl World {
    /// Invocation `number` sends a request.
    pub(crate) fn sends(world: &mut Self, number: usize, what: &'static str, own_now: DateTime<Utc>) {
        let known = world.witness.known(number);
        let before = std::mem::replace(&mut known.sent, what);
        let is_list = what == "get" && ["read the write fence", "get"].contains(&before);
        let is_settling = SETTLING.contains(&what) || is_list;
        let is_late = known.until.is_some_and(|until| own_now > until + TICK);
        if is_late && !known.is_behind_mark && !is_settling && !ENDING.contains(&what) {
            world.broken(format!("{number} sends {what:?} after the freeze's limit passed"));
        }
        let known = world.witness.known(number);
        let is_fresh = known.checked.is_some_and(|checked| checked.elapsed() <= FRESH);
        // Markers are not seen by anybody, and are repeated for longer.
        let needs_lease = what == "commit" || (what == "append records" && known.stood_still_in.is_none());
        if needs_lease && !is_fresh {
            world.broken(format!("{number}: {what:?} without a look at its lease in the last {FRESH:?}"));
        }
    }

    /// Invocation `number` begins to set the mark.
    pub(crate) fn begins_mark(&mut self, number: usize, own_now: DateTime<Utc>) {
        let until = self.witness.known(number).until;
        if until.is_some_and(|until| own_now > until + TICK) {
            self.broken(format!("{number} begins to set the mark after the freeze's limit passed"));
        }
    }

    /// A request of invocation `number` takes effect.
    pub(crate) fn takes_effect(&mut self, number: usize, what: &'static str) {
        let now = Some(Instant::now());
        let known = self.witness.known(number);
        match what {
            "ends" => known.looked = now,
            "stable ends" => known.settled = now,
            "bounds" => known.bounds = now,
            _ => {}
        }
        if !NOT_DECIDING.contains(&what) {
            known.decided = now;
        }
    }

    /// The freeze ends, by the mark or because producers are let go: in time, or by the call that is to end it.
    pub(crate) fn freeze_ends(&mut self, how: &str) {
        let Some(freeze) = self.witness.freeze.as_mut().filter(|freeze| !freeze.is_over) else { return };
        freeze.is_over = true;
        let lasted = freeze.confirmed.elapsed();
        let is_in_time = freeze.is_in_time() || !freeze.ending.is_empty();
        self.note(|| format!("the freeze ends after {lasted:?}: {how}"));
        if !is_in_time {
            self.broken(format!("{how} {lasted:?} after the freeze was confirmed"));
        }
    }
}

/// Invocation `number` passes the point of no return.
pub(crate) fn marks(world: &mut World, number: usize, key: &str) {
    world.note(|| format!("{number} MARKS {key}"));
    world.freeze_ends("the point of no return is passed");
    if !world.producers.frozen {
        world.broken("the point of no return is passed while producers write to the source".to_owned());
    }
    let stored = world.bucket.get(key).map(|object| documents::document::decode::<CutoverPlan>(&object.body));
    let Some(Ok(plan)) = stored else {
        return world.broken(format!("the marked plan {key} is not stored"));
    };
    let known = world.witness.plans.get(key).cloned().unwrap_or_default();
    if let Err(why) = decision::judge(world, &known, &plan) {
        world.broken(format!("{key} is marked, but {why}"));
    }
    decision::kinds(&plan).into_iter().for_each(|kind| world.saw(kind));
    if world.journal.progress.iter().flatten().any(|progress| progress.runs_key.is_some()) {
        world.saw("offset runs in the bucket");
    }
    world.witness.marked = Some(Marked { key: key.to_owned(), plan });
    world.witness.known(number).is_behind_mark = true;
}

/// An offset of invocation `number` is about to be committed on the target.
pub(crate) fn commits(world: &mut World, number: usize, id: &str, offset: &NewOffset) {
    let NewOffset { partition, offset: wanted, metadata } = offset;
    let verdict = match &world.witness.marked {
        None => Err("nothing is marked yet".to_owned()),
        Some(marked) => {
            let group = marked.plan.groups.iter().find(|group| group.group == *id && group.skipped.is_none());
            let planned = group.and_then(|group| group.offsets.iter().find(|offset| offset.partition == *partition));
            match planned {
                Some(planned) if planned.target_offset == Some(*wanted) && planned.metadata == *metadata => Ok(()),
                other => Err(format!("the marked plan has {other:?}")),
            }
        }
    };
    let there = world.target.groups.get(id).and_then(|group| group.offsets.get(partition));
    let verdict = verdict.and(match there {
        Some(there) if there.by == By::Operator => Err("a person has moved the group since".to_owned()),
        Some(there) if there.offset > *wanted => Err(format!("it was at {} already", there.offset)),
        _ => Ok(()),
    });
    if let Err(why) = verdict {
        world.broken(format!("{number} commits {wanted} of {partition} for {id}, but {why}"));
    }
    if world.journal.phase != Phase::Cutover {
        world.saw("commit behind the phase");
    }
}
