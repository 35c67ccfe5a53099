//! Requests about many partitions or topics: spread over the brokers, answered one by one, repeated where they failed.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use futures::future::join_all;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use migration::TopicPartition;

use crate::cluster::Cluster;
use crate::error::{Each, Error, Result};

/// Something that belongs to a partition.
pub(crate) trait Partitioned: Clone {
    /// The partition.
    fn partition(&self) -> &TopicPartition;
}

impl Partitioned for TopicPartition {
    fn partition(&self) -> &TopicPartition {
        self
    }
}

impl<T: Clone> Partitioned for (TopicPartition, T) {
    fn partition(&self) -> &TopicPartition {
        &self.0
    }
}

/// The outcomes a request had, by what they belong to.
pub(crate) type Outcomes<K, T> = HashMap<K, Result<T>>;

impl Cluster {
    /// Sends one request for each leader of `items`, all at once, through `ask`, which is given a broker and its items.
    /// A request that fails fails all of its items.
    pub(crate) async fn per_leader<I, T, F>(
        &self,
        items: &[I],
        ask: impl Fn(i32, Vec<I>) -> F,
    ) -> Each<TopicPartition, T>
    where
        I: Partitioned,
        F: Future<Output = Result<Outcomes<TopicPartition, T>>>,
    {
        let partitions: Vec<TopicPartition> = items.iter().map(|item| item.partition().clone()).collect();
        let leaders = match self.leaders(&partitions).await {
            Ok(leaders) => leaders,
            Err(error) => return partitions.into_iter().map(|partition| (partition, Err(error.clone()))).collect(),
        };
        let mut groups: BTreeMap<i32, Vec<I>> = BTreeMap::new();
        for item in items {
            if let Some(leader) = leaders.get(item.partition()) {
                groups.entry(*leader).or_default().push(item.clone());
            }
        }
        let asked = groups.into_iter().map(|(leader, group)| {
            let keys: Vec<TopicPartition> = group.iter().map(|item| item.partition().clone()).collect();
            let answer = ask(leader, group);
            async move { (keys, answer.await) }
        });
        let mut outcomes = Outcomes::new();
        for (keys, answer) in join_all(asked).await {
            outcomes.extend(complete(keys, answer));
        }
        let leaderless = |partition: &TopicPartition| Err(Error::NoLeader { partition: partition.clone() });
        let outcome = |partition: TopicPartition| {
            let outcome = outcomes.remove(&partition).unwrap_or_else(|| leaderless(&partition));
            (partition, outcome.inspect_err(|error| self.note(error)))
        };
        partitions.into_iter().map(outcome).collect()
    }

    /// Repeats `attempt` for the items whose outcome is a passing failure, up to the retry deadline.
    pub(crate) async fn settle<I, K, T, F>(
        &self,
        items: Vec<I>,
        key: impl Fn(&I) -> K,
        attempt: impl Fn(Vec<I>) -> F,
    ) -> Each<K, T>
    where
        I: Clone,
        K: Clone + Eq + Hash,
        F: Future<Output = Each<K, T>>,
    {
        let order: Vec<K> = items.iter().map(&key).collect();
        let mut outcomes = Outcomes::new();
        let mut open = items;
        let mut backoff = self.backoff();
        while !open.is_empty() {
            for (key, outcome) in attempt(open.clone()).await {
                if let Err(error) = &outcome {
                    self.note(error);
                }
                outcomes.insert(key, outcome);
            }
            open.retain(|item| matches!(outcomes.get(&key(item)), Some(Err(error)) if error.is_retryable()));
            if !open.is_empty() {
                tracing::debug!(items = open.len(), "asking again for what failed");
                if !backoff.pause().await {
                    break;
                }
            }
        }
        order.into_iter().map(|key| take(&mut outcomes, key)).collect()
    }
}

/// One outcome for each of `keys`: those of the answer, or its error for all.
pub(crate) fn complete<K: Clone + Eq + Hash + std::fmt::Debug, T>(
    keys: Vec<K>,
    answer: Result<Outcomes<K, T>>,
) -> Each<K, T> {
    match answer {
        Ok(mut outcomes) => keys.into_iter().map(|key| take(&mut outcomes, key)).collect(),
        Err(error) => keys.into_iter().map(|key| (key, Err(error.clone()))).collect(),
    }
}

/// The outcome of `key`. A broker that leaves one out breaks the protocol.
fn take<K: Eq + Hash, T>(outcomes: &mut Outcomes<K, T>, key: K) -> (K, Result<T>) {
    let missing =
        || Error::Protocol { broker: "a broker".into(), message: "left an item out of its answer".to_owned() };
    let outcome = outcomes.remove(&key).unwrap_or_else(|| Err(missing()));
    (key, outcome)
}

/// Items by topic, as most requests want them.
pub(crate) fn by_topic<I: Partitioned>(items: Vec<I>) -> BTreeMap<Arc<str>, Vec<I>> {
    let mut topics: BTreeMap<Arc<str>, Vec<I>> = BTreeMap::new();
    for item in items {
        topics.entry(item.partition().topic.clone()).or_default().push(item);
    }
    topics
}

/// A string of the protocol.
pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A topic's name in the protocol.
pub(crate) fn topic_name(topic: &str) -> TopicName {
    TopicName(text(topic))
}

/// Refuses items of which two are of the same partition: a broker would silently keep one of them.
pub(crate) fn distinct<I: Partitioned>(items: &[I]) -> Result<()> {
    let mut seen = std::collections::HashSet::with_capacity(items.len());
    match items.iter().find(|item| !seen.insert(item.partition())) {
        None => Ok(()),
        Some(twice) => {
            Err(Error::Usage { message: format!("partition {} is in one request twice", twice.partition()) })
        }
    }
}
