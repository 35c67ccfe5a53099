//! Transactions of other clients: what their coordinators know, and those that hold offsets of groups.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use futures::future::join_all;
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::{DescribeTransactionsRequest, TransactionalId};
use migration::TopicPartition;
use serde::{Deserialize, Serialize};

use crate::Api;
use crate::batch::{DecodeLimit, split};
use crate::cluster::Cluster;
use crate::coordinators::Keeps;
use crate::error::{Each, Error, Result, check};
use crate::fetch::{FetchOptions, FetchPosition, Isolation};
use crate::groups::OFFSETS;
use crate::pool::Purpose;
use crate::spread::{Outcomes, text};

/// Ids in one question.
const IDS_PER_REQUEST: usize = 200;
/// Most bytes that are read of the batch with which a transaction began.
const FIRST_BATCH: i32 = 1 << 20;

/// What a coordinator knows of a transactional id (KIP-664).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionDescription {
    /// The id.
    pub transactional_id: String,
    /// The producer id that it has now.
    pub producer_id: i64,
    /// The epoch of that.
    pub producer_epoch: i16,
    /// State of its last transaction, such as `Ongoing` or `CompleteCommit`.
    pub state: String,
    /// After how long without its end the coordinator aborts it, in milliseconds.
    pub timeout_ms: i32,
    /// When it began, in milliseconds since 1970, if it is not complete.
    pub started_at: Option<i64>,
    /// What it has written to, or is about to, as far as it has not ended there yet.
    pub partitions: Vec<TopicPartition>,
}

/// A transaction that is open on a partition of `__consumer_offsets`: it has committed offsets of a group that count when it is
/// committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTransaction {
    /// The partition of `__consumer_offsets`.
    pub partition: TopicPartition,
    /// Its producer id.
    pub producer_id: i64,
    /// Where in the partition it began. None if it has announced that it will commit offsets there, and has not done so yet.
    pub start_offset: Option<i64>,
    /// When it last wrote to the partition, in milliseconds since 1970; none if that is not known.
    pub last_timestamp: Option<i64>,
    /// The group of the first offset that it has committed there; none if this client may not read the partition.
    pub group: Option<String>,
    /// Its transactional id, where brokers (Kafka 3.0) and permissions allow to know it; none also for one that its coordinator has
    /// forgotten and so will never end.
    pub transactional_id: Option<String>,
    /// When it began, in milliseconds since 1970, if that is known.
    pub started_at: Option<i64>,
}

impl Cluster {
    /// What the coordinators know of transactional ids.
    ///
    /// # Errors
    /// [`TransactionalIdNotFound`](crate::Code::TransactionalIdNotFound) for one that is not known (any more),
    /// [`TransactionalIdAuthorizationFailed`](crate::Code::TransactionalIdAuthorizationFailed) for one that this client may not describe,
    /// [`Error::UnsupportedApi`] from a broker before 3.0.
    pub async fn describe_transactions(&self, ids: &[String]) -> Each<String, TransactionDescription> {
        let attempt = |ids| async move {
            let ask = |broker, ids| self.describe_transactions_at(broker, ids);
            self.per_coordinator(Keeps::TransactionalId, ids, IDS_PER_REQUEST, ask).await
        };
        self.settle(ids.to_vec(), String::clone, attempt).await
    }

    async fn describe_transactions_at(
        &self,
        broker: i32,
        ids: Vec<String>,
    ) -> Result<Outcomes<String, TransactionDescription>> {
        let ids = ids.iter().map(|id| TransactionalId(text(id))).collect();
        let request = DescribeTransactionsRequest::default().with_transactional_ids(ids);
        let answer = self.call(broker, Purpose::Admin, &request, Duration::ZERO).await?;
        let described = answer.transaction_states.into_iter().map(|state| {
            let id = state.transactional_id.to_string();
            let outcome =
                check(Api::DescribeTransactions, state.error_code, || Keeps::TransactionalId.place(&id), None);
            (id, outcome.map(|()| description(state)))
        });
        Ok(described.collect())
    }

    /// The transactions that hold offsets of groups, or have announced that they will: a group's committed offsets change when
    /// they end. By partition of `__consumer_offsets` and producer id; none while there is no such topic.
    ///
    /// # Errors
    /// [`TopicAuthorizationFailed`](crate::Code::TopicAuthorizationFailed) when this client may not read `__consumer_offsets`.
    pub async fn open_offset_transactions(&self) -> Result<Vec<OpenTransaction>> {
        self.with_retries(|| self.refresh()).await?;
        let metadata = self.metadata().await?;
        let Some(topic) = metadata.topics.get(OFFSETS) else { return Ok(Vec::new()) };
        let partitions: Vec<_> = topic.topic_partitions().collect();
        let mut open = Vec::new();
        for (partition, states) in self.describe_producers(&partitions).await {
            for state in states?.into_iter().filter(|state| state.transaction_start.is_some()) {
                open.push(OpenTransaction {
                    partition: partition.clone(),
                    producer_id: state.producer_id,
                    start_offset: state.transaction_start,
                    last_timestamp: Some(state.last_timestamp).filter(|at| *at >= 0),
                    group: None,
                    transactional_id: None,
                    started_at: None,
                });
            }
        }
        let groups = join_all(open.iter().map(|one| self.first_group(one))).await;
        open.iter_mut().zip(groups).for_each(|(one, group)| one.group = group);
        add_known(&mut open, self.ongoing_descriptions().await?);
        open.sort_unstable_by(|a, b| (&a.partition, a.producer_id).cmp(&(&b.partition, b.producer_id)));
        Ok(open)
    }

    /// What the coordinators know of the transactions that they have open; nothing where brokers do not tell.
    async fn ongoing_descriptions(&self) -> Result<Vec<TransactionDescription>> {
        let ids = match self.ongoing().await {
            Err(Error::UnsupportedApi { .. }) => return Ok(Vec::new()),
            ongoing => ongoing?.into_iter().map(|transaction| transaction.transactional_id).collect::<Vec<_>>(),
        };
        let described = self.describe_transactions(&ids).await;
        // One that is no longer there has ended.
        Ok(described.into_iter().filter_map(|(_, description)| description.ok()).collect())
    }

    /// The group in the first record of a transaction, if this client may read it.
    async fn first_group(&self, transaction: &OpenTransaction) -> Option<String> {
        let isolation = Isolation::ReadUncommitted;
        let options = FetchOptions { max_wait: Duration::ZERO, min_bytes: 0, max_bytes: FIRST_BATCH, isolation };
        let offset = transaction.start_offset?;
        let position = FetchPosition { partition: transaction.partition.clone(), offset, max_bytes: FIRST_BATCH };
        let (_, fetched) = self.fetch_retrying(&[position], &options).await.pop()?;
        let batch = split(fetched.ok()?.records).next()?.ok()?;
        let ours = batch.header().producer_id == transaction.producer_id;
        let records = batch.decode(DecodeLimit::default()).ok().filter(|_| ours)?;
        group_of(&records.first()?.key.clone()?)
    }
}

/// The group in the key of a record of `__consumer_offsets`, if it is about an offset (`OffsetCommitKey`, v0 and v1).
fn group_of(mut key: &[u8]) -> Option<String> {
    if !matches!(key.try_get_i16().ok()?, 0 | 1) {
        return None;
    }
    let length = usize::try_from(key.try_get_i16().ok()?).ok()?;
    String::from_utf8(key.get(..length)?.to_vec()).ok()
}

fn description(state: TransactionState) -> TransactionDescription {
    let partitions = state.topics.into_iter().flat_map(|topic| {
        let name: Arc<str> = topic.topic.as_str().into();
        topic.partitions.into_iter().map(move |partition| TopicPartition::new(name.clone(), partition))
    });
    let mut partitions: Vec<_> = partitions.collect();
    partitions.sort_unstable();
    TransactionDescription {
        transactional_id: state.transactional_id.to_string(),
        producer_id: state.producer_id.0,
        producer_epoch: state.producer_epoch,
        state: state.transaction_state.to_string(),
        timeout_ms: state.transaction_timeout_ms,
        started_at: Some(state.transaction_start_time_ms).filter(|at| *at >= 0),
        partitions,
    }
}

/// Adds what coordinators know to transactions that partitions know, and those that partitions do not know yet.
fn add_known(open: &mut Vec<OpenTransaction>, known: Vec<TransactionDescription>) {
    let by_producer: HashMap<_, _> = known.iter().map(|one| (one.producer_id, one)).collect();
    for one in open.iter_mut() {
        if let Some(known) = by_producer.get(&one.producer_id) {
            one.transactional_id = Some(known.transactional_id.clone());
            one.started_at = known.started_at;
        }
    }
    let seen: BTreeSet<_> = open.iter().map(|one| (one.partition.clone(), one.producer_id)).collect();
    for one in known {
        let announced = one.partitions.iter().filter(|partition| &*partition.topic == OFFSETS);
        for partition in announced.filter(|partition| !seen.contains(&((*partition).clone(), one.producer_id))) {
            open.push(OpenTransaction {
                partition: partition.clone(),
                producer_id: one.producer_id,
                start_offset: None,
                last_timestamp: None,
                group: None,
                transactional_id: Some(one.transactional_id.clone()),
                started_at: one.started_at,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_read_from_the_key_of_an_offset_alone() {
        let key = |version: u8, group: &str| {
            let mut key = vec![0, version, 0, group.len() as u8];
            key.extend_from_slice(group.as_bytes());
            key.extend_from_slice(&[0, 1, b't', 0, 0, 0, 7]);
            key
        };
        assert_eq!(group_of(&key(1, "billing")).as_deref(), Some("billing"));
        assert_eq!(group_of(&key(0, "")).as_deref(), Some(""));
        assert_eq!(group_of(&key(2, "billing")), None, "the group itself");
        assert_eq!(group_of(&key(1, "billing")[..6]), None);
        assert_eq!(group_of(&[]), None);
    }

    #[test]
    fn what_partitions_and_coordinators_know_is_put_together() {
        let partition = |at| TopicPartition::new(OFFSETS, at);
        let mut open = vec![OpenTransaction {
            partition: partition(3),
            producer_id: 1,
            start_offset: Some(70),
            last_timestamp: Some(5),
            group: Some("g".into()),
            transactional_id: None,
            started_at: None,
        }];
        let known = |id: &str, producer_id, partitions: Vec<TopicPartition>| TransactionDescription {
            transactional_id: id.into(),
            producer_id,
            producer_epoch: 0,
            state: "Ongoing".into(),
            timeout_ms: 1,
            started_at: Some(4),
            partitions,
        };
        let coordinators = vec![
            known("a", 1, vec![partition(3), TopicPartition::new("t", 0)]),
            known("b", 2, vec![partition(3)]),
            known("c", 3, vec![TopicPartition::new("t", 0)]),
        ];
        add_known(&mut open, coordinators);
        let seen: Vec<_> = open.iter().map(|one| (one.transactional_id.as_deref(), one.start_offset)).collect();
        assert_eq!(seen, [(Some("a"), Some(70)), (Some("b"), None)]);
        assert_eq!(open[0].started_at, Some(4));
    }
}
