//! Follows new records of a batch of partitions, tells when the lag has stayed small, and what it is now.

use copy::measure::{self, Measured};
use copy::{Outcome, Work};
use journal::TailWanted;
use migration::message::{BatchInput, BatchOutput, Reconciled};
use migration::{MigrationId, Phase, Result};
use runtime::{Budget, Host};
use serde_json::{Value, json};
use topology::Manifest;

use crate::drain;

/// Answers one invocation.
///
/// # Errors
/// Those of the copy and of the drain; Unsafe from a reconcile that finds stopped partitions.
pub(crate) async fn handle(host: &Host, input: BatchInput, budget: Budget) -> Result<Value> {
    match input {
        BatchInput::Work { migration_id, batch, generation } => {
            let run = host.load(&migration_id).await?;
            let work = Work::Tail { generation: generation.unwrap_or(0) };
            let outcome = copy::copy_batch(&run, batch, work, topology::held::fault, budget).await;
            let outcome = outcome.map_err(|error| error.in_run(&migration_id).in_phase(Phase::Tail))?;
            Ok(json!(BatchOutput { again: outcome == Outcome::OutOfTime }))
        }
        BatchInput::Reconcile { migration_id, .. } => {
            let reconciled = reconcile(host, &migration_id).await;
            Ok(json!(reconciled.map_err(|error| error.in_run(&migration_id).in_phase(Phase::Tail))?))
        }
        BatchInput::Drain { migration_id } => {
            let drained = drain::drain(host, &migration_id, budget).await;
            Ok(json!(drained.map_err(|error| error.in_run(&migration_id).in_phase(Phase::Tail))?))
        }
        BatchInput::Measure { migration_id } => {
            let measured = measure(host, &migration_id).await;
            Ok(json!(measured.map_err(|error| error.in_run(&migration_id))?))
        }
    }
}

async fn measure(host: &Host, migration_id: &MigrationId) -> Result<Measured> {
    let run = host.load(migration_id).await?;
    measure::measure(&run, &run.source().await?).await
}

/// The tail has ended when the journal wants it to; otherwise its functions ran out of time, or there is a later manifest.
async fn reconcile(host: &Host, migration_id: &MigrationId) -> Result<Reconciled> {
    let run = host.load(migration_id).await?;
    let partitions = run.all_partitions().await?;
    let complete = run.journal.tail_wanted().await? == TailWanted::Stop;
    if !complete {
        runtime::run::refuse_stopped(&partitions)?;
        // The Map reads the manifest again. Written anew, it is whole whatever became of whoever extended it.
        Manifest::load(&run).await?.publish(&run).await?;
    }
    let progress = partitions.iter().map(|partition| partition.source_next).sum();
    Ok(Reconciled { complete, progress })
}
