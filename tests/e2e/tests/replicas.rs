//! Replicas of topics that are created while a broker of the target is down, and what it refuses meanwhile.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use e2e::{Rehearsal, small};
use kafka::{Cluster, NewTopic, OffsetSpec, Settings, TopicPartition, all_ok};
use serde_json::json;
use stack::{Options, Side};

const PATIENCE: Duration = Duration::from_secs(180);
const RECORDS: i64 = 50;

async fn create(cluster: &Cluster, name: &str, partitions: i32, replication_factor: i16) {
    let topic = NewTopic { name: name.into(), partitions, replication_factor, configs: BTreeMap::new() };
    all_ok(cluster.create_topics(&[topic]).await).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_down_costs_no_replica() {
    let options = Options {
        name: "e2e-replicas".to_owned(),
        brokers: 3,
        broker_heap_mib: 256,
        target_config: vec![("min.insync.replicas".to_owned(), "3".to_owned())],
        discard: true,
        quiet: true,
        ..Options::default()
    };
    let rehearsal = Rehearsal::start(options, "replicas").await.unwrap();
    let source = Cluster::connect(Settings::parse(&rehearsal.stack.source_bootstrap())).await.unwrap();
    create(&source, "orders", 4, 3).await;
    create(&source, "alone", 3, 1).await;
    create(&source, "moving", 1, 1).await;

    all_replicas_are_wanted_in_sync(&rehearsal).await;

    let target = rehearsal.stack.cluster(Side::Target);
    target.stop_broker(3).await.unwrap();
    brokers_that_are_missing_are_found(&rehearsal, &source).await;
    // With one broker down the target takes nothing of the one; the other needs one replica alone.
    for topic in ["orders", "alone"] {
        small::fill(&source, topic, 0, RECORDS).await.unwrap();
    }
    let executed = rehearsal.cli.beside("execute");
    let cluster = Cluster::connect(Settings::parse(&rehearsal.stack.target_bootstrap())).await.unwrap();
    what_is_refused_holds_up_nothing_else(&rehearsal, &cluster).await;
    assert_eq!(cluster.brokers().await.unwrap().len(), 2, "the broker is still down");
    let topics = cluster.topics().await.unwrap();
    let orders = topics.iter().find(|topic| &*topic.name == "orders").unwrap();
    let replicas: Vec<_> = orders.partitions.iter().map(|partition| partition.replicas.len()).collect();
    assert_eq!(replicas, [3; 4]);
    let moving = topics.iter().find(|topic| &*topic.name == "moving").unwrap();
    assert_eq!(moving.partitions[0].replicas.len(), 1, "the replica that the source is about to remove is not counted");
    target.restart_broker(3).await.unwrap();
    executed.await.unwrap().unwrap().ok().unwrap();
    assert_eq!((end(&cluster, "alone").await, end(&cluster, "orders").await), (RECORDS, RECORDS));
    rehearsal.stack.stop().await.unwrap();
}

/// Report 18B: both topics are in one batch.
async fn what_is_refused_holds_up_nothing_else(rehearsal: &Rehearsal, target: &Cluster) {
    let until = Instant::now() + PATIENCE;
    loop {
        // The migration may not exist yet, nor its topics.
        let status = rehearsal.cli.status().await.unwrap_or_default();
        let notes = status["notes"].as_array().into_iter().flatten().filter_map(|note| note.as_str());
        let refused =
            notes.filter(|note| note.contains("the target takes nothing of some partitions")).collect::<String>();
        if refused.contains("orders/0") && end(target, "alone").await == RECORDS {
            break;
        }
        assert!(Instant::now() < until, "{status:#}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(end(target, "orders").await, 0);
}

/// On the source as on the target, where its brokers say so: what differs would be carried over.
async fn all_replicas_are_wanted_in_sync(rehearsal: &Rehearsal) {
    let server = rehearsal.stack.source_bootstrap();
    let mut args = vec!["--bootstrap-server", &server];
    args.extend("--alter --entity-type brokers --entity-default --add-config min.insync.replicas=3".split(' '));
    rehearsal.stack.kafka_tool(Side::Source, "ConfigCommand", &args).await.unwrap();
}

async fn end(cluster: &Cluster, topic: &str) -> i64 {
    let partition = [TopicPartition::new(topic, 0)];
    all_ok(cluster.list_offsets(&partition, OffsetSpec::Latest).await).unwrap()[&partition[0]]
}

/// Begins to move `moving` to another broker, so slowly that it takes minutes: a throttled follower gets one fetch of 4 MiB in each
/// window of its quota (11 s).
async fn move_slowly(rehearsal: &Rehearsal, source: &Cluster) {
    let server = rehearsal.stack.source_bootstrap();
    let props = format!("bootstrap.servers={server}");
    let load = ["--topic", "moving", "--num-records", "400", "--record-size", "100000", "--throughput", "-1"];
    let load = [&load[..], &["--producer-props", &props]].concat();
    rehearsal.stack.kafka_tool(Side::Source, "ProducerPerformance", &load).await.unwrap();
    let from = replicas(source, "moving").await[0];
    let to = if from == 3 { 1 } else { 3 };
    let plan = json!({"version": 1, "partitions": [{"topic": "moving", "partition": 0, "replicas": [to]}]});
    let file = rehearsal.dir.join("reassignment.json");
    std::fs::write(&file, plan.to_string()).unwrap();
    let file = file.display().to_string();
    let args = ["--bootstrap-server", &server, "--execute", "--throttle", "1000", "--reassignment-json-file", &file];
    rehearsal.stack.kafka_tool(Side::Source, "ReassignPartitionsCommand", &args).await.unwrap();
    assert_eq!(source.reassignments().await.unwrap()[&TopicPartition::new("moving", 0)].removing, [from]);
}

async fn replicas(cluster: &Cluster, topic: &str) -> Vec<i32> {
    let topics = cluster.topics().await.unwrap();
    let topic = topics.iter().find(|found| &*found.name == topic).unwrap();
    topic.partitions[0].replicas.clone()
}

/// Precheck tells a broker that is down from one that was never there, and names a partition that only such a broker has.
async fn brokers_that_are_missing_are_found(rehearsal: &Rehearsal, source: &Cluster) {
    let stack = &rehearsal.stack;
    assert_eq!(codes(rehearsal).await, ["W10"]);
    stack.describe_with(Side::Target, json!({"provisioned": {"numberOfBrokerNodes": 2}}));
    assert_eq!(codes(rehearsal).await, ["W01", "W10", "W12"]);
    stack.describe_with(Side::Target, json!({}));

    move_slowly(rehearsal, source).await;
    assert_eq!(codes(rehearsal).await, ["W10", "W29"]);
    stack.cluster(Side::Source).stop_broker(3).await.unwrap();
    assert_eq!(codes(rehearsal).await, ["B16", "W10", "W29", "W30", "W30"]);
    stack.cluster(Side::Source).restart_broker(3).await.unwrap();
}

async fn codes(rehearsal: &Rehearsal) -> Vec<String> {
    let report = rehearsal.cli.ask("precheck", &["--output", "json"]).await.unwrap().json().unwrap();
    let findings = report["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}
