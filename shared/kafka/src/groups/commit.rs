//! Committing offsets for groups from outside of them.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::{GroupId, OffsetCommitRequest};
use kafka_protocol::protocol::StrBytes;
use migration::TopicPartition;
use serde::{Deserialize, Serialize};

use super::{CommitLimits, OFFSETS};
use crate::cluster::Cluster;
use crate::connection::Connection;
use crate::error::{Each, Error, Place, Result, check};
use crate::spread::{Outcomes, Partitioned, by_topic, complete, distinct, text, topic_name};
use crate::{Api, Code};

/// Leader epoch of an offset that is not known to belong to one (KIP-320).
const NO_EPOCH: i32 = -1;
/// Generation of a commit that comes from no member of the group.
const NO_GENERATION: i32 = -1;
/// Partitions in one commit.
const PARTITIONS_PER_COMMIT: usize = 1000;
/// Bytes of a batch that no coordinator minds. A larger one may be what a server means that only says that it failed.
const SMALL_BATCH: usize = 4 << 10;

/// An offset to commit for a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOffset {
    /// The partition.
    pub partition: TopicPartition,
    /// Next offset to be consumed.
    pub offset: i64,
    /// Written beside it, as it is.
    pub metadata: String,
}

impl Partitioned for NewOffset {
    fn partition(&self) -> &TopicPartition {
        &self.partition
    }
}

impl Cluster {
    /// Commits offsets for a group from outside of it, without a leader epoch: consumers would compare one of another
    /// cluster with the epochs of this one. They are committed in requests that Kafka's default limits allow.
    ///
    /// # Errors
    /// [`UnknownMemberId`](crate::Code::UnknownMemberId) for all partitions while the group has members.
    pub async fn commit_offsets(&self, group: &str, offsets: &[NewOffset]) -> Each<TopicPartition, ()> {
        let limits = CommitLimits { metadata_bytes: usize::MAX, ..CommitLimits::default() };
        self.commit_offsets_within(group, offsets, &limits).await
    }

    /// As [`Cluster::commit_offsets`], in requests that `limits` allow. The outcome of a request is that of its own offsets: what
    /// the coordinator refuses keeps none of the others from being committed. A request that turns out to be too large is sent
    /// again in halves.
    ///
    /// # Errors
    /// [`OffsetMetadataTooLarge`](Code::OffsetMetadataTooLarge) for an offset whose metadata string is above the limit; it is not
    /// sent, because coordinators before Kafka 3.7 would take the partition for unstable ever after (KAFKA-16371).
    /// [`InvalidCommitOffsetSize`](Code::InvalidCommitOffsetSize) for one that is too heavy by itself.
    pub async fn commit_offsets_within(
        &self,
        group: &str,
        offsets: &[NewOffset],
        limits: &CommitLimits,
    ) -> Each<TopicPartition, ()> {
        if let Err(error) = distinct(offsets) {
            return offsets.iter().map(|offset| (offset.partition.clone(), Err(error.clone()))).collect();
        }
        let (allowed, refused): (Vec<_>, Vec<_>) =
            offsets.iter().cloned().partition(|offset| limits.allow_metadata(offset));
        let key = |offset: &NewOffset| offset.partition.clone();
        let attempt = |offsets: Vec<NewOffset>| async move { self.commit_once(group, offsets, limits).await };
        let mut outcomes: Outcomes<_, _> = self.settle(allowed, key, attempt).await.into_iter().collect();
        outcomes.extend(refused.iter().map(|offset| (offset.partition.clone(), Err(too_long(group, offset, limits)))));
        complete(offsets.iter().map(key).collect(), Ok(outcomes))
    }

    async fn commit_once(
        &self,
        group: &str,
        offsets: Vec<NewOffset>,
        limits: &CommitLimits,
    ) -> Each<TopicPartition, ()> {
        let connection = match self.coordinator_connection(group).await {
            Ok(connection) => connection,
            Err(error) => return complete(offsets.into_iter().map(|offset| offset.partition).collect(), Err(error)),
        };
        let parts = limits.parts(group, &offsets, PARTITIONS_PER_COMMIT);
        let mut open: Vec<_> = parts.into_iter().rev().map(<[NewOffset]>::to_vec).collect();
        let mut each = Each::with_capacity(offsets.len());
        while let Some(part) = open.pop() {
            let partitions = part.iter().map(|offset| offset.partition.clone()).collect();
            let outcomes = complete(partitions, commit_part(&connection, group, part.clone()).await);
            let (failed, settled): (Vec<_>, Vec<_>) =
                outcomes.into_iter().zip(part).partition(|((_, outcome), _)| is_about_size(outcome));
            each.extend(settled.into_iter().map(|(outcome, _)| outcome));
            let weight: usize = failed.iter().map(|(_, offset)| CommitLimits::weight(group, offset)).sum();
            if failed.len() < 2 || (weight <= SMALL_BATCH && failed.iter().any(|((_, found), _)| !is_size(found))) {
                let outcomes = failed.into_iter();
                each.extend(outcomes.map(|((key, outcome), offset)| (key, told_size(outcome, group, &offset, limits))));
                continue;
            }
            tracing::debug!(group, offsets = failed.len(), weight, "the commit is too large and is sent in halves");
            let mut first: Vec<_> = failed.into_iter().map(|(_, offset)| offset).collect();
            open.push(first.split_off(first.len() / 2));
            open.push(first);
        }
        each
    }
}

/// Whether a coordinator may mean that the batch is too large. Those that write their own batches only say that something failed
/// (`CoordinatorOperationExceptionHelper`, Kafka 3.7 to 4.3).
fn is_about_size(outcome: &Result<()>) -> bool {
    is_size(outcome) || is_unknown(outcome)
}

fn is_unknown(outcome: &Result<()>) -> bool {
    outcome.as_ref().is_err_and(|error| error.code() == Some(Code::UnknownServerError))
}

fn is_size(outcome: &Result<()>) -> bool {
    outcome.as_ref().is_err_and(|error| error.code() == Some(Code::InvalidCommitOffsetSize))
}

/// The outcome of an offset that was sent alone, or among few: what fails for an unknown reason and is above the limit by itself
/// fails for that one, and will fail again.
fn told_size(outcome: Result<()>, group: &str, offset: &NewOffset, limits: &CommitLimits) -> Result<()> {
    if !is_unknown(&outcome) || limits.allow(group, offset) {
        return outcome;
    }
    let bytes = CommitLimits::BATCH_OVERHEAD + CommitLimits::weight(group, offset);
    let message = format!(
        "it takes {bytes} bytes as a batch of its own, max.message.bytes of {OFFSETS} is {}",
        limits.batch_bytes
    );
    Err(refusal(Code::InvalidCommitOffsetSize, group, offset, message))
}

/// The error of an offset that is not sent.
fn too_long(group: &str, offset: &NewOffset, limits: &CommitLimits) -> Error {
    let units = offset.metadata.encode_utf16().count();
    let message =
        format!("its metadata has {units} characters, offset.metadata.max.bytes is {}", limits.metadata_bytes);
    refusal(Code::OffsetMetadataTooLarge, group, offset, message)
}

fn refusal(code: Code, group: &str, offset: &NewOffset, message: String) -> Error {
    let place = Place::Offset { group: group.to_owned(), partition: offset.partition.clone() };
    Error::Broker { api: Api::OffsetCommit, code, place, message: Some(message) }
}

async fn commit_part(
    connection: &Connection,
    group: &str,
    offsets: Vec<NewOffset>,
) -> Result<Outcomes<TopicPartition, ()>> {
    let partition = |offset: NewOffset| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(offset.partition.partition)
            .with_committed_offset(offset.offset)
            .with_committed_leader_epoch(NO_EPOCH)
            .with_committed_metadata(Some(text(&offset.metadata)))
    };
    let topic = |(topic, offsets): (Arc<str>, Vec<NewOffset>)| {
        OffsetCommitRequestTopic::default()
            .with_name(topic_name(&topic))
            .with_partitions(offsets.into_iter().map(partition).collect())
    };
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_generation_id_or_member_epoch(NO_GENERATION)
        .with_member_id(StrBytes::new())
        .with_topics(by_topic(offsets).into_iter().map(topic).collect());
    let answer = connection.call(&request, Duration::ZERO).await?;
    let mut outcomes = Outcomes::new();
    for topic in answer.topics {
        let name: Arc<str> = topic.name.as_str().into();
        for committed in topic.partitions {
            let partition = TopicPartition::new(name.clone(), committed.partition_index);
            let place = || Place::Offset { group: group.to_owned(), partition: partition.clone() };
            let outcome = check(Api::OffsetCommit, committed.error_code, place, None);
            outcomes.insert(partition, outcome);
        }
    }
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU16, Ordering};

    use kafka_protocol::messages::find_coordinator_response::Coordinator;
    use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
    use kafka_protocol::messages::{ApiKey, FindCoordinatorRequest, FindCoordinatorResponse, OffsetCommitResponse};

    use super::*;
    use crate::fake::{Asked, FakeBroker, Reaction, hasty, metadata};

    /// Answers a commit with `code(offsets)` for each of its offsets.
    fn committed(asked: &Asked, code: impl Fn(usize) -> Option<Code>) -> Reaction {
        let request: OffsetCommitRequest = asked.request();
        let code = code(sizes(asked)).map_or(0, |code| code.code());
        let partition = |partition: &OffsetCommitRequestPartition| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
        };
        let topic = |topic: &OffsetCommitRequestTopic| {
            OffsetCommitResponseTopic::default()
                .with_name(topic.name.clone())
                .with_partitions(topic.partitions.iter().map(partition).collect())
        };
        asked.answer(&OffsetCommitResponse::default().with_topics(request.topics.iter().map(topic).collect()))
    }

    fn sizes(asked: &Asked) -> usize {
        asked.request::<OffsetCommitRequest>().topics.iter().map(|topic| topic.partitions.len()).sum()
    }

    /// A coordinator that answers a commit of so many offsets with that code.
    async fn coordinator(code: impl Fn(usize) -> Option<Code> + Send + Sync + 'static) -> (FakeBroker, Cluster) {
        let port = Arc::new(AtomicU16::new(0));
        let own = port.clone();
        let broker = FakeBroker::start(move |asked| match asked.api {
            ApiKey::ApiVersions => None,
            ApiKey::Metadata => Some(asked.answer(&metadata(&[own.load(Ordering::SeqCst)], &[1]))),
            ApiKey::FindCoordinator => {
                let keys = asked.request::<FindCoordinatorRequest>().coordinator_keys;
                let found = keys.into_iter().map(|key| Coordinator::default().with_key(key).with_node_id(1.into()));
                Some(asked.answer(&FindCoordinatorResponse::default().with_coordinators(found.collect())))
            }
            _ => Some(committed(asked, &code)),
        })
        .await;
        port.store(broker.port, Ordering::SeqCst);
        let cluster = Cluster::connect(hasty(&[broker.address()])).await.unwrap();
        (broker, cluster)
    }

    fn offsets(count: i32, metadata: &str) -> Vec<NewOffset> {
        let offset =
            |at| NewOffset { partition: TopicPartition::new("t", at), offset: 1, metadata: metadata.to_owned() };
        (0..count).map(offset).collect()
    }

    fn sent(broker: &FakeBroker) -> Vec<usize> {
        broker.asked(ApiKey::OffsetCommit).iter().map(sizes).collect()
    }

    #[tokio::test]
    async fn a_commit_that_is_too_large_after_all_is_halved_until_it_is_not() {
        let (broker, cluster) = coordinator(|count| (count > 3).then_some(Code::InvalidCommitOffsetSize)).await;
        let each = cluster.commit_offsets("g", &offsets(10, "")).await;
        assert!(each.iter().all(|(_, outcome)| outcome.is_ok()), "{each:?}");
        assert_eq!(each.len(), 10);
        assert_eq!(sent(&broker), [10, 5, 2, 3, 5, 2, 3]);
    }

    #[tokio::test]
    async fn a_server_that_fails_on_large_commits_is_sent_halves() {
        let (broker, cluster) = coordinator(|count| (count > 4).then_some(Code::UnknownServerError)).await;
        let each = cluster.commit_offsets("g", &offsets(8, &"m".repeat(4000))).await;
        assert!(each.iter().all(|(_, outcome)| outcome.is_ok()), "{each:?}");
        assert_eq!(sent(&broker), [8, 4, 4]);
    }

    #[tokio::test]
    async fn one_that_is_too_heavy_is_told_so_where_the_server_does_not() {
        let (broker, cluster) = coordinator(|count| (count == 1).then_some(Code::UnknownServerError)).await;
        let limits = CommitLimits { batch_bytes: 600, ..CommitLimits::default() };
        let each = cluster.commit_offsets_within("g", &offsets(1, &"m".repeat(900)), &limits).await;
        assert_eq!(each[0].1.as_ref().unwrap_err().code(), Some(Code::InvalidCommitOffsetSize));
        assert_eq!(sent(&broker), [1], "it is not sent again");
    }

    #[tokio::test]
    async fn what_is_refused_keeps_nothing_else_from_being_committed() {
        let (broker, cluster) = coordinator(|count| (count == 1).then_some(Code::InvalidCommitOffsetSize)).await;
        let mut offsets = offsets(7, "");
        offsets[2].metadata = "m".repeat(900);
        offsets[4].metadata = "m".repeat(5000);
        let limits = CommitLimits { batch_bytes: 600, metadata_bytes: 1000 };
        let each = cluster.commit_offsets_within("g", &offsets, &limits).await;
        let codes: Vec<_> = each.iter().map(|(_, outcome)| outcome.as_ref().err().and_then(Error::code)).collect();
        let mut expected = [None; 7];
        expected[2] = Some(Code::InvalidCommitOffsetSize);
        expected[4] = Some(Code::OffsetMetadataTooLarge);
        assert_eq!(codes, expected);
        assert_eq!(sent(&broker), [2, 1, 3], "the one with too much metadata is not sent");
        let error = each[4].1.as_ref().unwrap_err();
        assert_eq!((error.group(), error.partition()), (Some("g"), Some(&offsets[4].partition)));
        assert!(error.to_string().contains("partition t/4 of group g"), "{error}");
    }
}
