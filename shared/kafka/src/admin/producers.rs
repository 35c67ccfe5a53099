//! Who has been writing to partitions with a producer id (KIP-664).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_producers_response::ProducerState as WireState;
use kafka_protocol::messages::{DescribeProducersRequest, ListTransactionsRequest};
use migration::TopicPartition;
use serde::{Deserialize, Serialize};

use crate::Api;
use crate::cluster::Cluster;
use crate::error::{Each, Place, Result, check};
use crate::pool::Purpose;
use crate::spread::{Outcomes, by_topic, text, topic_name};

/// States of a transaction that its coordinator still has to end (`kafka.coordinator.transaction.TransactionState`).
const ONGOING: [&str; 4] = ["Ongoing", "PrepareCommit", "PrepareAbort", "PrepareEpochFence"];

/// What a partition remembers of a producer id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerState {
    /// Producer id.
    pub producer_id: i64,
    /// Its epoch.
    pub epoch: i32,
    /// Sequence number of its last record, -1 if unknown.
    pub last_sequence: i32,
    /// Timestamp of its last batch in milliseconds, -1 if unknown.
    pub last_timestamp: i64,
    /// Offset at which its open transaction began, if one is open. The last stable offset cannot pass it.
    pub transaction_start: Option<i64>,
}

impl Cluster {
    /// The producers that the leader of each partition remembers, by producer id.
    ///
    /// # Errors
    /// [`Error::UnsupportedApi`](crate::Error::UnsupportedApi) for each partition of a broker before 2.8.
    pub async fn describe_producers(&self, partitions: &[TopicPartition]) -> Each<TopicPartition, Vec<ProducerState>> {
        self.settle(partitions.to_vec(), TopicPartition::clone, |open| self.producers_once(open)).await
    }

    async fn producers_once(&self, partitions: Vec<TopicPartition>) -> Each<TopicPartition, Vec<ProducerState>> {
        self.per_leader(&partitions, |leader, partitions| self.producers_at(leader, partitions)).await
    }

    async fn producers_at(
        &self,
        leader: i32,
        partitions: Vec<TopicPartition>,
    ) -> Result<Outcomes<TopicPartition, Vec<ProducerState>>> {
        let topic = |(topic, partitions): (Arc<str>, Vec<TopicPartition>)| {
            TopicRequest::default()
                .with_name(topic_name(&topic))
                .with_partition_indexes(partitions.iter().map(|partition| partition.partition).collect())
        };
        let request =
            DescribeProducersRequest::default().with_topics(by_topic(partitions).into_iter().map(topic).collect());
        let answer = self.call(leader, Purpose::Admin, &request, Duration::ZERO).await?;
        let mut outcomes = Outcomes::new();
        for topic in answer.topics {
            let name: Arc<str> = topic.name.as_str().into();
            for found in topic.partitions {
                let partition = TopicPartition::new(name.clone(), found.partition_index);
                let place = || Place::Partition(partition.clone());
                let message = found.error_message.as_deref();
                let outcome = check(Api::DescribeProducers, found.error_code, place, message)
                    .map(|()| states(&found.active_producers));
                outcomes.insert(partition, outcome);
            }
        }
        Ok(outcomes)
    }
}

impl Cluster {
    /// The producer ids whose transaction the coordinators have open, or are ending right now. What is open on a partition
    /// and not here is never ended by the cluster itself (`kafka.tools.TransactionsCommand`, `FindHanging`).
    ///
    /// # Errors
    /// [`Error::UnsupportedApi`](crate::Error::UnsupportedApi) from a broker before 3.0.
    pub async fn ongoing_transactions(&self) -> Result<BTreeSet<i64>> {
        self.with_retries(|| async {
            let metadata = self.metadata().await?;
            let ids = try_join_all(metadata.brokers.keys().map(|broker| self.ongoing_at(*broker))).await?;
            Ok(ids.into_iter().flatten().collect())
        })
        .await
    }

    async fn ongoing_at(&self, broker: i32) -> Result<Vec<i64>> {
        let states = ONGOING.iter().map(|state| text(state)).collect();
        let request = ListTransactionsRequest::default().with_state_filters(states);
        let answer = self.call(broker, Purpose::Admin, &request, Duration::ZERO).await?;
        check(Api::ListTransactions, answer.error_code, || Place::Broker(broker), None)?;
        Ok(answer.transaction_states.iter().map(|transaction| transaction.producer_id.0).collect())
    }
}

fn states(producers: &[WireState]) -> Vec<ProducerState> {
    let state = |state: &WireState| ProducerState {
        producer_id: state.producer_id.0,
        epoch: state.producer_epoch,
        last_sequence: state.last_sequence,
        last_timestamp: state.last_timestamp,
        transaction_start: Some(state.current_txn_start_offset).filter(|offset| *offset >= 0),
    };
    let mut states: Vec<ProducerState> = producers.iter().map(state).collect();
    states.sort_unstable_by_key(|state| state.producer_id);
    states
}
