//! Transactions that are open, and commits that are not decided yet: a cutover waits for both, so that what hangs has to be found
//! before producers stop.

use std::collections::BTreeMap;
use std::time::Duration;

use documents::rehearsal::Weight;
use kafka::Cluster;
use migration::{Result, scope};
use runtime::Run;

use super::copy::CopyState;
use super::findings::{Findings, code};
use crate::live::source::{group_offsets, is_hidden};
use crate::ports::PendingOffset;

/// Pause between two looks at commits that are pending without a transaction.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Looks at transactions on the wave's partitions and on those that hold group offsets.
pub(super) async fn look(run: &Run<'_>, source: &Cluster, state: &CopyState, findings: &mut Findings) -> Result<()> {
    for transaction in state.changes.iter().flat_map(|changes| &changes.transactions) {
        let servers = state.changes.as_ref().map_or("", |changes| changes.source.as_str());
        let subject = transaction.partition.to_string();
        match transaction.hanging {
            true => findings.block(
                code::HANGING_TRANSACTION,
                subject,
                transaction.line(servers),
                "end it with the command in the message",
            ),
            false => findings.add(
                Weight::Warning,
                code::OPEN_TRANSACTION,
                subject,
                transaction.line(servers),
                "stop its producer in an orderly way when producers are frozen, so that it ends",
            ),
        }
    }
    let in_transactions = pending_in_transactions(run, source, findings).await?;
    pending_for_good(run, source, &in_transactions, findings).await
}

/// Commits that open transactions hold.
async fn pending_in_transactions(
    run: &Run<'_>,
    source: &Cluster,
    findings: &mut Findings,
) -> Result<Vec<PendingOffset>> {
    let open = match source.open_offset_transactions().await {
        Ok(open) => open,
        Err(error) if is_hidden(&error) => {
            findings.add(
                Weight::Warning,
                code::PENDING_UNSEEN,
                "__consumer_offsets",
                format!("transactions that hold offsets of groups cannot be seen: {error}"),
                "let the principal of source.auth read the topic __consumer_offsets; else a group whose first commit is in an open \
                 transaction begins on the target without an offset",
            );
            return Ok(Vec::new());
        }
        Err(error) => return Err(error.into()),
    };
    let now = run.journal.now().timestamp_millis();
    let limit = i64::try_from(run.config.cutover.max_producer_freeze.as_secs()).unwrap_or(i64::MAX / 1000) * 1000;
    let mut all = Vec::new();
    for transaction in open {
        let pending = source.pending_offsets(&transaction).await?;
        let of_wave = pending
            .into_iter()
            .filter(|(group, partition)| run.config.topology.selects(&partition.topic) && !is_skipped(run, group));
        let of_wave: Vec<_> = of_wave.collect();
        let Some((group, partition)) = of_wave.first() else { continue };
        let began = transaction.started_at.or(transaction.last_timestamp);
        let by = transaction.transactional_id.as_deref().unwrap_or("an unknown transactional id");
        let is_old = began.is_some_and(|began| now - began > limit);
        let age = began.map_or_else(String::new, |began| format!(", for {} s", (now - began).max(0) / 1000));
        findings.add(
            if is_old { Weight::Blocker } else { Weight::Warning },
            code::PENDING_COMMIT,
            group.as_str(),
            format!(
                "an open transaction of {by} (producer id {}) is about to commit its offset of {partition}{age}",
                transaction.producer_id
            ),
            if is_old {
                "a cutover would wait for its end in vain: end it (kafka-transactions.sh), or leave the group out by \
                 cutover.skip_groups"
            } else {
                "the cutover waits for its end"
            },
        );
        all.extend(of_wave.into_iter().map(|(group, partition)| PendingOffset {
            group,
            partition: Some(partition),
            producer_id: transaction.producer_id,
        }));
    }
    Ok(all)
}

fn is_skipped(run: &Run<'_>, group: &str) -> bool {
    run.config.cutover.skip_groups.iter().any(|pattern| pattern.matches(group))
}

/// Commits that are pending though no transaction holds them: nothing ends those (KAFKA-16371).
async fn pending_for_good(
    run: &Run<'_>,
    source: &Cluster,
    in_transactions: &[PendingOffset],
    findings: &mut Findings,
) -> Result<()> {
    let first = pending_now(run, source, None).await?;
    let unexplained = |pending: &BTreeMap<String, Vec<kafka::TopicPartition>>| -> Vec<String> {
        let held = |group: &str| in_transactions.iter().any(|pending| pending.group == group);
        pending.keys().filter(|group| !held(group)).cloned().collect()
    };
    let suspects = unexplained(&first);
    if suspects.is_empty() {
        return Ok(());
    }
    // A commit of a consumer is under way for milliseconds.
    tokio::time::sleep(LOOK_AGAIN).await;
    for (group, partitions) in pending_now(run, source, Some(&suspects)).await? {
        findings.block(
            code::PENDING_COMMIT,
            group.as_str(),
            format!(
                "a commit of its offset of {} is pending, and no transaction holds it: it was never finished (KAFKA-16371)",
                partitions[0]
            ),
            "restart the broker that coordinates the group, or let its consumers commit the partition again; or leave the group \
             out by cutover.skip_groups",
        );
    }
    Ok(())
}

/// Pending commits of this wave, of all groups or of `only` some.
async fn pending_now(
    run: &Run<'_>,
    source: &Cluster,
    only: Option<&[String]>,
) -> Result<BTreeMap<String, Vec<kafka::TopicPartition>>> {
    let ids: Vec<_> = match only {
        Some(only) => only.to_vec(),
        None => source.list_groups().await?.into_iter().map(|group| group.id).collect(),
    };
    let ids: Vec<_> = ids.into_iter().filter(|id| !scope::is_internal_group(id) && !is_skipped(run, id)).collect();
    let mut pending = BTreeMap::new();
    for (group, offsets) in group_offsets(source, &ids).await? {
        let of_wave: Vec<_> =
            offsets.pending.into_iter().filter(|partition| run.config.topology.selects(&partition.topic)).collect();
        if !of_wave.is_empty() {
            pending.insert(group, of_wave);
        }
    }
    Ok(pending)
}
