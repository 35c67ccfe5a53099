//! Small topics, written and measured with Kafka's own command line tools.

use std::process::Stdio;

use anyhow::{Context, ensure};
use serde_json::json;
use stack::{Ground, Side};
use tokio::io::AsyncWriteExt;

/// Creates a topic with one partition.
///
/// # Errors
/// When `kafka-topics.sh` fails.
pub async fn create(stack: &Ground, side: Side, topic: &str) -> anyhow::Result<()> {
    let server = stack.cluster(side).bootstrap();
    let args = ["--bootstrap-server", &server, "--create", "--topic", topic, "--partitions", "1"];
    stack.kafka_tool(side, "TopicCommand", &args).await.map(drop)
}

/// Writes each line as a record and waits until the cluster has them.
///
/// # Errors
/// When `kafka-console-producer.sh` fails, with what it printed.
pub async fn write(stack: &Ground, side: Side, topic: &str, lines: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let cluster = stack.cluster(side);
    let args = ["--bootstrap-server", &cluster.bootstrap(), "--topic", topic];
    let mut command = cluster.tool_command("ConsoleProducer", &args)?;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut producer = command.spawn().context("starting the console producer")?;
    let mut input = producer.stdin.take().context("the console producer has no input")?;
    let text: String = lines.map(|line| line + "\n").collect();
    input.write_all(text.as_bytes()).await?;
    drop(input);
    let output = producer.wait_with_output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && !said.contains("ERROR"), "the console producer failed: {said}");
    Ok(())
}

/// Where partition 0 of a topic ends.
///
/// # Errors
/// When `kafka-get-offsets.sh` fails or knows no such topic.
pub async fn end(stack: &Ground, side: Side, topic: &str) -> anyhow::Result<i64> {
    let (server, partition) = (stack.cluster(side).bootstrap(), format!("{topic}:0"));
    let args = ["--bootstrap-server", &server, "--topic-partitions", &partition];
    let printed = stack.kafka_tool(side, "GetOffsetShell", &args).await?;
    let end = printed.trim().rsplit(':').next().and_then(|end| end.parse().ok());
    end.with_context(|| format!("no offset of {partition}: {printed}"))
}

/// Deletes the records of partition 0 of a topic that are before `offset`.
///
/// # Errors
/// When `kafka-delete-records.sh` fails.
pub async fn delete_before(stack: &Ground, side: Side, topic: &str, offset: i64) -> anyhow::Result<()> {
    let what = json!({"version": 1, "partitions": [{"topic": topic, "partition": 0, "offset": offset}]});
    let file = stack.logs().join("delete-records.json");
    std::fs::write(&file, what.to_string())?;
    let (server, path) = (stack.cluster(side).bootstrap(), file.display().to_string());
    let args = ["--bootstrap-server", &server, "--offset-json-file", &path];
    stack.kafka_tool(side, "DeleteRecordsCommand", &args).await.map(drop)
}
