//! What ACLs let a principal do, decided as Kafka's authorizers decide it
//! (`org.apache.kafka.metadata.authorizer.StandardAuthorizerData`). Hosts are not compared: from which addresses the functions
//! come nobody knows beforehand.

use kafka::{AclBinding, AclOperation, AclPermission, AclResource};

/// The name that stands for every principal.
const EVERYBODY: &str = "User:*";

/// What ACLs say to an operation on a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No ACL is about the resource: `allow.everyone.if.no.acl.found` decides.
    Open,
    /// It is permitted.
    Allowed,
    /// It is not, unless to a super user.
    Denied,
}

/// The ACLs about one resource, for one principal.
#[derive(Debug)]
pub struct Access<'a> {
    acls: Vec<&'a AclBinding>,
    principal: Option<&'a str>,
}

impl<'a> Access<'a> {
    /// Of `principal`, such as `User:alice`, to the resource `name` under `acls`. Without a principal only what everybody may
    /// is permitted.
    pub fn new(
        acls: impl IntoIterator<Item = &'a AclBinding>,
        principal: Option<&'a str>,
        resource: (AclResource, &str),
    ) -> Self {
        Self { acls: acls.into_iter().filter(|acl| acl.is_about(resource.0, resource.1)).collect(), principal }
    }

    /// What they say to `operation`.
    pub fn verdict(&self, operation: AclOperation) -> Verdict {
        let ours = |acl: &&&AclBinding| acl.principal == EVERYBODY || Some(acl.principal.as_str()) == self.principal;
        let denies = |acl: &&AclBinding| {
            acl.permission == AclPermission::Deny && (acl.operation == operation || acl.operation == AclOperation::All)
        };
        let allows = |acl: &&AclBinding| acl.permission == AclPermission::Allow && includes(acl.operation, operation);
        let mut own = self.acls.iter().filter(ours);
        match self.acls.is_empty() {
            true => Verdict::Open,
            false if own.clone().any(denies) => Verdict::Denied,
            false if own.any(allows) => Verdict::Allowed,
            false => Verdict::Denied,
        }
    }
}

/// Whether who may do `allowed` may do `operation` (`AclEntry`: reading and changing imply describing).
fn includes(allowed: AclOperation, operation: AclOperation) -> bool {
    use AclOperation::{All, Alter, AlterConfigs, Delete, Describe, DescribeConfigs, Read, Write};
    match operation {
        _ if allowed == operation || allowed == All => true,
        Describe => matches!(allowed, Read | Write | Delete | Alter),
        DescribeConfigs => allowed == AlterConfigs,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::PatternType;

    const ORDERS: (AclResource, &str) = (AclResource::Topic, "orders");

    fn acl(principal: &str, name: &str) -> AclBinding {
        AclBinding {
            resource: AclResource::Topic,
            name: name.to_owned(),
            pattern: PatternType::Literal,
            principal: principal.to_owned(),
            host: "*".to_owned(),
            operation: AclOperation::Read,
            permission: AclPermission::Allow,
        }
    }

    fn verdict(acls: &[AclBinding], principal: Option<&str>, operation: AclOperation) -> Verdict {
        Access::new(acls, principal, ORDERS).verdict(operation)
    }

    #[test]
    fn a_resource_that_an_acl_names_is_closed_to_the_others() {
        let acls = [acl("User:alice", "orders")];
        assert_eq!(verdict(&[acl("User:alice", "users")], Some("User:bob"), AclOperation::Read), Verdict::Open);
        assert_eq!(verdict(&acls, Some("User:bob"), AclOperation::Read), Verdict::Denied);
        assert_eq!(verdict(&acls, None, AclOperation::Read), Verdict::Denied);
        assert_eq!(verdict(&acls, Some("User:alice"), AclOperation::Read), Verdict::Allowed);
        assert_eq!(verdict(&acls, Some("User:alice"), AclOperation::Write), Verdict::Denied);
        assert_eq!(verdict(&[acl(EVERYBODY, "orders")], None, AclOperation::Read), Verdict::Allowed);
    }

    #[test]
    fn reading_implies_describing_and_a_denial_counts_above_all() {
        let acls = [acl("User:alice", "orders")];
        assert_eq!(verdict(&acls, Some("User:alice"), AclOperation::Describe), Verdict::Allowed);
        assert_eq!(verdict(&acls, Some("User:alice"), AclOperation::DescribeConfigs), Verdict::Denied);
        let denial = AclBinding { permission: AclPermission::Deny, ..acl(EVERYBODY, "*") };
        let acls = [acls[0].clone(), denial];
        assert_eq!(verdict(&acls, Some("User:alice"), AclOperation::Read), Verdict::Denied);
    }

    #[test]
    fn prefixes_and_the_wildcard_are_about_a_topic_too() {
        let prefix = AclBinding { pattern: PatternType::Prefixed, ..acl("User:alice", "ord") };
        assert!(prefix.is_about(ORDERS.0, ORDERS.1) && acl("User:alice", "*").is_about(ORDERS.0, ORDERS.1));
        assert!(!acl("User:alice", "ord").is_about(ORDERS.0, ORDERS.1));
        assert!(!acl("User:alice", "orders").is_about(AclResource::Group, "orders"));
    }
}
