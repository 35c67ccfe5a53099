//! The members of groups, of both the classic protocol and the one of KIP-848.

use std::time::Duration;

use futures::future::join_all;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup as ConsumerGroup;
use kafka_protocol::messages::describe_groups_response::DescribedGroup as ClassicGroup;
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, DescribeGroupsRequest, GroupId};
use serde::{Deserialize, Serialize};

use super::GroupState;
use crate::admin::Operations;
use crate::cluster::Cluster;
use crate::connection::Connection;
use crate::error::{Each, Error, Place, Result, check};
use crate::spread::text;
use crate::{Api, Code};

/// A group and its members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupDescription {
    /// Group id.
    pub id: String,
    /// As in [`GroupListing`](super::GroupListing).
    pub protocol_type: String,
    /// What it is doing.
    pub state: GroupState,
    /// Its members now.
    pub members: Vec<GroupMember>,
    /// What this client may do to it (KIP-430), whether it exists or not; none where the coordinator does not tell.
    pub operations: Option<Operations>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMember {
    /// Id that the coordinator gave it.
    pub id: String,
    /// Client id, as the application has set it.
    pub client_id: String,
    /// `group.instance.id`, if it is a static member (KIP-345).
    pub instance_id: Option<String>,
    /// Where it connects from.
    pub host: String,
}

impl Cluster {
    /// State and members of each group. A group that does not exist is [`GroupState::Dead`].
    pub async fn describe_groups(&self, groups: &[String]) -> Each<String, GroupDescription> {
        self.settle(groups.to_vec(), String::clone, |groups| self.describe_once(groups)).await
    }

    async fn describe_once(&self, groups: Vec<String>) -> Each<String, GroupDescription> {
        let described = groups.into_iter().map(|group| async {
            let description = self.describe_group(&group).await;
            (group, description)
        });
        join_all(described).await
    }

    async fn describe_group(&self, group: &str) -> Result<GroupDescription> {
        let connection = self.coordinator_connection(group).await?;
        let request = DescribeGroupsRequest::default()
            .with_groups(vec![GroupId(text(group))])
            .with_include_authorized_operations(true);
        let answer = connection.call(&request, Duration::ZERO).await?;
        let found = answer.groups.into_iter().next().ok_or_else(|| left_out(&connection, group))?;
        check(Api::DescribeGroups, found.error_code, || Place::Group(group.to_owned()), None)?;
        let classic = classic(found);
        // A group of the new protocol is dead to the old request.
        if classic.state == GroupState::Dead && connection.offers(Api::ConsumerGroupDescribe) {
            return Ok(describe_new(&connection, group).await?.unwrap_or(classic));
        }
        Ok(classic)
    }
}

async fn describe_new(connection: &Connection, group: &str) -> Result<Option<GroupDescription>> {
    let request = ConsumerGroupDescribeRequest::default()
        .with_group_ids(vec![GroupId(text(group))])
        .with_include_authorized_operations(true);
    let answer = connection.call(&request, Duration::ZERO).await?;
    let found = answer.groups.into_iter().next().ok_or_else(|| left_out(connection, group))?;
    // The broker has the API but not the new protocol, or no such group.
    let absent = [Code::GroupIdNotFound.code(), Code::UnsupportedVersion.code()];
    if absent.contains(&found.error_code) {
        return Ok(None);
    }
    let place = || Place::Group(group.to_owned());
    check(Api::ConsumerGroupDescribe, found.error_code, place, found.error_message.as_deref())?;
    Ok(Some(consumer(found)))
}

fn left_out(connection: &Connection, group: &str) -> Error {
    let message = format!("left group {group} out of its answer");
    Error::Protocol { broker: connection.address().into(), message }
}

fn classic(group: ClassicGroup) -> GroupDescription {
    let member = |member: kafka_protocol::messages::describe_groups_response::DescribedGroupMember| GroupMember {
        id: member.member_id.to_string(),
        client_id: member.client_id.to_string(),
        instance_id: member.group_instance_id.map(|id| id.to_string()),
        host: member.client_host.to_string(),
    };
    GroupDescription {
        id: group.group_id.to_string(),
        protocol_type: group.protocol_type.to_string(),
        state: group.group_state.as_str().into(),
        members: group.members.into_iter().map(member).collect(),
        operations: Operations::told(group.authorized_operations),
    }
}

fn consumer(group: ConsumerGroup) -> GroupDescription {
    let member = |member: kafka_protocol::messages::consumer_group_describe_response::Member| GroupMember {
        id: member.member_id.to_string(),
        client_id: member.client_id.to_string(),
        instance_id: member.instance_id.map(|id| id.to_string()),
        host: member.client_host.to_string(),
    };
    GroupDescription {
        id: group.group_id.to_string(),
        protocol_type: "consumer".to_owned(),
        state: group.group_state.as_str().into(),
        members: group.members.into_iter().map(member).collect(),
        operations: Operations::told(group.authorized_operations),
    }
}
