//! Replicas of topics that are created while a broker of the target is down.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use e2e::Rehearsal;
use kafka::{Cluster, NewTopic, Settings, TopicPartition, all_ok};
use serde_json::json;
use stack::{Options, Side};

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
        discard: true,
        quiet: true,
        ..Options::default()
    };
    let rehearsal = Rehearsal::start(options, "replicas").await.unwrap();
    let source = Cluster::connect(Settings::parse(&rehearsal.stack.source_bootstrap())).await.unwrap();
    create(&source, "orders", 4, 3).await;
    create(&source, "alone", 3, 1).await;
    create(&source, "moving", 1, 1).await;

    let target = rehearsal.stack.cluster(Side::Target);
    target.stop_broker(3).await.unwrap();
    brokers_that_are_missing_are_found(&rehearsal, &source).await;
    rehearsal.cli.run("execute", &[]).await.unwrap().ok().unwrap();
    let cluster = Cluster::connect(Settings::parse(&rehearsal.stack.target_bootstrap())).await.unwrap();
    assert_eq!(cluster.brokers().await.unwrap().len(), 2, "the broker is still down");
    let topics = cluster.topics().await.unwrap();
    let orders = topics.iter().find(|topic| &*topic.name == "orders").unwrap();
    let replicas: Vec<_> = orders.partitions.iter().map(|partition| partition.replicas.len()).collect();
    assert_eq!(replicas, [3; 4]);
    let moving = topics.iter().find(|topic| &*topic.name == "moving").unwrap();
    assert_eq!(moving.partitions[0].replicas.len(), 1, "the replica that the source is about to remove is not counted");
    rehearsal.stack.stop().await.unwrap();
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
    assert_eq!(codes(rehearsal).await, ["B16", "W10", "W29", "W30"]);
    stack.cluster(Side::Source).restart_broker(3).await.unwrap();
}

async fn codes(rehearsal: &Rehearsal) -> Vec<String> {
    let report = rehearsal.cli.ask("precheck", &["--output", "json"]).await.unwrap().json().unwrap();
    let findings = report["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}
