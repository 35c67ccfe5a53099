//! How much room partitions take on disk (KIP-113).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use migration::TopicPartition;

use crate::cluster::Cluster;
use crate::error::{Place, Result, check};
use crate::metadata::Metadata;
use crate::pool::Purpose;
use crate::{Api, Code};

/// A broker, and the bytes of each log that it holds.
pub(super) type Held = (i32, Vec<(TopicPartition, i64)>);

impl Cluster {
    /// Size in bytes of each partition's log on its leader. A partition without a leader is missing.
    ///
    /// # Errors
    /// [`ClusterAuthorizationFailed`](Code::ClusterAuthorizationFailed) without `Describe` on the cluster.
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
        Ok((broker, held(broker, answer)?))
    }
}

/// The partitions in the answer of `broker`, without the copies that are being moved to another directory.
fn held(broker: i32, answer: DescribeLogDirsResponse) -> Result<Vec<(TopicPartition, i64)>> {
    // Before KIP-784 (Kafka 3.2) there is no code for the answer as a whole, and who must not ask gets no directories. As
    // in Java's KafkaAdminClient: no broker is without any.
    let refused = answer.error_code == 0 && answer.results.is_empty();
    let code = if refused { Code::ClusterAuthorizationFailed.code() } else { answer.error_code };
    let codes = std::iter::once(code).chain(answer.results.iter().map(|dir| dir.error_code));
    for code in codes {
        check(Api::DescribeLogDirs, code, || Place::Broker(broker), None)?;
    }
    let mut held = Vec::new();
    for topic in answer.results.into_iter().flat_map(|dir| dir.topics) {
        let name: Arc<str> = topic.name.as_str().into();
        for partition in topic.partitions.iter().filter(|partition| !partition.is_future_key) {
            held.push((TopicPartition::new(name.clone(), partition.partition_index), partition.partition_size));
        }
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::describe_log_dirs_response::{
        DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
    };

    use super::*;
    use crate::Error;

    fn code(answer: DescribeLogDirsResponse) -> Option<Code> {
        match held(1, answer) {
            Err(Error::Broker { code, .. }) => Some(code),
            _ => None,
        }
    }

    #[test]
    fn an_answer_without_directories_is_a_refusal() {
        let answer = DescribeLogDirsResponse::default();
        assert_eq!(code(answer.clone()), Some(Code::ClusterAuthorizationFailed));
        assert_eq!(code(answer.with_error_code(41)), Some(Code::NotController), "a code that is there counts");
        let dir = DescribeLogDirsResult::default();
        assert_eq!(code(DescribeLogDirsResponse::default().with_results(vec![dir.clone()])), None, "an empty broker");
        let offline = DescribeLogDirsResponse::default().with_results(vec![dir.with_error_code(56)]);
        assert_eq!(code(offline), Some(Code::KafkaStorageError));
    }

    #[test]
    fn copies_on_their_way_to_another_directory_do_not_count() {
        let partition = |index, future| {
            let partition = DescribeLogDirsPartition::default().with_partition_index(index).with_partition_size(7);
            partition.with_is_future_key(future)
        };
        let topic = DescribeLogDirsTopic::default().with_partitions(vec![partition(0, false), partition(1, true)]);
        let dir = DescribeLogDirsResult::default().with_topics(vec![topic]);
        let held = held(1, DescribeLogDirsResponse::default().with_results(vec![dir])).unwrap();
        assert_eq!(held, [(TopicPartition::new("", 0), 7)]);
    }
}
