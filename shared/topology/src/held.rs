//! Whether the target's topics still hold the copy-time configs that they were given. Whoever alters one while its topic is copied
//! may have records compacted, expired or dated otherwise that are copied already, and nothing at the ends of a log shows it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kafka::{Cluster, ConfigEntry, Error as KafkaError};
use migration::progress::PartitionProgress;
use migration::{Error, Result};

use crate::configs::{COPYING, same_value};

/// How often what is altered is looked at, and the pause in between.
const LOOKS: u32 = 4;
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A copy-time config that has another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Altered {
    /// The topic.
    pub topic: Arc<str>,
    /// The config.
    pub config: &'static str,
    /// Its value in force.
    pub found: String,
    /// What it was given.
    pub expected: &'static str,
}

impl Altered {
    /// What is wrong, for people.
    pub fn problem(&self) -> String {
        let Self { config, found, expected, .. } = self;
        format!(
            "config {config} is {found} on the target while the topic is copied, expected is {expected}: somebody altered it there, \
             and the target may have removed or changed records that were copied"
        )
    }
}

/// What to do about it.
pub const WAY_OUT: &str = "find out who configures the target's topics and stop them. What the target did meanwhile does not show: roll \
                           back, delete the topic on the target and start a new migration";

/// The topics of `partitions`.
pub fn topics_of(partitions: &[PartitionProgress]) -> Vec<Arc<str>> {
    let topics: BTreeSet<_> = partitions.iter().map(|progress| &progress.partition.topic).collect();
    topics.into_iter().cloned().collect()
}

/// Refuses to go on while one of `topics` of `target` has another copy-time config than it was given. One request for each 200
/// topics (DescribeConfigs).
///
/// # Errors
/// Unsafe, naming the first such topic; otherwise what the target answers.
pub async fn refuse_altered(target: &Cluster, topics: &[Arc<str>]) -> Result<()> {
    match altered(target, topics).await?.first() {
        None => Ok(()),
        Some(altered) => {
            let message = format!("{}; {WAY_OUT}", altered.problem());
            Err(Error::data_unsafe(message).at_topic(&altered.topic))
        }
    }
}

/// Copy-time configs of `topics` that have another value on `target`, the first of each topic. A broker shows a change behind the
/// controller's answer, so that what is altered is looked at again.
///
/// # Errors
/// What the target answers about a topic.
pub async fn altered(target: &Cluster, topics: &[Arc<str>]) -> Result<Vec<Altered>> {
    let mut altered = look(target, topics).await?;
    for _ in 1..LOOKS {
        if altered.is_empty() {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        altered = look(target, topics).await?;
    }
    Ok(altered)
}

/// What is wrong with `topic`, whose configs on the target are `entries`, while it is copied: Unsafe, naming config and values.
pub fn fault(topic: &Arc<str>, entries: &[ConfigEntry]) -> Option<Error> {
    let altered = first(topic, entries)?;
    Some(Error::data_unsafe(format_args!("{}; {WAY_OUT}", altered.problem())).at_topic(topic))
}

async fn look(target: &Cluster, topics: &[Arc<str>]) -> Result<Vec<Altered>> {
    let mut altered = Vec::new();
    for (topic, described) in target.topic_configs(topics).await {
        let entries = described.map_err(|error: KafkaError| Error::from(error).at_topic(&topic))?;
        altered.extend(first(&topic, &entries));
    }
    Ok(altered)
}

/// By the values in force: a value that is deleted from the topic is its brokers'. The limit of a batch's size is not looked at:
/// it changes nothing that is there.
fn first(topic: &Arc<str>, entries: &[ConfigEntry]) -> Option<Altered> {
    COPYING.into_iter().find_map(|(config, expected)| {
        let found = entries.iter().find(|entry| entry.name == config)?.value.as_deref()?;
        let is_altered = !same_value(config, expected, found);
        is_altered.then(|| Altered { topic: topic.clone(), config, found: found.to_owned(), expected })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configs::copying;
    use kafka::ConfigSource;

    fn found(change: Option<(&str, &str)>) -> Option<Altered> {
        let mut configs = copying(1);
        configs.insert("segment.ms".to_owned(), "1000".to_owned());
        configs.extend(change.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let entry = |(name, value): (String, String)| ConfigEntry {
            name,
            value: Some(value),
            source: ConfigSource::DynamicTopic,
            read_only: false,
            sensitive: false,
        };
        first(&"orders".into(), &configs.into_iter().map(entry).collect::<Vec<_>>())
    }

    #[test]
    fn what_may_remove_or_change_copied_records_is_named_with_both_values() {
        // Report 16a.
        let altered = found(Some(("cleanup.policy", "compact"))).unwrap();
        assert_eq!((altered.config, altered.expected), ("cleanup.policy", "delete"));
        assert!(altered.problem().starts_with("config cleanup.policy is compact on the target while"), "{altered:?}");
        for (config, value) in [
            ("cleanup.policy", "delete,compact"),
            ("retention.ms", "604800000"),
            ("retention.bytes", "1"),
            ("message.timestamp.type", "LogAppendTime"),
            ("compression.type", "gzip"),
        ] {
            assert_eq!(found(Some((config, value))).unwrap().config, config);
        }
    }

    #[test]
    fn what_means_the_same_or_touches_no_record_is_nothing() {
        assert_eq!(found(None), None);
        assert_eq!(found(Some(("cleanup.policy", "delete,delete"))), None);
        assert_eq!(found(Some(("leader.replication.throttled.replicas", "0:1"))), None);
        assert_eq!(found(Some(("max.message.bytes", "5"))), None);
    }
}
