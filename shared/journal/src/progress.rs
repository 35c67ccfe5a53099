//! How far each partition has been copied, and checkpoints of it.

use std::collections::HashSet;

use futures::stream::{self, StreamExt, TryStreamExt};
use migration::progress::PartitionProgress;
use migration::{BatchId, Error, ErrorKind, Result};
use serde::Serialize;

use crate::lease::{IN_FLIGHT, Lease};
use crate::table::number;
use crate::write::Write;
use crate::{Journal, RACE_ATTEMPTS};

/// Batches read at a time by [`Journal::progress`].
const BATCHES_IN_FLIGHT: usize = 8;

/// Where a partition's copy stands on both sides. Offsets, in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// Next source offset to copy.
    pub source_next: i64,
    /// Next offset on the target.
    pub target_next: i64,
}

impl From<&PartitionProgress> for Position {
    fn from(progress: &PartitionProgress) -> Self {
        Self { source_next: progress.source_next, target_next: progress.target_next }
    }
}

/// One partition's step forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Where the partition must stand for the step to be right.
    pub previous: Position,
    /// What to store.
    pub next: PartitionProgress,
}

impl Checkpoint {
    /// A step from where `previous` stands to `next`.
    pub fn new(previous: &PartitionProgress, next: PartitionProgress) -> Self {
        Self { previous: previous.into(), next }
    }
}

/// Progress as it is first stored: not yet under any claim.
#[derive(Serialize)]
struct NewPartition<'a> {
    #[serde(flatten)]
    progress: &'a PartitionProgress,
    epoch: u64,
}

impl Journal {
    /// Stores partitions of the batch that are not there yet and leaves the others alone. Returns how many were new.
    pub async fn init_partitions(&self, batch: BatchId, partitions: &[PartitionProgress]) -> Result<usize> {
        let there: HashSet<_> = self.partitions(batch).await?.into_iter().map(|stored| stored.partition).collect();
        let puts = partitions.iter().filter(|new| !there.contains(&new.partition)).map(|new| async {
            let key = self.partition_key(batch, &new.partition);
            let stored = self.put("store a partition", key, &NewPartition { progress: new, epoch: 0 }, None).await;
            stored.map_err(|error| error.at(&new.partition)).map(usize::from)
        });
        stream::iter(puts).buffer_unordered(IN_FLIGHT).try_fold(0, |sum, new| async move { Ok(sum + new) }).await
    }

    /// The batch's partitions, by topic and partition.
    pub async fn partitions(&self, batch: BatchId) -> Result<Vec<PartitionProgress>> {
        let items = self.query("read a batch's partitions", &self.batch_pk(batch), "partition#").await?;
        let mut partitions: Vec<PartitionProgress> =
            items.into_iter().map(|item| self.read(item)).collect::<Result<_>>()?;
        partitions.sort_by(|a, b| a.partition.cmp(&b.partition));
        Ok(partitions)
    }

    /// The partitions of several batches, in the order of `batches`.
    pub async fn progress(
        &self,
        batches: impl IntoIterator<Item = BatchId>,
    ) -> Result<Vec<(BatchId, Vec<PartitionProgress>)>> {
        let reads = batches.into_iter().map(|batch| async move { Ok((batch, self.partitions(batch).await?)) });
        stream::iter(reads).buffered(BATCHES_IN_FLIGHT).try_collect().await
    }

    /// Moves one partition of the leased batch, see [`Journal::checkpoint_many`].
    ///
    /// # Errors
    /// As [`Journal::checkpoint_many`].
    pub async fn checkpoint(&self, lease: &Lease, checkpoint: Checkpoint) -> Result<()> {
        self.checkpoint_many(lease, &[checkpoint], None).await
    }

    /// Moves partitions of the leased batch, each on its own: after an error some are moved and some are not. When all are
    /// moved, and only then, `tail_next` is stored; so it never passes a tail object of which a partition is missing, and
    /// a resume finds each partition either before or behind its slice of object `tail_next`.
    ///
    /// Repeating a call is fine: a partition that stands at its new position already, put there under this lease, counts
    /// as moved.
    ///
    /// # Errors
    /// [`ErrorKind::Fenced`] when the batch was claimed again after `lease`; [`ErrorKind::Unsafe`] when a partition stands
    /// neither at the previous nor at the new position although nobody claimed the batch since, or is unknown, and when
    /// `tail_next` would go back. Of several errors the gravest is returned.
    pub async fn checkpoint_many(
        &self,
        lease: &Lease,
        checkpoints: &[Checkpoint],
        tail_next: Option<u64>,
    ) -> Result<()> {
        let moves = checkpoints.iter().map(|checkpoint| self.move_partition(lease, checkpoint));
        let moved: Vec<Result<()>> = stream::iter(moves).buffer_unordered(IN_FLIGHT).collect().await;
        if let Some(error) = moved.into_iter().filter_map(Result::err).max_by_key(|error| gravity(error.kind)) {
            return Err(error);
        }
        match tail_next {
            Some(tail_next) => self.set_tail_next(lease, tail_next).await,
            None => Ok(()),
        }
    }

    async fn move_partition(&self, lease: &Lease, checkpoint: &Checkpoint) -> Result<()> {
        let next = &checkpoint.next;
        let place = |error: Error| error.at(&next.partition).at_offset(checkpoint.previous.source_next);
        for _ in 0..RACE_ATTEMPTS {
            let write = self.write_partition(lease, checkpoint).map_err(place)?;
            if self.update("checkpoint a partition", write).await.map_err(place)?.is_some() {
                return Ok(());
            }
            match self.why_not_moved(lease, checkpoint).await.map_err(place)? {
                NotMoved::Replay => return Ok(()),
                NotMoved::Unstamped => {
                    self.stamp(lease, self.partition_key(lease.batch, &next.partition)).await.map_err(place)?;
                }
            }
        }
        Err(place(self.lost_races("checkpoint a partition")))
    }

    /// The whole progress, on condition of epoch and position.
    fn write_partition(&self, lease: &Lease, checkpoint: &Checkpoint) -> Result<Write> {
        let key = self.partition_key(lease.batch, &checkpoint.next.partition);
        let mut attributes = self.item(key.clone(), &checkpoint.next)?;
        for identity in ["pk", "sk", "partition"] {
            attributes.remove(identity);
        }
        let write = Write::to(key)
            .set("moved_by", lease.epoch)
            .if_equal("epoch", lease.epoch)
            .if_equal("source_next", checkpoint.previous.source_next)
            .if_equal("target_next", checkpoint.previous.target_next);
        Ok(attributes.into_iter().fold(write, |write, (name, value)| write.set(&name, value)))
    }

    async fn why_not_moved(&self, lease: &Lease, checkpoint: &Checkpoint) -> Result<NotMoved> {
        let partition = &checkpoint.next.partition;
        let stored = self.get("read a partition", &self.partition_key(lease.batch, partition)).await?;
        self.check_lease(lease).await?;
        let Some(stored) = stored else {
            return Err(self.not_safe(format_args!("{partition} is not a partition of batch {}", lease.batch)));
        };
        let epoch = number(&stored, "epoch").unwrap_or_default();
        let moved_by = number(&stored, "moved_by");
        let stored: PartitionProgress = self.read(stored)?;
        let position = Position::from(&stored);
        if epoch < lease.epoch && position == checkpoint.previous {
            return Ok(NotMoved::Unstamped);
        }
        if moved_by == Some(lease.epoch) && position == Position::from(&checkpoint.next) {
            return Ok(NotMoved::Replay);
        }
        Err(self.not_safe(format_args!(
            "{partition} stands at source offset {} and target offset {}, its checkpoint expected {} and {}: two copies may \
             have written to the target; stop the migration and compare the partition before resuming",
            position.source_next,
            position.target_next,
            checkpoint.previous.source_next,
            checkpoint.previous.target_next
        )))
    }

    fn not_safe(&self, message: impl std::fmt::Display) -> Error {
        Error::data_unsafe(message).in_run(&self.run)
    }
}

/// Why a checkpoint was refused without being wrong.
enum NotMoved {
    /// It had been made already.
    Replay,
    /// The partition was stored after the claim and does not carry its epoch yet.
    Unstamped,
}

/// Which of several errors to report: being fenced explains all others, and what may harm data outranks what passes.
fn gravity(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Fenced => 3,
        ErrorKind::Unsafe => 2,
        ErrorKind::Transient => 0,
        _ => 1,
    }
}
