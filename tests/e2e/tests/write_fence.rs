//! The write fence of `cutover.write_fence: acl` on real brokers: whoever ignores the freeze is refused, whoever reads goes on, and
//! the source's ACLs are as they were after a way back and after `unfence`. Kafka's own tools judge.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use e2e::{Cli, Rehearsal, config, evidence};
use kafka::auth::stores;
use kafka::batch::{Codec, Record, Stamp, encode};
use kafka::{
    AclBinding, AclOperation, AclPermission, AclResource, Auth, Cluster, Code, NewOffset, NewTopic, PatternType,
    Settings, Tls, TopicPartition, all_ok,
};
use serde_json::Value;
use stack::{Listener, Options, Side};

const PATIENCE: Duration = Duration::from_secs(120);
const TIMEOUT: Duration = Duration::from_secs(10);
/// Records of each partition.
const RECORDS: i64 = 10;
/// A topic that no ACL is about, and one with ACLs of its own.
const OPEN: &str = "open";
const RULED: &str = "ruled";
/// The rule that the fence sets, as `kafka-acls` prints it.
const DENIAL: &str = "(principal=User:*, host=*, operation=WRITE, permissionType=DENY)";

struct Bench {
    rehearsal: Rehearsal,
    /// The source and the target as the stack's super user sees them.
    source: Cluster,
    target: Cluster,
    /// The source as a client without any privilege sees it.
    application: Cluster,
}

impl Bench {
    async fn start() -> Self {
        let options = Options {
            name: "e2e-write-fence".to_owned(),
            auth_listeners: true,
            discard: true,
            quiet: true,
            ..Options::default()
        };
        let rehearsal = Rehearsal::start(options, "fenced").await.unwrap();
        let connect = async |servers: String| Cluster::connect(Settings::parse(&servers)).await.unwrap();
        let source = connect(rehearsal.stack.source_bootstrap()).await;
        let target = connect(rehearsal.stack.target_bootstrap()).await;
        let application = application(&rehearsal).await;
        let bench = Self { rehearsal, source, target, application };
        bench.create(OPEN, 2).await;
        bench.create(RULED, 1).await;
        all_ok(bench.source.create_acls(&own_rules()).await).unwrap();
        bench
    }

    async fn create(&self, name: &str, partitions: i32) {
        let topic = NewTopic { name: name.into(), partitions, replication_factor: 1, configs: BTreeMap::new() };
        all_ok(self.source.create_topics(&[topic]).await).unwrap();
        for partition in 0..partitions {
            produce(&self.source, &TopicPartition::new(name, partition)).await.unwrap();
        }
    }

    /// The configuration: the migration signs in to the source as somebody who is no super user.
    fn cli(&self, fence_window: &str) -> Cli {
        let certificates = self.rehearsal.stack.certificates().unwrap();
        let mtls = format!(
            "      auth:\n        mode: mtls\n        keystore: {}\n        truststore: {}",
            certificates.application().display(),
            certificates.authority().display()
        );
        let yaml =
            config::yaml(&self.rehearsal.stack).replacen("      auth:\n        mode: plaintext", &mtls, 1).replace(
                "      max_producer_freeze: 60s\n",
                &format!(
                    "      max_producer_freeze: 90s\n      write_fence: acl\n      fence_window: {fence_window}\n"
                ),
            );
        let name = format!("fence-{fence_window}.yaml");
        self.rehearsal.cli.clone().with(&config::write(&self.rehearsal.dir, &name, &yaml).unwrap(), "fenced")
    }

    async fn acls(&self) -> BTreeSet<AclBinding> {
        self.source.describe_acls().await.unwrap().unwrap().into_iter().collect()
    }

    /// What Kafka's own tool lists of a side.
    async fn listed(&self, side: Side) -> String {
        let servers = match side {
            Side::Source => self.rehearsal.stack.source_bootstrap(),
            Side::Target => self.rehearsal.stack.target_bootstrap(),
        };
        self.rehearsal.stack.kafka_tool(side, "AclCommand", &["--bootstrap-server", &servers, "--list"]).await.unwrap()
    }

    /// Properties by which Kafka's own clients sign in as the application.
    fn properties(&self) -> PathBuf {
        let certificates = self.rehearsal.stack.certificates().unwrap();
        let text = format!(
            "security.protocol=SSL\nssl.keystore.type=PEM\nssl.keystore.location={}\nssl.truststore.type=PEM\n\
             ssl.truststore.location={}\nssl.endpoint.identification.algorithm=\n",
            certificates.application().display(),
            certificates.authority().display()
        );
        config::write(&self.rehearsal.dir, "application.properties", &text).unwrap()
    }

    fn mtls_servers(&self) -> String {
        self.rehearsal.stack.cluster(Side::Source).bootstrap_of(Listener::Mtls).unwrap()
    }

    /// What Kafka's own producer says when it writes to `topic` as the application.
    async fn java_producer(&self, topic: &str) -> String {
        let (servers, properties) = (self.mtls_servers(), self.properties());
        let args = ["--bootstrap-server", &servers, "--topic", topic, "--max-messages", "2", "--producer.config"];
        let args = [args.as_slice(), &[properties.to_str().unwrap()]].concat();
        self.rehearsal.stack.kafka_tool(Side::Source, "VerifiableProducer", &args).await.unwrap()
    }

    /// What Kafka's own consumer reads of `topic` as the application, in a group that commits.
    async fn java_consumer(&self, topic: &str, records: i64) -> usize {
        let (servers, properties, count) = (self.mtls_servers(), self.properties(), records.to_string());
        let args = ["--bootstrap-server", &servers, "--topic", topic, "--group", "readers", "--from-beginning"];
        let more =
            ["--max-messages", &count, "--timeout-ms", "30000", "--consumer.config", properties.to_str().unwrap()];
        let args = [args.as_slice(), &more].concat();
        self.rehearsal.stack.kafka_tool(Side::Source, "ConsoleConsumer", &args).await.unwrap().lines().count()
    }
}

/// The source for the certificate that is no super user's.
async fn application(rehearsal: &Rehearsal) -> Cluster {
    let certificates = rehearsal.stack.certificates().unwrap();
    let trusted = stores::trusted(&std::fs::read(certificates.authority()).unwrap(), None).unwrap();
    let identity = stores::identity(&std::fs::read(certificates.application()).unwrap(), None).unwrap();
    let auth = Auth::Tls(Tls::new(Some(trusted), Some(identity)).unwrap());
    let servers = rehearsal.stack.cluster(Side::Source).bootstrap_of(Listener::Mtls).unwrap();
    Cluster::connect(Settings { auth, ..Settings::parse(&servers) }).await.unwrap()
}

/// Rules that the ruled topic has for good: the application may do everything, an intern may not write.
fn own_rules() -> [AclBinding; 2] {
    let rule = |principal: &str, operation, permission| AclBinding {
        resource: AclResource::Topic,
        name: RULED.to_owned(),
        pattern: PatternType::Literal,
        principal: principal.to_owned(),
        host: "*".to_owned(),
        operation,
        permission,
    };
    [
        rule("User:CN=application", AclOperation::All, AclPermission::Allow),
        rule("User:intern", AclOperation::Write, AclPermission::Deny),
    ]
}

/// Writes ten records as an ordinary producer does.
async fn produce(client: &Cluster, partition: &TopicPartition) -> kafka::Result<()> {
    let timestamp = chrono::Utc::now().timestamp_millis();
    let value = |at: i64| Some(Bytes::from(format!("{partition} {at}")));
    let records: Vec<_> = (0..RECORDS)
        .map(|at| Record { offset: at, timestamp, key: None, value: value(at), headers: Vec::new() })
        .collect();
    let batch = encode(&records, Codec::None, Stamp::NONE, 0).unwrap().to_produce();
    all_ok(client.produce_retrying(&[(partition.clone(), batch)], TIMEOUT).await).map(drop)
}

/// What `status` says, once `expected` holds.
async fn status(cli: &Cli, expected: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let output = cli.run("status", &["--output", "json"]).await.unwrap();
        let status = output.json().unwrap_or(Value::Null);
        if expected(&status) {
            return status;
        }
        assert!(Instant::now() < until, "{status:#}\n{}", output.stderr);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Under the fence nobody without privileges writes anywhere, and everything else goes on.
async fn only_writing_is_refused(bench: &Bench) {
    for partition in [TopicPartition::new(OPEN, 0), TopicPartition::new(OPEN, 1), TopicPartition::new(RULED, 0)] {
        let refused = produce(&bench.application, &partition).await.unwrap_err();
        assert_eq!(refused.code(), Some(Code::TopicAuthorizationFailed), "{partition}: {refused}");
        let offset = NewOffset { partition: partition.clone(), offset: 3, metadata: String::new() };
        all_ok(bench.application.commit_offsets("keeps-committing", &[offset]).await).unwrap();
        let read = bench.application.written_since(&[(partition.clone(), 0)], 10).await;
        assert_eq!(all_ok(read).unwrap()[&partition].iter().map(|batch| batch.records).sum::<i64>(), RECORDS);
    }
}

/// A cutover that stands under its fence is given up by the operator.
async fn a_cutover_is_given_up(bench: &Bench, before: &BTreeSet<AclBinding>) {
    let cli = bench.cli("25s");
    let cutting = cli.clone();
    let cutover = tokio::spawn(async move { cutting.run("cutover", &[]).await });
    status(&cli, |status| status["write_fence"]["proven_at"].is_string()).await;
    assert_eq!(
        bench.acls().await.difference(before).count(),
        3,
        "one that denies for each topic, one that allows beside"
    );
    only_writing_is_refused(bench).await;
    let give_up = serde_json::json!({"op": "give_up", "migration_id": "fenced", "by": "ada", "reason": "another day"});
    bench.rehearsal.stack.invoke("gate", &give_up).await.unwrap();
    let ended = cutover.await.unwrap().unwrap();
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert_eq!(bench.acls().await, *before, "the source's ACLs are as they were");
    let failed = status(&cli, |status| status["phase"] == "failed").await;
    assert!(failed["write_fence"]["lifted_at"].is_string() && failed["producers_frozen"] == false, "{failed:#}");
    for topic in [OPEN, RULED] {
        produce(&bench.application, &TopicPartition::new(topic, 0)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_holds_writers_alone_and_leaves_the_acls_as_they_were() {
    let bench = Bench::start().await;
    let before = bench.acls().await;
    let listed = bench.listed(Side::Source).await;
    bench.cli("25s").run("execute", &[]).await.unwrap().ok().unwrap();
    a_cutover_is_given_up(&bench, &before).await;

    let cli = bench.cli("0s");
    let resumed = cli.run("resume", &[]).await.unwrap();
    assert!([0, 10].contains(&resumed.code), "{resumed:?}");
    status(&cli, |status| status["phase"] == "drain_ready").await;
    let refused = cli.run("unfence", &["--yes"]).await.unwrap();
    assert!(refused.code == 1 && refused.stderr.contains("unfence is for a migration that is cut over"), "{refused:?}");
    // A group is new since the rehearsal of the cutover that was given up.
    cli.run("cutover", &["--rehearse"]).await.unwrap().ok().unwrap();
    cli.run("cutover", &[]).await.unwrap().ok().unwrap();

    // Behind the switch it stands: a producer that was forgotten fails loudly, and readers go on.
    for topic in [OPEN, RULED] {
        let said = bench.java_producer(topic).await;
        assert!(said.contains("TopicAuthorizationException") && said.contains("\"acked\":0"), "{said}");
    }
    assert_eq!(bench.java_consumer(RULED, 2 * RECORDS).await, 20);
    let listed_now = bench.listed(Side::Source).await;
    assert_eq!(listed_now.matches(DENIAL).count(), 2, "{listed_now}");
    let on_target = bench.listed(Side::Target).await;
    assert!(!on_target.contains(DENIAL) && on_target.contains("User:intern"), "{on_target}");
    let applied = bench.target.describe_acls().await.unwrap().unwrap();
    assert_eq!(applied.into_iter().collect::<BTreeSet<_>>(), own_rules().into());
    let standing = status(&cli, |status| status["phase"] == "awaiting_client_switch").await;
    assert!(standing["notes"].to_string().contains("the write fence stands"), "{standing:#}");

    cli.run("cutover-ack", &[]).await.unwrap().ok().unwrap();
    let unconfirmed = cli.run("unfence", &[]).await.unwrap();
    assert!(unconfirmed.code == 1 && unconfirmed.stderr.contains("add --yes"), "{unconfirmed:?}");
    let unfenced = cli.run("unfence", &["--yes"]).await.unwrap().ok().unwrap();
    assert!(unfenced.stderr.contains("3 ACLs of the write fence removed"), "{unfenced:?}");
    assert_eq!(bench.acls().await, before);
    assert_eq!(bench.listed(Side::Source).await, listed);
    cli.run("finalize", &[]).await.unwrap().ok().unwrap();

    let bundle =
        evidence::verify(&bench.rehearsal.stack, "fenced", &bench.rehearsal.dir.join("evidence")).await.unwrap();
    let fence = &bundle["write_fence"];
    assert!(fence["proven_at"].is_string() && fence["lifted_at"].is_string(), "{fence:#}");
    let proven = &bundle["validation"]["sentinel_presence"]["proven_by"];
    assert_eq!(*proven, serde_json::json!({"fence": 3}), "{:#}", bundle["validation"]);
    bench.rehearsal.stack.stop().await.unwrap();
}
