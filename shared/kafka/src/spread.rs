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

/// Records of the metadata log that one request of this client makes at most. A KRaft controller refuses a request that would
/// make more than 10,000 with `POLICY_VIOLATION`, also when it is only to be validated
/// (`org.apache.kafka.controller.QuorumController.MAX_RECORDS_PER_USER_OP`, KAFKA-14996); half of that leaves it the time to
/// carry one out.
const RECORDS_PER_REQUEST: usize = 5_000;

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

    /// As [`Cluster::settle`], in as many requests as a controller wants, one after the other; `records` is how many records
    /// of the metadata log an item takes. Each request has a retry deadline of its own.
    pub(crate) async fn settle_in_parts<I, K, T, F>(
        &self,
        items: &[I],
        records: impl Fn(&I) -> usize,
        key: impl Fn(&I) -> K,
        attempt: impl Fn(Vec<I>) -> F,
    ) -> Each<K, T>
    where
        I: Clone,
        K: Clone + Eq + Hash,
        F: Future<Output = Each<K, T>>,
    {
        let mut each = Vec::with_capacity(items.len());
        for part in parts(items, records) {
            each.extend(self.settle(part.to_vec(), &key, &attempt).await);
        }
        each
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
            self.set_trouble(open.first().and_then(|item| outcomes.get(&key(item))?.as_ref().err()));
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

/// `items` in runs of at most [`RECORDS_PER_REQUEST`] records; what takes more goes alone.
fn parts<I>(items: &[I], records: impl Fn(&I) -> usize) -> Vec<&[I]> {
    let mut parts = Vec::new();
    let (mut begin, mut taken) = (0, 0);
    for (at, item) in items.iter().enumerate() {
        let records = records(item);
        if at > begin && taken + records > RECORDS_PER_REQUEST {
            parts.push(&items[begin..at]);
            (begin, taken) = (at, 0);
        }
        taken += records;
    }
    parts.extend((begin < items.len()).then(|| &items[begin..]));
    parts
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(items: &[usize]) -> Vec<Vec<usize>> {
        parts(items, |item| *item).into_iter().map(<[usize]>::to_vec).collect()
    }

    #[test]
    fn a_request_makes_no_more_records_than_a_controller_takes() {
        // 200 topics of 42 partitions with 8 configs each.
        let topics = [51; 200];
        let lengths: Vec<_> = sizes(&topics).iter().map(Vec::len).collect();
        assert_eq!(lengths, [98, 98, 4]);
    }

    #[test]
    fn what_is_too_large_for_any_request_goes_alone() {
        assert_eq!(sizes(&[10, 9_000, 10, 10]), [vec![10], vec![9_000], vec![10, 10]]);
        assert_eq!(sizes(&[9_000]), [[9_000]]);
        assert_eq!(sizes(&[2_500, 2_500, 1]), [vec![2_500, 2_500], vec![1]]);
        assert!(sizes(&[]).is_empty());
    }
}
