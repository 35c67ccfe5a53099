//! Appending a marker to many partitions that no application sees: an empty transaction (KIP-98).
//!
//! When a transaction ends, its coordinator has one control batch of 78 bytes appended to every partition that was added to it,
//! whether anything was written there or not. Consumers of both isolation levels read past a control batch and see no record, and
//! compaction removes it in time. It takes one offset.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest, ProducerId, TransactionalId,
};
use migration::TopicPartition;

use crate::cluster::Cluster;
use crate::coordinators::Keeps;
use crate::error::{Error, Place, Result, check};
use crate::pool::Purpose;
use crate::produce::ProducerIdentity;
use crate::spread::{by_topic, distinct, text, topic_name};
use crate::{Api, Code, RetryPolicy};
use clock::Backoff;

/// After how long the coordinator aborts a transaction of which nothing more is heard, in milliseconds. The second one is for a
/// cluster whose `transaction.max.timeout.ms` is below the first.
const TIMEOUTS_MS: [i32; 2] = [60_000, 5_000];
/// Partitions in one request.
const PARTITIONS_PER_REQUEST: usize = 1_000;
/// Bytes of the names and numbers of the partitions of one transaction. Its coordinator writes them into one record of
/// `__transaction_state` (`TransactionLog.valueToBytes`), which has to fit into what that topic takes: 1 MB by default.
const BYTES_PER_TRANSACTION: usize = 256 << 10;
/// How long a topic of which the coordinator does not know is taken for one that was created a moment ago.
const NEW_TOPIC: Duration = Duration::from_secs(2);

/// What an empty transaction did.
#[derive(Debug, Clone, PartialEq)]
pub struct Markers {
    /// Whose commit markers come to `marked`: a control batch with exactly this producer id and epoch.
    pub identity: ProducerIdentity,
    /// The partitions that get one. The coordinator goes on until all of them have it.
    pub marked: Vec<TopicPartition>,
    /// Those that the coordinator refused, each with the reason. Nothing comes to them.
    pub refused: Vec<(TopicPartition, Error)>,
}

impl Cluster {
    /// Has a commit marker appended to each of `partitions` by an empty transaction of `transactional_id`. Returns when the
    /// coordinator has decided so; the markers come a moment later, see [`Cluster::find_markers`]. Partitions that the coordinator
    /// refuses are left out and named; when it refuses all of them, there is no transaction at all.
    ///
    /// Each call has an identity of its own: the producer id of `transactional_id` with an epoch that no earlier call had. Only
    /// versions are used in which the markers carry the epoch that InitProducerId gave out (EndTxn before v5, KIP-890).
    ///
    /// So many partitions that their names are too much for one transaction are marked by several, one after the other, of the same
    /// identity. A call that ends in between leaves nothing behind: the next one of the same id ends what was left open, and without a
    /// next one the coordinator aborts it within a minute. What is aborted gets abort markers, which are invisible too.
    ///
    /// Leave out partitions with too few replicas in sync (`min.insync.replicas`): their leader takes no marker, the coordinator
    /// tries again without a pause until it does, and notes each attempt in its log (`TransactionMarkerRequestCompletionHandler`).
    /// The id can begin nothing new before all markers have come: calls meanwhile end with
    /// [`ConcurrentTransactions`](Code::ConcurrentTransactions) at the retry deadline.
    ///
    /// A cluster that has no `__transaction_state` yet creates it for this.
    ///
    /// # Errors
    /// [`TransactionalIdAuthorizationFailed`](Code::TransactionalIdAuthorizationFailed) when this client may not use the id. Of the
    /// kind [`Fenced`](migration::ErrorKind::Fenced) when another client has begun with the same id. After any other error it is
    /// unknown whether the markers come.
    pub async fn append_markers(&self, transactional_id: &str, partitions: &[TopicPartition]) -> Result<Markers> {
        distinct(partitions)?;
        let identity = self.init_transactions(transactional_id).await?;
        let transaction = Open { cluster: self, id: transactional_id, identity };
        let (mut marked, mut refused) = (Vec::with_capacity(partitions.len()), Vec::new());
        for some in transactions(partitions) {
            match transaction.mark(some).await {
                Ok((added, others)) => {
                    marked.extend(added);
                    refused.extend(others);
                }
                Err(error) => return Err(transaction.give_up(error).await),
            }
        }
        Ok(Markers { identity, marked, refused })
    }

    /// Whether this client may begin transactions with `transactional_id`. It begins none and appends nothing to any topic of
    /// applications; the coordinator notes the id, and ends what an earlier use of it has left open. Whether the client may write
    /// to topics is told by [`Cluster::topic_operations`].
    ///
    /// A cluster that has no `__transaction_state` yet creates it for this.
    ///
    /// # Errors
    /// [`TransactionalIdAuthorizationFailed`](Code::TransactionalIdAuthorizationFailed) when it may not.
    pub async fn check_transactional_id(&self, transactional_id: &str) -> Result<()> {
        self.init_transactions(transactional_id).await.map(drop)
    }

    /// Makes this call the only one that may use the id from now on.
    async fn init_transactions(&self, id: &str) -> Result<ProducerIdentity> {
        let mut outcome = self.init_with_timeout(id, TIMEOUTS_MS[0]).await;
        for timeout in &TIMEOUTS_MS[1..] {
            if outcome.as_ref().is_err_and(|error| error.code() == Some(Code::InvalidTransactionTimeout)) {
                outcome = self.init_with_timeout(id, *timeout).await;
            }
        }
        outcome
    }

    async fn init_with_timeout(&self, id: &str, timeout_ms: i32) -> Result<ProducerIdentity> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(id))))
            .with_transaction_timeout_ms(timeout_ms);
        self.with_retries(|| async {
            let coordinator = self.coordinator(Keeps::TransactionalId, id).await?;
            let answer = self.call(coordinator, Purpose::Admin, &request, Duration::ZERO).await?;
            check(Api::InitProducerId, answer.error_code, || Keeps::TransactionalId.place(id), None)?;
            Ok(ProducerIdentity { id: answer.producer_id.0, epoch: answer.producer_epoch })
        })
        .await
    }
}

/// A transaction, and who may go on with it.
struct Open<'a> {
    cluster: &'a Cluster,
    id: &'a str,
    identity: ProducerIdentity,
}

/// Partitions that were added, and those that were not.
type Added = (Vec<TopicPartition>, Vec<(TopicPartition, Error)>);

/// `partitions` in runs that one transaction can have.
fn transactions(partitions: &[TopicPartition]) -> Vec<&[TopicPartition]> {
    const NUMBERS: usize = 16;
    let mut runs = Vec::new();
    let (mut begin, mut bytes) = (0, 0);
    for (at, partition) in partitions.iter().enumerate() {
        let named = at > begin && partitions[at - 1].topic == partition.topic;
        let more = NUMBERS + if named { 0 } else { partition.topic.len() };
        if at > begin && bytes + more > BYTES_PER_TRANSACTION {
            runs.push(&partitions[begin..at]);
            (begin, bytes) = (at, partition.topic.len());
        }
        bytes += more;
    }
    runs.extend((begin < partitions.len()).then(|| &partitions[begin..]));
    runs
}

impl Open<'_> {
    /// One whole transaction: adds `partitions`, without those that the coordinator refuses, and commits.
    async fn mark(&self, partitions: &[TopicPartition]) -> Result<Added> {
        let (mut marked, mut refused) = (Vec::with_capacity(partitions.len()), Vec::new());
        for some in partitions.chunks(PARTITIONS_PER_REQUEST) {
            let (added, others) = self.add(some).await?;
            marked.extend(added);
            refused.extend(others);
        }
        // There is nothing to end before the first partition is added.
        if !marked.is_empty() {
            self.end(true).await?;
        }
        Ok((marked, refused))
    }

    /// Adds `partitions`, without those that the coordinator refuses. It adds all of a request or none.
    async fn add(&self, partitions: &[TopicPartition]) -> Result<Added> {
        let policy = self.cluster.settings().retry;
        let mut new_topic = Backoff::new(RetryPolicy { deadline: NEW_TOPIC.min(policy.deadline), ..policy });
        let mut wanted = partitions.to_vec();
        let mut refused = Vec::new();
        while !wanted.is_empty() {
            let outcomes = self.cluster.with_retries(|| self.add_once(&wanted)).await?;
            let unknown = |error: &Error| error.code() == Some(Code::UnknownTopicOrPartition);
            let errors =
                || outcomes.iter().filter_map(|(partition, outcome)| Some((partition, outcome.as_ref().err()?)));
            if errors().next().is_none() {
                break;
            }
            if errors().all(|(_, error)| unknown(error)) && new_topic.pause().await {
                continue;
            }
            wanted.retain(|partition| outcomes.get(partition).is_none_or(Result::is_ok));
            let named = partitions.iter().filter_map(|partition| {
                let error = outcomes.get(partition)?.as_ref().err()?;
                Some((partition.clone(), error.clone()))
            });
            refused.extend(named);
        }
        Ok((wanted, refused))
    }

    /// The reasons why the coordinator adds none of `partitions`, if there are any.
    ///
    /// # Errors
    /// What stands against the transaction as a whole.
    async fn add_once(&self, partitions: &[TopicPartition]) -> Result<HashMap<TopicPartition, Result<()>>> {
        let topic = |(topic, partitions): (Arc<str>, Vec<TopicPartition>)| {
            AddPartitionsToTxnTopic::default()
                .with_name(topic_name(&topic))
                .with_partitions(partitions.into_iter().map(|partition| partition.partition).collect())
        };
        let topics: BTreeMap<_, _> = by_topic(partitions.to_vec());
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text(self.id)))
            .with_v3_and_below_producer_id(ProducerId(self.identity.id))
            .with_v3_and_below_producer_epoch(self.identity.epoch)
            .with_v3_and_below_topics(topics.into_iter().map(topic).collect());
        let coordinator = self.cluster.coordinator(Keeps::TransactionalId, self.id).await?;
        let answer = self.cluster.call(coordinator, Purpose::Admin, &request, Duration::ZERO).await?;
        let mut outcomes = HashMap::with_capacity(partitions.len());
        for topic in answer.results_by_topic_v3_and_below {
            let name: Arc<str> = topic.name.as_str().into();
            for result in topic.results_by_partition {
                let partition = TopicPartition::new(name.clone(), result.partition_index);
                let code = result.partition_error_code;
                let outcome = match Code::try_from_code(code) {
                    // It is not this partition that stands in the way.
                    Some(Code::OperationNotAttempted) => Ok(()),
                    Some(Code::TopicAuthorizationFailed | Code::UnknownTopicOrPartition) => {
                        check(Api::AddPartitionsToTxn, code, || Place::Partition(partition.clone()), None)
                    }
                    _ => Ok(check(Api::AddPartitionsToTxn, code, || Keeps::TransactionalId.place(self.id), None)?),
                };
                outcomes.insert(partition, outcome);
            }
        }
        Ok(outcomes)
    }

    /// Ends it, and returns when the coordinator has noted how.
    async fn end(&self, commit: bool) -> Result<()> {
        self.cluster.with_retries(|| self.end_once(commit)).await
    }

    async fn end_once(&self, commit: bool) -> Result<()> {
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(self.id)))
            .with_producer_id(ProducerId(self.identity.id))
            .with_producer_epoch(self.identity.epoch)
            .with_committed(commit);
        let coordinator = self.cluster.coordinator(Keeps::TransactionalId, self.id).await?;
        let answer = self.cluster.call(coordinator, Purpose::Admin, &request, Duration::ZERO).await?;
        check(Api::EndTxn, answer.error_code, || Keeps::TransactionalId.place(self.id), None)
    }

    /// Aborts it as well as can be done with one request, and hands `error` on.
    async fn give_up(&self, error: Error) -> Error {
        if let Err(abort) = self.end_once(false).await {
            tracing::debug!(transactional_id = self.id, error = %abort, "the transaction is left to its coordinator");
        }
        error
    }
}

#[cfg(test)]
mod tests;
