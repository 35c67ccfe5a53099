//! Everything outside of the cutover function, in one place behind one lock.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use crate::bucket::Bucket;
use crate::dice::Dice;
use crate::faults::Faults;
use crate::groups::Groups;
use crate::journal::Item;
use crate::rules;
use crate::setup::Setup;
use crate::source::{Log, Source};
use crate::tail::Tail;
use crate::target::Target;
use crate::traffic::{self, Producers};
use crate::witness::Witness;

/// The time of day when a world begins, in milliseconds since 1970.
const EPOCH_MS: i64 = 1_777_000_000_000;

/// One simulated world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) setup: Setup,
    pub(crate) faults: Faults,
    pub(crate) source: Source,
    pub(crate) groups: Groups,
    pub(crate) producers: Producers,
    pub(crate) tail: Tail,
    pub(crate) target: Target,
    pub(crate) journal: Item,
    pub(crate) bucket: Bucket,
    pub(crate) witness: Witness,
    /// The journal cannot be reached until then.
    pub(crate) journal_down_until: Option<Instant>,
    /// Functions invoked so far.
    invoked: usize,
    began: Instant,
    /// How often what happened.
    pub(crate) seen: BTreeMap<&'static str, u32>,
    /// What happened, when somebody wants to read it.
    trace: Option<Vec<String>>,
}

impl World {
    /// The world of `seed`, its source filled and some of it copied.
    pub(crate) fn new(seed: u64, setup: Option<Setup>, traced: bool) -> Self {
        let mut dice = Dice::new(seed);
        let setup = setup.unwrap_or_else(|| Setup::draw(&mut dice));
        let foreign = rules::draw(&setup, &mut dice);
        let mut source = Source { rules: foreign.clone(), foreign, next_producer: 100, ..Source::default() };
        for partition in &setup.partitions {
            let mut log = Log::starting_at(if dice.chance(250) { dice.number(1..200) } else { 0 });
            log.no_marker = dice.chance(setup.no_markers).then_some("message.format.version 0.10 has no markers");
            log.no_record = dice.chance(setup.no_markers / 4);
            log.denies = source.rules.contains(&write_fence::rules::deny(&partition.topic));
            traffic::fill(&mut log, &mut dice);
            source.logs.push(log);
        }
        let groups = Groups::draw(&setup, &source.logs, &mut dice);
        let tail = Tail::new(&setup, &source.logs);
        Self {
            target: Target::draw(&setup, &groups, &mut dice),
            journal: Item::new(&setup, &tail),
            tail,
            faults: setup.faults.clone(),
            source,
            groups,
            producers: Producers::default(),
            bucket: Bucket::default(),
            witness: Witness::default(),
            journal_down_until: None,
            invoked: 0,
            began: Instant::now(),
            seen: BTreeMap::new(),
            trace: traced.then(Vec::new),
            dice,
            setup,
        }
    }

    /// Time since the world began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The time of day.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        let began = DateTime::from_timestamp_millis(EPOCH_MS).unwrap();
        began + TimeDelta::from_std(self.elapsed()).unwrap()
    }

    /// The number of the next function.
    pub(crate) fn next_number(&mut self) -> usize {
        self.invoked += 1;
        self.invoked
    }

    /// Counts that `what` happened.
    pub(crate) fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// Writes a line into the trace.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        let at = self.began.elapsed().as_millis();
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{at:>9} {}", line()));
        }
    }

    /// Notes that a promise is broken. The first one counts.
    pub(crate) fn broken(&mut self, why: String) {
        self.note(|| format!("BROKEN: {why}"));
        self.witness.broken.get_or_insert(why);
        self.witness.breaks.notify_one();
    }

    /// The trace so far.
    pub(crate) fn take_trace(&mut self) -> Vec<String> {
        self.trace.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// What is stored in the bucket and the journal, and committed on the target.
    pub(crate) fn left(&self) -> String {
        let offsets: Vec<_> = self.target.groups.iter().map(|(id, group)| (id, &group.offsets)).collect();
        format!("{:?} {:?} {offsets:?}", self.bucket, self.journal)
    }

    /// Nothing goes wrong any more, and whoever can be cured is cured.
    pub(crate) fn calm_down(&mut self) {
        self.faults = Faults::default();
        self.journal_down_until = None;
        self.setup.mischief.clear();
        self.setup.markers_take = Duration::from_millis(20);
        self.setup.ignores_every = None;
        self.setup.rules_take = Duration::from_millis(20);
        self.source.logs.iter_mut().for_each(|log| (log.away_until, log.no_record) = (None, false));
        self.source.transactions.values_mut().for_each(|txn| txn.held_until = None);
        self.target.cure();
        self.tail.cure();
        self.note(|| "faults end".to_owned());
    }
}

/// A world that many hold.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}
