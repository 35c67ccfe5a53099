//! Follows new records of a batch of partitions, and tells when the lag has stayed small.

use copy::{Outcome, Work};
use journal::TailWanted;
use migration::message::{BatchInput, BatchOutput, Reconciled};
use migration::{MigrationId, Phase, Result};
use runtime::{Budget, Host};
use serde_json::{Value, json};

use crate::drain;

/// Answers one invocation.
///
/// # Errors
/// Those of the copy and of the drain; Unsafe from a reconcile that finds stopped partitions.
pub(crate) async fn handle(host: &Host, input: BatchInput, budget: Budget) -> Result<Value> {
    match input {
        BatchInput::Work { migration_id, batch } => {
            let run = host.load(&migration_id).await?;
            let outcome = copy::copy_batch(&run, batch, Work::Tail, budget).await;
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
    }
}

/// The tail has ended when the journal wants it to; otherwise its functions only ran out of time.
async fn reconcile(host: &Host, migration_id: &MigrationId) -> Result<Reconciled> {
    let run = host.load(migration_id).await?;
    let partitions = run.all_partitions().await?;
    let complete = run.journal.tail_wanted().await? == TailWanted::Stop;
    if !complete {
        runtime::run::refuse_stopped(&partitions)?;
    }
    let progress = partitions.iter().map(|partition| partition.source_next).sum();
    Ok(Reconciled { complete, progress })
}
