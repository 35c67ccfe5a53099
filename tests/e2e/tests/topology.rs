//! Topics, configs, ACLs and client quotas on the way to the target, and a cluster that is migrated in waves.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use e2e::{Cli, Output, Rehearsal, config, evidence};
use kafka::batch::{Codec, Record, Stamp, encode};
use kafka::{
    AclBinding, AclOperation, AclPermission, AclResource, ClientQuota, Cluster, ConfigChange, ConfigOp, ConfigSource,
    NewOffset, NewTopic, PatternType, QuotaChange, QuotaEntity, Settings, TopicInfo, TopicPartition, all_ok,
};
use serde_json::Value;
use stack::{Options, SEGMENTS_BUCKET, Side};

const TIMEOUT: Duration = Duration::from_secs(10);
/// Retention of topics on the source and of those that the target had before, in milliseconds.
const SOURCE_RETENTION: &str = "3600000";
const TARGET_RETENTION: &str = "7200000";

async fn create(cluster: &Cluster, name: &str, configs: &[(&str, &str)]) {
    let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let topic = NewTopic { name: name.into(), partitions: 1, replication_factor: 1, configs };
    all_ok(cluster.create_topics(&[topic]).await).unwrap();
}

async fn fill(cluster: &Cluster, topic: &str, count: i64) {
    fill_at(cluster, topic, count, chrono::Utc::now().timestamp_millis()).await;
}

async fn fill_at(cluster: &Cluster, topic: &str, count: i64, timestamp: i64) {
    let value = |at: i64| Some(Bytes::from(format!("{topic} {at}")));
    let records: Vec<_> = (0..count)
        .map(|at| Record { offset: at, timestamp, key: None, value: value(at), headers: Vec::new() })
        .collect();
    let batch = encode(&records, Codec::None, Stamp::NONE, 0).unwrap().to_produce();
    all_ok(cluster.produce_retrying(&[(TopicPartition::new(topic, 0), batch)], TIMEOUT).await).unwrap();
}

fn acl(principal: &str, resource: AclResource, name: &str, pattern: PatternType) -> AclBinding {
    AclBinding {
        resource,
        name: name.to_owned(),
        pattern,
        principal: principal.to_owned(),
        host: "*".to_owned(),
        operation: AclOperation::Describe,
        permission: AclPermission::Allow,
    }
}

fn topic_acl(principal: &str, topic: &str) -> AclBinding {
    acl(principal, AclResource::Topic, topic, PatternType::Literal)
}

/// Rules of every kind of resource and pattern, which no wave can split.
fn shared_acls() -> Vec<AclBinding> {
    let denied = AclBinding {
        permission: AclPermission::Deny,
        host: "192.0.2.7".to_owned(),
        ..acl("User:bob", AclResource::Topic, "*", PatternType::Literal)
    };
    vec![
        acl("User:alice", AclResource::Topic, "ov", PatternType::Prefixed),
        acl("User:alice", AclResource::Group, "both", PatternType::Literal),
        acl("User:alice", AclResource::Group, "team-", PatternType::Prefixed),
        acl("User:alice", AclResource::Cluster, "kafka-cluster", PatternType::Literal),
        acl("User:alice", AclResource::TransactionalId, "*", PatternType::Literal),
        acl("User:alice", AclResource::DelegationToken, "token", PatternType::Literal),
        denied,
    ]
}

fn quota(user: Option<&str>, limit: f64) -> ClientQuota {
    let entity = QuotaEntity([("user".to_owned(), user.map(str::to_owned))].into());
    ClientQuota { entity, limits: [("producer_byte_rate".to_owned(), limit)].into() }
}

async fn set_quotas(cluster: &Cluster, quotas: &[ClientQuota]) {
    let change = |quota: &ClientQuota| QuotaChange {
        entity: quota.entity.clone(),
        limits: quota.limits.iter().map(|(name, limit)| (name.clone(), Some(*limit))).collect(),
    };
    all_ok(cluster.alter_client_quotas(&quotas.iter().map(change).collect::<Vec<_>>()).await).unwrap();
}

async fn commit(cluster: &Cluster, group: &str, offsets: &[(&str, i64)]) {
    let offset = |(topic, offset): &(&str, i64)| NewOffset {
        partition: TopicPartition::new(*topic, 0),
        offset: *offset,
        metadata: String::new(),
    };
    let offsets: Vec<_> = offsets.iter().map(offset).collect();
    all_ok(cluster.commit_offsets(group, &offsets).await).unwrap();
}

/// The topics for which a group has committed offsets.
async fn committed(cluster: &Cluster, group: &str) -> Vec<String> {
    let offsets = cluster.committed_offsets(group).await.unwrap();
    let mut topics: Vec<_> = offsets.into_iter().map(|offset| offset.partition.topic.to_string()).collect();
    topics.sort();
    topics
}

/// Configs that are set on each topic itself.
async fn configs(cluster: &Cluster) -> BTreeMap<String, BTreeMap<String, String>> {
    let topics: Vec<_> = cluster.topics().await.unwrap().into_iter().filter(|topic| !topic.internal).collect();
    let names: Vec<_> = topics.iter().map(|topic| topic.name.clone()).collect();
    let described = all_ok(cluster.topic_configs(&names).await).unwrap();
    let own = described.into_iter().map(|(name, entries)| {
        let set = entries.into_iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
        (name.to_string(), set.map(|entry| (entry.name, entry.value.unwrap())).collect())
    });
    own.collect()
}

/// Everything that the topology copy may change.
#[derive(Debug, PartialEq)]
struct Described {
    topics: Vec<TopicInfo>,
    configs: BTreeMap<String, BTreeMap<String, String>>,
    acls: Option<Vec<AclBinding>>,
    quotas: Vec<ClientQuota>,
}

async fn describe(cluster: &Cluster) -> Described {
    let mut topics = cluster.topics().await.unwrap();
    topics.retain(|topic| !topic.internal);
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    let (acls, quotas) = (cluster.describe_acls().await.unwrap(), cluster.client_quotas().await.unwrap());
    Described { topics, configs: configs(cluster).await, acls, quotas }
}

/// The clusters of a rehearsal, and migrations of parts of them.
struct Waves {
    rehearsal: Rehearsal,
    source: Cluster,
    target: Cluster,
}

impl Waves {
    /// The CLI for the migration `id` of the topics that match `include`.
    fn wave(&self, id: &str, include: &str, on_config_drift: &str, acl_on_drift: &str) -> Cli {
        let yaml = config::yaml(&self.rehearsal.stack).replace("on_drift: merge", &format!("on_drift: {acl_on_drift}"))
            + &format!("    topology:\n      include: ['{include}']\n      on_config_drift: {on_config_drift}\n");
        let path = config::write(&self.rehearsal.dir, &format!("{id}.yaml"), &yaml).unwrap();
        self.rehearsal.cli.clone().with(&path, id)
    }

    /// Executes a wave that has to be refused with `expected` before anything on the target is touched.
    async fn refused(&self, cli: &Cli, expected: &[&str]) {
        let before = describe(&self.target).await;
        let Output { code, stdout, stderr } = cli.run("execute", &[]).await.unwrap();
        let said = format!("{stdout}\n{stderr}");
        assert!(code == 1 && expected.iter().all(|part| said.contains(part)), "{expected:?} in {code}:\n{said}");
        assert_eq!(describe(&self.target).await, before);
    }

    async fn report(&self, id: &str, name: &str) -> Value {
        let key = format!("zk-to-kraft/{id}/topology/{name}.json");
        serde_json::from_slice(&self.rehearsal.stack.get_object(SEGMENTS_BUCKET, &key).await.unwrap()).unwrap()
    }

    async fn target_acls(&self) -> Vec<AclBinding> {
        self.target.describe_acls().await.unwrap().unwrap()
    }

    async fn retention(&self, topic: &str) -> String {
        configs(&self.target).await[topic].get("retention.ms").cloned().unwrap_or_default()
    }
}

async fn run(cli: &Cli, verbs: &[&str]) {
    for verb in verbs {
        cli.run(verb, &[]).await.unwrap().ok().unwrap();
    }
}

async fn notes(cli: &Cli) -> String {
    let status = cli.run("status", &["--output", "json"]).await.unwrap().ok().unwrap().json().unwrap();
    status["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap().to_owned() + "\n").collect()
}

async fn prepare() -> Waves {
    let target_version = "4.3.1".to_owned();
    let options =
        Options { name: "e2e-topology".to_owned(), discard: true, quiet: true, target_version, ..Options::default() };
    let rehearsal = Rehearsal::start(options, "unused").await.unwrap();
    let source = Cluster::connect(Settings::parse(&rehearsal.stack.source_bootstrap())).await.unwrap();
    let target = Cluster::connect(Settings::parse(&rehearsal.stack.target_bootstrap())).await.unwrap();
    for topic in ["fail-1", "keep-1", "over-1"] {
        // Kafka 4 does not know the second one any more.
        create(&source, topic, &[("retention.ms", SOURCE_RETENTION), ("message.downconversion.enable", "false")]).await;
        create(&target, topic, &[("retention.ms", TARGET_RETENTION), ("segment.ms", "86400000")]).await;
        fill(&source, topic, 20).await;
    }
    for topic in ["other-1", "twice-1", "twice-2"] {
        create(&source, topic, &[]).await;
    }
    fill(&source, "other-1", 5).await;

    let mut acls = shared_acls();
    acls.extend(["fail-1", "keep-1", "over-1", "twice-1"].map(|topic| topic_acl("User:alice", topic)));
    acls.push(topic_acl("User:alice", "__consumer_offsets"));
    all_ok(source.create_acls(&acls).await).unwrap();
    all_ok(target.create_acls(&[topic_acl("User:foreign", "foreign")]).await).unwrap();
    set_quotas(&source, &[quota(Some("alice"), 1e9), quota(None, 2e9)]).await;
    set_quotas(&target, &[quota(Some("alice"), 3e9)]).await;
    let servers = rehearsal.stack.source_bootstrap();
    let credentials = "SCRAM-SHA-512=[iterations=8192,password=hunter2]";
    let user = ["--bootstrap-server", &servers, "--alter", "--entity-type", "users", "--entity-name", "carol"];
    let args = [user.as_slice(), &["--add-config", credentials]].concat();
    rehearsal.stack.kafka_tool(Side::Source, "ConfigCommand", &args).await.unwrap();
    commit(&source, "both", &[("keep-1", 7), ("over-1", 9)]).await;
    Waves { rehearsal, source, target }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_migrated_in_waves_under_every_policy() {
    let waves = prepare().await;
    what_differs_is_refused_under_fail(&waves).await;
    what_the_target_has_stays_under_keep_target(&waves).await;
    what_the_source_has_wins_under_overwrite_and_merge(&waves).await;

    let judge =
        ["--topics", "(keep|over)-.*", "--ignore-configs", "retention.ms,segment.ms,message.downconversion.enable"];
    let (judged, equal) = waves.rehearsal.java.judge(&[judge.as_slice(), &["--skip", "acls"]].concat()).await.unwrap();
    assert!(equal, "{judged:#}");
    assert!(!configs(&waves.target).await.contains_key("other-1"), "nobody selected it");

    a_second_run_changes_nothing(&waves).await;
    waves.rehearsal.stack.stop().await.unwrap();
}

async fn what_differs_is_refused_under_fail(waves: &Waves) {
    let differs =
        ["fail-1: retention.ms is 3600000 on the source and 7200000 on the target", "on_config_drift is fail"];
    waves.refused(&waves.wave("fail", "fail-.*", "fail", "merge"), &differs).await;
    let foreign = ["1 ACLs that the source does not have", "for User:foreign", "acl.on_drift is fail"];
    waves.refused(&waves.wave("fail-acl", "fail-.*", "overwrite_with_source", "fail"), &foreign).await;
    let quota = ["user alice: producer_byte_rate is 1000000000 on the source and 3000000000 on the target"];
    waves.refused(&waves.wave("fail-quota", "twice-.*", "fail", "merge"), &quota).await;
}

async fn what_the_target_has_stays_under_keep_target(waves: &Waves) {
    let before = waves.target_acls().await;
    let cli = waves.wave("keep", "keep-.*", "keep_target", "keep_target");
    run(&cli, &["execute"]).await;
    let narrower = waves.wave("keep", "keep-1", "keep_target", "keep_target");
    let refused = narrower.run("resume", &[]).await.unwrap();
    assert!(refused.code == 1 && refused.stderr.contains("fingerprint mismatch"), "{}", refused.stderr);
    let cli = waves.wave("keep", "keep-.*", "keep_target", "keep_target");
    run(&cli, &["cutover", "cutover-ack", "finalize"]).await;
    assert_eq!(waves.retention("keep-1").await, TARGET_RETENTION);
    assert_eq!(waves.target_acls().await, before);
    let quotas = waves.target.client_quotas().await.unwrap();
    assert_eq!(quotas, [quota(None, 2e9), quota(Some("alice"), 3e9)], "only what was missing is set");
    assert_eq!(committed(&waves.target, "both").await, ["keep-1"]);
}

async fn what_the_source_has_wins_under_overwrite_and_merge(waves: &Waves) {
    let cli = waves.wave("over", "over-.*", "overwrite_with_source", "merge");
    run(&cli, &["execute"]).await;
    let said = notes(&cli).await;
    for expected in [
        "config message.downconversion.enable is not copied: the target does not know it",
        "SCRAM users of the source that the target does not have, or does not tell: carol",
        "aws kafka batch-associate-scram-secret --region us-east-1",
        "topics inherit message.timestamp.after.max.ms=",
        "topics are outside topology.include",
    ] {
        assert!(said.contains(expected), "{expected:?} is missing in\n{said}");
    }
    assert!(!said.contains("hunter2"));

    // Nobody waits for topics of other waves, and those of this one are picked up.
    create(&waves.source, "other-late", &[]).await;
    fill(&waves.source, "other-late", 3).await;
    create(&waves.source, "over-late", &[]).await;
    fill(&waves.source, "over-late", 3).await;
    all_ok(waves.source.create_acls(&["over-late", "other-late"].map(|topic| topic_acl("User:alice", topic))).await)
        .unwrap();
    let refused = cli.run("cutover", &[]).await.unwrap();
    let said = format!("{}\n{}", refused.stdout, refused.stderr);
    assert!(refused.code == 1 && said.contains("are not copied: over-late/0."), "{said}");
    let resumed = cli.run("resume", &[]).await.unwrap();
    assert!(matches!(resumed.code, 0 | 10), "{}\n{}", resumed.stdout, resumed.stderr);
    run(&cli, &["cutover", "cutover-ack", "finalize"]).await;

    let own = configs(&waves.target).await;
    assert_eq!(own["over-1"], BTreeMap::from([("retention.ms".to_owned(), SOURCE_RETENTION.to_owned())]));
    assert!(own.contains_key("over-late") && !own.contains_key("other-late"));
    let mut expected = shared_acls();
    expected.extend(["over-1", "over-late"].map(|topic| topic_acl("User:alice", topic)));
    expected.push(topic_acl("User:foreign", "foreign"));
    expected.sort();
    assert_eq!(waves.target_acls().await, expected);
    let quotas = waves.target.client_quotas().await.unwrap();
    assert_eq!(quotas, [quota(None, 2e9), quota(Some("alice"), 1e9)]);
    assert_eq!(committed(&waves.target, "both").await, ["keep-1", "over-1"]);

    let dir = waves.rehearsal.dir.join("evidence-over");
    let bundle = evidence::verify(&waves.rehearsal.stack, "over", &dir).await.unwrap();
    let diff = &bundle["topology_diff"]["diff"];
    assert_eq!(diff["topics_created"][0]["topic"], "over-late", "{diff:#}");
    let altered: Vec<_> = diff["configs"].as_array().unwrap().iter().map(|config| config["config"].clone()).collect();
    assert_eq!(altered, ["retention.ms", "segment.ms"]);
    assert_eq!(diff["acls_added"].as_array().unwrap().len(), shared_acls().len() + 2);
    assert_eq!((&diff["quotas"][0]["was"], &diff["quotas"][0]["is"]), (&3e9.into(), &1e9.into()));
}

/// A migration whose topics, ACLs and quotas are on the target already makes no change there.
async fn a_second_run_changes_nothing(waves: &Waves) {
    let first = waves.wave("twice-a", "twice-.*", "overwrite_with_source", "merge");
    run(&first, &["execute"]).await;
    let report = waves.report("twice-a", "report").await;
    assert_eq!((report["created"].as_array().unwrap().len(), &report["acls"]["created"]), (2, &1.into()));
    first.run("rollback", &["--yes"]).await.unwrap().ok().unwrap();
    let before = describe(&waves.target).await;

    let second = waves.wave("twice-b", "twice-.*", "overwrite_with_source", "merge");
    run(&second, &["execute"]).await;
    let report = waves.report("twice-b", "report").await;
    assert_eq!((report["created"].as_array().unwrap().len(), &report["acls"]["created"]), (0, &0.into()), "{report:#}");
    assert_eq!(report["existing"].as_array().unwrap().len(), 2);
    let diff = waves.report("twice-b", "diff").await["diff"].clone();
    assert!(diff.as_object().unwrap().values().all(|part| part.as_array().unwrap().is_empty()), "{diff:#}");
    assert_eq!(describe(&waves.target).await, before);
}

/// The ACLs of the source's clients deny everybody else, and so whoever copies them, unless it is a super user. That is told
/// before anything depends on it, with the way out. On the way: a quota that KRaft refuses, records that the target's brokers
/// would refuse, and clients that change their topic after the switch.
#[tokio::test(flavor = "multi_thread")]
async fn acls_that_lock_the_migration_out_are_told_in_time() {
    // Records are older than the brokers would take.
    let target_config = [("super.users", "User:root"), ("log.message.timestamp.difference.max.ms", "3600000")];
    let target_config = target_config.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let name = "e2e-lockout".to_owned();
    let options = Options { name, discard: true, quiet: true, target_config, ..Options::default() };
    let rehearsal = Rehearsal::start(options, "lockout").await.unwrap();
    let source = Cluster::connect(Settings::parse(&rehearsal.stack.source_bootstrap())).await.unwrap();
    let target = Cluster::connect(Settings::parse(&rehearsal.stack.target_bootstrap())).await.unwrap();
    create(&source, "orders", &[("retention.ms", "-1")]).await;
    fill_at(&source, "orders", 20, 1_600_000_000_000).await;
    commit(&source, "readers", &[("orders", 7)]).await;
    let group = acl("User:alice", AclResource::Group, "readers", PatternType::Literal);
    all_ok(source.create_acls(&[topic_acl("User:alice", "orders"), group]).await).unwrap();
    // ZooKeeper mode takes it, KRaft does not.
    set_quotas(&source, &[quota(Some("alice"), 1e9), quota(Some("dave"), 0.0)]).await;
    // Who signs in nowhere is User:ANONYMOUS.
    let allow = async |resource| {
        let rule =
            AclBinding { operation: AclOperation::All, ..acl("User:ANONYMOUS", resource, "*", PatternType::Literal) };
        all_ok(target.create_acls(&[rule]).await).unwrap();
    };
    let refused = async |verb: &str, expected: &str| {
        let Output { code, stdout, stderr } = rehearsal.cli.run(verb, &[]).await.unwrap();
        let said = format!("{stdout}\n{stderr}");
        assert!(code == 1 && said.contains(expected), "{verb}: {expected:?} in {code}:\n{said}");
    };
    let resume = async || {
        let resumed = rehearsal.cli.run("resume", &[]).await.unwrap();
        assert!(matches!(resumed.code, 0 | 10), "{}\n{}", resumed.stdout, resumed.stderr);
    };

    refused("execute", "Describe on 1 topics, first orders").await;
    refused("resume", "Add ACLs on the target that allow this principal").await;
    allow(AclResource::Topic).await;
    resume().await;
    let said = notes(&rehearsal.cli).await;
    assert!(said.contains("client quota of user dave: the target does not take it"), "{said}");
    refused("cutover", "Read on 1 groups, first readers").await;
    assert!(committed(&source, "readers").await == ["orders"]);
    allow(AclResource::Group).await;
    assert!(committed(&target, "readers").await.is_empty(), "before the point of no return nothing is committed");
    resume().await;
    run(&rehearsal.cli, &["cutover", "cutover-ack"]).await;
    assert_eq!(committed(&target, "readers").await, ["orders"]);
    assert_eq!(target.client_quotas().await.unwrap(), [quota(Some("alice"), 1e9)], "without that of dave");
    // From now on the target is the clients'.
    all_ok(target.create_partitions(&[("orders".into(), 2)]).await).unwrap();
    let op = ConfigOp::Set { name: "segment.ms".to_owned(), value: "86400000".to_owned() };
    all_ok(target.alter_topic_configs(&[ConfigChange { topic: "orders".into(), ops: vec![op] }]).await).unwrap();
    run(&rehearsal.cli, &["finalize"]).await;
    rehearsal.stack.stop().await.unwrap();
}
