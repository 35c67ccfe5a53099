//! Topics and groups so small that a test knows them to the record.

use std::time::{SystemTime, UNIX_EPOCH};
use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use kafka::batch::{Codec, Record, Stamp, encode};
use kafka::{Cluster, ConfigChange, ConfigOp, NewOffset, NewTopic, Settings, TopicPartition, all_ok};
use stack::{Ground, Side};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to a side of a stack.
///
/// # Errors
/// When no broker answers.
pub async fn connect(stack: &Ground, side: Side) -> anyhow::Result<Cluster> {
    Ok(Cluster::connect(Settings::parse(&stack.cluster(side).bootstrap())).await?)
}

/// Creates a topic, with one replica.
///
/// # Errors
/// When the cluster refuses it.
pub async fn create(cluster: &Cluster, name: &str, partitions: i32, configs: &[(&str, &str)]) -> anyhow::Result<()> {
    let configs: BTreeMap<_, _> = configs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let topic = NewTopic { name: name.into(), partitions, replication_factor: 1, configs };
    all_ok(cluster.create_topics(&[topic]).await)?;
    Ok(())
}

/// Appends one batch of `count` records, whose values are topic, partition and number.
///
/// # Errors
/// When the cluster does not take it.
pub async fn fill(cluster: &Cluster, topic: &str, partition: i32, count: i64) -> anyhow::Result<()> {
    let timestamp = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let partition = TopicPartition::new(topic, partition);
    let value = |at: i64| Some(Bytes::from(format!("{partition} {at}")));
    let record = |at: i64| Record { offset: at, timestamp, key: None, value: value(at), headers: Vec::new() };
    let batch = encode(&(0..count).map(record).collect::<Vec<_>>(), Codec::None, Stamp::NONE, 0)?.to_produce();
    all_ok(cluster.produce_retrying(&[(partition, batch)], TIMEOUT).await)?;
    Ok(())
}

/// Sets one config of a topic.
///
/// # Errors
/// When the cluster refuses it.
pub async fn set(cluster: &Cluster, topic: &str, name: &str, value: &str) -> anyhow::Result<()> {
    let ops = vec![ConfigOp::Set { name: name.to_owned(), value: value.to_owned() }];
    all_ok(cluster.alter_topic_configs(&[ConfigChange { topic: topic.into(), ops }]).await)?;
    Ok(())
}

/// Commits an offset of a group without members.
///
/// # Errors
/// When its coordinator refuses it.
pub async fn commit(cluster: &Cluster, group: &str, topic: &str, offset: i64, metadata: &str) -> anyhow::Result<()> {
    let partition = TopicPartition::new(topic, 0);
    all_ok(cluster.commit_offsets(group, &[NewOffset { partition, offset, metadata: metadata.to_owned() }]).await)?;
    Ok(())
}

/// The offset that a group has committed of partition 0 of a topic.
///
/// # Errors
/// When its coordinator does not answer.
pub async fn committed(cluster: &Cluster, group: &str, topic: &str) -> anyhow::Result<Option<i64>> {
    let offsets = cluster.committed_offsets(group).await.with_context(|| format!("the offsets of {group}"))?;
    let found = offsets.into_iter().find(|offset| offset.partition == TopicPartition::new(topic, 0));
    Ok(found.map(|offset| offset.offset))
}
