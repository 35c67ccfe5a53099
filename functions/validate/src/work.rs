//! Comparing the partitions of one batch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kafka::{Cluster, OffsetSpec, all_ok};
use migration::progress::PartitionProgress;
use migration::{BatchId, MigrationId, Result, TopicPartition};
use runtime::{Budget, Host, Run};
use serde::Deserialize;

use crate::partition::Bench;
use crate::policy::Policy;
use crate::results::{BatchResults, attempt};
use crate::second::Second;

/// Partitions compared at the same time: each holds at most two decoded batches.
const AT_ONCE: usize = 4;
/// How often the results so far are stored.
const SAVE_EVERY: Duration = Duration::from_secs(15);

/// A sentinel as the cutover recorded it.
#[derive(Debug, Deserialize)]
struct Published {
    topic: Arc<str>,
    partition: i32,
    source_offset: i64,
}

/// Compares the partitions of `batch` that this validation has no results for yet; returns whether some are left for
/// lack of time.
///
/// # Errors
/// Transient when a cluster, S3 or the journal could not be asked; what was compared until then is stored.
pub(crate) async fn work(host: &Host, migration_id: &MigrationId, batch: BatchId, budget: Budget) -> Result<bool> {
    let run = host.load(migration_id).await?;
    let attempt = attempt(&run).await?;
    let mut results = BatchResults::load(&run.store, batch, attempt).await?;
    if results.complete {
        return Ok(false);
    }
    let partitions = run.without_left_out(run.journal.partitions(batch).await?);
    let left = left(partitions, &results);
    let outcome = match left.is_empty() {
        true => Ok(true),
        false => compare_all(&run, left, &mut results, budget).await,
    };
    results.complete = matches!(outcome, Ok(true));
    results.save(&run.store).await?;
    let complete = outcome?;
    tracing::info!(%batch, attempt, partitions = results.partitions.len(), complete, "partitions compared");
    Ok(!complete)
}

fn left(partitions: Vec<PartitionProgress>, results: &BatchResults) -> Vec<PartitionProgress> {
    let done: BTreeSet<_> = results.partitions.iter().map(|result| &result.partition).collect();
    partitions.into_iter().filter(|progress| !done.contains(&progress.partition)).collect()
}

/// Compares `left`, a few at a time, until done or out of time; returns whether all are done. At least one is taken, so
/// that invocations with little time get on.
async fn compare_all(
    run: &Run<'_>,
    left: Vec<PartitionProgress>,
    results: &mut BatchResults,
    budget: Budget,
) -> Result<bool> {
    let bench = prepare(run, &left).await?;
    let mut waiting = left.iter();
    let mut running = FuturesUnordered::new();
    running.extend(waiting.next().map(|progress| bench.compare(progress)));
    let mut saved = Instant::now();
    loop {
        while running.len() < AT_ONCE && !budget.is_spent() {
            let Some(progress) = waiting.next() else { break };
            running.push(bench.compare(progress));
        }
        let Some(result) = running.next().await else { break };
        results.partitions.push(result?);
        if saved.elapsed() >= SAVE_EVERY {
            results.save(&run.store).await?;
            saved = Instant::now();
        }
    }
    Ok(waiting.len() == 0)
}

/// Asks both clusters once what the comparison of `left` needs.
async fn prepare<'a>(run: &'a Run<'_>, left: &[PartitionProgress]) -> Result<Bench<'a>> {
    let (source, target) = (run.source().await?, run.target().await?);
    let wanted: BTreeSet<TopicPartition> = left.iter().map(|progress| progress.partition.clone()).collect();
    let source_ends = ends(&source, present(&source, &wanted).await?).await?;
    let on_target = present(&target, &wanted).await?;
    let topics: BTreeSet<Arc<str>> = on_target.iter().map(|partition| partition.topic.clone()).collect();
    let configs = all_ok(target.topic_configs(&topics.into_iter().collect::<Vec<_>>()).await)?;
    let policies = configs.into_iter().map(|(topic, entries)| (topic, Policy::of(&entries))).collect();
    let published: Vec<Published> = run.store.get_json("cutover/sentinels.json").await?;
    let mut sentinels: BTreeMap<TopicPartition, Vec<i64>> = BTreeMap::new();
    for Published { topic, partition, source_offset } in published {
        let partition = TopicPartition::new(topic, partition);
        if wanted.contains(&partition) {
            sentinels.entry(partition).or_default().push(source_offset);
        }
    }
    let second = Second::connect(target.settings()).await?;
    Ok(Bench {
        id: &run.id,
        config: &run.config,
        store: &run.store,
        source,
        target,
        second,
        source_ends,
        policies,
        on_target,
        sentinels,
    })
}

/// Those of `wanted` that `cluster` has.
async fn present(cluster: &Cluster, wanted: &BTreeSet<TopicPartition>) -> Result<BTreeSet<TopicPartition>> {
    let topics = cluster.topics().await?;
    Ok(topics.iter().flat_map(kafka::TopicInfo::topic_partitions).filter(|there| wanted.contains(there)).collect())
}

/// High watermark and last stable offset of each partition.
async fn ends(cluster: &Cluster, partitions: BTreeSet<TopicPartition>) -> Result<BTreeMap<TopicPartition, (i64, i64)>> {
    let partitions: Vec<_> = partitions.into_iter().collect();
    // The stable offset first: what is committed between the two questions then shows as undecided, never as nothing.
    let stable = all_ok(cluster.list_offsets(&partitions, OffsetSpec::LastStable).await)?;
    let latest = all_ok(cluster.list_offsets(&partitions, OffsetSpec::Latest).await)?;
    let pair = |(partition, end): (TopicPartition, i64)| {
        let stable = stable.get(&partition).copied().unwrap_or(end);
        (partition, (end, stable))
    };
    Ok(latest.into_iter().map(pair).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Counts, PartitionResult, Sentinels, Spot};

    #[test]
    fn what_has_results_is_not_compared_again() {
        let partition = |n| TopicPartition::new("t", n);
        let mut results = BatchResults::none(BatchId(0), 1);
        results.partitions.push(PartitionResult {
            partition: partition(1),
            counts: Counts::default(),
            spot: Spot::default(),
            sentinels: Sentinels::default(),
        });
        let all = (0..3).map(|n| PartitionProgress::new(partition(n), 0, 0)).collect();
        let left: Vec<_> = left(all, &results).into_iter().map(|progress| progress.partition).collect();
        assert_eq!(left, [partition(0), partition(2)]);
    }
}
