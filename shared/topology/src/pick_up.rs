//! Taking topics and partitions into the migration that appeared on the source after it had begun.

use std::sync::Arc;

use kafka::{Cluster, Code, OffsetSpec, TopicInfo};
use migration::progress::PartitionProgress;
use migration::{Error, Result, TopicPartition};
use runtime::Run;

use crate::configs::copying;
use crate::create::{create_missing, created};
use crate::inventory::{Topic, Topics, existing};
use crate::latecomers::uncopied;
use crate::made;
use crate::manifest::Manifest;
use crate::moving::to_be_copied;

/// Picks up what is `there` on the source and not among `dealt`: makes it on the target, deals it into batches of its own
/// and tells the tail, which copies it from its log start. Tells whether there was anything; `manifest` is then extended.
///
/// Safe to repeat after a crash at any point: what it makes on the target is recognised, what was dealt stays dealt.
///
/// # Errors
/// Blocked, naming the topic, when the target has something else under its name.
pub async fn pick_up(
    run: &Run<'_>,
    source: &Cluster,
    manifest: &mut Manifest,
    there: &[TopicInfo],
    dealt: &[PartitionProgress],
) -> Result<bool> {
    let selection = &run.config.topology;
    if uncopied(there, selection, dealt).is_empty() {
        return Ok(false);
    }
    // Beyond what the journal knows there may be a deal that an invocation stored and did not live to publish.
    *manifest = Manifest::load(run).await?;
    let mut newcomers = to_be_copied(source, selection).await?.topics;
    let known = manifest.partitions();
    newcomers.retain(|_, topic| topic.partitions().any(|partition| !known.contains(&partition)));
    let partitions: Vec<_> = newcomers.values().flat_map(Topic::partitions).filter(|p| !known.contains(p)).collect();
    if !partitions.is_empty() {
        make_room(run, &run.target().await?, manifest, &newcomers, &partitions).await?;
        manifest.extend(run, source, &newcomers, partitions).await?;
    }
    let batches = manifest.publish(run).await?;
    for picked_up in manifest.picked_up() {
        tracing::info!(topic = picked_up.topic, partitions = ?picked_up.partitions, batches, "picked up");
    }
    Ok(true)
}

/// Makes `partitions` of `newcomers` on the target, empty and under copy-time configs.
async fn make_room(
    run: &Run<'_>,
    target: &Cluster,
    manifest: &Manifest,
    newcomers: &Topics,
    partitions: &[TopicPartition],
) -> Result<()> {
    let there = existing(target, |topic| newcomers.contains_key(topic)).await?;
    let dealt = manifest.topics();
    let (grown, new): (Vec<_>, Vec<_>) = newcomers.values().partition(|topic| dealt.contains_key(&topic.info.name));
    let (found, missing): (Vec<_>, Vec<_>) = new.into_iter().partition(|t| there.contains_key(&t.info.name));
    for topic in found {
        check_own(topic, &there[&topic.info.name])?;
    }
    let mut growth = Vec::new();
    for topic in grown {
        let name = &topic.info.name;
        let copied = manifest.partitions().into_iter().filter(|partition| partition.topic == *name).count();
        let found = there.get(name).map(|topic| topic.info.partitions.len());
        growth.extend(grow(name, copied, topic.info.partitions.len(), found)?);
    }
    made::announce(&run.store, missing.iter().map(|topic| topic.info.name.clone())).await?;
    create_missing(target, &missing).await?;
    // Somebody else may have created one at the same moment.
    let created = created(target, &missing.iter().map(|topic| (topic.info.name.clone(), ())).collect()).await?;
    for topic in &missing {
        check_own(topic, &created[&topic.info.name])?;
    }
    for (topic, outcome) in target.create_partitions(&growth).await {
        match outcome {
            // A request whose answer was lost is repeated and finds the partitions.
            Err(error) if error.code() == Some(Code::InvalidPartitions) => {}
            outcome => outcome.map_err(|error| Error::from(error).at_topic(&topic))?,
        }
    }
    refuse_filled(target, partitions).await
}

/// A new topic that is on the target already has to be one that an earlier attempt created there.
fn check_own(source: &Topic, target: &Topic) -> Result<()> {
    if target.info.partitions.len() == source.info.partitions.len()
        && target.configs == copying(source.max_message_bytes)
    {
        return Ok(());
    }
    let message = "the topic appeared on the source after the migration had begun, and the target has one of that name; \
                   delete it on the target, then resume";
    Err(Error::blocked(message).at_topic(&source.info.name))
}

/// The number of partitions to bring a topic to, if it has to grow. It has `wanted` on the source and `found` on the
/// target; `copied` are copied so far.
fn grow(name: &Arc<str>, copied: usize, wanted: usize, found: Option<usize>) -> Result<Option<(Arc<str>, i32)>> {
    match found {
        Some(found) if found == copied => Ok(Some((name.clone(), wanted as i32))),
        // An earlier attempt added them.
        Some(found) if found == wanted => Ok(None),
        found => Err(Error::blocked(format_args!(
            "the source added partitions to the topic and has {wanted} now, {copied} are copied, and the target has {}: \
             somebody changed the topic there; roll back, delete it on the target and start a new migration",
            found.unwrap_or_default()
        ))
        .at_topic(name)),
    }
}

async fn refuse_filled(target: &Cluster, partitions: &[TopicPartition]) -> Result<()> {
    let ends = kafka::all_ok(target.list_offsets(partitions, OffsetSpec::Latest).await)?;
    match ends.iter().find(|(_, end)| **end > 0) {
        None => Ok(()),
        Some((partition, end)) => Err(Error::blocked(format_args!(
            "the partition appeared on the source after the migration had begun, and on the target somebody else wrote {end} \
             records to it; delete the topic on the target and start a new migration"
        ))
        .at(partition)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::PartitionInfo;

    use crate::configs::TopicConfigs;

    fn topic(partitions: i32, configs: TopicConfigs) -> Topic {
        let info = |partition| PartitionInfo { partition, leader: Some(1), replicas: vec![1], isr: vec![1] };
        let partitions = (0..partitions).map(info).collect();
        let info = TopicInfo { name: "orders".into(), id: None, internal: false, partitions };
        Topic { info, configs, inherited: Default::default(), max_message_bytes: 5_000_000 }
    }

    #[test]
    fn a_topic_grows_from_what_was_copied_to_what_the_source_has() {
        let name: Arc<str> = "orders".into();
        assert_eq!(grow(&name, 2, 5, Some(2)).unwrap(), Some((name.clone(), 5)));
        assert_eq!(grow(&name, 2, 5, Some(5)).unwrap(), None, "done before a crash");
        for found in [None, Some(1), Some(3), Some(6)] {
            let error = grow(&name, 2, 5, found).unwrap_err();
            assert_eq!(error.context.topic.as_deref(), Some("orders"), "{error}");
        }
    }

    #[test]
    fn a_topic_on_the_target_is_taken_only_when_an_earlier_attempt_created_it() {
        let source = topic(3, TopicConfigs::new());
        assert!(check_own(&source, &topic(3, copying(5_000_000))).is_ok());
        assert!(check_own(&source, &topic(2, copying(5_000_000))).is_err());
        assert!(check_own(&source, &topic(3, TopicConfigs::new())).is_err());
    }
}
