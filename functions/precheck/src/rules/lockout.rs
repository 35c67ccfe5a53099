//! Whether the ACLs that topology copy brings over close the target to the migration itself.

use std::collections::BTreeSet;
use std::fmt;

use kafka::{AclBinding, AclOperation, AclResource, PatternType};
use migration::config::AuthMode;
use migration::report::Finding;
use topology::lockout::{CLUSTER, Use, closing, is_limited, is_super_user};
use topology::{Acls, TargetState, acl_copy};

use super::finding::{count, few, finding};
use super::permissions::{TARGET_GROUP, TARGET_TOPIC, target_cluster};
use crate::facts::{Arriving, Facts};

/// Names that a command lists.
const NAMED: usize = 20;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    lockout(facts).into_iter().collect()
}

fn uses(facts: &Facts) -> Vec<Use<'_>> {
    let cluster = target_cluster(facts).iter().map(|need| need.operation).chain([AclOperation::Create]).collect();
    let mut uses = vec![Use { resource: (AclResource::Cluster, CLUSTER), operations: cluster }];
    uses.extend(facts.source_topics().map(|(name, _)| Use {
        resource: (AclResource::Topic, name),
        operations: TARGET_TOPIC.iter().map(|need| need.operation).collect(),
    }));
    let groups = facts.leaving.iter().flat_map(|leaving| leaving.groups.iter().flatten());
    uses.extend(groups.map(|group| Use {
        resource: (AclResource::Group, &group.id),
        operations: TARGET_GROUP.iter().map(|need| need.operation).collect(),
    }));
    uses
}

/// The resources that ACLs name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Pattern {
    resource: AclResource,
    pattern: PatternType,
    name: String,
}

impl From<&AclBinding> for Pattern {
    fn from(acl: &AclBinding) -> Self {
        Self { resource: acl.resource, pattern: acl.pattern, name: acl.name.clone() }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefixed = if self.pattern == PatternType::Prefixed { "*" } else { "" };
        write!(f, "{:?} {}{prefixed}", self.resource, self.name)
    }
}

fn lockout(facts: &Facts) -> Option<Finding> {
    if facts.config.target.auth.mode == AuthMode::Iam {
        return None;
    }
    let arriving = facts.arriving.as_ref()?;
    let there = arriving.acls.as_ref().ok()?.as_ref()?;
    let copied = copied(facts)?;
    let user = facts.target.reached.as_ref().ok()?.user.as_deref();
    let principal = user.map(|user| format!("User:{user}"));
    let uses = uses(facts);
    if is_super_user(&uses, there, principal.as_deref(), |used| permitted(arriving, used)) {
        return None;
    }
    let closing = closing(&uses, there, copied.wanted(), principal.as_deref());
    let patterns: BTreeSet<_> = closing.into_iter().map(Pattern::from).collect();
    (!patterns.is_empty()).then(|| told(facts, arriving, principal.as_deref(), &patterns, &uses))
}

/// What topology copy makes of both sides' ACLs, where both could be read and it does not refuse.
pub(super) fn copied(facts: &Facts) -> Option<Acls> {
    let there = facts.arriving.as_ref()?.acls.as_ref().ok()?.clone();
    let source = facts.leaving.as_ref()?.acls.as_ref().ok()?.clone();
    let before = TargetState { acls: there, ..TargetState::default() };
    acl_copy::decide(source, &before, facts.config.acl.on_drift, &facts.config.topology).ok()
}

/// What brokers say of a use.
fn permitted(arriving: &Arriving, used: &Use<'_>) -> Option<kafka::Operations> {
    match used.resource.0 {
        AclResource::Cluster => *arriving.permitted.cluster.as_ref().ok()?,
        AclResource::Topic => arriving.permitted.topics.as_ref().ok()?.get(used.resource.1).copied(),
        _ => arriving.permitted.groups.known.get(used.resource.1).copied(),
    }
}

/// Shown by brokers that know no super users, or that do not permit something.
fn is_no_super_user(arriving: &Arriving) -> bool {
    let none = arriving.brokers.as_ref().is_ok_and(|brokers| brokers.iter().all(|broker| !broker.super_users));
    none || arriving.permitted.cluster.as_ref().is_ok_and(|operations| operations.is_some_and(is_limited))
}

fn told(
    facts: &Facts,
    arriving: &Arriving,
    principal: Option<&str>,
    patterns: &BTreeSet<Pattern>,
    uses: &[Use<'_>],
) -> Finding {
    let certain = principal.is_some() && is_no_super_user(arriving);
    let whom = principal.unwrap_or("the migration's own (its name could not be read)");
    let unless = if certain { "" } else { "unless it is a super user of the target, which brokers do not tell, " };
    finding(if certain { "B18" } else { "W21" }, "target")
        .found(format_args!(
            "topology copy brings {} to the target that close what the migration uses to its principal, {whom}: {}",
            count(patterns.len(), "ACL pattern"),
            few(patterns)
        ))
        .of(patterns)
        .because(
            "what an ACL is about is closed to everybody whom none allows it; the seed could not write there, nor the cutover \
             commit offsets",
        )
        .fix(format_args!("{unless}add on the target before the migration, and remove after it: {}", commands(facts, principal, patterns, uses)))
}

/// For each kind of resource and pattern the command that lets the migration in.
fn commands(facts: &Facts, principal: Option<&str>, patterns: &BTreeSet<Pattern>, uses: &[Use<'_>]) -> String {
    let servers = facts.config.target.bootstrap_servers.as_deref().unwrap_or("<target bootstrap servers>");
    let mut commands = Vec::new();
    for alike in patterns.iter().collect::<Vec<_>>().chunk_by(|a, b| (a.resource, a.pattern) == (b.resource, b.pattern))
    {
        let (resource, pattern) = (alike[0].resource, alike[0].pattern);
        let operations = uses.iter().find(|used| used.resource.0 == resource).map(|used| used.operations.as_slice());
        let operations: BTreeSet<_> =
            operations.into_iter().flatten().map(|one| format!(" --operation {one:?}")).collect();
        let names = alike.iter().take(NAMED).map(|one| match resource {
            AclResource::Cluster => " --cluster".to_owned(),
            AclResource::Group => format!(" --group '{}'", one.name),
            _ => format!(" --topic '{}'", one.name),
        });
        let prefixed = if pattern == PatternType::Prefixed { " --resource-pattern-type prefixed" } else { "" };
        let more = match alike.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and the same for {more} more"),
        };
        commands.push(format!(
            "`kafka-acls.sh --bootstrap-server {servers} --add --allow-principal '{}'{}{}{prefixed}`{more}",
            principal.unwrap_or("User:<name>"),
            Vec::from_iter(operations).concat(),
            names.collect::<String>()
        ));
    }
    commands.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, acl, facts, one};
    use kafka::Operations;

    /// The source has an ACL of `orders`.
    fn with_acl() -> Facts {
        let mut facts = facts();
        sample::leaving(&mut facts).acls = Ok(Some(vec![acl("User:alice", "orders")]));
        facts
    }

    #[test]
    fn nothing_is_wrong_with_the_sample() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn w21_acls_that_would_close_topics_to_the_migration() {
        let finding = one(judge(&with_acl()), "W21");
        assert!(finding.message.contains("to its principal, User:ANONYMOUS: Topic orders"), "{}", finding.message);
        assert!(finding.fix.starts_with("unless it is a super user"), "{}", finding.fix);
        let command = "--add --allow-principal 'User:ANONYMOUS' --operation Alter --operation AlterConfigs --operation \
                       DescribeConfigs --operation Read --operation Write --topic 'orders'`";
        assert!(finding.fix.ends_with(command), "{}", finding.fix);
    }

    #[test]
    fn w21_names_patterns_as_the_acls_do() {
        let mut facts = facts();
        let prefixed = AclBinding { pattern: PatternType::Prefixed, ..acl("User:alice", "ord") };
        let cluster = AclBinding { resource: AclResource::Cluster, ..acl("User:alice", "kafka-cluster") };
        let elsewhere = acl("User:alice", "payments");
        sample::leaving(&mut facts).acls = Ok(Some(vec![prefixed, cluster, elsewhere]));
        let finding = one(judge(&facts), "W21");
        assert!(finding.message.ends_with("Topic ord*, Cluster kafka-cluster"), "{}", finding.message);
        assert!(finding.fix.contains("--topic 'ord' --resource-pattern-type prefixed`, `"), "{}", finding.fix);
        assert!(finding.fix.contains("--operation Alter --operation Create --operation Describe --cluster`"));
    }

    #[test]
    fn b18_where_the_principal_cannot_be_a_super_user() {
        let mut facts = with_acl();
        for broker in sample::arriving(&mut facts).brokers.as_mut().unwrap() {
            broker.super_users = false;
        }
        assert!(one(judge(&facts), "B18").fix.starts_with("add on the target before the migration"));
        // Whoever is not known by name may be allowed by name.
        sample::target(&mut facts).user = None;
        assert!(one(judge(&facts), "W21").fix.contains("'User:<name>'"));

        let mut facts = with_acl();
        sample::arriving(&mut facts).permitted.cluster = Ok(Some(Operations::of(&[AclOperation::Describe])));
        one(judge(&facts), "B18");
    }

    #[test]
    fn not_of_a_super_user_nor_of_whom_an_acl_allows() {
        let mut facts = with_acl();
        // It may use the topic although an ACL closes it.
        sample::arriving(&mut facts).acls = Ok(Some(vec![acl("User:bob", "orders")]));
        let everything = sample::permitted(&["orders"]).topics;
        sample::arriving(&mut facts).permitted.topics = everything;
        assert!(judge(&facts).is_empty());

        let mut facts = with_acl();
        let all = AclBinding { operation: AclOperation::All, ..acl("User:*", "orders") };
        sample::arriving(&mut facts).acls = Ok(Some(vec![all]));
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn not_where_acls_do_not_count() {
        let mut facts = with_acl();
        sample::arriving(&mut facts).acls = Ok(None);
        assert!(judge(&facts).is_empty());
        let mut facts = with_acl();
        facts.config.target.auth.mode = AuthMode::Iam;
        assert!(judge(&facts).is_empty());
    }
}
