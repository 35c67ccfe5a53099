//! Users, ACLs and IAM.

use migration::config::AuthMode;
use migration::report::{Finding, Severity};
use topology::acls::{ANONYMOUS, is_internal};

use super::{count, few, finding, warning};
use crate::facts::Facts;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    [scram(facts), internal_acls(facts), iam(facts)].into_iter().flatten().collect()
}

fn scram(facts: &Facts) -> Option<Finding> {
    let target = &facts.config.target;
    (target.auth.mode == AuthMode::ScramSha512).then(|| {
        warning(
            "W08",
            "the target signs clients in with SCRAM-SHA-512; users and passwords cannot be read from a cluster, so they are not \
             copied, and ACLs of users that the target does not know have no effect",
            format_args!(
                "associate the users' secrets before the cutover: `aws kafka batch-associate-scram-secret --cluster-arn {} \
                 --region {} --secret-arn-list <secret ARNs>`",
                target.cluster_arn,
                target.region()
            ),
        )
    })
}

fn internal_acls(facts: &Facts) -> Option<Finding> {
    let acls = facts.leaving.as_ref()?.acls.as_ref().ok()?.as_ref()?;
    let internal: Vec<_> = acls.iter().filter(|acl| is_internal(acl)).collect();
    let named = internal.iter().map(|acl| format!("{} on {}", acl.principal, acl.name));
    (!internal.is_empty()).then(|| {
        warning(
            "W09",
            format_args!(
                "not copied, because they name {ANONYMOUS} or the cluster's own topics and groups: {} of the source: {}",
                count(internal.len(), "ACL"),
                few(named)
            ),
            "nothing; they are listed so that nobody misses them",
        )
    })
}

fn iam(facts: &Facts) -> Option<Finding> {
    (facts.config.target.auth.mode == AuthMode::Iam).then(|| {
        finding(
            Severity::Info,
            "I01",
            "the target signs clients in with IAM, which Kafka ACLs do not apply to; access is given by IAM policies, which \
             nothing here creates",
            "write policies with the kafka-cluster: actions that correspond to the source's ACLs, before clients are switched",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, codes, facts};
    use kafka::{AclBinding, AclOperation, AclPermission, AclResource, PatternType};

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

    #[test]
    fn nothing_is_wrong_with_the_sample() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn w08_i01_how_the_target_signs_in() {
        let mut facts = facts();
        facts.config.target.auth.mode = AuthMode::ScramSha512;
        let findings = judge(&facts);
        assert_eq!(codes(&findings), ["W08"]);
        assert!(findings[0].fix.contains("cluster/new/"));
        facts.config.target.auth.mode = AuthMode::Iam;
        assert_eq!(codes(&judge(&facts)), ["I01"]);
        facts.config.target.auth.mode = AuthMode::Mtls;
        facts.config.source.auth.mode = AuthMode::Iam;
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn w09_acls_that_belong_to_the_cluster() {
        let mut facts = facts();
        let users = acl("User:alice", AclResource::Topic, "orders");
        sample::leaving(&mut facts).acls = Ok(Some(vec![
            users.clone(),
            acl("User:alice", AclResource::Topic, "__consumer_offsets"),
            acl("User:ANONYMOUS", AclResource::Cluster, "kafka-cluster"),
            acl("User:bob", AclResource::Group, "amazon.msk.canary.group.broker-1"),
        ]));
        let findings = judge(&facts);
        assert_eq!(codes(&findings), ["W09"]);
        assert!(findings[0].message.contains("3 ACLs of the source"), "{}", findings[0].message);
        assert!(findings[0].message.contains("User:alice on __consumer_offsets"));
        sample::leaving(&mut facts).acls = Ok(Some(vec![users]));
        assert!(judge(&facts).is_empty());
        sample::leaving(&mut facts).acls = Ok(None);
        assert!(judge(&facts).is_empty());
    }
}
