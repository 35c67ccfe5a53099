//! Removing the fence.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clock::Deadline;
use documents::{FenceRules, Objects};
use journal::{LIFETIME, StoredFence, WriteFence};
use kafka::{AclBinding, AclOperation};
use migration::{Error, Result};
use tokio::time::sleep;

use crate::ports::{Acls, Record};
use crate::record::update;
use crate::rules::{own, parts};

/// How long rules are removed while brokers still show some: what lets producers go afterwards has to fit into the same invocation.
const LONGEST: Duration = Duration::from_secs(300);

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// Rounds that an invocation which may still set rules is waited for: one that was killed never says that it has ended.
const FOR_SETTERS: u32 = 8;

/// How long leaders are waited for that have not heard of the removal.
const HEARD_WITHIN: Duration = Duration::from_secs(10);

/// Brokers show by then what was set.
const SHOWN_BY: TimeDelta = TimeDelta::minutes(1);

/// Topics that are named.
const NAMED: usize = 5;

/// Which fence is lifted, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct Lift<'a> {
    /// The run's version at the look that said that its fence has to go: the fence of a cutover that began later is another.
    pub version: u64,
    /// By whom, or because of what.
    pub by: &'a str,
}

/// What became of a fence that was to be lifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifted {
    /// There is none.
    Nothing,
    /// So many rules of ours are not on the source any more.
    Rules(usize),
}

/// Removes every rule of ours until brokers show none of them, waits for leaders to hear of it, and puts that on record with `by`.
/// Rules that were there before stay. Connects only when there may be something to remove. Repeating it changes nothing.
///
/// # Errors
/// Fenced when the fence is that of a later cutover; those of connecting, the cluster, the journal and the bucket; Transient when
/// brokers go on showing rules.
pub async fn lift<A: Acls>(
    connect: impl AsyncFnOnce() -> Result<A>,
    record: &impl Record,
    objects: &impl Objects,
    what: Lift<'_>,
) -> Result<Lifted> {
    let Some(first) = record.load().await?.filter(|stored| stored.fence.may_hold()) else {
        return Ok(Lifted::Nothing);
    };
    if first.fence.version > what.version {
        return Err(Error::fenced("another cutover has begun meanwhile: its write fence is left to it"));
    }
    let rules = read(objects, &first.fence).await?;
    let acls = connect().await?;
    let until = Deadline::after(LONGEST);
    // What was set a moment ago is not shown yet: it is removed unseen.
    let mut left = match is_long_set(&first.fence, record.now()) {
        true => about(&rules, &shown(&acls, &rules).await?),
        false => rules.clone(),
    };
    let mut edition = first.edition;
    for round in 0.. {
        // Read before rules are removed: whoever is entered as setting some may do so behind the removal.
        let Some(stored) = record.load().await?.filter(|stored| stored.fence.rules == first.fence.rules) else {
            return Err(Error::transient("another write fence was begun while one was lifted; repeat it"));
        };
        let is_set = is_being_set(&stored.fence, record.now());
        if stored.edition != edition || (is_set && round == FOR_SETTERS) {
            left.clone_from(&rules);
        }
        edition = stored.edition;
        remove(&acls, &left, until).await?;
        let there = shown(&acls, &rules).await?;
        if there.is_empty() && (!is_set || round >= FOR_SETTERS) {
            heard(&acls, &rules).await;
            if lifted(record, stored, what.by).await? {
                return Ok(Lifted::Rules(rules.denied.len() + rules.allowed.len()));
            }
        }
        if until.has_passed() {
            return Err(still_shown(&there));
        }
        left = about(&rules, &there);
        sleep(PAUSE).await;
    }
    Err(Error::internal("a write fence was lifted for ever"))
}

/// Puts on record that an operator, `by`, has removed the rules himself, without a look at the source. An invocation that may still
/// be setting some stays on record. Says whether a fence was on record that may have held.
///
/// # Errors
/// Those of the journal.
pub async fn lifted_by_hand(record: &impl Record, by: &str) -> Result<bool> {
    let Some(stored) = record.load().await?.filter(|stored| stored.fence.may_hold()) else { return Ok(false) };
    let (now, by) = (record.now(), format!("{by}, by hand"));
    update(record, |fence| {
        if fence.version == stored.fence.version {
            end(fence, now, &by);
        }
    })
    .await?;
    Ok(true)
}

/// The rules of a fence that stands, or may stand in part; none without one.
///
/// # Errors
/// Those of the journal and the bucket.
pub async fn standing(record: &impl Record, objects: &impl Objects) -> Result<BTreeSet<AclBinding>> {
    match record.load().await?.map(|stored| stored.fence).filter(WriteFence::may_hold) {
        Some(fence) => Ok(own(&read(objects, &fence).await?).collect()),
        None => Ok(BTreeSet::new()),
    }
}

/// The list of a fence's rules.
pub(crate) async fn read(objects: &impl Objects, fence: &WriteFence) -> Result<FenceRules> {
    documents::read(objects, &fence.rules).await
}

/// Removes rules part by part.
///
/// # Errors
/// Transient when that takes longer than `until`; those of the cluster.
pub(crate) async fn remove(acls: &impl Acls, rules: &FenceRules, until: Deadline) -> Result<()> {
    for mut part in parts(rules) {
        if until.has_passed() {
            return Err(Error::transient("removing the write fence takes long; repeat it, and it goes on"));
        }
        part.reverse();
        acls.remove(&part).await?;
    }
    Ok(())
}

/// As long as one invocation may take for [`remove`].
pub(crate) fn for_long() -> Deadline {
    Deadline::after(LONGEST)
}

/// Whether brokers have long come to know everything that was set, and nobody sets anything.
fn is_long_set(fence: &WriteFence, now: DateTime<Utc>) -> bool {
    let last = fence.set_at.unwrap_or(fence.since + LIFETIME);
    fence.setters.is_empty() && now - last > SHOWN_BY
}

/// Whether an invocation may be setting rules by `now`.
fn is_being_set(fence: &WriteFence, now: DateTime<Utc>) -> bool {
    let mut fence = fence.clone();
    fence.forget_ended(now);
    !fence.setters.is_empty()
}

/// Rules of ours that the source shows.
async fn shown(acls: &impl Acls, rules: &FenceRules) -> Result<Vec<AclBinding>> {
    let ours: BTreeSet<_> = own(rules).collect();
    let there = acls.rules().await?.unwrap_or_default();
    Ok(there.into_iter().filter(|rule| ours.contains(rule)).collect())
}

/// Those of `rules` that are about the topics of `shown`: of two rules on a topic a broker may show one, and both have to go at once
/// all the same.
fn about(rules: &FenceRules, shown: &[AclBinding]) -> FenceRules {
    let topics: BTreeSet<_> = shown.iter().map(|rule| rule.name.clone()).collect();
    let of = |all: &BTreeSet<String>| all.intersection(&topics).cloned().collect();
    FenceRules { denied: of(&rules.denied), allowed: of(&rules.allowed), foreign: BTreeSet::new() }
}

fn still_shown(rules: &[AclBinding]) -> Error {
    let first = rules.first().map_or_else(String::new, |rule| format!(", first {rule}"));
    Error::transient(format_args!("the source still shows {} rules of the write fence{first}", rules.len()))
}

/// Waits until no leader refuses our own write for a rule of ours any more: producers that are let go would meet it. One that has
/// not heard of the removal after a while is named.
async fn heard(acls: &impl Acls, rules: &FenceRules) {
    let denied: Vec<Arc<str>> = rules.denied.iter().map(|topic| Arc::from(topic.as_str())).collect();
    let mut refusing = BTreeSet::new();
    let wait = async {
        // Where somebody else's rule denies it, or none allows it, it stays so.
        refusing = acls.permitted(&denied, AclOperation::Write).await?;
        loop {
            refusing = acls.refusing(&refusing).await?;
            if refusing.is_empty() {
                return Ok::<_, Error>(());
            }
            sleep(PAUSE).await;
        }
    };
    match Deadline::after(HEARD_WITHIN).limit(wait).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "whether leaders still refuse to write could not be found out"),
        Err(_) => {
            let named: Vec<_> = refusing.iter().take(NAMED).map(|topic| &**topic).collect();
            tracing::warn!(
                topics = refusing.len(),
                first = named.join(", "),
                "the write fence is removed, and leaders have not heard of it: producers may be refused for a while"
            );
        }
    }
}

/// Puts it on record, unless the record was changed since it was read: then rules may have been set behind the removal.
async fn lifted(record: &impl Record, stored: StoredFence, by: &str) -> Result<bool> {
    let StoredFence { edition, mut fence } = stored;
    end(&mut fence, record.now(), by);
    record.store(Some(edition), &fence).await
}

/// The end of a fence. Whoever may still be setting rules stays on record, those that were cut off long ago apart.
fn end(fence: &mut WriteFence, now: DateTime<Utc>, by: &str) {
    if fence.stands() {
        (fence.lifted_at, fence.lifted_by) = (Some(now), Some(by.to_owned()));
    }
    fence.forget_ended(now);
}
