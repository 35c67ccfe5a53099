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

/// Waits until the tail has copied every sentinel, and returns where every partition ends.
///
/// # Errors
/// Unsafe when a partition stopped, Deadline when the freeze would last too long.
pub(crate) async fn to_sentinels(
    run: &Run<'_>,
    sentinels: &[Sentinel],
    clock: &FreezeClock<'_>,
) -> Result<BTreeMap<TopicPartition, PartitionProgress>> {
    let goals: BTreeMap<_, _> = sentinels.iter().map(|sentinel| (&sentinel.partition, sentinel.source_offset + 1)).collect();
    loop {
        let partitions = run.all_partitions().await?;
        refuse_stopped(&partitions)?;
        let behind = |progress: &&PartitionProgress| goals.get(&progress.partition).is_some_and(|goal| progress.source_next < *goal);
        let behind: Vec<_> = partitions.iter().filter(behind).collect();
        let Some(first) = behind.first() else {
            return Ok(partitions.into_iter().map(|progress| (progress.partition.clone(), progress)).collect());
        };
        clock.check(&format!("{} partitions were drained, {} among them", behind.len(), first.partition))?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Checks that the target still has everything that was copied to it: no partition's log starts above 0, and each ends
/// where the copy left it.
///
/// # Errors
/// Unsafe, naming the first partition where it does not.
pub(crate) async fn log_start_guard(target: &Cluster, drained: &BTreeMap<TopicPartition, PartitionProgress>) -> Result<()> {
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
