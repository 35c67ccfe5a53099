//! The target, as far as settings are put there.

use std::collections::BTreeSet;
use std::sync::Arc;

use kafka::{AclBinding, ClientQuota, Cluster, ConfigChange, ConfigEntry, Each, QuotaChange, QuotaEntity, Result};

/// A cluster that is asked and changed.
pub(super) trait Target: Sync {
    /// The topics that it lists.
    fn listed(&self) -> impl Future<Output = Result<BTreeSet<Arc<str>>>> + Send;
    /// All configs of each topic.
    fn describe(&self, topics: &[Arc<str>]) -> impl Future<Output = Each<Arc<str>, Vec<ConfigEntry>>> + Send;
    /// Changes configs; those of one topic all or none.
    fn alter(&self, changes: &[ConfigChange]) -> impl Future<Output = Each<Arc<str>, ()>> + Send;
    /// All client quotas.
    fn quotas(&self) -> impl Future<Output = Result<Vec<ClientQuota>>> + Send;
    /// Changes client quotas; those of one entity all or none.
    fn alter_quotas(&self, changes: &[QuotaChange]) -> impl Future<Output = Each<QuotaEntity, ()>> + Send;
    /// All ACLs; none without an authorizer.
    fn acls(&self) -> impl Future<Output = Result<Option<Vec<AclBinding>>>> + Send;
    /// Adds ACLs.
    fn create(&self, acls: &[AclBinding]) -> impl Future<Output = Each<AclBinding, ()>> + Send;
}

impl Target for Cluster {
    async fn listed(&self) -> Result<BTreeSet<Arc<str>>> {
        let target = self;
        Ok(target.topics().await?.into_iter().map(|topic| topic.name).collect())
    }

    async fn describe(&self, topics: &[Arc<str>]) -> Each<Arc<str>, Vec<ConfigEntry>> {
        let target = self;
        target.topic_configs(topics).await
    }

    async fn alter(&self, changes: &[ConfigChange]) -> Each<Arc<str>, ()> {
        let target = self;
        target.alter_topic_configs(changes).await
    }

    async fn quotas(&self) -> Result<Vec<ClientQuota>> {
        let target = self;
        target.client_quotas().await
    }

    async fn alter_quotas(&self, changes: &[QuotaChange]) -> Each<QuotaEntity, ()> {
        let target = self;
        target.alter_client_quotas(changes).await
    }

    async fn acls(&self) -> Result<Option<Vec<AclBinding>>> {
        let target = self;
        target.describe_acls().await
    }

    async fn create(&self, acls: &[AclBinding]) -> Each<AclBinding, ()> {
        let target = self;
        target.create_acls(acls).await
    }
}
