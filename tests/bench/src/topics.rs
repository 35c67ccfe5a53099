//! Topics of both clusters: made, filled, counted, removed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::{StreamExt, TryStreamExt};
use kafka::batch::ProduceBytes;
use kafka::{Cluster, Code, NewTopic, OffsetSpec, TopicPartition};

use crate::data::DataSet;

/// Bytes of one request of the loader.
const REQUEST_BYTES: usize = 4 << 20;

/// Requests of the loader in flight, each on a connection of its own.
const LANES: u8 = 4;

/// Configs of the topics: batches of 1 MB fit, and records with old timestamps stay.
const CONFIGS: [(&str, &str); 2] = [("max.message.bytes", "2097152"), ("retention.ms", "-1")];

const PRODUCE_TIMEOUT: Duration = Duration::from_secs(30);
const WIPE_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// What was written to a topic.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Loaded {
    /// Records.
    pub(crate) records: i64,
    /// Bytes of their batches as they are stored.
    pub(crate) bytes: u64,
}

/// End offsets by partition.
pub(crate) type Ends = BTreeMap<TopicPartition, i64>;

/// The partitions of the topic of `set`.
pub(crate) fn partitions(set: &DataSet) -> Vec<TopicPartition> {
    let topic: Arc<str> = set.name.as_str().into();
    (0..set.partitions).map(|partition| TopicPartition::new(topic.clone(), partition)).collect()
}

/// Creates the topic of `set`, once an earlier one of that name is gone: ZooKeeper knows it longer than the brokers do.
///
/// # Errors
/// When the cluster refuses it for a minute.
pub(crate) async fn create(cluster: &Cluster, set: &DataSet) -> anyhow::Result<()> {
    let topic = NewTopic {
        name: set.name.as_str().into(),
        partitions: set.partitions,
        replication_factor: 1,
        configs: CONFIGS.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    };
    let until = Instant::now() + WIPE_LIMIT;
    while let Err(error) = kafka::all_ok(cluster.create_topics(std::slice::from_ref(&topic)).await) {
        match error.code() {
            // The controller is slow with thousands of partitions, and goes on.
            Some(Code::RequestTimedOut) => break,
            Some(Code::TopicAlreadyExists) if Instant::now() < until => tokio::time::sleep(POLL).await,
            _ => return Err(error.into()),
        }
    }
    while !exists(cluster, set).await? {
        anyhow::ensure!(Instant::now() < until, "{} has no leaders", set.name);
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Appends about `bytes` to the topic of `set`, evenly over its partitions.
///
/// # Errors
/// When a batch is refused.
pub(crate) async fn load(cluster: &Cluster, set: &DataSet, bytes: u64) -> anyhow::Result<Loaded> {
    let templates: Vec<(ProduceBytes, i64)> = set
        .templates()?
        .into_iter()
        .map(|batch| (batch.to_produce(), i64::from(batch.header().records_count)))
        .collect();
    let requests = requests(&partitions(set), &templates, bytes);
    let lanes: Vec<Cluster> = (0..LANES).map(|lane| cluster.lane(lane)).collect();
    let sent = requests.into_iter().enumerate().map(|(number, (loaded, batches))| {
        let cluster = &lanes[number % lanes.len()];
        async move {
            kafka::all_ok(cluster.produce_retrying(&batches, PRODUCE_TIMEOUT).await)?;
            anyhow::Ok(loaded)
        }
    });
    let all = futures::stream::iter(sent).buffer_unordered(lanes.len());
    let sum =
        |a: Loaded, b: Loaded| async move { Ok(Loaded { records: a.records + b.records, bytes: a.bytes + b.bytes }) };
    all.try_fold(Loaded::default(), sum).await.with_context(|| format!("loading {}", set.name))
}

type Request = (Loaded, Vec<(TopicPartition, ProduceBytes)>);

/// Deals batches out to the partitions by turns; a request holds at most one batch of a partition, as brokers want it.
fn requests(partitions: &[TopicPartition], templates: &[(ProduceBytes, i64)], bytes: u64) -> Vec<Request> {
    let mut requests = Vec::new();
    let (mut all, mut number) = (0, 0);
    while all < bytes {
        let mut loaded = Loaded::default();
        let mut batches = Vec::new();
        while all < bytes && batches.len() < partitions.len() && loaded.bytes < REQUEST_BYTES as u64 {
            let (batch, records) = &templates[number % templates.len()];
            batches.push((partitions[number % partitions.len()].clone(), batch.clone()));
            loaded.records += records;
            loaded.bytes += batch.size() as u64;
            all += batch.size() as u64;
            number += 1;
        }
        requests.push((loaded, batches));
    }
    requests
}

/// Where the partitions of `set` end.
///
/// # Errors
/// When one cannot be asked.
pub(crate) async fn ends(cluster: &Cluster, set: &DataSet) -> anyhow::Result<Ends> {
    Ok(kafka::all_ok(cluster.list_offsets(&partitions(set), OffsetSpec::Latest).await)?)
}

/// Whether the topic of `set` is there with all of its partitions led.
///
/// # Errors
/// When the cluster cannot be asked.
pub(crate) async fn exists(cluster: &Cluster, set: &DataSet) -> anyhow::Result<bool> {
    let topics = cluster.topics().await?;
    let topic = topics.iter().find(|topic| *topic.name == *set.name);
    let led = |topic: &kafka::TopicInfo| topic.partitions.iter().filter(|info| info.leader.is_some()).count();
    Ok(topic.is_some_and(|topic| led(topic) == set.partitions as usize))
}

/// Deletes every topic but Kafka's own, and waits until none is left.
///
/// # Errors
/// When topics cannot be deleted within a minute.
pub(crate) async fn wipe(cluster: &Cluster) -> anyhow::Result<()> {
    let until = Instant::now() + WIPE_LIMIT;
    loop {
        let topics = cluster.topics().await?;
        let names: Vec<Arc<str>> = topics.into_iter().filter(|topic| !topic.internal).map(|topic| topic.name).collect();
        if names.is_empty() {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < until, "topics are not deleted: {names:?}");
        // One that is just being deleted may be gone by now; the next look tells.
        drop(cluster.delete_topics(&names).await);
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_request_has_two_batches_of_a_partition() {
        let partitions: Vec<_> = (0..3).map(|n| TopicPartition::new("t", n)).collect();
        let batch = |size| ProduceBytes::from(bytes::Bytes::from(vec![0; size]));
        let templates = [(batch(10), 2), (batch(30), 5)];
        let requests = requests(&partitions, &templates, 1000);
        for (loaded, batches) in &requests {
            let distinct: std::collections::BTreeSet<_> = batches.iter().map(|(partition, _)| partition).collect();
            assert_eq!(distinct.len(), batches.len());
            assert_eq!(loaded.bytes, batches.iter().map(|(_, batch)| batch.size() as u64).sum::<u64>());
        }
        let bytes: u64 = requests.iter().map(|(loaded, _)| loaded.bytes).sum();
        assert!((1000..1030).contains(&bytes));
    }
}
