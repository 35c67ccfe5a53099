//! Removing the fence.

use std::collections::BTreeSet;
use std::time::Duration;

use documents::{FenceRules, Objects};
use journal::{StoredFence, WriteFence};
use kafka::AclBinding;
use migration::{Error, Result};
use tokio::time::sleep;

use crate::ports::{Acls, Record};
use crate::rules::own;

/// How often rules are removed while an invocation may still set some, or brokers still show some, and the pause in between.
const ROUNDS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

/// Rounds that an invocation which may still set rules is waited for: one that was killed never says that it has ended.
const FOR_SETTERS: u32 = 8;

/// What became of a fence that was to be lifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifted {
    /// There is none.
    Nothing,
    /// So many rules of ours are not on the source any more.
    Rules(usize),
}

/// Removes every rule of ours, what denies first, until brokers show none of them, and puts that on record with `by`. Rules that
/// were there before stay. Connects only when there may be something to remove. Repeating it changes nothing.
///
/// # Errors
/// Those of connecting, the cluster, the journal and the bucket; Transient when brokers go on showing rules.
pub async fn lift<A: Acls>(
    connect: impl AsyncFnOnce() -> Result<A>,
    record: &impl Record,
    objects: &impl Objects,
    by: &str,
) -> Result<Lifted> {
    let Some(first) = record.load().await?.filter(|stored| stored.fence.may_hold()) else {
        return Ok(Lifted::Nothing);
    };
    let rules = read(objects, &first.fence).await?;
    let acls = connect().await?;
    for round in 0..ROUNDS {
        // Read before rules are removed: whoever is entered as setting some may do so behind the removal.
        let Some(stored) = record.load().await?.filter(|stored| stored.fence.rules == first.fence.rules) else {
            return Err(Error::transient("another write fence was begun while one was lifted; repeat it"));
        };
        remove(&acls, &rules).await?;
        let is_last = stored.fence.setters.is_empty() || round >= FOR_SETTERS;
        if is_last && shown(&acls, &rules).await?.is_empty() && lifted(record, stored, by).await? {
            return Ok(Lifted::Rules(rules.denied.len() + rules.allowed.len()));
        }
        sleep(PAUSE).await;
    }
    let left = shown(&acls, &rules).await?;
    let shown = left.first().map_or_else(String::new, |rule| format!(", first {rule}"));
    Err(Error::transient(format_args!("the source still shows {} rules of the write fence{shown}", left.len())))
}

/// The rules of a fence that stands, or may stand in part; none without one.
///
/// # Errors
/// Those of the journal and the bucket.
pub async fn standing(record: &impl Record, objects: &impl Objects) -> Result<BTreeSet<AclBinding>> {
    match record.load().await?.map(|stored| stored.fence).filter(WriteFence::may_hold) {
        Some(fence) => Ok(own(&read(objects, &fence).await?).into_iter().flatten().collect()),
        None => Ok(BTreeSet::new()),
    }
}

/// The list of a fence's rules.
pub(crate) async fn read(objects: &impl Objects, fence: &WriteFence) -> Result<FenceRules> {
    documents::read(objects, &fence.rules).await
}

/// Removes rules, what denies first.
pub(crate) async fn remove(acls: &impl Acls, rules: &FenceRules) -> Result<()> {
    for rules in own(rules).into_iter().rev().filter(|rules| !rules.is_empty()) {
        acls.remove(&rules).await?;
    }
    Ok(())
}

/// Rules of ours that the source shows.
async fn shown(acls: &impl Acls, rules: &FenceRules) -> Result<Vec<AclBinding>> {
    let ours: BTreeSet<_> = own(rules).into_iter().flatten().collect();
    let there = acls.rules().await?.unwrap_or_default();
    Ok(there.into_iter().filter(|rule| ours.contains(rule)).collect())
}

/// Puts it on record, unless the record was changed since it was read: then rules may have been set behind the removal.
async fn lifted(record: &impl Record, stored: StoredFence, by: &str) -> Result<bool> {
    let StoredFence { edition, mut fence } = stored;
    if fence.stands() {
        (fence.lifted_at, fence.lifted_by) = (Some(record.now()), Some(by.to_owned()));
    }
    record.store(Some(edition), &fence).await
}
