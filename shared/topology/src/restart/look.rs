//! What the target has of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use copy::ports::Target as _;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use kafka::batch::{self, Header, Stamp};
use kafka::{AclOperation, Cluster, OffsetSpec, TopicPartition};
use migration::config::AuthMode;
use migration::{Error, Result};
use tokio::time::Instant;

use super::decide::{Found, FoundPartition, LastBatch};
use crate::configs::is_copying;
use crate::inventory::{Topic, existing};

/// Last batches that are read at the same time.
const AT_ONCE: usize = 16;

/// How long a leader may show nothing of what it has, as one does that was just elected, and the pause between two looks.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

/// Those of `wanted` that `target` has.
///
/// # Errors
/// When the target cannot be asked.
pub(super) async fn look(target: &Cluster, wanted: &BTreeSet<&Arc<str>>) -> Result<Vec<Found>> {
    let there = existing(target, |topic| wanted.contains(topic)).await?;
    let partitions: Vec<_> = there.values().flat_map(Topic::partitions).collect();
    let starts = kafka::all_ok(target.list_offsets(&partitions, OffsetSpec::Earliest).await)?;
    let ends = kafka::all_ok(target.list_offsets(&partitions, OffsetSpec::Latest).await)?;
    let found = |partition: TopicPartition| {
        let (start, end) = (starts[&partition], ends[&partition]);
        async move {
            let last = if end > start { last_batch(target, &partition, end).await? } else { None };
            Ok::<_, Error>((partition.clone(), FoundPartition { number: partition.partition, start, end, last }))
        }
    };
    let looks = stream::iter(partitions).map(found).buffer_unordered(AT_ONCE);
    let mut by_topic: BTreeMap<Arc<str>, Vec<FoundPartition>> = BTreeMap::new();
    for (partition, found) in looks.try_collect::<Vec<_>>().await? {
        by_topic.entry(partition.topic).or_default().push(found);
    }
    let found = |(name, topic): (Arc<str>, Topic)| {
        let mut partitions = by_topic.remove(&name).unwrap_or_default();
        partitions.sort_unstable_by_key(|partition| partition.number);
        Found { id: topic.info.id, copying: is_copying(&topic.configs), partitions, name }
    };
    Ok(there.into_iter().map(found).collect())
}

/// The batch of `partition` that ends at `end`; none when it is none of today's format.
async fn last_batch(target: &Cluster, partition: &TopicPartition, end: i64) -> Result<Option<LastBatch>> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let fetched = target.with_retries(|| target.batch_at(partition, end - 1)).await;
        let fetched = fetched.map_err(|error| Error::from(error).at(partition))?;
        if !fetched.records.is_empty() || Instant::now() >= give_up {
            let first = batch::split(fetched.records).next().and_then(std::result::Result::ok);
            return Ok(first.map(|first| of(first.header())));
        }
        target.invalidate();
        tokio::time::sleep(PAUSE).await;
    }
}

const fn of(header: &Header) -> LastBatch {
    let Header { producer_id, producer_epoch, base_sequence, base_offset, .. } = *header;
    LastBatch { offset: base_offset, stamp: Stamp { producer_id, producer_epoch, base_sequence } }
}

/// Refuses when the migration's principal must not delete `topics`, before any of them is deleted. Clients that sign in with IAM
/// have no ACLs, and what IAM permits shows only when it is done.
///
/// # Errors
/// Blocked, naming a topic and the ACL to add.
pub(super) async fn refuse_denied(target: &Cluster, mode: AuthMode, topics: &[Arc<str>]) -> Result<()> {
    if mode == AuthMode::Iam || topics.is_empty() {
        return Ok(());
    }
    let operations = target.topic_operations(topics).await?;
    let denied: Vec<_> = operations.iter().filter(|(_, may)| !may.contain(AclOperation::Delete)).collect();
    let Some((first, _)) = denied.first() else { return Ok(()) };
    Err(Error::blocked(format_args!(
        "the migration's principal must not delete {} of the topics that it created on the target. Nothing was removed. Allow \
         it the operation Delete on them there, then repeat the command",
        denied.len()
    ))
    .at_topic(first))
}
