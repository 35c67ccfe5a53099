//! Writing forbidden and allowed again, as the leaders see it: against the brokers of `stack up --auth`, by a client that is no
//! super user of theirs.

use crate::common::{clusters, create, eventually, fresh};
use kafka::auth::stores;
use kafka::{
    AclBinding, AclOperation, AclPermission, AclResource, Auth, Cluster, Code, MetadataMode, OffsetSpec, PatternType,
    Settings, Tls, TopicPartition, WriteProbe, all_ok,
};
use migration::ErrorKind;

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

/// The rule that keeps everything else permitted to everybody: without it, a first rule on a topic forbids all that none allows.
fn allow_the_rest(topic: &str) -> AclBinding {
    let (operation, permission) = (AclOperation::All, AclPermission::Allow);
    AclBinding { operation, permission, ..deny_writing(topic, "User:*") }
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
            let topic = &partitions[0].topic;
            let rules = [allow_the_rest(topic), deny_writing(topic, principal)];
            all_ok(cluster.create_acls(&rules).await).unwrap();
            eventually(async || verdict(&client, &partitions).await == Some(WriteProbe::Denied)).await;
            // A super user is not bound by rules.
            assert_eq!(verdict(&cluster, &partitions).await, Some(WriteProbe::Allowed));
            client.refresh().await.unwrap();
            assert_eq!(verdict(&client, &partitions).await, Some(WriteProbe::Denied), "it can still be described");
            all_ok(cluster.delete_acls(&rules).await).unwrap();
            eventually(async || verdict(&client, &partitions).await == Some(WriteProbe::Allowed)).await;
        }
        assert_eq!(ends().await, [0, 0, 0]);
        let remembered = all_ok(cluster.describe_producers(&partitions).await).unwrap();
        assert!(remembered.values().all(Vec::is_empty), "{remembered:?}");
    }
}

#[tokio::test]
async fn markers_are_refused_where_writing_is() {
    for cluster in clusters().await {
        let Some(client) = application(&cluster).await else { continue };
        let (open, fenced) = (create(&cluster, "open", 1).await, create(&cluster, "fenced", 2).await);
        let rule = deny_writing(&fenced[0].topic, "User:CN=application");
        let rules = [allow_the_rest(&fenced[0].topic), rule.clone()];
        all_ok(cluster.create_acls(&rules).await).unwrap();
        eventually(async || verdict(&client, &fenced).await == Some(WriteProbe::Denied)).await;
        let all: Vec<_> = fenced.iter().chain(&open).cloned().collect();
        let id = fresh("markers");
        let markers = client.append_markers(&id, &all).await.unwrap();
        assert_eq!(markers.marked, open);
        let refused: Vec<_> = markers.refused.iter().map(|(partition, error)| (partition, error.code())).collect();
        let denied = Some(Code::TopicAuthorizationFailed);
        assert_eq!(refused, [(&fenced[0], denied), (&fenced[1], denied)]);

        let of_the_id = AclBinding { resource: AclResource::TransactionalId, name: id.clone(), ..rule };
        all_ok(cluster.create_acls(std::slice::from_ref(&of_the_id)).await).unwrap();
        let refused = Some(Code::TransactionalIdAuthorizationFailed);
        eventually(async || client.check_transactional_id(&id).await.err().and_then(|error| error.code()) == refused)
            .await;
        assert_eq!(client.append_markers(&id, &open).await.unwrap_err().code(), refused);
        all_ok(cluster.delete_acls(&[of_the_id]).await).unwrap();
        eventually(async || client.check_transactional_id(&id).await.is_ok()).await;
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
async fn a_topic_that_is_hidden_is_told_so_at_once() {
    for cluster in clusters().await {
        let Some(client) = application(&cluster).await else { continue };
        let hidden = create(&cluster, "hidden", 1).await;
        let rule = deny_writing(&hidden[0].topic, "User:CN=application");
        all_ok(cluster.create_acls(std::slice::from_ref(&rule)).await).unwrap();
        let said = async || {
            client.refresh().await.unwrap();
            client.probe_write(&hidden).await.remove(0).1
        };
        eventually(async || said().await.is_err()).await;
        let error = said().await.unwrap_err();
        assert_eq!((error.code(), error.kind()), (Some(Code::TopicAuthorizationFailed), ErrorKind::Blocked), "{error}");
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
