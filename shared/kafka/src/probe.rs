//! Whether this client may write to partitions, asked of their leaders without writing anything.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use migration::TopicPartition;
use serde::{Deserialize, Serialize};

use crate::admin::AclOperation;
use crate::batch::unappendable;
use crate::cluster::Cluster;
use crate::error::{Each, Error, Place, Result};
use crate::produce::Produced;
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
    /// [`TopicAuthorizationFailed`](Code::TopicAuthorizationFailed) of [`Api::Metadata`] for a topic that this client may not
    /// describe: nobody tells it who the leaders are. Mind that the first rule on a topic takes every operation from everybody
    /// who has none that allows it, where `allow.everyone.if.no.acl.found` is on. What leaders say that tells neither. Of the kind [`Unsafe`](migration::ErrorKind::Unsafe) if one claims to have appended
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
        let mut answers = self.produce(&batches, TIMEOUT).await;
        self.name_hidden(&mut answers).await;
        answers
            .into_iter()
            .map(|(partition, answer)| (partition.clone(), verdict(partition, answer.map(drop))))
            .collect()
    }
}

impl Cluster {
    /// Tells partitions whose leader is hidden from those that have none.
    async fn name_hidden(&self, answers: &mut Each<TopicPartition, Produced>) {
        let leaderless = answers.iter().filter(|(_, answer)| matches!(answer, Err(Error::NoLeader { .. })));
        let topics: BTreeSet<_> = leaderless.map(|(partition, _)| partition.topic.clone()).collect();
        if topics.is_empty() {
            return;
        }
        // Without an answer they stay as they are.
        let operations = self.topic_operations(&Vec::from_iter(topics)).await.unwrap_or_default();
        for (partition, answer) in answers {
            let hidden = operations.get(&partition.topic).is_some_and(|may| !may.contain(AclOperation::Describe));
            if hidden && matches!(answer, Err(Error::NoLeader { .. })) {
                let (code, place) = (Code::TopicAuthorizationFailed, Place::Topic(partition.topic.clone()));
                *answer = Err(Error::Broker { api: Api::Metadata, code, place, message: None });
            }
        }
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
        _ if matches!(error, Error::Broker { api: Api::Metadata, .. }) => Err(error),
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
