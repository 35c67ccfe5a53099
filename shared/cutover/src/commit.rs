//! Committing the plan's offsets on the target, and reading them back.
//!
//! Groups go in chunks. Right before a chunk is committed it is compared with what the target has and the lease is checked, and
//! both count for a few seconds only: an invocation that was overtaken, or stood still, looks again before it commits anything
//! more. Behind a chunk is stored what became of it, so that nobody commits it again. An offset that is further on than planned
//! stays: the group has gone on.

use std::collections::BTreeMap;
use std::time::Duration;

use clock::Deadline;
use documents::commits::{self, CommittedChunk, NotCommitted};
use documents::cutover_plan::{GroupPlan, PlannedOffset};
use futures::{StreamExt, stream};
use journal::CutoverLease;
use kafka::{CommittedOffset, NewOffset};
use migration::{Error, Result, TopicPartition};

use crate::ports::{BehindTheMark, Ledger, Target};
use crate::steps::Steps;

/// Groups of a chunk.
const CHUNK: usize = 64;

/// Groups committed at the same time.
const AT_ONCE: usize = 16;

/// Longest time from a look at the lease and the target to a commit that is sent because of it. Later the group may have been
/// switched to the target, have gone on there and have stopped again, and nothing else would keep the commit from setting it
/// back.
const FRESH: Duration = Duration::from_secs(10);

/// The offsets of one group on the target.
type OnTarget = BTreeMap<TopicPartition, CommittedOffset>;

/// Commits the offsets of `groups`, which are those of the plan under the key `plan`. Repeating it commits what is missing.
///
/// # Errors
/// Transient when a coordinator cannot be reached, Fenced when another invocation took over. What a coordinator refuses is a
/// warning with its repair.
pub(crate) async fn commit(
    ports: &impl BehindTheMark,
    lease: &CutoverLease,
    plan: &str,
    groups: &[GroupPlan],
    steps: &Steps,
) -> Result<CommittedChunk> {
    let wanted: Vec<_> = groups.iter().filter(|group| group.skipped.is_none()).collect();
    let mut all = CommittedChunk::default();
    for (number, chunk) in wanted.chunks(CHUNK).enumerate() {
        let key = commits::key(plan, number);
        let done = match documents::read_if_there(ports.objects(), &key).await? {
            Some(done) => done,
            None => {
                steps.waits_for(format!("the commits of groups {} and following", chunk[0].group));
                let done = commit_chunk(ports, lease, chunk).await?;
                documents::write(ports.objects(), &key, &done).await?;
                done
            }
        };
        all.groups += done.groups;
        all.offsets += done.offsets;
        all.not_committed.extend(done.not_committed);
        all.warnings.extend(done.warnings);
    }
    Ok(all)
}

async fn commit_chunk(
    ports: &impl BehindTheMark,
    lease: &CutoverLease,
    chunk: &[&GroupPlan],
) -> Result<CommittedChunk> {
    let mut refused = BTreeMap::new();
    let mut left = chunk.to_vec();
    while !left.is_empty() {
        let decided = commit_fresh(ports, lease, &left).await?;
        if decided.is_empty() {
            return Err(Error::transient(format_args!(
                "commit the offsets of group {} and {} more on the target: nothing was answered within {FRESH:?}",
                left[0].group,
                left.len() - 1
            )));
        }
        left.retain(|group| !decided.contains_key(group.group.as_str()));
        refused.extend(decided);
    }
    let after = on_target(ports, chunk).await?;
    let none = OnTarget::new();
    let mut done = CommittedChunk::default();
    for group in chunk {
        let after = after.get(&group.group).unwrap_or(&none);
        let reasons = refused.remove(group.group.as_str()).unwrap_or_default();
        add(&mut done, group, after, &reasons);
    }
    Ok(done)
}

/// Commits what is missing of `groups`, for as long as what was seen of the target and the lease counts. Returns the groups that
/// were answered for, with why the coordinator refuses which offset.
async fn commit_fresh<'a>(
    ports: &impl BehindTheMark,
    lease: &CutoverLease,
    groups: &[&'a GroupPlan],
) -> Result<BTreeMap<&'a str, BTreeMap<TopicPartition, String>>> {
    let fresh = Deadline::after(FRESH);
    let before = on_target(ports, groups).await?;
    ports.ledger().check(lease).await?;
    let none = OnTarget::new();
    let commits = groups.iter().map(|group| {
        let missing = missing(group, before.get(&group.group).unwrap_or(&none));
        async move { (group.group.as_str(), fresh.limit(commit_group(ports, &group.group, missing)).await) }
    });
    let commits: Vec<_> = stream::iter(commits.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect().await;
    let answered = commits.into_iter().filter_map(|(group, outcome)| Some((group, outcome.ok()?)));
    answered.map(|(group, outcome)| Ok((group, outcome?))).collect()
}

async fn on_target(ports: &impl BehindTheMark, chunk: &[&GroupPlan]) -> Result<BTreeMap<String, OnTarget>> {
    let ids: Vec<_> = chunk.iter().map(|group| group.group.clone()).collect();
    let groups = ports.target().group_offsets(&ids).await?;
    let by_partition = |offsets: Vec<CommittedOffset>| {
        offsets.into_iter().map(|offset| (offset.partition.clone(), offset)).collect::<OnTarget>()
    };
    Ok(groups.into_iter().map(|(id, offsets)| (id, by_partition(offsets))).collect())
}

/// The planned offsets of a group, with their place on the target.
fn planned(group: &GroupPlan) -> impl Iterator<Item = (&PlannedOffset, i64)> {
    group.offsets.iter().filter_map(|offset| Some((offset, offset.target_offset?)))
}

/// What is neither in place nor further on.
fn missing(group: &GroupPlan, there: &OnTarget) -> Vec<NewOffset> {
    let is_missing = |offset: &PlannedOffset, wanted: i64| match there.get(&offset.partition) {
        None => true,
        Some(found) => found.offset < wanted || (found.offset == wanted && found.metadata != offset.metadata),
    };
    let missing = planned(group).filter(|(offset, wanted)| is_missing(offset, *wanted));
    missing
        .map(|(offset, wanted)| NewOffset {
            partition: offset.partition.clone(),
            offset: wanted,
            metadata: offset.metadata.clone(),
        })
        .collect()
}

/// Commits, and returns why the coordinator refuses which offset.
///
/// # Errors
/// Those that are worth another try.
async fn commit_group(
    ports: &impl BehindTheMark,
    group: &str,
    missing: Vec<NewOffset>,
) -> Result<BTreeMap<TopicPartition, String>> {
    let mut refused = BTreeMap::new();
    if missing.is_empty() {
        return Ok(refused);
    }
    let outcomes = ports.target().commit(group, &missing).await;
    for (partition, outcome) in outcomes {
        match outcome.map_err(Error::from) {
            Ok(()) => {}
            Err(error) if error.kind.is_retryable() => {
                let message = format!("commit the offset of group {group} on the target: {}", error.message);
                return Err(Error { message, ..error }.at(&partition));
            }
            Err(error) => _ = refused.insert(partition, error.message),
        }
    }
    Ok(refused)
}

/// Counts what is in place, and names what is not.
fn add(done: &mut CommittedChunk, group: &GroupPlan, after: &OnTarget, reasons: &BTreeMap<TopicPartition, String>) {
    let mut missing = None;
    let mut any = false;
    for (offset, wanted) in planned(group) {
        any = true;
        match after.get(&offset.partition).map(|found| found.offset) {
            Some(found) if found >= wanted => {
                done.offsets += 1;
                if found > wanted {
                    done.warnings.push(format!(
                        "group {} is at offset {found} of {}, beyond {wanted}: it went on on the target, and stays there",
                        group.group, offset.partition
                    ));
                }
            }
            found => {
                let found = found.map_or_else(|| "no offset".to_owned(), |found| format!("offset {found}"));
                let why = reasons.get(&offset.partition).map_or("another client commits for it", String::as_str);
                missing.get_or_insert(why);
                done.warnings.push(format!(
                    "group {} has {found} of {} on the target, wanted is {wanted}: {why}. Cure that, then commit it: {}",
                    group.group,
                    offset.partition,
                    repair(&group.group, &offset.partition, wanted)
                ));
            }
        }
    }
    done.groups += usize::from(any && missing.is_none());
    let not_committed = missing.map(|why| NotCommitted { group: group.group.clone(), reason: why.to_owned() });
    done.not_committed.extend(not_committed);
}

/// The command that commits one offset by hand.
fn repair(group: &str, partition: &TopicPartition, offset: i64) -> String {
    let TopicPartition { topic, partition } = partition;
    format!(
        "kafka-consumer-groups.sh --bootstrap-server TARGET --group '{group}' --topic {topic}:{partition} --reset-offsets \
         --to-offset {offset} --execute"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(offsets: &[(i32, i64)]) -> GroupPlan {
        let offset = |(partition, target): &(i32, i64)| PlannedOffset {
            partition: TopicPartition::new("t", *partition),
            source_offset: 0,
            target_offset: Some(*target),
            metadata: "m".to_owned(),
            note: None,
        };
        GroupPlan { group: "g".to_owned(), skipped: None, offsets: offsets.iter().map(offset).collect(), outside: 0 }
    }

    fn there(offsets: &[(i32, i64, &str)]) -> OnTarget {
        let offset = |(partition, offset, metadata): &(i32, i64, &str)| {
            let partition = TopicPartition::new("t", *partition);
            let metadata = (*metadata).to_owned();
            (partition.clone(), CommittedOffset { partition, offset: *offset, leader_epoch: None, metadata })
        };
        offsets.iter().map(offset).collect()
    }

    #[test]
    fn only_what_is_missing_is_committed_and_nothing_goes_back() {
        let group = plan(&[(0, 5), (1, 5), (2, 5), (3, 5), (4, 5)]);
        let there = there(&[(0, 5, "m"), (1, 9, "other"), (2, 4, "m"), (3, 5, "other")]);
        let missing: Vec<_> = missing(&group, &there).into_iter().map(|offset| offset.partition.partition).collect();
        assert_eq!(missing, [2, 3, 4]);
    }

    #[test]
    fn what_is_not_in_place_is_named_with_its_repair() {
        let group = plan(&[(0, 5), (1, 5), (2, 5)]);
        let reasons = BTreeMap::from([(TopicPartition::new("t", 2), "OffsetMetadataTooLarge".to_owned())]);
        let mut done = CommittedChunk::default();
        add(&mut done, &group, &there(&[(0, 5, "m"), (1, 8, "m")]), &reasons);
        assert_eq!((done.groups, done.offsets, done.warnings.len()), (0, 2, 2));
        let refused = NotCommitted { group: "g".to_owned(), reason: "OffsetMetadataTooLarge".to_owned() };
        assert_eq!(done.not_committed, [refused]);
        assert!(done.warnings[0].starts_with("group g is at offset 8 of t/1, beyond 5"), "{:?}", done.warnings);
        assert!(
            done.warnings[1]
                .starts_with("group g has no offset of t/2 on the target, wanted is 5: OffsetMetadataTooLarge")
                && done.warnings[1].ends_with("--group 'g' --topic t:2 --reset-offsets --to-offset 5 --execute"),
            "{:?}",
            done.warnings
        );
        add(&mut done, &plan(&[(0, 5)]), &there(&[(0, 5, "m")]), &BTreeMap::new());
        assert_eq!((done.groups, done.not_committed.len()), (1, 1));
    }
}
