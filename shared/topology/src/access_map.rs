//! IAM policies that permit what Kafka's ACLs permit, for a target whose clients sign in with IAM: MSK does not apply ACLs
//! to them. Nothing here changes IAM; the document is for whoever does.
//!
//! Actions and resources are those of the service authorization reference
//! (<https://docs.aws.amazon.com/service-authorization/latest/reference/list_apachekafkaapisforamazonmskclusters.html>),
//! and which ACL an action stands for is in
//! <https://docs.aws.amazon.com/msk/latest/developerguide/kafka-actions.html>.

mod actions;
mod policy;

use std::collections::BTreeMap;

use kafka::{AclBinding, AclPermission};
use serde::{Deserialize, Serialize};

pub use actions::Effect;
use actions::{Grant, grants};
pub use policy::{Policy, Statement};

use crate::acls::is_internal;

/// Where the document is in the run's store.
pub const STORED: &str = "topology/access-map.json";

/// The principal that is everybody.
const EVERYBODY: &str = "User:*";

/// Managed policies that a role can have, unless its quota is raised
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>).
const ATTACHED: usize = 10;

/// Policies by principal, and what they cannot say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessMap {
    /// ARN of the cluster that the policies are about.
    pub cluster_arn: String,
    /// One entry for each principal of the ACLs, by name.
    pub principals: Vec<PrincipalAccess>,
    /// Rules that are in no policy, with the reason.
    pub not_expressible: Vec<NotExpressible>,
}

/// What one principal of the ACLs may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrincipalAccess {
    /// The principal as the ACLs name it.
    pub principal: String,
    /// What to know before the policies are attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Policies to attach to the role that takes its place; several where one would be longer than IAM allows.
    pub policies: Vec<Policy>,
}

/// A rule that IAM cannot say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotExpressible {
    /// The rule.
    pub rule: AclBinding,
    /// Why not, and what can be done instead.
    pub reason: String,
}

impl AccessMap {
    /// Translates `acls` for the cluster `cluster_arn` (`arn:aws:kafka:REGION:ACCOUNT:cluster/NAME/UUID`). The rules of the
    /// cluster itself are left out.
    pub fn of(acls: &[AclBinding], cluster_arn: &str) -> Self {
        let mut grants_by: BTreeMap<&str, Vec<Grant>> = BTreeMap::new();
        let mut not_expressible = Vec::new();
        for rule in acls.iter().filter(|rule| !is_internal(rule)) {
            match grants(rule, cluster_arn) {
                Ok(grants) => grants_by.entry(&rule.principal).or_default().extend(grants),
                Err(reason) => not_expressible.push(NotExpressible { rule: rule.clone(), reason: reason.to_owned() }),
            }
        }
        let access = |(principal, grants): (&str, Vec<Grant>)| {
            let policies = policy::policies(grants, cluster_arn);
            PrincipalAccess { principal: principal.to_owned(), note: note(principal, policies.len()), policies }
        };
        Self {
            cluster_arn: cluster_arn.to_owned(),
            principals: grants_by.into_iter().map(access).collect(),
            not_expressible,
        }
    }

    /// Lines for an operator: how many policies there are, and that something is missing in them.
    pub fn lines(&self) -> Vec<String> {
        let policies: usize = self.principals.iter().map(|access| access.policies.len()).sum();
        let denied = self.not_expressible.iter().filter(|rule| rule.rule.permission == AclPermission::Deny).count();
        let mut lines = vec![format!(
            "the target signs clients in with IAM, which ACLs do not apply to: {policies} IAM policies for {} principals are \
             in {STORED}; msk-kraft access-map prints them",
            self.principals.len()
        )];
        if !self.not_expressible.is_empty() {
            lines.push(format!(
                "{} ACLs are in no IAM policy ({denied} of them deny something): see not_expressible in {STORED}",
                self.not_expressible.len()
            ));
        }
        lines
    }
}

/// What to know before `policies` of `principal` are attached.
fn note(principal: &str, policies: usize) -> Option<String> {
    let everybody = (principal == EVERYBODY)
        .then(|| "this is everybody: attach the policies to every role that uses the cluster".to_owned());
    let many = (policies > ATTACHED).then(|| {
        format!(
            "IAM attaches {ATTACHED} policies to a role unless its quota is raised, and these are {policies}: make them fewer \
             with prefixes, or split them over roles"
        )
    });
    let notes: Vec<_> = everybody.into_iter().chain(many).collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}

#[cfg(test)]
mod tests;
