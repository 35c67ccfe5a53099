use super::*;
use kafka::{AclOperation, AclResource, PatternType};
use serde_json::{Value, json};

const ARN: &str = "arn:aws:kafka:eu-west-2:123456789012:cluster/orders-kraft/0a1b2c3d-0000-4000-8000-000000000002-3";

fn rule(principal: &str, resource: AclResource, name: &str, operation: AclOperation) -> AclBinding {
    AclBinding {
        resource,
        name: name.to_owned(),
        pattern: PatternType::Literal,
        principal: principal.to_owned(),
        host: "*".to_owned(),
        operation,
        permission: AclPermission::Allow,
    }
}

fn prefixed(rule: AclBinding) -> AclBinding {
    AclBinding { pattern: PatternType::Prefixed, ..rule }
}

fn denied(rule: AclBinding) -> AclBinding {
    AclBinding { permission: AclPermission::Deny, ..rule }
}

fn arn(kind: &str, name: &str) -> String {
    format!("arn:aws:kafka:eu-west-2:123456789012:{kind}/orders-kraft/0a1b2c3d-0000-4000-8000-000000000002-3{name}")
}

fn json(rules: &[AclBinding]) -> Value {
    serde_json::to_value(AccessMap::of(rules, ARN)).unwrap()
}

#[test]
fn a_consumer_and_a_producer_get_what_their_rules_say() {
    use AclOperation::{Describe, Read, Write};
    use AclResource::{Group, Topic, TransactionalId};
    let map = json(&[
        rule("User:billing", Topic, "orders", Read),
        prefixed(rule("User:billing", Topic, "users-", Read)),
        rule("User:billing", Topic, "orders", Describe),
        rule("User:billing", Group, "*", Read),
        rule("User:shop", Topic, "orders", Write),
        prefixed(rule("User:shop", TransactionalId, "shop-", Write)),
        denied(rule("User:shop", Topic, "orders", Read)),
    ]);
    let expected = json!({
        "cluster_arn": ARN,
        "principals": [
            {"principal": "User:billing", "policies": [{"Version": "2012-10-17", "Statement": [
                {
                    "Sid": "AllowCluster1",
                    "Effect": "Allow",
                    "Action": ["kafka-cluster:Connect"],
                    "Resource": [arn("cluster", "")],
                },
                {
                    "Sid": "AllowGroups1",
                    "Effect": "Allow",
                    "Action": ["kafka-cluster:AlterGroup", "kafka-cluster:DescribeGroup"],
                    "Resource": [arn("group", "/*")],
                },
                {
                    "Sid": "AllowTopics1",
                    "Effect": "Allow",
                    "Action": ["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"],
                    "Resource": [arn("topic", "/orders"), arn("topic", "/users-*")],
                },
            ]}]},
            {"principal": "User:shop", "policies": [{"Version": "2012-10-17", "Statement": [
                {
                    "Sid": "AllowCluster1",
                    "Effect": "Allow",
                    "Action": ["kafka-cluster:Connect", "kafka-cluster:WriteDataIdempotently"],
                    "Resource": [arn("cluster", "")],
                },
                {
                    "Sid": "AllowTopics1",
                    "Effect": "Allow",
                    "Action": ["kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"],
                    "Resource": [arn("topic", "/orders")],
                },
                {
                    "Sid": "AllowTransactionalIds1",
                    "Effect": "Allow",
                    "Action": ["kafka-cluster:AlterTransactionalId", "kafka-cluster:DescribeTransactionalId"],
                    "Resource": [arn("transactional-id", "/shop-*")],
                },
                {
                    "Sid": "DenyTopics1",
                    "Effect": "Deny",
                    "Action": ["kafka-cluster:ReadData"],
                    "Resource": [arn("topic", "/orders")],
                },
            ]}]},
        ],
        "not_expressible": [],
    });
    assert_eq!(map, expected, "{map:#}");
}

#[test]
fn an_administrator_gets_the_cluster_and_every_topic() {
    use AclResource::{Cluster, Topic};
    let map = json(&[
        rule("User:admin", Cluster, "kafka-cluster", AclOperation::All),
        rule("User:admin", Topic, "*", AclOperation::AlterConfigs),
    ]);
    let statements = json!([
        {
            "Sid": "AllowCluster1",
            "Effect": "Allow",
            "Action": [
                "kafka-cluster:AlterCluster",
                "kafka-cluster:AlterClusterDynamicConfiguration",
                "kafka-cluster:Connect",
                "kafka-cluster:DescribeCluster",
                "kafka-cluster:DescribeClusterDynamicConfiguration",
                "kafka-cluster:WriteDataIdempotently",
            ],
            "Resource": [ARN],
        },
        {
            "Sid": "AllowTopics1",
            "Effect": "Allow",
            "Action": [
                "kafka-cluster:AlterTopicDynamicConfiguration",
                "kafka-cluster:CreateTopic",
                "kafka-cluster:DescribeTopicDynamicConfiguration",
            ],
            "Resource": [arn("topic", "/*")],
        },
    ]);
    assert_eq!(map["principals"][0]["policies"][0]["Statement"], statements, "{map:#}");
}

#[test]
fn what_iam_cannot_say_is_listed_with_the_reason() {
    use AclResource::{Cluster, DelegationToken, Group, Topic};
    let from_host = AclBinding { host: "10.0.0.7".to_owned(), ..rule("User:a", Topic, "t", AclOperation::Read) };
    let rules = [
        from_host.clone(),
        denied(from_host),
        rule("User:a", DelegationToken, "t", AclOperation::Describe),
        rule("User:a", Cluster, "kafka-cluster", AclOperation::ClusterAction),
        rule("User:a", Topic, "t", AclOperation::TwoPhaseCommit),
        rule("User:a", Group, "g", AclOperation::Other(99)),
    ];
    let map = AccessMap::of(&rules, ARN);
    assert!(map.principals.is_empty(), "{map:?}");
    assert_eq!(map.not_expressible.iter().map(|none| &none.rule).collect::<Vec<_>>(), rules.iter().collect::<Vec<_>>());
    assert!(map.not_expressible[0].reason.contains("security groups"));
    assert!(map.lines()[1].starts_with("6 ACLs are in no IAM policy (1 of them deny"), "{:?}", map.lines());
}

#[test]
fn a_denied_creation_on_the_cluster_leaves_what_topics_allow() {
    use AclResource::{Cluster, Topic};
    let rules = [
        denied(rule("User:a", Cluster, "kafka-cluster", AclOperation::Create)),
        denied(rule("User:b", Cluster, "kafka-cluster", AclOperation::All)),
        rule("User:a", Topic, "orders", AclOperation::Create),
    ];
    let map = AccessMap::of(&rules, ARN);
    assert_eq!(map.not_expressible.len(), 1);
    assert!(map.not_expressible[0].reason.contains("ACLs of the topic"), "{map:?}");
    let denied = serde_json::to_string(&map).unwrap().matches("CreateTopic").count();
    assert_eq!(denied, 1, "allowed on the topic alone: {map:?}");
}

#[test]
fn what_is_not_attached_as_it_is_has_a_note() {
    let topics = |principal: &str, count: usize| -> Vec<AclBinding> {
        let name = |number| format!("a-topic-with-a-rather-long-name-{number}");
        (0..count).map(|number| rule(principal, AclResource::Topic, &name(number), AclOperation::Read)).collect()
    };
    let map = AccessMap::of(&[topics("User:*", 1), topics("User:a", 1), topics("User:many", 500)].concat(), ARN);
    let note = |number: usize| map.principals[number].note.as_deref();
    assert!(note(0).unwrap().starts_with("this is everybody"));
    assert_eq!(note(1), None);
    assert!(map.principals[2].policies.len() > 10 && note(2).unwrap().contains("10 policies to a role"));
}

#[test]
fn the_clusters_own_rules_are_nobodys() {
    let rules = [
        rule("User:ANONYMOUS", AclResource::Cluster, "kafka-cluster", AclOperation::All),
        rule("User:a", AclResource::Topic, "__consumer_offsets", AclOperation::Read),
    ];
    let map = AccessMap::of(&rules, ARN);
    assert!(map.principals.is_empty() && map.not_expressible.is_empty());
}

#[test]
fn a_name_that_looks_like_a_pattern_is_meant_literally() {
    let map = json(&[
        rule("User:a", AclResource::Group, "a*b?", AclOperation::Describe),
        prefixed(rule("User:a", AclResource::Group, "$", AclOperation::Describe)),
    ]);
    let resources = &map["principals"][0]["policies"][0]["Statement"][1]["Resource"];
    assert_eq!(*resources, json!([arn("group", "/${$}*"), arn("group", "/a${*}b${?}")]));
}

#[test]
fn every_policy_is_one_that_iam_takes() {
    let rules: Vec<_> = (0..300)
        .map(|number| rule("User:a", AclResource::Topic, &format!("topic-{number}"), AclOperation::Read))
        .collect();
    let map = AccessMap::of(&rules, ARN);
    let policies = &map.principals[0].policies;
    assert!(policies.len() > 1);
    let mut resources = std::collections::BTreeSet::new();
    for policy in policies {
        assert!(serde_json::to_string(policy).unwrap().len() <= 6_144);
        let sids: std::collections::BTreeSet<_> = policy.statement.iter().map(|statement| &statement.sid).collect();
        assert_eq!(sids.len(), policy.statement.len());
        resources.extend(policy.statement.iter().flat_map(|statement| statement.resource.clone()));
    }
    assert_eq!(resources.len(), 301, "every topic and the cluster");
}
