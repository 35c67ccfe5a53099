//! A cluster that refuses every client, or has lost its leaders, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kafka::batch::ProduceBytes;
use kafka::{ConfigEntry, Each, Error, FetchOptions, FetchPosition, Fetched, OffsetSpec, Produced, TopicPartition};

use crate::ports::{Brokers, Source, Target};

/// The cluster.
#[derive(Debug, Default)]
pub(crate) struct Refusing {
    /// No partition has a leader, and that is said after so long.
    pub(crate) leaderless: Option<Duration>,
}

fn refused() -> Error {
    Error::Authentication { broker: "b:9096".into(), mechanism: "SCRAM-SHA-512", message: "no such user".to_owned() }
}

fn each<K: Clone, T>(keys: impl IntoIterator<Item = K>) -> Each<K, T> {
    keys.into_iter().map(|key| (key, Err(refused()))).collect()
}

impl Brokers for Refusing {
    async fn list_offsets(&self, partitions: &[TopicPartition], _: OffsetSpec) -> Each<TopicPartition, i64> {
        let Some(after) = self.leaderless else { return each(partitions.to_vec()) };
        tokio::time::sleep(after).await;
        let missing =
            |partition: &TopicPartition| (partition.clone(), Err(Error::NoLeader { partition: partition.clone() }));
        partitions.iter().map(missing).collect()
    }

    async fn topic_configs(&self, topics: &[Arc<str>]) -> Each<Arc<str>, Vec<ConfigEntry>> {
        each(topics.to_vec())
    }

    async fn size(&self) -> usize {
        1
    }

    async fn leaders(&self, _: &[TopicPartition]) -> BTreeMap<TopicPartition, i32> {
        BTreeMap::new()
    }

    fn invalidate(&self) {}
}

impl Source for Refusing {
    async fn fetch(&self, positions: &[FetchPosition], _: &FetchOptions) -> Each<TopicPartition, Fetched> {
        each(positions.iter().map(|position| position.partition.clone()))
    }
}

impl Target for Refusing {
    async fn produce(&self, batches: &[(TopicPartition, ProduceBytes)], _: Duration) -> Each<TopicPartition, Produced> {
        each(batches.iter().map(|(partition, _)| partition.clone()))
    }

    async fn fetch(&self, positions: &[FetchPosition], _: &FetchOptions) -> Each<TopicPartition, Fetched> {
        each(positions.iter().map(|position| position.partition.clone()))
    }

    async fn batch_at(&self, _: &TopicPartition, _: i64) -> kafka::Result<Fetched> {
        Err(refused())
    }
}
