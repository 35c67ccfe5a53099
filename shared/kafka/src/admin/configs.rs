//! Configs of topics and brokers: read them, change those of topics one by one (KIP-339).

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use serde::{Deserialize, Serialize};

use crate::Api;
use crate::cluster::Cluster;
use crate::error::{Each, Error, Place, Result, check};
use crate::pool::Purpose;
use crate::spread::{Outcomes, complete, text};

/// `ConfigResource.Type` of a topic.
pub(super) const TOPIC: i8 = 2;
/// `ConfigResource.Type` of a broker.
const BROKER: i8 = 4;
/// Topics described in one request: each has some 30 entries.
const TOPICS_PER_REQUEST: usize = 200;

/// Where the value of a config comes from, the first that is set in this order (KIP-226).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigSource {
    /// Set on the topic.
    DynamicTopic,
    /// Set on the broker while it runs.
    DynamicBroker,
    /// Set on all brokers while they run.
    DynamicDefaultBroker,
    /// In the broker's properties file.
    StaticBroker,
    /// Kafka's own default.
    Default,
    /// Something newer than this list.
    Other(i8),
}

impl From<i8> for ConfigSource {
    fn from(code: i8) -> Self {
        match code {
            1 => Self::DynamicTopic,
            2 => Self::DynamicBroker,
            3 => Self::DynamicDefaultBroker,
            4 => Self::StaticBroker,
            5 => Self::Default,
            other => Self::Other(other),
        }
    }
}

/// One config of a topic or broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigEntry {
    /// Name.
    pub name: String,
    /// Value; none when it is sensitive, or null.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it can be changed at all.
    pub read_only: bool,
    /// Whether its value is secret.
    pub sensitive: bool,
}

impl ConfigEntry {
    /// Whether nobody has set it anywhere.
    pub fn is_default(&self) -> bool {
        self.source == ConfigSource::Default
    }
}

/// A change of one config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigOp {
    /// Give it this value.
    Set {
        /// Name of the config.
        name: String,
        /// Its new value.
        value: String,
    },
    /// Go back to what the cluster has by default.
    Delete {
        /// Name of the config.
        name: String,
    },
}

impl ConfigOp {
    /// Name of the config that it changes.
    pub fn name(&self) -> &str {
        match self {
            Self::Set { name, .. } | Self::Delete { name } => name,
        }
    }
}

/// Changes of the configs of one topic, made all or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// The topic.
    pub topic: Arc<str>,
    /// The changes, at most one for a config.
    pub ops: Vec<ConfigOp>,
}

impl Cluster {
    /// All configs of each topic, sorted by name.
    pub async fn topic_configs(&self, topics: &[Arc<str>]) -> Each<Arc<str>, Vec<ConfigEntry>> {
        self.settle(topics.to_vec(), Arc::clone, |topics| self.describe_topics_once(topics)).await
    }

    async fn describe_topics_once(&self, topics: Vec<Arc<str>>) -> Each<Arc<str>, Vec<ConfigEntry>> {
        let mut each = Each::with_capacity(topics.len());
        for topics in topics.chunks(TOPICS_PER_REQUEST) {
            let answer = async {
                let results = self.describe_configs(self.any_broker().await?, TOPIC, topics, false).await?;
                let outcomes = results.into_iter().map(|result| {
                    let name: Arc<str> = result.resource_name.as_str().into();
                    (name.clone(), entries(result, || Place::Topic(name)))
                });
                Ok(outcomes.collect::<Outcomes<_, _>>())
            };
            each.extend(complete(topics.to_vec(), answer.await));
        }
        each
    }

    /// All configs of one broker, sorted by name.
    pub async fn broker_configs(&self, broker: i32) -> Result<Vec<ConfigEntry>> {
        self.with_retries(|| async {
            let name: Arc<str> = broker.to_string().into();
            let results = self.describe_configs(broker, BROKER, &[name], false).await?;
            entries(only(broker, results)?, || Place::Broker(broker))
        })
        .await
    }

    pub(super) async fn describe_configs(
        &self,
        broker: i32,
        kind: i8,
        names: &[Arc<str>],
        synonyms: bool,
    ) -> Result<Vec<DescribeConfigsResult>> {
        let resource = |name: &Arc<str>| {
            DescribeConfigsResource::default()
                .with_resource_type(kind)
                .with_resource_name(text(name))
                .with_configuration_keys(None)
        };
        let request = DescribeConfigsRequest::default()
            .with_resources(names.iter().map(resource).collect())
            .with_include_synonyms(synonyms);
        Ok(self.call(broker, Purpose::Admin, &request, Duration::ZERO).await?.results)
    }

    /// Changes single configs of topics and leaves all others as they are.
    pub async fn alter_topic_configs(&self, changes: &[ConfigChange]) -> Each<Arc<str>, ()> {
        let (ops, topic) = (|change: &ConfigChange| change.ops.len(), |change: &ConfigChange| change.topic.clone());
        self.settle_in_parts(changes, ops, topic, |changes| self.alter_once(changes, false)).await
    }

    /// Asks whether [`Self::alter_topic_configs`] would be accepted, and changes nothing.
    pub async fn check_topic_configs(&self, changes: &[ConfigChange]) -> Each<Arc<str>, ()> {
        let (ops, topic) = (|change: &ConfigChange| change.ops.len(), |change: &ConfigChange| change.topic.clone());
        self.settle_in_parts(changes, ops, topic, |changes| self.alter_once(changes, true)).await
    }

    async fn alter_once(&self, changes: Vec<ConfigChange>, validate_only: bool) -> Each<Arc<str>, ()> {
        let topics = changes.iter().map(|change| change.topic.clone()).collect();
        let resource = |change: &ConfigChange| {
            AlterConfigsResource::default()
                .with_resource_type(TOPIC)
                .with_resource_name(text(&change.topic))
                .with_configs(change.ops.iter().map(alterable).collect())
        };
        let request = IncrementalAlterConfigsRequest::default()
            .with_resources(changes.iter().map(resource).collect())
            .with_validate_only(validate_only);
        let answer = async {
            let answer = self.call(self.controller().await?, Purpose::Admin, &request, Duration::ZERO).await?;
            let outcomes = answer.responses.iter().map(|response| {
                let topic: Arc<str> = response.resource_name.as_str().into();
                let message = response.error_message.as_deref();
                let place = || Place::Topic(topic.clone());
                let outcome = check(Api::IncrementalAlterConfigs, response.error_code, place, message);
                (topic, outcome)
            });
            Ok(outcomes.collect::<Outcomes<_, _>>())
        };
        complete(topics, answer.await)
    }
}

/// The one resource that was asked for.
pub(super) fn only(broker: i32, results: Vec<DescribeConfigsResult>) -> Result<DescribeConfigsResult> {
    results.into_iter().next().ok_or_else(|| Error::Protocol {
        broker: format!("broker {broker}").into(),
        message: "answered without the configs".to_owned(),
    })
}

fn alterable(op: &ConfigOp) -> AlterableConfig {
    // `AlterConfigOp.OpType`: 0 sets, 1 deletes.
    match op {
        ConfigOp::Set { name, value } => {
            AlterableConfig::default().with_name(text(name)).with_config_operation(0).with_value(Some(text(value)))
        }
        ConfigOp::Delete { name } => {
            AlterableConfig::default().with_name(text(name)).with_config_operation(1).with_value(None)
        }
    }
}

fn entries(result: DescribeConfigsResult, place: impl FnOnce() -> Place) -> Result<Vec<ConfigEntry>> {
    check(Api::DescribeConfigs, result.error_code, place, result.error_message.as_deref())?;
    let mut entries: Vec<ConfigEntry> = result.configs.into_iter().map(entry).collect();
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn entry(config: DescribeConfigsResourceResult) -> ConfigEntry {
    ConfigEntry {
        name: config.name.to_string(),
        value: config.value.map(|value| value.to_string()),
        source: config.config_source.into(),
        read_only: config.read_only,
        sensitive: config.is_sensitive,
    }
}
