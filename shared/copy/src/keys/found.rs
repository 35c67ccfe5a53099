//! What was found, and what is still to be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::TimeDelta;
use documents::deleted_keys::{ComparedKeys, DeletedKeys, key};
use futures::{StreamExt, TryStreamExt, stream};
use kafka::{Code, ConfigEntry};
use migration::progress::PartitionProgress;
use migration::{BatchId, Error, Result, TopicPartition};
use runtime::Store;

use crate::ports::Brokers;

/// Documents read at the same time.
const AT_ONCE: usize = 16;

/// Those of `topics` that are compacted on `source`, with how long it keeps a deletion at least (`delete.retention.ms`).
///
/// # Errors
/// When the source cannot be asked.
pub async fn compacted(source: &impl Brokers, topics: BTreeSet<Arc<str>>) -> Result<BTreeMap<Arc<str>, TimeDelta>> {
    let topics: Vec<_> = topics.into_iter().collect();
    let mut compacted = BTreeMap::new();
    for (topic, described) in source.topic_configs(&topics).await {
        match described {
            Ok(entries) => compacted.extend(deletion_kept(&entries).map(|kept| (topic, kept))),
            // What becomes of a deleted topic is decided elsewhere.
            Err(error) if error.code() == Some(Code::UnknownTopicOrPartition) => {}
            Err(error) => return Err(Error::from(error).at_topic(&topic)),
        }
    }
    Ok(compacted)
}

fn deletion_kept(configs: &[ConfigEntry]) -> Option<TimeDelta> {
    let value = |name: &str| configs.iter().find(|entry| entry.name == name)?.value.as_deref();
    value("cleanup.policy")?.split(',').find(|policy| policy.trim() == "compact")?;
    let kept = value("delete.retention.ms").and_then(|kept| kept.parse().ok()).unwrap_or(0);
    Some(TimeDelta::try_milliseconds(kept).unwrap_or(TimeDelta::MAX))
}

/// What the tail found in `batches`.
///
/// # Errors
/// Those of the bucket.
pub async fn found(store: &Store, batches: &[BatchId]) -> Result<BTreeMap<TopicPartition, ComparedKeys>> {
    let read = |batch: &BatchId| {
        let key = key(*batch);
        async move { documents::read_if_there::<DeletedKeys>(store, &key).await }
    };
    let found: Vec<_> = stream::iter(batches).map(read).buffered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().flat_map(DeletedKeys::by_partition).collect())
}

/// The compacted ones of `partitions` that were not compared yet. One that cannot be compared counts as compared.
///
/// # Errors
/// When the source or the bucket cannot be asked.
pub async fn not_compared(
    source: &impl Brokers,
    store: &Store,
    batches: &[BatchId],
    partitions: &[PartitionProgress],
) -> Result<Vec<TopicPartition>> {
    let compacted = compacted(source, partitions.iter().map(|one| one.partition.topic.clone()).collect()).await?;
    if compacted.is_empty() {
        return Ok(Vec::new());
    }
    let found = found(store, batches).await?;
    let names = partitions.iter().map(|one| &one.partition);
    let is_waiting = |name: &&TopicPartition| found.get(*name).is_none_or(ComparedKeys::is_unfinished);
    let waiting = names.filter(|name| compacted.contains_key(&name.topic)).filter(is_waiting);
    Ok(waiting.cloned().collect())
}
