//! Where the batch stands, and its way into the journal.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::try_join_all;
use journal::{Claimed, Lease, Position};
use migration::progress::PartitionProgress;
use migration::{Result, TopicPartition};
use tokio::time::Instant;

use super::{Reached, Work};
use crate::ports::{Ledger, Ports};
use crate::slice::Slice;
use offsets::OffsetRuns;
use offsets::store as runs_store;

/// How far behind the journal may be in a seed. What it does not know after a crash is produced again from segments, and
/// every write is as large as the batch has partitions.
const SEED_DELAY: Duration = Duration::from_secs(1);

/// How long nobody has to ask whether the claim holds.
const CONFIRMED_FOR: Duration = Duration::from_secs(5);

/// The progress of every partition of a batch: what is on the target, of which the journal may not know the last part.
pub(super) struct Books<'a, P> {
    ports: &'a P,
    lease: Lease,
    partitions: BTreeMap<TopicPartition, PartitionProgress>,
    /// How far they are, for those who work beside the copy.
    reached: Reached,
    /// Offset runs that have not been added to their partition's.
    runs: Vec<(TopicPartition, OffsetRuns)>,
    /// Number of the tail object after the last one that is on the target.
    tail_next: u64,
    /// Tail objects that the journal must not pass: a partition was refused in the middle of its slice of one, and can only go
    /// on from there.
    held: Held,
    /// Whether there is something that the journal does not know.
    dirty: bool,
    /// Whether somebody works beside the copy.
    is_tail: bool,
    /// How long it may not know that.
    delay: Duration,
    saved: Instant,
    /// When the journal said last that the claim holds.
    confirmed: Instant,
}

impl<'a, P: Ports> Books<'a, P> {
    /// The books of a batch, as the journal has them, for `work`.
    pub(super) fn new(ports: &'a P, Claimed { lease, partitions, tail_next }: Claimed, work: Work) -> Self {
        let partitions: BTreeMap<_, _> =
            partitions.into_iter().map(|progress| (progress.partition.clone(), progress)).collect();
        let reached = Reached::default();
        partitions.values().for_each(|progress| reached.note(&progress.partition, progress.source_next));
        let delay = if work.is_tail() { Duration::ZERO } else { SEED_DELAY };
        let saved = Instant::now();
        Self {
            ports,
            lease,
            partitions,
            reached,
            runs: Vec::new(),
            tail_next,
            held: Held::default(),
            dirty: false,
            is_tail: work.is_tail(),
            delay,
            saved,
            confirmed: saved,
        }
    }

    /// The claim.
    pub(super) const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// How far the partitions are.
    pub(super) const fn reached(&self) -> &Reached {
        &self.reached
    }

    /// Number of the next tail object.
    pub(super) const fn tail_next(&self) -> u64 {
        self.tail_next
    }

    /// Every partition.
    pub(super) fn partitions(&self) -> impl Iterator<Item = &PartitionProgress> {
        self.partitions.values()
    }

    /// Where `partition` stands, when it is one of the batch.
    pub(super) fn position(&self, partition: &TopicPartition) -> Option<Position> {
        self.partitions.get(partition).map(Position::from)
    }

    /// Enters that `slice` is on the target.
    pub(super) fn advance(&mut self, slice: &Slice) {
        let Some(progress) = self.partitions.get_mut(&slice.partition) else { return };
        // What kept it from going on is over.
        progress.stopped = None;
        slice.gaps.iter().for_each(|gap| progress.gaps.add(gap, progress.source_next));
        progress.source_next = progress.source_next.max(slice.to.source_next);
        progress.target_next = slice.to.target_next;
        self.reached.note(&slice.partition, progress.source_next);
        progress.source_end = match slice.fault {
            None => slice.source_end,
            // One that could not be read knows no end.
            Some(_) => progress.source_end.max(slice.source_end),
        };
        progress.bytes += slice.bytes() as i64;
        progress.reencoded.add_all(&slice.reencoded);
        if !slice.runs.is_empty() {
            self.runs.push((slice.partition.clone(), slice.runs.clone()));
        }
        self.dirty = true;
    }

    /// Enters why `partition` cannot go on.
    pub(super) fn stop(&mut self, partition: &TopicPartition, reason: String) {
        if let Some(progress) = self.partitions.get_mut(partition) {
            progress.stopped = Some(reason);
            self.dirty = true;
        }
    }

    /// Enters that everything before the tail object `next` is on the target, apart from partitions `refused` in the one before
    /// it, or earlier: part of such a slice may be on the target, so the rest has to be found again.
    pub(super) fn pass_tail<'p>(&mut self, next: u64, refused: impl IntoIterator<Item = &'p TopicPartition>) {
        self.dirty |= next != self.tail_next;
        refused.into_iter().for_each(|partition| self.held.hold(partition, self.tail_next));
        self.tail_next = next;
    }

    /// Whether each partition of which tail objects are held `is_one`.
    pub(super) fn holds_only(&self, is_one: impl Fn(&TopicPartition) -> bool) -> bool {
        self.held.0.keys().all(is_one)
    }

    /// Enters that the tail object `number`, behind all that were passed, has everything that is missing of `partitions`.
    pub(super) fn carry<'p>(&mut self, number: u64, partitions: impl Iterator<Item = &'p TopicPartition>) {
        partitions.for_each(|partition| self.held.carry(partition, number));
        self.pass_tail(number + 1, []);
    }

    /// Enters that no tail object is needed for `partition` any more.
    pub(super) fn release(&mut self, partition: &TopicPartition) {
        self.dirty = true;
        self.held.release(partition);
    }

    /// Waits until the journal has to learn something; for ever while there is nothing.
    pub(super) async fn due(&self) {
        match self.dirty {
            true => tokio::time::sleep_until(self.saved + self.delay).await,
            false => std::future::pending().await,
        }
    }

    /// Asks the journal whether the claim still holds, unless it said so lately: an invocation that stood still may have been
    /// overtaken.
    ///
    /// # Errors
    /// Fenced when it was; those of the journal.
    pub(super) async fn confirm(&mut self) -> Result<()> {
        if self.confirmed.elapsed() >= CONFIRMED_FOR {
            self.ports.ledger().check_lease(&self.lease).await?;
            self.confirmed = Instant::now();
        }
        Ok(())
    }

    /// Brings the journal up to date, if it is time.
    ///
    /// # Errors
    /// Those of [`Self::save`].
    pub(super) async fn save_if_due(&mut self) -> Result<()> {
        if self.saved.elapsed() >= self.delay { self.save().await } else { Ok(()) }
    }

    /// Brings the journal up to date.
    ///
    /// # Errors
    /// Those of the journal, and of storing offset runs.
    pub(super) async fn save(&mut self) -> Result<()> {
        if !self.dirty {
            return Ok(());
        }
        self.add_runs().await?;
        let partitions: Vec<_> = self.partitions.values().cloned().collect();
        let tail_next = self.held.first().unwrap_or(self.tail_next);
        self.ports.ledger().checkpoint(&mut self.lease, &partitions, tail_next).await?;
        if self.is_tail {
            self.reached.saved(partitions.iter());
        }
        self.dirty = false;
        self.saved = Instant::now();
        self.confirmed = self.saved;
        Ok(())
    }

    /// Adds the collected offset runs to those of their partitions.
    async fn add_runs(&mut self) -> Result<()> {
        let mut collected: BTreeMap<TopicPartition, OffsetRuns> = BTreeMap::new();
        for (partition, runs) in self.runs.drain(..) {
            match collected.get_mut(&partition) {
                Some(earlier) => earlier.extend(&runs)?,
                None => drop(collected.insert(partition, runs)),
            }
        }
        let (bucket, epoch) = (self.ports.bucket(), self.lease.epoch);
        let appends = self.partitions.values_mut().filter_map(|progress| {
            let runs = collected.remove(&progress.partition)?;
            Some(async move { runs_store::append(bucket, progress, &runs, epoch).await })
        });
        try_join_all(appends).await?;
        Ok(())
    }
}

/// The first tail object of which something is missing on the target, by partition.
#[derive(Debug, Default)]
struct Held(BTreeMap<TopicPartition, u64>);

impl Held {
    /// Something of `partition` is missing from object `current` on.
    fn hold(&mut self, partition: &TopicPartition, current: u64) {
        self.0.entry(partition.clone()).or_insert(current);
    }

    /// Everything that is missing of `partition` is in object `number` too.
    fn carry(&mut self, partition: &TopicPartition, number: u64) {
        self.0.insert(partition.clone(), number);
    }

    /// Nothing of `partition` is missing any more.
    fn release(&mut self, partition: &TopicPartition) {
        self.0.remove(partition);
    }

    /// The first of all.
    fn first(&self) -> Option<u64> {
        self.0.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_never_passes_an_object_in_which_a_partition_was_refused() {
        let (a, b) = (TopicPartition::new("orders", 0), TopicPartition::new("orders", 1));
        let mut held = Held::default();
        assert_eq!(held.first(), None);
        held.hold(&a, 5);
        held.hold(&a, 7);
        assert_eq!(held.first(), Some(5), "object 5 is needed again, the first one counts");
        held.hold(&b, 6);
        held.carry(&b, 9);
        assert_eq!(held.first(), Some(5), "what was stored once more is that of one partition");
        held.carry(&b, 6);
        held.release(&a);
        assert_eq!(held.first(), Some(6), "and that of another partition as long as it waits");
        held.release(&b);
        assert_eq!(held.first(), None);
    }
}
