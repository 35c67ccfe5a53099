//! The last stretch of the copy: up to the sentinels.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka::{Cluster, OffsetSpec, TopicPartition};
use migration::progress::PartitionProgress;
use migration::{Error, Result};
use runtime::Run;
use runtime::run::refuse_stopped;

use crate::clock::FreezeClock;
use crate::sentinels::Sentinel;

/// Pause between two looks at the journal.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Waits until the tail has copied every sentinel, and returns where every partition ends. A batch that is drained is
/// not looked at again, so that the journal is left to those that are not.
///
/// # Errors
/// Unsafe when a partition stopped, Deadline when the freeze would last too long.
pub(crate) async fn to_sentinels(
    run: &Run<'_>,
    sentinels: &[Sentinel],
    clock: &FreezeClock<'_>,
) -> Result<BTreeMap<TopicPartition, PartitionProgress>> {
    let goals: BTreeMap<_, _> =
        sentinels.iter().map(|sentinel| (&sentinel.partition, sentinel.source_offset + 1)).collect();
    let is_behind =
        |progress: &PartitionProgress| progress.source_next < goals.get(&progress.partition).copied().unwrap_or(0);
    let mut waiting = run.batches()?;
    let mut drained = BTreeMap::new();
    loop {
        let mut behind = Vec::new();
        for (batch, partitions) in run.progress(std::mem::take(&mut waiting)).await? {
            refuse_stopped(&partitions)?;
            if let Some(first) = partitions.iter().find(|progress| is_behind(progress)) {
                behind.push(first.partition.clone());
                waiting.push(batch);
            } else {
                drained.extend(partitions.into_iter().map(|progress| (progress.partition.clone(), progress)));
            }
        }
        let Some(first) = behind.first() else { return Ok(drained) };
        clock.check(&format!("{} of the batches were drained, that of {first} among them", behind.len()))?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Checks that the target still has everything that was copied to it: no partition's log starts above 0, and each ends
/// where the copy left it.
///
/// # Errors
/// Unsafe, naming the first partition where it does not.
pub(crate) async fn log_start_guard(
    target: &Cluster,
    drained: &BTreeMap<TopicPartition, PartitionProgress>,
) -> Result<()> {
    let names: Vec<_> = drained.keys().cloned().collect();
    let starts = kafka::all_ok(target.list_offsets(&names, OffsetSpec::Earliest).await)?;
    let ends = kafka::all_ok(target.list_offsets(&names, OffsetSpec::Latest).await)?;
    for (partition, progress) in drained {
        let (start, end) = (starts[partition], ends[partition]);
        if start != 0 || end != progress.target_next {
            let message = format!(
                "the target holds offsets {start} to {end}, copied were 0 to {}: records were deleted or written there by \
                 somebody else; nothing was committed",
                progress.target_next
            );
            return Err(Error::data_unsafe(message).at(partition));
        }
    }
    Ok(())
}
