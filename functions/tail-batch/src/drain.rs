//! Waiting for a lag that stays small, and settling on the way whatever changes on the source.
//!
//! The lag is measured against the source itself, not against what the copy last saw of it. A small lag alone says little: of a
//! batch to which nobody writes it is small although nobody copies it. So every batch needs a function that follows it, too.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use copy::{keys, measure};
use journal::{Journal, Tails};
use kafka::{Cluster, OffsetSpec, TopicPartition};
use migration::config::KeysDeleted;
use migration::message::Drained;
use migration::progress::PartitionProgress;
use migration::{Error, MigrationId, Phase, Result};
use runtime::{Budget, Host, Run};
use topology::transactions::refuse_hanging;
use topology::{Changes, Manifest, changes, gone, held, pick_up};

/// Pause between two measurements.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// Pause between two lines in the log about batches that are not followed.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// Pause between two looks at the configs of the target's topics.
const HOLD_EVERY: Duration = Duration::from_secs(10);

/// Changes that the journal's reason names.
const NAMED: usize = 5;

/// The worst partition of a measurement.
struct Lag {
    partition: TopicPartition,
    records: i64,
}

/// What one look at the source found.
enum Look {
    /// Partitions were picked up or left out: what was measured before is out of date.
    Changed,
    /// The lag is too large.
    Behind(Lag),
    /// The lag is small, and there are batches that no function follows, or none that gets on.
    Unfollowed(Lag, Tails),
    /// The lag is small.
    Drained(Lag, Vec<PartitionProgress>),
}

/// Holds until every partition has stayed within `drain_max_partition_lag` for `drain_stable_window`, with a function that
/// gets on with each batch, then moves to `drain_ready`; returns not ready when the budget is spent first. Topics and partitions that appear on the source are
/// picked up on the way, and no transaction hangs in the end.
///
/// # Errors
/// Unsafe when a partition has stopped or a topic of the target has not its copy-time configs, Blocked when topics were deleted or newcomers cannot be picked up, Deadline when
/// `drain_timeout` passed since the tail began.
pub(crate) async fn drain(host: &Host, migration_id: &MigrationId, budget: Budget) -> Result<Drained> {
    let mut run = host.load(migration_id).await?;
    if run.meta.phase == Phase::DrainReady {
        return Ok(Drained { ready: true });
    }
    let (source, target) = tokio::try_join!(run.source(), run.target())?;
    let began = tail_began(&run.journal).await?;
    let mut manifest = Manifest::load(&run).await?;
    let stable_window = Duration::from(run.config.cutover.drain_stable_window);
    let mut stable_since = None::<Instant>;
    let mut recorded = None;
    let mut said = None::<Instant>;
    let mut held = None::<Instant>;
    loop {
        let mut hanging = Ok(());
        if held.is_none_or(|at| at.elapsed() >= HOLD_EVERY) {
            hold(&run, &target).await?;
            held = Some(Instant::now());
        }
        let worst = match look(&run, &source, &mut manifest).await? {
            Look::Changed => {
                run = host.load(migration_id).await?;
                stable_since = None;
                continue;
            }
            Look::Behind(worst) => {
                tracing::info!(partition = %worst.partition, lag = worst.records, "not drained yet");
                stable_since = None;
                worst
            }
            Look::Unfollowed(worst, tails) => {
                if said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
                    said = Some(Instant::now());
                    tracing::warn!("not drained yet: {}", tails.lines(run.journal.now()).join("; "));
                }
                stable_since = None;
                worst
            }
            Look::Drained(worst, partitions) => {
                if stable_since.get_or_insert_with(Instant::now).elapsed() >= stable_window {
                    hanging = compared(&run, &source, &partitions).await?;
                    if hanging.is_ok() {
                        let found = survey(&run, &source, &manifest, &mut recorded).await?;
                        hanging = refuse_hanging(&found.transactions, &found.source);
                        if hanging.is_ok() {
                            hold(&run, &target).await?;
                            let reason = summary(&worst, &partitions, &began, &found);
                            run.journal.transition(Phase::DrainReady, &reason).await?;
                            return Ok(Drained { ready: true });
                        }
                    }
                }
                worst
            }
        };
        check_timeout(&run, &began, &worst, hanging).await?;
        if budget.is_spent() {
            return Ok(Drained { ready: false });
        }
        tokio::time::sleep(MEASURE_EVERY).await;
    }
}

/// Refuses to go on when somebody altered the configs under which the target's topics are copied.
async fn hold(run: &Run<'_>, target: &Cluster) -> Result<()> {
    held::refuse_altered(target, &held::topics_of(&run.all_partitions().await?)).await
}

/// Whether the compacted ones of `partitions` were compared by key, as long as somebody wants to know: what is to be said when
/// they were not.
///
/// # Errors
/// When the source or the bucket cannot be asked.
async fn compared(run: &Run<'_>, source: &Cluster, partitions: &[PartitionProgress]) -> Result<Result<()>> {
    if run.config.topology.on_deleted_keys == KeysDeleted::Keep {
        return Ok(Ok(()));
    }
    let waiting = keys::not_compared(source, &run.store, &run.batches()?, partitions).await?;
    let Some(first) = waiting.first() else { return Ok(Ok(())) };
    tracing::info!(partitions = waiting.len(), %first, "compacted partitions are being compared by key");
    let message = format!(
        "{} compacted partitions are still being compared by key; raise cutover.drain_timeout, or set topology.on_deleted_keys: keep, \
         then resume",
        waiting.len()
    );
    Ok(Err(Error::deadline(message).at(first)))
}

/// Settles what appeared and what is gone, then measures.
async fn look(run: &Run<'_>, source: &Cluster, manifest: &mut Manifest) -> Result<Look> {
    let dealt = run.dealt_partitions().await?;
    let partitions = run.without_left_out(dealt.clone());
    if gone::settle(run, source, manifest).await?
        || pick_up::pick_up(run, source, manifest, &source.topics().await?, &dealt).await?
    {
        return Ok(Look::Changed);
    }
    runtime::run::refuse_stopped(&partitions)?;
    let worst = worst_lag(source, &partitions).await?;
    if worst.records > run.config.cutover.drain_max_partition_lag {
        return Ok(Look::Behind(worst));
    }
    Ok(match measure::tails(run).await? {
        Some(tails) if !tails.all_work() => Look::Unfollowed(worst, tails),
        _ => Look::Drained(worst, partitions),
    })
}

/// Looks for changes, and records them when they are not the ones recorded last.
async fn survey(
    run: &Run<'_>,
    source: &Cluster,
    manifest: &Manifest,
    recorded: &mut Option<Changes>,
) -> Result<Changes> {
    let found = changes::survey(run, source, manifest, &run.dealt_partitions().await?).await?;
    if recorded.as_ref() != Some(&found) {
        for line in found.lines() {
            tracing::warn!("{line}");
        }
        found.record(run).await?;
        *recorded = Some(found.clone());
    }
    Ok(found)
}

/// When the tail began, and how far the copy was then.
struct Began {
    at: DateTime<Utc>,
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

/// Whether there is time left; `hanging` is what keeps a small lag from being enough.
async fn check_timeout(run: &Run<'_>, began: &Began, worst: &Lag, hanging: Result<()>) -> Result<()> {
    let timeout = run.config.cutover.drain_timeout;
    let now = run.journal.now();
    if (now - began.at).num_seconds() <= timeout.as_secs() as i64 {
        return Ok(());
    }
    // The operator was told all along; what is left to say is what to do.
    hanging?;
    // Whoever is not copied at all lags too, and no producer is to blame for that.
    if let Some(tails) = measure::tails(run).await?.filter(|tails| !tails.all_work()) {
        return Err(Error::deadline(unfollowed(&tails, now, &timeout.to_string())));
    }
    let message = format!(
        "the lag did not stay within {} for {} in {timeout}; the worst partition lags {} records. Raise \
         cutover.drain_timeout or cutover.drain_max_partition_lag, or slow the producers down, then resume",
        run.config.cutover.drain_max_partition_lag, run.config.cutover.drain_stable_window, worst.records
    );
    Err(Error::deadline(message).at(&worst.partition))
}

/// What keeps the tail from being ready although `timeout` has passed, and the way out.
fn unfollowed(tails: &Tails, now: DateTime<Utc>, timeout: &str) -> String {
    let Tails { batches, live, .. } = tails;
    let mut message = format!("the tail did not become ready in {timeout}: {}. ", tails.lines(now).join("; "));
    if live < batches {
        // The one that waits for the drain, and one that is asked for the lag.
        let needed = batches + 2;
        message.push_str(&format!(
            "Lambda starts no more functions where the reserved concurrency of tail-batch or the account's limit of concurrent \
             executions is reached: let tail-batch run {needed} times at once, or start a new migration with a larger \
             seed.partitions_per_batch. "
        ));
    }
    message.push_str("Remove the cause, then resume");
    message
}

fn summary(worst: &Lag, partitions: &[PartitionProgress], began: &Began, changes: &Changes) -> String {
    let records: i64 = partitions.iter().map(|progress| progress.target_next).sum();
    let bytes: i64 = partitions.iter().map(|progress| progress.bytes).sum();
    let mut summary = format!(
        "drain ready: max_partition_lag={} records_replayed={} bytes_replayed={}",
        worst.records,
        records - began.records,
        bytes - began.bytes
    );
    let changes = changes.first_lines(NAMED);
    if !changes.is_empty() {
        summary.push_str("; changed on the source: ");
        summary.push_str(&changes.join("; "));
    }
    summary
}

#[cfg(test)]
mod tests {
    use super::*;
    use journal::{CopyWork, Heartbeat, LastError};
    use migration::{BatchId, ErrorKind};
    use topology::changes::LeftOut;

    fn tail(at: DateTime<Utc>, error: Option<LastError>) -> Option<Heartbeat> {
        let (at, work) = (Some(at), Some(CopyWork::Tail));
        Some(Heartbeat { at, epoch: 1, owner: String::new(), work, error, refused: None })
    }

    #[test]
    fn batches_without_a_function_are_named_with_how_many_functions_are_needed() {
        let now = DateTime::from_timestamp(1_777_097_707, 0).unwrap();
        let beats: Vec<_> = (0..16).map(|number| (BatchId(number), tail(now, None).filter(|_| number < 8))).collect();
        let said = unfollowed(&Tails::of(&beats, now), now, "30m");
        assert_eq!(
            said,
            "the tail did not become ready in 30m: no function follows 8 of 16 batches: 0008 (none ever did); \
             0009 (none ever did); 0010 (none ever did); 0011 (none ever did); 0012 (none ever did); and 3 more. Lambda starts \
             no more functions where the reserved concurrency of tail-batch or the account's limit of concurrent executions is \
             reached: let tail-batch run 18 times at once, or start a new migration with a larger seed.partitions_per_batch. \
             Remove the cause, then resume"
        );
    }

    #[test]
    fn a_batch_whose_function_fails_is_not_blamed_on_lambda() {
        let now = DateTime::from_timestamp(1_777_097_707, 0).unwrap();
        let error = LastError { kind: ErrorKind::Transient, message: "no leader".to_owned(), at: now };
        let said = unfollowed(&Tails::of(&[(BatchId(0), tail(now, Some(error)))], now), now, "30m");
        assert_eq!(
            said,
            "the tail did not become ready in 30m: the copy of 1 of 1 batch cannot go on at the moment: 0000 (Transient at 2026-04-25T06:15:07Z: no leader). Remove the cause, then resume"
        );
    }

    #[test]
    fn the_reason_names_what_changed() {
        let lag = Lag { partition: TopicPartition::new("a", 0), records: 3 };
        let began = Began { at: DateTime::UNIX_EPOCH, records: 10, bytes: 100 };
        let mut progress = PartitionProgress::new(lag.partition.clone(), 0, 0);
        (progress.target_next, progress.bytes) = (25, 300);
        let said = |changes: &Changes| summary(&lag, std::slice::from_ref(&progress), &began, changes);
        let plain = "drain ready: max_partition_lag=3 records_replayed=15 bytes_replayed=200";
        assert_eq!(said(&Changes::default()), plain);
        let left_out = (0..7).map(|number| LeftOut { topic: format!("t{number}"), records: 1 }).collect();
        let changed = said(&Changes { left_out, ..Changes::default() });
        assert!(changed.starts_with(&format!("{plain}; changed on the source: topic t0 was deleted")), "{changed}");
        assert!(changed.ends_with("; and 2 more, see topology/changes.json"), "{changed}");
    }
}
