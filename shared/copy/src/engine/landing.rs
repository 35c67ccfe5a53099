//! The last stage: stored rounds are produced to the target and checkpointed in the journal.

use std::collections::BTreeMap;

use journal::{Checkpoint, Lease, Position};
use migration::progress::PartitionProgress;
use migration::{Error, Result, TopicPartition};
use runtime::Run;
use telemetry::metrics;
use tokio::sync::mpsc;

use super::Round;
use super::stopped::Stopped;
use crate::runs_store;
use crate::slice::Slice;
use crate::writer::Writer;

/// Where stored rounds land.
#[derive(Debug)]
pub(super) struct Landing<'a> {
    run: &'a Run<'a>,
    lease: Lease,
    writer: Writer,
    /// As checkpointed.
    progress: BTreeMap<TopicPartition, PartitionProgress>,
    /// Tail object that the journal must not pass: a partition was refused in the middle of its slice of it, and can only
    /// go on from there.
    held: Option<u64>,
    stopped: Stopped,
}

impl<'a> Landing<'a> {
    /// The stage for the batch of `lease`, whose partitions stand at `partitions`.
    pub(super) fn new(
        run: &'a Run<'a>,
        lease: Lease,
        writer: Writer,
        partitions: Vec<PartitionProgress>,
        stopped: Stopped,
    ) -> Self {
        let progress = partitions.into_iter().map(|progress| (progress.partition.clone(), progress)).collect();
        Self { run, lease, writer, progress, held: None, stopped }
    }

    /// Every partition as checkpointed.
    pub(super) fn progress(&self) -> impl Iterator<Item = &PartitionProgress> {
        self.progress.values()
    }

    /// Where `partition` stands, when it is one of the batch.
    pub(super) fn position(&self, partition: &TopicPartition) -> Option<Position> {
        self.progress.get(partition).map(Position::from)
    }

    /// Lands each round that comes, together with the number of the tail object that follows it.
    pub(super) async fn land_all(&mut self, mut rounds: mpsc::Receiver<(Round, Option<u64>)>) -> Result<()> {
        while let Some((mut round, tail_next)) = rounds.recv().await {
            round.retain(|slice| !self.stopped.contains(&slice.partition));
            self.land(&round, tail_next).await?;
        }
        Ok(())
    }

    /// Produces one round and checkpoints it.
    pub(super) async fn land(&mut self, round: &[Slice], tail_next: Option<u64>) -> Result<()> {
        let failed: BTreeMap<_, _> = self.writer.write(round).await?.into_iter().collect();
        let mut checkpoints = Vec::with_capacity(round.len());
        for slice in round {
            let Some(current) = self.progress.get_mut(&slice.partition) else { continue };
            let previous = Position::from(&*current);
            let refused = failed.get(&slice.partition);
            if refused.is_none() {
                runs_store::append(&self.run.store, current, &slice.runs, self.lease.epoch).await?;
                advance(current, slice);
            }
            if let Some(error) = refused.or(slice.fault.as_ref()) {
                tracing::error!(partition = %slice.partition, kind = error.kind.name(), "{error}");
                self.stopped.stop(&slice.partition);
                current.stopped = Some(error.to_string());
            }
            checkpoints.push(Checkpoint { previous, next: current.clone() });
        }
        let tail_next = tail_next.map(|next| hold(&mut self.held, next, !failed.is_empty()));
        self.run.journal.checkpoint_many(&self.lease, &checkpoints, tail_next).await?;
        report(self.run, round, &failed);
        Ok(())
    }

    /// Stops every partition that does not end on the target where the journal says: whatever is there beyond what was
    /// stored was written by somebody else.
    pub(super) async fn stop_foreign(&mut self) -> Result<()> {
        let mut checkpoints = Vec::new();
        for progress in self.progress.values_mut().filter(|progress| progress.stopped.is_none()) {
            let (end, copied) = (self.writer.end(&progress.partition), progress.target_next);
            if end == copied {
                continue;
            }
            tracing::error!(partition = %progress.partition, end, copied, "foreign writer on the target");
            self.stopped.stop(&progress.partition);
            progress.stopped = Some(format!(
                "the target ends at {end}, but {copied} records were copied to it: somebody else writes to it or deleted \
                 from it; stop that writer, delete the topic on the target and start a new migration"
            ));
            checkpoints.push(Checkpoint { previous: Position::from(&*progress), next: progress.clone() });
        }
        self.run.journal.checkpoint_many(&self.lease, &checkpoints, None).await
    }
}

/// Moves `progress` to the end of `slice`.
fn advance(progress: &mut PartitionProgress, slice: &Slice) {
    progress.source_next = progress.source_next.max(slice.to.source_next);
    progress.target_next = slice.to.target_next;
    progress.source_end = slice.source_end;
    progress.bytes += slice.bytes() as i64;
    progress.reencoded += slice.reencoded;
}

/// The tail object that the journal may name as the next: `next`, unless a partition was refused in the one before it now,
/// or in an earlier one. Part of its slice may be on the target, so the rest has to be found again.
fn hold(held: &mut Option<u64>, next: u64, refused: bool) -> u64 {
    if refused {
        held.get_or_insert(next.saturating_sub(1));
    }
    held.unwrap_or(next)
}

fn report(run: &Run<'_>, round: &[Slice], failed: &BTreeMap<TopicPartition, Error>) {
    let copied = || round.iter().filter(|slice| !failed.contains_key(&slice.partition));
    let records: i64 = copied().map(|slice| slice.to.target_next - slice.from.target_next).sum();
    let bytes: usize = copied().map(Slice::bytes).sum();
    let lag = copied().map(|slice| slice.source_end - slice.to.source_next).max().unwrap_or(0);
    let stopped = failed.len() + copied().filter(|slice| slice.fault.is_some()).count();
    if records > 0 || stopped > 0 {
        let values = [
            (metrics::RECORDS_COPIED, records as f64),
            (metrics::BYTES_COPIED, bytes as f64),
            (metrics::BATCHES_REENCODED, copied().map(|slice| slice.reencoded).sum::<i64>() as f64),
            (metrics::MAX_PARTITION_LAG, lag.max(0) as f64),
            (metrics::PARTITIONS_STOPPED, stopped as f64),
        ];
        metrics::emit(run.meta.phase.name(), run.id.as_str(), &values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_never_passes_an_object_in_which_a_partition_was_refused() {
        let mut held = None;
        assert_eq!(hold(&mut held, 5, false), 5);
        assert_eq!(hold(&mut held, 6, true), 5, "object 5 is needed again");
        assert_eq!(hold(&mut held, 7, false), 5);
        assert_eq!(hold(&mut held, 8, true), 5, "the first one counts");
    }
}
