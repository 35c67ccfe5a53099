//! What the function's principal may do, as brokers tell it.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka::{Cluster, Code, GroupListing, Operations};
use migration::Result;

use super::partly;
use crate::facts::{Partly, Permitted, Reached};

/// The topic that a cluster creates for its first consumer group.
const OFFSETS: &str = "__consumer_offsets";
/// Groups that are asked about at the same time.
const GROUPS_AT_ONCE: usize = 1_000;

/// Asks about the cluster and about `topics`, those that it does not have yet too.
pub(super) async fn on(cluster: &Cluster, topics: &[Arc<str>]) -> Permitted {
    let (operations, topics) = tokio::join!(cluster.cluster_operations(), cluster.topic_operations(topics));
    Permitted { cluster: operations.map_err(Into::into), topics: topics.map_err(Into::into), groups: Partly::default() }
}

/// Asks a cluster about the groups of the source. Not where that would make it create its `__consumer_offsets`.
pub(super) async fn on_groups(
    cluster: &Cluster,
    reached: &Reached,
    groups: &Result<Vec<GroupListing>>,
) -> Partly<BTreeMap<String, Operations>> {
    let Some(groups) = groups.as_ref().ok().filter(|_| reached.internal.contains(OFFSETS)) else {
        return Partly::default();
    };
    let ids: Vec<_> = groups.iter().map(|group| group.id.clone()).collect();
    let mut each = Vec::with_capacity(ids.len());
    for some in ids.chunks(GROUPS_AT_ONCE) {
        each.extend(cluster.group_operations(some).await.into_iter().map(told));
    }
    let Partly { known, missing } = partly(each);
    Partly { known: known.into_iter().filter_map(|(group, operations)| Some((group, operations?))).collect(), missing }
}

type Answer = (String, kafka::Result<Option<Operations>>);

/// Who may not even describe a group may do nothing to it: every other operation implies that one
/// (`org.apache.kafka.security.authorizer.AclEntry`).
fn told((group, answer): Answer) -> Answer {
    match answer {
        Err(error) if error.code() == Some(Code::GroupAuthorizationFailed) => (group, Ok(Some(Operations::of(&[])))),
        answer => (group, answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::{Api, Error, Place};

    #[test]
    fn a_group_that_may_not_be_described_is_one_to_which_nothing_may_be_done() {
        let refused =
            |code| Error::Broker { api: Api::DescribeGroups, code, place: Place::Group("g".into()), message: None };
        let answer = |code| told(("g".to_owned(), Err(refused(code)))).1;
        assert_eq!(answer(Code::GroupAuthorizationFailed), Ok(Some(Operations::of(&[]))));
        assert_eq!(answer(Code::NotCoordinator), Err(refused(Code::NotCoordinator)));
    }
}
