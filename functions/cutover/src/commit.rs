//! Committing translated offsets on the target, and reading them back.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use kafka::{Cluster, NewOffset};
use migration::{Error, Result};

use crate::groups::Group;

/// Groups at the same time.
const AT_ONCE: usize = 16;

/// What was committed.
pub(crate) struct Committed {
    /// Groups with at least one offset.
    pub(crate) groups: usize,
    /// Offsets.
    pub(crate) offsets: usize,
}

/// Commits every translated offset. Committing again is harmless.
///
/// # Errors
/// Unsafe when an offset reads back differently; otherwise what the coordinator says, naming the group.
pub(crate) async fn commit(target: &Cluster, groups: &[Group]) -> Result<Committed> {
    let commits = stream::iter(groups.iter().filter(|group| group.skipped.is_none()));
    let counts: Vec<usize> =
        commits.map(|group| commit_group(target, group)).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(Committed { groups: counts.iter().filter(|count| **count > 0).count(), offsets: counts.iter().sum() })
}

async fn commit_group(target: &Cluster, group: &Group) -> Result<usize> {
    let placed = group.offsets.iter().filter_map(|offset| {
        let partition = offset.partition.clone();
        Some(NewOffset { partition, offset: offset.target_offset?, metadata: offset.metadata.clone() })
    });
    let placed: Vec<_> = placed.collect();
    if placed.is_empty() {
        return Ok(0);
    }
    for (partition, outcome) in target.commit_offsets(&group.group, &placed).await {
        outcome.map_err(|error| {
            let mut error = Error::from(error).at(&partition);
            error.message = format!("commit the offset of group {} on the target: {}", group.group, error.message);
            error
        })?;
    }
    let stored = target.committed_offsets(&group.group).await?;
    let stored: BTreeMap<_, _> =
        stored.into_iter().map(|offset| (offset.partition, (offset.offset, offset.metadata))).collect();
    for NewOffset { partition, offset, metadata } in &placed {
        if stored.get(partition) != Some(&(*offset, metadata.clone())) {
            let message = format!(
                "group {} reads back {:?} after offset {offset} was committed: somebody else commits for this group on the target",
                group.group,
                stored.get(partition).map(|(offset, _)| offset)
            );
            return Err(Error::data_unsafe(message).at(partition));
        }
    }
    Ok(placed.len())
}
