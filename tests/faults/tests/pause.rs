//! Pauses that are longer than the target remembers a producer: an idle tail, and everything stopped.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::cell::Cell;
use std::time::{Duration, Instant};

use e2e::{Rehearsal, records};
use serde_json::json;
use stack::{Options, Side};

use common::{load, numbered, partition};

const TOPICS: [&str; 2] = ["ledger", "orders"];
/// How long the target remembers a producer that writes nothing.
const REMEMBERED: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(120);

fn options() -> Options {
    let target_config = [
        ("producer.id.expiration.ms", REMEMBERED.as_millis().to_string()),
        ("producer.id.expiration.check.interval.ms", "500".to_owned()),
    ];
    Options {
        name: "faults-pause".to_owned(),
        quiet: true,
        target_config: target_config.map(|(name, value)| (name.to_owned(), value)).into(),
        ..Options::default()
    }
}

/// Waits until the target knows no producer of a topic any more.
async fn forgotten(rehearsal: &Rehearsal, topic: &str) {
    let until = Instant::now() + PATIENCE;
    let server = rehearsal.stack.target_bootstrap();
    let args = ["--bootstrap-server", &server, "describe-producers", "--topic", topic, "--partition", "0"];
    loop {
        let printed = rehearsal.stack.kafka_tool(Side::Target, "TransactionsCommand", &args).await.unwrap();
        assert!(printed.contains("ProducerId"), "{printed}");
        // The heading alone.
        if printed.trim().lines().count() == 1 {
            return;
        }
        assert!(Instant::now() < until, "{printed}");
    }
}

async fn write(rehearsal: &Rehearsal, range: std::ops::Range<u32>) {
    for topic in TOPICS {
        records::write(&rehearsal.stack, Side::Source, topic, numbered(range.clone())).await.unwrap();
    }
}

/// Waits until so many records are copied of each topic, and the target holds exactly them.
async fn copied(rehearsal: &Rehearsal, count: i64) {
    for topic in TOPICS {
        let found = partition(rehearsal, topic, |topic| topic["copied"] == count || topic["stopped"].is_string()).await;
        assert_eq!((&found["copied"], &found["stopped"]), (&json!(count), &json!(null)));
        assert_eq!(records::end(&rehearsal.stack, Side::Target, topic).await.unwrap(), count);
    }
}

/// Gives the tail's only batch to a second invocation until the state machine's has taken it back. Meanwhile nothing is
/// written but now and then, when the target knows no producer any more: each of the two finds its records, both want to
/// copy them, and one is told that it was overtaken. Returns how many records there are then.
async fn overtake(rehearsal: &Rehearsal, mut count: u32) -> u32 {
    let ended = Cell::new(false);
    let second = async {
        let work = json!({"op": "work", "migration_id": rehearsal.id(), "batch": 0});
        let answer = rehearsal.stack.invoke("tail-batch", &work).await;
        assert!(format!("{answer:?}").contains("Fenced"), "{answer:?}");
        ended.set(true);
    };
    let records = async {
        while !ended.get() {
            forgotten(rehearsal, "ledger").await;
            write(rehearsal, count..count + 20).await;
            count += 20;
            copied(rehearsal, i64::from(count)).await;
        }
    };
    tokio::join!(second, records);
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_was_forgotten_doubles_and_loses_nothing() {
    let rehearsal = Rehearsal::start(options(), "paused").await.unwrap();
    load(&rehearsal, &TOPICS, 100).await;
    rehearsal.cli.run("execute", &[]).await.unwrap().ok().unwrap();

    forgotten(&rehearsal, "ledger").await;
    write(&rehearsal, 100..120).await;
    copied(&rehearsal, 120).await;

    let count = overtake(&rehearsal, 120).await;

    rehearsal.stack.stop().await.unwrap();
    tokio::time::sleep(REMEMBERED).await;
    let rehearsal = Rehearsal::start(Options { keep: true, ..options() }, "paused").await.unwrap();
    write(&rehearsal, count..count + 20).await;
    let resumed = rehearsal.cli.run("resume", &[]).await.unwrap();
    assert!(matches!(resumed.code, 0 | 10), "{}\n{}", resumed.stdout, resumed.stderr);
    copied(&rehearsal, i64::from(count) + 20).await;

    for verb in ["cutover", "cutover-ack", "finalize"] {
        rehearsal.cli.run(verb, &[]).await.unwrap().ok().unwrap();
    }
    let (verdict, equal) = rehearsal.java.judge(&[]).await.unwrap();
    assert!(equal, "{verdict:#}");
    let home = rehearsal.stack.logs().parent().unwrap().to_owned();
    rehearsal.stack.stop().await.unwrap();
    std::fs::remove_dir_all(home.join("data")).unwrap();
}
