//! Partitions of the target to which an append is not begun, since it is not known what they hold.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use migration::{Result, TopicPartition};
use tokio::time::Instant;

use super::look::Stretch;
use super::ports::{CopyEnd, Ports, Target};

/// Partitions that are looked at at once.
const AT_ONCE: usize = 32;

/// Pause behind a look that failed.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a look at one partition may fail: leaders change, and brokers start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why of a partition it is not known which late records the tail copied.
const WRITTEN: &str = "the tail wrote to the target behind its last checkpoint, so which of the late records it copied is not known; \
                       compare both clusters from there on, and accept the finding when it is finalized";

/// Which of `stretches` are left out, and why: the tail of `copier` wrote behind its last checkpoint, so that appending what is late would
/// double it, or the target does not show the partition.
///
/// # Errors
/// Those of the target that are no partition's.
pub(super) async fn uncertain(
    ports: &impl Ports,
    stretches: &[Stretch],
    copied: &[CopyEnd],
    copier: i64,
) -> Result<BTreeMap<TopicPartition, String>> {
    let target_next: BTreeMap<_, _> = copied.iter().map(|end| (&end.partition, end.target_next)).collect();
    let mut looks = Vec::with_capacity(stretches.len());
    for Stretch { partition, .. } in stretches {
        let Some(from) = target_next.get(partition) else { continue };
        looks.push(look_at(ports, partition.clone(), *from, copier));
    }
    let whys: Vec<_> = stream::iter(looks).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(whys.into_iter().filter_map(|(partition, why)| Some((partition, why?))).collect())
}

/// Looks at one partition from `from` on up to its end. Why it is left out, if it is.
async fn look_at(
    ports: &impl Ports,
    partition: TopicPartition,
    from: i64,
    copier: i64,
) -> Result<(TopicPartition, Option<String>)> {
    let (mut at, mut since) = (from, Instant::now());
    let why = loop {
        match ports.target().scan(&partition, at, copier).await {
            Ok(scanned) if !scanned.batches.is_empty() => break Some(WRITTEN.to_owned()),
            Ok(scanned) if scanned.reached >= scanned.end => break None,
            Ok(scanned) => (at, since) = (scanned.reached, Instant::now()),
            Err(error) if error.is_retryable() && since.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
            Err(error) if error.partition().is_some() => break Some(format!("the target does not show it: {error}")),
            Err(error) => return Err(error.into()),
        }
    };
    Ok((partition, why))
}
