//! One process's connections, and one migration seen from it.

use std::collections::BTreeSet;

use journal::{Journal, Meta};
use migration::progress::PartitionProgress;
use migration::{BatchId, Config, Error, MigrationId, Result};

use crate::aws::Aws;
use crate::clusters::Clusters;
use crate::store::Store;

/// The fact that names the topics that were left out, see [`Run::left_out`].
pub const LEFT_OUT: &str = "left_out";

/// The fact that holds a line for each of the first changes on the source, see `topology::changes`.
pub const CHANGES: &str = "changes";

/// The fact that holds a line for each of the first things that the topology copy could not bring over as they are.
pub const TOPOLOGY: &str = "topology";

/// What a process builds once and keeps between invocations.
#[derive(Debug)]
pub struct Host {
    /// AWS clients.
    pub aws: Aws,
    /// Connections to Kafka clusters.
    pub clusters: Clusters,
}

impl Host {
    /// Builds clients from the environment; connects to no cluster yet.
    pub async fn from_env() -> Self {
        Self { aws: Aws::from_env().await, clusters: Clusters::default() }
    }

    /// The journal of `run`, whether it exists or not.
    pub fn journal(&self, run: &MigrationId) -> Journal {
        Journal::new(self.aws.dynamodb.clone(), &self.aws.table, run.clone())
    }

    /// Loads the migration `run` from its journal.
    ///
    /// # Errors
    /// Invalid when there is no such migration.
    pub async fn load(&self, run: &MigrationId) -> Result<Run<'_>> {
        let journal = self.journal(run);
        let meta = journal.meta().await?;
        let journal = journal.bound_to(&meta);
        let config = Config::from_json(&meta.config)?;
        Ok(Run { id: run.clone(), store: self.backup(&config, run), config, journal, meta, host: self })
    }

    /// Where the working data of `run` lies.
    pub fn backup(&self, config: &Config, run: &MigrationId) -> Store {
        let prefix = format!("{}{run}/", config.backup.s3_prefix);
        Store::new(self.aws.s3.clone(), &config.backup.s3_bucket, prefix)
    }

    /// Where the evidence of `run` goes.
    pub fn evidence(&self, config: &Config, run: &MigrationId) -> Store {
        let prefix = format!("{}{run}/", config.evidence.s3_prefix);
        Store::new(self.aws.s3.clone(), &config.evidence.s3_bucket, prefix)
    }
}

/// A migration as an invocation finds it.
#[derive(Debug)]
pub struct Run<'a> {
    /// Its id.
    pub id: MigrationId,
    /// Its configuration.
    pub config: Config,
    /// Its journal, bound to the run as it was loaded.
    pub journal: Journal,
    /// What the journal said when the run was loaded.
    pub meta: Meta,
    /// Its working data in S3.
    pub store: Store,
    host: &'a Host,
}

impl Run<'_> {
    /// The source cluster, connected.
    ///
    /// # Errors
    /// Those of [`Clusters::connect`].
    pub async fn source(&self) -> Result<kafka::Cluster> {
        self.host.clusters.connect(&self.host.aws, &self.config.source).await
    }

    /// The target cluster, connected.
    ///
    /// # Errors
    /// Those of [`Clusters::connect`].
    pub async fn target(&self) -> Result<kafka::Cluster> {
        self.host.clusters.connect(&self.host.aws, &self.config.target).await
    }

    /// The batches its partitions were dealt into.
    ///
    /// # Errors
    /// Internal before the topology was copied.
    pub fn batches(&self) -> Result<Vec<BatchId>> {
        let count = self.meta.facts.get("batches").and_then(serde_json::Value::as_u64);
        let count = count.ok_or_else(|| Error::internal("the migration has no batches yet"))?;
        Ok((0..count).map(|batch| BatchId(batch as u32)).collect())
    }

    /// Topics that were deleted on the source on the way, and without which the operator lets the migration go on.
    pub fn left_out(&self) -> BTreeSet<String> {
        let names = self.meta.facts.get(LEFT_OUT).and_then(serde_json::Value::as_array);
        names.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    }

    /// Progress of the partitions of `batches`, in their order, without topics that were left out.
    ///
    /// # Errors
    /// Those of the journal.
    pub async fn progress(
        &self,
        batches: impl IntoIterator<Item = BatchId>,
    ) -> Result<Vec<(BatchId, Vec<PartitionProgress>)>> {
        let progress = self.journal.progress(batches).await?;
        Ok(progress.into_iter().map(|(batch, partitions)| (batch, self.without_left_out(partitions))).collect())
    }

    /// `partitions` without those of topics that were left out.
    pub fn without_left_out(&self, mut partitions: Vec<PartitionProgress>) -> Vec<PartitionProgress> {
        let left_out = self.left_out();
        partitions.retain(|progress| !left_out.contains(&*progress.partition.topic));
        partitions
    }

    /// Progress of every partition that was ever dealt, left out or not.
    ///
    /// # Errors
    /// As [`Run::all_partitions`].
    pub async fn dealt_partitions(&self) -> Result<Vec<PartitionProgress>> {
        let batches = self.journal.progress(self.batches()?).await?;
        Ok(batches.into_iter().flat_map(|(_, partitions)| partitions).collect())
    }

    /// Progress of every partition of the migration, without topics that were left out.
    ///
    /// # Errors
    /// Internal before the topology was copied; otherwise those of the journal.
    pub async fn all_partitions(&self) -> Result<Vec<PartitionProgress>> {
        Ok(self.without_left_out(self.dealt_partitions().await?))
    }

    /// The process this run is seen from.
    pub const fn host(&self) -> &Host {
        self.host
    }
}

/// Copy functions that may run at the same time for a configuration. Beyond a few, brokers bind, not functions.
pub fn copy_functions(config: &Config) -> u32 {
    const MOST: u32 = 16;
    config.seed.max_concurrent_partitions.min(MOST)
}

/// Refuses to go on while partitions have stopped.
///
/// # Errors
/// Unsafe, naming every stopped partition (the first few with their reason).
pub fn refuse_stopped(partitions: &[PartitionProgress]) -> Result<()> {
    const NAMED: usize = 5;
    let stopped: Vec<_> = partitions.iter().filter_map(|p| Some((&p.partition, p.stopped.as_deref()?))).collect();
    let Some((first, _)) = stopped.first() else { return Ok(()) };
    let mut reasons: Vec<_> = stopped.iter().take(NAMED).map(|(name, reason)| format!("{name}: {reason}")).collect();
    if stopped.len() > NAMED {
        reasons.push(format!("and {} more, see msk-kraft status", stopped.len() - NAMED));
    }
    Err(Error::data_unsafe(format_args!("{} partitions stopped: {}", stopped.len(), reasons.join("; "))).at(first))
}
