//! The cluster that is migrated to, as late records are appended to it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use kafka::batch::{Entry, ProduceBytes};
use kafka::{
    Api, Cluster, Code, ConfigEntry, Each, FetchOptions, FetchPosition, Isolation, OffsetSpec, Place, Produced,
    ProducerIdentity, TopicPartition,
};
use migration::{Error, ErrorKind, Result};

use crate::late::live::sight::Sight;
use crate::late::ports::{Scanned, Target};
use crate::late::walk::walk;

/// How long a broker may take to replicate a batch.
const PRODUCE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes that one scan looks through before it says how far it is.
const SCAN_BYTES: usize = 64 << 20;

/// Connections to a broker that batches are produced over.
const LANES: u64 = 8;

/// The target of a run.
pub(crate) struct LiveTarget {
    pub(super) cluster: Cluster,
}

impl LiveTarget {
    /// Where the log of `partition` begins and ends. What has no leader is said at once: the fetch is tried once.
    async fn bounds(&self, partition: &TopicPartition, from: i64) -> kafka::Result<(i64, i64)> {
        let one = std::slice::from_ref(partition);
        let options = FetchOptions {
            max_wait: Duration::ZERO,
            min_bytes: 0,
            max_bytes: 1,
            isolation: Isolation::ReadUncommitted,
        };
        let position = FetchPosition { partition: partition.clone(), offset: from, max_bytes: 1 };
        let start = match only(partition, self.cluster.fetch(&[position], &options).await) {
            Ok(fetched) => fetched.log_start,
            Err(error) if error.code() == Some(Code::OffsetOutOfRange) => {
                only(partition, self.cluster.list_offsets(one, OffsetSpec::Earliest).await)?
            }
            Err(error) => return Err(error),
        };
        // Unlike a fetch, a new leader does not answer this before its high watermark is that of the old one (KIP-207).
        Ok((start, only(partition, self.cluster.list_offsets(one, OffsetSpec::Latest).await)?))
    }
}

fn only<T>(partition: &TopicPartition, each: Each<TopicPartition, T>) -> kafka::Result<T> {
    let none = || Err(kafka::Error::NoLeader { partition: partition.clone() });
    each.into_iter().next().map_or_else(none, |(_, outcome)| outcome)
}

fn lane_of(partition: &TopicPartition) -> u8 {
    let mut hasher = DefaultHasher::new();
    partition.hash(&mut hasher);
    (hasher.finish() % LANES) as u8
}

fn broker(partition: &TopicPartition, code: Code, message: String) -> kafka::Error {
    kafka::Error::Broker { api: Api::Fetch, code, place: Place::Partition(partition.clone()), message: Some(message) }
}

/// What keeps a scan from going on is a fault of the partition: it is scanned again.
fn of_scan(partition: &TopicPartition, error: &Error) -> kafka::Error {
    let code = match error.kind {
        ErrorKind::Transient => Code::UnknownServerError,
        _ => Code::CorruptMessage,
    };
    broker(partition, code, error.message.clone())
}

impl Target for LiveTarget {
    async fn ends(&self, partitions: &[TopicPartition]) -> Each<TopicPartition, i64> {
        self.cluster.list_offsets(partitions, OffsetSpec::Latest).await
    }

    async fn configs(&self, topics: &[Arc<str>]) -> Each<Arc<str>, Vec<ConfigEntry>> {
        self.cluster.topic_configs(topics).await
    }

    async fn new_producer(&self) -> Result<ProducerIdentity> {
        Ok(self.cluster.init_producer_id().await?)
    }

    async fn scan(&self, partition: &TopicPartition, from: i64, producer: i64) -> kafka::Result<Scanned> {
        let (start, end) = self.bounds(partition, from).await?;
        if end < from {
            let message = format!("it ends at {end}, before {from}");
            return Err(broker(partition, Code::OffsetOutOfRange, message));
        }
        let begin = from.max(start).min(end);
        let mut sight = Sight::new(from, begin, producer);
        if begin == end {
            return Ok(sight.scanned(start, end, begin));
        }
        let take = |entry: &Entry| Ok(sight.take(entry) < SCAN_BYTES);
        let reached = walk(&self.cluster, partition, begin, Isolation::ReadUncommitted, take).await;
        let reached = reached.map_err(|error| of_scan(partition, &error))?;
        Ok(sight.scanned(start, end, reached))
    }

    async fn produce(&self, partition: &TopicPartition, batch: ProduceBytes) -> kafka::Result<Produced> {
        // A broker answers the requests of a connection one after the other, and this one when all replicas have the batch.
        let cluster = self.cluster.lane(lane_of(partition));
        only(partition, cluster.produce(&[(partition.clone(), batch)], PRODUCE_TIMEOUT).await)
    }
}
