//! Waiting for a lag that stays small.
//!
//! The lag is measured against the source itself, not against what the copy last saw of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use journal::Journal;
use kafka::{Cluster, OffsetSpec, TopicPartition};
use migration::message::Drained;
use migration::progress::PartitionProgress;
use migration::{Error, MigrationId, Phase, Result};
use runtime::{Budget, Host, Run};

/// Pause between two measurements.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// The worst partition of a measurement.
struct Lag {
    partition: TopicPartition,
    records: i64,
}

/// Holds until every partition has stayed within `drain_max_partition_lag` for `drain_stable_window`, then moves to
/// `drain_ready`; returns not ready when the budget is spent first.
///
/// # Errors
/// Unsafe when a partition has stopped, Blocked when topics were added that are not copied, Deadline when `drain_timeout`
/// passed since the tail began.
pub(crate) async fn drain(host: &Host, migration_id: &MigrationId, budget: Budget) -> Result<Drained> {
    let run = host.load(migration_id).await?;
    if run.meta.phase == Phase::DrainReady {
        return Ok(Drained { ready: true });
    }
    let source = run.source().await?;
    let began = tail_began(&run.journal).await?;
    let stable_window = Duration::from(run.config.cutover.drain_stable_window);
    let mut stable_since = None::<Instant>;
    loop {
        let partitions = run.all_partitions().await?;
        runtime::run::refuse_stopped(&partitions)?;
        let worst = worst_lag(&source, &partitions).await?;
        if worst.records > run.config.cutover.drain_max_partition_lag {
            tracing::info!(partition = %worst.partition, lag = worst.records, "not drained yet");
            stable_since = None;
        } else if stable_since.get_or_insert_with(Instant::now).elapsed() >= stable_window {
            // Told before anybody freezes producers for a cutover that would refuse it.
            topology::refuse_uncopied(&source, &partitions).await?;
            run.journal.transition(Phase::DrainReady, &summary(&worst, &partitions, &began)).await?;
            return Ok(Drained { ready: true });
        }
        check_timeout(&run, &began, &worst)?;
        if budget.is_spent() {
            return Ok(Drained { ready: false });
        }
        tokio::time::sleep(MEASURE_EVERY).await;
    }
}

/// When the tail began, and how far the copy was then.
struct Began {
    at: chrono::DateTime<chrono::Utc>,
    records: i64,
    bytes: i64,
}

/// The newest transition into the tail; how far the copy was is remembered as a fact the first time it is asked.
async fn tail_began(journal: &Journal) -> Result<Began> {
    let events = journal.events().await?;
    let event = events.iter().rev().find(|event| event.to == Phase::Tail);
    let event = event.ok_or_else(|| Error::internal("the journal has no transition into the tail"))?;
    let meta = journal.meta().await?;
    let seeded = |name: &str| meta.facts.get("seeded").and_then(|fact| fact.get(name)?.as_i64()).unwrap_or(0);
    Ok(Began { at: event.at, records: seeded("records"), bytes: seeded("bytes") })
}

async fn worst_lag(source: &Cluster, partitions: &[PartitionProgress]) -> Result<Lag> {
    let names: Vec<_> = partitions.iter().map(|progress| progress.partition.clone()).collect();
    let ends: BTreeMap<_, _> = kafka::all_ok(source.list_offsets(&names, OffsetSpec::LastStable).await)?;
    let lags = partitions.iter().map(|progress| Lag {
        records: ends.get(&progress.partition).map_or(0, |end| (end - progress.source_next).max(0)),
        partition: progress.partition.clone(),
    });
    lags.max_by_key(|lag| lag.records).ok_or_else(|| Error::blocked("the migration has no partitions"))
}

fn check_timeout(run: &Run<'_>, began: &Began, worst: &Lag) -> Result<()> {
    let timeout = run.config.cutover.drain_timeout;
    let waited = run.journal.now() - began.at;
    if waited.num_seconds() <= timeout.as_secs() as i64 {
        return Ok(());
    }
    let message = format!(
        "the lag did not stay within {} for {} in {timeout}; the worst partition lags {} records. Raise \
         cutover.drain_timeout or cutover.drain_max_partition_lag, or slow the producers down, then resume",
        run.config.cutover.drain_max_partition_lag, run.config.cutover.drain_stable_window, worst.records
    );
    Err(Error::deadline(message).at(&worst.partition))
}

fn summary(worst: &Lag, partitions: &[PartitionProgress], began: &Began) -> String {
    let records: i64 = partitions.iter().map(|progress| progress.target_next).sum();
    let bytes: i64 = partitions.iter().map(|progress| progress.bytes).sum();
    format!(
        "drain ready: max_partition_lag={} records_replayed={} bytes_replayed={}",
        worst.records,
        records - began.records,
        bytes - began.bytes
    )
}
