//! Topics: list, create, delete.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::{CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest};
use serde::{Deserialize, Serialize};

use crate::Api;
use crate::cluster::Cluster;
use crate::error::{Each, Place, Result, check};
use crate::metadata::{Metadata, TopicInfo};
use crate::pool::Purpose;
use crate::spread::{Outcomes, complete, text, topic_name};

/// How long the controller may take to have a change of topics in place everywhere.
const APPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTopic {
    /// Name.
    pub name: Arc<str>,
    /// Number of partitions.
    pub partitions: i32,
    /// Replicas of each partition.
    pub replication_factor: i16,
    /// Configs that differ from the cluster's defaults.
    pub configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// Records of the metadata log that it takes: itself, its configs, its partitions.
    fn records(&self) -> usize {
        1 + self.configs.len() + usize::try_from(self.partitions).unwrap_or(0)
    }
}

impl Cluster {
    /// All topics by name as the cluster knows them now, internal ones included.
    pub async fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.with_retries(|| self.refresh()).await?;
        Ok(self.metadata().await?.topics.values().cloned().collect())
    }

    /// All topics as each live broker knows them now: a broker hears of a change later than the controller made it.
    pub async fn topics_of_brokers(&self) -> Result<BTreeMap<i32, Vec<TopicInfo>>> {
        self.with_retries(|| async {
            self.refresh().await?;
            let metadata = self.metadata().await?;
            let asked = metadata.brokers.keys().map(|broker| async {
                let answer = self.call(*broker, Purpose::Admin, &Metadata::request(), Duration::ZERO).await?;
                Ok((*broker, Metadata::from_response(answer)?.topics.into_values().collect()))
            });
            Ok(try_join_all(asked).await?.into_iter().collect())
        })
        .await
    }

    /// Creates topics. The leaders of a new topic may take a moment to appear.
    ///
    /// # Errors
    /// A topic that exists has the code [`TopicAlreadyExists`](crate::Code::TopicAlreadyExists). It may be one that this
    /// very call created, when the answer to its first attempt was lost.
    pub async fn create_topics(&self, topics: &[NewTopic]) -> Each<Arc<str>, ()> {
        let name = |topic: &NewTopic| topic.name.clone();
        self.settle_in_parts(topics, NewTopic::records, name, |topics| self.create_once(topics, false)).await
    }

    /// Whether the cluster would create topics: its authorizer, its policies and its checks of names, replicas and configs
    /// decide as in [`Cluster::create_topics`], and nothing is created (KIP-4, `validateOnly`).
    ///
    /// # Errors
    /// Those that creating the topic would give.
    pub async fn would_create_topics(&self, topics: &[NewTopic]) -> Each<Arc<str>, ()> {
        let name = |topic: &NewTopic| topic.name.clone();
        self.settle_in_parts(topics, NewTopic::records, name, |topics| self.create_once(topics, true)).await
    }

    async fn create_once(&self, topics: Vec<NewTopic>, validate_only: bool) -> Each<Arc<str>, ()> {
        let names = topics.iter().map(|topic| topic.name.clone()).collect();
        let request = CreateTopicsRequest::default()
            .with_topics(topics.iter().map(creatable).collect())
            .with_validate_only(validate_only)
            .with_timeout_ms(APPLY_TIMEOUT.as_millis() as i32);
        let answer = async {
            let controller = self.controller().await?;
            let answer = self.call(controller, Purpose::Admin, &request, APPLY_TIMEOUT).await?;
            let outcomes = answer.topics.iter().map(|topic| {
                let name: Arc<str> = topic.name.as_str().into();
                let message = topic.error_message.as_deref();
                let outcome = check(Api::CreateTopics, topic.error_code, || Place::Topic(name.clone()), message);
                (name, outcome)
            });
            Ok(outcomes.collect::<Outcomes<_, _>>())
        };
        let answer = answer.await;
        if !validate_only {
            // The topics are in no snapshot yet.
            self.invalidate();
        }
        complete(names, answer)
    }

    /// Adds partitions to topics, up to the given number of each.
    ///
    /// # Errors
    /// A topic that has as many already has the code [`InvalidPartitions`](crate::Code::InvalidPartitions). It may have
    /// them from this very call, when the answer to its first attempt was lost.
    pub async fn create_partitions(&self, topics: &[(Arc<str>, i32)]) -> Each<Arc<str>, ()> {
        // How many of them are new only the cluster knows.
        let records = |(_, partitions): &(Arc<str>, i32)| usize::try_from(*partitions).unwrap_or(0);
        let name = |(name, _): &(Arc<str>, i32)| name.clone();
        self.settle_in_parts(topics, records, name, |topics| self.create_partitions_once(topics)).await
    }

    async fn create_partitions_once(&self, topics: Vec<(Arc<str>, i32)>) -> Each<Arc<str>, ()> {
        let names = topics.iter().map(|(name, _)| name.clone()).collect();
        let topic = |(name, count): &(Arc<str>, i32)| {
            CreatePartitionsTopic::default().with_name(topic_name(name)).with_count(*count).with_assignments(None)
        };
        let request = CreatePartitionsRequest::default()
            .with_topics(topics.iter().map(topic).collect())
            .with_timeout_ms(APPLY_TIMEOUT.as_millis() as i32);
        let answer = async {
            let controller = self.controller().await?;
            let answer = self.call(controller, Purpose::Admin, &request, APPLY_TIMEOUT).await?;
            let outcomes = answer.results.iter().map(|topic| {
                let name: Arc<str> = topic.name.as_str().into();
                let message = topic.error_message.as_deref();
                let outcome = check(Api::CreatePartitions, topic.error_code, || Place::Topic(name.clone()), message);
                (name, outcome)
            });
            Ok(outcomes.collect::<Outcomes<_, _>>())
        };
        // The partitions are in no snapshot yet.
        let answer = answer.await;
        self.invalidate();
        complete(names, answer)
    }

    /// Deletes topics with their records.
    pub async fn delete_topics(&self, topics: &[Arc<str>]) -> Each<Arc<str>, ()> {
        self.settle(topics.to_vec(), Arc::clone, |topics| self.delete_once(topics)).await
    }

    async fn delete_once(&self, topics: Vec<Arc<str>>) -> Each<Arc<str>, ()> {
        let request = DeleteTopicsRequest::default()
            .with_topic_names(topics.iter().map(|topic| topic_name(topic)).collect())
            .with_timeout_ms(APPLY_TIMEOUT.as_millis() as i32);
        let answer = async {
            let controller = self.controller().await?;
            let answer = self.call(controller, Purpose::Admin, &request, APPLY_TIMEOUT).await?;
            let outcomes = answer.responses.iter().filter_map(|topic| {
                let name: Arc<str> = topic.name.as_ref()?.as_str().into();
                let message = topic.error_message.as_deref();
                let outcome = check(Api::DeleteTopics, topic.error_code, || Place::Topic(name.clone()), message);
                Some((name, outcome))
            });
            Ok(outcomes.collect::<Outcomes<_, _>>())
        };
        let answer = answer.await;
        self.invalidate();
        complete(topics, answer)
    }
}

fn creatable(topic: &NewTopic) -> CreatableTopic {
    let config = |(name, value): (&String, &String)| {
        CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
    };
    CreatableTopic::default()
        .with_name(topic_name(&topic.name))
        .with_num_partitions(topic.partitions)
        .with_replication_factor(topic.replication_factor)
        .with_configs(topic.configs.iter().map(config).collect())
}
