//! How much room partitions take on disk (KIP-113).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use migration::TopicPartition;

use crate::Api;
use crate::cluster::Cluster;
use crate::error::{Place, Result, check};
use crate::metadata::Metadata;
use crate::pool::Purpose;

/// A broker, and the bytes of each log that it holds.
pub(super) type Held = (i32, Vec<(TopicPartition, i64)>);

impl Cluster {
    /// Size in bytes of each partition's log on its leader. A partition without a leader is missing.
    pub async fn log_sizes(&self) -> Result<BTreeMap<TopicPartition, i64>> {
        let (metadata, logs) = self.logs().await?;
        let mut sizes = BTreeMap::new();
        for (broker, held) in logs {
            for (partition, size) in held {
                if metadata.leader(&partition) == Some(broker) {
                    *sizes.entry(partition).or_default() += size;
                }
            }
        }
        Ok(sizes)
    }

    /// The logs of each live broker with their sizes, also those of topics that the metadata leaves out, and the metadata
    /// from just before.
    pub(super) async fn logs(&self) -> Result<(Arc<Metadata>, Vec<Held>)> {
        self.with_retries(|| async {
            self.refresh().await?;
            let metadata = self.metadata().await?;
            let logs = try_join_all(metadata.brokers.keys().map(|broker| self.log_dirs_of(*broker))).await?;
            Ok((metadata, logs))
        })
        .await
    }

    async fn log_dirs_of(&self, broker: i32) -> Result<Held> {
        let request = DescribeLogDirsRequest::default().with_topics(None);
        let answer = self.call(broker, Purpose::Admin, &request, Duration::ZERO).await?;
        check(Api::DescribeLogDirs, answer.error_code, || Place::Broker(broker), None)?;
        for dir in &answer.results {
            check(Api::DescribeLogDirs, dir.error_code, || Place::Broker(broker), None)?;
        }
        Ok((broker, held(answer)))
    }
}

/// The partitions in an answer, without the copies that are being moved to another directory.
fn held(answer: DescribeLogDirsResponse) -> Vec<(TopicPartition, i64)> {
    let mut held = Vec::new();
    for topic in answer.results.into_iter().flat_map(|dir| dir.topics) {
        let name: Arc<str> = topic.name.as_str().into();
        for partition in topic.partitions.iter().filter(|partition| !partition.is_future_key) {
            held.push((TopicPartition::new(name.clone(), partition.partition_index), partition.partition_size));
        }
    }
    held
}
