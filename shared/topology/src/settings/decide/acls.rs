//! ACLs that the target lacks: which they are, and whether they would close it to the migration itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use documents::rehearsal::Weight;
use kafka::{AclBinding, AclOperation, AclPermission, AclResource};
use migration::Result;

use super::{Context, Decision, Refusal, code};
use crate::acl_copy;
use crate::lockout::{self, CLUSTER, Permitted, Use};
use crate::refusal::unless_refused;
use crate::settings::commands::Commands;

/// Commands that a way out lists.
const NAMED: usize = 20;

/// On each group of the source, on the target.
const ON_GROUPS: [AclOperation; 2] = [AclOperation::Read, AclOperation::Describe];

pub(super) async fn decide(context: &Context<'_>, decision: &mut Decision) -> Result<()> {
    let Context { basis, target, asked, .. } = context;
    let config = basis.config;
    let rules = match &asked.acls {
        Ok(rules) => rules,
        Err(reason) => {
            let line = format!("ACLs that were added to the source meanwhile are not copied: {reason}");
            decision.warnings.push(line);
            return Ok(());
        }
    };
    let acls = match acl_copy::decide(rules.clone(), basis.before, config.acl.on_drift, &config.topology) {
        Ok(acls) => acls,
        Err(drift) => {
            decision.refusals.push(drifted(drift.message));
            return Ok(());
        }
    };
    if acls.wanted().is_empty() {
        return Ok(());
    }
    let there = match unless_refused(target.describe_acls().await)? {
        Ok(Some(there)) => there,
        Ok(None) => {
            decision.warnings.push("ACLs are not copied: the target has no authorizer any more".to_owned());
            return Ok(());
        }
        Err(reason) => {
            decision.refusals.push(hidden(&reason));
            return Ok(());
        }
    };
    let known: BTreeSet<_> = there.iter().collect();
    let missing: Vec<_> = acls.wanted().iter().filter(|acl| !known.contains(acl)).cloned().collect();
    decision.warnings.extend(missing.iter().filter(|acl| acl.permission == AclPermission::Deny).map(denial));
    decision.refusals.extend(locked_out(context, &there, &missing).await?);
    decision.settings.acls = missing;
    Ok(())
}

fn drifted(message: String) -> Refusal {
    Refusal {
        weight: Weight::Blocker,
        code: code::ACL_DRIFT,
        subject: "ACLs".to_owned(),
        message,
        way_out:
            "remove them on the target if they are not wanted, or add them to the source again; the source lost them \
                  since the topology was copied"
                .to_owned(),
    }
}

fn hidden(reason: &str) -> Refusal {
    Refusal {
        weight: Weight::Blocker,
        code: code::PERMISSION_MISSING,
        subject: "ACLs".to_owned(),
        message: format!("the target does not describe its ACLs: {reason}"),
        way_out: lockout::way_out("Describe on the Cluster"),
    }
}

/// Somebody may have added it to stop clients of the source.
fn denial(acl: &AclBinding) -> String {
    format!(
        "ACL that denies was added to the source since the topology was copied, and the target gets it: {acl}; if it is to \
         stop clients of the source alone, remove it before the rehearsal: {}",
        Commands::of_source().remove_acl(acl)
    )
}

/// What of the target `missing` ACLs would close to the principal that needs it.
async fn locked_out(context: &Context<'_>, there: &[AclBinding], missing: &[AclBinding]) -> Result<Option<Refusal>> {
    let Context { basis, source, target, asked, permitted, .. } = context;
    let Some(permitted) = permitted else { return Ok(None) };
    let groups = match missing.iter().any(|acl| acl.resource == AclResource::Group) {
        true => unless_refused(source.list_groups().await)?.unwrap_or_default(),
        false => Vec::new(),
    };
    let groups: Vec<_> = groups.iter().map(|group| group.id.as_str()).collect();
    let uses = uses(asked.topics.keys(), &groups);
    let principal = basis.principal.as_deref();
    let mut lockout = Lockout { uses: &uses, there, permitted, principal, certain: false };
    let closing = lockout.closing(missing);
    if closing.is_empty() {
        return Ok(None);
    }
    lockout.certain = lockout.is_limited() || !has_super_users(target).await;
    Ok(Some(lockout.refusal(&closing, &Commands::of(&basis.servers))))
}

/// What of the target is used behind the ACLs: topics are compared and may get late records, groups are compared.
fn uses<'a>(topics: impl Iterator<Item = &'a Arc<str>>, groups: &[&'a str]) -> Vec<Use<'a>> {
    let cluster = [&lockout::ON_CLUSTER[..], &[AclOperation::Alter]].concat();
    let mut uses = vec![Use { resource: (AclResource::Cluster, CLUSTER), operations: cluster }];
    uses.extend(
        topics.map(|topic| Use { resource: (AclResource::Topic, topic), operations: lockout::ON_TOPICS.to_vec() }),
    );
    uses.extend(
        groups.iter().map(|group| Use { resource: (AclResource::Group, group), operations: ON_GROUPS.to_vec() }),
    );
    uses
}

/// Whether some broker has super users, or does not say; who they are it says to nobody.
async fn has_super_users(target: &kafka::Cluster) -> bool {
    let Ok(brokers) = target.brokers().await else { return true };
    for broker in brokers {
        match target.broker_configs(broker.id).await {
            Ok(configs) if configs.iter().all(|entry| entry.name != "super.users") => {}
            _ => return true,
        }
    }
    false
}

/// What is needed to predict a lockout.
struct Lockout<'a> {
    uses: &'a [Use<'a>],
    there: &'a [AclBinding],
    permitted: &'a Permitted,
    principal: Option<&'a str>,
    /// Whether the principal is certainly no super user.
    certain: bool,
}

impl Lockout<'_> {
    /// The ACLs that would lock the principal out, unless it is a super user.
    fn closing<'b>(&self, missing: &'b [AclBinding]) -> Vec<&'b AclBinding> {
        let permitted = |used: &Use<'_>| match used.resource.0 {
            AclResource::Cluster => self.permitted.cluster,
            AclResource::Topic => self.permitted.topics.get(used.resource.1).copied(),
            _ => None,
        };
        match lockout::is_super_user(self.uses, self.there, self.principal, permitted) {
            true => Vec::new(),
            false => lockout::closing(self.uses, self.there, missing, self.principal),
        }
    }

    fn is_limited(&self) -> bool {
        self.permitted.cluster.is_some_and(lockout::is_limited)
    }

    fn refusal(&self, closing: &[&AclBinding], commands: &Commands) -> Refusal {
        let certain = self.certain && self.principal.is_some();
        let principal = self.principal.unwrap_or("User:<name>");
        let operations = |acl: &AclBinding| {
            let used = self.uses.iter().find(|used| used.resource.0 == acl.resource);
            used.map_or_else(Vec::new, |used| used.operations.clone())
        };
        let mut allowed: Vec<_> = closing.iter().map(|acl| commands.allow(principal, &operations(acl), acl)).collect();
        allowed.sort_unstable();
        allowed.dedup();
        let more = allowed.len().saturating_sub(NAMED);
        allowed.truncate(NAMED);
        let more = if more > 0 { format!(" and {more} more alike") } else { String::new() };
        let unless = if certain { "" } else { ", unless it is a super user, which brokers do not say" };
        Refusal {
            weight: if certain { Weight::Blocker } else { Weight::Warning },
            code: code::ACL_LOCKOUT,
            subject: "ACLs".to_owned(),
            message: format!(
                "{} ACLs that the target is to get would close what the migration uses there to its principal{unless}, first \
                 {}",
                closing.len(),
                closing[0]
            ),
            way_out: format!(
                "add on the target before the cutover, and remove after `finalize`: {}{more}; an ACL that denies has to be \
                 removed on the source instead",
                allowed.join(", ")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::{Operations, PatternType};

    fn acl(principal: &str, resource: AclResource, name: &str) -> AclBinding {
        AclBinding {
            resource,
            name: name.to_owned(),
            pattern: PatternType::Literal,
            principal: principal.to_owned(),
            host: "*".to_owned(),
            operation: AclOperation::Read,
            permission: AclPermission::Allow,
        }
    }

    fn lockout<'a>(
        uses: &'a [Use<'a>],
        there: &'a [AclBinding],
        permitted: &'a Permitted,
        certain: bool,
    ) -> Lockout<'a> {
        Lockout { uses, there, permitted, principal: Some("User:us"), certain }
    }

    #[test]
    fn a_lockout_is_predicted_with_the_acls_to_add_and_blocks_only_when_it_is_certain() {
        let topics = [Arc::from("orders")];
        let uses = uses(topics.iter(), &["readers"]);
        let permitted = Permitted::default();
        let missing = [
            acl("User:alice", AclResource::Topic, "orders"),
            acl("User:bob", AclResource::Topic, "orders"),
            acl("User:alice", AclResource::Topic, "elsewhere"),
            acl("User:alice", AclResource::Group, "readers"),
        ];
        let certain = lockout(&uses, &[], &permitted, true);
        let closing = certain.closing(&missing);
        assert_eq!(closing, [&missing[0], &missing[1], &missing[3]]);
        let refusal = certain.refusal(&closing, &Commands::of("t:1"));
        assert_eq!((refusal.weight, refusal.code), (Weight::Blocker, code::ACL_LOCKOUT));
        assert_eq!(refusal.way_out.matches("kafka-acls.sh").count(), 2, "{refusal:?}");
        assert!(
            refusal
                .way_out
                .contains("--allow-principal 'User:us' --operation Read --operation Describe --group 'readers'")
        );
        let uncertain = lockout(&uses, &[], &permitted, false).refusal(&closing, &Commands::of("t:1"));
        assert!(uncertain.weight == Weight::Warning && uncertain.message.contains("unless it is a super user"));
    }

    #[test]
    fn a_super_user_is_never_locked_out() {
        let topics = [Arc::from("orders")];
        let uses = uses(topics.iter(), &[]);
        let there = [acl("User:bob", AclResource::Topic, "orders")];
        let missing = [acl("User:alice", AclResource::Cluster, CLUSTER)];
        let all = Operations::of(&lockout::ON_TOPICS);
        let permitted = Permitted { cluster: None, topics: [(topics[0].clone(), all)].into() };
        assert!(lockout(&uses, &there, &permitted, false).closing(&missing).is_empty());
        assert_eq!(lockout(&uses, &there, &Permitted::default(), false).closing(&missing).len(), 1);
    }

    #[test]
    fn what_denies_is_named_with_the_way_to_take_it_back() {
        let acl = AclBinding { permission: AclPermission::Deny, ..acl("User:app", AclResource::Topic, "orders") };
        let line = denial(&acl);
        assert!(
            line.contains("Deny Read on Topic orders") && line.contains("--remove --force --deny-principal 'User:app'")
        );
    }
}
