//! A copy in production.

use journal::{Claimed, Journal, Lease, TailWanted};
use kafka::Cluster;
use migration::progress::PartitionProgress;
use migration::{BatchId, Error, Phase, Result};
use runtime::{Budget, Run, Store};

use crate::engine::{self, Job, Outcome, Work};
use crate::ports::{Ledger, Ports};

/// The clusters, journal and bucket of a migration.
struct Live<'a> {
    source: Cluster,
    target: Cluster,
    journal: Told<'a>,
    store: &'a Store,
}

impl<'a> Ports for Live<'a> {
    type Source = Cluster;
    type Target = Cluster;
    type Ledger = Told<'a>;
    type Bucket = Store;

    fn source(&self) -> &Cluster {
        &self.source
    }

    fn target(&self) -> &Cluster {
        &self.target
    }

    fn ledger(&self) -> &Told<'a> {
        &self.journal
    }

    fn bucket(&self) -> &Store {
        self.store
    }
}

/// The journal, as a function hears it that was started for one generation of the manifest.
struct Told<'a> {
    journal: &'a Journal,
    generation: u32,
}

impl Ledger for Told<'_> {
    async fn phase(&self) -> Result<Phase> {
        self.journal.phase().await
    }

    /// Stop, also when there is a later manifest: the Map has to read it, and ends only when all its functions have.
    async fn tail_wanted(&self) -> Result<TailWanted> {
        let control = self.journal.tail_control().await?;
        Ok(if control.generation > self.generation { TailWanted::Stop } else { control.wanted })
    }

    async fn claim(&self, batch: BatchId, owner: &str) -> Result<Claimed> {
        self.journal.claim(batch, owner).await
    }

    async fn checkpoint(&self, lease: &mut Lease, partitions: &[PartitionProgress], tail_next: u64) -> Result<()> {
        self.journal.checkpoint(lease, partitions, tail_next).await
    }

    async fn check_lease(&self, lease: &Lease) -> Result<()> {
        self.journal.check_lease(lease).await
    }
}

/// Follows `batch` of the migration `run` as it is in the manifest's `generation`; ends when there is a later one.
///
/// # Errors
/// As [`copy_batch`].
pub async fn follow_batch(run: &Run<'_>, batch: BatchId, generation: u32, budget: Budget) -> Result<Outcome> {
    copy_as(run, batch, Work::Tail, generation, budget).await
}

/// Copies `batch` of the migration `run`, see [`engine::copy`].
///
/// # Errors
/// Those of [`engine::copy`], and of connecting to the clusters.
pub async fn copy_batch(run: &Run<'_>, batch: BatchId, work: Work, budget: Budget) -> Result<Outcome> {
    copy_as(run, batch, work, u32::MAX, budget).await
}

async fn copy_as(run: &Run<'_>, batch: BatchId, work: Work, generation: u32, budget: Budget) -> Result<Outcome> {
    let producer = run.meta.producer.ok_or_else(|| Error::internal("the migration has no producer id yet"))?;
    let (source, target) = tokio::try_join!(run.source(), run.target())?;
    let ports = Live { source, target, journal: Told { journal: &run.journal, generation }, store: &run.store };
    let job = Job { migration: run.id.clone(), batch, work, producer };
    engine::copy(&ports, &job, budget).await
}
