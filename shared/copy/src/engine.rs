//! One invocation's copy of one batch of partitions: reading, storing, and producing run at the same time, each round
//! ends with a checkpoint, and at any moment a newer invocation may take over.

mod aside;
mod books;
mod landing;
mod reached;
mod recover;
mod rounds;
mod stopped;
mod storing;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clock::Clock;
use documents::PutOnce;
use journal::{Claimed, CopyWork, ProducerId};
use kafka::ConfigEntry;
use migration::config::{Throttle, Topology};
use migration::progress::PartitionProgress;
use migration::{BatchId, Error, ErrorKind, MigrationId, Phase, Result, TopicPartition};
use runtime::Budget;
use tokio::sync::mpsc;

use self::books::Books;
use self::landing::Landing;
pub(crate) use self::reached::Reached;
use self::rounds::Rounds;
use self::stopped::Stopped;
use self::storing::Storing;
use crate::keys::KeyReview;
use crate::objects::Objects;
use crate::ports::{Ledger, Ports, Target};
use crate::pulse::Pulse;
use crate::reader::{GapRule, Reader};
use crate::recount::Recounter;
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
    Tail {
        /// How often the manifest had been extended when the function was started. It ends when it is again.
        generation: u32,
    },
}

impl Work {
    /// Whether this is the tail.
    const fn is_tail(self) -> bool {
        matches!(self, Self::Tail { .. })
    }

    /// The name under which signs of life know it.
    const fn name(self) -> CopyWork {
        match self {
            Self::Seed { .. } => CopyWork::Seed,
            Self::Tail { .. } => CopyWork::Tail,
        }
    }

    /// The phase in which it begins.
    const fn phase(self) -> Phase {
        match self {
            Self::Seed { .. } => Phase::Seed,
            Self::Tail { .. } => Phase::Tail,
        }
    }

    /// Whether this work belongs to `phase`. An invocation that comes late must not touch a migration that has moved on:
    /// its claim would fence those that work on it, and it would take what clients write on the target for a fault.
    const fn belongs_to(self, phase: Phase) -> bool {
        match self {
            Self::Seed { .. } => matches!(phase, Phase::Seed),
            Self::Tail { .. } => matches!(phase, Phase::Tail | Phase::DrainReady | Phase::Cutover),
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

/// What one invocation is asked to copy.
#[derive(Debug, Clone)]
pub struct Job {
    /// The migration, for logs and metrics.
    pub migration: MigrationId,
    /// The batch of partitions.
    pub batch: BatchId,
    /// What for.
    pub work: Work,
    /// The migration's producer id.
    pub producer: ProducerId,
    /// Functions that copy for the migration at the same time, which share its limits.
    pub functions: u32,
    /// Whether the tail counts the target's records again (`validation.recount`).
    pub recount: bool,
    /// What is wrong with the configs of a topic of the target while it is copied, if something is.
    pub altered: crate::live::Altered,
    /// Where times are taken from that are stored.
    pub clock: Clock,
    /// How fast the migration may copy, until the journal says otherwise.
    pub throttle: Throttle,
    /// Which topics go on behind records that the source deleted before they were copied.
    pub topology: Topology,
}

/// The copy of one batch, under one claim.
struct Engine<'a, P: Ports> {
    ports: &'a P,
    job: &'a Job,
    budget: Budget,
    landing: Landing<'a, P>,
    /// Partitions that cannot go on; the reader leaves them out.
    stopped: Stopped,
    /// How the work goes.
    pulse: Pulse,
}

/// How one attempt at the pipeline ended.
enum Attempt {
    Ended(Outcome),
    /// Another invocation stored first what this one was about to store: adopt that.
    Overtaken,
    /// The target took again what it had not taken for a while: read on from there.
    Again,
}

/// Copies the batch until its work is done, the budget is spent, or the migration is told to stop.
///
/// # Errors
/// Fenced when a newer invocation works on the batch; Transient when a fault lasted too long; Blocked when a seed did not
/// come any further in all its time. A fault of one partition is no error: the partition is marked as stopped in the
/// journal and the others go on.
pub async fn copy<P: Ports>(ports: &P, job: &Job, budget: Budget) -> Result<Outcome> {
    let mut began = None;
    let pulse = Pulse::default();
    loop {
        let phase = ports.ledger().phase().await?;
        if !job.work.belongs_to(phase) {
            tracing::info!(batch = %job.batch, %phase, "the migration has moved on");
            return Ok(Outcome::Stopped);
        }
        let owner = format!("{}-{}", std::process::id(), budget.left().as_millis());
        // Takes the batch over from whichever invocation had it.
        let claimed = ports.ledger().claim(job.batch, &owner).await?;
        let lease = claimed.lease.clone();
        let attempt = attempt(ports, job, budget, claimed, pulse.clone(), &mut began);
        let beats = async {
            pulse.beat_on(ports.ledger(), &lease, job.work.name()).await;
            std::future::pending().await
        };
        let ended = tokio::select! {
            biased;
            ended = attempt => ended?,
            never = beats => never,
        };
        match ended {
            Attempt::Ended(outcome) => return Ok(outcome),
            // A newer invocation that stored first is left alone; what an older one stored is taken over.
            Attempt::Overtaken => {
                ports.ledger().check_lease(&lease).await?;
                tracing::info!(batch = %job.batch, "a segment was stored by an earlier invocation; taking it over");
            }
            Attempt::Again => tracing::info!(batch = %job.batch, "the target takes everything again"),
        }
        if budget.is_spent() {
            return Ok(Outcome::OutOfTime);
        }
    }
}

/// Copies under one claim. `began` is where the batch was on the source when this invocation came to it first.
async fn attempt<P: Ports>(
    ports: &P,
    job: &Job,
    budget: Budget,
    claimed: Claimed,
    pulse: Pulse,
    began: &mut Option<i64>,
) -> Result<Attempt> {
    let mut engine = Engine::open(ports, job, budget, claimed, pulse).await?;
    let began = *began.get_or_insert_with(|| engine.source_position());
    if engine.recover().await? == PutOnce::Taken {
        return Ok(Attempt::Overtaken);
    }
    let ended = engine.pipeline().await?;
    if matches!(ended, Attempt::Ended(Outcome::OutOfTime)) && engine.source_position() == began {
        engine.refuse_standstill()?;
    }
    Ok(ended)
}

impl<'a, P: Ports> Engine<'a, P> {
    /// Looks at the target for the batch that was `claimed`.
    async fn open(ports: &'a P, job: &'a Job, budget: Budget, claimed: Claimed, pulse: Pulse) -> Result<Self> {
        let names: Vec<_> = claimed.partitions.iter().map(|progress| progress.partition.clone()).collect();
        let writer = Writer::open(ports.target(), &names).await?;
        let stopped = Stopped::default();
        let books = Books::new(ports, claimed, job.work);
        let landing = Landing::new((job, budget), writer, books, stopped.clone(), pulse.clone());
        Ok(Self { ports, job, budget, landing, stopped, pulse })
    }

    /// How far the batch is on the source, over all its partitions.
    fn source_position(&self) -> i64 {
        self.landing.books.partitions().map(|progress| progress.source_next).sum()
    }

    /// A seed that stands still would be called again for ever.
    ///
    /// # Errors
    /// Blocked, naming a partition of which nothing could be read or written.
    fn refuse_standstill(&self) -> Result<()> {
        if let Some((_, cause)) = self.landing.aside.cause().filter(|_| !self.job.work.is_tail()) {
            let message = "nothing could be written in the whole time of an invocation; bring the target's replicas back, then resume";
            return Err(Error { message: format!("{message}: {}", cause.message), kind: ErrorKind::Blocked, ..cause });
        }
        let waiting = |progress: &&PartitionProgress| !progress.is_seeded() && progress.stopped.is_none();
        match self.landing.books.partitions().find(waiting) {
            Some(first) if !self.job.work.is_tail() => {
                let message = "nothing could be read in the whole time of an invocation; check that every partition of the \
                               source has a leader, then resume";
                Err(Error::blocked(message).at(&first.partition).at_offset(first.source_next))
            }
            _ => Ok(()),
        }
    }

    /// Runs the stages at the same time.
    async fn pipeline(&mut self) -> Result<Attempt> {
        let books = &self.landing.books;
        let storing = Storing {
            objects: Objects::new(self.ports.bucket()),
            work: self.job.work,
            batch: self.job.batch,
            epoch: books.lease().epoch,
            tail_next: books.tail_next(),
        };
        let limits = batch_limits(self.ports.target(), books.partitions()).await?;
        let recounter = match self.job.work.is_tail() && self.job.recount {
            true => Some(Recounter::load(self.ports.target(), self.ports.bucket(), self.job.batch).await?),
            false => None,
        };
        let rounds = self.rounds(limits, recounter);
        let review = self.job.work.is_tail().then(|| {
            let (source, target, bucket) = (self.ports.source(), self.ports.target(), self.ports.bucket());
            let reached = self.landing.books.reached().clone();
            KeyReview::new((source, target, bucket), self.job.batch, self.job.clock.clone(), reached)
        });
        let compared: Vec<_> = self.landing.books.partitions().cloned().collect();
        // A seed's rounds are bounded by their memory. The tail takes what has gathered until the stage behind is free.
        let ahead = if self.job.work.is_tail() { 1 } else { 64 };
        let (to_store, stored_from) = mpsc::channel(ahead);
        let (to_write, written_from) = mpsc::channel(ahead);
        let reading = rounds.read(to_store);
        let storing = storing.run(stored_from, to_write);
        let writing = self.landing.land_all(written_from);
        let copying = async { tokio::try_join!(reading, storing, writing) };
        let reviewing = async {
            if let Some(review) = review {
                review.run(compared).await;
            }
            std::future::pending().await
        };
        let (outcome, overtaken, ()) = tokio::select! {
            biased;
            copied = copying => copied?,
            never = reviewing => never,
        };
        Ok(match outcome {
            _ if overtaken => Attempt::Overtaken,
            // The reader left out what the target did not take.
            Outcome::Done if !self.job.work.is_tail() && !self.is_seeded() => Attempt::Again,
            outcome => Attempt::Ended(outcome),
        })
    }

    /// Whether a seed has copied everything that it can.
    fn is_seeded(&self) -> bool {
        self.landing.books.partitions().all(|progress| progress.is_seeded() || progress.stopped.is_some())
    }

    /// The reading stage, from where the batch stands; `limits` are those of [`batch_limits`].
    fn rounds(
        &self,
        limits: BTreeMap<Arc<str>, usize>,
        recounter: Option<Recounter<'a, P::Target, P::Bucket>>,
    ) -> Rounds<'a, P> {
        let mut progress: Vec<_> = self.landing.books.partitions().collect();
        // What takes longest comes first, so that the last function to end does not have it left.
        progress.sort_by_key(|progress| Reverse(progress.source_bytes));
        let order: Vec<_> = progress.iter().map(|progress| progress.partition.clone()).collect();
        let goals = progress.iter().map(|progress| (progress.partition.clone(), progress.seed_end)).collect();
        let reached = |partition| Some((TopicPartition::clone(partition), self.landing.reached(partition)?));
        let positions = progress.iter().filter_map(|progress| reached(&progress.partition)).collect();
        let recorded =
            GapRule::new(&self.job.topology, progress.iter().map(|one| &one.partition.topic), &self.job.clock);
        let mut reader =
            Reader::new(self.ports.source(), self.job.producer, positions).within(limits).recording_gaps(recorded);
        if self.job.work.is_tail() {
            reader = reader.following();
        }
        let Self { ports, job, budget, .. } = *self;
        let lease = self.landing.books.lease().clone();
        let (stopped, pulse) = (self.stopped.clone(), self.pulse.clone());
        Rounds { ports, job, lease, budget, reader, order, goals, stopped, recounter, pulse }
    }
}

/// The most bytes of a batch that each topic of the target takes now: its `max.message.bytes`.
///
/// # Errors
/// When the target cannot be asked.
async fn batch_limits<'p, T: Target>(
    target: &T,
    partitions: impl Iterator<Item = &'p PartitionProgress>,
) -> Result<BTreeMap<Arc<str>, usize>> {
    let topics: BTreeSet<_> = partitions.map(|progress| progress.partition.topic.clone()).collect();
    let configs = kafka::all_ok(target.topic_configs(&topics.into_iter().collect::<Vec<_>>()).await)?;
    let limit = |entries: Vec<ConfigEntry>| {
        let entry = entries.into_iter().find(|entry| entry.name == "max.message.bytes")?;
        entry.value?.parse().ok()
    };
    Ok(configs.into_iter().filter_map(|(topic, entries)| Some((topic, limit(entries)?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: Work = Work::Tail { generation: 0 };

    #[test]
    fn an_invocation_that_comes_late_leaves_the_migration_alone() {
        let seed = Work::Seed { window: 1, segment_bytes: 1 };
        assert!(seed.belongs_to(Phase::Seed) && !seed.belongs_to(Phase::Tail));
        assert!([Phase::Tail, Phase::DrainReady, Phase::Cutover].into_iter().all(|phase| TAIL.belongs_to(phase)));
        for phase in
            [Phase::AwaitingClientSwitch, Phase::Validating, Phase::Finalized, Phase::Failed, Phase::RolledBack]
        {
            assert!(!seed.belongs_to(phase) && !TAIL.belongs_to(phase), "{phase}");
        }
    }
}
