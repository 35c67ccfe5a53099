//! What a migration changed on the target, apart from records and offsets.

use std::collections::BTreeSet;

use kafka::{AclBinding, ClientQuota};
use migration::{Phase, Result};
use runtime::Run;
use serde::{Deserialize, Serialize};

use crate::changes::{AlteredConfig, differences};
use crate::quotas::{AlteredQuota, altered};
use crate::target_state::TargetState;

/// Where the document is in the run's store.
pub const STORED: &str = "topology/diff.json";

/// The differences between the target as it was found and as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Diff {
    /// Topics that are there now, with what was given to them.
    pub topics_created: Vec<CreatedTopic>,
    /// Topics that are gone.
    pub topics_gone: Vec<String>,
    /// Topics that have other partitions, each with both counts.
    pub partitions: Vec<AlteredCount>,
    /// Configs of topics that were there, each with both values.
    pub configs: Vec<AlteredConfig>,
    /// ACLs that are there now.
    pub acls_added: Vec<AclBinding>,
    /// ACLs that are gone.
    pub acls_removed: Vec<AclBinding>,
    /// Client quotas, each with both limits.
    pub quotas: Vec<AlteredQuota>,
}

/// A topic that was not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedTopic {
    /// The topic.
    pub topic: String,
    /// Number of partitions.
    pub partitions: usize,
    /// Most replicas of a partition.
    pub replication_factor: usize,
    /// Configs that are set on it.
    pub configs: crate::configs::TopicConfigs,
}

/// A number of partitions that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlteredCount {
    /// The topic.
    pub topic: String,
    /// How many there were.
    pub was: usize,
    /// How many there are.
    pub is: usize,
}

impl Diff {
    /// Compares two states of a target.
    pub fn between(before: &TargetState, after: &TargetState) -> Self {
        let mut diff = Self::default();
        for (name, is) in &after.topics {
            match before.topics.get(name) {
                None => diff.topics_created.push(CreatedTopic {
                    topic: name.to_string(),
                    partitions: is.partitions,
                    replication_factor: is.replication_factor,
                    configs: is.configs.clone(),
                }),
                Some(was) => {
                    diff.configs.extend(differences(name, &was.configs, &is.configs));
                    if was.partitions != is.partitions {
                        let (topic, was, is) = (name.to_string(), was.partitions, is.partitions);
                        diff.partitions.push(AlteredCount { topic, was, is });
                    }
                }
            }
        }
        let gone = before.topics.keys().filter(|name| !after.topics.contains_key(*name));
        diff.topics_gone = gone.map(ToString::to_string).collect();
        let acls = |state: &TargetState| state.acls.iter().flatten().cloned().collect::<BTreeSet<AclBinding>>();
        let (were, are) = (acls(before), acls(after));
        diff.acls_added = are.difference(&were).cloned().collect();
        diff.acls_removed = were.difference(&are).cloned().collect();
        let quotas = |state: &TargetState| -> Vec<ClientQuota> { state.quotas.clone().unwrap_or_default() };
        diff.quotas = altered(&quotas(before), &quotas(after));
        diff
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Stores the document, with the phase in which the target was looked at.
    ///
    /// # Errors
    /// What S3 gives.
    pub async fn record(&self, run: &Run<'_>, phase: Phase) -> Result<()> {
        let document = serde_json::json!({"seen_in": phase, "seen_at": run.journal.now(), "diff": self});
        run.store.put_json(STORED, &document).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target_state::TopicState;
    use kafka::{AclOperation, AclPermission, AclResource, PatternType, QuotaEntity};

    fn topic(partitions: usize, retention: &str) -> TopicState {
        let configs = [("retention.ms".to_owned(), retention.to_owned())].into();
        TopicState { partitions, replication_factor: 1, configs }
    }

    fn acl(name: &str) -> AclBinding {
        AclBinding {
            resource: AclResource::Topic,
            name: name.to_owned(),
            pattern: PatternType::Literal,
            principal: "User:alice".to_owned(),
            host: "*".to_owned(),
            operation: AclOperation::Read,
            permission: AclPermission::Allow,
        }
    }

    fn quota(limit: f64) -> ClientQuota {
        let entity = QuotaEntity([("user".to_owned(), None)].into());
        ClientQuota { entity, limits: [("producer_byte_rate".to_owned(), limit)].into() }
    }

    #[test]
    fn everything_that_changed_is_named() {
        let before = TargetState {
            topics: [("old".into(), topic(1, "5")), ("gone".into(), topic(1, "5"))].into(),
            acls: Some(vec![acl("a"), acl("b")]),
            quotas: Some(vec![quota(1.0)]),
        };
        let after = TargetState {
            topics: [("old".into(), topic(2, "6")), ("new".into(), topic(3, "7"))].into(),
            acls: Some(vec![acl("b"), acl("c")]),
            quotas: Some(vec![quota(2.0)]),
        };
        let diff = Diff::between(&before, &after);
        assert_eq!((diff.topics_created.len(), diff.topics_created[0].topic.as_str()), (1, "new"));
        assert_eq!(diff.topics_gone, ["gone"]);
        assert_eq!((diff.partitions[0].was, diff.partitions[0].is), (1, 2));
        assert_eq!((diff.configs[0].was.as_deref(), diff.configs[0].is.as_deref()), (Some("5"), Some("6")));
        assert_eq!((diff.acls_added, diff.acls_removed), (vec![acl("c")], vec![acl("a")]));
        assert_eq!((diff.quotas[0].was, diff.quotas[0].is), (Some(1.0), Some(2.0)));
    }

    #[test]
    fn the_same_twice_differs_in_nothing() {
        let state = TargetState { topics: [("a".into(), topic(1, "5"))].into(), ..TargetState::default() };
        assert!(Diff::between(&state, &state).is_empty());
    }
}
