//! Sentinels that are records: one last record on every partition of the source, for `cutover.sentinels: records`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka::batch::{Codec, ProduceBytes, Record, Stamp, encode};
use kafka::{Cluster, ConfigEntry, Each, TopicPartition};
use runtime::Run;
use serde_json::json;

/// Key and header name by which a sentinel is known.
const NAME: &str = "msk-kraft-sentinel";

/// How long a broker may take to replicate a sentinel.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Produces a sentinel to every partition and returns where they are. A repeat after a lost answer may leave two on a
/// partition.
pub(super) async fn append(
    run: &Run<'_>,
    source: &Cluster,
    partitions: &[TopicPartition],
) -> Each<TopicPartition, i64> {
    let now = run.journal.now().timestamp_millis();
    let without_headers = match without_headers(source, partitions).await {
        Ok(topics) => topics,
        Err(error) => return partitions.iter().map(|partition| (partition.clone(), Err(error.clone()))).collect(),
    };
    let sentinel = |partition: &TopicPartition| {
        Ok((partition.clone(), sentinel(run, partition, now, !without_headers.contains(&partition.topic))?))
    };
    let batches: Vec<_> = match partitions.iter().map(sentinel).collect::<kafka::Result<_>>() {
        Ok(batches) => batches,
        Err(error) => return partitions.iter().map(|partition| (partition.clone(), Err(error.clone()))).collect(),
    };
    let produced = source.produce_retrying(&batches, TIMEOUT).await;
    produced.into_iter().map(|(partition, outcome)| (partition, outcome.map(|found| found.base_offset))).collect()
}

/// Topics whose records cannot have headers, because the source stores them in a format before Kafka 0.11.
async fn without_headers(source: &Cluster, partitions: &[TopicPartition]) -> kafka::Result<BTreeSet<Arc<str>>> {
    let topics: BTreeSet<_> = partitions.iter().map(|partition| partition.topic.clone()).collect();
    let configs = kafka::all_ok(source.topic_configs(&topics.into_iter().collect::<Vec<_>>()).await)?;
    let is_old = |(topic, configs): (Arc<str>, Vec<ConfigEntry>)| configs.iter().any(is_old_format).then_some(topic);
    Ok(configs.into_iter().filter_map(is_old).collect())
}

/// Kafka 4 knows no such config any more (KIP-724).
pub(crate) fn is_old_format(config: &ConfigEntry) -> bool {
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
) -> kafka::Result<ProduceBytes> {
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
    batch.map(|batch| batch.to_produce()).map_err(|error| kafka::Error::Usage { message: format!("sentinel: {error}") })
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
