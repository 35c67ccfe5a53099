//! Batches of partitions: who may work on one, and how far each of its partitions has been copied.
//!
//! A batch is one item, so that a round of the copy is one conditional write however many partitions moved in it, and is
//! there whole or not at all. DynamoDB bills a write by the size of the item, about a kilobyte for three partitions; an
//! item for each partition would cost about the same in write units and a request each
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html>). An item holds at most
//! 400 KB, which bounds the partitions of a batch.
//!
//! Step Functions may start a function again while the first one still runs. There is no waiting for a lease to expire: the
//! newest claim wins at once. It counts the epoch up, and a checkpoint is conditional on the epoch of its claim, so that
//! the older owner cannot move anything any more.

use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt, TryStreamExt};
use migration::progress::PartitionProgress;
use migration::{BatchId, Error, Result};
use serde::Deserialize;

use crate::Journal;
use crate::table::Item;
use crate::write::Write;

/// Batches read at a time by [`Journal::progress`].
pub(crate) const BATCHES_IN_FLIGHT: usize = 16;

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

/// The right to work on a batch, until the next claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The batch.
    pub batch: BatchId,
    /// The fencing epoch: every claim of the batch has a higher one.
    pub epoch: u64,
    /// Who claimed it, for people.
    pub owner: String,
    /// Checkpoints of the batch so far, by all owners.
    pub checkpoints: u64,
}

/// A batch as its new owner finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The right to work on it.
    pub lease: Lease,
    /// Its partitions, in the order in which they were stored.
    pub partitions: Vec<PartitionProgress>,
    /// Number of the tail's next object.
    pub tail_next: u64,
}

/// How far a batch is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchProgress {
    /// The batch.
    pub batch: BatchId,
    /// When that was stored; unknown where a release before this one did.
    pub at: Option<DateTime<Utc>>,
    /// Its partitions, in the order in which they were stored; none when the batch is not there.
    pub partitions: Vec<PartitionProgress>,
}

#[derive(Deserialize)]
struct BatchItem {
    #[serde(default)]
    epoch: u64,
    #[serde(default)]
    owner: String,
    #[serde(default)]
    checkpoints: u64,
    #[serde(default)]
    tail_next: u64,
    partitions: Option<String>,
    stored_at: Option<DateTime<Utc>>,
}

impl Journal {
    /// Stores the partitions of a batch, which decides them. Returns how many were new: all, or none because the batch is
    /// there already.
    pub async fn init_partitions(&self, batch: BatchId, partitions: &[PartitionProgress]) -> Result<usize> {
        let write = Write::to(self.batch_key(batch));
        let write = write.set("partitions", text(partitions)?.as_str()).set("stored_at", self.now());
        let stored = self.update("store a batch", write.if_absent("partitions")).await?;
        Ok(stored.map_or(0, |_| partitions.len()))
    }

    /// Claims the batch for `owner` and fences every claim before.
    pub async fn claim(&self, batch: BatchId, owner: &str) -> Result<Claimed> {
        let write = Write::to(self.batch_key(batch)).add("epoch", 1).set("owner", owner).set("claimed_at", self.now());
        let item = self.update("claim a batch", write).await?;
        let item: BatchItem = self.read(item.unwrap_or_default())?;
        tracing::debug!(run = %self.run(), %batch, epoch = item.epoch, owner, "batch claimed");
        let lease = Lease { batch, epoch: item.epoch, owner: item.owner, checkpoints: item.checkpoints };
        let partitions = self.parse(item.partitions.as_deref())?;
        Ok(Claimed { lease, partitions, tail_next: item.tail_next })
    }

    /// Stores where the leased batch stands: all of its partitions, and the number of the tail's next object. Repeating a
    /// call whose answer was lost is fine.
    ///
    /// # Errors
    /// [`ErrorKind::Fenced`](migration::ErrorKind::Fenced) when the batch was claimed again after `lease`;
    /// [`ErrorKind::Unsafe`](migration::ErrorKind::Unsafe) when somebody else wrote under the same claim.
    pub async fn checkpoint(&self, lease: &mut Lease, partitions: &[PartitionProgress], tail_next: u64) -> Result<()> {
        let text = text(partitions)?;
        let write = Write::to(self.batch_key(lease.batch))
            .set("partitions", text.as_str())
            .set("tail_next", tail_next)
            .set("stored_at", self.now())
            .set("checkpoints", lease.checkpoints + 1)
            .if_equal("epoch", lease.epoch);
        // A batch that was never checkpointed has no such attribute.
        let write = match lease.checkpoints {
            0 => write.if_absent("checkpoints"),
            count => write.if_equal("checkpoints", count),
        };
        if self.update("checkpoint a batch", write).await?.is_none() {
            self.check_replay(lease, &text, tail_next).await?;
        }
        lease.checkpoints += 1;
        Ok(())
    }

    /// Why a checkpoint was refused: it may have been made already.
    async fn check_replay(&self, lease: &Lease, text: &str, tail_next: u64) -> Result<()> {
        let stored = self.batch_item(lease.batch).await?;
        self.check_epoch(lease, stored.as_ref())?;
        let same = |item: &BatchItem| {
            item.checkpoints == lease.checkpoints + 1
                && item.tail_next == tail_next
                && item.partitions.as_deref() == Some(text)
        };
        if stored.as_ref().is_some_and(same) {
            return Ok(());
        }
        Err(Error::data_unsafe(format_args!(
            "batch {} was checkpointed by somebody else under the claim of {} with epoch {}: two copies may have written \
             to the target; stop the migration and compare the partitions before resuming",
            lease.batch, lease.owner, lease.epoch
        ))
        .in_run(self.run()))
    }

    /// Checks that no newer claim of the batch was made.
    ///
    /// # Errors
    /// [`ErrorKind::Fenced`](migration::ErrorKind::Fenced) when the batch was claimed again after `lease`.
    pub async fn check_lease(&self, lease: &Lease) -> Result<()> {
        self.check_epoch(lease, self.batch_item(lease.batch).await?.as_ref())
    }

    fn check_epoch(&self, lease: &Lease, stored: Option<&BatchItem>) -> Result<()> {
        match stored {
            Some(stored) if stored.epoch == lease.epoch => Ok(()),
            Some(stored) => Err(Error::fenced(format_args!(
                "batch {} was claimed by {} with epoch {}; {} with epoch {} stops",
                lease.batch, stored.owner, stored.epoch, lease.owner, lease.epoch
            ))
            .in_run(self.run())),
            None => Err(Error::internal(format_args!("batch {} has no item", lease.batch)).in_run(self.run())),
        }
    }

    /// The batch's partitions, in the order in which they were stored; none when the batch is not there.
    pub async fn partitions(&self, batch: BatchId) -> Result<Vec<PartitionProgress>> {
        let item = self.batch_item(batch).await?;
        self.parse(item.and_then(|item| item.partitions).as_deref())
    }

    /// The partitions of several batches, in the order of `batches`.
    pub async fn progress(
        &self,
        batches: impl IntoIterator<Item = BatchId>,
    ) -> Result<Vec<(BatchId, Vec<PartitionProgress>)>> {
        let batches = self.batch_progress(batches).await?;
        Ok(batches.into_iter().map(|BatchProgress { batch, partitions, .. }| (batch, partitions)).collect())
    }

    /// How far several batches are and since when that is known, in the order of `batches`.
    pub async fn batch_progress(&self, batches: impl IntoIterator<Item = BatchId>) -> Result<Vec<BatchProgress>> {
        let reads = batches.into_iter().map(|batch| async move {
            let item = self.batch_item(batch).await?;
            let at = item.as_ref().and_then(|item| item.stored_at);
            let partitions = self.parse(item.and_then(|item| item.partitions).as_deref())?;
            Ok(BatchProgress { batch, at, partitions })
        });
        stream::iter(reads).buffered(BATCHES_IN_FLIGHT).try_collect().await
    }

    async fn batch_item(&self, batch: BatchId) -> Result<Option<BatchItem>> {
        let item: Option<Item> = self.get("read a batch", &self.batch_key(batch)).await?;
        item.map(|item| self.read(item)).transpose()
    }

    fn parse(&self, text: Option<&str>) -> Result<Vec<PartitionProgress>> {
        text.map_or_else(|| Ok(Vec::new()), |text| self.json("a batch's partitions", text))
    }
}

fn text(partitions: &[PartitionProgress]) -> Result<String> {
    serde_json::to_string(partitions).map_err(|error| Error::internal(format_args!("partitions: {error}")))
}
