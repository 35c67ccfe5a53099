//! The reading stage: what goes into a round, and when reading ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use documents::Objects;
use journal::{Lease, TailWanted};
use migration::{Error, Phase, Result, TopicPartition};
use runtime::Budget;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use super::stopped::Stopped;
use super::{Job, Outcome, Work};
use crate::pace::{self, Pace};
use crate::ports::{Brokers, Ledger, Ports, Target};
use crate::pulse::Pulse;
use crate::reader::Reader;
use crate::recount::Recounter;
use crate::slice::Slice;

/// Bytes read after which a round is handed on.
const ROUND_BYTES: usize = 16 * 1024 * 1024;

/// Bytes kept in memory by rounds that have been read and are not on the target yet. With the round being read and the
/// answer it comes from, a function stays below 256 MB.
pub(super) const MEMORY_BYTES: usize = 64 * 1024 * 1024;

/// How often the journal is asked whether to go on.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// How often the claim and the configs of the target's topics are checked. A checkpoint does, but where nothing arrives there is none.
const CHECK_EVERY: Duration = Duration::from_secs(10);

/// The longest that is waited for the configs of the target's topics, of which whoever cannot be asked now is asked again.
const DESCRIBED_WITHIN: Duration = Duration::from_secs(2);

/// The longest that one step of counting may take.
const RECOUNT_WITHIN: Duration = Duration::from_secs(2);

/// Slices read together, at most one for each partition.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) slices: BTreeMap<TopicPartition, Slice>,
    /// Their memory, free again when the round is dropped.
    reserved: OwnedSemaphorePermit,
}

impl Round {
    /// Bytes that it keeps in memory.
    pub(super) fn memory(&self) -> usize {
        memory(&self.slices)
    }

    /// Appends the round read next.
    ///
    /// # Errors
    /// Internal when it was not.
    pub(super) fn join(&mut self, later: Self) -> Result<()> {
        later.slices.into_values().try_for_each(|slice| append(&mut self.slices, slice))?;
        self.reserved.merge(later.reserved);
        Ok(())
    }
}

fn memory(slices: &BTreeMap<TopicPartition, Slice>) -> usize {
    slices.values().map(Slice::memory).sum()
}

/// Adds `slice` behind what is there of its partition.
fn append(slices: &mut BTreeMap<TopicPartition, Slice>, slice: Slice) -> Result<()> {
    match slices.get_mut(&slice.partition) {
        Some(earlier) => earlier.join(slice),
        None => {
            slices.insert(slice.partition.clone(), slice);
            Ok(())
        }
    }
}

/// The reading stage.
pub(super) struct Rounds<'a, P: Ports> {
    pub(super) ports: &'a P,
    pub(super) job: &'a Job,
    /// The claim under which this reads.
    pub(super) lease: Lease,
    pub(super) budget: Budget,
    pub(super) reader: Reader<'a, P::Source>,
    /// Partitions in the order in which they are read.
    pub(super) order: Vec<TopicPartition>,
    /// Source offsets where their seeds end.
    pub(super) goals: BTreeMap<TopicPartition, i64>,
    pub(super) stopped: Stopped,
    /// Counts what is on the target, in the time in which the source has nothing.
    pub(super) recounter: Option<Recounter<'a, P::Target, P::Bucket>>,
    /// How the work goes.
    pub(super) pulse: Pulse,
}

impl<P: Ports> Rounds<'_, P> {
    /// Reads rounds into `rounds` until the work is done, the time is up, the journal says stop, or nobody takes them.
    pub(super) async fn read(mut self, rounds: mpsc::Sender<Round>) -> Result<Outcome> {
        let outcome = self.read_all(rounds).await;
        if let Some(recounter) = &mut self.recounter {
            recounter.save().await?;
        }
        outcome
    }

    async fn read_all(&mut self, rounds: mpsc::Sender<Round>) -> Result<Outcome> {
        let free = Arc::new(Semaphore::new(MEMORY_BYTES));
        let mut pace = Pace::of(self.job.functions);
        let mut asked = None::<Instant>;
        let mut checked = Instant::now();
        loop {
            // Sending would tell as well, but a source on which nothing happens gives nothing to send.
            if rounds.is_closed() {
                return Ok(Outcome::Done);
            }
            if asked.is_none_or(|at| at.elapsed() >= ASK_EVERY) {
                asked = Some(Instant::now());
                if self.is_to_stop(&mut pace).await? {
                    return Ok(Outcome::Stopped);
                }
            }
            let mut altered = Vec::new();
            if checked.elapsed() >= CHECK_EVERY {
                checked = Instant::now();
                self.ports.ledger().check_lease(&self.lease).await?;
                altered = self.altered().await?;
            }
            if self.budget.is_spent() {
                return Ok(Outcome::OutOfTime);
            }
            let mut slices = match self.next(&mut pace).await? {
                Some(slices) => slices,
                None if altered.is_empty() => return Ok(Outcome::Done),
                None => BTreeMap::new(),
            };
            altered.into_iter().try_for_each(|slice| append(&mut slices, slice))?;
            if slices.is_empty() {
                continue;
            }
            let round = Round { reserved: reserve(&free, memory(&slices)).await, slices };
            if rounds.send(round).await.is_err() {
                // The next stage ended first and says why.
                return Ok(Outcome::Done);
            }
        }
    }

    /// Ends the partitions of topics that somebody has altered on the target while they are copied.
    async fn altered(&mut self) -> Result<Vec<Slice>> {
        let topics: BTreeSet<_> = self.order.iter().map(|partition| partition.topic.clone()).collect();
        let topics: Vec<_> = topics.into_iter().collect();
        let mut faults = BTreeMap::new();
        let described = self.ports.target().topic_configs(&topics);
        for (topic, described) in tokio::time::timeout(DESCRIBED_WITHIN, described).await.unwrap_or_default() {
            // Whoever cannot be asked now is asked again.
            if let Some(fault) = described.ok().and_then(|entries| (self.job.altered)(&topic, &entries)) {
                faults.insert(topic, fault);
            }
        }
        // From the cutover on topics have their own configs.
        if faults.is_empty() || !self.is_before_cutover().await? {
            return Ok(Vec::new());
        }
        let altered = self.order.iter().filter_map(|partition| {
            let fault = faults.get(&partition.topic)?.clone().at(partition);
            self.reader.stop(partition, fault)
        });
        Ok(altered.collect())
    }

    /// Whether nobody but the copy has to do with the target's topics yet.
    async fn is_before_cutover(&self) -> Result<bool> {
        Ok(matches!(self.ports.ledger().phase().await?, Phase::Seed | Phase::Tail | Phase::DrainReady))
    }

    /// Asks the journal whether to stop, and how fast to go on.
    async fn is_to_stop(&self, pace: &mut Pace) -> Result<bool> {
        let control = self.ports.ledger().control().await?;
        pace.set(control.throttle.unwrap_or(self.job.throttle));
        // The Map reads a later manifest once all of its functions have ended.
        let outdated = matches!(self.job.work, Work::Tail { generation } if generation < control.generation);
        Ok(outdated || control.wanted == TailWanted::Stop)
    }

    /// The slices of the next round, possibly none; `None` when there is nothing left to read.
    async fn next(&mut self, pace: &mut Pace) -> Result<Option<BTreeMap<TopicPartition, Slice>>> {
        let (window, enough) = match self.job.work {
            Work::Seed { window, segment_bytes } => (window, segment_bytes.min(ROUND_BYTES)),
            Work::Tail { .. } => (usize::MAX, 0),
        };
        let mut active = self.unfinished(window);
        if active.is_empty() && !self.job.work.is_tail() {
            return Ok(None);
        }
        let mut round = BTreeMap::new();
        loop {
            let room = ROUND_BYTES - memory(&round);
            let moved = self.read_into(&mut round, &active, room, pace).await?;
            // A stored slice has one gap at most, so that what S3 keeps of it beside its batches stays small.
            let has_gap =
                |partition: &TopicPartition| round.get(partition).is_some_and(|slice: &Slice| !slice.gaps.is_empty());
            active.retain(|partition| self.is_unfinished(partition) && !has_gap(partition));
            if !moved || active.is_empty() || memory(&round) >= enough {
                return Ok(Some(round));
            }
        }
    }

    /// The first `most` partitions that are to be read on.
    fn unfinished(&self, most: usize) -> Vec<TopicPartition> {
        self.order.iter().filter(|partition| self.is_unfinished(partition)).take(most).cloned().collect()
    }

    fn is_unfinished(&self, partition: &TopicPartition) -> bool {
        let at = self.reader.position(partition).filter(|_| self.stopped.is_read(partition));
        at.is_some_and(|at| self.job.work.is_tail() || at.source_next < self.goals[partition])
    }

    /// Reads once, as the pace allows, and appends to `round`; whether any partition moved on.
    async fn read_into(
        &mut self,
        round: &mut BTreeMap<TopicPartition, Slice>,
        active: &[TopicPartition],
        max_bytes: usize,
        pace: &mut Pace,
    ) -> Result<bool> {
        let leaders = self.leaders(active, pace).await;
        let brokers = |partition: &TopicPartition| pace::leaders(partition, &leaders.0, &leaders.1);
        let allowed: Vec<_> = active.iter().filter(|partition| pace.allows(&brokers(partition))).cloned().collect();
        let wait = pace.wait(allowed.is_empty() && !active.is_empty());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
            return Ok(false);
        }
        let mut moved = false;
        let ends = self.to_recount(&allowed);
        let read = self.reader.read(&allowed, max_bytes.min(pace.portion()));
        let (slices, lost) = tokio::join!(read, recount(&mut self.recounter, ends, pace.portion()));
        let slices = slices?;
        self.pulse.read(self.reader.take_trouble());
        for slice in slices {
            if slice.to == slice.from && slice.fault.is_none() {
                continue;
            }
            moved |= slice.to != slice.from;
            pace.count(slice.bytes(), &brokers(&slice.partition));
            append(round, slice)?;
        }
        // What happens from then on is for `validate` to judge.
        let lost = if !lost.is_empty() && self.is_before_cutover().await? { lost } else { Vec::new() };
        for (partition, fault) in lost {
            if let Some(slice) = self.reader.stop(&partition, fault) {
                moved = true;
                append(round, slice)?;
            }
        }
        Ok(moved)
    }

    /// Where each of `partitions` ends on the target, or will; none while the source has much to read.
    fn to_recount(&self, partitions: &[TopicPartition]) -> Vec<(TopicPartition, i64)> {
        if self.recounter.is_none() || self.reader.is_behind() {
            return Vec::new();
        }
        let end = |partition: &TopicPartition| Some((partition.clone(), self.reader.position(partition)?.target_next));
        partitions.iter().filter_map(end).collect()
    }

    /// Who leads `partitions` on the source and on the target, where that counts.
    async fn leaders(
        &self,
        partitions: &[TopicPartition],
        pace: &Pace,
    ) -> (BTreeMap<TopicPartition, i32>, BTreeMap<TopicPartition, i32>) {
        if !pace.is_per_broker() {
            return Default::default();
        }
        tokio::join!(self.ports.source().leaders(partitions), self.ports.target().leaders(partitions))
    }
}

/// Counts on, see [`Recounter::step`].
async fn recount<T: Target, O: Objects>(
    recounter: &mut Option<Recounter<'_, T, O>>,
    ends: Vec<(TopicPartition, i64)>,
    max_bytes: usize,
) -> Vec<(TopicPartition, Error)> {
    let Some(recounter) = recounter else { return Vec::new() };
    // A target that does not answer must not hold up the source: what was not counted is counted later.
    let lost = tokio::time::timeout(RECOUNT_WITHIN, recounter.step(ends, max_bytes)).await.unwrap_or_default();
    // The count stands in memory, and what is lost of it is counted again.
    if let Err(error) = recounter.save_if_due().await {
        tracing::warn!(%error, "what was counted is not stored");
    }
    lost
}

/// Waits until earlier rounds have left enough memory.
async fn reserve(free: &Arc<Semaphore>, bytes: usize) -> OwnedSemaphorePermit {
    // A single batch may be larger than everything together.
    let permits = u32::try_from(bytes.min(MEMORY_BYTES)).unwrap_or(u32::MAX);
    #[expect(clippy::expect_used, reason = "nobody closes this semaphore")]
    free.clone().acquire_many_owned(permits).await.expect("the semaphore is open")
}
