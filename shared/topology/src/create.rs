//! Topics on the target, under their copy-time configs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka::{Cluster, Code, ConfigChange, NewTopic, OffsetSpec, TopicPartition};
use migration::{Error, Result};
use runtime::Run;

use crate::configs::{copying, restore};
use crate::inventory::{Topic, Topics, listed};
use crate::made;

/// Checks that those of `wanted` that are `there` on the target can be copied into: they have the same partitions and,
/// unless this run copied into them, no records.
///
/// # Errors
/// Blocked, naming the topic, when one cannot be used.
pub async fn check_existing(run: &Run<'_>, target: &Cluster, wanted: &Topics, there: &Topics) -> Result<()> {
    check_partitions(wanted, there)?;
    // Once this run has positions, what it finds on the target is its own, and the copy checks that.
    if run.meta.facts.contains_key("batches") {
        return Ok(());
    }
    let partitions: Vec<TopicPartition> = there.values().flat_map(Topic::partitions).collect();
    let ends = kafka::all_ok(target.list_offsets(&partitions, OffsetSpec::Latest).await)?;
    let filled: BTreeSet<_> = ends.into_iter().filter(|(_, end)| *end > 0).map(|(p, _)| p.topic).collect();
    let Some(first) = filled.first() else { return Ok(()) };
    let message = format!(
        "{} topics on the target already hold records; delete them there or leave them out (topology.exclude)",
        filled.len()
    );
    Err(Error::blocked(message).at_topic(first))
}

fn check_partitions(wanted: &Topics, there: &Topics) -> Result<()> {
    for (name, found) in there {
        let found = found.info.partitions.len();
        match wanted.get(name).map(|topic| topic.info.partitions.len()) {
            Some(wanted) if wanted != found => {
                let message = format!(
                    "the target has this topic with {found} partitions, the source with {wanted}; delete it there"
                );
                return Err(Error::blocked(message).at_topic(name));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Brings `wanted` to the target under their copy-time configs: creates what is not `there`, and reconfigures what is.
///
/// # Errors
/// Blocked, naming the topic, when it is another migration's, or somebody else created one meanwhile that cannot be used;
/// otherwise what the target says.
pub async fn create(run: &Run<'_>, target: &Cluster, wanted: &Topics, there: &Topics) -> Result<()> {
    claim(run, target, wanted).await?;
    let missing: Vec<_> = wanted.values().filter(|topic| !there.contains_key(&topic.info.name)).collect();
    made::announce(&run.store, missing.iter().map(|topic| topic.info.name.clone())).await?;
    create_missing(target, &missing).await?;
    // What exists already when it is created is ours, the answer to the first request being lost, or somebody else's.
    let there = created(target, wanted).await?;
    check_existing(run, target, wanted, &there).await?;
    take_every_batch(target, wanted, &there).await
}

/// Makes the topics of the target this migration's, so that no other one writes to them as well.
async fn claim(run: &Run<'_>, target: &Cluster, topics: &Topics) -> Result<()> {
    let names: Vec<_> = topics.keys().map(|topic| &**topic).collect();
    let cluster = target.id().unwrap_or_else(|| run.config.target.cluster_arn.clone());
    run.journal.claim_topics(&cluster, &names).await
}

/// The counterparts of `wanted`, all of which were created, once `target` lists them.
///
/// # Errors
/// Transient, naming a topic, when it does not.
pub async fn created<T>(target: &Cluster, wanted: &BTreeMap<Arc<str>, T>) -> Result<Topics> {
    listed(target, wanted, Error::transient("the target does not list the topic that it created")).await
}

/// Creates `missing` under their copy-time configs.
pub(crate) async fn create_missing(target: &Cluster, missing: &[&Topic]) -> Result<()> {
    let mut open: Vec<_> = missing.iter().map(|topic| new_topic(topic)).collect();
    while !open.is_empty() {
        open = create_once(target, open).await?;
    }
    // The answer to a creation comes before the brokers have the logs.
    let partitions: Vec<_> = missing.iter().flat_map(|topic| topic.partitions()).collect();
    kafka::all_ok(target.list_offsets(&partitions, OffsetSpec::Latest).await)?;
    Ok(())
}

/// Creates `topics`, and returns those for which the target has too few brokers, to be tried with a replica less.
///
/// How many brokers a target has is not known: its metadata names only those that are up. It counts itself those that are
/// down, and places replicas on them too (`org.apache.kafka.metadata.placement.StripedReplicaPlacer`), so that a broker
/// which restarts at that moment costs no replica.
async fn create_once(target: &Cluster, topics: Vec<NewTopic>) -> Result<Vec<NewTopic>> {
    let mut again = Vec::new();
    let outcomes = target.create_topics(&topics).await;
    for (topic, (name, outcome)) in topics.into_iter().zip(outcomes) {
        match outcome {
            // A request whose answer was lost is repeated and finds the topic; whose it is, callers look at.
            Err(error) if error.code() == Some(Code::TopicAlreadyExists) => {}
            Err(error) if error.code() == Some(Code::InvalidReplicationFactor) && topic.replication_factor > 1 => {
                again.push(NewTopic { replication_factor: topic.replication_factor - 1, ..topic });
            }
            outcome => outcome.map_err(|error| Error::from(error).at_topic(&name))?,
        }
    }
    Ok(again)
}

fn new_topic(topic: &Topic) -> NewTopic {
    NewTopic {
        name: topic.info.name.clone(),
        partitions: topic.info.partitions.len() as i32,
        replication_factor: topic.replication_factor() as i16,
        configs: copying(topic.max_message_bytes),
    }
}

/// Gives topics that are `there` the copy-time configs.
async fn take_every_batch(target: &Cluster, wanted: &Topics, there: &Topics) -> Result<()> {
    let change = |(name, topic): (&Arc<str>, &Topic)| {
        let ops = restore(&copying(topic.max_message_bytes), &there[name].configs);
        (!ops.is_empty()).then(|| ConfigChange { topic: name.clone(), ops })
    };
    let changes: Vec<_> = wanted.iter().filter_map(change).collect();
    kafka::all_ok(target.alter_topic_configs(&changes).await)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::{PartitionInfo, TopicInfo};

    fn topics(topics: &[(&str, i32)]) -> Topics {
        let info = |partition| PartitionInfo { partition, leader: Some(1), replicas: vec![1, 2], isr: vec![1] };
        let topic = |(name, partitions): &(&str, i32)| {
            let partitions = (0..*partitions).map(info).collect();
            let info = TopicInfo { name: (*name).into(), id: None, internal: false, partitions };
            (
                info.name.clone(),
                Topic { info, configs: Default::default(), inherited: Default::default(), max_message_bytes: 1 },
            )
        };
        topics.iter().map(topic).collect()
    }

    #[test]
    fn another_number_of_partitions_is_refused_with_the_topic_named() {
        let wanted = topics(&[("equal", 3), ("orders", 4), ("new", 1)]);
        check_partitions(&wanted, &topics(&[("equal", 3)])).unwrap();
        let error = check_partitions(&wanted, &topics(&[("equal", 3), ("orders", 3)])).unwrap_err();
        assert_eq!(error.context.topic.as_deref(), Some("orders"));
        assert!(error.message.contains("with 3 partitions, the source with 4"), "{error}");
    }

    #[test]
    fn a_topic_is_wanted_with_all_its_replicas() {
        assert_eq!(new_topic(&topics(&[("orders", 4)])[&std::sync::Arc::from("orders")]).replication_factor, 2);
    }
}
