//! Topics on the target, under their copy-time configs.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use kafka::{Cluster, Code, ConfigChange, NewTopic, OffsetSpec, TopicPartition};
use migration::config::ConfigDrift;
use migration::{Error, Result};
use runtime::Run;

use crate::configs::{KEPT_CONFIGS, KeptConfigs, copying, restore};
use crate::inventory::{Topic, Topics, topics};

/// What happened to the topics.
#[derive(Debug, Default)]
pub struct Created {
    /// Names of topics that were created.
    pub created: Vec<String>,
    /// Names of topics that were there.
    pub existing: Vec<String>,
}

/// Topics to create in one request.
const AT_ONCE: usize = 100;

/// Creates `wanted` on `target` under their copy-time configs. A topic that is there has to have the same partitions and,
/// unless this run copied into it, no records; it gets the copy-time configs as well.
///
/// # Errors
/// Blocked, naming the topic, when one that is there cannot be used.
pub async fn create(run: &Run<'_>, target: &Cluster, wanted: &Topics) -> Result<Created> {
    let (there, _) = topics(target).await?;
    let (existing, missing): (Vec<_>, Vec<_>) = wanted.values().partition(|topic| there.contains_key(&topic.info.name));
    check_existing(run, target, &existing, &there).await?;
    settle_drift(run, wanted, &existing, &there).await?;
    create_missing(target, &missing).await?;
    take_every_batch(target, &existing, &there).await?;
    let names = |topics: &[&Topic]| topics.iter().map(|topic| topic.info.name.to_string()).collect();
    Ok(Created { created: names(&missing), existing: names(&existing) })
}

/// Creates `missing` under their copy-time configs.
pub(crate) async fn create_missing(target: &Cluster, missing: &[&Topic]) -> Result<()> {
    let brokers = target.brokers().await?.len();
    let new: Vec<_> = missing.iter().map(|topic| new_topic(topic, brokers)).collect();
    for chunk in new.chunks(AT_ONCE) {
        for (name, outcome) in target.create_topics(chunk).await {
            match outcome {
                // A request whose answer was lost is repeated and finds the topic.
                Err(error) if error.code() == Some(Code::TopicAlreadyExists) => {}
                outcome => outcome.map_err(|error| Error::from(error).at_topic(&name))?,
            }
        }
    }
    // The answer to a creation comes before the brokers have the logs.
    let partitions: Vec<_> = missing.iter().flat_map(|topic| topic.partitions()).collect();
    kafka::all_ok(target.list_offsets(&partitions, OffsetSpec::Latest).await)?;
    Ok(())
}

fn new_topic(topic: &Topic, brokers: usize) -> NewTopic {
    NewTopic {
        name: topic.info.name.clone(),
        partitions: topic.info.partitions.len() as i32,
        replication_factor: topic.replication_factor().min(brokers) as i16,
        configs: copying(topic.max_message_bytes),
    }
}

async fn check_existing(run: &Run<'_>, target: &Cluster, existing: &[&Topic], there: &Topics) -> Result<()> {
    for topic in existing {
        let (wanted, found) = (topic.info.partitions.len(), there[&topic.info.name].info.partitions.len());
        if wanted != found {
            let message =
                format!("the target has this topic with {found} partitions, the source with {wanted}; delete it there");
            return Err(Error::blocked(message).at_topic(&topic.info.name));
        }
    }
    // Once this run has positions, what it finds on the target is its own, and the copy checks that.
    if run.meta.facts.contains_key("batches") {
        return Ok(());
    }
    let partitions: Vec<TopicPartition> = existing.iter().flat_map(|topic| topic.partitions()).collect();
    let ends = kafka::all_ok(target.list_offsets(&partitions, OffsetSpec::Latest).await)?;
    let filled: BTreeSet<_> = ends.into_iter().filter(|(_, end)| *end > 0).map(|(p, _)| p.topic).collect();
    let Some(first) = filled.first() else { return Ok(()) };
    let message =
        format!("{} topics on the target already hold records; delete them there or leave them out", filled.len());
    Err(Error::blocked(message).at_topic(first))
}

/// Does what `topology.on_config_drift` says about topics that were on the target before the migration touched it, and
/// remembers their configs. Once that is done it stands: a second run finds topics that the first one created, and
/// copy-time configs on those that were there.
async fn settle_drift(run: &Run<'_>, wanted: &Topics, existing: &[&Topic], there: &Topics) -> Result<()> {
    if run.store.get(KEPT_CONFIGS).await?.is_some() {
        return Ok(());
    }
    let found: KeptConfigs =
        existing.iter().map(|topic| (topic.info.name.clone(), there[&topic.info.name].configs.clone())).collect();
    refuse_drift(run, wanted, &found)?;
    let body = serde_json::to_vec(&found).map_err(|error| Error::internal(format_args!("found configs: {error}")))?;
    run.store.put_once(KEPT_CONFIGS, body.into(), HashMap::new()).await.map(drop)
}

/// Refuses topics that were there with other configs than the source's, where `topology.on_config_drift` is `fail`. Under
/// the other policies the cutover decides which configs a topic gets in the end.
fn refuse_drift(run: &Run<'_>, wanted: &Topics, found: &KeptConfigs) -> Result<()> {
    if run.config.topology.on_config_drift != ConfigDrift::Fail {
        return Ok(());
    }
    let differing = differing(wanted, found);
    let Some(first) = differing.first() else { return Ok(()) };
    let message = format!(
        "{} topics on the target have other configs than on the source and topology.on_config_drift is fail; make them \
         equal, or set it to overwrite_with_source or keep_target",
        differing.len()
    );
    Err(Error::blocked(message).at_topic(first))
}

/// Topics of `found` that have other configs than in `wanted`.
fn differing<'a>(wanted: &Topics, found: &'a KeptConfigs) -> Vec<&'a str> {
    let differs =
        |name: &Arc<str>, configs| wanted.get(name).is_some_and(|topic| !restore(&topic.configs, configs).is_empty());
    found.iter().filter(|(name, configs)| differs(name, configs)).map(|(name, _)| &**name).collect()
}

/// Gives topics that were there the copy-time configs.
async fn take_every_batch(target: &Cluster, existing: &[&Topic], there: &Topics) -> Result<()> {
    let change = |topic: &&Topic| {
        let name = topic.info.name.clone();
        let ops = restore(&copying(topic.max_message_bytes), &there[&name].configs);
        ConfigChange { topic: name, ops }
    };
    let changes: Vec<_> = existing.iter().map(change).filter(|change| !change.ops.is_empty()).collect();
    kafka::all_ok(target.alter_topic_configs(&changes).await)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use kafka::TopicInfo;

    fn topic(name: &str, retention: &str) -> (Arc<str>, Topic) {
        let info = TopicInfo { name: name.into(), id: None, internal: false, partitions: Vec::new() };
        let configs = BTreeMap::from([("retention.ms".to_owned(), retention.to_owned())]);
        (name.into(), Topic { info, configs, max_message_bytes: 1 })
    }

    #[test]
    fn only_what_was_there_before_can_differ() {
        let wanted = BTreeMap::from([topic("equal", "5"), topic("other", "5"), topic("created", "5")]);
        let found = [topic("equal", "5"), topic("other", "6"), topic("gone-from-the-source", "7")];
        let found: KeptConfigs = found.into_iter().map(|(name, topic)| (name, topic.configs)).collect();
        assert_eq!(differing(&wanted, &found), ["other"]);
    }
}
