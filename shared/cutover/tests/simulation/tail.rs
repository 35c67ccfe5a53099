//! The copy, which goes on while a cutover is prepared: it writes to the target first, and into the journal what it wrote
//! some time later.

use bytes::Bytes;
use documents::{Object, Objects, PutOnce};
use journal::TailWanted;
use migration::Result;
use migration::progress::PartitionProgress;
use offsets::OffsetRuns;
use tokio::time::{Instant, sleep};

use crate::setup::Setup;
use crate::source::Log;
use crate::world::{Shared, World};

/// Source offsets that the copy of a partition takes at a time.
const AT_ONCE: i64 = 12;

/// Why a partition stops.
const DAMAGED: &str = "a batch cannot be copied exactly";

/// What the copy knows.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Progress of each partition, ahead of the journal.
    partitions: Vec<PartitionProgress>,
    /// Partitions stand still until then.
    stalled: Vec<Option<Instant>>,
}

impl Tail {
    /// Nothing is copied yet.
    pub(crate) fn new(setup: &Setup, logs: &[Log]) -> Self {
        let each = setup.partitions.iter().zip(logs);
        let partitions = each.map(|(name, log)| PartitionProgress::new(name.clone(), log.start, log.start)).collect();
        Self { partitions, stalled: vec![None; logs.len()] }
    }

    /// Progress of the partitions of `batch`.
    pub(crate) fn of_batch(&self, setup: &Setup, batch: u32) -> Vec<PartitionProgress> {
        let each = self.partitions.iter().enumerate();
        each.filter(|(index, _)| setup.batch_of(*index) == batch).map(|(_, progress)| progress.clone()).collect()
    }

    /// Partitions that stopped are tried again, and none stands still.
    pub(crate) fn cure(&mut self) {
        self.stalled.fill(None);
        self.partitions.iter_mut().filter(|progress| progress.stopped.as_deref() == Some(DAMAGED)).for_each(try_again);
    }
}

fn try_again(progress: &mut PartitionProgress) {
    progress.stopped = None;
}

/// The copy of the partitions of `batch`.
pub(crate) async fn copy(shared: Shared, batch: u32) {
    loop {
        let (pause, until_checkpoint) = {
            let World { dice, witness, .. } = &mut *shared.lock();
            let pause = if witness.is_over() { dice.millis(500..5_000) } else { dice.millis(10..200) };
            (pause, dice.millis(1..60))
        };
        sleep(pause).await;
        let all = 0..shared.lock().setup.partitions.len();
        let mut copied = false;
        for index in all {
            let is_ours = shared.lock().setup.batch_of(index) == batch;
            copied |= is_ours && copy_some(&shared, index).await;
        }
        if copied {
            sleep(until_checkpoint).await;
        }
        let world = &mut *shared.lock();
        if world.journal_down_until.is_none_or(|until| until <= Instant::now()) {
            world.journal.progress[batch as usize] = world.tail.of_batch(&world.setup, batch);
        }
    }
}

/// Copies what is next of the partition at `index`. Whether there was anything.
async fn copy_some(shared: &Shared, index: usize) -> bool {
    let Some((mut progress, runs)) = take(&mut shared.lock(), index) else { return false };
    // Nothing in here waits, so that the world stands still meanwhile.
    let appended = offsets::store::append(&Direct(shared.clone()), &mut progress, &runs, 1).await;
    appended.unwrap();
    shared.lock().tail.partitions[index] = progress;
    true
}

/// Copies to the target; returns the progress behind it, without its runs, and these.
fn take(world: &mut World, index: usize) -> Option<(PartitionProgress, OffsetRuns)> {
    let World { dice, faults, tail, source, target, journal, .. } = world;
    let progress = &tail.partitions[index];
    if journal.wanted != TailWanted::Run || progress.stopped.is_some() {
        return None;
    }
    if tail.stalled[index].is_some_and(|until| until > Instant::now()) {
        return None;
    }
    if dice.chance(faults.tail_stalls) {
        tail.stalled[index] = Some(Instant::now() + dice.millis(500..30_000));
        return None;
    }
    let (log, copy) = (&source.logs[index], &mut target.logs[index]);
    if log.last_stable() == progress.source_next && copy.end() == progress.target_next && copy.start == 0 {
        return None;
    }
    let mut progress = progress.clone();
    progress.source_end = log.last_stable();
    if copy.end() != progress.target_next || copy.start > 0 {
        progress.stopped = Some("another client writes to the target".to_owned());
    } else if log.lost.is_some_and(|(first, _)| first < progress.source_next) {
        progress.stopped = Some("records that were copied are not on the source any more".to_owned());
    } else if dice.chance(faults.tail_stops) {
        progress.stopped = Some(DAMAGED.to_owned());
    }
    let mut runs = OffsetRuns::starting_at(progress.target_next);
    if progress.stopped.is_none() {
        let wanted = (progress.source_next + AT_ONCE).min(progress.source_end);
        let next = progress.source_next..wanted;
        let decided = log.entries.iter().filter(|entry| next.contains(&entry.base));
        for entry in decided {
            if entry.is_copied() {
                runs.push(entry.base, entry.records).unwrap();
                copy.records.extend((entry.base..entry.end()).map(Some));
            }
            progress.source_next = entry.end();
        }
        progress.target_next = copy.end();
    }
    if progress.stopped.is_some() {
        world.note(|| format!("the copy of {index} stops: {:?}", progress.stopped));
        world.saw("partition stopped");
    }
    Some((progress, runs))
}

/// The bucket without the way to it.
pub(crate) struct Direct(pub(crate) Shared);

impl Objects for Direct {
    async fn put(&self, name: &str, body: Bytes) -> Result<()> {
        self.0.lock().bucket.put(name, body);
        Ok(())
    }

    async fn put_new(&self, name: &str, body: Bytes) -> Result<PutOnce> {
        Ok(self.0.lock().bucket.put_new(name, body))
    }

    async fn get(&self, name: &str) -> Result<Option<Object>> {
        Ok(self.0.lock().bucket.get(name))
    }

    fn url(&self, name: &str) -> String {
        format!("s3://bucket/{name}")
    }
}
