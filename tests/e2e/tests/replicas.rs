//! Replicas of topics that are created while a broker of the target is down.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use e2e::Rehearsal;
use kafka::{Cluster, NewTopic, Settings, all_ok};
use stack::{Options, Side};

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
    let topic = NewTopic { name: "orders".into(), partitions: 4, replication_factor: 3, configs: BTreeMap::new() };
    all_ok(source.create_topics(&[topic]).await).unwrap();

    let target = rehearsal.stack.cluster(Side::Target);
    target.stop_broker(3).await.unwrap();
    rehearsal.cli.run("execute", &[]).await.unwrap().ok().unwrap();
    let cluster = Cluster::connect(Settings::parse(&rehearsal.stack.target_bootstrap())).await.unwrap();
    assert_eq!(cluster.brokers().await.unwrap().len(), 2, "the broker is still down");
    let topics = cluster.topics().await.unwrap();
    let orders = topics.iter().find(|topic| &*topic.name == "orders").unwrap();
    let replicas: Vec<_> = orders.partitions.iter().map(|partition| partition.replicas.len()).collect();
    assert_eq!(replicas, [3; 4]);
    rehearsal.stack.stop().await.unwrap();
}
