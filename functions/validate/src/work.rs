//! Comparing the partitions of one batch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use documents::deleted_keys::{self, DeletedKeys};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kafka::{Cluster, OffsetSpec, all_ok};
use migration::progress::PartitionProgress;
use migration::{BatchId, MigrationId, Result, TopicPartition};
use runtime::{Budget, Host, Run};

use crate::partition::late::Repaired;
use crate::partition::{Bench, Sides};
use crate::policy::Policy;
use crate::presence::{self, Presence, Wanted};
use crate::recount;
use crate::reference::Reference;
use crate::results::{BatchResults, attempt};
use crate::second::Second;
use crate::switch::Switch;

/// Partitions compared at the same time: each holds at most two decoded batches.
const AT_ONCE: usize = 4;
/// How often the results so far are stored.
const SAVE_EVERY: Duration = Duration::from_secs(15);

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
        false => compare_all(&run, batch, left, &mut results, budget).await,
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
    batch: BatchId,
    left: Vec<PartitionProgress>,
    results: &mut BatchResults,
    budget: Budget,
) -> Result<bool> {
    let mut bench = prepare(run, batch, &left).await?;
    if run.config.validation.recount {
        let on_target: Vec<_> = left.iter().filter(|one| bench.is_on_target(&one.partition)).cloned().collect();
        match recount::count_rest(&bench.target, bench.store, batch, &on_target, budget).await? {
            Some(counted) => bench.counted = counted,
            None => return Ok(false),
        }
    }
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
async fn prepare<'a>(run: &'a Run<'_>, batch: BatchId, left: &[PartitionProgress]) -> Result<Bench<'a>> {
    let (source, target) = (run.source().await?, run.target().await?);
    let reference = Reference::of(run).await?;
    let topics: BTreeSet<Arc<str>> = left.iter().map(|progress| progress.partition.topic.clone()).collect();
    let sides = look(&source, &target, &reference, &topics).await?;
    let on = |is_there: fn(&Sides) -> bool| -> Vec<Arc<str>> {
        sides.iter().filter(|(_, sides)| is_there(sides)).map(|(topic, _)| topic.clone()).collect()
    };
    let on_source = on(|sides| sides.source == Presence::There);
    let on_target = on(|sides| sides.target == Presence::There);
    let names = left.iter().map(|progress| progress.partition.clone());
    let source_ends = ends(&source, names.filter(|name| on_source.contains(&name.topic)).collect()).await?;
    let mut target_policies = policies(&target, &on_target).await?;
    for (topic, policy) in &mut target_policies {
        *policy = std::mem::take(policy).after(reference.configs.get(topic));
    }
    let keys: Option<DeletedKeys> = documents::read_if_there(&run.store, &deleted_keys::key(batch)).await?;
    Ok(Bench {
        id: &run.id,
        config: &run.config,
        store: &run.store,
        source_policies: policies(&source, &on_source).await?,
        second: Second::connect(target.settings()).await?,
        switch: Switch::of(&run.journal.events().await?),
        repaired: Repaired::load(&run.store).await?,
        source,
        target,
        reference,
        sides,
        source_ends,
        target_policies,
        keys: keys.unwrap_or_default().by_partition(),
        counted: BTreeMap::new(),
    })
}

/// What has become of `topics` on both sides.
///
/// # Errors
/// Transient when a cluster could not be asked.
pub(crate) async fn look(
    source: &Cluster,
    target: &Cluster,
    reference: &Reference,
    topics: &BTreeSet<Arc<str>>,
) -> Result<BTreeMap<Arc<str>, Sides>> {
    let counts = reference.partitions();
    let wanted = |ids: Option<&BTreeMap<Arc<str>, String>>| -> BTreeMap<Arc<str>, Wanted> {
        let wanted = |topic: &Arc<str>| Wanted {
            partitions: counts.get(topic).copied().unwrap_or_default(),
            id: ids.and_then(|ids| ids.get(topic).cloned()),
        };
        topics.iter().map(|topic| (topic.clone(), wanted(topic))).collect()
    };
    let (of_source, of_target) = (wanted(Some(&reference.source_ids)), wanted(None));
    let (on_source, on_target) =
        tokio::try_join!(presence::look(source, &of_source), presence::look(target, &of_target))?;
    let sides = |(topic, source): (Arc<str>, Presence)| {
        let target = on_target.get(&topic).copied().unwrap_or(Presence::Deleted);
        (topic, Sides { source, target })
    };
    Ok(on_source.into_iter().map(sides).collect())
}

/// What each of `topics` may remove.
async fn policies(cluster: &Cluster, topics: &[Arc<str>]) -> Result<BTreeMap<Arc<str>, Policy>> {
    let configs = all_ok(cluster.topic_configs(topics).await)?;
    Ok(configs.into_iter().map(|(topic, entries)| (topic, Policy::of(&entries))).collect())
}

/// High watermark and last stable offset of each partition.
async fn ends(cluster: &Cluster, partitions: Vec<TopicPartition>) -> Result<BTreeMap<TopicPartition, (i64, i64)>> {
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
