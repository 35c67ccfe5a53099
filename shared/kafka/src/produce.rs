//! Writing record batches to leaders as they are, under a producer id.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::InitProducerIdRequest;
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use migration::TopicPartition;
use serde::{Deserialize, Serialize};

use crate::Api;
use crate::batch::ProduceBytes;
use crate::cluster::Cluster;
use crate::error::{Each, Place, Result, check};
use crate::pool::Purpose;
use crate::produce_request::RawProduce;
use crate::spread::{Outcomes, by_topic, distinct};

/// A producer id and its epoch (KIP-98).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerIdentity {
    /// Producer id, given out once by the cluster.
    pub id: i64,
    /// Epoch.
    pub epoch: i16,
}

/// Where a batch came to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Produced {
    /// Offset of its first record. For a repeated batch it is the offset of the first time.
    pub base_offset: i64,
    /// Timestamp in milliseconds that replaced those of the records, if the topic keeps its own.
    pub log_append_time: Option<i64>,
    /// First record that is still there; -1 if the broker does not tell, as for a repeated batch.
    pub log_start: i64,
}

impl Cluster {
    /// A new producer id, for batches outside of transactions.
    pub async fn init_producer_id(&self) -> Result<ProducerIdentity> {
        // The timeout counts only with a transactional id, but Kafka demands one.
        let request =
            InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(i32::MAX);
        self.with_retries(|| async {
            let answer = self.call(self.any_broker().await?, Purpose::Admin, &request, Duration::ZERO).await?;
            check(Api::InitProducerId, answer.error_code, || Place::Cluster, None)?;
            Ok(ProducerIdentity { id: answer.producer_id.0, epoch: answer.producer_epoch })
        })
        .await
    }

    /// Writes one v2 record batch to each partition with one request per leader, all at once, and waits until all
    /// in-sync replicas have them. Brokers wait for their replicas up to `timeout`. Tried once. Several of these futures
    /// that one task polls first in some order send in that order, as sequence numbers want it.
    ///
    /// # Errors
    /// After a retryable error it is unknown whether the batch was written: send the same bytes again, the sequence
    /// numbers in them keep it from being written twice. [`OutOfOrderSequenceNumber`] says that the batch does not follow
    /// the last one: some before it are missing, or it is an old one of which the broker no longer remembers that it was
    /// written (it remembers five). Brokers that tell these apart call the latter [`DuplicateSequenceNumber`].
    ///
    /// [`OutOfOrderSequenceNumber`]: crate::Code::OutOfOrderSequenceNumber
    /// [`DuplicateSequenceNumber`]: crate::Code::DuplicateSequenceNumber
    pub async fn produce(
        &self,
        batches: &[(TopicPartition, ProduceBytes)],
        timeout: Duration,
    ) -> Each<TopicPartition, Produced> {
        if let Err(error) = distinct(batches) {
            return batches.iter().map(|(partition, _)| (partition.clone(), Err(error.clone()))).collect();
        }
        let produced = self.per_leader(batches, |leader, batches| self.produce_at(leader, batches, timeout));
        // A task that has used up its budget is told by everything of tokio's to come again, and would come to the later of
        // two futures first.
        tokio::task::unconstrained(produced).await
    }

    /// Like [`Cluster::produce`], and sends the same bytes again to partitions with a retryable error, up to the retry
    /// deadline.
    pub async fn produce_retrying(
        &self,
        batches: &[(TopicPartition, ProduceBytes)],
        timeout: Duration,
    ) -> Each<TopicPartition, Produced> {
        if let Err(error) = distinct(batches) {
            return batches.iter().map(|(partition, _)| (partition.clone(), Err(error.clone()))).collect();
        }
        let attempt = |open: Vec<(TopicPartition, ProduceBytes)>| async move { self.produce(&open, timeout).await };
        self.settle(batches.to_vec(), |batch| batch.0.clone(), attempt).await
    }

    async fn produce_at(
        &self,
        leader: i32,
        batches: Vec<(TopicPartition, ProduceBytes)>,
        timeout: Duration,
    ) -> Result<Outcomes<TopicPartition, Produced>> {
        let request = RawProduce { timeout, topics: by_topic(batches) };
        let answer = self.call(leader, Purpose::Produce, &request, timeout).await?;
        let mut outcomes = Outcomes::new();
        for topic in answer.responses {
            let name: Arc<str> = topic.name.as_str().into();
            for written in topic.partition_responses {
                let partition = TopicPartition::new(name.clone(), written.index);
                let outcome = produced(&partition, &written);
                outcomes.insert(partition, outcome);
            }
        }
        Ok(outcomes)
    }
}

fn produced(partition: &TopicPartition, written: &PartitionProduceResponse) -> Result<Produced> {
    let of_a_record = written.record_errors.iter().find_map(|error| error.batch_index_error_message.as_deref());
    let message = of_a_record.or(written.error_message.as_deref());
    check(Api::Produce, written.error_code, || Place::Partition(partition.clone()), message)?;
    Ok(Produced {
        base_offset: written.base_offset,
        log_append_time: Some(written.log_append_time_ms).filter(|time| *time >= 0),
        log_start: written.log_start_offset,
    })
}
