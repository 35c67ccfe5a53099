//! Moving the leaders of partitions with Kafka's own tools.

use anyhow::ensure;
use serde_json::json;
use stack::{Ground, Side};

/// Gives every partition of a cluster its preferred leader.
///
/// # Errors
/// When `kafka-leader-election.sh` fails.
pub async fn prefer(stack: &Ground, side: Side) -> anyhow::Result<()> {
    let server = stack.cluster(side).bootstrap();
    let args = ["--bootstrap-server", &server, "--election-type", "preferred", "--all-topic-partitions"];
    stack.kafka_tool(side, "LeaderElectionCommand", &args).await.map(drop)
}

/// Puts the replicas of a topic in another order, beginning with broker `first`, and makes the first of them leader. Every
/// broker of the cluster has a replica.
///
/// # Errors
/// When `kafka-reassign-partitions.sh` or `kafka-leader-election.sh` fails.
pub async fn rotate(stack: &Ground, side: Side, topic: &str, first: usize) -> anyhow::Result<()> {
    let (server, brokers) = (stack.cluster(side).bootstrap(), stack.cluster(side).size());
    let described = stack
        .kafka_tool(side, "TopicCommand", &["--bootstrap-server", &server, "--describe", "--topic", topic])
        .await?;
    let count = described.lines().filter(|line| line.contains("Partition: ")).count();
    ensure!(count > 0, "{topic} has no partitions on the {}:\n{described}", side.name());
    let replicas: Vec<_> = (0..brokers).map(|step| (first - 1 + step) % brokers + 1).collect();
    let moved = |partition| json!({"topic": topic, "partition": partition, "replicas": replicas});
    let plan = json!({"version": 1, "partitions": (0..count).map(moved).collect::<Vec<_>>()});
    let file = stack.logs().join(format!("reassign-{}.json", side.name()));
    std::fs::write(&file, plan.to_string())?;
    let path = file.display().to_string();
    let args = ["--bootstrap-server", &server, "--reassignment-json-file", &path, "--execute"];
    stack.kafka_tool(side, "ReassignPartitionsCommand", &args).await?;
    prefer(stack, side).await
}
