//! Consumer groups: who they are, and the offsets they have committed.

mod describe;
mod offsets;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use kafka_protocol::messages::{FindCoordinatorRequest, ListGroupsRequest};
use serde::{Deserialize, Serialize};

use crate::Api;
use crate::cluster::Cluster;
use crate::connection::Connection;
use crate::error::{Error, Place, Result, check};
use crate::pool::Purpose;
use crate::spread::text;

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
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>> {
        self.with_retries(|| async {
            let metadata = self.metadata().await?;
            let listings = try_join_all(metadata.brokers.keys().map(|broker| self.groups_of(*broker))).await?;
            // While a coordinator moves, two brokers may list the same group.
            let groups = listings.into_iter().flatten().map(|group| (group.id.clone(), group));
            Ok(groups.collect::<BTreeMap<_, _>>().into_values().collect())
        })
        .await
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_without_members_are_inactive() {
        let active = |name: &str| GroupState::from(name).is_active();
        assert!(!active("Empty") && !active("Dead"));
        assert!(active("Stable") && active("PreparingRebalance") && active("Reconciling") && active("Unheard"));
    }
}
