//! Precheck against real clusters: each condition that can be made is made, found, and absent where it was not made.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use e2e::{Cli, Output, Rehearsal, config, transaction};
use kafka::batch::{Codec, Record, Stamp, encode};
use kafka::{
    AclBinding, AclOperation, AclPermission, AclResource, Cluster, ConfigChange, ConfigOp, NewTopic, PatternType,
    QuotaChange, QuotaEntity, Settings, TopicPartition, all_ok,
};
use serde_json::{Value, json};
use stack::{EVIDENCE_BUCKET, Options, SEGMENTS_BUCKET, Side};

const TIMEOUT: Duration = Duration::from_secs(10);
/// Older than `transaction.max.timeout.ms`, 15 minutes by default.
const AGE: Duration = Duration::from_secs(20 * 60);
const KEY: &str = "arn:aws:kms:us-east-1:123456789012:key/1f6a4d1e-5a5b-4a3e-9a54-0d7f0d3a1c55";
/// Configs under which no rule has anything to say of a topic: no retention, and limits of its own where the target's
/// brokers have narrower ones.
const QUIET: [(&str, &str); 3] =
    [("retention.ms", "-1"), ("max.message.bytes", "1000000"), ("message.timestamp.after.max.ms", "3600000")];

/// What the target's configs of [`Scene::start`] provoke, whatever else does: what clients and new topics would meet.
const ALWAYS: [&str; 2] = ["W24", "W26"];

/// One stack, and both clusters seen by the project's own client.
struct Scene {
    rehearsal: Rehearsal,
    source: Cluster,
    target: Cluster,
}

impl Scene {
    async fn start() -> Self {
        let narrow = [
            // Nobody can do everything, so that ACLs count.
            ("super.users", "User:root"),
            ("message.max.bytes", "1048588"),
            ("replica.fetch.max.bytes", "1048576"),
            ("log.message.timestamp.after.max.ms", "3600000"),
            ("transaction.max.timeout.ms", "60000"),
        ];
        let target_config = narrow.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let name = "e2e-precheck".to_owned();
        let options = Options { name, discard: true, quiet: true, target_config, ..Options::default() };
        let rehearsal = Rehearsal::start(options, "unused").await.unwrap();
        let source = Cluster::connect(Settings::parse(&rehearsal.stack.source_bootstrap())).await.unwrap();
        let target = Cluster::connect(Settings::parse(&rehearsal.stack.target_bootstrap())).await.unwrap();
        Self { rehearsal, source, target }
    }

    fn yaml(&self) -> String {
        config::yaml(&self.rehearsal.stack)
    }

    /// The findings for a configuration, and the exit code.
    async fn precheck(&self, name: &str, yaml: &str) -> Report {
        let path = config::write(&self.rehearsal.dir, &format!("{name}.yaml"), yaml).unwrap();
        let cli: Cli = self.rehearsal.cli.clone().with(&path, name);
        Report::of(name, &cli.ask("precheck", &["--output", "json"]).await.unwrap())
    }

    async fn tool(&self, side: Side, tool: &str, args: &[&str]) {
        let server = self.rehearsal.stack.cluster(side).bootstrap();
        let args = [&["--bootstrap-server", &server], args].concat();
        self.rehearsal.stack.kafka_tool(side, tool, &args).await.unwrap();
    }

    /// Reads with a static member, which stays in its group for a while after it has gone.
    async fn consume(&self, side: Side, topic: &str) {
        let member = "group.instance.id=reader-1";
        let args = ["--topic", topic, "--group", "readers", "--consumer-property", member, "--timeout-ms", "5000"];
        self.tool(side, "ConsoleConsumer", &[&args[..], &["--from-beginning"]].concat()).await;
    }
}

/// What precheck said.
struct Report {
    name: String,
    findings: Vec<Value>,
    code: i32,
}

impl Report {
    fn of(name: &str, output: &Output) -> Self {
        let report = output.json().unwrap();
        Self { name: name.to_owned(), findings: report["findings"].as_array().unwrap().clone(), code: output.code }
    }

    fn codes(&self) -> BTreeSet<&str> {
        self.findings.iter().map(|finding| finding["code"].as_str().unwrap()).collect()
    }

    /// There is a finding with this code whose message holds `expected`.
    fn has(&self, code: &str, expected: &str) -> &Self {
        let found = self.findings.iter().filter(|finding| finding["code"] == code);
        let messages: Vec<_> = found.map(|finding| finding["message"].as_str().unwrap()).collect();
        let hit = messages.iter().any(|message| message.contains(expected));
        assert!(hit, "{}: {code} with {expected:?} is not among {messages:#?} of {:#?}", self.name, self.findings);
        self
    }

    /// There are no other codes than these and [`ALWAYS`].
    fn only(&self, codes: &[&str]) -> &Self {
        let codes = codes.iter().copied().chain(ALWAYS).collect();
        assert_eq!(self.codes(), codes, "{}: {:#?}", self.name, self.findings);
        self
    }

    /// In order, complete, and with the exit code that belongs to them.
    fn is_sound(&self) -> &Self {
        let rank = |finding: &Value| match finding["severity"].as_str() {
            Some("blocker") => 0,
            Some("warning") => 1,
            _ => 2,
        };
        let key = |finding: &Value| (rank(finding), finding["code"].to_string(), finding["subject"].to_string());
        assert!(self.findings.is_sorted_by_key(key), "{}: {:#?}", self.name, self.findings);
        for part in ["subject", "message", "cause", "fix"] {
            assert!(self.findings.iter().all(|finding| !finding[part].as_str().unwrap().is_empty()), "{part}");
        }
        let blocked = self.findings.iter().any(|finding| rank(finding) == 0);
        assert_eq!(self.code, i32::from(blocked), "{}", self.name);
        self
    }
}

async fn create(cluster: &Cluster, name: &str, partitions: i32, configs: &[(&str, &str)]) {
    let configs: BTreeMap<_, _> =
        configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let topic = NewTopic { name: name.into(), partitions, replication_factor: 1, configs };
    all_ok(cluster.create_topics(&[topic]).await).unwrap();
}

/// Appends one record of `bytes` that no codec makes smaller.
async fn append(cluster: &Cluster, topic: &str, bytes: usize) {
    let timestamp = chrono::Utc::now().timestamp_millis();
    let value = Some(Bytes::from(vec![b'v'; bytes]));
    let record = Record { offset: 0, timestamp, key: Some(Bytes::from_static(b"k")), value, headers: Vec::new() };
    let batch = encode(&[record], Codec::None, Stamp::NONE, 0).unwrap().to_produce();
    all_ok(cluster.produce_retrying(&[(TopicPartition::new(topic, 0), batch)], TIMEOUT).await).unwrap();
}

async fn set(cluster: &Cluster, topic: &str, name: &str, value: &str) {
    let ops = vec![ConfigOp::Set { name: name.to_owned(), value: value.to_owned() }];
    all_ok(cluster.alter_topic_configs(&[ConfigChange { topic: topic.into(), ops }]).await).unwrap();
}

fn acl(resource: AclResource, name: &str, operation: AclOperation, permission: AclPermission) -> AclBinding {
    let (name, principal, host) = (name.to_owned(), "User:ANONYMOUS".to_owned(), "*".to_owned());
    AclBinding { resource, name, pattern: PatternType::Literal, principal, host, operation, permission }
}

/// Topics and clients on both sides that each provoke a finding.
async fn spoil(scene: &Scene) {
    let Scene { source, target, rehearsal } = scene;
    create(source, "compacted", 2, &[QUIET.as_slice(), &[("cleanup.policy", "compact")]].concat()).await;
    create(source, "expiring", 1, &[&QUIET[1..], &[("retention.ms", "1000")]].concat()).await;
    create(source, "roomy", 1, &[("retention.ms", "-1")]).await;
    create(source, "held", 1, &QUIET).await;
    create(source, "a_b", 1, &QUIET).await;
    create(target, "a.b", 1, &[]).await;
    create(target, "compacted", 3, &[]).await;
    create(target, "orders", 2, &[]).await;
    append(target, "orders", 10).await;

    create(source, "heavy", 1, &[QUIET.as_slice(), &[("max.message.bytes", "4000000")]].concat()).await;
    append(source, "heavy", 3_000_000).await;
    set(source, "heavy", "max.message.bytes", "1000000").await;

    let orders = acl(AclResource::Topic, "orders", AclOperation::All, AclPermission::Allow);
    let alice = AclBinding {
        principal: "User:alice".to_owned(),
        ..acl(AclResource::Topic, "roomy", AclOperation::Read, AclPermission::Allow)
    };
    all_ok(source.create_acls(&[orders, alice]).await).unwrap();
    let everybody = QuotaEntity(BTreeMap::from([("user".to_owned(), None)]));
    let limits = BTreeMap::from([("consumer_byte_rate".to_owned(), Some(1e6))]);
    all_ok(source.alter_client_quotas(&[QuotaChange { entity: everybody, limits }]).await).unwrap();

    transaction::trust(&rehearsal.stack).await.unwrap();
    transaction::hang(&rehearsal.stack, source, &TopicPartition::new("held", 0), AGE).await.unwrap();
    let pay = ["--topic", "roomy", "--num-records", "5", "--record-size", "10", "--throughput", "-1"];
    let server = rehearsal.stack.source_bootstrap();
    let props = format!("bootstrap.servers={server}");
    let transactional =
        ["--transactional-id", "payments", "--transaction-duration-ms", "50", "--producer-props", &props];
    rehearsal
        .stack
        .kafka_tool(Side::Source, "ProducerPerformance", &[&pay[..], &transactional].concat())
        .await
        .unwrap();
    tokio::join!(scene.consume(Side::Source, "orders"), scene.consume(Side::Target, "orders"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_condition_that_can_be_made_is_found_and_no_other() {
    let scene = Scene::start().await;
    create(&scene.source, "orders", 2, &QUIET).await;
    append(&scene.source, "orders", 10).await;
    let good = scene.yaml();
    let quiet = scene.precheck("quiet", &good).await;
    quiet
        .has("W24", "transaction.max.timeout.ms (900000 on the source, 60000 on the target)")
        .has("W26", "message.max.bytes (4194304 on the source, 1048588 on the target)");
    quiet.only(&[]).is_sound();

    configurations(&scene, &good).await;
    spoil(&scene).await;
    let report = scene.precheck("spoilt", &good).await;
    report
        .has("B11", "broker 1 has message.max.bytes=1048588, below the 4194304 bytes that topic roomy")
        .has("B12", "broker 1 has replica.fetch.max.bytes=1048576, the source's brokers have 4194304")
        .has("B14", "1 topic of the target: orders")
        .has("B15", "compacted (2 on the source, 3 on the target)")
        .has("B17", "heavy/0 offset 0 (3000")
        .has("W20", "perhaps hanging, or hidden: 1 transaction of the source: held/0 from offset 0 on")
        .has("B19", "would not create 1 topic: a_b (")
        .has("W05", "1 group of the source: readers (reader-1)")
        .has("W06", "1 transactional producer: payments; transactions open now in 1 partition: held/0")
        .has("W07", "1 topic of the source: compacted")
        .has("W09", "1 ACL of the source will not be copied: User:ANONYMOUS on orders")
        .has("W10", "1 topic of the source: expiring (retention.ms=1000)")
        .has("W11", "1 group of the source with members on the target already: readers")
        .has("W14", "up to 3600000 ms in the future, the source takes more in 1 topic: roomy")
        .has("W15", "1 topic of the source: expiring (1000 ms)")
        .has("W16", "consumer_byte_rate=1000000 of user <default>")
        .has("W21", "1 ACL pattern to the target that close what the migration uses to its principal, User:ANONYMOUS: Topic roomy")
        .has("W27", "and 6 topics would have none: a_b, compacted, expiring, heavy, held and 1 more")
        .has("W31", "max.message.bytes (4194304 on the source, 1048588 on the target, in ")
        .is_sound();
    let codes = ["B11", "B12", "B14", "B15", "B17", "B19"];
    let warnings = ["W05", "W06", "W07", "W09", "W10", "W11", "W14", "W15", "W16", "W20", "W21", "W27", "W31"];
    report.only(&[&codes[..], &warnings].concat());

    a_killed_precheck_is_repeated(&scene).await;
    permissions(&scene, &good).await;
    scene.rehearsal.stack.stop().await.unwrap();
}

/// What the configuration and the buckets alone provoke.
async fn configurations(scene: &Scene, good: &str) {
    let s3 = stack::s3(&scene.rehearsal.stack.endpoint());
    let (source, target) =
        (scene.rehearsal.stack.cluster_arn(Side::Source), scene.rehearsal.stack.cluster_arn(Side::Target));

    let same = good.replace(target, source);
    scene.precheck("same", &same).await.has("B05", source).is_sound();

    let evidence = good.replace(EVIDENCE_BUCKET, "no-such-bucket");
    scene.precheck("evidence", &evidence).await.has("B08", "'no-such-bucket' cannot be used").only(&["B08"]);
    let unlocked = good.replace(EVIDENCE_BUCKET, SEGMENTS_BUCKET);
    scene.precheck("unlocked", &unlocked).await.has("B08", "has no Object Lock").only(&["B08"]);
    let loose = unlocked.replace("      retention: 1d\n", "");
    scene.precheck("loose", &loose).await.has("I04", SEGMENTS_BUCKET).only(&["I04"]).is_sound();

    let nothing = format!("{good}    topology:\n      include: [no-such-topic]\n");
    scene.precheck("nothing", &nothing).await.has("B21", "select none of the source's").only(&["B21"]).is_sound();

    let back = good.replace("      drain_timeout:", "      reverse_replication_enabled: true\n      drain_timeout:");
    scene.precheck("back", &back).await.only(&["B13"]).is_sound();

    // Whether the target lets these in is not the point here.
    let scram = "mode: scram-sha-512\n        username: u\n        password: ${PATH}";
    let (head, tail) = good.split_at(good.find("    target:").unwrap());
    let scram = format!("{head}{}", tail.replacen("mode: plaintext", scram, 1));
    scene.precheck("scram", &scram).await.has("W08", "SCRAM-SHA-512").is_sound();
    let iam = format!("{head}{}", tail.replacen("mode: plaintext", "mode: iam", 1));
    scene.precheck("iam", &iam).await.has("I01", "IAM").has("I03", "target").is_sound();

    // No such cluster at MSK in that region: what only MSK knows is named as not checked.
    let servers = format!("      bootstrap_servers: {}\n      auth:", scene.rehearsal.stack.source_bootstrap());
    let elsewhere =
        good.replacen("      auth:", &servers, 1).replace(source, &source.replace("us-east-1", "eu-west-1"));
    let report = scene.precheck("elsewhere", &elsewhere).await;
    report.has("W02", "the source is in eu-west-1, the target in us-east-1").has("W13", "B02 and I02");
    report.only(&["W02", "W13"]).is_sound();

    clusters(scene, good).await;
    keys(scene, good, &s3).await;
    locks_and_regions(scene, good, &s3).await;
}

/// What the MSK API alone tells of the clusters.
async fn clusters(scene: &Scene, good: &str) {
    let stack = &scene.rehearsal.stack;
    let serverless = json!({"clusterType": "SERVERLESS", "provisioned": null, "serverless": {"vpcConfigs": []}});
    stack.describe_with(Side::Source, serverless);
    scene.precheck("serverless", good).await.has("B02", "local-zk is MSK Serverless").is_sound();
    let zones = json!({"provisioned": {"brokerNodeGroupInfo": {"clientSubnets": ["a", "b", "c"]}}});
    stack.describe_with(Side::Source, zones);
    scene.precheck("in-place", good).await.has("I02", "local-zk (Kafka 3.9.x").only(&["I02"]).is_sound();
    stack.describe_with(Side::Source, json!({}));

    let old = json!({"provisioned": {"currentBrokerSoftwareInfo": {"kafkaVersion": "3.6.0.kraft"}}});
    stack.describe_with(Side::Target, old);
    scene.precheck("old", good).await.has("B06", "runs Kafka 3.6.0.kraft").only(&["B06"]).is_sound();
    let full = json!({"provisioned": {"brokerNodeGroupInfo": {"storageInfo": {"ebsStorageInfo": {"volumeSize": 0}}}}});
    stack.describe_with(Side::Target, full);
    scene.precheck("full", good).await.has("W23", "whose disks have 0 GiB").only(&["W23"]).is_sound();
    stack.describe_with(Side::Target, json!({}));
    scene.precheck("as-it-is", good).await.only(&[]).is_sound();
}

/// The key that S3 really uses, as a probe shows it.
async fn keys(scene: &Scene, good: &str, s3: &aws_sdk_s3::Client) {
    let keyed = good
        .replace("      s3_prefix: zk-to-kraft/", &format!("      s3_prefix: zk-to-kraft/\n      kms_key_arn: {KEY}"));
    scene.precheck("key-unused", &keyed).await.has("W03", "no KMS key of its own (SSE-S3)").only(&["W03"]).is_sound();
    use aws_sdk_s3::types::{
        ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration,
        ServerSideEncryptionRule,
    };
    let default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(ServerSideEncryption::AwsKms)
        .kms_master_key_id(KEY)
        .build()
        .unwrap();
    let rule = ServerSideEncryptionRule::builder().apply_server_side_encryption_by_default(default).build();
    let encryption = ServerSideEncryptionConfiguration::builder().rules(rule).build().unwrap();
    let put = s3.put_bucket_encryption().bucket(SEGMENTS_BUCKET).server_side_encryption_configuration(encryption);
    put.send().await.unwrap();
    scene.precheck("key-used", &keyed).await.only(&[]).is_sound();
    s3.delete_bucket_encryption().bucket(SEGMENTS_BUCKET).send().await.unwrap();
}

async fn locks_and_regions(scene: &Scene, good: &str, s3: &aws_sdk_s3::Client) {
    use aws_sdk_s3::types::{
        BucketLocationConstraint, CreateBucketConfiguration, DefaultRetention, ObjectLockConfiguration,
        ObjectLockEnabled, ObjectLockRetentionMode, ObjectLockRule,
    };
    let far = CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::EuWest1).build();
    s3.create_bucket().bucket("far-away").create_bucket_configuration(far).send().await.unwrap();
    let report = scene.precheck("far", &good.replace(SEGMENTS_BUCKET, "far-away")).await;
    report.has("W17", "'far-away' is in eu-west-1").only(&["W17"]).is_sound();

    for bucket in ["lockable", "locked"] {
        s3.create_bucket().bucket(bucket).object_lock_enabled_for_bucket(true).send().await.unwrap();
    }
    let both = |bucket: &str| good.replace(EVIDENCE_BUCKET, bucket).replace(SEGMENTS_BUCKET, bucket);
    scene.precheck("lockable", &both("lockable")).await.only(&[]).is_sound();
    let retention = DefaultRetention::builder().mode(ObjectLockRetentionMode::Governance).days(10).build();
    let rule = ObjectLockRule::builder().default_retention(retention).build();
    let lock = ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled).rule(rule).build();
    s3.put_object_lock_configuration().bucket("locked").object_lock_configuration(lock).send().await.unwrap();
    let report = scene.precheck("locked", &both("locked")).await;
    report
        .has("W18", "locks every object for 10 days (governance mode)")
        .has("W18", "evidence.retention 1d is shorter");
    report.only(&["W18"]).is_sound();
}

/// A process that is killed while it works is nothing that an operator should see.
async fn a_killed_precheck_is_repeated(scene: &Scene) {
    let stack = &scene.rehearsal.stack;
    let path = config::write(&scene.rehearsal.dir, "killed.yaml", &scene.yaml()).unwrap();
    let cli = scene.rehearsal.cli.clone().with(&path, "killed");
    let asked = tokio::spawn(async move { cli.ask("precheck", &["--output", "json"]).await });
    let until = Instant::now() + TIMEOUT;
    while stack.busy_instances("precheck") == 0 {
        assert!(Instant::now() < until, "precheck was not invoked");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stack.kill_function_instance("precheck").unwrap();
    let output = asked.await.unwrap().unwrap();
    assert!(output.stderr.contains("invoking it again"), "{}", output.stderr);
    Report::of("killed", &output).has("B14", "orders").is_sound();
}

/// The target's ACLs deny what later phases need.
async fn permissions(scene: &Scene, good: &str) {
    use AclOperation::{All, Alter, Create, Describe, DescribeConfigs, Write};
    use AclPermission::{Allow, Deny};
    use AclResource::{Cluster, Group, Topic};
    const CLUSTER: &str = "kafka-cluster";
    let rules = [
        acl(Cluster, CLUSTER, All, Allow),
        acl(Cluster, CLUSTER, Create, Deny),
        acl(Cluster, CLUSTER, DescribeConfigs, Deny),
        // Without it a topic that has no ACL would be everybody's.
        acl(Topic, "*", Describe, Allow),
        acl(Topic, "orders", All, Allow),
        acl(Topic, "orders", Write, Deny),
        acl(Topic, "compacted", All, Allow),
        acl(Topic, "compacted", Alter, Deny),
        acl(Topic, "a.b", Describe, Deny),
        acl(Group, "readers", All, Allow),
        acl(Group, "readers", AclOperation::Read, Deny),
    ];
    all_ok(scene.target.create_acls(&rules).await).unwrap();
    let report = scene.precheck("denied", good).await;
    report
        .has("B18", "Create on the cluster, or on 5 topics: a_b, expiring")
        // Those that the target does not have yet among them.
        .has("B18", "seed needs Write on 6 topics: a_b, expiring, heavy, held, orders and 1 more (writes records)")
        .has("B18", "tail needs Alter on 6 topics: a_b, compacted, expiring")
        .has("B18", "cutover needs Read on 1 group: readers (commits offsets)")
        .has("W04", "configs of the target's brokers")
        .is_sound();
    assert!(!report.codes().contains("B19"), "{:#?}", report.findings);
    assert_eq!(scene.target.hidden_topics().await.unwrap(), BTreeSet::from(["a.b".into()]));
}
