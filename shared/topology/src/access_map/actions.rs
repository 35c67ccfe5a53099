//! Which IAM actions on which resources stand for an ACL.

use kafka::{AclBinding, AclOperation, AclPermission, AclResource, PatternType};

use AclOperation as Op;

/// Actions on one resource, permitted or denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) permission: Effect,
    /// What the resource is, for the statement's id.
    pub(super) purpose: &'static str,
    /// Names behind `kafka-cluster:`.
    pub(super) actions: &'static [&'static str],
    /// ARN, with wildcards.
    pub(super) resource: String,
}

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Effect {
    /// It permits.
    Allow,
    /// It forbids, whatever else permits.
    Deny,
}

/// The grants that stand for `rule`.
///
/// # Errors
/// Why IAM cannot say it.
pub(super) fn grants(rule: &AclBinding, cluster_arn: &str) -> Result<Vec<Grant>, &'static str> {
    let permission = match rule.permission {
        AclPermission::Allow => Effect::Allow,
        AclPermission::Deny => Effect::Deny,
        AclPermission::Other(_) => return Err("its permission is not known"),
    };
    if rule.host != "*" {
        return Err("IAM knows the network of a client at most, not the host that Kafka sees; use security groups");
    }
    let denied = permission == Effect::Deny;
    let on = |purpose: &'static str, actions: &'static [&'static str], resource: String| Grant {
        permission,
        purpose,
        actions,
        resource,
    };
    let named = |kind: &str| name_pattern(rule).map(|name| resource(cluster_arn, kind, &name));
    let grants = match rule.resource {
        AclResource::Topic => {
            let mut grants = vec![on("Topics", topic(rule.operation, denied)?, named("topic")?)];
            // Whoever may write to a topic may do so idempotently (KIP-679).
            if !denied && matches!(rule.operation, Op::Write | Op::All) {
                grants.push(on("Cluster", &["WriteDataIdempotently"], cluster_arn.to_owned()));
            }
            grants
        }
        AclResource::Group => vec![on("Groups", group(rule.operation, denied)?, named("group")?)],
        AclResource::TransactionalId => {
            vec![on("TransactionalIds", transactional_id(rule.operation, denied)?, named("transactional-id")?)]
        }
        AclResource::Cluster => {
            let mut grants = Vec::new();
            let actions = cluster(rule.operation, denied)?;
            if !actions.is_empty() {
                grants.push(on("Cluster", actions, cluster_arn.to_owned()));
            }
            // Kafka asks the cluster who may create topics, IAM asks the topic. What the cluster denies, a topic may allow
            // (`KafkaApis.handleCreateTopicsRequest`), so that a denial stays with the cluster.
            if !denied && matches!(rule.operation, Op::Create | Op::All) {
                grants.push(on("Topics", &["CreateTopic"], resource(cluster_arn, "topic", "*")));
            }
            grants
        }
        AclResource::DelegationToken | AclResource::User => {
            return Err("clients of an IAM cluster have no delegation tokens");
        }
        AclResource::Other(_) => return Err("its kind of resource is not known"),
    };
    Ok(grants)
}

/// Why an operation has no action.
const NO_ACTION: &str = "IAM has no action for this operation on this resource";

/// Actions for an operation. An allowed one brings with it what Kafka's authorizer takes it to imply: `Describe`, and
/// `DescribeConfigs` for `AlterConfigs`; a denied one does not (`org.apache.kafka.server.authorizer`, KIP-11).
fn topic(operation: Op, denied: bool) -> Result<&'static [&'static str], &'static str> {
    Ok(match (operation, denied) {
        (Op::Read, false) => &["DescribeTopic", "ReadData"],
        (Op::Read, true) => &["ReadData"],
        (Op::Write, false) => &["DescribeTopic", "WriteData"],
        (Op::Write, true) => &["WriteData"],
        (Op::Create, _) => &["CreateTopic"],
        (Op::Delete, false) => &["DeleteTopic", "DescribeTopic"],
        (Op::Delete, true) => &["DeleteTopic"],
        (Op::Alter, false) => &["AlterTopic", "DescribeTopic"],
        (Op::Alter, true) => &["AlterTopic"],
        (Op::Describe, _) => &["DescribeTopic"],
        (Op::DescribeConfigs, _) => &["DescribeTopicDynamicConfiguration"],
        (Op::AlterConfigs, false) => &["AlterTopicDynamicConfiguration", "DescribeTopicDynamicConfiguration"],
        (Op::AlterConfigs, true) => &["AlterTopicDynamicConfiguration"],
        (Op::All, _) => &[
            "AlterTopic",
            "AlterTopicDynamicConfiguration",
            "CreateTopic",
            "DeleteTopic",
            "DescribeTopic",
            "DescribeTopicDynamicConfiguration",
            "ReadData",
            "WriteData",
        ],
        _ => return Err(NO_ACTION),
    })
}

fn group(operation: Op, denied: bool) -> Result<&'static [&'static str], &'static str> {
    Ok(match (operation, denied) {
        (Op::Read, false) => &["AlterGroup", "DescribeGroup"],
        (Op::Read, true) => &["AlterGroup"],
        (Op::Describe, _) => &["DescribeGroup"],
        (Op::Delete, false) => &["DeleteGroup", "DescribeGroup"],
        (Op::Delete, true) => &["DeleteGroup"],
        (Op::All, _) => &["AlterGroup", "DeleteGroup", "DescribeGroup"],
        _ => return Err(NO_ACTION),
    })
}

fn transactional_id(operation: Op, denied: bool) -> Result<&'static [&'static str], &'static str> {
    Ok(match (operation, denied) {
        (Op::Write, false) | (Op::All, _) => &["AlterTransactionalId", "DescribeTransactionalId"],
        (Op::Write, true) => &["AlterTransactionalId"],
        (Op::Describe, _) => &["DescribeTransactionalId"],
        _ => return Err(NO_ACTION),
    })
}

/// Actions on the cluster itself; creating topics has none there.
fn cluster(operation: Op, denied: bool) -> Result<&'static [&'static str], &'static str> {
    Ok(match (operation, denied) {
        (Op::Create, false) => &[],
        (Op::Create, true) => {
            return Err("Kafka then asks the ACLs of the topic, which may allow it; in IAM a denial is final");
        }
        (Op::Describe, _) => &["DescribeCluster"],
        (Op::Alter, false) => &["AlterCluster", "DescribeCluster"],
        (Op::Alter, true) => &["AlterCluster"],
        (Op::DescribeConfigs, _) => &["DescribeClusterDynamicConfiguration"],
        (Op::AlterConfigs, false) => &["AlterClusterDynamicConfiguration", "DescribeClusterDynamicConfiguration"],
        (Op::AlterConfigs, true) => &["AlterClusterDynamicConfiguration"],
        (Op::IdempotentWrite, _) => &["WriteDataIdempotently"],
        (Op::All, _) => &[
            "AlterCluster",
            "AlterClusterDynamicConfiguration",
            "DescribeCluster",
            "DescribeClusterDynamicConfiguration",
            "WriteDataIdempotently",
        ],
        (Op::ClusterAction, _) => return Err("brokers act as the cluster; on MSK no client may"),
        _ => return Err(NO_ACTION),
    })
}

/// The name of a rule's resource with IAM's wildcards.
fn name_pattern(rule: &AclBinding) -> Result<String, &'static str> {
    match rule.pattern {
        PatternType::Literal if rule.name == "*" => Ok("*".to_owned()),
        PatternType::Literal => Ok(escaped(&rule.name)),
        PatternType::Prefixed => Ok(escaped(&rule.name) + "*"),
        PatternType::Other(_) => Err("its kind of pattern is not known"),
    }
}

/// What IAM would take for a wildcard or a variable, taken literally
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html>, special characters).
fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '*' | '?' | '$' => escaped.extend(['$', '{', character, '}']),
            other => escaped.push(other),
        }
    }
    escaped
}

/// ARN of a resource within the cluster: `cluster/NAME/UUID` becomes `topic/NAME/UUID/RESOURCE`.
pub(super) fn resource(cluster_arn: &str, kind: &str, name: &str) -> String {
    format!("{}/{name}", cluster_arn.replacen(":cluster/", &format!(":{kind}/"), 1))
}
