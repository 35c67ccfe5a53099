//! What the target gets besides records and offsets: configs of topics, client quotas, ACLs. A part of other documents.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka::{AclBinding, ClientQuota};
use serde::{Deserialize, Serialize};

/// Configs that are set on a topic itself, by name.
pub type TopicConfigs = BTreeMap<String, String>;

/// What the target is to get when everything is copied and committed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The configs of each copied topic; whatever else is set there is removed.
    pub configs: BTreeMap<Arc<str>, TopicConfigs>,
    /// Client quotas to set, with the limits that the target is to have.
    pub quotas: Vec<ClientQuota>,
    /// ACLs to add.
    pub acls: Vec<AclBinding>,
}

/// What a cluster had at one moment, to see later what was added. Of the source it is what an operator may change to stop
/// clients.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SettingsFound {
    /// Configs set on the wave's topics themselves.
    pub configs: BTreeMap<Arc<str>, TopicConfigs>,
    /// Client quotas; none when the cluster does not describe them.
    pub quotas: Option<Vec<ClientQuota>>,
    /// ACLs; none when the cluster has no authorizer or does not describe them.
    pub acls: Option<Vec<AclBinding>>,
}
