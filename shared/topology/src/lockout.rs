//! Whether the target still lets the migration's own principal do what the next phases need.
//!
//! A cluster that permits everything to everybody where no ACL is (`allow.everyone.if.no.acl.found`, MSK's default) stops
//! doing so for a resource with the first ACL about it (`org.apache.kafka.metadata.authorizer.StandardAuthorizerData`). So
//! ACLs that are copied can lock out whoever copies them. Brokers tell (KIP-430), before anything depends on it.

mod prediction;

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka::{AclOperation, Cluster, Operations};
use migration::config::AuthMode;
use migration::{Error, Result};
use runtime::Run;

pub use prediction::{CLUSTER, Use, closing, is_limited, is_super_user};

/// Names that an error tells for one operation.
const NAMED: usize = 3;

/// What lets a principal do all that the migration needs on the target.
pub(crate) const ON_EVERYTHING: &str = "Describe on the Cluster, All on Topic * and All on Group *";

/// On every topic (`kafka.server.KafkaApis`).
pub(crate) const ON_TOPICS: [AclOperation; 5] = [
    AclOperation::Describe,
    AclOperation::Read,
    AclOperation::Write,
    AclOperation::DescribeConfigs,
    AclOperation::AlterConfigs,
];

/// On the cluster: ACLs are read back.
pub(crate) const ON_CLUSTER: [AclOperation; 1] = [AclOperation::Describe];

/// What a principal is told that it may do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Permitted {
    /// To the cluster, where brokers tell.
    pub(crate) cluster: Option<Operations>,
    /// To each topic of which brokers tell.
    pub(crate) topics: BTreeMap<Arc<str>, Operations>,
}

impl Permitted {
    /// Asks `target` what this principal may do to it and to `topics`, whether it has them or not.
    pub(crate) async fn ask(target: &Cluster, topics: &[Arc<str>]) -> Result<Self> {
        let (cluster, topics) = tokio::try_join!(target.cluster_operations(), target.topic_operations(topics))?;
        Ok(Self { cluster, topics })
    }

    /// What of that which is needed on the cluster and on topics is denied, in words; `besides` is needed on the cluster too.
    pub(crate) fn denied(&self, besides: &[AclOperation]) -> Vec<String> {
        let needed = ON_CLUSTER.iter().chain(besides);
        let lacking = needed.filter(|needed| self.cluster.is_some_and(|cluster| !cluster.contain(**needed)));
        lacking.map(|operation| format!("{operation:?} on the cluster")).chain(denied_on_topics(&self.topics)).collect()
    }
}

/// Refuses to go on when `target` denies what is needed on it or on `topics`, whether it has them or not. Clients that sign in with
/// IAM have no ACLs.
///
/// # Errors
/// Blocked, naming the operations, the first topics and the ACLs to add.
pub async fn refuse(run: &Run<'_>, target: &Cluster, topics: impl Iterator<Item = &Arc<str>>) -> Result<()> {
    if run.config.target.auth.mode == AuthMode::Iam {
        return Ok(());
    }
    let names: Vec<_> = topics.cloned().collect();
    match Permitted::ask(target, &names).await?.denied(&[]) {
        denied if denied.is_empty() => Ok(()),
        denied => Err(refusal(&denied, ON_EVERYTHING)),
    }
}

/// What is wrong, and what to do about it, where `groups` may not be read and committed for; `None` without any.
pub fn denied_groups<S: AsRef<str>>(groups: &[S]) -> Option<(String, String)> {
    let names: Vec<_> = groups.iter().map(S::as_ref).collect();
    let denied = (!names.is_empty()).then(|| on_some(AclOperation::Read, "groups", &names))?;
    Some((problem(&[denied]), way_out("All on Group *")))
}

fn denied_on_topics(topics: &BTreeMap<Arc<str>, Operations>) -> impl Iterator<Item = String> {
    ON_TOPICS.into_iter().filter_map(|operation| {
        let denied = topics.iter().filter(|(_, known)| !known.contain(operation));
        let names: Vec<_> = denied.map(|(topic, _)| &**topic).collect();
        (!names.is_empty()).then(|| on_some(operation, "topics", &names))
    })
}

fn on_some(operation: AclOperation, noun: &str, names: &[&str]) -> String {
    let first = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    format!("{operation:?} on {} {noun}, first {first}", names.len())
}

fn refusal(denied: &[String], wanted: &str) -> Error {
    Error::blocked(format_args!("{}. {}, then resume", problem(denied), capitalized(&way_out(wanted))))
}

/// What is `denied`, and why that may be.
pub(crate) fn problem(denied: &[String]) -> String {
    format!(
        "the target does not let the principal of target.auth do what the migration needs there: {}. The first ACL about a \
         resource, one copied from the source too, denies it to everybody else",
        denied.join("; ")
    )
}

/// What to do about it, where `wanted` is needed.
pub(crate) fn way_out(wanted: &str) -> String {
    format!("add ACLs on the target that allow this principal {wanted}, or make it one of super.users")
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_denied_is_named_by_operation() {
        use AclOperation::{AlterConfigs, Describe, DescribeConfigs, Read, Write};
        let topics = BTreeMap::from([
            ("free".into(), Operations::of(&[Describe, Read, Write, DescribeConfigs, AlterConfigs])),
            ("hidden".into(), Operations::of(&[])),
            ("read-only".into(), Operations::of(&[Describe, Read, DescribeConfigs, AlterConfigs])),
        ]);
        let denied: Vec<_> = denied_on_topics(&topics).collect();
        assert_eq!(denied[0], "Describe on 1 topics, first hidden");
        assert_eq!(denied[2], "Write on 2 topics, first hidden, read-only");
        assert_eq!(denied.len(), 5);
        assert!(refusal(&denied, "All on Topic *").message.contains("allow this principal All on Topic *, or"));
    }
}
