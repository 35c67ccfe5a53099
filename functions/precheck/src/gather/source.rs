//! What only matters of a cluster that is left: configs, groups, ACLs, transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka::{Cluster, ConfigEntry, GroupDescription, GroupListing};
use migration::{Result, TopicPartition, scope};

use super::partly;
use crate::facts::{Leaving, Partly, Reached, TopicConfig};

/// Groups whose members are asked for at the same time.
const GROUPS_AT_ONCE: usize = 1_000;
/// Partitions whose producers are asked for at the same time, which bounds the size of the answers.
const PARTITIONS_AT_ONCE: usize = 2_000;
/// The topic that a cluster creates for its first transactional producer (KIP-98).
pub(crate) const TRANSACTIONS: &str = "__transaction_state";

/// Reads a source.
pub(super) async fn read(cluster: &Cluster, reached: &Reached) -> Leaving {
    let (configs, (groups, static_members), acls, open_transactions) = tokio::join!(
        configs(cluster, reached),
        groups(cluster),
        cluster.describe_acls(),
        transactions(cluster, reached)
    );
    Leaving { configs, groups, static_members, acls: acls.map_err(Into::into), open_transactions }
}

async fn configs(cluster: &Cluster, reached: &Reached) -> Partly<BTreeMap<Arc<str>, TopicConfig>> {
    let names: Vec<_> = reached.topics.keys().cloned().collect();
    let Partly { known, missing } = partly(cluster.topic_configs(&names).await);
    let known = known.into_iter().map(|(topic, entries)| (topic, topic_config(&entries))).collect();
    Partly { known, missing }
}

fn topic_config(entries: &[ConfigEntry]) -> TopicConfig {
    let value = |name: &str| entries.iter().find(|entry| entry.name == name).and_then(|entry| entry.value.as_deref());
    let number = |name: &str| value(name).and_then(|text| text.parse::<i64>().ok());
    // Every negative retention means no limit.
    let limit = |name: &str| number(name).filter(|limit| *limit >= 0);
    TopicConfig {
        max_message_bytes: number("max.message.bytes"),
        cleanup_policy: value("cleanup.policy").unwrap_or_default().to_owned(),
        retention_ms: limit("retention.ms").filter(|limit| *limit < i64::MAX),
        retention_bytes: limit("retention.bytes").filter(|limit| *limit < i64::MAX),
    }
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

async fn transactions(cluster: &Cluster, reached: &Reached) -> Option<Partly<BTreeSet<TopicPartition>>> {
    if !reached.internal.contains(TRANSACTIONS) {
        return None;
    }
    let partitions = reached.led(reached.topics.keys());
    let mut producers = Vec::with_capacity(partitions.len());
    for some in partitions.chunks(PARTITIONS_AT_ONCE) {
        producers.extend(cluster.describe_producers(some).await);
    }
    let Partly { known, missing } = partly(producers);
    let open = known.into_iter().filter(|(_, producers)| producers.iter().any(|one| one.transaction_start.is_some()));
    Some(Partly { known: open.map(|(partition, _)| partition).collect(), missing })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::{ConfigSource, GroupMember, GroupState};

    fn entry(name: &str, value: &str) -> ConfigEntry {
        let (name, value) = (name.to_owned(), Some(value.to_owned()));
        ConfigEntry { name, value, source: ConfigSource::Default, read_only: false, sensitive: false }
    }

    #[test]
    fn unlimited_retention_is_no_limit() {
        let config = topic_config(&[entry("retention.ms", "-1"), entry("retention.bytes", "1000")]);
        assert_eq!((config.retention_ms, config.retention_bytes), (None, Some(1000)));
        let config = topic_config(&[entry("retention.ms", "9223372036854775807"), entry("max.message.bytes", "17")]);
        assert_eq!((config.retention_ms, config.max_message_bytes), (None, Some(17)));
    }

    #[test]
    fn cleanup_policies_are_told_apart() {
        let config = topic_config(&[entry("cleanup.policy", "compact, delete")]);
        assert!(config.cleans_by("compact") && config.cleans_by("delete"));
        assert!(!topic_config(&[entry("cleanup.policy", "delete")]).cleans_by("compact"));
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
            members,
        };
        let groups = BTreeMap::from([
            ("billing".to_owned(), group(vec![member(Some("b")), member(None), member(Some("a"))])),
            ("audit".to_owned(), group(vec![member(None)])),
        ]);
        assert_eq!(static_members(groups), BTreeMap::from([("billing".into(), vec!["a".into(), "b".into()])]));
    }
}
