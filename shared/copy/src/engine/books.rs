//! Where the batch stands, and its way into the journal.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::try_join_all;
use journal::{Claimed, Lease, Position};
use migration::progress::PartitionProgress;
use migration::{Result, TopicPartition};
use tokio::time::Instant;

use super::Work;
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
    /// Offset runs that have not been added to their partition's.
    runs: Vec<(TopicPartition, OffsetRuns)>,
    /// Number of the tail object after the last one that is on the target.
    tail_next: u64,
    /// Tail object that the journal must not pass: a partition was refused in the middle of its slice of it, and can only
    /// go on from there.
    held: Option<u64>,
    /// Whether there is something that the journal does not know.
    dirty: bool,
    /// How long it may not know that.
    delay: Duration,
    saved: Instant,
    /// When the journal said last that the claim holds.
    confirmed: Instant,
}

impl<'a, P: Ports> Books<'a, P> {
    /// The books of a batch, as the journal has them, for `work`.
    pub(super) fn new(ports: &'a P, Claimed { lease, partitions, tail_next }: Claimed, work: Work) -> Self {
        let partitions = partitions.into_iter().map(|progress| (progress.partition.clone(), progress)).collect();
        let delay = if work.is_tail() { Duration::ZERO } else { SEED_DELAY };
        let saved = Instant::now();
        Self {
            ports,
            lease,
            partitions,
            runs: Vec::new(),
            tail_next,
            held: None,
            dirty: false,
            delay,
            saved,
            confirmed: saved,
        }
    }

    /// The claim.
    pub(super) const fn lease(&self) -> &Lease {
        &self.lease
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
        progress.source_next = progress.source_next.max(slice.to.source_next);
        progress.target_next = slice.to.target_next;
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

    /// Enters that everything before the tail object `next` is on the target, unless a partition was `refused` in the one
    /// before it, or earlier: part of its slice may be on the target, so the rest has to be found again.
    pub(super) fn pass_tail(&mut self, next: u64, refused: bool) {
        self.dirty |= next != self.tail_next;
        self.held = hold(self.held, self.tail_next, refused);
        self.tail_next = next;
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
        let tail_next = self.held.unwrap_or(self.tail_next);
        self.ports.ledger().checkpoint(&mut self.lease, &partitions, tail_next).await?;
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

/// The first tail object of which something is missing on the target.
const fn hold(held: Option<u64>, current: u64, refused: bool) -> Option<u64> {
    match held {
        None if refused => Some(current),
        held => held,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_never_passes_an_object_in_which_a_partition_was_refused() {
        assert_eq!(hold(None, 5, false), None);
        assert_eq!(hold(None, 5, true), Some(5), "object 5 is needed again");
        assert_eq!(hold(Some(5), 6, false), Some(5));
        assert_eq!(hold(Some(5), 7, true), Some(5), "the first one counts");
    }
}
