//! Everything outside of the copy, in one place behind one lock.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use documents::recount::{self, Recount, Recounted};
use migration::config::Topology;
use migration::progress::PartitionProgress;
use migration::{BatchId, TopicPartition};
use tokio::time::Instant;

use crate::cloud::{Item, Objects};
use crate::dice::Dice;
use crate::faults::Faults;
use crate::knowledge::Knowledge;
use crate::source::SourceLog;
use crate::target::TargetLog;
use crate::traffic;

/// The migration's producer id on the target.
pub(crate) const PRODUCER: i64 = 4000;

/// The wall clock when a world begins, in milliseconds since 1970.
const EPOCH_MS: i64 = 1_777_000_000_000;

/// One simulated world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) faults: Faults,
    pub(crate) source: Vec<SourceLog>,
    /// Which broker leads each partition of the source.
    pub(crate) source_leaders: Vec<usize>,
    pub(crate) target: Vec<TargetLog>,
    pub(crate) objects: Objects,
    pub(crate) item: Item,
    /// The configuration's part about topics.
    pub(crate) topology: Topology,
    /// Where the copy begins on the target.
    pub(crate) first: i64,
    began: Instant,
    /// What each invocation knows of the target.
    pub(crate) knowledge: Knowledge,
    /// How often what happened.
    pub(crate) seen: BTreeMap<&'static str, u32>,
    /// What happened, when somebody wants to read it.
    trace: Option<Vec<String>>,
}

impl World {
    /// The world of `seed`, its source filled and nothing copied.
    pub(crate) fn new(seed: u64, traced: bool) -> Self {
        let mut dice = Dice::new(seed);
        let faults = Faults::draw(&mut dice);
        let partitions = dice.index(1..5);
        // A partition that has copied for so long that its sequence numbers are about to begin anew.
        let first = if dice.chance(100) { (1 << 31) - dice.number(1..60) } else { 0 };
        let max_batch = if faults.small_batches_only { 2_000 } else { 4 << 20 };
        let mut source: Vec<SourceLog> = (0..partitions).map(|_| traffic::fresh(first, &mut dice)).collect();
        for log in &mut source {
            for _ in 0..dice.index(0..60) {
                traffic::step(log, &faults, EPOCH_MS, &mut dice);
            }
        }
        let target = (0..partitions).map(|_| TargetLog::starting_at(first, PRODUCER, max_batch)).collect();
        let progress = (0..).zip(&source).map(|(partition, log)| progress(partition, log, first)).collect();
        let mut objects = Objects::default();
        if first > 0 {
            let counted = |partition| Recounted { next: first, ..Recounted::new(name(partition)) };
            let stored = Recount { partitions: (0..partitions).map(counted).collect() };
            objects.put(&recount::key(BatchId(0)), documents::document::encode(&stored).unwrap());
        }
        Self {
            source_leaders: vec![0; partitions],
            source,
            target,
            objects,
            item: Item::new(progress),
            topology: Topology {
                on_records_deleted: faults.on_records_deleted,
                record_gap_of: Vec::new(),
                ..Topology::default()
            },
            first,
            began: Instant::now(),
            knowledge: Knowledge::default(),
            seen: BTreeMap::new(),
            trace: traced.then(Vec::new),
            dice,
            faults,
        }
    }

    /// What was counted on the target, as it is stored.
    pub(crate) fn counted(&self) -> BTreeMap<TopicPartition, Recounted> {
        let stored = self.objects.get(&recount::key(BatchId(0)));
        let stored: Option<Recount> = stored.map(|object| documents::document::decode(&object.body).unwrap());
        stored.unwrap_or_default().by_partition()
    }

    /// The wall clock, in milliseconds since 1970.
    pub(crate) fn clock_ms(&self) -> i64 {
        EPOCH_MS + self.began.elapsed().as_millis() as i64
    }

    /// No faults any more.
    pub(crate) fn calm_down(&mut self) {
        self.faults.end();
        self.target.iter_mut().for_each(|log| log.refusing = None);
    }

    /// Whether some partition has waited for the target for a minute while another one comes further with `now`.
    pub(crate) fn goes_on_beside_a_refusal(&self, now: &[PartitionProgress]) -> bool {
        let before = self.item.partitions.iter().zip(&self.source).zip(&self.target);
        let waits = before.map(|((progress, source), target)| {
            let long = target.refuses_for(Instant::now()).is_some_and(|length| length > Duration::from_secs(60));
            long && progress.source_next < source.last_stable()
        });
        let moves = self.item.partitions.iter().zip(now).any(|(was, is)| is.target_next > was.target_next);
        waits.into_iter().any(std::convert::identity) && moves
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

    /// The trace so far.
    pub(crate) fn take_trace(&mut self) -> Vec<String> {
        self.trace.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

fn progress(partition: i32, log: &SourceLog, first: i64) -> PartitionProgress {
    let mut progress = PartitionProgress::new(name(partition as usize), log.start(), log.last_stable());
    progress.target_next = first;
    if first > 0 {
        let mut runs = offsets::OffsetRuns::starting_at(0);
        runs.push(0, first).unwrap();
        progress.runs_open = runs.to_text();
    }
    progress
}

/// The partition at `index`.
pub(crate) fn name(index: usize) -> TopicPartition {
    TopicPartition::new("orders", index as i32)
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
