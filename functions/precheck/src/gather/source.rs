//! What only matters of a cluster that is left: configs, groups, ACLs, quotas, transactions, sizes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use kafka::{Cluster, GroupDescription, GroupListing, OffsetSpec, TopicPartition, Transaction};
use migration::{Result, scope};
use topology::transactions::OpenTransaction;

use super::sample::{self, Log};
use super::{brokers, partly, permitted};
use crate::facts::{Leaving, Partly, Reached, Sample, TopicConfig, Transactions};

/// Groups whose members are asked for at the same time.
const GROUPS_AT_ONCE: usize = 1_000;
/// The topic that a cluster creates for its first transactional producer (KIP-98).
pub(crate) const TRANSACTIONS: &str = "__transaction_state";

/// Reads a source.
pub(super) async fn read(cluster: &Cluster, reached: &Reached) -> Leaving {
    let topics: Vec<_> = reached.topics.keys().cloned().collect();
    let (contents, brokers, (groups, static_members), acls, transactions, quotas, mut permitted) = tokio::join!(
        contents(cluster, reached),
        brokers::configs(cluster, &reached.brokers),
        groups(cluster),
        cluster.describe_acls(),
        transactions(cluster, reached),
        cluster.client_quotas(),
        permitted::on(cluster, &topics),
    );
    permitted.groups = permitted::on_groups(cluster, reached, &groups).await;
    let Contents { configs, inherited, sizes, logs, sample } = contents;
    let (acls, quotas) = (acls.map_err(Into::into), quotas.map_err(Into::into));
    Leaving {
        configs,
        inherited,
        brokers,
        groups,
        static_members,
        acls,
        transactions,
        sizes,
        logs,
        sample,
        quotas,
        permitted,
    }
}

/// What the topics are and hold.
struct Contents {
    configs: Partly<BTreeMap<Arc<str>, TopicConfig>>,
    inherited: BTreeMap<String, String>,
    sizes: Result<BTreeMap<TopicPartition, i64>>,
    logs: Partly<BTreeMap<TopicPartition, Range<i64>>>,
    sample: Partly<Sample>,
}

async fn contents(cluster: &Cluster, reached: &Reached) -> Contents {
    let partitions = reached.led(reached.topics.keys());
    let ((configs, inherited), sizes, starts, ends) = tokio::join!(
        configs(cluster, reached),
        cluster.log_sizes(),
        cluster.list_offsets(&partitions, OffsetSpec::Earliest),
        cluster.list_offsets(&partitions, OffsetSpec::Latest),
    );
    let logs = bounds(partly(starts), partly(ends));
    let sample = match &sizes {
        Ok(sizes) => sample::look(cluster, judgeable(sizes, &logs.known, &configs.known)).await,
        // Without sizes nobody knows where to look; that they are missing is a finding already.
        Err(_) => Partly::default(),
    };
    let sizes = sizes.map_err(Into::into).map(|mut sizes| {
        sizes.retain(|partition, _| reached.topics.contains_key(&partition.topic));
        sizes
    });
    Contents { configs, inherited, sizes, logs, sample }
}

type Offsets = Partly<BTreeMap<TopicPartition, i64>>;

/// From where to where logs go.
fn bounds(starts: Offsets, mut ends: Offsets) -> Partly<BTreeMap<TopicPartition, Range<i64>>> {
    let both = |(partition, start)| ends.known.remove(&partition).map(|end| (partition, start..end));
    let known = starts.known.into_iter().filter_map(both).collect();
    let missing = [starts.missing, ends.missing].into_iter().flatten().max_by_key(|(number, _)| *number);
    Partly { known, missing }
}

/// The logs of which all is known that a look into them needs.
fn judgeable(
    sizes: &BTreeMap<TopicPartition, i64>,
    logs: &BTreeMap<TopicPartition, Range<i64>>,
    configs: &BTreeMap<Arc<str>, TopicConfig>,
) -> Vec<Log> {
    let log = |(partition, bytes): (&TopicPartition, &i64)| {
        let limit = configs.get(&partition.topic)?.copy_limit()?;
        let Range { start, end } = *logs.get(partition)?;
        Some(Log { partition: partition.clone(), start, end, bytes: *bytes, limit })
    };
    sizes.iter().filter_map(log).collect()
}

async fn configs(
    cluster: &Cluster,
    reached: &Reached,
) -> (Partly<BTreeMap<Arc<str>, TopicConfig>>, BTreeMap<String, String>) {
    let names: Vec<_> = reached.topics.keys().cloned().collect();
    let Partly { known, missing } = partly(cluster.topic_configs(&names).await);
    let inherited = topology::inventory::inherited(known.values());
    let known = known.into_iter().map(|(topic, entries)| (topic, brokers::topic_config(&entries))).collect();
    (Partly { known, missing }, inherited)
}

type Groups = (Result<Vec<GroupListing>>, Partly<BTreeMap<String, Vec<String>>>);

async fn groups(cluster: &Cluster) -> Groups {
    let mut groups = match cluster.list_groups().await {
        Ok(groups) => groups,
        Err(error) => return (Err(error.into()), Partly::default()),
    };
    groups.retain(|group| !scope::is_internal_group(&group.id));
    let active: Vec<_> = groups.iter().filter(|group| group.state.is_active()).map(|group| group.id.clone()).collect();
    let mut described = Vec::with_capacity(active.len());
    for some in active.chunks(GROUPS_AT_ONCE) {
        described.extend(cluster.describe_groups(some).await);
    }
    let Partly { known, missing } = partly(described);
    (Ok(groups), Partly { known: static_members(known), missing })
}

fn static_members(groups: BTreeMap<String, GroupDescription>) -> BTreeMap<String, Vec<String>> {
    let ids = |group: GroupDescription| {
        let mut ids: Vec<_> = group.members.into_iter().filter_map(|member| member.instance_id).collect();
        ids.sort_unstable();
        ids
    };
    let members = groups.into_iter().map(|(id, group)| (id, ids(group)));
    members.filter(|(_, ids)| !ids.is_empty()).collect()
}

async fn transactions(cluster: &Cluster, reached: &Reached) -> Option<Transactions> {
    if !reached.internal.contains(TRANSACTIONS) {
        return None;
    }
    let (producers, open) = tokio::join!(producers(cluster), open(cluster, reached));
    Some(Transactions { producers, open })
}

async fn producers(cluster: &Cluster) -> Result<Option<Vec<Transaction>>> {
    match cluster.transactions().await {
        Err(kafka::Error::UnsupportedApi { .. }) => Ok(None),
        outcome => Ok(Some(outcome?)),
    }
}

/// The transactions that hold a last stable offset back.
async fn open(cluster: &Cluster, reached: &Reached) -> Result<Vec<OpenTransaction>> {
    let partitions = reached.led(reached.topics.keys());
    // In this order, so that the last stable offset of an idle partition is not older than its high watermark.
    let ends = kafka::all_ok(cluster.list_offsets(&partitions, OffsetSpec::Latest).await)?;
    let mut stable = kafka::all_ok(cluster.list_offsets(&partitions, OffsetSpec::LastStable).await)?;
    stable.retain(|partition, stable| *stable < ends[partition]);
    topology::transactions::open(cluster, &stable, chrono::Utc::now()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::{GroupMember, GroupState};

    #[test]
    fn partitions_that_do_not_tell_both_ends_are_counted_once() {
        let orders = |partition| TopicPartition::new("orders", partition);
        let offsets = |known: &[(i32, i64)], missing: usize| Partly {
            known: known.iter().map(|(partition, offset)| (orders(*partition), *offset)).collect(),
            missing: (missing > 0).then(|| (missing, migration::Error::blocked("denied"))),
        };
        let logs = bounds(offsets(&[(0, 3), (1, 4)], 1), offsets(&[(0, 9)], 2));
        assert_eq!(logs.known, BTreeMap::from([(orders(0), 3..9)]));
        assert_eq!(logs.missing.map(|(number, _)| number), Some(2));
    }

    #[test]
    fn only_members_with_an_instance_id_are_static() {
        let member = |instance: Option<&str>| GroupMember {
            id: "m".into(),
            client_id: "c".into(),
            instance_id: instance.map(str::to_owned),
            host: "/10.0.0.1".into(),
        };
        let group = |members| GroupDescription {
            id: "g".into(),
            protocol_type: "consumer".into(),
            state: GroupState::Stable,
            group_type: None,
            members,
            operations: None,
        };
        let groups = BTreeMap::from([
            ("billing".to_owned(), group(vec![member(Some("b")), member(None), member(Some("a"))])),
            ("audit".to_owned(), group(vec![member(None)])),
        ]);
        assert_eq!(static_members(groups), BTreeMap::from([("billing".into(), vec!["a".into(), "b".into()])]));
    }
}
