//! Who may work on a batch: leases, by epoch.
//!
//! Step Functions may start a function again while the first one still runs. There is no waiting for a lease to expire:
//! the newest claim wins at once. It counts the batch's epoch up, then stamps the epoch onto every partition of the batch.
//! A checkpoint is conditional on the stamp, so from then on the older owner cannot move any partition.
//!
//! The stamps stand in for a transaction that would check the lease with every checkpoint. A transaction costs twice the
//! write units, is limited to 100 items, makes the lease a point on which concurrent checkpoints of one owner collide, and
//! (measured on moto, which copies the whole table for each item of a transaction) took 0.9 s for 99 partitions of 300
//! where a plain conditional update took 2.6 ms. The price is one small write per partition and claim.

use futures::stream::{self, StreamExt, TryStreamExt};
use migration::{BatchId, Error, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::Journal;
use crate::table::{Item, Key};
use crate::write::Write;

/// Writes of one batch in flight at a time.
pub(crate) const IN_FLIGHT: usize = 16;

/// The right to work on a batch, until the next claim. Holds what the batch's lease item said at the claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease {
    /// The batch.
    pub batch: BatchId,
    /// The fencing epoch: every claim of the batch has a higher one.
    pub epoch: u64,
    /// Who claimed it, for people.
    pub owner: String,
    /// Number of the next tail object, if one was ever checkpointed.
    pub tail_next: Option<u64>,
    /// What [`Journal::set_batch_state`] stored last.
    pub state: Option<Value>,
}

#[derive(Deserialize)]
struct LeaseItem {
    epoch: u64,
    owner: String,
    #[serde(default)]
    tail_next: Option<u64>,
    #[serde(default)]
    state: Option<String>,
}

impl Journal {
    /// Claims the batch for `owner` and fences every claim before. Read the batch's partitions after this, never before:
    /// until the claim returns, an older owner may still move them.
    ///
    /// # Errors
    /// [`ErrorKind::Fenced`](migration::ErrorKind::Fenced) when a newer claim came before this one was complete.
    pub async fn claim(&self, batch: BatchId, owner: &str) -> Result<Lease> {
        let key = self.lease_key(batch);
        let write = Write::to(key.clone()).add("epoch", 1).set("owner", owner).set("claimed_at", self.now());
        let item = self.update("claim a batch", write).await?;
        let lease = self.lease(batch, item.unwrap_or_default())?;
        let stamps = self.partition_keys(batch).await?.into_iter().map(|key| self.stamp(&lease, key));
        stream::iter(stamps).buffer_unordered(IN_FLIGHT).try_collect::<()>().await?;
        tracing::debug!(run = %self.run, %batch, epoch = lease.epoch, owner, "batch claimed");
        Ok(lease)
    }

    /// Puts the lease's epoch on a partition, unless a newer one is there.
    pub(crate) async fn stamp(&self, lease: &Lease, key: Key) -> Result<()> {
        let write = Write::to(key).set("epoch", lease.epoch).if_below("epoch", lease.epoch);
        match self.update("claim a partition", write).await? {
            Some(_) => Ok(()),
            // The stamp is there: ours, by a repeated request, or a newer one. The lease knows.
            None => self.check_lease(lease).await,
        }
    }

    async fn partition_keys(&self, batch: BatchId) -> Result<Vec<Key>> {
        let items = self.query("list a batch's partitions", &self.batch_pk(batch), "partition#").await?;
        Ok(items.into_iter().filter_map(key_of).collect())
    }

    /// Checks that no newer claim of the batch was made.
    ///
    /// # Errors
    /// [`ErrorKind::Fenced`](migration::ErrorKind::Fenced) when the batch was claimed again after `lease`.
    pub async fn check_lease(&self, lease: &Lease) -> Result<()> {
        let item = self.get("read a lease", &self.lease_key(lease.batch)).await?;
        let stored = item.map(|item| self.read::<LeaseItem>(item)).transpose()?;
        match stored {
            Some(stored) if stored.epoch == lease.epoch => Ok(()),
            Some(stored) => Err(self.fenced(lease, stored.epoch, &stored.owner)),
            None => Err(Error::internal(format_args!("batch {} has no lease item", lease.batch)).in_run(&self.run)),
        }
    }

    fn fenced(&self, lease: &Lease, epoch: u64, owner: &str) -> Error {
        Error::fenced(format_args!(
            "batch {} was claimed by {owner} with epoch {epoch}; {} with epoch {} stops",
            lease.batch, lease.owner, lease.epoch
        ))
        .in_run(&self.run)
    }

    fn lease(&self, batch: BatchId, item: Item) -> Result<Lease> {
        let item: LeaseItem = self.read(item)?;
        let state = item.state.map(|text| self.json("batch state", &text)).transpose()?;
        Ok(Lease { batch, epoch: item.epoch, owner: item.owner, tail_next: item.tail_next, state })
    }

    /// What [`Journal::set_batch_state`] stored last for the batch.
    pub async fn batch_state(&self, batch: BatchId) -> Result<Option<Value>> {
        match self.get("read a batch's state", &self.lease_key(batch)).await? {
            Some(item) => Ok(self.lease(batch, item)?.state),
            None => Ok(None),
        }
    }

    /// Stores a small document for the batch: the last one stands.
    ///
    /// # Errors
    /// [`ErrorKind::Fenced`](migration::ErrorKind::Fenced) when the batch was claimed again after `lease`.
    pub async fn set_batch_state(&self, lease: &Lease, state: &Value) -> Result<()> {
        let text = state.to_string();
        let write = self.write_lease(lease).set("state", text.as_str());
        match self.update("store a batch's state", write).await? {
            Some(_) => Ok(()),
            None => self.check_lease(lease).await,
        }
    }

    /// Stores the number of the next tail object. It never goes back.
    pub(crate) async fn set_tail_next(&self, lease: &Lease, tail_next: u64) -> Result<()> {
        let write = self.write_lease(lease).set("tail_next", tail_next).if_absent_or_at_most("tail_next", tail_next);
        if self.update("checkpoint the tail", write).await?.is_some() {
            return Ok(());
        }
        self.check_lease(lease).await?;
        Err(Error::data_unsafe(format_args!(
            "the tail of batch {} is beyond object {tail_next} already, under the same claim",
            lease.batch
        ))
        .in_run(&self.run))
    }

    /// A write to the lease's item that only the newest claim may do.
    fn write_lease(&self, lease: &Lease) -> Write {
        Write::to(self.lease_key(lease.batch)).if_equal("epoch", lease.epoch)
    }
}

fn key_of(item: Item) -> Option<Key> {
    let part = |name| item.get(name).and_then(|value| value.as_s().ok()).cloned();
    Some(Key { pk: part("pk")?, sk: part("sk")? })
}
