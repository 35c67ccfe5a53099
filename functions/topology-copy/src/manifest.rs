//! Which partitions there are to copy, from where, and which invocation copies which.
//!
//! Written once: a second run finds the batches as they were dealt and changes nothing, whatever the source looks like
//! by then.

use std::collections::HashMap;

use copy::batches;
use kafka::{Cluster, OffsetSpec, TopicPartition};
use migration::progress::PartitionProgress;
use migration::{BatchId, Error, Result};
use runtime::Run;
use runtime::store::PutOnce;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::handler::Topics;

const MANIFEST: &str = "manifests/batches.json";

/// One partition of a batch.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    partition: TopicPartition,
    /// Log start on the source.
    source_start: i64,
    /// Last stable offset on the source, which the seed has to reach.
    seed_end: i64,
}

/// Deals the partitions of `topics` out, writes the manifest, and gives each partition its position in the journal.
/// Returns the number of batches.
///
/// # Errors
/// What the source, S3 and the journal give.
pub(crate) async fn write(run: &Run<'_>, source: &Cluster, topics: &Topics) -> Result<u32> {
    if run.store.get(MANIFEST).await?.is_none() {
        deal(run, source, topics).await?;
    }
    let items: Vec<serde_json::Value> = run.store.get_json(MANIFEST).await?;
    for number in 0..items.len() as u32 {
        let batch = BatchId(number);
        let entries: Vec<Entry> = run.store.get_json(&batch_name(batch)).await?;
        let new = |entry: Entry| PartitionProgress::new(entry.partition, entry.source_start, entry.seed_end);
        let partitions: Vec<_> = entries.into_iter().map(new).collect();
        run.journal.init_partitions(batch, &partitions).await?;
    }
    run.journal.set_fact("batches", &json!(items.len())).await?;
    Ok(items.len() as u32)
}

async fn deal(run: &Run<'_>, source: &Cluster, topics: &Topics) -> Result<()> {
    let partitions: Vec<_> = topics.values().flat_map(topology::Topic::partitions).collect();
    if partitions.is_empty() {
        return Err(Error::blocked("the source has no topics to migrate"));
    }
    let starts = kafka::all_ok(source.list_offsets(&partitions, OffsetSpec::Earliest).await)?;
    let ends = kafka::all_ok(source.list_offsets(&partitions, OffsetSpec::LastStable).await)?;
    let sizes = source.log_sizes().await?;
    let sized = partitions.into_iter().map(|partition| {
        let size = sizes.get(&partition).copied().unwrap_or(0);
        (partition, size)
    });
    let dealt = batches::deal(sized.collect(), run.config.seed.partitions_per_batch as usize);
    for (number, batch) in (0..).zip(&dealt) {
        let entry = |partition: &TopicPartition| Entry {
            source_start: starts[partition],
            seed_end: ends[partition],
            partition: partition.clone(),
        };
        let entries: Vec<_> = batch.iter().map(entry).collect();
        run.store.put_json(&batch_name(BatchId(number)), &entries).await?;
    }
    let items: Vec<_> = (0..dealt.len()).map(|batch| json!({"migration_id": run.id, "batch": batch})).collect();
    // Last, so that a manifest never names a batch that is not there.
    let body = serde_json::to_vec(&items).map_err(|error| Error::internal(format_args!("manifest: {error}")))?;
    match run.store.put_once(MANIFEST, body.into(), HashMap::new()).await? {
        PutOnce::Stored => Ok(()),
        PutOnce::Taken => Err(Error::transient("another invocation has just written the manifest")),
    }
}

fn batch_name(batch: BatchId) -> String {
    format!("manifests/batch-{batch}.json")
}
