//! A watch over the fence from the cutover to the end of the migration: what is written to the source, or committed there, behind
//! the plan's snapshot.
//!
//! Ends of logs and committed offsets only grow, so a look finds whatever came since the last one, whenever it is made.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use documents::CutoverPlan;
use documents::cutover_plan::GroupPlan;
use documents::late::{self as found, Late, LateCommit, Unseen};
use kafka::{Cluster, CommittedOffset, Stability};
use migration::{Phase, Result};
use runtime::Run;
use serde::Serialize;
use serde_json::json;
use telemetry::metrics;

use crate::live::target::group_offsets;
use crate::{fence, late};

/// Lines in the fact, which shares the run's item in the journal.
const LINES: usize = 20;

/// What the state machine does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Next {
    /// Whether to look again.
    pub again: bool,
    /// How long to wait before, in seconds.
    pub wait_seconds: u32,
}

/// Looks at the source once and puts on record what came too late. A source that cannot be asked is put on record too: behind the
/// switch it may have been turned off.
///
/// # Errors
/// Those of the journal and the bucket.
pub async fn watch(run: &Run<'_>) -> Result<Next> {
    let phase = run.meta.failed_in.unwrap_or(run.meta.phase);
    let Some(plan) = run.meta.plan.as_deref().filter(|_| is_watched(phase)) else {
        return Ok(Next { again: false, wait_seconds: 0 });
    };
    let plan: CutoverPlan = documents::read(&run.store, plan).await?;
    let before: Late = documents::read_if_there(&run.store, found::KEY).await?.unwrap_or_default();
    let now = run.journal.now();
    let after = match look(run, &plan, &before, now).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "the source cannot be looked at");
            let since = before.unseen.as_ref().map_or(now, |unseen| unseen.since);
            Late { unseen: Some(Unseen { since, error: error.to_string() }), ..before.clone() }
        }
    };
    record(run, phase, &before, &after).await?;
    Ok(Next { again: true, wait_seconds: pause(now - plan.made_at) })
}

/// Puts `after` on record, which was found behind `before`, and tells whoever looks when it is something else.
///
/// # Errors
/// Those of the journal and the bucket.
pub(crate) async fn record(run: &Run<'_>, phase: Phase, before: &Late, after: &Late) -> Result<()> {
    if lines(after) != lines(before) {
        let all = lines(after);
        run.journal.set_fact(found::FACT, &json!(all.iter().take(LINES).collect::<Vec<_>>())).await?;
        let records: i64 = after.records.iter().map(|late| late.records).sum();
        let values = [(metrics::LATE_RECORDS, records as f64), (metrics::LATE_COMMITS, after.commits.len() as f64)];
        metrics::emit(phase.name(), run.id.as_str(), &values);
    }
    documents::write(&run.store, found::KEY, after).await
}

/// Whether late records can still come in a phase.
const fn is_watched(phase: Phase) -> bool {
    matches!(phase, Phase::AwaitingClientSwitch | Phase::Validating)
}

/// Often at first, when forgotten producers show; seldom when the migration waits for its end for days. Never more often than every
/// 30 seconds, which the history of an execution is reckoned with.
fn pause(age: TimeDelta) -> u32 {
    match age.num_minutes() {
        ..10 => 30,
        10..120 => 60,
        _ => 300,
    }
}

/// Looks at the source once.
///
/// # Errors
/// Those of the source, and of the bucket and the journal.
pub(crate) async fn look(run: &Run<'_>, plan: &CutoverPlan, before: &Late, now: DateTime<Utc>) -> Result<Late> {
    let source = run.source().await?;
    let found = late::live::found(run, &source, before, now).await?;
    let commits = late_commits(&source, plan, before, now).await?;
    Ok(Late { looked_at: Some(now), unseen: None, commits, ..found })
}

async fn late_commits(
    source: &Cluster,
    plan: &CutoverPlan,
    before: &Late,
    now: DateTime<Utc>,
) -> Result<Vec<LateCommit>> {
    let ids: Vec<_> =
        plan.groups.iter().filter(|group| group.skipped.is_none()).map(|group| group.group.clone()).collect();
    let committed = group_offsets(source, &ids, Stability::Now).await?;
    let mut late: Vec<_> = plan
        .groups
        .iter()
        .filter(|group| group.skipped.is_none())
        .flat_map(|group| {
            let found = committed.get(&group.group).map_or(&[][..], Vec::as_slice);
            beyond(group, found, now)
        })
        .collect();
    let known: BTreeMap<_, _> =
        before.commits.iter().map(|late| ((&late.group, &late.partition), (late.first_seen, &late.members))).collect();
    let mut new = BTreeSet::new();
    for commit in &mut late {
        match known.get(&(&commit.group, &commit.partition)) {
            Some((first_seen, members)) => (commit.first_seen, commit.members) = (*first_seen, (*members).clone()),
            None => _ = new.insert(commit.group.clone()),
        }
    }
    let members = members(source, new.into_iter().collect()).await;
    for commit in late.iter_mut().filter(|commit| commit.members.is_empty()) {
        commit.members = members.get(&commit.group).cloned().unwrap_or_default();
    }
    Ok(late)
}

/// Offsets of `group` that are further on than what was brought over.
fn beyond(group: &GroupPlan, found: &[CommittedOffset], first_seen: DateTime<Utc>) -> Vec<LateCommit> {
    let found: BTreeMap<_, _> = found.iter().map(|offset| (&offset.partition, offset.offset)).collect();
    let late = group.offsets.iter().filter_map(|planned| {
        let offset = *found.get(&planned.partition).filter(|found| **found > planned.source_offset)?;
        Some(LateCommit {
            group: group.group.clone(),
            partition: planned.partition.clone(),
            planned: planned.source_offset,
            found: offset,
            members: Vec::new(),
            first_seen,
        })
    });
    late.collect()
}

/// Client ids and hosts of the members of `groups`, as far as the source describes them.
async fn members(source: &Cluster, groups: Vec<String>) -> BTreeMap<String, Vec<String>> {
    if groups.is_empty() {
        return BTreeMap::new();
    }
    let described = source.describe_groups(&groups).await;
    let named = described.into_iter().filter_map(|(id, group)| {
        let members = group.ok()?.members;
        Some((id, members.into_iter().map(|member| format!("{} at {}", member.client_id, member.host)).collect()))
    });
    named.collect()
}

/// One line for each thing that came too late, and one when the source cannot be looked at.
pub fn lines(late: &Late) -> Vec<String> {
    let unseen = late.unseen.as_ref().map(|unseen| {
        format!("the source cannot be looked at since {}: {}", clock::timestamp(unseen.since), unseen.error)
    });
    let records = late.records.iter().map(|late| {
        let noun = if late.records == 1 { "record was" } else { "records were" };
        let at_least = if late.at_least { "at least " } else { "" };
        let by = match late.producers.as_slice() {
            [] => "a producer without an id".to_owned(),
            [id] => format!("producer id {id}"),
            [id, rest @ ..] => format!("producer id {id}{}", fence::and_more(rest.len() + 1, "producer", "producers")),
        };
        format!(
            "{}: {at_least}{} {noun} written to the source behind the fence, at offsets {} to {}, by {by}, seen at {}: they are not on the \
             target; msk-kraft late-records appends them",
            late.partition,
            late.records,
            late.from,
            late.to,
            clock::timestamp(late.first_seen)
        )
    });
    let commits = late.commits.iter().map(|late| {
        let members = if late.members.is_empty() { String::new() } else { format!(" by {}", late.members.join(", ")) };
        format!(
            "group {} committed offset {} of {} on the source{members} behind the snapshot, {} was brought over: it reads {} \
             offsets again on the target",
            late.group,
            late.found,
            late.partition,
            late.planned,
            late.found - late.planned
        )
    });
    let removed = late.removed.iter().map(|removed| {
        format!(
            "{}: offsets {} to {} were written to the source behind the fence and removed there before they were looked at: whether they \
             were records is not known, and they are not on the target",
            removed.partition,
            removed.from,
            removed.to - 1
        )
    });
    let unreadable = late.unreadable.iter().map(|(partition, why)| format!("{partition}: {why}"));
    unseen.into_iter().chain(records).chain(removed).chain(unreadable).chain(commits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use documents::cutover_plan::PlannedOffset;
    use documents::late::LateRecords;
    use documents::late_append::LateRemoved;
    use kafka::TopicPartition;

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    #[test]
    fn late_records_are_named_with_the_way_out() {
        let partition = TopicPartition::new("orders", 3);
        let records = LateRecords {
            partition: partition.clone(),
            from: 10,
            to: 13,
            records: 3,
            at_least: false,
            producers: vec![7],
            newest: None,
            first_seen: at(),
        };
        let late = Late {
            records: vec![records],
            removed: vec![LateRemoved { partition, from: 8, to: 10 }],
            unreadable: [("orders/4".to_owned(), "its topic was deleted".to_owned())].into(),
            ..Late::default()
        };
        let mut many = late.clone();
        many.records[0].at_least = true;
        assert!(super::lines(&many)[0].starts_with("orders/3: at least 3 records were written"), "{many:?}");
        let lines = lines(&late);
        for (line, parts) in lines.iter().zip([
            ["orders/3: 3 records were written to the source behind the fence, at offsets 10 to 13, by producer id 7", "late-records"],
            ["orders/3: offsets 8 to 9 were written", "removed there before"],
            ["orders/4", "its topic was deleted"],
        ]) {
            assert!(parts.iter().all(|part| line.contains(part)), "{line}");
        }
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn a_commit_behind_the_snapshot_is_named_and_one_that_stayed_is_not() {
        let partition = |number| TopicPartition::new("orders", number);
        let planned = |number, source_offset| PlannedOffset {
            partition: partition(number),
            source_offset,
            target_offset: Some(1),
            metadata: String::new(),
            note: None,
        };
        let group = GroupPlan {
            group: "g".to_owned(),
            skipped: None,
            offsets: vec![planned(0, 5), planned(1, 5), planned(2, 5)],
            outside: 0,
        };
        let found = |number, offset| CommittedOffset {
            partition: partition(number),
            offset,
            leader_epoch: None,
            metadata: String::new(),
        };
        let late = beyond(&group, &[found(0, 5), found(1, 8), found(2, 4)], at());
        assert_eq!(late.iter().map(|late| (late.partition.partition, late.found)).collect::<Vec<_>>(), [(1, 8)]);
        let late = Late { commits: late, ..Late::default() };
        assert!(lines(&late)[0].contains("it reads 3 offsets again on the target"), "{:?}", lines(&late));
    }

    #[test]
    fn looks_become_rarer() {
        assert_eq!([0, 9, 10, 119, 120].map(|minutes| pause(TimeDelta::minutes(minutes))), [30, 30, 60, 60, 300]);
    }
}
