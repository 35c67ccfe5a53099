//! Sentinels: one last record on every partition of the source. When they are on the target, everything before them is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka::batch::{Codec, ProduceBytes, Record, Stamp, encode};
use kafka::{Cluster, ConfigEntry, TopicPartition};
use migration::{Error, Result};
use runtime::Run;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Key and header name by which a sentinel is known.
const NAME: &str = "msk-kraft-sentinel";

/// Where the sentinels are listed in the run's store.
pub(crate) const STORED: &str = "cutover/sentinels.json";

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

/// Produces a sentinel to every partition and returns where they are. A repeat after a lost answer may leave two on a
/// partition; the later one counts.
///
/// # Errors
/// When a partition cannot be written, naming it.
pub(crate) async fn publish(run: &Run<'_>, source: &Cluster, partitions: &[TopicPartition]) -> Result<Vec<Sentinel>> {
    let now = run.journal.now().timestamp_millis();
    let without_headers = without_headers(source, partitions).await?;
    let batches: Result<Vec<_>> = partitions
        .iter()
        .map(|partition| sentinel(run, partition, now, !without_headers.contains(&partition.topic)))
        .collect();
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
    Ok(sentinels)
}

/// Topics whose records cannot have headers, because the source stores them in a format before Kafka 0.11.
async fn without_headers(source: &Cluster, partitions: &[TopicPartition]) -> Result<BTreeSet<Arc<str>>> {
    let topics: BTreeSet<_> = partitions.iter().map(|partition| partition.topic.clone()).collect();
    let configs = kafka::all_ok(source.topic_configs(&topics.into_iter().collect::<Vec<_>>()).await)?;
    let is_old = |(topic, configs): (Arc<str>, Vec<ConfigEntry>)| configs.iter().any(is_old_format).then_some(topic);
    Ok(configs.into_iter().filter_map(is_old).collect())
}

/// Kafka 4 knows no such config any more (KIP-724).
fn is_old_format(config: &ConfigEntry) -> bool {
    let version = config.value.as_deref().filter(|_| config.name == "message.format.version");
    version.is_some_and(|version| ["0.8", "0.9", "0.10"].iter().any(|old| is_of(version, old)))
}

/// Whether `version`, such as `0.10.2-IV0`, is of the release `release`.
fn is_of(version: &str, release: &str) -> bool {
    version.strip_prefix(release).is_some_and(|rest| !rest.starts_with(|first: char| first.is_ascii_digit()))
}

fn sentinel(
    run: &Run<'_>,
    partition: &TopicPartition,
    timestamp: i64,
    with_header: bool,
) -> Result<(TopicPartition, ProduceBytes)> {
    let value = json!({"migration_id": run.id, "topic": partition.topic, "partition": partition.partition});
    let header = (Bytes::from_static(NAME.as_bytes()), Some(Bytes::from(run.id.to_string())));
    let record = Record {
        offset: 0,
        timestamp,
        key: Some(Bytes::from_static(NAME.as_bytes())),
        value: Some(Bytes::from(value.to_string())),
        headers: if with_header { vec![header] } else { Vec::new() },
    };
    let batch = encode(&[record], Codec::None, Stamp::NONE, 0);
    let batch = batch.map_err(|error| Error::internal(format_args!("sentinel: {error}")))?;
    Ok((partition.clone(), batch.to_produce()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_before_headers_are_told_by_their_version() {
        let is_old = |name: &str, value: &str| {
            is_old_format(&ConfigEntry {
                name: name.to_owned(),
                value: Some(value.to_owned()),
                source: kafka::ConfigSource::DynamicTopic,
                sensitive: false,
                read_only: false,
            })
        };
        for version in ["0.8.2", "0.9.0", "0.10.0", "0.10.2-IV0", "0.10"] {
            assert!(is_old("message.format.version", version), "{version}");
        }
        for version in ["0.11.0", "0.11.0-IV2", "1.0", "2.8-IV1", "3.0-IV1"] {
            assert!(!is_old("message.format.version", version), "{version}");
        }
        assert!(!is_old("inter.broker.protocol.version", "0.10.0"));
    }
}
