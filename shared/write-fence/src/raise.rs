//! Setting the fence.

use std::collections::BTreeSet;
use std::sync::Arc;

use documents::{FenceRules, Objects, fence_rules};
use journal::{CutoverLease, WriteFence};
use kafka::AclOperation;
use migration::{Error, Result, scope};

use crate::lift::{for_long, read, remove};
use crate::ports::{Acls, Record};
use crate::record::{ATTEMPTS, lost_races, update};
use crate::rules::{Found, deny, parts};

/// Who sets a fence.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The claim of the cutover.
    pub lease: &'a CutoverLease,
    /// The invocation's attempt.
    pub attempt: u32,
}

/// Sets the fence around `topics`: decides its rules, puts them on record, sets them. Repeating it adds what is missing; rules of an
/// earlier fence that were not removed become a part of it. `holds` checks the claim before the first rule is set. Whoever ends the
/// cutover lifts the fence, also while it is set; then nothing of it is left by whichever of both comes last.
///
/// # Errors
/// Blocked without an authorizer, when the source does not let this principal alter its ACLs, and when the fence of this cutover
/// was lifted; those of `holds`; otherwise those of the cluster, the journal and the bucket.
pub async fn raise(
    acls: &impl Acls,
    record: &impl Record,
    objects: &impl Objects,
    claim: Claim<'_>,
    topics: &BTreeSet<Arc<str>>,
    holds: impl Future<Output = Result<()>>,
) -> Result<()> {
    let rules = begin(acls, record, objects, claim, topics).await?;
    let outcome = match holds.await {
        Ok(()) => set(acls, &rules).await,
        Err(error) => Err(error),
    };
    match outcome {
        // What failed for a passing reason may take effect still.
        Err(error) if error.kind.is_retryable() => Err(error),
        outcome => {
            let lifted = settled(acls, record, &rules, claim.lease.epoch, outcome.is_ok()).await;
            outcome.and(lifted)
        }
    }
}

/// Takes the invocation `epoch` out of those that may still be setting rules, behind a [`raise`] that was dropped or has failed for
/// a passing reason: others would have to reckon with it for as long as an invocation may last. Rules that it set behind a removal
/// are removed. Nothing where it is not entered.
///
/// # Errors
/// Blocked when the fence was lifted; those of the cluster, the journal and the bucket. It stays entered then.
pub async fn settle(acls: &impl Acls, record: &impl Record, objects: &impl Objects, epoch: u64) -> Result<()> {
    let stored = record.load().await?;
    let Some(fence) = stored.map(|stored| stored.fence).filter(|fence| fence.is_set_by(epoch)) else { return Ok(()) };
    let rules = read(objects, &fence).await?;
    // A broker answers what it is asked on a connection in its order: behind this one nothing is on its way any more. Nobody has
    // such a rule.
    acls.remove(&[deny(scope::TRIAL_TOPIC)]).await?;
    settled(acls, record, &rules, epoch, false).await
}

/// Records that every leader refuses to write.
///
/// # Errors
/// Those of the journal.
pub async fn proven(record: &impl Record) -> Result<()> {
    let now = record.now();
    update(record, |fence| _ = fence.proven_at.get_or_insert(now)).await.map(drop)
}

/// Decides the rules and puts them on record. They are decided anew when somebody else changed the record meanwhile: what he has set
/// would be taken for foreign.
async fn begin(
    acls: &impl Acls,
    record: &impl Record,
    objects: &impl Objects,
    claim: Claim<'_>,
    topics: &BTreeSet<Arc<str>>,
) -> Result<FenceRules> {
    for _ in 0..ATTEMPTS {
        let stored = record.load().await?;
        let edition = stored.as_ref().map(|stored| stored.edition);
        let was = stored.map(|stored| stored.fence);
        let rules = decide(acls, objects, was.as_ref(), topics).await?;
        let CutoverLease { version, epoch } = *claim.lease;
        let key = fence_rules::key(version, epoch, claim.attempt, edition.unwrap_or_default());
        // The name is this decision's alone: one that is taken is an answer that was lost.
        documents::write_new(objects, &key, &rules).await?;
        let fence = begun(was, record, &key, &rules, claim.lease)?;
        if record.store(edition, &fence).await? {
            return Ok(rules);
        }
    }
    Err(lost_races())
}

/// The rules of the fence around `topics`.
async fn decide(
    acls: &impl Acls,
    objects: &impl Objects,
    was: Option<&WriteFence>,
    topics: &BTreeSet<Arc<str>>,
) -> Result<FenceRules> {
    let earlier = match was.filter(|was| was.may_hold()) {
        Some(fence) => read(objects, fence).await?,
        None => FenceRules::default(),
    };
    let there = acls.rules().await?.ok_or_else(no_authorizer)?;
    let found = Found::new(&there, &earlier);
    let bare: Vec<_> = found.bare(topics).into_iter().filter(|topic| !earlier.denied.contains(&**topic)).collect();
    // What no rule is about and is permitted to us all the same is permitted to everybody.
    let open = match bare.is_empty() {
        true => BTreeSet::new(),
        false => acls.permitted(&bare, AclOperation::Read).await?,
    };
    Ok(found.fence(topics, &open, earlier))
}

fn no_authorizer() -> Error {
    Error::blocked(
        "the source has no authorizer, so that no ACL keeps anybody from writing: use cutover.write_fence none, or configure an \
         authorizer (authorizer.class.name)",
    )
}

/// The record of a fence that is about to be set under `lease`.
///
/// # Errors
/// Blocked when the fence of the same cutover was lifted.
fn begun(
    was: Option<WriteFence>,
    record: &impl Record,
    key: &str,
    rules: &FenceRules,
    lease: &CutoverLease,
) -> Result<WriteFence> {
    if was.as_ref().is_some_and(|was| was.version == lease.version && !was.stands()) {
        return Err(lifted_meanwhile());
    }
    let since = was.as_ref().filter(|was| was.stands()).map_or_else(|| record.now(), |was| was.since);
    let mut fence = WriteFence {
        version: lease.version,
        since,
        rules: key.to_owned(),
        topics: rules.denied.union(&rules.foreign).count(),
        own: rules.denied.len() + rules.allowed.len(),
        foreign: rules.foreign.len(),
        setters: was.map(|was| was.setters).unwrap_or_default(),
        set_at: None,
        proven_at: None,
        lifted_at: None,
        lifted_by: None,
    };
    fence.enter(lease.epoch, record.now());
    Ok(fence)
}

fn lifted_meanwhile() -> Error {
    Error::blocked("the write fence was lifted while it was set: the cutover was given up")
}

async fn set(acls: &impl Acls, rules: &FenceRules) -> Result<()> {
    for part in parts(rules) {
        acls.add(&part).await?;
    }
    Ok(())
}

/// Nothing of the invocation `epoch` is on its way any more; every rule of it is set where `is_set`. When the fence was lifted
/// meanwhile, its rules are removed once more.
///
/// # Errors
/// Blocked when it was lifted; those of the cluster and the journal.
async fn settled(acls: &impl Acls, record: &impl Record, rules: &FenceRules, epoch: u64, is_set: bool) -> Result<()> {
    let now = record.now();
    let fence = update(record, |fence| {
        if fence.stands() {
            fence.leave(epoch);
            fence.set_at = fence.set_at.or(is_set.then_some(now));
        }
    });
    if fence.await?.is_some_and(|fence| fence.stands()) {
        return Ok(());
    }
    remove(acls, rules, for_long()).await?;
    update(record, |fence| fence.leave(epoch)).await?;
    Err(lifted_meanwhile())
}
