//! Partitions of the target to which an append is not begun, since it is not known what they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use documents::Document;
use futures::stream::{self, StreamExt, TryStreamExt};
use migration::{Result, TopicPartition};
use serde::{Deserialize, Serialize};
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

/// Where it is kept how far the target was looked at.
const KEY: &str = "cutover/late/looked.json";

/// How far partitions of the target were looked at, from where their copy ended: an invocation that runs out of time is gone on with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Looked {
    partitions: Vec<LookedAt>,
}

impl Document for Looked {
    const NAME: &'static str = "how far the target was looked at for late records";
    const VERSION: u32 = 1;
}

/// One partition: the tail wrote nothing between the end of the copy and the offset `to` of the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LookedAt {
    #[serde(flatten)]
    partition: TopicPartition,
    to: i64,
}

/// What became of a look at one partition.
enum Found {
    /// It is left out.
    LeftOut(String),
    /// The tail wrote nothing up to the end.
    Nothing,
    /// The time was up.
    Unfinished,
}

/// Partitions to which nothing is appended.
#[derive(Debug, Default)]
pub(super) struct Uncertain {
    /// Those that are left out, and why: the tail wrote behind its last checkpoint, so that appending what is late would double it, or the
    /// target does not show them.
    pub(super) left_out: BTreeMap<TopicPartition, String>,
    /// Those for which the time was up.
    pub(super) unfinished: BTreeSet<TopicPartition>,
}

/// Looks through what was written to the target behind the copy for batches of the producer `copier`, for each of `stretches`.
///
/// # Errors
/// Those of the bucket, and of the target that are no partition's.
pub(super) async fn uncertain(
    ports: &impl Ports,
    stretches: &[Stretch],
    copied: &[CopyEnd],
    copier: i64,
) -> Result<Uncertain> {
    let looked: Looked = documents::read_if_there(ports.objects(), KEY).await?.unwrap_or_default();
    let before: BTreeMap<_, _> = looked.partitions.into_iter().map(|one| (one.partition, one.to)).collect();
    let target_next: BTreeMap<_, _> = copied.iter().map(|end| (&end.partition, end.target_next)).collect();
    let mut looks = Vec::with_capacity(stretches.len());
    for Stretch { partition, .. } in stretches {
        let Some(from) = target_next.get(partition) else { continue };
        let from = before.get(partition).map_or(*from, |reached| *from.max(reached));
        looks.push(look_at(ports, partition.clone(), from, copier));
    }
    let looks: Vec<_> = stream::iter(looks).buffer_unordered(AT_ONCE).try_collect().await?;
    let (mut after, mut uncertain) = (before.clone(), Uncertain::default());
    for (partition, to, found) in looks {
        after.insert(partition.clone(), to);
        match found {
            Found::LeftOut(why) => _ = uncertain.left_out.insert(partition, why),
            Found::Unfinished => _ = uncertain.unfinished.insert(partition),
            Found::Nothing => {}
        }
    }
    if after != before {
        let partitions = after.into_iter().map(|(partition, to)| LookedAt { partition, to }).collect();
        documents::write(ports.objects(), KEY, &Looked { partitions }).await?;
    }
    Ok(uncertain)
}

/// Looks at one partition from `from` on up to its end, or until the time is up. Up to where the tail wrote nothing.
async fn look_at(
    ports: &impl Ports,
    partition: TopicPartition,
    from: i64,
    copier: i64,
) -> Result<(TopicPartition, i64, Found)> {
    let (mut at, mut since) = (from, Instant::now());
    let found = loop {
        if ports.is_out_of_time() {
            break Found::Unfinished;
        }
        match ports.target().scan(&partition, at, copier).await {
            Ok(scanned) if !scanned.batches.is_empty() => break Found::LeftOut(WRITTEN.to_owned()),
            Ok(scanned) => {
                (at, since) = (scanned.reached, Instant::now());
                if at >= scanned.end {
                    break Found::Nothing;
                }
            }
            Err(error) if error.is_retryable() && since.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
            Err(error) if error.partition().is_some() => {
                break Found::LeftOut(format!("the target does not show it: {error}"));
            }
            Err(error) => return Err(error.into()),
        }
    };
    Ok((partition, at, found))
}
