//! Whether this client may write to partitions, asked of their leaders without writing anything.

use std::time::Duration;

use bytes::Bytes;
use migration::TopicPartition;
use serde::{Deserialize, Serialize};

use crate::batch::unappendable;
use crate::cluster::Cluster;
use crate::error::{Each, Error, Place, Result};
use crate::{Api, Code};

/// How long a leader may take. It has nothing to wait for.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a leader says about writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteProbe {
    /// This client may not write to the topic.
    Denied,
    /// It may.
    Allowed,
}

impl Cluster {
    /// Whether the leader of each partition lets this client write, asked with a batch that no leader can append: its checksum is
    /// wrong, and it has no records. A leader looks first whether the client may write (`KafkaApis.handleProduceRequest`), and
    /// then at the checksum, before anything else is done with the batch (`UnifiedLog.analyzeAndValidateRecords`); one that
    /// passed would be refused for having no records (`LogValidator.validateBatch`). Nothing is written, and no producer id is
    /// used. Every leader decides by the rules that it knows by then, so each has to be asked.
    ///
    /// A broker counts a refused batch in `InvalidMessageCrcRecordsPerSec` and `FailedProduceRequestsPerSec`.
    ///
    /// # Errors
    /// What leaders say that tells neither. Of the kind [`Unsafe`](migration::ErrorKind::Unsafe) if one claims to have appended
    /// the batch.
    pub async fn probe_write(&self, partitions: &[TopicPartition]) -> Each<TopicPartition, WriteProbe> {
        let batch = unappendable();
        let attempt = |open: Vec<TopicPartition>| {
            let batch = batch.clone();
            async move { self.probe_once(open, batch).await }
        };
        self.settle(partitions.to_vec(), TopicPartition::clone, attempt).await
    }

    async fn probe_once(&self, partitions: Vec<TopicPartition>, batch: Bytes) -> Each<TopicPartition, WriteProbe> {
        let batches: Vec<_> = partitions.into_iter().map(|partition| (partition, batch.clone().into())).collect();
        let answers = self.produce(&batches, TIMEOUT).await;
        answers
            .into_iter()
            .map(|(partition, answer)| (partition.clone(), verdict(partition, answer.map(drop))))
            .collect()
    }
}

fn verdict(partition: TopicPartition, answer: Result<()>) -> Result<WriteProbe> {
    let error = match answer {
        Err(error) => error,
        Ok(()) => {
            let message = Some("it was accepted although its checksum is wrong".to_owned());
            let place = Place::Partition(partition);
            return Err(Error::Broker { api: Api::Produce, code: Code::CorruptMessage, place, message });
        }
    };
    match error.code() {
        Some(Code::TopicAuthorizationFailed) => Ok(WriteProbe::Denied),
        // All of these come after the authorizer; too few in-sync replicas are noticed before the checksum.
        Some(Code::CorruptMessage | Code::InvalidRecord | Code::NotEnoughReplicas) => Ok(WriteProbe::Allowed),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use migration::ErrorKind;

    use super::*;

    #[test]
    fn only_an_answer_of_the_authorizer_is_a_denial() {
        let verdict = |code: Option<Code>| {
            let place = Place::Partition(TopicPartition::new("t", 0));
            let answer =
                code.map_or(Ok(()), |code| Err(Error::Broker { api: Api::Produce, code, place, message: None }));
            verdict(TopicPartition::new("t", 0), answer)
        };
        assert_eq!(verdict(Some(Code::TopicAuthorizationFailed)), Ok(WriteProbe::Denied));
        assert_eq!(verdict(Some(Code::CorruptMessage)), Ok(WriteProbe::Allowed));
        assert_eq!(verdict(Some(Code::NotEnoughReplicas)), Ok(WriteProbe::Allowed));
        assert_eq!(verdict(Some(Code::NotLeaderOrFollower)).unwrap_err().kind(), ErrorKind::Transient);
        assert_eq!(verdict(Some(Code::ClusterAuthorizationFailed)).unwrap_err().kind(), ErrorKind::Blocked);
        assert_eq!(verdict(None).unwrap_err().kind(), ErrorKind::Unsafe);
    }
}
