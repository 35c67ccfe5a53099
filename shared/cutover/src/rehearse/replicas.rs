//! Whether leaders take what a cutover writes: markers on the source, records and commits on the target.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use documents::rehearsal::Weight;
use kafka::{AclOperation, Cluster, ConfigEntry, TopicPartition};
use migration::config::{AuthMode, Sentinels, WriteFence};
use migration::{Error, Result};
use runtime::Run;

use super::findings::{Findings, code};
use crate::live::records::is_old_format;
use crate::live::source::{in_sync, transactional_id};

/// Where coordinators keep offsets.
const OFFSETS: &str = "__consumer_offsets";

/// Topics without markers with the reason, and how many replicas have to be in sync where that is more than one.
pub(super) type Markable = (BTreeMap<Arc<str>, String>, BTreeMap<Arc<str>, usize>);

/// Looks at both clusters.
pub(super) async fn look(
    run: &Run<'_>,
    source: &Cluster,
    target: &Cluster,
    partitions: &[TopicPartition],
    findings: &mut Findings,
) -> Result<Markable> {
    let topics: BTreeSet<_> = partitions.iter().map(|partition| partition.topic.clone()).collect();
    let topics: Vec<_> = topics.into_iter().collect();
    let (min_insync, old) = source_topics(source, &topics).await?;
    let mut no_markers: BTreeMap<_, _> = old
        .into_iter()
        .map(|topic| (topic, "its records are stored in a format before Kafka 0.11".to_owned()))
        .collect();
    if run.config.cutover.sentinels == Sentinels::Markers && run.config.cutover.write_fence == WriteFence::None {
        markers(run, source, &topics, &mut no_markers, findings).await?;
        for (topic, reason) in &no_markers {
            findings.add(
                Weight::Info,
                code::NO_MARKER,
                topic.to_string(),
                format!("{reason}: the ends of its logs are the proof"),
                "",
            );
        }
        under_replicated(source, &min_insync, findings).await?;
    }
    target_replicas(target, partitions, findings).await?;
    Ok((no_markers, min_insync))
}

/// `min.insync.replicas` of topics where it is more than one, and topics in an old format.
async fn source_topics(source: &Cluster, topics: &[Arc<str>]) -> Result<(BTreeMap<Arc<str>, usize>, Vec<Arc<str>>)> {
    let configs = kafka::all_ok(source.topic_configs(topics).await)?;
    let old = configs.iter().filter(|(_, configs)| configs.iter().any(is_old_format));
    let old = old.map(|(topic, _)| topic.clone()).collect();
    let wanted = configs.iter().map(|(topic, configs)| (topic.clone(), min_insync(configs)));
    Ok((wanted.filter(|(_, wanted)| *wanted > 1).collect(), old))
}

fn min_insync(configs: &[ConfigEntry]) -> usize {
    let found = configs.iter().find(|config| config.name == "min.insync.replicas");
    found.and_then(|config| config.value.as_deref()?.parse().ok()).unwrap_or(1)
}

/// Whether this principal may write markers.
async fn markers(
    run: &Run<'_>,
    source: &Cluster,
    topics: &[Arc<str>],
    no_markers: &mut BTreeMap<Arc<str>, String>,
    findings: &mut Findings,
) -> Result<()> {
    let id = transactional_id(run);
    if let Err(error) = source.check_transactional_id(&id).await {
        if error.is_retryable() {
            return Err(error.into());
        }
        findings.block(
            code::TRANSACTIONAL_ID,
            id.as_str(),
            Error::from(error).message,
            "allow the principal of source.auth Write and Describe on this transactional id and Write on the topics, or set \
             cutover.sentinels to none",
        );
        return Ok(());
    }
    if run.config.source.auth.mode == AuthMode::Iam {
        return Ok(());
    }
    for (topic, operations) in source.topic_operations(topics).await? {
        if !operations.contain(AclOperation::Write) {
            no_markers.insert(topic, "this principal may not write to it".to_owned());
        }
    }
    Ok(())
}

/// Partitions of the source whose leaders would not take a marker now.
async fn under_replicated(
    source: &Cluster,
    min_insync: &BTreeMap<Arc<str>, usize>,
    findings: &mut Findings,
) -> Result<()> {
    if min_insync.is_empty() {
        return Ok(());
    }
    for (partition, found) in in_sync(source).await? {
        let Some(wanted) = min_insync.get(&partition.topic).filter(|wanted| found < **wanted) else { continue };
        findings.add(
            Weight::Info,
            code::NO_MARKER,
            partition.to_string(),
            format!(
                "{found} of its replicas are in sync, min.insync.replicas is {wanted}: the end of its log is the proof"
            ),
            "",
        );
    }
    Ok(())
}

/// Partitions of the target that take no records, or no commits.
async fn target_replicas(target: &Cluster, partitions: &[TopicPartition], findings: &mut Findings) -> Result<()> {
    let ours: BTreeSet<_> = partitions.iter().map(|partition| &partition.topic).collect();
    let found = in_sync(target).await?;
    let is_needed = |partition: &TopicPartition| ours.contains(&partition.topic) || &*partition.topic == OFFSETS;
    let found: BTreeMap<_, _> = found.into_iter().filter(|(partition, _)| is_needed(partition)).collect();
    let topics: BTreeSet<_> = found.keys().map(|partition| partition.topic.clone()).collect();
    let mut wanted = BTreeMap::new();
    for (topic, configs) in target.topic_configs(&topics.into_iter().collect::<Vec<_>>()).await {
        // A topic that may not be described is judged by its replicas alone.
        wanted.insert(topic, configs.map_or(1, |configs| min_insync(&configs)));
    }
    for (partition, found) in found {
        let wanted = wanted.get(&partition.topic).copied().unwrap_or(1);
        if found < wanted {
            findings.block(
                code::TARGET_REPLICAS,
                partition.to_string(),
                format!("{found} of its replicas are in sync on the target, min.insync.replicas is {wanted}"),
                "wait until the target's brokers are all up and in sync",
            );
        }
    }
    Ok(())
}
