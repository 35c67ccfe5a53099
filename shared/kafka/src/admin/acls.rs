//! Access control lists: read all, create and delete some. The codes are those of `org.apache.kafka.common.acl` and `.resource`.

use std::fmt;
use std::time::Duration;

use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::{CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest, DescribeAclsResponse};
use serde::{Deserialize, Serialize};

use crate::cluster::Cluster;
use crate::error::{Each, Place, Result, check};
use crate::pool::Purpose;
use crate::spread::{Outcomes, complete, text};
use crate::{Api, Code};

/// The code that matches everything in a filter of resources, patterns, operations and permissions.
const ANY: i8 = 1;

macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A code newer than this list; it is passed on as it is.
            Other(i8),
        }

        impl From<i8> for $name {
            fn from(code: i8) -> Self {
                match code {
                    $($code => Self::$variant,)*
                    other => Self::Other(other),
                }
            }
        }

        impl From<$name> for i8 {
            fn from(value: $name) -> i8 {
                match value {
                    $($name::$variant => $code,)*
                    $name::Other(code) => code,
                }
            }
        }
    };
}

coded! {
    /// What is protected.
    AclResource {
        /// A topic.
        Topic = 2,
        /// A consumer group.
        Group = 3,
        /// The cluster.
        Cluster = 4,
        /// A transactional id.
        TransactionalId = 5,
        /// A delegation token.
        DelegationToken = 6,
        /// A user, for tokens (KIP-373).
        User = 7,
    }
}

coded! {
    /// How the name of the resource is meant (KIP-290).
    PatternType {
        /// Exactly this name, or all names if it is `*`.
        Literal = 3,
        /// Every name that begins with it.
        Prefixed = 4,
    }
}

coded! {
    /// What is done to the resource.
    AclOperation {
        /// Everything.
        All = 2,
        /// Read.
        Read = 3,
        /// Write.
        Write = 4,
        /// Create.
        Create = 5,
        /// Delete.
        Delete = 6,
        /// Alter.
        Alter = 7,
        /// Describe.
        Describe = 8,
        /// Act as the cluster itself.
        ClusterAction = 9,
        /// Read configs.
        DescribeConfigs = 10,
        /// Change configs.
        AlterConfigs = 11,
        /// Write idempotently.
        IdempotentWrite = 12,
        /// Create delegation tokens.
        CreateTokens = 13,
        /// Describe delegation tokens.
        DescribeTokens = 14,
        /// Take part in two-phase commit (KIP-939).
        TwoPhaseCommit = 15,
    }
}

coded! {
    /// Whether it is permitted.
    AclPermission {
        /// It is not, whatever else says that it is.
        Deny = 2,
        /// It is.
        Allow = 3,
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AclBinding {
    /// Kind of resource.
    pub resource: AclResource,
    /// Name of the resource.
    pub name: String,
    /// How the name is meant.
    pub pattern: PatternType,
    /// Whom it is about, such as `User:alice`.
    pub principal: String,
    /// From where, `*` for everywhere.
    pub host: String,
    /// What is done.
    pub operation: AclOperation,
    /// Whether it may be done.
    pub permission: AclPermission,
}

impl fmt::Display for AclBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, name, pattern, principal, host, operation, permission } = self;
        write!(f, "{permission:?} {operation:?} on {resource:?} {name} ({pattern:?}) for {principal} from host {host}")
    }
}

impl AclBinding {
    /// Whether the rule is about the resource `name`, as authorizers match names (KIP-290).
    pub fn is_about(&self, resource: AclResource, name: &str) -> bool {
        let named = match self.pattern {
            PatternType::Prefixed => name.starts_with(&self.name),
            _ => self.name == name || self.name == "*",
        };
        self.resource == resource && named
    }
}

impl Cluster {
    /// All rules of the cluster in a fixed order, or `None` when it has no authorizer and so no rules.
    pub async fn describe_acls(&self) -> Result<Option<Vec<AclBinding>>> {
        let request = DescribeAclsRequest::default()
            .with_resource_type_filter(ANY)
            .with_resource_name_filter(None)
            .with_pattern_type_filter(ANY)
            .with_principal_filter(None)
            .with_host_filter(None)
            .with_operation(ANY)
            .with_permission_type(ANY);
        let described = self.with_retries(|| async {
            let answer = self.call(self.any_broker().await?, Purpose::Admin, &request, Duration::ZERO).await?;
            check(Api::DescribeAcls, answer.error_code, || Place::Cluster, answer.error_message.as_deref())?;
            Ok(bindings(answer))
        });
        match described.await {
            Err(error) if error.code() == Some(Code::SecurityDisabled) => Ok(None),
            described => described.map(Some),
        }
    }

    /// Adds rules. A rule that is there already stays and counts as created.
    pub async fn create_acls(&self, bindings: &[AclBinding]) -> Each<AclBinding, ()> {
        self.settle_in_parts(bindings, |_| 1, AclBinding::clone, |bindings| self.create_acls_once(bindings)).await
    }

    async fn create_acls_once(&self, bindings: Vec<AclBinding>) -> Each<AclBinding, ()> {
        let request = CreateAclsRequest::default().with_creations(bindings.iter().map(creation).collect());
        let answer = async {
            let answer = self.call(self.controller().await?, Purpose::Admin, &request, Duration::ZERO).await?;
            // The answer has no names: its results are in the order of the request.
            let outcomes = bindings.iter().cloned().zip(&answer.results).map(|(binding, result)| {
                let message = result.error_message.as_deref();
                (binding, check(Api::CreateAcls, result.error_code, || Place::Cluster, message))
            });
            Ok(outcomes.collect::<Outcomes<_, _>>())
        };
        let answer = answer.await;
        complete(bindings, answer)
    }

    /// Removes exactly these rules. One that is not there counts as removed.
    pub async fn delete_acls(&self, bindings: &[AclBinding]) -> Each<AclBinding, ()> {
        self.settle_in_parts(bindings, |_| 1, AclBinding::clone, |bindings| self.delete_acls_once(bindings)).await
    }

    async fn delete_acls_once(&self, bindings: Vec<AclBinding>) -> Each<AclBinding, ()> {
        let request = DeleteAclsRequest::default().with_filters(bindings.iter().map(exactly).collect());
        let answer = async {
            let answer = self.call(self.controller().await?, Purpose::Admin, &request, Duration::ZERO).await?;
            // Its results are in the order of the request, too. A filter can be fine, and what it matches still not removed.
            let outcomes = bindings.iter().cloned().zip(&answer.filter_results).map(|(binding, result)| {
                let of_the_filter = [(result.error_code, result.error_message.as_deref())];
                let of_the_rules =
                    result.matching_acls.iter().map(|rule| (rule.error_code, rule.error_message.as_deref()));
                let mut said = of_the_filter.into_iter().chain(of_the_rules);
                let outcome =
                    said.try_for_each(|(code, message)| check(Api::DeleteAcls, code, || Place::Cluster, message));
                (binding, outcome)
            });
            Ok(outcomes.collect::<Outcomes<_, _>>())
        };
        let answer = answer.await;
        complete(bindings, answer)
    }
}

/// What matches this rule and no other.
fn exactly(binding: &AclBinding) -> DeleteAclsFilter {
    DeleteAclsFilter::default()
        .with_resource_type_filter(binding.resource.into())
        .with_resource_name_filter(Some(text(&binding.name)))
        .with_pattern_type_filter(binding.pattern.into())
        .with_principal_filter(Some(text(&binding.principal)))
        .with_host_filter(Some(text(&binding.host)))
        .with_operation(binding.operation.into())
        .with_permission_type(binding.permission.into())
}

fn creation(binding: &AclBinding) -> AclCreation {
    AclCreation::default()
        .with_resource_type(binding.resource.into())
        .with_resource_name(text(&binding.name))
        .with_resource_pattern_type(binding.pattern.into())
        .with_principal(text(&binding.principal))
        .with_host(text(&binding.host))
        .with_operation(binding.operation.into())
        .with_permission_type(binding.permission.into())
}

fn bindings(answer: DescribeAclsResponse) -> Vec<AclBinding> {
    let mut bindings = Vec::new();
    for resource in answer.resources {
        for acl in resource.acls {
            bindings.push(AclBinding {
                resource: resource.resource_type.into(),
                name: resource.resource_name.to_string(),
                pattern: resource.pattern_type.into(),
                principal: acl.principal.to_string(),
                host: acl.host.to_string(),
                operation: acl.operation.into(),
                permission: acl.permission_type.into(),
            });
        }
    }
    bindings.sort_unstable();
    bindings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_the_way_there_and_back() {
        for code in i8::MIN..=i8::MAX {
            assert_eq!(i8::from(AclResource::from(code)), code);
            assert_eq!(i8::from(PatternType::from(code)), code);
            assert_eq!(i8::from(AclOperation::from(code)), code);
            assert_eq!(i8::from(AclPermission::from(code)), code);
        }
    }
}
