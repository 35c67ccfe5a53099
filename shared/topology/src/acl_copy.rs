//! ACLs of the source on the target. They are brought over with the topology, so that clients can be tried, and once more at
//! the cutover, before its point of no return: what was added to the source meanwhile may be what a new topic needs.

use std::collections::BTreeSet;
use std::time::Duration;

use kafka::{AclBinding, AclResource, Cluster, PatternType};
use migration::config::{AclDrift, Topology};
use migration::{Error, Result};
use serde::Serialize;

use crate::acls::is_internal;
use crate::refusal::unless_refused;
use crate::target_state::TargetState;

/// ACLs that an error or a line names.
const NAMED: usize = 5;

/// How often the target is looked at until it shows new ACLs, and the pause in between.
const LOOKS: u32 = 100;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What becomes of the ACLs.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Acls {
    /// Bindings on the source that are not the cluster's own.
    pub on_source: usize,
    /// Bindings of the cluster itself, left out.
    pub internal: Vec<AclBinding>,
    /// Bindings of topics that another wave brings over, left out.
    pub outside: Vec<AclBinding>,
    /// Bindings that were added to the target.
    pub created: usize,
    /// Bindings that only the target had.
    pub only_on_target: usize,
    /// Why nothing was added, when nothing could be.
    pub skipped: Option<String>,
    #[serde(skip)]
    wanted: BTreeSet<AclBinding>,
}

/// Decides which of the `source`'s ACLs the target gets: `drift` decides about what only the target had `before`, and
/// `selection` about ACLs of single topics.
///
/// # Errors
/// Blocked under [`AclDrift::Fail`] when the target had bindings that the source does not have, naming them.
pub fn decide(
    source: Option<Vec<AclBinding>>,
    before: &TargetState,
    drift: AclDrift,
    selection: &Topology,
) -> Result<Acls> {
    let Some(all) = source else {
        return Ok(Acls { skipped: Some("the source has no authorizer".to_owned()), ..Acls::default() });
    };
    let (internal, own): (Vec<_>, Vec<_>) = all.into_iter().partition(is_internal);
    let own: BTreeSet<_> = own.into_iter().collect();
    let mut acls = Acls { on_source: own.len(), internal, ..Acls::default() };
    let Some(there) = &before.acls else {
        acls.skipped = (!own.is_empty()).then(|| "the target has no authorizer".to_owned());
        return Ok(acls);
    };
    let foreign: Vec<_> = there.iter().filter(|binding| !is_internal(binding) && !own.contains(*binding)).collect();
    acls.only_on_target = foreign.len();
    match drift {
        AclDrift::KeepTarget if !foreign.is_empty() => {
            acls.skipped = Some("the target has ACLs of its own and acl.on_drift is keep_target".to_owned());
            return Ok(acls);
        }
        AclDrift::Fail if !foreign.is_empty() => return Err(refusal(&foreign)),
        AclDrift::Merge | AclDrift::KeepTarget | AclDrift::Fail => {}
    }
    let (outside, wanted): (Vec<_>, Vec<_>) = own.into_iter().partition(|binding| is_outside(binding, selection));
    (acls.outside, acls.wanted) = (outside, wanted.into_iter().collect());
    Ok(acls)
}

/// Whether a binding is about one topic that another wave brings over. All others may be about topics of this one.
fn is_outside(binding: &AclBinding, selection: &Topology) -> bool {
    let one_topic = binding.resource == AclResource::Topic && binding.pattern == PatternType::Literal;
    one_topic && binding.name != "*" && !selection.selects(&binding.name)
}

fn refusal(foreign: &[&AclBinding]) -> Error {
    let named: Vec<_> = foreign.iter().take(NAMED).map(ToString::to_string).collect();
    let more = foreign.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Error::blocked(format_args!(
        "the target has {} ACLs that the source does not have and acl.on_drift is fail: {}{more}. Remove them, or set \
         acl.on_drift to merge or keep_target",
        foreign.len(),
        named.join("; ")
    ))
}

impl Acls {
    /// Adds to the target what it is to get and does not have.
    ///
    /// # Errors
    /// When the target refuses a binding, naming it.
    pub async fn create(&mut self, target: &Cluster) -> Result<()> {
        if self.wanted.is_empty() {
            return Ok(());
        }
        let there: BTreeSet<_> = target.describe_acls().await?.into_iter().flatten().collect();
        let missing: Vec<_> = self.wanted.difference(&there).cloned().collect();
        for (binding, outcome) in target.create_acls(&missing).await {
            outcome.map_err(|error| {
                let mut error = Error::from(error);
                error.message = format!("ACL {binding}: {}", error.message);
                error
            })?;
        }
        self.created = missing.len();
        self.in_force(target).await
    }

    /// Waits until brokers show them: they get to know them behind the controller's answer. One that does not tell them any
    /// more, because they are in force against whoever asks, is told by [`crate::lockout`].
    async fn in_force(&self, target: &Cluster) -> Result<()> {
        for _ in 0..LOOKS {
            let Ok(there) = unless_refused(target.describe_acls().await)? else { return Ok(()) };
            let there: BTreeSet<_> = there.into_iter().flatten().collect();
            if self.wanted.is_subset(&there) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(Error::transient("the target does not list the ACLs that it created"))
    }

    /// What the target is to have of them.
    pub fn wanted(&self) -> &BTreeSet<AclBinding> {
        &self.wanted
    }

    /// Lines for an operator about what is not copied.
    pub fn lines(&self) -> Vec<String> {
        let skipped = self.skipped.iter().filter(|_| self.on_source > 0);
        let mut lines: Vec<_> =
            skipped.map(|reason| format!("{} ACLs are not copied: {reason}", self.on_source)).collect();
        if let Some(first) = self.outside.first() {
            let count = self.outside.len();
            lines.push(format!("{count} ACLs of topics of other waves are left to those, first {first}"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::{AclOperation, AclPermission};

    fn acl(principal: &str, resource: AclResource, name: &str, pattern: PatternType) -> AclBinding {
        AclBinding {
            resource,
            name: name.to_owned(),
            pattern,
            principal: principal.to_owned(),
            host: "*".to_owned(),
            operation: AclOperation::Read,
            permission: AclPermission::Allow,
        }
    }

    fn topic(name: &str) -> AclBinding {
        acl("User:alice", AclResource::Topic, name, PatternType::Literal)
    }

    fn target(acls: &[AclBinding]) -> TargetState {
        TargetState { acls: Some(acls.to_vec()), ..TargetState::default() }
    }

    fn wave(include: &[&str]) -> Topology {
        Topology { include: include.iter().map(|pattern| pattern.parse().unwrap()).collect(), ..Topology::default() }
    }

    #[test]
    fn a_rule_that_only_the_target_has_is_decided_by_the_policy() {
        let source = || Some(vec![topic("orders")]);
        let drifted = target(&[topic("foreign")]);
        let merged = decide(source(), &drifted, AclDrift::Merge, &wave(&[])).unwrap();
        assert_eq!((merged.wanted.len(), merged.only_on_target, &merged.skipped), (1, 1, &None));
        let kept = decide(source(), &drifted, AclDrift::KeepTarget, &wave(&[])).unwrap();
        assert!(kept.wanted.is_empty() && kept.skipped.unwrap().contains("keep_target"));
        let error = decide(source(), &drifted, AclDrift::Fail, &wave(&[])).unwrap_err();
        assert!(error.message.contains("Allow Read on Topic foreign (Literal) for User:alice from host *"), "{error}");
    }

    #[test]
    fn what_an_earlier_attempt_or_wave_created_is_no_drift() {
        let source = || Some(vec![topic("orders"), topic("users")]);
        for drift in [AclDrift::Merge, AclDrift::KeepTarget, AclDrift::Fail] {
            let there =
                target(&[topic("orders"), acl("User:ANONYMOUS", AclResource::Topic, "x", PatternType::Literal)]);
            let acls = decide(source(), &there, drift, &wave(&["users"])).unwrap();
            assert_eq!((acls.wanted, acls.outside), ([topic("users")].into(), vec![topic("orders")]), "{drift:?}");
        }
    }

    #[test]
    fn a_wave_takes_along_what_cannot_be_split() {
        let shared = [
            topic("*"),
            acl("User:alice", AclResource::Topic, "us", PatternType::Prefixed),
            acl("User:alice", AclResource::Group, "users", PatternType::Literal),
            acl("User:alice", AclResource::Cluster, "kafka-cluster", PatternType::Literal),
            acl("User:alice", AclResource::TransactionalId, "users", PatternType::Literal),
        ];
        let source = shared.iter().cloned().chain([topic("users"), topic("__consumer_offsets")]).collect();
        let acls = decide(Some(source), &target(&[]), AclDrift::Merge, &wave(&["orders"])).unwrap();
        assert_eq!(acls.wanted, shared.into());
        assert_eq!((acls.outside, acls.internal), (vec![topic("users")], vec![topic("__consumer_offsets")]));
    }

    #[test]
    fn without_an_authorizer_there_is_nothing_to_do() {
        assert!(decide(None, &target(&[]), AclDrift::Fail, &wave(&[])).unwrap().lines().is_empty());
        let without = decide(Some(vec![topic("orders")]), &TargetState::default(), AclDrift::Fail, &wave(&[])).unwrap();
        assert_eq!(without.lines(), ["1 ACLs are not copied: the target has no authorizer"]);
    }
}
