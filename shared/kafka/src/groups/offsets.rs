//! The offsets that groups have committed.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{GroupId, OffsetCommitRequest, OffsetFetchRequest, OffsetFetchResponse};
use kafka_protocol::protocol::StrBytes;
use migration::TopicPartition;
use serde::{Deserialize, Serialize};

use crate::Api;
use crate::cluster::Cluster;
use crate::connection::Connection;
use crate::error::{Each, Error, Place, Result, check};
use crate::spread::{Outcomes, Partitioned, by_topic, complete, text, topic_name};

/// Leader epoch of an offset that is not known to belong to one (KIP-320).
const NO_EPOCH: i32 = -1;
/// Generation of a commit that comes from no member of the group.
const NO_GENERATION: i32 = -1;
/// Partitions in one commit: they become one batch of records, which has to fit into `__consumer_offsets`.
const PARTITIONS_PER_COMMIT: usize = 1000;

/// An offset that a group has committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedOffset {
    /// The partition.
    pub partition: TopicPartition,
    /// Next offset to be consumed.
    pub offset: i64,
    /// Leader epoch of the last consumed record, if the consumer knew.
    pub leader_epoch: Option<i32>,
    /// What the consumer wrote beside it.
    pub metadata: String,
}

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

/// One partition of an answer: offset, leader epoch, metadata, error code.
type WireOffset = (TopicPartition, i64, i32, Option<StrBytes>, i16);

impl Cluster {
    /// All offsets that `group` has committed, by partition; waits for open transactions to end, which may be about to
    /// commit others (KIP-447). None for a group that does not exist.
    ///
    /// Brokers do not list a partition whose very first commit is in an open transaction. Such a transaction is seen by
    /// [`Cluster::describe_producers`] of the partitions of `__consumer_offsets`.
    pub async fn committed_offsets(&self, group: &str) -> Result<Vec<CommittedOffset>> {
        self.with_retries(|| async {
            let connection = self.coordinator_connection(group).await?;
            let answer = connection.call(&offset_fetch(&connection, group)?, Duration::ZERO).await?;
            let (code, offsets) = flatten(answer, group);
            check(Api::OffsetFetch, code, || Place::Group(group.to_owned()), None)?;
            let mut committed = Vec::with_capacity(offsets.len());
            for (partition, offset, leader_epoch, metadata, code) in offsets {
                check(Api::OffsetFetch, code, || Place::Partition(partition.clone()), None)?;
                // A broker says -1 where nothing is committed.
                if offset >= 0 {
                    let leader_epoch = Some(leader_epoch).filter(|epoch| *epoch >= 0);
                    let metadata = metadata.map(|metadata| metadata.to_string()).unwrap_or_default();
                    committed.push(CommittedOffset { partition, offset, leader_epoch, metadata });
                }
            }
            committed.sort_unstable_by(|a, b| a.partition.cmp(&b.partition));
            Ok(committed)
        })
        .await
    }

    /// Commits offsets for a group from outside of it, without a leader epoch: consumers would compare one of another
    /// cluster with the epochs of this one.
    ///
    /// # Errors
    /// [`UnknownMemberId`](crate::Code::UnknownMemberId) for all partitions while the group has members.
    pub async fn commit_offsets(&self, group: &str, offsets: &[NewOffset]) -> Each<TopicPartition, ()> {
        if let Err(error) = crate::spread::distinct(offsets) {
            return offsets.iter().map(|offset| (offset.partition.clone(), Err(error.clone()))).collect();
        }
        let key = |offset: &NewOffset| offset.partition.clone();
        self.settle(offsets.to_vec(), key, |offsets| self.commit_once(group, offsets)).await
    }

    async fn commit_once(&self, group: &str, offsets: Vec<NewOffset>) -> Each<TopicPartition, ()> {
        let mut each = Each::with_capacity(offsets.len());
        for offsets in offsets.chunks(PARTITIONS_PER_COMMIT) {
            let partitions = offsets.iter().map(|offset| offset.partition.clone()).collect();
            each.extend(complete(partitions, self.commit_chunk(group, offsets.to_vec()).await));
        }
        each
    }

    async fn commit_chunk(&self, group: &str, offsets: Vec<NewOffset>) -> Result<Outcomes<TopicPartition, ()>> {
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
        let connection = self.coordinator_connection(group).await?;
        let answer = connection.call(&request, Duration::ZERO).await?;
        let mut outcomes = Outcomes::new();
        for topic in answer.topics {
            let name: Arc<str> = topic.name.as_str().into();
            for committed in topic.partitions {
                let partition = TopicPartition::new(name.clone(), committed.partition_index);
                let place = || Place::Partition(partition.clone());
                let message = format!("group {group}");
                let outcome = check(Api::OffsetCommit, committed.error_code, place, Some(&message));
                outcomes.insert(partition, outcome);
            }
        }
        Ok(outcomes)
    }
}

/// Asks for all partitions. From v8 on a request has a list of groups (KIP-709).
fn offset_fetch(connection: &Connection, group: &str) -> Result<OffsetFetchRequest, Error> {
    let group = GroupId(text(group));
    let request = OffsetFetchRequest::default().with_require_stable(true);
    if connection.version::<OffsetFetchRequest>()? < 8 {
        return Ok(request.with_group_id(group).with_topics(None));
    }
    let group = OffsetFetchRequestGroup::default().with_group_id(group).with_topics(None);
    Ok(request.with_groups(vec![group]))
}

/// The group's error code and its partitions, from wherever the version has them.
fn flatten(answer: OffsetFetchResponse, group: &str) -> (i16, Vec<WireOffset>) {
    let mut offsets = Vec::new();
    let mut code = answer.error_code;
    for topic in answer.topics {
        let name: Arc<str> = topic.name.as_str().into();
        offsets.extend(topic.partitions.into_iter().map(|found| {
            let partition = TopicPartition::new(name.clone(), found.partition_index);
            (partition, found.committed_offset, found.committed_leader_epoch, found.metadata, found.error_code)
        }));
    }
    for found in answer.groups.into_iter().filter(|found| found.group_id.as_str() == group) {
        code = found.error_code;
        for topic in found.topics {
            let name: Arc<str> = topic.name.as_str().into();
            offsets.extend(topic.partitions.into_iter().map(|found| {
                let partition = TopicPartition::new(name.clone(), found.partition_index);
                (partition, found.committed_offset, found.committed_leader_epoch, found.metadata, found.error_code)
            }));
        }
    }
    (code, offsets)
}
