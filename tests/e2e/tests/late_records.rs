//! Late records of a producer that ignored the fence: listed, appended to the target exactly once while clients write there and the
//! function is killed, and in the evidence.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use e2e::{Rehearsal, evidence, transaction};
use kafka::batch::{Codec, Record, Stamp, encode};
use kafka::{Cluster, NewTopic, Settings, TopicPartition, all_ok};
use serde_json::Value;
use stack::{Options, Side};

const TIMEOUT: Duration = Duration::from_secs(10);

async fn write(cluster: &Cluster, partition: &TopicPartition, values: &[String], codec: Codec) {
    let timestamp = chrono::Utc::now().timestamp_millis();
    let record = |(offset, value): (i64, &String)| Record {
        offset,
        timestamp,
        key: Some(Bytes::from(format!("key of {value}"))),
        value: Some(Bytes::from(value.clone())),
        headers: vec![(Bytes::from_static(b"h"), Some(Bytes::from_static(b"1")))],
    };
    let records: Vec<_> = (0..).zip(values).map(record).collect();
    let batch = encode(&records, codec, Stamp::NONE, 0).unwrap().to_produce();
    all_ok(cluster.produce_retrying(&[(partition.clone(), batch)], TIMEOUT).await).unwrap();
}

fn named(what: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{what}-{number:05}")).collect()
}

/// Every value of a partition of the target, as Kafka's own consumer reads it, committed.
async fn consumed(rehearsal: &Rehearsal, partition: &TopicPartition, count: usize) -> Vec<String> {
    let server = rehearsal.stack.target_bootstrap();
    let (topic, number, count) = (partition.topic.to_string(), partition.partition.to_string(), count.to_string());
    let args = [
        "--bootstrap-server",
        &server,
        "--topic",
        &topic,
        "--partition",
        &number,
        "--offset",
        "earliest",
        "--max-messages",
        &count,
        "--timeout-ms",
        "10000",
        "--isolation-level",
        "read_committed",
        "--property",
        "print.key=true",
        "--property",
        "print.headers=true",
    ];
    let out = rehearsal.stack.kafka_tool(Side::Target, "ConsoleConsumer", &args).await.unwrap();
    out.lines().map(str::to_owned).collect()
}

/// Kills the cutover function whenever it is busy, until it was killed twice: while it lists, and while it appends or lists again.
async fn kill_twice(rehearsal: &Rehearsal) -> usize {
    let until = Instant::now() + Duration::from_secs(15);
    let mut killed = 0;
    while Instant::now() < until && killed < 2 {
        tokio::time::sleep(Duration::from_millis(30)).await;
        if rehearsal.stack.busy_instances("cutover") > 0 {
            tokio::time::sleep(Duration::from_millis(120)).await;
            killed += usize::from(rehearsal.stack.kill_function_instance("cutover").is_ok());
        }
    }
    killed
}

/// Ends the transaction that begins at `start` with an abort marker.
async fn abort(rehearsal: &Rehearsal, partition: &TopicPartition, start: i64) {
    let (server, number, start) =
        (rehearsal.stack.source_bootstrap(), partition.partition.to_string(), start.to_string());
    let at = ["abort", "--topic", &partition.topic, "--partition", &number, "--start-offset", &start];
    let args = [["--bootstrap-server", &server].as_slice(), &at].concat();
    // The target's version of the tool: it came with Kafka 3.0.
    rehearsal.stack.kafka_tool(Side::Target, "TransactionsCommand", &args).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn late_records_are_appended_once_and_are_in_the_evidence() {
    let options = Options { name: "e2e-late-records".to_owned(), discard: true, quiet: true, ..Options::default() };
    let rehearsal = Rehearsal::start(options, "late").await.unwrap();
    transaction::trust(&rehearsal.stack).await.unwrap();
    let source = Cluster::connect(Settings::parse(&rehearsal.stack.source_bootstrap())).await.unwrap();
    let topic = NewTopic { name: "orders".into(), partitions: 2, replication_factor: 1, configs: BTreeMap::new() };
    all_ok(source.create_topics(&[topic]).await).unwrap();
    let partitions = [0, 1].map(|number| TopicPartition::new("orders", number));
    for partition in &partitions {
        write(&source, partition, &named("copied", 20), Codec::None).await;
    }
    rehearsal.cli.run("execute", &[]).await.unwrap().ok().unwrap();
    let early = rehearsal.cli.run("late-records", &[]).await.unwrap();
    assert!(early.code == 1 && early.stderr.contains("once the cutover is complete"), "{}", early.stderr);
    rehearsal.cli.run("cutover", &[]).await.unwrap().ok().unwrap();

    // Clients write to the target, and a forgotten producer to the source: plain, compressed, and in a transaction that is aborted.
    let target = Cluster::connect(Settings::parse(&rehearsal.stack.target_bootstrap())).await.unwrap();
    write(&target, &partitions[0], &named("client", 5), Codec::None).await;
    write(&source, &partitions[0], &named("late-plain", 3), Codec::None).await;
    write(&source, &partitions[0], &named("late-zstd", 400), Codec::Zstd).await;
    write(&source, &partitions[1], &named("late-lz4", 7), Codec::Lz4).await;
    let start = transaction::hang(&rehearsal.stack, &source, &partitions[1], Duration::from_secs(60)).await.unwrap();
    let open = rehearsal.cli.run("late-records", &[]).await.unwrap().ok().unwrap();
    assert!(open.stderr.contains("orders/1: an open transaction holds offsets"), "{}", open.stderr);
    abort(&rehearsal, &partitions[1], start).await;
    let listed = rehearsal.cli.run("late-records", &["--output", "json"]).await.unwrap().ok().unwrap().json().unwrap();
    let records = |listed: &Value| -> BTreeMap<i64, i64> {
        let late = listed["late"]["records"].as_array().unwrap().iter();
        late.map(|late| (late["partition"].as_i64().unwrap(), late["records"].as_i64().unwrap())).collect()
    };
    assert_eq!(records(&listed), BTreeMap::from([(0, 403), (1, 7)]), "{listed:#}");

    let refused = rehearsal.cli.run("late-records", &["--append"]).await.unwrap();
    assert!(refused.code == 1 && refused.stderr.contains("add --yes"), "{}", refused.stderr);
    let append = ["--append", "--yes", "--output", "json"];
    let (appended, killed) = tokio::join!(rehearsal.cli.run("late-records", &append), kill_twice(&rehearsal));
    let appended = appended.unwrap().ok().unwrap();
    assert!(killed > 0, "the function was killed on the way: {}", appended.stderr);
    assert_eq!(records(&appended.json().unwrap()), BTreeMap::new(), "{}", appended.stdout);
    write(&target, &partitions[0], &named("client-later", 5), Codec::None).await;
    let again = rehearsal.cli.run("late-records", &append).await.unwrap().ok().unwrap();
    assert!(again.stderr.contains("nothing to append"), "{}", again.stderr);

    // More that came later is a further append.
    write(&source, &partitions[1], &named("later", 2), Codec::None).await;
    let further = rehearsal.cli.run("late-records", &append).await.unwrap().ok().unwrap().json().unwrap();
    assert_eq!(further["appends"].as_array().unwrap().len(), 2, "{further:#}");

    let first = consumed(&rehearsal, &partitions[0], 20 + 5 + 403 + 5).await;
    let values = [
        named("copied", 20),
        named("client", 5),
        named("late-plain", 3),
        named("late-zstd", 400),
        named("client-later", 5),
    ];
    let expected: Vec<_> = values.concat().iter().map(|value| format!("h:1\tkey of {value}\t{value}")).collect();
    assert_eq!(first, expected);
    let second = consumed(&rehearsal, &partitions[1], 20 + 7 + 2).await;
    let values = [named("copied", 20), named("late-lz4", 7), named("later", 2)].concat();
    assert_eq!(second, values.iter().map(|value| format!("h:1\tkey of {value}\t{value}")).collect::<Vec<_>>());

    rehearsal.cli.run("cutover-ack", &[]).await.unwrap().ok().unwrap();
    rehearsal.cli.run("finalize", &[]).await.unwrap().ok().unwrap();
    let bundle = evidence::verify(&rehearsal.stack, rehearsal.id(), &rehearsal.dir.join("evidence")).await.unwrap();
    assert_eq!(bundle["validation"]["overall"], "PASSED_WITH_WARNINGS", "{:#}", bundle["validation"]);
    let counts = &bundle["validation"]["counts_and_offsets"];
    assert_eq!(counts["late_records_appended"], 412, "{counts:#}");
    assert_eq!(counts["outcome"], "WARNING", "{counts:#}");
    let appends = bundle["late_appends"].as_array().unwrap();
    assert_eq!(appends.len(), 2);
    assert!(appends.iter().all(|append| append["by"].as_str().unwrap().contains('@') && append["done"].is_object()));
    assert_eq!(bundle["late"]["records"], serde_json::json!([]), "{:#}", bundle["late"]);
    rehearsal.stack.stop().await.unwrap();
}
