//! Whether the Map compared everything, and the report once it has.

use std::collections::BTreeSet;
use std::sync::Arc;

use documents::CutoverPlan;
use futures::stream::{self, StreamExt, TryStreamExt};
use journal::GateName;
use migration::message::Reconciled;
use migration::report::validation;
use migration::{BatchId, Error, MigrationId, Phase, Result};
use runtime::{Host, Run, stuck};
use serde::Deserialize;
use telemetry::metrics;

use crate::check::Acceptances;
use crate::reference::{self, Reference};
use crate::report::{ByPartition, Report};
use crate::results::{BatchResults, attempt};
use crate::switch::Switch;
use crate::{groups, parity, work};

/// Batch objects read at the same time.
const AT_ONCE: usize = 8;
/// Missing batches named in an error.
const NAMED: usize = 10;

/// An entry of the manifest.
#[derive(Debug, Deserialize)]
struct Entry {
    batch: BatchId,
}

/// Stores the report once every batch has its results; `before` is what the reconcile before this one measured.
///
/// # Errors
/// Transient when batches are missing and there are no more results than `before`, or when something could not be asked.
pub(crate) async fn reconcile(host: &Host, migration_id: &MigrationId, before: i64) -> Result<Reconciled> {
    let run = host.load(migration_id).await?;
    let attempt = attempt(&run).await?;
    let manifest: Vec<Entry> = run.store.get_json("manifests/batches.json").await?;
    let batches: Vec<_> = manifest.into_iter().map(|entry| entry.batch).collect();
    let loads = batches.iter().map(|batch| BatchResults::load(&run.store, *batch, attempt));
    let mut loaded = stream::iter(loads.collect::<Vec<_>>()).buffered(AT_ONCE);
    let acceptances = Acceptances::new(run.journal.acceptances().await?);
    let mut partitions = ByPartition::new(&acceptances);
    let (mut progress, mut missing) = (0_i64, Vec::new());
    while let Some(results) = loaded.try_next().await? {
        progress += results.partitions.len() as i64;
        if !results.complete {
            missing.push(results.batch);
        }
        results.partitions.into_iter().for_each(|result| partitions.add(result));
    }
    if !missing.is_empty() {
        tracing::warn!(missing = missing.len(), progress, before, "batches have not been compared");
        if progress == before {
            return Err(no_progress(&run, missing).await?);
        }
        return Ok(Reconciled { complete: false, progress });
    }
    write_report(&run, attempt, &batches, partitions, &acceptances).await?;
    Ok(Reconciled { complete: true, progress })
}

/// A Map that compared nothing since the last time has failed as a whole, whatever its children say: why, by what they recorded
/// since this validation was asked for.
async fn no_progress(run: &Run<'_>, missing: Vec<BatchId>) -> Result<Error> {
    let asked_for = run.journal.gate(GateName::Finalize).await?.and_then(|gate| gate.decided_at);
    let what = format!("validation makes no progress; without results are the batches {}", named(&missing));
    stuck::no_progress(run, missing, asked_for, &what).await
}

/// The first of them, and how many more there are.
fn named(missing: &[BatchId]) -> String {
    let mut names: Vec<_> = missing.iter().take(NAMED).map(ToString::to_string).collect();
    if missing.len() > NAMED {
        names.push(format!("and {} more", missing.len() - NAMED));
    }
    names.join(", ")
}

async fn write_report(
    run: &Run<'_>,
    attempt: u32,
    batches: &[BatchId],
    partitions: ByPartition,
    acceptances: &Arc<Acceptances>,
) -> Result<()> {
    let (source, target) = (run.source().await?, run.target().await?);
    let switch = Switch::of(&run.journal.events().await?);
    let plan = reference::plan_key(run)?;
    let CutoverPlan { groups, settings, .. } = documents::read(&run.store, plan).await?;
    let groups = groups::reconcile(&run.store, &target, groups, switch, acceptances).await?;
    let copied: Vec<_> = run.progress(batches.iter().copied()).await?;
    let copied: Vec<_> = copied.into_iter().flat_map(|(_, partitions)| partitions).collect();
    let topics: BTreeSet<_> = copied.iter().map(|progress| progress.partition.topic.clone()).collect();
    let sides = work::look(&source, &target, &*Reference::of(run).await?, &topics).await?;
    let expected = parity::Expected {
        selection: &run.config.topology,
        copied: &copied,
        sides: &sides,
        put: &settings.configs,
        plan,
        switch,
    };
    let parity = parity::compare(&source, &target, &expected, acceptances).await?;
    let report = Report::new(run.id.clone(), attempt, run.journal.now(), parity, partitions, groups, acceptances);
    run.store.put_json(validation::NAME, &report).await?;
    let differences = report.differences();
    tracing::info!(attempt, overall = ?report.overall, differences, "validation report stored");
    metrics::emit(Phase::Validating.name(), run.id.as_str(), &[(metrics::VALIDATION_MISMATCHES, differences as f64)]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_batches_are_named_and_the_others_counted() {
        let missing: Vec<_> = (3..20).map(BatchId).collect();
        let named = named(&missing);
        assert!(named.starts_with("0003, 0004") && named.ends_with("and 7 more"), "{named}");
    }
}
