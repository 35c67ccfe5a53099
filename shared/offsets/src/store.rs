//! Where the offset runs of a partition are kept: the newest few in the journal beside the position, the rest sealed in
//! S3 objects, of which the journal names the newest. Both change with the checkpoint that covers them, so that neither
//! can be ahead.
//!
//! A sealed object holds the runs of one part of the partition and lists the parts before it. A new part takes in the
//! parts before it as long as they are not longer than itself, as a binary counter carries. So each part is longer than
//! all behind it together, up to `FULL` runs, from which on it stays as it is. For `n` runs that makes
//! `n / FULL + log2(FULL)` parts; a run is written `log2(FULL)` times at most, and appending reads and writes `2 * FULL`
//! runs at most besides the new ones.
//!
//! Objects that were taken in stay: an invocation that was overtaken may still read them.

mod map;
mod sealed;

use futures::TryStreamExt;
use migration::progress::PartitionProgress;
use migration::{Error, Result, TopicPartition};

use crate::runs::OffsetRuns;
use documents::Objects;
use sealed::{Part, Sealed};

pub use map::{OffsetMap, Place};

/// Length of the open runs' text beyond which they are sealed: some 60 runs. The journal keeps the text of many partitions
/// in one item and writes it with every round.
const OPEN_MAX: usize = 256;

/// Runs from which on a part is not taken in by later ones any more. A run takes two to four bytes when it is stored and
/// 24 in memory.
const FULL: usize = 1 << 18;

/// Appends `runs` to those of `progress`. When the open ones grow long they are sealed: stored in an object of their own,
/// which `progress` names from then on. Its name holds `epoch`, so that an invocation that was overtaken cannot replace
/// it. After an error `progress` is as it was.
///
/// # Errors
/// Internal when `runs` do not follow; otherwise those of [`load`].
pub async fn append(
    store: &impl Objects,
    progress: &mut PartitionProgress,
    runs: &OffsetRuns,
    epoch: u64,
) -> Result<()> {
    if runs.is_empty() {
        return Ok(());
    }
    let mut open = open_runs(progress)?;
    open.extend(runs).map_err(|error| error.at(&progress.partition))?;
    let text = open.to_text();
    if text.len() <= OPEN_MAX {
        progress.runs_open = text;
        return Ok(());
    }
    let (sealed, name) = seal(store, progress, open, epoch).await?;
    progress.runs_open = OffsetRuns::starting_at(sealed.runs.target_end()).to_text();
    progress.runs_key = Some(name);
    Ok(())
}

/// All runs of a partition. For lookups and for reading them one after the other see [`OffsetMap`], which does not need
/// memory for all of them.
///
/// # Errors
/// Blocked when a sealed object is gone, Internal when the runs are damaged; otherwise those of the store.
pub async fn load(store: &impl Objects, progress: &PartitionProgress) -> Result<OffsetRuns> {
    let map = OffsetMap::open(store, progress).await?;
    let mut all = OffsetRuns::starting_at(0);
    all.reserve(map.runs());
    map.stretches()
        .try_fold(all, async |mut all, stretch| {
            all.extend(&stretch)?;
            Ok(all)
        })
        .await
        .map_err(|error| error.at(&progress.partition))
}

/// Stores `runs` behind the sealed parts of `progress`, together with those of them that are not longer.
async fn seal(
    store: &impl Objects,
    progress: &PartitionProgress,
    mut runs: OffsetRuns,
    epoch: u64,
) -> Result<(Sealed, String)> {
    let partition = &progress.partition;
    let (mut parts, mut newest) = match &progress.runs_key {
        Some(name) => {
            let sealed = get(store, name).await.map_err(|error| error.at(partition))?;
            (sealed.parts, Some(sealed.runs))
        }
        None => (Vec::new(), None),
    };
    while let Some(part) = parts.pop_if(|part| part.runs < FULL && part.runs <= runs.len()) {
        let mut older = match newest.take() {
            Some(newest) => newest,
            None => get_part(store, partition, &part).await?,
        };
        older.extend(&runs).map_err(|error| error.at(partition))?;
        runs = older;
    }
    let part = Part::of(&runs, epoch);
    let part = part.ok_or_else(|| Error::internal("a part without runs cannot be sealed").at(partition))?;
    parts.push(part);
    let (sealed, name) = (Sealed { parts, runs }, part.name(partition));
    store.put(&name, sealed.encode().into()).await.map_err(|error| error.at(partition))?;
    Ok((sealed, name))
}

/// The sealed object `name`.
async fn get(store: &impl Objects, name: &str) -> Result<Sealed> {
    let object = store.get(name).await?;
    let object = object.ok_or_else(|| Error::blocked(format_args!("{} was deleted", store.url(name))))?;
    Sealed::decode(&object.body).map_err(|mut error| {
        error.message = format!("{}: {}", store.url(name), error.message);
        error
    })
}

/// The runs of `part`.
async fn get_part(store: &impl Objects, partition: &TopicPartition, part: &Part) -> Result<OffsetRuns> {
    let name = part.name(partition);
    let sealed = get(store, &name).await.map_err(|error| error.at(partition))?;
    if sealed.parts.last() != Some(part) {
        return Err(Error::internal(format_args!("{} holds another part", store.url(&name))).at(partition));
    }
    Ok(sealed.runs)
}

fn open_runs(progress: &PartitionProgress) -> Result<OffsetRuns> {
    OffsetRuns::from_text(&progress.runs_open).map_err(|error| error.at(&progress.partition))
}

/// Reads the runs of a sealed object; public for fuzzing.
///
/// # Errors
/// Internal when `bytes` are not such an object.
#[doc(hidden)]
pub fn decode_sealed(bytes: &[u8]) -> Result<OffsetRuns> {
    Sealed::decode(bytes).map(|sealed| sealed.runs)
}

/// A sealed object of `runs` behind one other part, none without runs; public for fuzzing.
#[doc(hidden)]
pub fn encode_sealed(runs: OffsetRuns) -> Option<Vec<u8>> {
    let part = Part::of(&runs, 1)?;
    let before = Part { source: 0, target: 0, records: part.target, runs: 1, epoch: 1 };
    let parts = if part.target > 0 { vec![before, part] } else { vec![part] };
    Some(Sealed { parts, runs }.encode())
}

#[cfg(test)]
mod tests;
