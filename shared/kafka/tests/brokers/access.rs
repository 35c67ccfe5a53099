//! What brokers say of rights, users and quotas, against real ones.

use std::sync::Arc;

use crate::common::{clusters, create, eventually, fresh};
use kafka::{
    AclBinding, AclOperation, AclPermission, AclResource, Code, PatternType, QuotaChange, QuotaEntity, all_ok,
};

#[tokio::test]
async fn brokers_tell_what_this_client_may_do() {
    for cluster in clusters().await {
        let topic = create(&cluster, "permitted", 3).await[0].topic.clone();
        let on_cluster = cluster.cluster_operations().await.unwrap().unwrap();
        // Both clusters of a stack let everybody do everything.
        for operation in [AclOperation::Create, AclOperation::Alter, AclOperation::DescribeConfigs] {
            assert!(on_cluster.contain(operation), "{operation:?}");
        }
        // An operation that clusters do not have is not among them.
        assert!(!on_cluster.contain(AclOperation::Read));
        let absent: Arc<str> = fresh("absent").into();
        let asked = [topic.clone(), absent.clone()];
        let on_topics = async || cluster.topic_operations(&asked).await.unwrap();
        eventually(async || on_topics().await.contains_key(&topic)).await;
        let on_topics = on_topics().await;
        for on_topic in [on_topics[&topic], on_topics[&absent]] {
            assert!(on_topic.contain(AclOperation::Write) && on_topic.contain(AclOperation::AlterConfigs));
        }
        assert!(cluster.topics().await.unwrap().iter().all(|listed| listed.name != absent));
        let hidden = cluster.hidden_topics().await.unwrap();
        assert!(!hidden.contains(&topic) && !hidden.contains(&absent));
        let group = fresh("nobody");
        let on_group = cluster.group_operations(std::slice::from_ref(&group)).await.remove(0).1.unwrap().unwrap();
        assert!(on_group.contain(AclOperation::Read) && !on_group.contain(AclOperation::Write));
    }
}

#[tokio::test]
async fn rules_are_created_and_read_back() {
    for cluster in clusters().await {
        let Some(before) = cluster.describe_acls().await.unwrap() else {
            println!("skipped: the {} cluster has no authorizer", cluster.metadata_mode());
            continue;
        };
        let rule = |operation, permission| AclBinding {
            resource: AclResource::Topic,
            name: fresh("rule"),
            pattern: PatternType::Prefixed,
            principal: "User:alice".to_owned(),
            host: "*".to_owned(),
            operation,
            permission,
        };
        let rules = [rule(AclOperation::Read, AclPermission::Allow), rule(AclOperation::All, AclPermission::Deny)];
        assert!(rules.iter().all(|rule| !before.contains(rule)));
        all_ok(cluster.create_acls(&rules).await).unwrap();
        all_ok(cluster.create_acls(&rules).await).unwrap();
        eventually(async || {
            let after = cluster.describe_acls().await.unwrap().unwrap();
            rules.iter().all(|rule| after.iter().filter(|found| *found == rule).count() == 1)
        })
        .await;
    }
}

#[tokio::test]
async fn quotas_of_every_kind_are_set_read_back_and_removed() {
    for cluster in clusters().await {
        let user = fresh("user");
        let entities = [
            vec![("user", Some(user.as_str()))],
            vec![("user", Some(user.as_str())), ("client-id", Some("loader"))],
            vec![("user", Some(user.as_str())), ("client-id", None)],
            vec![("client-id", None)],
            vec![("ip", Some("192.0.2.7"))],
        ];
        let change = |parts: &Vec<(&str, Option<&str>)>, limit: Option<f64>| {
            let entity = parts.iter().map(|(kind, name)| ((*kind).to_owned(), name.map(str::to_owned)));
            let name = if parts[0].0 == "ip" { "connection_creation_rate" } else { "consumer_byte_rate" };
            QuotaChange { entity: QuotaEntity(entity.collect()), limits: [(name.to_owned(), limit)].into() }
        };
        let limit = 1e9;
        let set: Vec<_> = entities.iter().map(|parts| change(parts, Some(limit))).collect();
        all_ok(cluster.alter_client_quotas(&set).await).unwrap();
        eventually(async || {
            let found = cluster.client_quotas().await.unwrap();
            set.iter().all(|set| {
                let name = set.limits.keys().next().unwrap();
                found.iter().any(|quota| quota.entity == set.entity && quota.limits.get(name) == Some(&limit))
            })
        })
        .await;

        let unknown = QuotaChange { limits: [("no_such_rate".to_owned(), Some(1.0))].into(), ..set[0].clone() };
        let refused = cluster.check_client_quotas(&[unknown, set[1].clone()]).await;
        assert_eq!(refused[0].1.as_ref().unwrap_err().code(), Some(Code::InvalidRequest), "{refused:?}");
        assert!(refused[1].1.is_ok());

        let removed: Vec<_> = entities.iter().map(|parts| change(parts, None)).collect();
        all_ok(cluster.alter_client_quotas(&removed).await).unwrap();
        eventually(async || {
            let found = cluster.client_quotas().await.unwrap();
            found.iter().all(|quota| set.iter().all(|set| set.entity != quota.entity))
        })
        .await;
    }
}

/// The stack has a user, where it has listeners to sign in to; other tests make more.
#[tokio::test]
async fn scram_users_are_listed_with_their_mechanisms() {
    for cluster in clusters().await {
        let users = cluster.scram_users().await.unwrap();
        assert!(users.iter().all(|user| user.mechanisms == ["SCRAM-SHA-512"]), "{users:?}");
        if let Ok(name) = std::env::var("STACK_SCRAM_USER") {
            assert!(users.iter().any(|user| user.name == name), "{name} is not among {users:?}");
        }
    }
}
