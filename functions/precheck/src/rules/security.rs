//! Users, ACLs and IAM.

use migration::config::AuthMode;
use migration::report::Finding;
use topology::acls::{ANONYMOUS, is_internal};

use super::finding::{count, few, finding};
use crate::facts::Facts;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    [scram(facts), internal_acls(facts), iam(facts)].into_iter().flatten().collect()
}

fn scram(facts: &Facts) -> Option<Finding> {
    let target = &facts.config.target;
    (target.auth.mode == AuthMode::ScramSha512).then(|| {
        finding("W08", "target")
            .found("the target signs clients in with SCRAM-SHA-512, and users and passwords are not copied")
            .because(
                "a cluster does not give passwords out; copied ACLs of users that the target does not know have no effect, and \
                 clients with these users cannot sign in",
            )
            .fix(format_args!(
                "associate the users' secrets before the cutover: `aws kafka batch-associate-scram-secret --cluster-arn {} \
                 --region {} --secret-arn-list <secret ARNs>`",
                target.cluster_arn,
                target.region()
            ))
    })
}

fn internal_acls(facts: &Facts) -> Option<Finding> {
    let acls = facts.leaving.as_ref()?.acls.as_ref().ok()?.as_ref()?;
    let internal: Vec<_> = acls.iter().filter(|acl| is_internal(acl)).collect();
    let named = internal.iter().map(|acl| format!("{} on {}", acl.principal, acl.name));
    let named: Vec<_> = named.collect();
    (!internal.is_empty()).then(|| {
        finding("W09", "source")
            .found(format_args!("{} of the source will not be copied: {}", count(internal.len(), "ACL"), few(&named)))
            .of(&named)
            .because(format_args!(
                "they name {ANONYMOUS} or the cluster's own topics and groups, which every cluster has anew"
            ))
            .fix("nothing; they are listed so that nobody misses them")
    })
}

fn iam(facts: &Facts) -> Option<Finding> {
    (facts.config.target.auth.mode == AuthMode::Iam).then(|| {
        finding("I01", "target")
            .found("the target signs clients in with IAM, which Kafka ACLs do not apply to")
            .because("access is given by IAM policies there, which a migration writes and does not create")
            .fix(
                "attach the policies that `msk-kraft access-map` prints once topology copy is done, before clients are switched",
            )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, acl, facts, one};

    #[test]
    fn nothing_is_wrong_with_the_sample() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn w08_i01_how_the_target_signs_in() {
        let mut facts = facts();
        facts.config.target.auth.mode = AuthMode::ScramSha512;
        assert!(one(judge(&facts), "W08").fix.contains("cluster/new/"));
        facts.config.target.auth.mode = AuthMode::Iam;
        one(judge(&facts), "I01");
        facts.config.target.auth.mode = AuthMode::Mtls;
        facts.config.source.auth.mode = AuthMode::Iam;
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn w09_acls_that_belong_to_the_cluster() {
        let mut facts = facts();
        let group = kafka::AclBinding {
            resource: kafka::AclResource::Group,
            ..acl("User:bob", "amazon.msk.canary.group.broker-1")
        };
        sample::leaving(&mut facts).acls = Ok(Some(vec![
            acl("User:alice", "orders"),
            acl("User:alice", "__consumer_offsets"),
            acl("User:ANONYMOUS", "orders"),
            group,
        ]));
        let message = one(judge(&facts), "W09").message;
        assert!(
            message.starts_with("3 ACLs of the source will not be copied: User:alice on __consumer_offsets"),
            "{message}"
        );
        sample::leaving(&mut facts).acls = Ok(Some(vec![acl("User:alice", "orders")]));
        assert!(judge(&facts).is_empty());
        sample::leaving(&mut facts).acls = Ok(None);
        assert!(judge(&facts).is_empty());
    }
}
