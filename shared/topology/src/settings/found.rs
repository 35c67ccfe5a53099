//! What the source has now of what the target is to get.

use std::collections::BTreeSet;
use std::sync::Arc;

use documents::SettingsFound;
use kafka::{AclBinding, ClientQuota, Cluster};
use migration::{Error, Result};
use runtime::Run;

use crate::inventory::{Topics, existing};
use crate::manifest::Manifest;
use crate::refusal::unless_refused;

/// What the source answered, with the reason where it does not answer.
pub(super) struct Source {
    /// The topics of this migration that it lists.
    pub(super) topics: Topics,
    /// Its client quotas.
    pub(super) quotas: std::result::Result<Vec<ClientQuota>, String>,
    /// Its ACLs; none without an authorizer.
    pub(super) acls: std::result::Result<Option<Vec<AclBinding>>, String>,
}

/// What the source has of configs of the wave's copied topics, client quotas and ACLs.
///
/// # Errors
/// When the source cannot be asked. That it does not describe its quotas or ACLs is none.
pub async fn find(run: &Run<'_>, source: &Cluster) -> Result<SettingsFound> {
    Ok(Source::read(source, &copied(run, &Manifest::load(run).await?)).await?.found())
}

/// The same with the configs of `topics`, as far as the source lists them.
///
/// # Errors
/// As [`find`].
pub async fn find_of(source: &Cluster, topics: &BTreeSet<Arc<str>>) -> Result<SettingsFound> {
    Ok(Source::read(source, topics).await?.found())
}

/// The topics that are copied, without deleted ones that the migration goes on without.
pub(super) fn copied(run: &Run<'_>, manifest: &Manifest) -> BTreeSet<Arc<str>> {
    let left_out = run.left_out();
    manifest.topics().into_keys().filter(|topic| !left_out.contains(&***topic)).cloned().collect()
}

impl Source {
    pub(super) async fn read(source: &Cluster, topics: &BTreeSet<Arc<str>>) -> Result<Self> {
        let (topics, quotas, acls) = tokio::join!(
            existing(source, |topic| topics.contains(topic)),
            source.client_quotas(),
            source.describe_acls()
        );
        Ok(Self { topics: topics?, quotas: unless_refused(quotas)?, acls: unless_refused(acls)? })
    }

    /// Refuses to go on without a topic that is `copied`: deleted ones were settled before.
    pub(super) fn refuse_missing(&self, copied: &BTreeSet<Arc<str>>) -> Result<()> {
        match copied.iter().find(|topic| !self.topics.contains_key(*topic)) {
            None => Ok(()),
            Some(missing) => Err(Error::transient("the source does not list the topic").at_topic(missing)),
        }
    }

    pub(super) fn found(&self) -> SettingsFound {
        SettingsFound {
            configs: self.topics.iter().map(|(name, topic)| (name.clone(), topic.configs.clone())).collect(),
            quotas: self.quotas.clone().ok(),
            acls: self.acls.clone().unwrap_or_default(),
        }
    }
}
