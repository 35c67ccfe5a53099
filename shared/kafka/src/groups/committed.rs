//! The offsets that groups have committed: of one group, or of many in few requests.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{GroupId, OffsetFetchRequest, OffsetFetchResponse};
use kafka_protocol::protocol::StrBytes;
use migration::TopicPartition;
use serde::{Deserialize, Serialize};

use crate::cluster::Cluster;
use crate::connection::Connection;
use crate::coordinators::{Keeps, left_out};
use crate::error::{Each, Error, Place, Result, check};
use crate::pool::Purpose;
use crate::spread::{Outcomes, text};
use crate::{Api, Code};

/// Groups in one question. Their answer has all partitions of all of them.
const GROUPS_PER_REQUEST: usize = 100;
/// The first version that can ask about many groups at once (KIP-709).
const MANY_GROUPS: i16 = 8;

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

/// Whether a committed offset counts that another is about to replace (KIP-447).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stability {
    /// What is committed now, whatever is pending.
    Now,
    /// Not where a commit is pending: a transaction is open that holds another offset of the same partition, or a commit of a
    /// consumer was never finished (KAFKA-16371). Such a partition has the code [`UnstableOffsetCommit`].
    ///
    /// [`UnstableOffsetCommit`]: crate::Code::UnstableOffsetCommit
    Stable,
}

impl Cluster {
    /// All offsets that `group` has committed, by partition; waits for open transactions to end, which may be about to
    /// commit others (KIP-447). None for a group that does not exist.
    ///
    /// Brokers do not list a partition whose very first commit is in an open transaction. Such a transaction is seen by
    /// [`Cluster::open_offset_transactions`].
    ///
    /// # Errors
    /// The error about a partition is about a [`Place::Offset`], with partition and group.
    pub async fn committed_offsets(&self, group: &str) -> Result<Vec<CommittedOffset>> {
        self.with_retries(|| self.offsets_of(group, Stability::Stable)).await
    }

    /// All offsets that `group` has committed as of now, by partition, also those that an open transaction is about to replace.
    /// None for a group that does not exist.
    pub async fn committed_offsets_now(&self, group: &str) -> Result<Vec<CommittedOffset>> {
        self.with_retries(|| self.offsets_of(group, Stability::Now)).await
    }

    /// The partitions for which a commit of `group` is pending, as they are now: nothing is waited for. An open transaction may
    /// be about to commit, or a commit was never finished (KAFKA-16371). See [`Cluster::committed_offsets`] for what brokers
    /// do not list.
    pub async fn unstable_offsets(&self, group: &str) -> Result<Vec<TopicPartition>> {
        let groups = [group.to_owned()];
        let (_, offsets) = one(self.committed_offsets_of(&groups, Stability::Stable).await, group)?;
        let mut unstable = Vec::new();
        for (partition, offset) in offsets? {
            match offset {
                Err(error) if error.code() == Some(Code::UnstableOffsetCommit) => unstable.push(partition),
                other => drop(other?),
            }
        }
        Ok(unstable)
    }

    /// All offsets that each of `groups` has committed, by partition, in few requests: many groups in one where the broker can
    /// (Kafka 3.0), else many requests at once. What fails for a whole group is repeated up to the retry deadline; what a
    /// coordinator says about a single partition is handed on at once, so that a pending commit
    /// ([`UnstableOffsetCommit`](crate::Code::UnstableOffsetCommit)) is seen and not waited for. None for a group that does
    /// not exist, and none of topics that this client may not describe.
    ///
    /// # Errors
    /// The error about a partition is about a [`Place::Offset`], with partition and group.
    pub async fn committed_offsets_of(
        &self,
        groups: &[String],
        stability: Stability,
    ) -> Each<String, Each<TopicPartition, CommittedOffset>> {
        let attempt = |groups| self.offsets_once(groups, stability);
        self.settle(groups.to_vec(), String::clone, attempt).await
    }

    /// Those of one group, or the first error. Tried once.
    async fn offsets_of(&self, group: &str, stability: Stability) -> Result<Vec<CommittedOffset>> {
        let (_, offsets) = one(self.offsets_once(vec![group.to_owned()], stability).await, group)?;
        offsets?.into_iter().map(|(_, offset)| offset).collect()
    }

    async fn offsets_once(
        &self,
        groups: Vec<String>,
        stability: Stability,
    ) -> Each<String, Each<TopicPartition, CommittedOffset>> {
        let ask = |broker, groups| self.offsets_at(broker, groups, stability);
        self.per_coordinator(Keeps::Group, groups, GROUPS_PER_REQUEST, ask).await
    }

    async fn offsets_at(
        &self,
        broker: i32,
        groups: Vec<String>,
        stability: Stability,
    ) -> Result<Outcomes<String, Each<TopicPartition, CommittedOffset>>> {
        let connection = self.connection(broker, Purpose::Admin).await?;
        if connection.version::<OffsetFetchRequest>()? < MANY_GROUPS {
            // Sent one behind the other without waiting; a connection is answered in order.
            let asked = groups.into_iter().map(|group| async {
                let offsets = fetch_one(&connection, &group, stability).await;
                (group, offsets)
            });
            return Ok(join_all(asked).await.into_iter().collect());
        }
        match fetch_many(&connection, &groups, stability).await {
            // Their answer is larger than this client takes, which has closed the connection.
            Err(Error::Protocol { .. }) if groups.len() > 1 => {
                let (first, second) = groups.split_at(groups.len() / 2);
                let mut outcomes = Box::pin(self.offsets_at(broker, first.to_vec(), stability)).await?;
                outcomes.extend(Box::pin(self.offsets_at(broker, second.to_vec(), stability)).await?);
                Ok(outcomes)
            }
            answer => answer,
        }
    }
}

/// The only one of `each`.
fn one<T>(mut each: Each<String, T>, group: &str) -> Result<(String, Result<T>)> {
    each.pop().ok_or_else(|| left_out("a broker", Keeps::Group, group))
}

async fn fetch_one(
    connection: &Connection,
    group: &str,
    stability: Stability,
) -> Result<Each<TopicPartition, CommittedOffset>> {
    let request = OffsetFetchRequest::default()
        .with_require_stable(stability == Stability::Stable)
        .with_group_id(GroupId(text(group)))
        .with_topics(None);
    let answer = connection.call(&request, Duration::ZERO).await?;
    check(Api::OffsetFetch, answer.error_code, || Place::Group(group.to_owned()), None)?;
    let topics = answer.topics.into_iter().map(|topic| {
        let found = topic.partitions.into_iter().map(|found| Wire {
            partition: found.partition_index,
            offset: found.committed_offset,
            leader_epoch: found.committed_leader_epoch,
            metadata: found.metadata,
            code: found.error_code,
        });
        (Arc::from(topic.name.as_str()), found.collect())
    });
    Ok(sorted(group, topics))
}

async fn fetch_many(
    connection: &Connection,
    groups: &[String],
    stability: Stability,
) -> Result<Outcomes<String, Each<TopicPartition, CommittedOffset>>> {
    let wanted =
        |group: &String| OffsetFetchRequestGroup::default().with_group_id(GroupId(text(group))).with_topics(None);
    let request = OffsetFetchRequest::default()
        .with_require_stable(stability == Stability::Stable)
        .with_groups(groups.iter().map(wanted).collect());
    Ok(by_group(connection.call(&request, Duration::ZERO).await?))
}

fn by_group(answer: OffsetFetchResponse) -> Outcomes<String, Each<TopicPartition, CommittedOffset>> {
    let groups = answer.groups.into_iter().map(|found| {
        let group = found.group_id.to_string();
        let outcome = check(Api::OffsetFetch, found.error_code, || Place::Group(group.clone()), None).map(|()| {
            let topics = found.topics.into_iter().map(|topic| {
                let found = topic.partitions.into_iter().map(|found| Wire {
                    partition: found.partition_index,
                    offset: found.committed_offset,
                    leader_epoch: found.committed_leader_epoch,
                    metadata: found.metadata,
                    code: found.error_code,
                });
                (Arc::from(topic.name.as_str()), found.collect())
            });
            sorted(&group, topics)
        });
        (group, outcome)
    });
    groups.collect()
}

/// One partition of an answer; the versions have types of their own for it.
struct Wire {
    partition: i32,
    offset: i64,
    leader_epoch: i32,
    metadata: Option<StrBytes>,
    code: i16,
}

/// One outcome for each partition that has an offset or an error, by partition.
fn sorted(group: &str, topics: impl Iterator<Item = (Arc<str>, Vec<Wire>)>) -> Each<TopicPartition, CommittedOffset> {
    let mut each = Each::new();
    for (topic, found) in topics {
        for wire in found {
            let partition = TopicPartition::new(topic.clone(), wire.partition);
            each.extend(outcome(group, &partition, wire).map(|outcome| (partition, outcome)));
        }
    }
    each.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    each
}

/// Nothing where nothing is committed, of which a broker says that it is at -1.
fn outcome(group: &str, partition: &TopicPartition, wire: Wire) -> Option<Result<CommittedOffset>> {
    let place = || Place::Offset { group: group.to_owned(), partition: partition.clone() };
    if let Err(error) = check(Api::OffsetFetch, wire.code, place, None) {
        return Some(Err(error));
    }
    (wire.offset >= 0).then(|| {
        Ok(CommittedOffset {
            partition: partition.clone(),
            offset: wire.offset,
            leader_epoch: Some(wire.leader_epoch).filter(|epoch| *epoch >= 0),
            metadata: wire.metadata.map(|metadata| metadata.to_string()).unwrap_or_default(),
        })
    })
}

#[cfg(test)]
mod tests;
