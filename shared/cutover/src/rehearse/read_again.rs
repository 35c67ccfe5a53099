//! What the tail found when it read the target again behind the copy: records counted, compacted partitions compared by key.

use std::collections::BTreeMap;

use copy::keys;
use documents::deleted_keys::ComparedKeys;
use documents::recount::{self, Recount};
use documents::rehearsal::Weight;
use futures::{StreamExt, TryStreamExt, stream};
use kafka::Cluster;
use migration::config::KeysDeleted;
use migration::progress::PartitionProgress;
use migration::{BatchId, Result, TopicPartition};
use runtime::Run;

use super::findings::{Findings, code};

/// Documents read at the same time.
const AT_ONCE: usize = 16;

/// Share of the copied records that may be left to be counted in `finalize` without a word.
const LEFT: i64 = 100;

/// Looks at what is stored of the batches that `progress` is of.
pub(super) async fn look(
    run: &Run<'_>,
    source: &Cluster,
    batches: &[BatchId],
    progress: &[PartitionProgress],
    findings: &mut Findings,
) -> Result<()> {
    if run.config.validation.recount {
        counted(run, batches, progress, findings).await?;
    }
    let compacted = keys::compacted(source, progress.iter().map(|one| one.partition.topic.clone()).collect()).await?;
    if compacted.is_empty() {
        return Ok(());
    }
    let found = keys::found(&run.store, batches).await?;
    let partitions = progress.iter().map(|one| &one.partition).filter(|one| compacted.contains_key(&one.topic));
    judge(partitions, &found, run.config.topology.on_deleted_keys, findings);
    Ok(())
}

fn judge<'a>(
    compacted: impl Iterator<Item = &'a TopicPartition>,
    found: &BTreeMap<TopicPartition, ComparedKeys>,
    policy: KeysDeleted,
    findings: &mut Findings,
) {
    let mut not_compared = Vec::new();
    // Whoever keeps such keys need not wait for their names.
    let weight = if policy == KeysDeleted::Keep { Weight::Warning } else { Weight::Blocker };
    for partition in compacted {
        match found.get(partition) {
            Some(compared) if compared.is_unfinished() => not_compared.push(partition),
            Some(ComparedKeys { failed: None, deleted: 0, .. }) => {}
            Some(ComparedKeys { failed: None, deleted, offsets, .. }) => {
                findings.add(
                    weight,
                    code::DELETED_KEYS,
                    partition.to_string(),
                    deleted_keys_message(*deleted, offsets),
                    "migrate the topic in a wave of its own with a larger delete.retention.ms on the source; or set \
                     topology.on_deleted_keys: keep, and after the switch write a record without a value for each of these keys \
                     (kafka-console-consumer.sh with --partition and --offset shows them)",
                );
            }
            Some(ComparedKeys { failed: Some(why), .. }) => findings.add(
                Weight::Warning,
                code::KEYS_NOT_COMPARED,
                partition.to_string(),
                format!("the compacted partition cannot be compared by key: {why}"),
                "nothing, if no key was deleted while it was copied; else compare it with tools of yours before the switch",
            ),
            None => not_compared.push(partition),
        }
    }
    let Some(first) = not_compared.first() else { return };
    let more = crate::fence::and_more(not_compared.len(), "partition", "partitions");
    findings.add(
        weight,
        code::KEYS_NOT_COMPARED,
        "",
        format!("compacted partitions were not compared by key yet: {first}{more}"),
        "wait until the tail has compared them: a key whose deletion was compacted away before it was copied would live on the \
         target; or set topology.on_deleted_keys: keep",
    );
}

fn deleted_keys_message(deleted: u64, offsets: &[i64]) -> String {
    let named: Vec<_> = offsets.iter().take(5).map(i64::to_string).collect();
    format!(
        "{deleted} of its keys live on the target alone: their deletion was compacted away on the source before it was copied \
         (delete.retention.ms); their newest records are at target offsets {}{}",
        named.join(", "),
        if deleted > named.len() as u64 { ", ..." } else { "" }
    )
}

async fn counted(
    run: &Run<'_>,
    batches: &[BatchId],
    progress: &[PartitionProgress],
    findings: &mut Findings,
) -> Result<()> {
    let read = |batch: &BatchId| {
        let key = recount::key(*batch);
        async move { documents::read_if_there::<Recount>(&run.store, &key).await }
    };
    let found: Vec<_> = stream::iter(batches).map(read).buffered(AT_ONCE).try_collect().await?;
    let next: BTreeMap<_, _> =
        found.into_iter().flatten().flat_map(|found| found.partitions).map(|one| (one.partition, one.next)).collect();
    let copied: i64 = progress.iter().map(|one| one.target_next).sum();
    let counted: i64 =
        progress.iter().map(|one| next.get(&one.partition).map_or(0, |next| (*next).min(one.target_next))).sum();
    if copied - counted > copied / LEFT {
        findings.add(
            Weight::Info,
            code::NOT_COUNTED,
            "",
            format!("{counted} of {copied} copied records were counted on the target by reading them; finalize counts the rest"),
            "wait, if all of them are to be counted before the switch",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn compared(deleted: u64, failed: Option<&str>) -> ComparedKeys {
        let partition = TopicPartition::new("accounts", 0);
        let failed = failed.map(str::to_owned);
        ComparedKeys {
            partition,
            at: DateTime::UNIX_EPOCH,
            followed_until: DateTime::UNIX_EPOCH,
            target_end: 9,
            live: 9,
            deleted,
            offsets: vec![3, 5],
            failed,
            begun: 0,
        }
    }

    fn judged(found: Option<ComparedKeys>, policy: KeysDeleted) -> Vec<(Weight, String, String)> {
        let partition = TopicPartition::new("accounts", 0);
        let found = found.into_iter().map(|found| (partition.clone(), found)).collect();
        let mut findings = Findings::default();
        judge([&partition].into_iter(), &found, policy, &mut findings);
        findings.sorted().into_iter().map(|finding| (finding.weight, finding.code, finding.message)).collect()
    }

    #[test]
    fn keys_that_live_on_the_target_alone_stop_the_cutover_unless_somebody_keeps_them() {
        assert!(judged(Some(compared(0, None)), KeysDeleted::Fail).is_empty());
        let found = judged(Some(compared(2, None)), KeysDeleted::Fail);
        assert_eq!((found[0].0, found[0].1.as_str()), (Weight::Blocker, "cutover.deleted_keys"));
        assert!(found[0].2.starts_with("2 of its keys") && found[0].2.ends_with("offsets 3, 5"), "{found:?}");
        assert_eq!(judged(Some(compared(2, None)), KeysDeleted::Keep)[0].0, Weight::Warning);
    }

    #[test]
    fn what_was_not_compared_is_named() {
        let cannot = judged(Some(compared(0, Some("crc"))), KeysDeleted::Fail);
        assert_eq!((cannot[0].0, cannot[0].1.as_str()), (Weight::Warning, "cutover.keys_not_compared"));
        assert!(cannot[0].2.ends_with("by key: crc"), "{cannot:?}");
        for (policy, weight) in [(KeysDeleted::Fail, Weight::Blocker), (KeysDeleted::Keep, Weight::Warning)] {
            let waiting = judged(None, policy);
            assert!(waiting[0].0 == weight && waiting[0].2.ends_with("yet: accounts/0"), "{waiting:?}");
        }
    }
}
