//! Writing forbidden and allowed again, as the leaders see it: against the brokers of `stack up --auth`, by a client that is no
//! super user of theirs.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "the rules' exceptions for tests miss a test's helpers")]

mod common;

use common::{clusters, create, eventually, fresh};
use kafka::auth::stores;
use kafka::{
    AclBinding, AclOperation, AclPermission, AclResource, Auth, Cluster, MetadataMode, OffsetSpec, PatternType,
    Settings, Tls, TopicPartition, WriteProbe, all_ok,
};

/// The same cluster for a client with the certificate of an application, if the environment has one.
async fn application(cluster: &Cluster) -> Option<Cluster> {
    let side = if cluster.metadata_mode() == MetadataMode::KRaft { "TARGET" } else { "SOURCE" };
    let (Ok(servers), Ok(application), Ok(authority)) = (
        std::env::var(format!("{side}_BOOTSTRAP_MTLS")),
        std::env::var("STACK_APPLICATION"),
        std::env::var("STACK_AUTHORITY"),
    ) else {
        println!("skipped: the environment is not the one that `stack up --auth` prints");
        return None;
    };
    let read = |path: String| std::fs::read(path).unwrap();
    let trusted = stores::trusted(&read(authority), None).unwrap();
    let identity = stores::identity(&read(application), None).unwrap();
    let auth = Auth::Tls(Tls::new(Some(trusted), Some(identity)).unwrap());
    Some(Cluster::connect(Settings { auth, ..Settings::parse(&servers) }).await.unwrap())
}

fn deny_writing(topic: &str, principal: &str) -> AclBinding {
    AclBinding {
        resource: AclResource::Topic,
        name: topic.to_owned(),
        pattern: PatternType::Literal,
        principal: principal.to_owned(),
        host: "*".to_owned(),
        operation: AclOperation::Write,
        permission: AclPermission::Deny,
    }
}

/// What all leaders say, if it is one and the same.
async fn verdict(client: &Cluster, partitions: &[TopicPartition]) -> Option<WriteProbe> {
    let said = all_ok(client.probe_write(partitions).await).unwrap();
    let first = *said.values().next().unwrap();
    said.values().all(|one| *one == first).then_some(first)
}

#[tokio::test]
async fn a_probe_follows_the_rules_and_writes_nothing() {
    for cluster in clusters().await {
        let Some(client) = application(&cluster).await else { continue };
        let partitions = create(&cluster, "fenced", 3).await;
        let ends = async || -> Vec<i64> {
            let ends = cluster.list_offsets(&partitions, OffsetSpec::Latest).await;
            all_ok(ends).unwrap().into_values().collect()
        };
        assert_eq!(verdict(&client, &partitions).await, Some(WriteProbe::Allowed));
        for principal in ["User:CN=application", "User:*"] {
            let rule = deny_writing(&partitions[0].topic, principal);
            all_ok(cluster.create_acls(std::slice::from_ref(&rule)).await).unwrap();
            eventually(async || verdict(&client, &partitions).await == Some(WriteProbe::Denied)).await;
            // A super user is not bound by rules.
            assert_eq!(verdict(&cluster, &partitions).await, Some(WriteProbe::Allowed));
            all_ok(cluster.delete_acls(std::slice::from_ref(&rule)).await).unwrap();
            eventually(async || verdict(&client, &partitions).await == Some(WriteProbe::Allowed)).await;
        }
        assert_eq!(ends().await, [0, 0, 0]);
        let remembered = all_ok(cluster.describe_producers(&partitions).await).unwrap();
        assert!(remembered.values().all(Vec::is_empty), "{remembered:?}");
    }
}

#[tokio::test]
async fn exactly_the_rules_that_are_named_are_removed() {
    for cluster in clusters().await {
        let topic = fresh("ruled");
        let rule = deny_writing(&topic, "User:a");
        let others = [
            deny_writing(&topic, "User:b"),
            AclBinding { operation: AclOperation::Read, ..rule.clone() },
            AclBinding { pattern: PatternType::Prefixed, ..rule.clone() },
            AclBinding { permission: AclPermission::Allow, ..rule.clone() },
            AclBinding { host: "192.0.2.1".to_owned(), ..rule.clone() },
            AclBinding { resource: AclResource::Group, operation: AclOperation::Read, ..rule.clone() },
        ];
        let all: Vec<_> = std::iter::once(&rule).chain(&others).cloned().collect();
        all_ok(cluster.create_acls(&all).await).unwrap();
        let of_the_test = async || -> Vec<AclBinding> {
            let all = cluster.describe_acls().await.unwrap().unwrap();
            all.into_iter().filter(|found| found.name == topic).collect()
        };
        eventually(async || of_the_test().await.len() == all.len()).await;
        // The second time it is not there any more.
        for _ in 0..2 {
            assert_eq!(cluster.delete_acls(std::slice::from_ref(&rule)).await, [(rule.clone(), Ok(()))]);
        }
        let mut left = others.to_vec();
        left.sort_unstable();
        eventually(async || of_the_test().await == left).await;
        all_ok(cluster.delete_acls(&others).await).unwrap();
        eventually(async || of_the_test().await.is_empty()).await;
    }
}

#[tokio::test]
async fn topics_that_are_not_there_are_no_verdict() {
    for cluster in clusters().await {
        let mut settings = cluster.settings().clone();
        settings.retry.deadline = std::time::Duration::from_millis(300);
        let hasty = Cluster::connect(settings).await.unwrap();
        let absent = TopicPartition::new(fresh("absent"), 0);
        let said = hasty.probe_write(std::slice::from_ref(&absent)).await;
        assert_eq!(said, [(absent.clone(), Err(kafka::Error::NoLeader { partition: absent }))]);
    }
}
