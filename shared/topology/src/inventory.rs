//! The topics of a cluster that a migration is about.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka::{Cluster, ConfigSource, TopicInfo};
use migration::{Error, Result, TopicPartition, scope};

use crate::configs::TopicConfigs;

/// Topics by name.
pub type Topics = BTreeMap<Arc<str>, Topic>;

/// A topic and what was configured for it.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Name and partitions.
    pub info: TopicInfo,
    /// Configs set on the topic itself.
    pub configs: TopicConfigs,
    /// `max.message.bytes` in force, in bytes, wherever it comes from.
    pub max_message_bytes: i64,
}

impl Topic {
    /// Replication factor: the most replicas a partition has.
    pub fn replication_factor(&self) -> usize {
        self.info.partitions.iter().map(|partition| partition.replicas.len()).max().unwrap_or(1)
    }

    /// Its partitions.
    pub fn partitions(&self) -> impl Iterator<Item = TopicPartition> {
        self.info.topic_partitions()
    }
}

/// The topics of `cluster` that are not the cluster's own, by name, and the names of those that are.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn topics(cluster: &Cluster) -> Result<(Topics, Vec<String>)> {
    let (internal, own): (Vec<_>, Vec<_>) =
        cluster.topics().await?.into_iter().partition(|topic| topic.internal || scope::is_internal_topic(&topic.name));
    let names: Vec<_> = own.iter().map(|topic| topic.name.clone()).collect();
    let mut entries = kafka::all_ok(cluster.topic_configs(&names).await)?;
    let mut topics = BTreeMap::new();
    for info in own {
        let entries = entries.remove(&info.name).ok_or_else(|| Error::transient("a topic's configs are missing"))?;
        let set = entries.iter().filter(|entry| entry.source == ConfigSource::DynamicTopic && !entry.read_only);
        let configs = set.filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?))).collect();
        let in_force = entries.iter().find(|entry| entry.name == "max.message.bytes");
        let max_message_bytes = in_force.and_then(|entry| entry.value.as_deref()?.parse().ok()).unwrap_or(0);
        topics.insert(info.name.clone(), Topic { info, configs, max_message_bytes });
    }
    let mut skipped: Vec<_> = internal.iter().map(|topic| topic.name.to_string()).collect();
    skipped.sort();
    Ok((topics, skipped))
}
