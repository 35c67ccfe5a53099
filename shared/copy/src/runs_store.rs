//! Where the offset runs of a partition are kept: the newest few in the journal beside the position, the rest sealed in
//! an S3 object that the journal names. Both change with the checkpoint that covers them, so that neither can be ahead.

use migration::progress::PartitionProgress;
use migration::{Error, Result};

use crate::ports::Bucket;
use crate::runs::OffsetRuns;

/// Length of the open runs' text beyond which they are sealed. A journal write costs by the kilobyte.
const OPEN_MAX: usize = 1024;

/// Appends `runs` to those of `progress`. When the open ones grow long, a new object with all runs is stored and named by
/// `progress`; its name holds `epoch`, so that an invocation that was overtaken cannot replace it.
///
/// # Errors
/// Internal when `runs` do not follow; otherwise those of the store.
pub async fn append(
    store: &impl Bucket,
    progress: &mut PartitionProgress,
    runs: &OffsetRuns,
    epoch: u64,
) -> Result<()> {
    if runs.is_empty() {
        return Ok(());
    }
    let mut open = open_runs(progress)?;
    open.extend(runs)?;
    progress.runs_open = open.to_text();
    if progress.runs_open.len() <= OPEN_MAX {
        return Ok(());
    }
    let all = load(store, progress).await?;
    let partition = &progress.partition;
    let name = format!("runs/{}/{}/{:020}-{epoch}.runs", partition.topic, partition.partition, all.target_end());
    store.put(&name, all.encode().into()).await?;
    progress.runs_key = Some(name);
    progress.runs_open = OffsetRuns::starting_at(all.target_end()).to_text();
    Ok(())
}

/// All runs of a partition.
///
/// # Errors
/// Blocked when the sealed object is gone, Internal when the runs are damaged; otherwise those of the store.
pub async fn load(store: &impl Bucket, progress: &PartitionProgress) -> Result<OffsetRuns> {
    let open = open_runs(progress)?;
    let Some(name) = &progress.runs_key else { return Ok(open) };
    let object = store.get(name).await?;
    let object = object.ok_or_else(|| Error::blocked(format_args!("{} was deleted", store.url(name))))?;
    let mut all = OffsetRuns::decode(&object.body)?;
    all.extend(&open)?;
    Ok(all)
}

fn open_runs(progress: &PartitionProgress) -> Result<OffsetRuns> {
    OffsetRuns::from_text(&progress.runs_open).map_err(|error| error.at(&progress.partition))
}
