//! Who has been writing to partitions with a producer id (KIP-664).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_producers_response::ProducerState as WireState;
use kafka_protocol::messages::list_transactions_response::TransactionState as WireTransaction;
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

/// A transactional id as its coordinator lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// `transactional.id` of the producer.
    pub transactional_id: String,
    /// The producer id that it has now.
    pub producer_id: i64,
    /// State of its last transaction, such as `Ongoing` or `CompleteCommit`.
    pub state: String,
}

impl Transaction {
    /// Whether its producer or the coordinator still has to end it.
    pub fn is_ongoing(&self) -> bool {
        ONGOING.contains(&self.state.as_str())
    }
}

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
    /// Every transactional id that the coordinators know, in any state, by id: one for each transactional producer of the
    /// last `transactional.id.expiration.ms` (seven days by default). Ids that this client may not describe are left out.
    ///
    /// # Errors
    /// [`Error::UnsupportedApi`](crate::Error::UnsupportedApi) from a broker before 3.0.
    pub async fn transactions(&self) -> Result<Vec<Transaction>> {
        self.list_transactions(&[]).await
    }

    /// The producer ids whose transaction the coordinators have open, or are ending right now. What is open on a partition
    /// and not here is never ended by the cluster itself (`kafka.tools.TransactionsCommand`, `FindHanging`).
    ///
    /// # Errors
    /// As [`Cluster::transactions`].
    pub async fn ongoing_transactions(&self) -> Result<BTreeSet<i64>> {
        Ok(self.ongoing().await?.into_iter().map(|transaction| transaction.producer_id).collect())
    }

    /// The ids of those transactions.
    pub(crate) async fn ongoing(&self) -> Result<Vec<Transaction>> {
        self.list_transactions(&ONGOING).await
    }

    /// Those in one of `states`, or all.
    async fn list_transactions(&self, states: &[&str]) -> Result<Vec<Transaction>> {
        self.with_retries(|| async {
            let metadata = self.metadata().await?;
            let listings = metadata.brokers.keys().map(|broker| self.transactions_at(*broker, states));
            let mut transactions: Vec<_> = try_join_all(listings).await?.into_iter().flatten().collect();
            transactions.sort_unstable_by(|a, b| a.transactional_id.cmp(&b.transactional_id));
            // While a coordinator moves, two brokers may list the same id.
            transactions.dedup_by(|a, b| a.transactional_id == b.transactional_id);
            Ok(transactions)
        })
        .await
    }

    async fn transactions_at(&self, broker: i32, states: &[&str]) -> Result<Vec<Transaction>> {
        let states = states.iter().map(|state| text(state)).collect();
        let request = ListTransactionsRequest::default().with_state_filters(states);
        let answer = self.call(broker, Purpose::Admin, &request, Duration::ZERO).await?;
        check(Api::ListTransactions, answer.error_code, || Place::Broker(broker), None)?;
        let transaction = |state: WireTransaction| Transaction {
            transactional_id: state.transactional_id.to_string(),
            producer_id: state.producer_id.0,
            state: state.transaction_state.to_string(),
        };
        Ok(answer.transaction_states.into_iter().map(transaction).collect())
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
