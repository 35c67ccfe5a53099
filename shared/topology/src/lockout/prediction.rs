//! Whether ACLs that are about to be added close a cluster to whoever adds them.
//!
//! Where a cluster lets everybody use what no ACL is about (`allow.everyone.if.no.acl.found`, which MSK sets), the first ACL
//! on a resource closes it to all whom none allows.

use kafka::{AclBinding, AclOperation, AclResource, Operations};

use crate::access::{Access, Verdict};

/// The name of the cluster in its ACLs (`org.apache.kafka.common.resource.Resource.CLUSTER_NAME`).
pub const CLUSTER: &str = "kafka-cluster";

/// Operations on a cluster that whoever may do everything may do.
const ON_CLUSTERS: [AclOperation; 6] = [
    AclOperation::Create,
    AclOperation::Alter,
    AclOperation::Describe,
    AclOperation::ClusterAction,
    AclOperation::DescribeConfigs,
    AclOperation::AlterConfigs,
];

/// Something of a cluster that the migration uses, and what it does there.
#[derive(Debug, Clone)]
pub struct Use<'a> {
    /// Kind and name of the resource.
    pub resource: (AclResource, &'a str),
    /// What is done.
    pub operations: Vec<AclOperation>,
}

/// Those of the ACLs `added` to what is `there` that are about something of which `principal` loses a use, in their order.
/// Without a principal only what everybody may counts as permitted.
pub fn closing<'a>(
    uses: &[Use<'_>],
    there: &[AclBinding],
    added: impl IntoIterator<Item = &'a AclBinding>,
    principal: Option<&str>,
) -> Vec<&'a AclBinding> {
    let added: Vec<_> = added.into_iter().collect();
    let closed: Vec<_> = uses
        .iter()
        .filter(|used| {
            let now = Access::new(there, principal, used.resource);
            let then = Access::new(there.iter().chain(added.iter().copied()), principal, used.resource);
            let lost =
                |operation| now.verdict(operation) != Verdict::Denied && then.verdict(operation) == Verdict::Denied;
            used.operations.iter().copied().any(lost)
        })
        .collect();
    added.into_iter().filter(|acl| closed.iter().any(|used| acl.is_about(used.resource.0, used.resource.1))).collect()
}

/// Whether `principal` is a super user: brokers permit what the ACLs that are `there` do not. `permitted` is what brokers
/// say of a use, where they say something.
pub fn is_super_user(
    uses: &[Use<'_>],
    there: &[AclBinding],
    principal: Option<&str>,
    permitted: impl Fn(&Use<'_>) -> Option<Operations>,
) -> bool {
    principal.is_some()
        && uses.iter().any(|used| {
            let access = Access::new(there, principal, used.resource);
            let despite = |operation: &AclOperation| {
                access.verdict(*operation) == Verdict::Denied
                    && permitted(used).is_some_and(|operations| operations.contain(*operation))
            };
            used.operations.iter().any(despite)
        })
}

/// Whether brokers do not permit everything on the cluster: who has `operations` there is no super user.
pub fn is_limited(operations: Operations) -> bool {
    ON_CLUSTERS.iter().any(|operation| !operations.contain(*operation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::{AclPermission, PatternType};

    fn acl(principal: &str, name: &str, permission: AclPermission) -> AclBinding {
        AclBinding {
            resource: AclResource::Topic,
            name: name.to_owned(),
            pattern: PatternType::Literal,
            principal: principal.to_owned(),
            host: "*".to_owned(),
            operation: AclOperation::All,
            permission,
        }
    }

    fn uses() -> [Use<'static>; 2] {
        ["orders", "users"].map(|topic| Use {
            resource: (AclResource::Topic, topic),
            operations: vec![AclOperation::Read, AclOperation::AlterConfigs],
        })
    }

    #[test]
    fn acls_that_close_what_is_used_are_named_and_no_others() {
        use AclPermission::{Allow, Deny};
        let (us, alice) = (Some("User:us"), "User:alice");
        let added = [acl(alice, "orders", Allow), acl(alice, "audit", Allow)];
        assert_eq!(closing(&uses(), &[], &added, us), [&added[0]]);
        assert_eq!(closing(&uses(), &[], &added, None), [&added[0]]);
        // Allowed by name, or closed before: nothing is lost.
        assert!(closing(&uses(), &[acl("User:us", "orders", Allow)], &added, us).is_empty());
        assert!(closing(&uses(), &[acl("User:bob", "orders", Allow)], &added, us).is_empty());
        let denial = [acl("User:*", "users", Deny)];
        assert_eq!(closing(&uses(), &[acl("User:us", "*", Allow)], &denial, us), [&denial[0]]);
    }

    #[test]
    fn a_super_user_is_shown_by_what_brokers_permit_against_the_acls() {
        let there = [acl("User:bob", "orders", AclPermission::Allow)];
        let all = |_: &Use<'_>| Some(Operations::of(&[AclOperation::Read]));
        assert!(is_super_user(&uses(), &there, Some("User:us"), all));
        assert!(!is_super_user(&uses(), &there, None, all) && !is_super_user(&uses(), &[], Some("User:us"), all));
        assert!(!is_super_user(&uses(), &there, Some("User:us"), |_| None));
        assert!(is_limited(Operations::of(&[AclOperation::Describe])) && !is_limited(Operations::of(&ON_CLUSTERS)));
    }
}
