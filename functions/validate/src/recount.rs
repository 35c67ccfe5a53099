//! Counting on the target what the tail did not come to, see [`copy::recount`].

use std::collections::BTreeMap;
use std::time::Duration;

use copy::recount::Recounter;
use documents::Recounted;
use kafka::Cluster;
use migration::progress::PartitionProgress;
use migration::{BatchId, ErrorKind, Result, TopicPartition};
use runtime::{Budget, Store};

/// How often an answer without anything is asked for again: a broker over its quota gives such answers (KIP-219).
const EMPTY_ANSWERS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(300);

/// What became of the count of one partition.
#[derive(Debug, Clone)]
pub(crate) struct Count {
    /// What was counted.
    pub(crate) counted: Recounted,
    /// Why nothing behind it can be: what is there is damaged.
    pub(crate) damage: Option<String>,
}

/// Counts the records of `partitions` on the target up to where each was copied, on from what is stored of `batch`. `None` when
/// the time was too short: what was counted is stored.
///
/// # Errors
/// When the target or the bucket cannot be asked.
pub(crate) async fn count_rest(
    target: &Cluster,
    store: &Store,
    batch: BatchId,
    partitions: &[PartitionProgress],
    budget: Budget,
) -> Result<Option<BTreeMap<TopicPartition, Count>>> {
    let mut recounter = Recounter::load(target, store, batch).await?;
    let mut counted = BTreeMap::new();
    for progress in partitions {
        let done = count_one(&mut recounter, progress, budget).await;
        // Whatever became of it: the next invocation goes on there.
        recounter.save().await?;
        let damage = match done {
            Ok(true) => None,
            Ok(false) => return Ok(None),
            // A finding like others, which somebody may accept.
            Err(error) if error.kind == ErrorKind::Unsafe => Some(error.to_string()),
            Err(error) => return Err(error),
        };
        let count = Count { counted: recounter.counted(&progress.partition), damage };
        counted.insert(progress.partition.clone(), count);
    }
    Ok(Some(counted))
}

/// Whether there was time for all of it.
async fn count_one(
    recounter: &mut Recounter<'_, Cluster, Store>,
    progress: &PartitionProgress,
    budget: Budget,
) -> Result<bool> {
    let (partition, end) = (&progress.partition, progress.target_next);
    let mut empty = 0;
    while recounter.counted(partition).next < end && empty < EMPTY_ANSWERS {
        if budget.is_spent() {
            return Ok(false);
        }
        match recounter.read_on(partition, end).await {
            Ok(Some(_)) => empty = 0,
            Err(error) if !error.kind.is_retryable() => return Err(error),
            outcome => {
                empty += 1;
                if empty == EMPTY_ANSWERS {
                    // What was not counted then is a finding.
                    outcome?;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        recounter.save_if_due().await?;
    }
    Ok(true)
}
