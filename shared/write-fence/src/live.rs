//! The source cluster and the journal of a migration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use journal::{Journal, StoredFence, WriteFence};
use kafka::{AclBinding, AclOperation, Cluster, Code, Each, WriteProbe};
use migration::{Error, Result, TopicPartition};
use runtime::Run;

use crate::ports::{Acls, Record};

/// ACLs of a cluster, through its own API. A source that is signed in to with IAM has no fence (`Config::problems`), since no ACL
/// counts for whoever does so.
#[derive(Debug)]
pub struct LiveAcls(Cluster);

impl LiveAcls {
    /// Those of `cluster`.
    pub const fn new(cluster: Cluster) -> Self {
        Self(cluster)
    }

    /// Those of the source of `run`, connected.
    ///
    /// # Errors
    /// Those of connecting.
    pub async fn of_source(run: &Run<'_>) -> Result<Self> {
        run.source().await.map(Self)
    }
}

impl Acls for LiveAcls {
    async fn rules(&self) -> Result<Option<Vec<AclBinding>>> {
        self.0.describe_acls().await.map_err(|error| explained("describe", error))
    }

    async fn add(&self, rules: &[AclBinding]) -> Result<()> {
        all(self.0.create_acls(rules).await)
    }

    async fn remove(&self, rules: &[AclBinding]) -> Result<()> {
        all(self.0.delete_acls(rules).await)
    }

    async fn permitted(&self, topics: &[Arc<str>], operation: AclOperation) -> Result<BTreeSet<Arc<str>>> {
        let operations = self.0.topic_operations(topics).await?;
        Ok(operations.into_iter().filter(|(_, may)| may.contain(operation)).map(|(topic, _)| topic).collect())
    }

    async fn unrefused(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, String>> {
        let said = self.0.probe_write(partitions).await.into_iter();
        let otherwise = said.filter_map(|(partition, said)| match said {
            Ok(WriteProbe::Denied) => None,
            Ok(WriteProbe::Allowed) => Some((partition, "it takes writes".to_owned())),
            Err(error) => Some((partition, error.to_string())),
        });
        Ok(otherwise.collect())
    }

    async fn refusing(&self, topics: &BTreeSet<Arc<str>>) -> Result<BTreeSet<Arc<str>>> {
        let there = self.0.topics().await?.into_iter().filter(|topic| topics.contains(&topic.name));
        let partitions: Vec<_> = there.flat_map(|topic| topic.topic_partitions().collect::<Vec<_>>()).collect();
        let said = self.0.probe_write(&partitions).await.into_iter();
        let refused = said.filter(|(_, said)| matches!(said, Ok(WriteProbe::Denied)));
        Ok(refused.map(|(partition, _)| partition.topic).collect())
    }
}

/// All of it, or what became of the first rule that was refused.
fn all(outcomes: Each<AclBinding, ()>) -> Result<()> {
    match outcomes.into_iter().find_map(|(rule, outcome)| Some((rule, outcome.err()?))) {
        None => Ok(()),
        Some((rule, error)) => {
            let error = explained("alter", error);
            Err(Error { message: format!("ACL {rule}: {}", error.message), ..error })
        }
    }
}

/// `error`, with the permission that is missing when one is.
fn explained(what: &str, error: kafka::Error) -> Error {
    let refused = error.code() == Some(Code::ClusterAuthorizationFailed);
    let error = Error::from(error);
    let message = match refused {
        true => format!(
            "the source does not let the principal of source.auth {what} its ACLs: {}. Allow it Alter and Describe on the \
             cluster, or use cutover.write_fence none",
            error.message
        ),
        false => error.message,
    };
    Error { message, ..error }
}

impl Record for Journal {
    async fn load(&self) -> Result<Option<StoredFence>> {
        self.write_fence().await
    }

    async fn store(&self, edition: Option<u64>, fence: &WriteFence) -> Result<bool> {
        self.put_write_fence(edition, fence).await
    }

    fn now(&self) -> DateTime<Utc> {
        Self::now(self)
    }
}
