//! Sentinels: one last record on every partition of the source. When they are on the target, everything before them is.

use std::time::Duration;

use bytes::Bytes;
use kafka::batch::{Codec, Record, Stamp, encode};
use kafka::{Cluster, TopicPartition};
use migration::{Error, Result};
use runtime::Run;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Key and header name by which a sentinel is known.
const NAME: &str = "msk-kraft-sentinel";

/// Where the sentinels are listed in the run's store.
const STORED: &str = "cutover/sentinels.json";

/// How long a broker may take to replicate a sentinel.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where a sentinel is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sentinel {
    /// The partition.
    #[serde(flatten)]
    pub(crate) partition: TopicPartition,
    /// Its offset on the source.
    pub(crate) source_offset: i64,
}

/// Produces a sentinel to every partition and stores where they are. A repeat after a lost answer may leave two on a
/// partition; the later one counts.
///
/// # Errors
/// When a partition cannot be written, naming it.
pub(crate) async fn publish(run: &Run<'_>, source: &Cluster, partitions: &[TopicPartition]) -> Result<Vec<Sentinel>> {
    let now = run.journal.now().timestamp_millis();
    let batches: Result<Vec<_>> = partitions.iter().map(|partition| sentinel(run, partition, now)).collect();
    let produced = source.produce_retrying(&batches?, TIMEOUT).await;
    let mut sentinels = Vec::with_capacity(produced.len());
    for (partition, outcome) in produced {
        let outcome = outcome.map_err(|error| {
            let mut error = Error::from(error).at(&partition);
            error.message = format!("the sentinel could not be written to the source: {}", error.message);
            error
        })?;
        sentinels.push(Sentinel { partition, source_offset: outcome.base_offset });
    }
    run.store.put_json(STORED, &sentinels).await?;
    Ok(sentinels)
}

fn sentinel(run: &Run<'_>, partition: &TopicPartition, timestamp: i64) -> Result<(TopicPartition, Bytes)> {
    let value = json!({"migration_id": run.id, "topic": partition.topic, "partition": partition.partition});
    let record = Record {
        offset: 0,
        timestamp,
        key: Some(Bytes::from_static(NAME.as_bytes())),
        value: Some(Bytes::from(value.to_string())),
        headers: vec![(Bytes::from_static(NAME.as_bytes()), Some(Bytes::from(run.id.to_string())))],
    };
    let batch = encode(&[record], Codec::None, Stamp::NONE, 0);
    let batch = batch.map_err(|error| Error::internal(format_args!("sentinel: {error}")))?;
    Ok((partition.clone(), batch.into_produce_bytes()))
}
