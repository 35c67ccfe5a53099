//! What a migration may change on the target, as it is at one moment.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kafka::{AclBinding, ClientQuota, Cluster};
use migration::{Error, Result};
use runtime::Run;
use serde::{Deserialize, Serialize};

use crate::configs::{TopicConfigs, is_copying};
use crate::create::created;
use crate::inventory::{Topic, Topics, existing};
use crate::refusal::unless_refused;

/// Where the state that the migration found is in the run's store.
pub(crate) const BEFORE: &str = "topology/before.json";

/// The counterparts of the source's topics, all ACLs and all client quotas of a target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TargetState {
    /// Topics by name.
    pub topics: BTreeMap<Arc<str>, TopicState>,
    /// ACLs; none when the target has no authorizer.
    pub acls: Option<Vec<AclBinding>>,
    /// Client quotas; none when the target does not tell them.
    pub quotas: Option<Vec<ClientQuota>>,
}

/// A topic of the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicState {
    /// Number of partitions.
    pub partitions: usize,
    /// Most replicas of a partition.
    pub replication_factor: usize,
    /// Configs set on the topic itself.
    pub configs: TopicConfigs,
}

impl From<&Topic> for TopicState {
    fn from(topic: &Topic) -> Self {
        Self {
            partitions: topic.info.partitions.len(),
            replication_factor: topic.replication_factor(),
            configs: topic.configs.clone(),
        }
    }
}

impl TargetState {
    /// Reads the state of `target`, with those of its topics that are `wanted`.
    ///
    /// # Errors
    /// When the target cannot be asked.
    pub async fn read(target: &Cluster, wanted: impl Fn(&Arc<str>) -> bool) -> Result<Self> {
        let (topics, acls, quotas) =
            tokio::join!(existing(target, wanted), target.describe_acls(), target.client_quotas());
        Ok(Self::of(&topics?, acls?, unless_refused(quotas)?.ok()))
    }

    /// Reads the state of `target` once it shows all of `topics`.
    ///
    /// # Errors
    /// As [`created`] and [`TargetState::read`].
    pub async fn read_with(target: &Cluster, topics: &Topics) -> Result<Self> {
        let (topics, acls, quotas) =
            tokio::join!(created(target, topics), target.describe_acls(), target.client_quotas());
        Ok(Self::of(&topics?, acls?, unless_refused(quotas)?.ok()))
    }

    fn of(topics: &Topics, acls: Option<Vec<AclBinding>>, quotas: Option<Vec<ClientQuota>>) -> Self {
        let topics = topics.iter().map(|(name, topic)| (name.clone(), topic.into())).collect();
        Self { topics, acls, quotas }
    }

    /// Topics under copy-time configs get those that they `had` before a run of this migration that was removed: nobody set
    /// copy-time configs on purpose.
    pub fn remember(&mut self, had: &BTreeMap<Arc<str>, TopicConfigs>) {
        for (name, topic) in self.topics.iter_mut().filter(|(_, topic)| is_copying(&topic.configs)) {
            if let Some(configs) = had.get(name) {
                topic.configs.clone_from(configs);
            }
        }
    }

    /// What the target had before the migration touched it.
    ///
    /// # Errors
    /// Blocked before the topology was copied; otherwise what S3 gives.
    pub async fn before(run: &Run<'_>) -> Result<Self> {
        run.store.get_json(BEFORE).await
    }

    /// Whether it is on record already what the target had.
    ///
    /// # Errors
    /// What S3 gives.
    pub async fn is_on_record(run: &Run<'_>) -> Result<bool> {
        Ok(run.store.get(BEFORE).await?.is_some())
    }

    /// Puts on record that this is what the target had. What is on record already stays.
    ///
    /// # Errors
    /// What S3 gives.
    pub async fn record(&self, run: &Run<'_>) -> Result<()> {
        let body = serde_json::to_vec(self).map_err(|error| Error::internal(format_args!("{BEFORE}: {error}")))?;
        run.store.put_once(BEFORE, body.into(), HashMap::new()).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configs::copying;

    #[test]
    fn copy_time_configs_of_a_removed_run_are_not_what_the_target_had() {
        let topic = |configs| TopicState { partitions: 1, replication_factor: 1, configs };
        let own = |value: &str| TopicConfigs::from([("retention.ms".to_owned(), value.to_owned())]);
        let found = [("left", copying(1)), ("altered", own("7")), ("new", copying(1))];
        let topics = found.map(|(name, configs)| (Arc::from(name), topic(configs)));
        let mut state = TargetState { topics: topics.into(), ..TargetState::default() };
        state.remember(&[("left".into(), own("5")), ("altered".into(), own("6"))].into());
        let configs = |name: &str| state.topics[&Arc::from(name)].configs.clone();
        assert_eq!((configs("left"), configs("altered"), configs("new")), (own("5"), own("7"), copying(1)));
    }
}
