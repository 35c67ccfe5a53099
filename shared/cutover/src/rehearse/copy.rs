//! How the copy stands: who runs, how far it is, and what happened on the source meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use documents::rehearsal::{Lag, Weight};
use journal::Heartbeat;
use kafka::{Cluster, OffsetSpec, TopicPartition};
use migration::progress::PartitionProgress;
use migration::{BatchId, Error, Result};
use runtime::Run;
use topology::{Changes, Manifest, changes, gone};

use super::findings::{Findings, code};
use super::refusal;

/// The copy as the journal and the source have it.
pub(super) struct CopyState {
    /// Progress of every partition, without topics that were left out.
    pub(super) progress: Vec<PartitionProgress>,
    /// Their names.
    pub(super) names: Vec<TopicPartition>,
    /// How far it is behind.
    pub(super) lag: Lag,
    /// What changed on the source; none when that could not be found out.
    pub(super) changes: Option<Changes>,
}

impl CopyState {
    /// The topics that are copied.
    pub(super) fn topics(&self) -> BTreeSet<Arc<str>> {
        self.names.iter().map(|partition| partition.topic.clone()).collect()
    }
}

/// Looks at tails, lag and changes.
pub(super) async fn look(run: &Run<'_>, source: &Cluster, findings: &mut Findings) -> Result<CopyState> {
    let batches = run.batches()?;
    let progress = run.progress(batches.iter().copied()).await?;
    tails(run, &progress, findings).await?;
    let progress: Vec<_> = progress.into_iter().flat_map(|(_, partitions)| partitions).collect();
    for (partition, reason) in progress.iter().filter_map(|one| Some((&one.partition, one.stopped.as_ref()?))) {
        findings.block(
            code::PARTITION_STOPPED,
            partition.to_string(),
            reason.as_str(),
            "remove the cause, then msk-kraft resume tries it again",
        );
    }
    gaps(&progress, findings);
    let names: Vec<_> = progress.iter().map(|one| one.partition.clone()).collect();
    let lag = lag(run, source, &progress, &names, findings).await?;
    let changes = what_changed(run, source, &progress, findings).await?;
    Ok(CopyState { progress, names, lag, changes })
}

/// Batches that no function copies.
async fn tails(run: &Run<'_>, progress: &[(BatchId, Vec<PartitionProgress>)], findings: &mut Findings) -> Result<()> {
    let beats = run.journal.heartbeats(progress.iter().map(|(batch, _)| *batch)).await?;
    let now = run.journal.now();
    for ((batch, partitions), (_, beat)) in progress.iter().zip(beats) {
        if partitions.is_empty() || beat.as_ref().is_some_and(|beat| beat.is_alive(now)) {
            continue;
        }
        let first = partitions.first().map_or_else(String::new, |one| format!(", that of {}", one.partition));
        findings.block(
            code::TAIL_NOT_RUNNING,
            format!("batch {batch}{first}"),
            last_seen(beat.as_ref()),
            "every batch needs a running tail-batch function: raise the concurrency of Lambda functions, or remove what makes \
             it fail; msk-kraft status shows more",
        );
    }
    Ok(())
}

/// What the source deleted before it was copied.
fn gaps(progress: &[PartitionProgress], findings: &mut Findings) {
    for (partition, gaps) in progress.iter().filter_map(|one| Some((&one.partition, one.gaps.text()?))) {
        findings.add(
            Weight::Warning,
            code::GAP,
            partition.to_string(),
            gaps,
            "nothing, if nobody needs these records; else roll back, raise the topic's retention or keep its consumer from deleting \
             records, and start a new migration",
        );
    }
}

fn last_seen(beat: Option<&Heartbeat>) -> String {
    let Some(beat) = beat else { return "no function has copied it yet".to_owned() };
    let seen = beat.at.map_or_else(
        || "no function has copied it yet".to_owned(),
        |at| format!("its function was last seen at {}", clock::timestamp(at)),
    );
    match &beat.error {
        Some(error) => format!("{seen}; its last error: {}: {}", error.kind, error.message),
        None => seen,
    }
}

async fn lag(
    run: &Run<'_>,
    source: &Cluster,
    progress: &[PartitionProgress],
    names: &[TopicPartition],
    findings: &mut Findings,
) -> Result<Lag> {
    let ends = kafka::all_ok(source.list_offsets(names, OffsetSpec::LastStable).await)?;
    let lags = progress.iter().map(|one| (&one.partition, (ends[&one.partition] - one.source_next).max(0)));
    let worst = lags.clone().max_by_key(|(_, lag)| *lag);
    let total = lags.map(|(_, lag)| lag).sum();
    let largest = worst.map_or(0, |(_, lag)| lag);
    let allowed = run.config.cutover.drain_max_partition_lag;
    if let Some((partition, _)) = worst.filter(|(_, lag)| *lag > allowed) {
        findings.add(
            Weight::Warning,
            code::LAG,
            partition.to_string(),
            format!("{largest} records are not copied yet, cutover.drain_max_partition_lag is {allowed}"),
            "wait until the tail has caught up",
        );
    }
    Ok(Lag { partitions: names.len(), total, largest })
}

/// Changes on the source that a cutover would refuse.
async fn what_changed(
    run: &Run<'_>,
    source: &Cluster,
    progress: &[PartitionProgress],
    findings: &mut Findings,
) -> Result<Option<Changes>> {
    let manifest = Manifest::load(run).await?;
    let uncopied = topology::refuse_uncopied(source, &run.config.topology, progress).await;
    let mut uncopied = block(findings, code::NOT_COPIED, uncopied)?.unwrap_or_default();
    let left_out = run.left_out();
    uncopied.retain(|partition| !left_out.contains(&*partition.topic));
    empty(&uncopied, findings);
    let deleted = gone::refuse(run, source, &manifest).await;
    if block(findings, code::TOPIC_DELETED, deleted)?.is_none() {
        // The rest of the questions are about topics that are not there.
        return Ok(None);
    }
    match changes::survey(run, source, &manifest, &run.dealt_partitions().await?).await {
        Ok(changes) => {
            changes.record(run).await?;
            Ok(Some(changes))
        }
        Err(error) => {
            block::<()>(findings, code::LOG_REWOUND, Err(error))?;
            Ok(None)
        }
    }
}

/// What appeared on the source, and holds nothing: clients that are switched would miss it on the target.
fn empty(partitions: &[TopicPartition], findings: &mut Findings) {
    let mut topics: BTreeMap<_, usize> = BTreeMap::new();
    for partition in partitions {
        *topics.entry(partition.topic.as_ref()).or_default() += 1;
    }
    for (topic, count) in topics {
        findings.add(
            Weight::Warning,
            code::EMPTY_NOT_COPIED,
            topic,
            format!("{count} partitions of it appeared on the source, are empty, and are not brought over"),
            "msk-kraft resume brings them over; or delete the topic on the source; or create them on the target after the switch",
        );
    }
}

/// Makes a refusal a finding, for which there is none to return.
///
/// # Errors
/// What is no refusal.
fn block<T>(findings: &mut Findings, code: &str, outcome: Result<T>) -> Result<Option<T>> {
    let error = match outcome {
        Ok(found) => return Ok(Some(found)),
        Err(error) => error,
    };
    let Error { message, context, .. } = refusal(error)?;
    let subject = match (&context.topic, context.partition) {
        (Some(topic), Some(partition)) => format!("{topic}/{partition}"),
        (Some(topic), None) => topic.clone(),
        _ => String::new(),
    };
    findings.block(code, subject, message, "");
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use migration::progress::Gap;

    #[test]
    fn what_was_deleted_before_it_was_copied_is_a_warning_by_partition() {
        let whole = PartitionProgress::new(TopicPartition::new("t", 0), 0, 0);
        let mut purged = PartitionProgress::new(TopicPartition::new("t", 1), 0, 0);
        purged.gaps.add(&Gap { from: 5, to: 12, at: "then".to_owned() }, 5);
        let mut findings = Findings::default();
        gaps(&[whole, purged], &mut findings);
        let found = findings.sorted();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].weight, found[0].subject.as_str()), (Weight::Warning, "t/1"));
        assert!(found[0].message.contains("7 offsets") && found[0].message.contains("5 to 12 at then"), "{found:?}");
    }
}
