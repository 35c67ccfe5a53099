//! The topics of a cluster that a migration is about.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kafka::{Cluster, ConfigEntry, ConfigSource, TopicInfo};
use migration::config::Topology;
use migration::{Error, Result, TopicPartition};

use crate::configs::TopicConfigs;

/// How often a target is looked at until it shows every topic, and the pause in between.
const LOOKS: u32 = 100;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Topics by name.
pub type Topics = BTreeMap<Arc<str>, Topic>;

/// A topic and what was configured for it.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Name and partitions.
    pub info: TopicInfo,
    /// Configs set on the topic itself.
    pub configs: TopicConfigs,
    /// What topics of its cluster take from their brokers, by config. It counts where `configs` sets nothing.
    pub inherited: Arc<TopicConfigs>,
    /// `max.message.bytes` in force, in bytes, wherever it comes from.
    pub max_message_bytes: i64,
}

impl Topic {
    /// Replication factor: the most replicas a partition has.
    pub fn replication_factor(&self) -> usize {
        self.info.partitions.iter().map(|partition| partition.replicas.len()).max().unwrap_or(1)
    }

    /// The value of `config` in force: its own, or its brokers'.
    pub fn in_force(&self, config: &str) -> Option<&str> {
        self.configs.get(config).or_else(|| self.inherited.get(config)).map(String::as_str)
    }

    /// Its partitions.
    pub fn partitions(&self) -> impl Iterator<Item = TopicPartition> {
        self.info.topic_partitions()
    }
}

/// The topics of a source.
#[derive(Debug)]
pub struct Inventory {
    /// The topics to migrate.
    pub topics: Topics,
    /// Names of the topics that the cluster, or MSK Connect, keeps for itself.
    pub internal: Vec<String>,
    /// Names of the topics that `topology.include` and `topology.exclude` leave to another migration.
    pub outside: Vec<String>,
}

/// The topics of `source`, told apart by what becomes of them.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn inventory(source: &Cluster, selection: &Topology) -> Result<Inventory> {
    let (selected, others): (Vec<_>, Vec<_>) =
        source.topics().await?.into_iter().partition(|topic| is_selected(topic, selection));
    let (internal, outside): (Vec<_>, Vec<_>) = others.into_iter().partition(|topic| is_left(topic, selection));
    Ok(Inventory { topics: configured(source, selected).await?, internal: names(&internal), outside: names(&outside) })
}

/// Those of the topics that `cluster` has, with their configs.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn existing(cluster: &Cluster, is_wanted: impl Fn(&Arc<str>) -> bool) -> Result<Topics> {
    let mut there = cluster.topics().await?;
    there.retain(|topic| is_wanted(&topic.name));
    configured(cluster, there).await
}

/// The counterparts of all of `topics` on `target`, once it shows them: a broker lists a new topic behind the controller's
/// answer.
///
/// # Errors
/// `missing`, about the first topic that the target does not show; otherwise what the cluster gives.
pub async fn listed<T>(target: &Cluster, topics: &BTreeMap<Arc<str>, T>, missing: Error) -> Result<Topics> {
    let mut there = existing(target, |topic| topics.contains_key(topic)).await?;
    for _ in 1..LOOKS {
        if there.len() == topics.len() {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        there = existing(target, |topic| topics.contains_key(topic)).await?;
    }
    match topics.keys().find(|topic| !there.contains_key(*topic)) {
        None => Ok(there),
        Some(topic) => Err(missing.at_topic(topic)),
    }
}

/// Whether a topic of the source is to be migrated.
pub(crate) fn is_selected(topic: &TopicInfo, selection: &Topology) -> bool {
    !is_left(topic, selection) && selection.selects(&topic.name)
}

fn is_left(topic: &TopicInfo, selection: &Topology) -> bool {
    topic.internal || selection.leaves(&topic.name)
}

fn names(topics: &[TopicInfo]) -> Vec<String> {
    let mut names: Vec<_> = topics.iter().map(|topic| topic.name.to_string()).collect();
    names.sort_unstable();
    names
}

/// `topics` of `cluster` with their configs.
async fn configured(cluster: &Cluster, topics: Vec<TopicInfo>) -> Result<Topics> {
    let names: Vec<_> = topics.iter().map(|topic| topic.name.clone()).collect();
    let mut entries = kafka::all_ok(cluster.topic_configs(&names).await)?;
    let inherited = Arc::new(inherited(entries.values()));
    let mut configured = BTreeMap::new();
    for info in topics {
        let entries = entries.remove(&info.name).ok_or_else(|| Error::transient("a topic's configs are missing"))?;
        let set = entries.iter().filter(|entry| entry.source == ConfigSource::DynamicTopic && !entry.read_only);
        let configs = set.filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?))).collect();
        let in_force = entries.iter().find(|entry| entry.name == "max.message.bytes");
        let max_message_bytes = in_force.and_then(|entry| entry.value.as_deref()?.parse().ok()).unwrap_or(0);
        configured.insert(info.name.clone(), Topic { info, configs, inherited: inherited.clone(), max_message_bytes });
    }
    Ok(configured)
}

/// What the described topics take from their brokers, by config: one that every topic sets itself is inherited by none.
pub fn inherited<'a>(described: impl Iterator<Item = &'a Vec<ConfigEntry>>) -> TopicConfigs {
    let mut inherited = TopicConfigs::new();
    for entry in described.flatten().filter(|entry| entry.source != ConfigSource::DynamicTopic) {
        if let (Some(value), false) = (&entry.value, inherited.contains_key(&entry.name)) {
            inherited.insert(entry.name.clone(), value.clone());
        }
    }
    inherited
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_topics_inherit_is_told_by_those_that_do_not_set_it() {
        let entry = |name: &str, value: &str, source| ConfigEntry {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            source,
            read_only: false,
            sensitive: false,
        };
        let own = vec![entry("retention.ms", "7", ConfigSource::DynamicTopic)];
        let other = vec![
            entry("retention.ms", "-1", ConfigSource::DynamicDefaultBroker),
            entry("cleanup.policy", "delete", ConfigSource::Default),
        ];
        let inherited = inherited([&own, &other].into_iter());
        assert_eq!((&*inherited["retention.ms"], &*inherited["cleanup.policy"], inherited.len()), ("-1", "delete", 2));
    }

    #[test]
    fn internal_topics_are_no_topics_of_any_wave() {
        let topic = |name: &str, internal| TopicInfo { name: name.into(), id: None, internal, partitions: Vec::new() };
        let wave = Topology { include: vec![".*s".parse().unwrap()], ..Topology::default() };
        assert!(is_selected(&topic("orders", false), &wave));
        assert!(!is_selected(&topic("order", false), &wave), "outside");
        assert!(!is_selected(&topic("__consumer_offsets", true), &wave));
        assert!(!is_selected(&topic("__amazon_msk_canary_stats", false), &wave));
    }
}
