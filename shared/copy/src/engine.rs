//! One invocation's copy of one batch of partitions: reading, storing, and producing run at the same time, each round
//! ends with a checkpoint, and at any moment a newer invocation may take over.

mod landing;
mod recover;
mod rounds;
mod stopped;

use std::collections::BTreeMap;

use journal::{Lease, Position};
use migration::progress::PartitionProgress;
use migration::{BatchId, Error, Phase, Result};
use runtime::store::PutOnce;
use runtime::{Budget, Run};
use tokio::sync::mpsc;

use self::landing::Landing;
use self::stopped::Stopped;
use crate::objects::Objects;
use crate::reader::Reader;
use crate::slice::Slice;
use crate::writer::Writer;

/// What the copy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Everything up to each partition's seed end, `window` partitions at a time.
    Seed {
        /// Partitions read at the same time.
        window: usize,
        /// Bytes after which what was read is stored.
        segment_bytes: usize,
    },
    /// Whatever arrives, until the journal says stop.
    Tail,
}

impl Work {
    /// Whether this work belongs to `phase`. An invocation that comes late must not touch a migration that has moved on:
    /// its claim would fence those that work on it, and it would take what clients write on the target for a fault.
    const fn belongs_to(self, phase: Phase) -> bool {
        match self {
            Self::Seed { .. } => matches!(phase, Phase::Seed),
            Self::Tail => matches!(phase, Phase::Tail | Phase::DrainReady | Phase::Cutover),
        }
    }
}

/// How a copy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The work is done, apart from partitions that stopped.
    Done,
    /// The time is up with work left.
    OutOfTime,
    /// The migration was told to stop, or has moved on to another phase.
    Stopped,
}

/// The copy of one batch.
#[derive(Debug)]
pub struct Engine<'a> {
    run: &'a Run<'a>,
    work: Work,
    budget: Budget,
    objects: Objects,
    lease: Lease,
    landing: Landing<'a>,
    /// Number of the next tail object.
    tail_next: u64,
    /// Partitions that cannot go on; the reader leaves them out.
    stopped: Stopped,
}

/// What the reading side hands to the storing side.
type Round = Vec<Slice>;

/// How one attempt at the pipeline ended.
enum Attempt {
    Ended(Outcome),
    /// Another invocation stored first what this one was about to store: adopt that.
    Overtaken,
}

/// Copies `batch` until its work is done, the budget is spent, or the migration is told to stop.
///
/// # Errors
/// Fenced when a newer invocation works on the batch; Transient when a fault lasted too long; Blocked when a seed did not
/// come any further in all its time. A fault of one partition is no error: the partition is marked as stopped in the
/// journal and the others go on.
pub async fn copy_batch(run: &Run<'_>, batch: BatchId, work: Work, budget: Budget) -> Result<Outcome> {
    let mut began = None;
    loop {
        let phase = run.journal.meta().await?.phase;
        if !work.belongs_to(phase) {
            tracing::info!(%batch, %phase, "the migration has moved on");
            return Ok(Outcome::Stopped);
        }
        let mut engine = Engine::open(run, batch, work, budget).await?;
        let began = *began.get_or_insert_with(|| engine.source_position());
        engine.recover().await?;
        match engine.pipeline().await? {
            Attempt::Ended(Outcome::OutOfTime) if engine.source_position() == began => engine.refuse_standstill()?,
            Attempt::Ended(outcome) => return Ok(outcome),
            // A newer invocation that stored first is left alone; what an older one stored is taken over.
            Attempt::Overtaken => run.journal.check_lease(&engine.lease).await?,
        }
        if budget.is_spent() {
            return Ok(Outcome::OutOfTime);
        }
        tracing::info!(%batch, "a segment was stored by an earlier invocation; taking it over");
    }
}

impl<'a> Engine<'a> {
    /// Takes the batch over from whichever invocation had it.
    async fn open(run: &'a Run<'a>, batch: BatchId, work: Work, budget: Budget) -> Result<Self> {
        let owner = format!("{}-{}", std::process::id(), budget.left().as_millis());
        let lease = run.journal.claim(batch, &owner).await?;
        let mut partitions = run.journal.partitions(batch).await?;
        partitions.iter_mut().for_each(|partition| partition.stopped = None);
        let names: Vec<_> = partitions.iter().map(|progress| progress.partition.clone()).collect();
        let writer = Writer::open(run.target().await?, &names).await?;
        let stopped = Stopped::default();
        Ok(Self {
            run,
            work,
            budget,
            objects: Objects::new(run.store.clone()),
            tail_next: lease.tail_next.unwrap_or(0),
            landing: Landing::new(run, lease.clone(), writer, partitions, stopped.clone()),
            lease,
            stopped,
        })
    }

    /// How far the batch is on the source, over all its partitions.
    fn source_position(&self) -> i64 {
        self.landing.progress().map(|progress| progress.source_next).sum()
    }

    /// A seed that stands still would be called again for ever.
    ///
    /// # Errors
    /// Blocked, naming a partition of which nothing could be read.
    fn refuse_standstill(&self) -> Result<()> {
        let waiting = |progress: &&PartitionProgress| !progress.is_seeded() && progress.stopped.is_none();
        match self.landing.progress().find(waiting) {
            Some(first) if self.work != Work::Tail => {
                let message = "nothing could be read in the whole time of an invocation; check that every partition of the \
                               source has a leader, then resume";
                Err(Error::blocked(message).at(&first.partition).at_offset(first.source_next))
            }
            _ => Ok(()),
        }
    }

    /// Runs the stages at the same time: the reader is up to two rounds ahead of the writer.
    async fn pipeline(&mut self) -> Result<Attempt> {
        let producer = self.run.meta.producer;
        let producer = producer.ok_or_else(|| Error::internal("the migration has no producer id yet"))?;
        let mut positions = BTreeMap::new();
        for progress in self.landing.progress() {
            positions.insert(progress.partition.clone(), Position::from(progress));
        }
        let mut reader = Reader::new(self.run.source().await?, producer, positions);
        if self.work == Work::Tail {
            reader = reader.following();
        }
        let goals = self.landing.progress().map(|progress| (progress.partition.clone(), progress.seed_end)).collect();

        let (to_store, stored_from) = mpsc::channel(1);
        let (to_write, written_from) = mpsc::channel(1);
        let tail_next = self.tail_next;
        let Self { run, work, budget, objects, lease, landing, stopped, .. } = self;
        let reading = rounds::read(run, *work, *budget, &mut reader, goals, stopped, to_store);
        let storing = store_rounds(*work, objects, lease, tail_next, stored_from, to_write);
        let writing = landing.land_all(written_from);
        let (outcome, overtaken, ()) = tokio::try_join!(reading, storing, writing)?;
        Ok(if overtaken { Attempt::Overtaken } else { Attempt::Ended(outcome) })
    }
}

/// Stores each round; true when another invocation was first.
async fn store_rounds(
    work: Work,
    objects: &Objects,
    lease: &Lease,
    mut tail_next: u64,
    mut rounds: mpsc::Receiver<Round>,
    stored: mpsc::Sender<(Round, Option<u64>)>,
) -> Result<bool> {
    while let Some(round) = rounds.recv().await {
        let put = match work {
            Work::Tail if round.iter().all(|slice| slice.batches.is_empty()) => PutOnce::Stored,
            Work::Tail => {
                tail_next += 1;
                objects.put_tail(lease.batch, tail_next - 1, &round).await?
            }
            Work::Seed { .. } => put_segments(objects, lease, &round).await?,
        };
        if put == PutOnce::Taken {
            return Ok(true);
        }
        let number = (work == Work::Tail).then_some(tail_next);
        if stored.send((round, number)).await.is_err() {
            return Ok(false);
        }
    }
    Ok(false)
}

/// Stores a segment for each slice, also for one that only passes offsets with nothing to copy: names are source offsets,
/// so a step that left no name would let two invocations store the records behind it under different names, each with
/// batches of its own.
async fn put_segments(objects: &Objects, lease: &Lease, round: &Round) -> Result<PutOnce> {
    let moving = round.iter().filter(|slice| slice.to != slice.from);
    let puts = futures::future::try_join_all(moving.map(|slice| objects.put_segment(slice, lease.epoch))).await?;
    Ok(if puts.contains(&PutOnce::Taken) { PutOnce::Taken } else { PutOnce::Stored })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invocation_that_comes_late_leaves_the_migration_alone() {
        let seed = Work::Seed { window: 1, segment_bytes: 1 };
        assert!(seed.belongs_to(Phase::Seed) && !seed.belongs_to(Phase::Tail));
        assert!([Phase::Tail, Phase::DrainReady, Phase::Cutover].into_iter().all(|phase| Work::Tail.belongs_to(phase)));
        for phase in
            [Phase::AwaitingClientSwitch, Phase::Validating, Phase::Finalized, Phase::Failed, Phase::RolledBack]
        {
            assert!(!seed.belongs_to(phase) && !Work::Tail.belongs_to(phase), "{phase}");
        }
    }
}
