//! The members of groups, whatever their type.

use std::collections::HashMap;
use std::time::Duration;

use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup as ConsumerGroup;
use kafka_protocol::messages::describe_groups_response::DescribedGroup as ClassicGroup;
use kafka_protocol::messages::share_group_describe_response::DescribedGroup as ShareGroup;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, DescribeGroupsRequest, GroupId, ListGroupsRequest, ShareGroupDescribeRequest,
};
use serde::{Deserialize, Serialize};

use super::{GroupListing, GroupState, GroupType};
use crate::admin::Operations;
use crate::cluster::Cluster;
use crate::connection::Connection;
use crate::coordinators::Keeps;
use crate::error::{Each, Place, Result, check};
use crate::pool::Purpose;
use crate::spread::{Outcomes, text};
use crate::{Api, Code};

/// Groups in one question.
const GROUPS_PER_REQUEST: usize = 100;
/// The first version of ListGroups that tells types (KIP-848).
const TELLS_TYPES: i16 = 5;

/// A group and its members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupDescription {
    /// Group id.
    pub id: String,
    /// As in [`GroupListing`].
    pub protocol_type: String,
    /// What it is doing.
    pub state: GroupState,
    /// Its members now. Not told of groups whose type is [`GroupType::Streams`] or newer.
    pub members: Vec<GroupMember>,
    /// What this client may do to it (KIP-430), whether it exists or not; none where the coordinator does not tell.
    pub operations: Option<Operations>,
    /// Its type; none for a group that does not exist.
    #[serde(default)]
    pub group_type: Option<GroupType>,
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
    /// Type, state and members of each group, many in one request. A group that does not exist is [`GroupState::Dead`].
    pub async fn describe_groups(&self, groups: &[String]) -> Each<String, GroupDescription> {
        self.settle(groups.to_vec(), String::clone, |groups| self.describe_once(groups)).await
    }

    async fn describe_once(&self, groups: Vec<String>) -> Each<String, GroupDescription> {
        let ask = |broker, groups| self.describe_at(broker, groups);
        self.per_coordinator(Keeps::Group, groups, GROUPS_PER_REQUEST, ask).await
    }

    /// Brokers have a request for each type, which takes groups of the others for dead, or for not there.
    async fn describe_at(&self, broker: i32, groups: Vec<String>) -> Result<Outcomes<String, GroupDescription>> {
        let connection = self.connection(broker, Purpose::Admin).await?;
        let mut described = classic_groups(&connection, &groups).await?;
        if connection.offers(Api::ConsumerGroupDescribe) {
            let found = consumer_groups(&connection, &unknown(&described)).await?;
            described.extend(found);
        }
        if unknown(&described).is_empty() || connection.version::<ListGroupsRequest>()? < TELLS_TYPES {
            return Ok(described);
        }
        let listed: HashMap<_, _> =
            self.groups_of(broker).await?.into_iter().map(|group| (group.id.clone(), group)).collect();
        for group in unknown(&described) {
            let (Some(Ok(description)), Some(listing)) = (described.get_mut(&group), listed.get(&group)) else {
                continue;
            };
            description.is_listed_as(listing);
        }
        if connection.version::<ShareGroupDescribeRequest>().is_ok() {
            let share = described
                .iter()
                .filter(|(_, found)| found.as_ref().is_ok_and(|group| group.group_type == Some(GroupType::Share)));
            let share: Vec<_> = share.map(|(group, _)| group.clone()).collect();
            described.extend(share_groups(&connection, &share).await?);
        }
        Ok(described)
    }
}

impl GroupDescription {
    fn is_listed_as(&mut self, listing: &GroupListing) {
        self.protocol_type.clone_from(&listing.protocol_type);
        self.state = listing.state.clone();
        self.group_type.clone_from(&listing.group_type);
    }
}

/// Those that are dead as far as is known.
fn unknown(described: &Outcomes<String, GroupDescription>) -> Vec<String> {
    let dead = described.iter().filter(|(_, found)| found.as_ref().is_ok_and(|group| group.state == GroupState::Dead));
    dead.map(|(group, _)| group.clone()).collect()
}

fn ids(groups: &[String]) -> Vec<GroupId> {
    groups.iter().map(|group| GroupId(text(group))).collect()
}

async fn classic_groups(connection: &Connection, groups: &[String]) -> Result<Outcomes<String, GroupDescription>> {
    let request = DescribeGroupsRequest::default().with_groups(ids(groups)).with_include_authorized_operations(true);
    let answer = connection.call(&request, Duration::ZERO).await?;
    let found = answer.groups.into_iter().map(|found| {
        let group = found.group_id.to_string();
        let outcome = check(Api::DescribeGroups, found.error_code, || Place::Group(group.clone()), None);
        (group, outcome.map(|()| classic(found)))
    });
    Ok(found.collect())
}

/// What the request for another type says about a group that is of none it knows: the broker has the request but not the protocol,
/// or there is no such group of this type.
fn is_absent(code: i16) -> bool {
    [Code::GroupIdNotFound.code(), Code::UnsupportedVersion.code()].contains(&code)
}

/// Those of `groups` that are of this type.
async fn consumer_groups(connection: &Connection, groups: &[String]) -> Result<Outcomes<String, GroupDescription>> {
    if groups.is_empty() {
        return Ok(Outcomes::new());
    }
    let request =
        ConsumerGroupDescribeRequest::default().with_group_ids(ids(groups)).with_include_authorized_operations(true);
    let answer = connection.call(&request, Duration::ZERO).await?;
    let of_this_type = answer.groups.into_iter().filter(|found| !is_absent(found.error_code));
    let found = of_this_type.map(|found| {
        let group = found.group_id.to_string();
        let (place, message) = (|| Place::Group(group.clone()), found.error_message.as_deref());
        let outcome = check(Api::ConsumerGroupDescribe, found.error_code, place, message);
        (group, outcome.map(|()| consumer(found)))
    });
    Ok(found.collect())
}

/// Those of `groups` that are of this type.
async fn share_groups(connection: &Connection, groups: &[String]) -> Result<Outcomes<String, GroupDescription>> {
    if groups.is_empty() {
        return Ok(Outcomes::new());
    }
    let request =
        ShareGroupDescribeRequest::default().with_group_ids(ids(groups)).with_include_authorized_operations(true);
    let answer = connection.call(&request, Duration::ZERO).await?;
    let of_this_type = answer.groups.into_iter().filter(|found| !is_absent(found.error_code));
    let found = of_this_type.map(|found| {
        let group = found.group_id.to_string();
        let (place, message) = (|| Place::Group(group.clone()), found.error_message.as_deref());
        let outcome = check(Api::ShareGroupDescribe, found.error_code, place, message);
        (group, outcome.map(|()| share(found)))
    });
    Ok(found.collect())
}

fn classic(group: ClassicGroup) -> GroupDescription {
    let member = |member: kafka_protocol::messages::describe_groups_response::DescribedGroupMember| GroupMember {
        id: member.member_id.to_string(),
        client_id: member.client_id.to_string(),
        instance_id: member.group_instance_id.map(|id| id.to_string()),
        host: member.client_host.to_string(),
    };
    let state = GroupState::from(group.group_state.as_str());
    GroupDescription {
        id: group.group_id.to_string(),
        protocol_type: group.protocol_type.to_string(),
        members: group.members.into_iter().map(member).collect(),
        operations: Operations::told(group.authorized_operations),
        group_type: (state != GroupState::Dead).then_some(GroupType::Classic),
        state,
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
        group_type: Some(GroupType::Consumer),
    }
}

fn share(group: ShareGroup) -> GroupDescription {
    let member = |member: kafka_protocol::messages::share_group_describe_response::Member| GroupMember {
        id: member.member_id.to_string(),
        client_id: member.client_id.to_string(),
        instance_id: None,
        host: member.client_host.to_string(),
    };
    GroupDescription {
        id: group.group_id.to_string(),
        protocol_type: "share".to_owned(),
        state: group.group_state.as_str().into(),
        members: group.members.into_iter().map(member).collect(),
        operations: Operations::told(group.authorized_operations),
        group_type: Some(GroupType::Share),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU16, Ordering};

    use kafka_protocol::messages::find_coordinator_response::Coordinator;
    use kafka_protocol::messages::list_groups_response::ListedGroup;
    use kafka_protocol::messages::share_group_describe_response::Member as ShareMember;
    use kafka_protocol::messages::{
        ApiKey, ConsumerGroupDescribeResponse, DescribeGroupsResponse, FindCoordinatorRequest, FindCoordinatorResponse,
        ListGroupsResponse, ShareGroupDescribeResponse,
    };

    use super::*;
    use crate::fake::{Asked, FakeBroker, Reaction, hasty, metadata};

    /// What a broker of Kafka 4 says about groups whose names are their types.
    fn of_all_types(asked: &Asked) -> Reaction {
        match asked.api {
            ApiKey::FindCoordinator => {
                let keys = asked.request::<FindCoordinatorRequest>().coordinator_keys;
                let found = keys.into_iter().map(|key| Coordinator::default().with_key(key).with_node_id(1.into()));
                asked.answer(&FindCoordinatorResponse::default().with_coordinators(found.collect()))
            }
            ApiKey::DescribeGroups => {
                let group = |id: GroupId| {
                    let state = if &**id == "classic" { "Empty" } else { "Dead" };
                    ClassicGroup::default().with_group_id(id).with_group_state(text(state))
                };
                let groups = asked.request::<DescribeGroupsRequest>().groups.into_iter().map(group);
                asked.answer(&DescribeGroupsResponse::default().with_groups(groups.collect()))
            }
            ApiKey::ConsumerGroupDescribe => {
                let group = |id: GroupId| {
                    let absent = &**id != "consumer";
                    let code = if absent { Code::GroupIdNotFound.code() } else { 0 };
                    ConsumerGroup::default().with_group_id(id).with_group_state(text("Stable")).with_error_code(code)
                };
                let groups = asked.request::<ConsumerGroupDescribeRequest>().group_ids.into_iter().map(group);
                asked.answer(&ConsumerGroupDescribeResponse::default().with_groups(groups.collect()))
            }
            ApiKey::ShareGroupDescribe => {
                let member = ShareMember::default().with_client_id(text("app")).with_client_host(text("/192.0.2.1"));
                let group = |id: GroupId| {
                    assert_eq!(&**id, "share");
                    ShareGroup::default()
                        .with_group_id(id)
                        .with_group_state(text("Stable"))
                        .with_members(vec![member.clone()])
                };
                let groups = asked.request::<ShareGroupDescribeRequest>().group_ids.into_iter().map(group);
                asked.answer(&ShareGroupDescribeResponse::default().with_groups(groups.collect()))
            }
            _ => {
                let listed = |id: &'static str, state: &'static str| {
                    ListedGroup::default()
                        .with_group_id(GroupId(text(id)))
                        .with_group_state(text(state))
                        .with_protocol_type(text(id))
                        .with_group_type(text(id))
                };
                let groups = vec![listed("share", "Stable"), listed("streams", "NotReady"), listed("classic", "Empty")];
                asked.answer(&ListGroupsResponse::default().with_groups(groups))
            }
        }
    }

    #[tokio::test]
    async fn a_group_of_another_type_is_not_dead() {
        let port = Arc::new(AtomicU16::new(0));
        let own = port.clone();
        let broker = FakeBroker::start(move |asked| match asked.api {
            ApiKey::ApiVersions => None,
            ApiKey::Metadata => Some(asked.answer(&metadata(&[own.load(Ordering::SeqCst)], &[1]))),
            _ => Some(of_all_types(asked)),
        })
        .await;
        port.store(broker.port, Ordering::SeqCst);
        let cluster = Cluster::connect(hasty(&[broker.address()])).await.unwrap();
        let groups = ["classic", "consumer", "share", "streams", "nobody"].map(str::to_owned);
        let described = crate::all_ok(cluster.describe_groups(&groups).await).unwrap();
        let found = |group: &str| (described[group].group_type.clone(), described[group].state.clone());
        assert_eq!(found("classic"), (Some(GroupType::Classic), GroupState::Empty));
        assert_eq!(found("consumer"), (Some(GroupType::Consumer), GroupState::Stable));
        assert_eq!(found("share"), (Some(GroupType::Share), GroupState::Stable));
        assert_eq!(found("streams"), (Some(GroupType::Streams), GroupState::Other("NotReady".to_owned())));
        assert_eq!(found("nobody"), (None, GroupState::Dead));
        assert_eq!(described["share"].members[0].host, "/192.0.2.1");
        assert_eq!(broker.asked(ApiKey::DescribeGroups).len(), 1, "one request for all of them");

        // Whoever has only classic groups is not listed.
        let before = broker.asked(ApiKey::ListGroups).len();
        crate::all_ok(cluster.describe_groups(&groups[..2]).await).unwrap();
        assert_eq!(broker.asked(ApiKey::ListGroups).len(), before);
    }
}
