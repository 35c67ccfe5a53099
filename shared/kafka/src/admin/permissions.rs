//! What this client may do: the operations that brokers say are authorized (KIP-430). Asking changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{DescribeClusterRequest, DescribeGroupsRequest, GroupId, MetadataRequest};
use serde::{Deserialize, Serialize};

use super::AclOperation;
use crate::cluster::Cluster;
use crate::error::{Each, Error, Place, Result, check};
use crate::pool::Purpose;
use crate::spread::{text, topic_name};
use crate::{Api, Code};

/// What a broker answers when it did not look (`AclOperation`'s bit field of KIP-430).
const NOT_TOLD: i32 = i32::MIN;

/// A set of operations on one resource, one bit for each code of [`AclOperation`]. `ALL` is never in it: a principal that
/// may do everything has every bit that is possible for the kind of resource. Without an authorizer everybody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Operations(i32);

impl Operations {
    /// Exactly these.
    pub fn of(operations: &[AclOperation]) -> Self {
        Self(operations.iter().fold(0, |bits, operation| bits | bit(*operation)))
    }

    /// Whether `operation` is authorized.
    pub fn contain(self, operation: AclOperation) -> bool {
        self.0 & bit(operation) != 0
    }

    pub(crate) fn told(bits: i32) -> Option<Self> {
        (bits != NOT_TOLD).then_some(Self(bits))
    }
}

fn bit(operation: AclOperation) -> i32 {
    1_i32.checked_shl(u32::from(i8::from(operation).unsigned_abs())).unwrap_or_default()
}

impl Cluster {
    /// What this client may do to the cluster as a whole, unless the broker does not tell.
    pub async fn cluster_operations(&self) -> Result<Option<Operations>> {
        let request = DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
        self.with_retries(|| async {
            let answer = self.call(self.any_broker().await?, Purpose::Admin, &request, Duration::ZERO).await?;
            check(Api::DescribeCluster, answer.error_code, || Place::Cluster, answer.error_message.as_deref())?;
            Ok(Operations::told(answer.cluster_authorized_operations))
        })
        .await
    }

    /// What this client may do to each of `topics`, whether it exists or not (`kafka.server.KafkaApis
    /// .handleTopicMetadataRequest`); to one that it may not even describe, nothing. A topic of which the broker does not
    /// tell is missing. Nothing is created.
    pub async fn topic_operations(&self, topics: &[Arc<str>]) -> Result<BTreeMap<Arc<str>, Operations>> {
        let named = |topic: &Arc<str>| MetadataRequestTopic::default().with_name(Some(topic_name(topic)));
        let request = MetadataRequest::default()
            .with_topics(Some(topics.iter().map(named).collect()))
            .with_allow_auto_topic_creation(false)
            .with_include_topic_authorized_operations(true);
        self.with_retries(|| async {
            let answer = self.call(self.any_broker().await?, Purpose::Admin, &request, Duration::ZERO).await?;
            check(Api::Metadata, answer.error_code, || Place::Cluster, None)?;
            let topics = answer.topics.into_iter().filter_map(|topic| {
                let operations = match Code::try_from_code(topic.error_code) {
                    Some(Code::TopicAuthorizationFailed) => Operations::of(&[]),
                    _ => Operations::told(topic.topic_authorized_operations)?,
                };
                Some((Arc::from(topic.name?.as_str()), operations))
            });
            Ok(topics.collect())
        })
        .await
    }

    /// Topics that this client may not describe: [`Cluster::topics`] is silent about them. The brokers' logs show them, for
    /// which a permission on the cluster is enough.
    ///
    /// # Errors
    /// `ClusterAuthorizationFailed` without that permission, `DESCRIBE` on the cluster.
    pub async fn hidden_topics(&self) -> Result<BTreeSet<Arc<str>>> {
        let (listed, logs) = self.logs().await?;
        let topics = logs.into_iter().flat_map(|(_, held)| held).map(|(partition, _)| partition.topic);
        let unlisted: BTreeSet<_> = topics.filter(|topic| !listed.topics.contains_key(topic)).collect();
        // The others were created or deleted meanwhile.
        let operations = self.topic_operations(&Vec::from_iter(unlisted)).await?;
        let hidden = operations.into_iter().filter(|(_, operations)| !operations.contain(AclOperation::Describe));
        Ok(hidden.map(|(topic, _)| topic).collect())
    }

    /// What this client may do to each group, whether it exists or not; none where its coordinator does not tell.
    ///
    /// A cluster that has no `__consumer_offsets` yet creates it for this question, which is not what a look should do: ask
    /// only where the topic is there.
    pub async fn group_operations(&self, groups: &[String]) -> Each<String, Option<Operations>> {
        self.settle(groups.to_vec(), String::clone, |groups| async move {
            let asked = groups.into_iter().map(|group| async {
                let operations = self.operations_on_group(&group).await;
                (group, operations)
            });
            join_all(asked).await
        })
        .await
    }

    async fn operations_on_group(&self, group: &str) -> Result<Option<Operations>> {
        let connection = self.coordinator_connection(group).await?;
        let request = DescribeGroupsRequest::default()
            .with_groups(vec![GroupId(text(group))])
            .with_include_authorized_operations(true);
        let answer = connection.call(&request, Duration::ZERO).await?;
        let found = answer.groups.into_iter().next().ok_or_else(|| Error::Protocol {
            broker: connection.address().into(),
            message: format!("left group {group} out of its answer"),
        })?;
        check(Api::DescribeGroups, found.error_code, || Place::Group(group.to_owned()), None)?;
        Ok(Operations::told(found.authorized_operations))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_the_codes_of_operations() {
        let operations = Operations::told(1 << 4 | 1 << 10).unwrap();
        assert!(operations.contain(AclOperation::Write) && operations.contain(AclOperation::DescribeConfigs));
        assert!(!operations.contain(AclOperation::Read) && !operations.contain(AclOperation::Other(40)));
        assert_eq!(operations, Operations::of(&[AclOperation::DescribeConfigs, AclOperation::Write]));
        assert_eq!(Operations::told(NOT_TOLD), None);
    }
}
