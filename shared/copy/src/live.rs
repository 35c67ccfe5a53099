//! A copy in production.

use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use journal::Journal;
use kafka::{Cluster, ConfigEntry};
use migration::{BatchId, Error, ErrorKind, Result};
use runtime::run::copy_functions;
use runtime::{Budget, Run, Store};

use crate::engine::{self, Job, Outcome, Work};
use crate::ports::Ports;

/// The clusters, journal and bucket of a migration.
struct Live<'a> {
    source: Cluster,
    target: Cluster,
    journal: &'a Journal,
    store: &'a Store,
}

impl Ports for Live<'_> {
    type Source = Cluster;
    type Target = Cluster;
    type Ledger = Journal;
    type Bucket = Store;

    fn source(&self) -> &Cluster {
        &self.source
    }

    fn target(&self) -> &Cluster {
        &self.target
    }

    fn ledger(&self) -> &Journal {
        self.journal
    }

    fn bucket(&self) -> &Store {
        self.store
    }
}

/// How long it may take to record why a copy ended.
const RECORDED_WITHIN: Duration = Duration::from_secs(5);

/// See [`Job::altered`].
pub type Altered = fn(&Arc<str>, &[ConfigEntry]) -> Option<Error>;

/// Copies `batch` of the migration `run`, see [`engine::copy`]. `altered` says what is wrong with the configs of a topic of the
/// target. What it ends with is on record for the batch, unless a newer
/// invocation works on it.
///
/// # Errors
/// Those of [`engine::copy`], and of connecting to the clusters.
pub async fn copy_batch(
    run: &Run<'_>,
    batch: BatchId,
    work: Work,
    altered: Altered,
    budget: Budget,
) -> Result<Outcome> {
    let outcome = copy(run, batch, work, altered, budget).await;
    if let Err(error) = &outcome
        && error.kind != ErrorKind::Fenced
    {
        // It is for people; the error itself decides what comes next.
        match tokio::time::timeout(RECORDED_WITHIN, run.journal.note_failure(batch, error)).await {
            Ok(Ok(())) => {}
            Ok(Err(lost)) => tracing::warn!(%batch, "why the copy ended was not recorded: {lost}"),
            Err(_) => tracing::warn!(%batch, "why the copy ended was not recorded in time"),
        }
    }
    outcome
}

async fn copy(run: &Run<'_>, batch: BatchId, work: Work, altered: Altered, budget: Budget) -> Result<Outcome> {
    let producer = run.meta.producer.ok_or_else(|| Error::internal("the migration has no producer id yet"))?;
    let (source, target) = tokio::try_join!(run.source(), run.target())?;
    let ports = Live { source, target, journal: &run.journal, store: &run.store };
    let batches = u32::try_from(run.batches()?.len()).unwrap_or(u32::MAX);
    let functions = match work {
        Work::Seed { .. } => copy_functions(&run.config).min(batches),
        Work::Tail { .. } => batches,
    };
    let job = Job {
        migration: run.id.clone(),
        batch,
        work,
        producer,
        functions,
        altered,
        clock: Clock::system(),
        recount: run.config.validation.recount,
        throttle: run.config.throttle,
        topology: run.config.topology.clone(),
    };
    engine::copy(&ports, &job, budget).await
}
