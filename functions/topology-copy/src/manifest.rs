//! Which partitions there are to copy, from where, and which invocation copies which.
//!
//! Dealt once: the first invocation to store the deal decides, in one object. The rest follows from it, so that a second
//! run, or another at the same time, writes the same whatever the source looks like by then. Were batches stored one by
//! one, those of two deals could mix, and a partition be in none of them.

use std::collections::HashMap;

use copy::batches;
use kafka::{Cluster, OffsetSpec, TopicPartition};
use migration::progress::PartitionProgress;
use migration::{BatchId, Error, Result};
use runtime::Run;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::handler::Topics;

/// What the state machine's Map reads: one item for each batch.
const MANIFEST: &str = "manifests/batches.json";

/// All batches with their partitions, which decides everything else.
const DEAL: &str = "manifests/deal.json";

/// One partition of a batch.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    partition: TopicPartition,
    /// Log start on the source.
    source_start: i64,
    /// Last stable offset on the source, which the seed has to reach.
    seed_end: i64,
    /// Bytes of the source's log.
    bytes: i64,
}

/// Deals the partitions of `topics` out, writes the manifest, and gives each partition its position in the journal.
/// Returns the number of batches.
///
/// # Errors
/// What the source, S3 and the journal give.
pub(crate) async fn write(run: &Run<'_>, source: &Cluster, topics: &Topics) -> Result<u32> {
    if run.store.get(DEAL).await?.is_none() {
        let dealt = deal(run, source, topics).await?;
        let body = serde_json::to_vec(&dealt).map_err(|error| Error::internal(format_args!("manifest: {error}")))?;
        // Whoever is first, what is stored counts.
        run.store.put_once(DEAL, body.into(), HashMap::new()).await?;
    }
    let dealt: Vec<Vec<Entry>> = run.store.get_json(DEAL).await?;
    let count = dealt.len() as u32;
    for (number, entries) in (0..).zip(dealt) {
        let batch = BatchId(number);
        run.store.put_json(&batch_name(batch), &entries).await?;
        let new = |entry: Entry| {
            PartitionProgress::new(entry.partition, entry.source_start, entry.seed_end).sized(entry.bytes)
        };
        let partitions: Vec<_> = entries.into_iter().map(new).collect();
        run.journal.init_partitions(batch, &partitions).await?;
    }
    let items: Vec<_> = (0..count).map(|batch| json!({"migration_id": run.id, "batch": batch})).collect();
    // Behind the batches, so that it never names one that is not there.
    run.store.put_json(MANIFEST, &items).await?;
    run.journal.set_fact("batches", &json!(count)).await?;
    Ok(count)
}

async fn deal(run: &Run<'_>, source: &Cluster, topics: &Topics) -> Result<Vec<Vec<Entry>>> {
    let partitions: Vec<_> = topics.values().flat_map(topology::Topic::partitions).collect();
    if partitions.is_empty() {
        return Err(Error::blocked("the source has no topics to migrate"));
    }
    let starts = kafka::all_ok(source.list_offsets(&partitions, OffsetSpec::Earliest).await)?;
    let ends = kafka::all_ok(source.list_offsets(&partitions, OffsetSpec::LastStable).await)?;
    let sizes = source.log_sizes().await?;
    let size = |partition: &TopicPartition| sizes.get(partition).copied().unwrap_or(0);
    let sized = partitions.into_iter().map(|partition| (partition.clone(), size(&partition)));
    let dealt = batches::deal(sized.collect(), run.config.seed.partitions_per_batch as usize);
    let entry = |partition: TopicPartition| Entry {
        source_start: starts[&partition],
        seed_end: ends[&partition],
        bytes: size(&partition),
        partition,
    };
    Ok(dealt.into_iter().map(|batch| batch.into_iter().map(entry).collect()).collect())
}

fn batch_name(batch: BatchId) -> String {
    format!("manifests/batch-{batch}.json")
}
