//! Consumer groups: who they are, and the offsets they have committed.

mod describe;
mod offsets;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use kafka_protocol::messages::{FindCoordinatorRequest, ListGroupsRequest};
use serde::{Deserialize, Serialize};

use crate::cluster::Cluster;
use crate::connection::Connection;
use crate::error::{Error, Place, Result, check};
use crate::metadata::Metadata;
use crate::pool::Purpose;
use crate::spread::text;
use crate::{Api, Code};

pub use describe::{GroupDescription, GroupMember};
pub use offsets::{CommittedOffset, NewOffset};

/// What a group is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupState {
    /// It has offsets, but no members.
    Empty,
    /// Its members have their partitions.
    Stable,
    /// Its members are joining.
    PreparingRebalance,
    /// Its members wait for their partitions.
    CompletingRebalance,
    /// Its partitions are being assigned (KIP-848).
    Assigning,
    /// Its members are taking over partitions (KIP-848).
    Reconciling,
    /// It does not exist, or is about to be removed.
    Dead,
    /// A state newer than this list.
    Other(String),
}

impl From<&str> for GroupState {
    fn from(name: &str) -> Self {
        match name {
            "Empty" => Self::Empty,
            "Stable" => Self::Stable,
            "PreparingRebalance" => Self::PreparingRebalance,
            "CompletingRebalance" => Self::CompletingRebalance,
            "Assigning" => Self::Assigning,
            "Reconciling" => Self::Reconciling,
            "Dead" => Self::Dead,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl GroupState {
    /// Whether it may have members, so that nobody else can commit offsets for it.
    pub fn is_active(&self) -> bool {
        !matches!(self, Self::Empty | Self::Dead)
    }
}

/// The topic in which coordinators keep their groups. The leader of a partition coordinates the groups that are kept in it.
const OFFSETS: &str = "__consumer_offsets";

/// A group as its coordinator lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupListing {
    /// Group id.
    pub id: String,
    /// `consumer` for groups of consumers, something else for Connect and others, empty for a group that only has
    /// offsets.
    pub protocol_type: String,
    /// What it is doing.
    pub state: GroupState,
}

impl Cluster {
    /// All groups of all coordinators, by id.
    ///
    /// # Errors
    /// [`Error::NoLeader`] while a partition of the groups' topic has no leader, also after asking again: nobody lists the
    /// groups that are kept in it.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>> {
        self.with_retries(|| async {
            let before = self.coordinators().await?;
            let listings = try_join_all(before.brokers.keys().map(|broker| self.groups_of(*broker))).await?;
            // While a coordinator moves, two brokers may list the same group, or none.
            if keepers(&before) != keepers(&*self.coordinators().await?) {
                let (api, code, place) = (Api::ListGroups, Code::NotCoordinator, Place::Cluster);
                return Err(Error::Broker { api, code, place, message: None });
            }
            let groups = listings.into_iter().flatten().map(|group| (group.id.clone(), group));
            Ok(groups.collect::<BTreeMap<_, _>>().into_values().collect())
        })
        .await
    }

    /// The cluster as it is now, with a leader for each partition of the groups' topic, as far as the topic can be seen.
    async fn coordinators(&self) -> Result<Arc<Metadata>> {
        self.invalidate();
        let metadata = self.metadata().await?;
        metadata.leaderless(OFFSETS).map_or(Ok(metadata), |partition| Err(Error::NoLeader { partition }))
    }

    async fn groups_of(&self, broker: i32) -> Result<Vec<GroupListing>> {
        let answer = self.call(broker, Purpose::Admin, &ListGroupsRequest::default(), Duration::ZERO).await?;
        check(Api::ListGroups, answer.error_code, || Place::Broker(broker), None)?;
        let listing = |group: kafka_protocol::messages::list_groups_response::ListedGroup| GroupListing {
            id: group.group_id.to_string(),
            protocol_type: group.protocol_type.to_string(),
            state: group.group_state.as_str().into(),
        };
        Ok(answer.groups.into_iter().map(listing).collect())
    }

    /// The broker that keeps `group`, now.
    ///
    /// # Errors
    /// `CoordinatorNotAvailable` while the cluster creates the topic of its groups or elects a leader for it.
    pub async fn group_coordinator(&self, group: &str) -> Result<i32> {
        let connection = self.connection(self.any_broker().await?, Purpose::Admin).await?;
        let place = || Place::Group(group.to_owned());
        // From v4 on many coordinators can be asked for at once (KIP-699).
        if connection.version::<FindCoordinatorRequest>()? < 4 {
            let request = FindCoordinatorRequest::default().with_key(text(group));
            let answer = connection.call(&request, Duration::ZERO).await?;
            check(Api::FindCoordinator, answer.error_code, place, answer.error_message.as_deref())?;
            return Ok(answer.node_id.0);
        }
        let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]);
        let answer = connection.call(&request, Duration::ZERO).await?;
        let found = answer.coordinators.into_iter().next().ok_or_else(|| Error::Protocol {
            broker: connection.address().into(),
            message: format!("answered without the coordinator of group {group}"),
        })?;
        check(Api::FindCoordinator, found.error_code, place, found.error_message.as_deref())?;
        Ok(found.node_id.0)
    }

    /// A connection to the broker that keeps `group`.
    pub(crate) async fn coordinator_connection(&self, group: &str) -> Result<Arc<Connection>> {
        let coordinator = self.group_coordinator(group).await?;
        self.connection(coordinator, Purpose::Admin).await
    }
}

/// The leaders of the groups' partitions.
fn keepers(metadata: &Metadata) -> Option<Vec<Option<i32>>> {
    let topic = metadata.topics.get(OFFSETS)?;
    Some(topic.partitions.iter().map(|partition| partition.leader).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU16, Ordering};

    use kafka_protocol::messages::list_groups_response::ListedGroup;
    use kafka_protocol::messages::{ApiKey, ListGroupsResponse};

    use super::*;
    use crate::fake::{FakeBroker, hasty, metadata};
    use crate::spread::topic_name;

    /// Brokers 1 and 2 at one address, of which `second(n)` leads the second of the groups' partitions in the `n`-th answer.
    async fn keeping(second: impl Fn(usize) -> i32 + Send + Sync + 'static) -> FakeBroker {
        let port = Arc::new(AtomicU16::new(0));
        let own = port.clone();
        let broker = FakeBroker::start(move |asked| {
            let own = own.load(Ordering::SeqCst);
            let mut cluster = metadata(&[own, own], &[1, second(asked.earlier)]);
            cluster.topics[0].name = Some(topic_name(OFFSETS));
            let group = ListedGroup::default().with_group_id(text("billing").into());
            match asked.api {
                ApiKey::ApiVersions => None,
                ApiKey::Metadata => Some(asked.answer(&cluster)),
                _ => Some(asked.answer(&ListGroupsResponse::default().with_groups(vec![group]))),
            }
        })
        .await;
        port.store(broker.port, Ordering::SeqCst);
        broker
    }

    /// How often each broker was asked for its groups until all were listed.
    async fn times_listed(broker: &FakeBroker) -> usize {
        let cluster = Cluster::connect(hasty(&[broker.address()])).await.unwrap();
        assert_eq!(cluster.list_groups().await.unwrap()[0].id, "billing");
        broker.asked(ApiKey::ListGroups).len() / 2
    }

    #[tokio::test]
    async fn groups_that_nobody_keeps_for_the_moment_are_waited_for() {
        let broker = keeping(|earlier| if earlier < 3 { -1 } else { 2 }).await;
        assert_eq!(times_listed(&broker).await, 1);
        assert!(broker.asked(ApiKey::Metadata).len() > 3, "the groups in the other partition are not listed");
    }

    #[tokio::test]
    async fn groups_that_move_while_they_are_listed_are_listed_again() {
        // One answer to connect, one before the listing, and then it has moved.
        let broker = keeping(|earlier| if earlier < 2 { 1 } else { 2 }).await;
        assert_eq!(times_listed(&broker).await, 2);
    }

    #[test]
    fn only_groups_without_members_are_inactive() {
        let active = |name: &str| GroupState::from(name).is_active();
        assert!(!active("Empty") && !active("Dead"));
        assert!(active("Stable") && active("PreparingRebalance") && active("Reconciling") && active("Unheard"));
    }
}
