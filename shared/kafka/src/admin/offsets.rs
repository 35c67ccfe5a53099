//! Where the logs of partitions begin and end, and moving the beginning.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, DeleteRecordsRequest, ListOffsetsRequest};
use migration::TopicPartition;

use crate::Api;
use crate::cluster::Cluster;
use crate::error::{Each, Place, Result, check};
use crate::fetch::Isolation;
use crate::pool::Purpose;
use crate::spread::{Outcomes, by_topic, topic_name};

/// How long a leader may wait for its followers to drop records too.
const DELETE_TIMEOUT: Duration = Duration::from_secs(30);

/// Which offset of a partition is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The log start offset: the first record that is still there.
    Earliest,
    /// The high watermark: one past the last record that a read-uncommitted consumer gets.
    Latest,
    /// The last stable offset: one past the last record that a read-committed consumer gets (KIP-98).
    LastStable,
}

impl OffsetSpec {
    /// The special timestamp and the isolation level that stand for it.
    fn wire(self) -> (i64, Isolation) {
        match self {
            Self::Earliest => (-2, Isolation::ReadUncommitted),
            Self::Latest => (-1, Isolation::ReadUncommitted),
            Self::LastStable => (-1, Isolation::ReadCommitted),
        }
    }
}

impl Cluster {
    /// One offset of each partition.
    pub async fn list_offsets(&self, partitions: &[TopicPartition], spec: OffsetSpec) -> Each<TopicPartition, i64> {
        self.settle(partitions.to_vec(), TopicPartition::clone, |open| self.list_once(open, spec)).await
    }

    async fn list_once(&self, partitions: Vec<TopicPartition>, spec: OffsetSpec) -> Each<TopicPartition, i64> {
        let ask = |leader, partitions| self.list_at(leader, partitions, spec);
        self.per_leader(&partitions, ask).await
    }

    async fn list_at(
        &self,
        leader: i32,
        partitions: Vec<TopicPartition>,
        spec: OffsetSpec,
    ) -> Result<Outcomes<TopicPartition, i64>> {
        let (timestamp, isolation) = spec.wire();
        let partition = |partition: TopicPartition| {
            ListOffsetsPartition::default().with_partition_index(partition.partition).with_timestamp(timestamp)
        };
        let topic = |(topic, partitions): (Arc<str>, Vec<TopicPartition>)| {
            ListOffsetsTopic::default()
                .with_name(topic_name(&topic))
                .with_partitions(partitions.into_iter().map(partition).collect())
        };
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_isolation_level(isolation.wire())
            .with_topics(by_topic(partitions).into_iter().map(topic).collect());
        let answer = self.call(leader, Purpose::Admin, &request, Duration::ZERO).await?;
        let mut outcomes = Outcomes::new();
        for topic in answer.topics {
            let name: Arc<str> = topic.name.as_str().into();
            for found in topic.partitions {
                let partition = TopicPartition::new(name.clone(), found.partition_index);
                let place = || Place::Partition(partition.clone());
                let outcome = check(Api::ListOffsets, found.error_code, place, None).map(|()| found.offset);
                outcomes.insert(partition, outcome);
            }
        }
        Ok(outcomes)
    }

    /// Removes all records before the given offset of each partition, and returns where each log starts now. Needs a
    /// topic whose `cleanup.policy` has `delete`.
    pub async fn delete_records(&self, before: &[(TopicPartition, i64)]) -> Each<TopicPartition, i64> {
        self.settle(before.to_vec(), |item| item.0.clone(), |open| self.delete_records_once(open)).await
    }

    async fn delete_records_once(&self, before: Vec<(TopicPartition, i64)>) -> Each<TopicPartition, i64> {
        self.per_leader(&before, |leader, before| self.delete_records_at(leader, before)).await
    }

    async fn delete_records_at(
        &self,
        leader: i32,
        before: Vec<(TopicPartition, i64)>,
    ) -> Result<Outcomes<TopicPartition, i64>> {
        let partition = |(partition, offset): (TopicPartition, i64)| {
            DeleteRecordsPartition::default().with_partition_index(partition.partition).with_offset(offset)
        };
        let topic = |(topic, partitions): (Arc<str>, Vec<_>)| {
            DeleteRecordsTopic::default()
                .with_name(topic_name(&topic))
                .with_partitions(partitions.into_iter().map(partition).collect())
        };
        let request = DeleteRecordsRequest::default()
            .with_topics(by_topic(before).into_iter().map(topic).collect())
            .with_timeout_ms(DELETE_TIMEOUT.as_millis() as i32);
        let answer = self.call(leader, Purpose::Admin, &request, DELETE_TIMEOUT).await?;
        let mut outcomes = Outcomes::new();
        for topic in answer.topics {
            let name: Arc<str> = topic.name.as_str().into();
            for deleted in topic.partitions {
                let partition = TopicPartition::new(name.clone(), deleted.partition_index);
                let place = || Place::Partition(partition.clone());
                let outcome = check(Api::DeleteRecords, deleted.error_code, place, None);
                outcomes.insert(partition, outcome.map(|()| deleted.low_watermark));
            }
        }
        Ok(outcomes)
    }
}
