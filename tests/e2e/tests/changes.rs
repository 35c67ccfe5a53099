//! A source that changes while it is copied: everything is picked up, or named before anybody freezes producers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use e2e::{Cli, Output, Rehearsal, config, evidence, transaction};
use kafka::batch::{Codec, Record, Stamp, encode};
use kafka::{Cluster, Code, ConfigChange, ConfigOp, NewOffset, NewTopic, OffsetSpec, Settings, TopicPartition, all_ok};
use serde_json::Value;
use stack::webhook::Webhook;
use stack::{EVIDENCE_BUCKET, Options, Side};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(120);
const TIMEOUT: Duration = Duration::from_secs(10);
/// Older than `transaction.max.timeout.ms`, 15 minutes by default.
const AGE: Duration = Duration::from_secs(20 * 60);

async fn create(source: &Cluster, name: &str, partitions: i32) {
    let topic = NewTopic { name: name.into(), partitions, replication_factor: 1, configs: BTreeMap::new() };
    all_ok(source.create_topics(&[topic]).await).unwrap();
}

/// Appends `count` records in one batch.
async fn fill(source: &Cluster, topic: &str, partition: i32, count: i64) {
    let timestamp = chrono::Utc::now().timestamp_millis();
    let value = |at: i64| Some(Bytes::from(format!("{topic}/{partition} {at}")));
    let records: Vec<_> = (0..count)
        .map(|at| Record { offset: at, timestamp, key: None, value: value(at), headers: Vec::new() })
        .collect();
    let batch = encode(&records, Codec::Lz4, Stamp::NONE, 0).unwrap().to_produce();
    all_ok(source.produce_retrying(&[(TopicPartition::new(topic, partition), batch)], TIMEOUT).await).unwrap();
}

/// Runs a verb beside the test.
fn beside(cli: &Cli, verb: &'static str) -> JoinHandle<anyhow::Result<Output>> {
    let cli = cli.clone();
    tokio::spawn(async move { cli.run(verb, &[]).await })
}

/// The notes of `status`, once all of `expected` begin one of them.
async fn noted(cli: &Cli, expected: &[&str]) -> Vec<String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let output = cli.run("status", &["--output", "json"]).await.unwrap();
        let notes: Vec<String> = match output.code {
            0 => serde_json::from_value(output.json().unwrap()["notes"].clone()).unwrap(),
            // The migration may not exist yet.
            _ => Vec::new(),
        };
        if expected.iter().all(|start| notes.iter().any(|note| note.starts_with(start))) {
            return notes;
        }
        assert!(Instant::now() < until, "{expected:?} are not all among {notes:#?}\n{}", output.stderr);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Carries out the command that a note about a hanging transaction ends with.
async fn obey(rehearsal: &Rehearsal, note: &str) {
    let (_, command) = note.rsplit_once("kafka-transactions.sh ").unwrap();
    let args: Vec<_> = command.trim_end_matches('`').split_whitespace().collect();
    // The target's version of the tool: it came with Kafka 3.0.
    rehearsal.stack.kafka_tool(Side::Target, "TransactionsCommand", &args).await.unwrap();
}

/// Runs a verb, with or without an argument, that has to fail and to say `expected`.
async fn refused(cli: &Cli, command: &str, expected: &str) {
    let (verb, args): (_, Vec<_>) =
        command.split_once(' ').map_or((command, Vec::new()), |(verb, rest)| (verb, vec![rest]));
    let Output { code, stdout, stderr } = cli.run(verb, &args).await.unwrap();
    let said = format!("{stdout}\n{stderr}");
    assert!(code == 1 && said.contains(expected), "{verb} ended with {code} and without {expected:?}:\n{said}");
}

/// Resumes up to `drain_ready` and returns the reason of it.
async fn resumed(cli: &Cli) -> String {
    let output = cli.run("resume", &[]).await.unwrap();
    assert!(matches!(output.code, 0 | 10), "{}\n{}", output.stdout, output.stderr);
    let status = cli.run("status", &["--output", "json"]).await.unwrap().ok().unwrap().json().unwrap();
    assert_eq!(status["phase"], "drain_ready", "{status:#}");
    status["reason"].as_str().unwrap().to_owned()
}

async fn change_everything(source: &Cluster) {
    create(source, "late", 2).await;
    fill(source, "late", 0, 7).await;
    all_ok(source.create_partitions(&[("grown".into(), 3)]).await).unwrap();
    fill(source, "grown", 2, 9).await;
    all_ok(source.delete_records(&[(TopicPartition::new("shrinking", 0), 60)]).await).unwrap();
    let set = ConfigOp::Set { name: "retention.ms".to_owned(), value: "86400000".to_owned() };
    all_ok(source.alter_topic_configs(&[ConfigChange { topic: "altered".into(), ops: vec![set] }]).await).unwrap();
}

/// One stack at a time: two of them on a small machine are too slow to drain.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_on_the_way_is_picked_up_or_named() {
    let _alone = ALONE.lock().await;
    let options = Options { name: "e2e-changes".to_owned(), discard: true, quiet: true, ..Options::default() };
    let rehearsal = Rehearsal::start(options, "changes").await.unwrap();
    let source = Cluster::connect(Settings::parse(&rehearsal.stack.source_bootstrap())).await.unwrap();
    for (topic, partitions) in [("grown", 2), ("shrinking", 1), ("altered", 1), ("doomed", 1), ("held", 1)] {
        create(&source, topic, partitions).await;
        fill(&source, topic, 0, 100).await;
    }
    let held = TopicPartition::new("held", 0);
    transaction::trust(&rehearsal.stack).await.unwrap();
    assert_eq!(transaction::hang(&rehearsal.stack, &source, &held, AGE).await.unwrap(), 100);

    // The hanging transaction keeps the drain from ending, so that everything changes while the tail runs.
    let executed = beside(&rehearsal.cli, "execute");
    let hanging = "hanging transaction on held/0 at offset 100 by producer ";
    noted(&rehearsal.cli, &[hanging]).await;
    change_everything(&source).await;
    let changes = [
        "topic late (2 partitions) was created on the source on the way; picked up",
        "1 partitions, from number 2 on, were added to topic grown on the source; picked up",
        "shrinking/0: the source removed 60 offsets, 0 to 60,",
        "topic altered: config retention.ms was altered on the source from not set to 86400000",
    ];
    noted(&rehearsal.cli, &[changes.as_slice(), &[hanging]].concat()).await;

    all_ok(source.delete_topics(&["doomed".into()]).await).unwrap();
    let failed = executed.await.unwrap().unwrap();
    assert_eq!(failed.code, 1, "{}\n{}", failed.stdout, failed.stderr);
    let said = format!("{}{}", failed.stdout, failed.stderr);
    assert!(said.contains("doomed: the topic was deleted on the source") && said.contains("leave_out"), "{said}");
    let report = rehearsal.stack.get_object(EVIDENCE_BUCKET, "migrations/changes/failure.json").await.unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert!(report["reason"].as_str().unwrap().contains("doomed") && report["changes"].is_array(), "{report:#}");

    let yaml = config::yaml(&rehearsal.stack) + "    topology:\n      on_topic_deleted: leave_out\n";
    let cli = rehearsal.cli.clone().with(&config::write(&rehearsal.dir, "leave-out.yaml", &yaml).unwrap(), "changes");
    let resumed = beside(&cli, "resume");
    let left_out = "topic doomed was deleted on the source and is left out; the target keeps 100 records of it";
    let notes = noted(&cli, &[left_out, hanging]).await;
    obey(&rehearsal, notes.iter().find(|note| note.starts_with(hanging)).unwrap()).await;
    let resumed = resumed.await.unwrap().unwrap();
    assert!(matches!(resumed.code, 0 | 10), "{}\n{}", resumed.stdout, resumed.stderr);
    let status = cli.run("status", &["--output", "json"]).await.unwrap().ok().unwrap().json().unwrap();
    assert_eq!(status["phase"], "drain_ready");
    let reason = status["reason"].as_str().unwrap();
    assert!(changes.iter().chain([&left_out]).all(|change| reason.contains(change)), "{reason}");

    for verb in ["cutover", "cutover-ack", "finalize"] {
        cli.run(verb, &[]).await.unwrap().ok().unwrap();
    }
    let bundle = evidence::verify(&rehearsal.stack, rehearsal.id(), &rehearsal.dir.join("evidence")).await.unwrap();
    let found = &bundle["changes"];
    let counts = ["picked_up", "left_out", "removed", "configs", "transactions"]
        .map(|kind| found[kind].as_array().unwrap().len());
    assert_eq!(counts, [2, 1, 1, 1, 0], "{found:#}");

    // The target has what the source removed; everything else is judged.
    let (judged, equal) = rehearsal.java.judge(&["--topics", "(?!doomed|shrinking).*"]).await.unwrap();
    assert!(equal, "{judged:#}");
    let target = Cluster::connect(Settings::parse(&rehearsal.stack.target_bootstrap())).await.unwrap();
    let shrinking = [TopicPartition::new("shrinking", 0)];
    let ends = all_ok(target.list_offsets(&shrinking, OffsetSpec::Latest).await).unwrap();
    assert_eq!(ends[&shrinking[0]], 100, "all records and nothing else");
    rehearsal.stack.stop().await.unwrap();
}

/// On the oldest source, which has topic ids and no list of transactions.
#[tokio::test(flavor = "multi_thread")]
async fn what_changes_behind_drain_ready_is_refused_while_producers_go_on() {
    let _alone = ALONE.lock().await;
    let options = Options {
        name: "e2e-late-changes".to_owned(),
        discard: true,
        quiet: true,
        freeze_ack_limit: Duration::from_secs(2),
        ..Options::default()
    };
    let rehearsal =
        Rehearsal::start(Options { source_version: "2.8.2".to_owned(), ..options }, "late-changes").await.unwrap();
    let source = Cluster::connect(Settings::parse(&rehearsal.stack.source_bootstrap())).await.unwrap();
    for topic in ["orders", "held"] {
        create(&source, topic, 1).await;
        fill(&source, topic, 0, 50).await;
    }
    let cli = &rehearsal.cli;
    cli.run("execute", &[]).await.unwrap().ok().unwrap();
    a_commit_that_was_never_finished_is_named(cli, &source).await;

    let held = TopicPartition::new("held", 0);
    assert_eq!(transaction::hang(&rehearsal.stack, &source, &held, AGE).await.unwrap(), 50);
    let hanging = "hanging transaction on held/0 at offset 50 by producer ";
    refused(cli, "cutover", hanging).await;
    let notes = noted(cli, &[hanging]).await;
    obey(&rehearsal, notes.iter().find(|note| note.starts_with(hanging)).unwrap()).await;
    assert!(!resumed(cli).await.contains("hanging"));

    create(&source, "empty", 1).await;
    let rehearsed = cli.run("cutover", &["--rehearse"]).await.unwrap().ok().unwrap();
    let empty = "empty: 1 partitions of it appeared on the source, are empty, and are not brought over";
    assert!(rehearsed.stdout.contains(empty), "{}", rehearsed.stdout);
    let reason = resumed(cli).await;
    assert!(reason.contains("topic empty (1 partitions) was created on the source on the way; picked up"), "{reason}");
    create(&source, "late", 1).await;
    fill(&source, "late", 0, 7).await;
    refused(cli, "cutover", "are not copied: late/0").await;
    let reason = resumed(cli).await;
    assert!(reason.contains("topic late (1 partitions) was created on the source on the way; picked up"), "{reason}");

    // More records than were copied: only its id tells it from the old topic.
    all_ok(source.delete_topics(&["orders".into()]).await).unwrap();
    create_again(&source, "orders").await;
    fill(&source, "orders", 0, 80).await;
    refused(cli, "cutover", "orders: the topic was deleted and created anew on the source").await;
    let history = rehearsal.stack.webhook().history();
    assert!(history.iter().all(|entry| entry.state == "running source"), "producers were never asked to stop");
    cli.run("rollback", &["--yes"]).await.unwrap().ok().unwrap();
    let report = rehearsal.stack.get_object(EVIDENCE_BUCKET, "migrations/late-changes/rollback.json").await.unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["rolled_back_from"], "drain_ready", "{report:#}");
    rehearsal.stack.stop().await.unwrap();
}

/// Of a commit of which the coordinator refuses one partition, that one stays pending (KAFKA-16371, before Kafka 3.8).
async fn a_commit_that_was_never_finished_is_named(cli: &Cli, source: &Cluster) {
    let offset = |topic: &str, metadata: usize| NewOffset {
        partition: TopicPartition::new(topic, 0),
        offset: 10,
        metadata: "m".repeat(metadata),
    };
    all_ok(source.commit_offsets("stuck", &[offset("orders", 0), offset("held", 0)]).await).unwrap();
    let taken = source.commit_offsets("stuck", &[offset("orders", 0), offset("held", 5_000)]).await;
    assert_eq!(taken.iter().map(|(_, outcome)| outcome.is_ok()).collect::<Vec<_>>(), [true, false], "{taken:?}");
    refused(cli, "cutover", "a commit of its offset of held/0 is pending, and no transaction holds it").await;
    // As it says.
    all_ok(source.commit_offsets("stuck", &[offset("held", 0)]).await).unwrap();
    cli.run("cutover", &["--rehearse"]).await.unwrap().ok().unwrap();
}

/// A producer that ignores the freeze ends the cutover, and nobody lets the one go that obeyed it: that can be repeated.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_could_not_let_producers_go_is_repeated() {
    let _alone = ALONE.lock().await;
    let options = Options {
        name: "e2e-deaf".to_owned(),
        discard: true,
        quiet: true,
        freeze_ack_limit: Duration::from_secs(2),
        ..Options::default()
    };
    let rehearsal = Rehearsal::start(options, "deaf").await.unwrap();
    let source = Cluster::connect(Settings::parse(&rehearsal.stack.source_bootstrap())).await.unwrap();
    create(&source, "orders", 1).await;
    fill(&source, "orders", 0, 50).await;
    let cli = &rehearsal.cli;
    cli.run("execute", &[]).await.unwrap().ok().unwrap();

    let straggler = tokio::spawn({
        let source = source.clone();
        async move {
            loop {
                fill(&source, "orders", 0, 1).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let deaf = Deaf::register(rehearsal.stack.webhook());
    refused(cli, "cutover", "a producer ignores the freeze").await;
    straggler.abort();
    refused(cli, "rollback --yes", "HTTP 504").await;
    deaf.listen();
    let rolled_back = cli.run("rollback", &["--yes"]).await.unwrap().ok().unwrap();
    for said in ["producers are still FROZEN", "under copy-time configs"] {
        assert!(rolled_back.stderr.contains(said), "{}", rolled_back.stderr);
    }
    assert_eq!(rehearsal.stack.webhook().history().last().unwrap().state, "running source");
    rehearsal.stack.stop().await.unwrap();
}

/// A producer that obeys the next freeze, and nothing after it.
struct Deaf(PathBuf);

impl Deaf {
    fn register(webhook: &Webhook) -> Self {
        webhook.register("deaf").unwrap();
        let freeze = webhook.history().last().unwrap().sequence + 1;
        std::fs::write(webhook.dir().join("acks/deaf"), freeze.to_string()).unwrap();
        Self(webhook.dir().join("acks/deaf"))
    }

    /// From now on it obeys everything.
    fn listen(self) {
        std::fs::write(self.0, usize::MAX.to_string()).unwrap();
    }
}

/// Creates a topic whose name becomes free only when the brokers have deleted the one that had it.
async fn create_again(source: &Cluster, name: &str) {
    let until = Instant::now() + PATIENCE;
    let topic = NewTopic { name: name.into(), partitions: 1, replication_factor: 1, configs: BTreeMap::new() };
    while let Err(error) = all_ok(source.create_topics(std::slice::from_ref(&topic)).await) {
        assert!(error.code() == Some(Code::TopicAlreadyExists) && Instant::now() < until, "{error}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
