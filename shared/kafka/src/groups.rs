//! Consumer groups: who they are, and the offsets they have committed.

mod commit;
mod committed;
mod describe;
mod kind;
mod limits;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use kafka_protocol::messages::ListGroupsRequest;
use serde::{Deserialize, Serialize};

use crate::cluster::Cluster;
use crate::error::{Error, Place, Result, check};
use crate::metadata::Metadata;
use crate::pool::Purpose;
use crate::{Api, Code};

pub use commit::NewOffset;
pub use committed::{CommittedOffset, Stability};
pub use describe::{GroupDescription, GroupMember};
pub use kind::{GroupState, GroupType};
pub(crate) use limits::unless_refused;
pub use limits::{CommitLimits, CoordinatorLimits};

/// The topic in which coordinators keep their groups. The leader of a partition coordinates the groups that are kept in it.
pub(crate) const OFFSETS: &str = "__consumer_offsets";

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
    /// Its type, if the coordinator tells (Kafka 3.8).
    #[serde(default)]
    pub group_type: Option<GroupType>,
}

impl Cluster {
    /// All groups of all coordinators, by id.
    ///
    /// # Errors
    /// [`Error::NoLeader`] while a partition of the groups' topic has no leader, also after asking again: nobody lists the
    /// groups that are kept in it.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>> {
        self.with_retries(|| async {
            let before = self.keeping_groups().await?;
            let listings = try_join_all(before.brokers.keys().map(|broker| self.groups_of(*broker))).await?;
            // While a coordinator moves, two brokers may list the same group, or none.
            if keepers(&before) != keepers(&*self.keeping_groups().await?) {
                let (api, code, place) = (Api::ListGroups, Code::NotCoordinator, Place::Cluster);
                return Err(Error::Broker { api, code, place, message: None });
            }
            let groups = listings.into_iter().flatten().map(|group| (group.id.clone(), group));
            Ok(groups.collect::<BTreeMap<_, _>>().into_values().collect())
        })
        .await
    }

    /// The cluster as it is now, with a leader for each partition of the groups' topic, as far as the topic can be seen.
    async fn keeping_groups(&self) -> Result<Arc<Metadata>> {
        self.invalidate();
        let metadata = self.metadata().await?;
        metadata.leaderless(OFFSETS).map_or(Ok(metadata), |partition| Err(Error::NoLeader { partition }))
    }

    /// The groups that `broker` keeps. Tried once.
    async fn groups_of(&self, broker: i32) -> Result<Vec<GroupListing>> {
        let answer = self.call(broker, Purpose::Admin, &ListGroupsRequest::default(), Duration::ZERO).await?;
        check(Api::ListGroups, answer.error_code, || Place::Broker(broker), None)?;
        let listing = |group: kafka_protocol::messages::list_groups_response::ListedGroup| GroupListing {
            id: group.group_id.to_string(),
            protocol_type: group.protocol_type.to_string(),
            state: group.group_state.as_str().into(),
            group_type: GroupType::told(&group.group_type),
        };
        Ok(answer.groups.into_iter().map(listing).collect())
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
    use crate::spread::{text, topic_name};

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
}
