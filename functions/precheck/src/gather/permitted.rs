//! What the function's principal may do, as brokers tell it.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka::{Cluster, Operations};

use super::partly;
use crate::facts::{Leaving, Partly, Permitted, Reached};

/// The topic that a cluster creates for its first consumer group.
const OFFSETS: &str = "__consumer_offsets";
/// Groups that are asked about at the same time.
const GROUPS_AT_ONCE: usize = 1_000;

/// Asks about the cluster and about `topics`, those that it does not have yet too.
pub(super) async fn on(cluster: &Cluster, topics: &[Arc<str>]) -> Permitted {
    let (operations, topics) = tokio::join!(cluster.cluster_operations(), cluster.topic_operations(topics));
    Permitted { cluster: operations.map_err(Into::into), topics: topics.map_err(Into::into), groups: Partly::default() }
}

/// Asks a target about the groups of the source, whose offsets will be committed there. Not where that would make it create
/// its `__consumer_offsets`.
pub(super) async fn on_groups(
    cluster: &Cluster,
    target: &Reached,
    source: &Leaving,
) -> Partly<BTreeMap<String, Operations>> {
    let Some(groups) = source.groups.as_ref().ok().filter(|_| target.internal.contains(OFFSETS)) else {
        return Partly::default();
    };
    let ids: Vec<_> = groups.iter().map(|group| group.id.clone()).collect();
    let mut each = Vec::with_capacity(ids.len());
    for some in ids.chunks(GROUPS_AT_ONCE) {
        each.extend(cluster.group_operations(some).await);
    }
    let Partly { known, missing } = partly(each);
    Partly { known: known.into_iter().filter_map(|(group, operations)| Some((group, operations?))).collect(), missing }
}
