//! Partitions whose replicas are being moved (KIP-455).

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};
use migration::TopicPartition;

use crate::Api;
use crate::cluster::Cluster;
use crate::error::{Place, Result, check};
use crate::pool::Purpose;

/// How long the controller may take. It knows them all by heart.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What becomes of a partition's replicas. While it lasts, metadata names the brokers of both lists among the replicas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reassignment {
    /// Brokers that are to hold it.
    pub adding: Vec<i32>,
    /// Brokers that will no longer hold it.
    pub removing: Vec<i32>,
}

impl Cluster {
    /// The reassignments under way, by partition.
    ///
    /// # Errors
    /// [`ClusterAuthorizationFailed`](crate::Code::ClusterAuthorizationFailed) without `Describe` on the cluster.
    pub async fn reassignments(&self) -> Result<BTreeMap<TopicPartition, Reassignment>> {
        let request = ListPartitionReassignmentsRequest::default()
            .with_topics(None)
            .with_timeout_ms(i32::try_from(TIMEOUT.as_millis()).unwrap_or(i32::MAX));
        self.with_retries(|| async {
            let controller = self.controller().await?;
            under_way(self.call(controller, Purpose::Admin, &request, TIMEOUT).await?)
        })
        .await
    }
}

fn under_way(answer: ListPartitionReassignmentsResponse) -> Result<BTreeMap<TopicPartition, Reassignment>> {
    check(Api::ListPartitionReassignments, answer.error_code, || Place::Cluster, answer.error_message.as_deref())?;
    let ids = |brokers: Vec<kafka_protocol::messages::BrokerId>| brokers.into_iter().map(|broker| broker.0).collect();
    let mut found = BTreeMap::new();
    for topic in answer.topics {
        for partition in topic.partitions {
            let name = TopicPartition::new(topic.name.as_str(), partition.partition_index);
            let moving =
                Reassignment { adding: ids(partition.adding_replicas), removing: ids(partition.removing_replicas) };
            found.insert(name, moving);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::list_partition_reassignments_response::{
        OngoingPartitionReassignment, OngoingTopicReassignment,
    };

    use super::*;
    use crate::spread::topic_name;
    use crate::{Code, Error};

    #[test]
    fn who_comes_and_who_goes_is_told_apart() {
        let brokers = |ids: &[i32]| ids.iter().map(|id| (*id).into()).collect::<Vec<_>>();
        let partition = OngoingPartitionReassignment::default()
            .with_partition_index(2)
            .with_replicas(brokers(&[2, 1]))
            .with_adding_replicas(brokers(&[2]))
            .with_removing_replicas(brokers(&[1]));
        let topic =
            OngoingTopicReassignment::default().with_name(topic_name("orders")).with_partitions(vec![partition]);
        let answer = ListPartitionReassignmentsResponse::default().with_topics(vec![topic]);
        let moving = Reassignment { adding: vec![2], removing: vec![1] };
        assert_eq!(under_way(answer).unwrap(), [(TopicPartition::new("orders", 2), moving)].into());
    }

    #[test]
    fn a_refusal_is_no_empty_list() {
        let refused = ListPartitionReassignmentsResponse::default().with_error_code(31);
        assert!(matches!(
            under_way(refused),
            Err(Error::Broker { code: Code::ClusterAuthorizationFailed, api: Api::ListPartitionReassignments, .. })
        ));
    }
}
