//! A copy that does not go on is seen: `drain_ready` waits for a tail of every batch, and `status` says what is, not what the
//! last checkpoint had.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use e2e::{Cli, Rehearsal, config};
use kafka::batch::{Codec, Record, Stamp, encode};
use kafka::{Cluster, NewTopic, Settings, TopicPartition, all_ok};
use serde_json::Value;
use stack::{Options, Side};
use tokio::sync::Mutex;

const PATIENCE: Duration = Duration::from_secs(180);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Functions that may run at once in the first test, and batches that want one.
const FUNCTIONS: usize = 4;
const BATCHES: i32 = 8;

/// One stack at a time: two of them on a small machine are too slow to drain.
static ALONE: Mutex<()> = Mutex::const_new(());

async fn source(rehearsal: &Rehearsal) -> Cluster {
    Cluster::connect(Settings::parse(&rehearsal.stack.source_bootstrap())).await.unwrap()
}

async fn create(source: &Cluster, name: &str, partitions: i32) {
    let topic = NewTopic { name: name.into(), partitions, replication_factor: 1, configs: BTreeMap::new() };
    all_ok(source.create_topics(&[topic]).await).unwrap();
}

async fn fill(source: &Cluster, topic: &str, count: i64) {
    let timestamp = chrono::Utc::now().timestamp_millis();
    let value = |at: i64| Some(Bytes::from(format!("{topic} {at}")));
    let records: Vec<_> = (0..count)
        .map(|at| Record { offset: at, timestamp, key: None, value: value(at), headers: Vec::new() })
        .collect();
    let batch = encode(&records, Codec::None, Stamp::NONE, 0).unwrap().to_produce();
    all_ok(source.produce_retrying(&[(TopicPartition::new(topic, 0), batch)], TIMEOUT).await).unwrap();
}

/// What `status` says, once `expected` holds.
async fn status(cli: &Cli, expected: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let output = cli.run("status", &["--output", "json"]).await.unwrap();
        // The migration may not exist yet.
        let status = if output.code == 0 { output.json().unwrap() } else { Value::Null };
        if expected(&status) {
            return status;
        }
        assert!(Instant::now() < until, "{status:#}\n{}", output.stderr);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn notes(status: &Value) -> Vec<&str> {
    status["notes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn is_noted(status: &Value, start: &str) -> bool {
    notes(status).iter().any(|note| note.starts_with(start))
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_no_function_follows_keep_drain_ready_from_being_reached() {
    let _alone = ALONE.lock().await;
    let options = Options {
        name: "e2e-few-functions".to_owned(),
        discard: true,
        quiet: true,
        function_limit: FUNCTIONS,
        ..Options::default()
    };
    let rehearsal = Rehearsal::start(options, "few-functions").await.unwrap();
    create(&source(&rehearsal).await, "wide", BATCHES * 2).await;
    let yaml = config::yaml(&rehearsal.stack).replace("drain_timeout: 10m", "drain_timeout: 45s")
        + "    seed:\n      partitions_per_batch: 2\n";
    let cli = rehearsal.cli.clone().with(&config::write(&rehearsal.dir, "few.yaml", &yaml).unwrap(), "few-functions");
    let following = cli.clone();
    let executed = tokio::spawn(async move { following.run("execute", &[]).await });
    // The drain is one of the functions. Nothing is behind, and yet nobody would copy what came.
    let seen = status(&cli, |status| {
        status["phase"] == "tail" && status["tails"]["live"].as_u64().is_some_and(|live| live > 0)
    })
    .await;
    assert_eq!(seen["lag"]["max"], 0, "{seen:#}");
    assert!(is_noted(&seen, "no function follows "), "{seen:#}");

    let failed = executed.await.unwrap().unwrap();
    let said = format!("{}{}", failed.stdout, failed.stderr);
    assert_eq!(failed.code, 1, "{said}");
    let expected = [
        "did not become ready in 45s: no function follows ",
        " of 8 batches: 000",
        "let tail-batch run 10 times at once",
    ];
    assert!(expected.iter().all(|words| said.contains(words)), "{said}");
    assert!(!said.contains("slow the producers down"), "{said}");
    rehearsal.stack.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_the_lag_of_now_and_why_it_grows() {
    let _alone = ALONE.lock().await;
    let options = Options { name: "e2e-liveness".to_owned(), discard: true, quiet: true, ..Options::default() };
    let rehearsal = Rehearsal::start(options, "liveness").await.unwrap();
    let source = source(&rehearsal).await;
    create(&source, "orders", 1).await;
    fill(&source, "orders", 10).await;
    let cli = &rehearsal.cli;
    cli.run("execute", &[]).await.unwrap().ok().unwrap();
    let ready = status(cli, |status| status["phase"] == "drain_ready").await;
    assert!(notes(&ready).is_empty() && ready["lag"]["source"] == "source", "{ready:#}");
    assert_eq!((&ready["running"]["state"], &ready["tails"]["live"]), (&"running".into(), &1.into()));
    assert!(ready["next"]["command"].as_str().unwrap().contains("msk-kraft cutover "), "{ready:#}");

    let target = rehearsal.stack.cluster(Side::Target);
    target.kill_broker(1).unwrap();
    fill(&source, "orders", 500).await;
    let behind = status(cli, |status| is_noted(status, "the copy of 1 of 1 batch cannot go on")).await;
    assert_eq!((&behind["lag"]["max"], &behind["lag"]["source"]), (&500.into(), &"source".into()), "{behind:#}");
    assert_eq!(behind["partitions"][0]["source_end"], 510, "{behind:#}");
    assert!(behind["next"]["command"].as_str().unwrap().contains("msk-kraft status "), "{behind:#}");

    target.restart_broker(1).await.unwrap();
    let again = status(cli, |status| status["lag"]["max"] == 0 && notes(status).is_empty()).await;
    assert!(again["next"]["command"].as_str().unwrap().contains("msk-kraft cutover "), "{again:#}");
    cli.run("cutover", &[]).await.unwrap().ok().unwrap();
    rehearsal.stack.stop().await.unwrap();
}
