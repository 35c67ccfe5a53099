//! The last stretch of the copy: up to the proofs, by the tail that goes on meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use migration::progress::PartitionProgress;
use migration::{Error, Result, TopicPartition};
use runtime::run::refuse_stopped;
use tokio::time::sleep;

use crate::Job;
use crate::fence::and_more;
use crate::ports::{Ledger, Ports, Target};
use crate::proofs::Ends;
use crate::steps::Steps;

/// Pause between two looks at the journal.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Progress by partition.
pub(crate) type Drained = BTreeMap<TopicPartition, PartitionProgress>;

/// Waits until the tail has copied every partition up to `ends`, and returns where each is. A batch that is drained is not
/// looked at again, so that the journal is left to those that are not.
///
/// # Errors
/// Unsafe when a partition stopped. The wait itself has no end: the freeze's limit ends it.
pub(crate) async fn to_ends(ports: &impl Ports, job: &Job, ends: &Ends, steps: &Steps) -> Result<Drained> {
    let is_behind = |progress: &PartitionProgress| {
        ends.get(&progress.partition).is_some_and(|end| progress.source_next < end.source_end)
    };
    let mut waiting = job.batches.clone();
    let mut drained = BTreeMap::new();
    loop {
        let mut behind = Vec::new();
        for (batch, partitions) in ports.ledger().progress(&std::mem::take(&mut waiting)).await? {
            refuse_stopped(&partitions)?;
            if let Some(first) = partitions.iter().find(|progress| is_behind(progress)) {
                behind.push(first.clone());
                waiting.push(batch);
            } else {
                drained.extend(partitions.into_iter().map(|progress| (progress.partition.clone(), progress)));
            }
        }
        let Some(first) = behind.first() else { return Ok(drained) };
        let end = ends.get(&first.partition).map_or(0, |end| end.source_end);
        steps.waits_for(format!(
            "the tail to copy {} from offset {} to {end}{}",
            first.partition,
            first.source_next,
            and_more(behind.len(), "batch of partitions", "batches of partitions")
        ));
        sleep(LOOK_EVERY).await;
    }
}

/// Checks that the target has everything that was copied to it and nothing else: no log starts above 0, each ends where the copy left
/// it, and no topic has configs by which records in between could be gone.
///
/// # Errors
/// Unsafe, naming the first partition where it does not, or the first topic with other configs.
pub(crate) async fn check_target(ports: &impl Ports, drained: &Drained) -> Result<()> {
    let names: Vec<_> = drained.keys().cloned().collect();
    let topics: BTreeSet<_> = names.iter().map(|partition| partition.topic.clone()).collect();
    let topics: Vec<_> = topics.into_iter().collect();
    let bounds = ports.target().bounds(&names).await?;
    // Behind the bounds, so that whatever was altered before they were read shows.
    ports.target().hold_configs(&topics).await?;
    for (partition, progress) in drained {
        let (start, end) = bounds.get(partition).copied().unwrap_or((-1, -1));
        if start != 0 || end != progress.target_next {
            let message = format!(
                "the target holds offsets {start} to {end}, copied were 0 to {}: records were deleted or written there by \
                 another client; nothing was committed",
                progress.target_next
            );
            return Err(Error::data_unsafe(message).at(partition));
        }
    }
    Ok(())
}
