//! Reading raw record batches from leaders, without a fetch session.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{BrokerId, FetchRequest};
use migration::TopicPartition;

use crate::batch::AbortedTransaction;
use crate::cluster::Cluster;
use crate::error::{Each, Place, Result, check};
use crate::pool::Purpose;
use crate::spread::{Outcomes, Partitioned, topic_name};
use crate::{Api, Code};

/// Session epoch of a request that neither uses nor opens a fetch session (KIP-227).
const NO_SESSION: i32 = -1;

/// Which records of transactions are returned (KIP-98).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Everything up to the high watermark.
    ReadUncommitted,
    /// Everything up to the last stable offset, with a list of the aborted transactions in it.
    ReadCommitted,
}

impl Isolation {
    pub(crate) fn wire(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

/// From where to read a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchPosition {
    /// The partition.
    pub partition: TopicPartition,
    /// First offset wanted. The first batch returned may begin before it.
    pub offset: i64,
    /// Most bytes of this partition. One whole batch is returned even if it is larger.
    pub max_bytes: i32,
}

impl Partitioned for FetchPosition {
    fn partition(&self) -> &TopicPartition {
        &self.partition
    }
}

/// How much to read, and how long to wait for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchOptions {
    /// How long a broker waits for `min_bytes`.
    pub max_wait: Duration,
    /// Bytes for which a broker waits.
    pub min_bytes: i32,
    /// Most bytes of one broker's answer.
    pub max_bytes: i32,
    /// Which records are returned.
    pub isolation: Isolation,
}

/// What a leader returned of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// One past the last record that is on all in-sync replicas.
    pub high_watermark: i64,
    /// One past the last record that belongs to no open transaction.
    pub last_stable_offset: i64,
    /// First record that is still there.
    pub log_start: i64,
    /// Aborted transactions, only with [`Isolation::ReadCommitted`].
    pub aborted: Vec<AbortedTransaction>,
    /// Record batches as they are stored, the last one possibly cut off. A slice of the broker's whole answer, which
    /// stays in memory as long as any slice of it does.
    pub records: Bytes,
}

impl Cluster {
    /// Reads partitions at the given positions with one request per leader, all at once; returns when all leaders have
    /// answered. Tried once. The brokers fill their answers in the order of `positions`, so callers rotate them.
    ///
    /// # Errors
    /// A position that the log does not have (any more) has the code
    /// [`OffsetOutOfRange`](crate::Code::OffsetOutOfRange). A broker whose quota this client has used up sends no partition
    /// at all; each then has the code [`ThrottlingQuotaExceeded`](crate::Code::ThrottlingQuotaExceeded), which passes.
    pub async fn fetch(&self, positions: &[FetchPosition], options: &FetchOptions) -> Each<TopicPartition, Fetched> {
        if let Err(error) = crate::spread::distinct(positions) {
            return positions.iter().map(|position| (position.partition.clone(), Err(error.clone()))).collect();
        }
        self.per_leader(positions, |leader, positions| self.fetch_at(leader, positions, options)).await
    }

    /// Like [`Cluster::fetch`], and asks again for partitions with a retryable error, up to the retry deadline.
    pub async fn fetch_retrying(
        &self,
        positions: &[FetchPosition],
        options: &FetchOptions,
    ) -> Each<TopicPartition, Fetched> {
        let attempt = |open: Vec<FetchPosition>| async move { self.fetch(&open, options).await };
        self.settle(positions.to_vec(), |position| position.partition.clone(), attempt).await
    }

    async fn fetch_at(
        &self,
        leader: i32,
        positions: Vec<FetchPosition>,
        options: &FetchOptions,
    ) -> Result<Outcomes<TopicPartition, Fetched>> {
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(i32::try_from(options.max_wait.as_millis()).unwrap_or(i32::MAX))
            .with_min_bytes(options.min_bytes)
            .with_max_bytes(options.max_bytes)
            .with_isolation_level(options.isolation.wire())
            .with_session_id(0)
            .with_session_epoch(NO_SESSION)
            .with_topics(topics(positions));
        let answer = self.call(leader, Purpose::Fetch, &request, options.max_wait).await?;
        check(Api::Fetch, answer.error_code, || Place::Broker(leader), None)?;
        // `FetchContext.getThrottledResponse`: without an error, and without what was asked for. The broker reads nothing
        // more from the connection until the time is over.
        if answer.throttle_time_ms > 0 && answer.responses.is_empty() {
            let message = format!("no data for {} ms", answer.throttle_time_ms);
            let code = Code::ThrottlingQuotaExceeded.code();
            check(Api::Fetch, code, || Place::Broker(leader), Some(&message))?;
        }
        let mut outcomes = Outcomes::new();
        for topic in answer.responses {
            let name: Arc<str> = topic.topic.as_str().into();
            for data in topic.partitions {
                let partition = TopicPartition::new(name.clone(), data.partition_index);
                let place = || Place::Partition(partition.clone());
                let outcome = check(Api::Fetch, data.error_code, place, None).map(|()| fetched(data));
                outcomes.insert(partition, outcome);
            }
        }
        Ok(outcomes)
    }
}

/// The positions by topic, topics and partitions in the order in which they first come.
fn topics(positions: Vec<FetchPosition>) -> Vec<FetchTopic> {
    let mut topics: Vec<FetchTopic> = Vec::new();
    let mut known: HashMap<Arc<str>, usize> = HashMap::new();
    for FetchPosition { partition, offset, max_bytes } in positions {
        let at = *known.entry(partition.topic.clone()).or_insert_with(|| {
            topics.push(FetchTopic::default().with_topic(topic_name(&partition.topic)));
            topics.len() - 1
        });
        let wanted = FetchPartition::default()
            .with_partition(partition.partition)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(max_bytes);
        topics[at].partitions.push(wanted);
    }
    topics
}

fn fetched(data: PartitionData) -> Fetched {
    let aborted = data.aborted_transactions.unwrap_or_default();
    let transaction = |aborted: kafka_protocol::messages::fetch_response::AbortedTransaction| AbortedTransaction {
        producer_id: aborted.producer_id.0,
        first_offset: aborted.first_offset,
    };
    Fetched {
        high_watermark: data.high_watermark,
        last_stable_offset: data.last_stable_offset,
        log_start: data.log_start_offset,
        aborted: aborted.into_iter().map(transaction).collect(),
        records: data.records.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_positions_is_kept() {
        let position = |topic: &str, partition| FetchPosition {
            partition: TopicPartition::new(topic, partition),
            offset: 0,
            max_bytes: 1,
        };
        let asked = topics(vec![position("b", 2), position("a", 0), position("b", 1)]);
        let order: Vec<(&str, Vec<i32>)> = asked
            .iter()
            .map(|topic| (topic.topic.as_str(), topic.partitions.iter().map(|found| found.partition).collect()))
            .collect();
        assert_eq!(order, [("b", vec![2, 1]), ("a", vec![0])]);
    }
}
