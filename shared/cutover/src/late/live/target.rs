//! The cluster that is migrated to, as late records are appended to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kafka::batch::{Entry, ProduceBytes};
use kafka::{
    Api, Cluster, Code, ConfigEntry, Each, Isolation, OffsetSpec, Place, Produced, ProducerIdentity, TopicPartition,
};
use migration::{Error, ErrorKind, Result};

use crate::late::ports::{Scanned, ScannedBatch, Target};
use crate::late::walk::walk;

/// How long a broker may take to replicate a batch.
const PRODUCE_TIMEOUT: Duration = Duration::from_secs(30);

/// The target of a run.
pub(crate) struct LiveTarget {
    pub(super) cluster: Cluster,
}

impl LiveTarget {
    async fn scan_one(
        &self,
        partition: &TopicPartition,
        from: i64,
        (start, end): (i64, i64),
        producer: i64,
    ) -> kafka::Result<Scanned> {
        if end < from {
            let message = format!("it ends at {end}, before {from}");
            return Err(broker(partition, Code::OffsetOutOfRange, message));
        }
        let mut batches = Vec::new();
        let take = |entry: &Entry| {
            if let Entry::Batch(batch) = entry {
                let header = batch.header();
                // Compaction leaves fewer records in a batch, and its first and last offset as they were.
                batches.extend((header.producer_id == producer && !header.is_control()).then_some(ScannedBatch {
                    sequence: header.base_sequence,
                    records: header.next_offset() - header.base_offset,
                    offset: header.base_offset,
                }));
            }
            Ok(true)
        };
        let begin = from.max(start);
        if begin >= end {
            return Ok(Scanned { start, reached: begin, batches });
        }
        let reached = walk(&self.cluster, partition, begin, Isolation::ReadUncommitted, take).await;
        let reached = reached.map_err(|error| of_scan(partition, &error))?;
        Ok(Scanned { start, reached, batches })
    }
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

    async fn scan(&self, from: &[(TopicPartition, i64)], producer: i64) -> Each<TopicPartition, Scanned> {
        let names: Vec<_> = from.iter().map(|(partition, _)| partition.clone()).collect();
        let starts = self.cluster.list_offsets(&names, OffsetSpec::Earliest).await;
        let starts: BTreeMap<_, _> = starts.into_iter().collect();
        let mut scanned = Each::with_capacity(from.len());
        for ((partition, from), (_, end)) in
            from.iter().zip(self.cluster.list_offsets(&names, OffsetSpec::Latest).await)
        {
            let bounds = starts[partition].clone().and_then(|start| Ok((start, end?)));
            let found = match bounds {
                Ok(bounds) => self.scan_one(partition, *from, bounds, producer).await,
                Err(error) => Err(error),
            };
            scanned.push((partition.clone(), found));
        }
        scanned
    }

    async fn produce(&self, batches: &[(TopicPartition, ProduceBytes)]) -> Each<TopicPartition, Produced> {
        self.cluster.produce(batches, PRODUCE_TIMEOUT).await
    }
}
