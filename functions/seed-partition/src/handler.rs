//! Copies what a batch of partitions held when the migration began.

use copy::{Outcome, Work};
use migration::message::{BatchInput, BatchOutput, Reconciled};
use migration::{Error, MigrationId, Phase, Result};
use runtime::run::{copy_functions, refuse_stopped};
use runtime::{Budget, Host, stuck};
use serde_json::{Value, json};
use topology::{Manifest, gone, held};

/// Answers one invocation.
///
/// # Errors
/// Those of the copy; from a reconcile Unsafe for stopped partitions, Blocked for topics that were deleted on the source, and
/// when nothing was seeded since the last one, what kept the functions from it.
pub(crate) async fn handle(host: &Host, input: BatchInput, budget: Budget) -> Result<Value> {
    match input {
        BatchInput::Work { migration_id, batch, .. } => {
            let run = host.load(&migration_id).await?;
            let window = run.config.seed.max_concurrent_partitions.div_ceil(copy_functions(&run.config)).max(1);
            let segment_bytes = run.config.seed.segment_max_bytes as usize;
            let work = Work::Seed { window: window as usize, segment_bytes };
            let outcome = copy::copy_batch(&run, batch, work, topology::held::fault, budget).await;
            let outcome = outcome.map_err(|error| error.in_run(&migration_id).in_phase(Phase::Seed))?;
            Ok(json!(BatchOutput { again: outcome == Outcome::OutOfTime }))
        }
        BatchInput::Reconcile { migration_id, before } => {
            let reconciled = reconcile(host, &migration_id, before).await;
            Ok(json!(reconciled.map_err(|error| error.in_run(&migration_id).in_phase(Phase::Seed))?))
        }
        BatchInput::Drain { .. } | BatchInput::Measure { .. } => {
            Err(Error::invalid("seed-partition neither drains nor measures; tail-batch does"))
        }
    }
}

/// What the Map really did: moves on to the tail once every partition is seeded.
async fn reconcile(host: &Host, migration_id: &MigrationId, before: i64) -> Result<Reconciled> {
    let mut run = host.load(migration_id).await?;
    let manifest = Manifest::load(&run).await?;
    if gone::settle(&run, &run.source().await?, &manifest).await? {
        run = host.load(migration_id).await?;
    }
    let partitions = run.all_partitions().await?;
    refuse_stopped(&partitions)?;
    let progress: i64 = partitions.iter().map(|partition| partition.source_next).sum();
    let unseeded: Vec<_> = partitions.iter().filter(|partition| !partition.is_seeded()).collect();
    if unseeded.is_empty() {
        // Before it is said of any of them that it is copied.
        held::refuse_altered(&run.target().await?, &held::topics_of(&partitions)).await?;
        let records: i64 = partitions.iter().map(|partition| partition.target_next).sum();
        let bytes: i64 = partitions.iter().map(|partition| partition.bytes).sum();
        // What the tail adds to this is what it replayed.
        run.journal.set_fact("seeded", &json!({"records": records, "bytes": bytes})).await?;
        let summary = format!("seed complete: partitions={} records={records} bytes={bytes}", partitions.len());
        run.journal.transition(Phase::Tail, &summary).await?;
    } else if progress == before {
        let first = unseeded[0];
        let what = format!("the seed makes no progress; {} partitions are not seeded", unseeded.len());
        let error = stuck::no_progress(&run, run.batches()?, None, &what).await?;
        return Err(error.at(&first.partition).at_offset(first.source_next));
    }
    Ok(Reconciled { complete: unseeded.is_empty(), progress })
}
