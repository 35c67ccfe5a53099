//! A watch over the fence from the cutover to the end of the migration: what is written to the source, or committed there, behind
//! the plan's snapshot.
//!
//! Ends of logs and committed offsets only grow, so a look finds whatever came since the last one, whenever it is made.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use documents::CutoverPlan;
use documents::cutover_plan::GroupPlan;
use documents::late::{self, Late, LateCommit, LateRecords, Unseen};
use kafka::{Cluster, CommittedOffset, OffsetSpec, Stability, TopicPartition, WrittenBatch};
use migration::{Error, Phase, Result};
use runtime::Run;
use serde::Serialize;
use serde_json::json;
use telemetry::metrics;

use crate::fence;
use crate::live::target::group_offsets;

/// Batches of a partition that are looked at; the rest is counted by offsets.
const LOOKED_AT: usize = 1_000;

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
    let before: Late = documents::read_if_there(&run.store, late::KEY).await?.unwrap_or_default();
    let now = run.journal.now();
    let after = match look(run, &plan, &before, now).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "the source cannot be looked at");
            let since = before.unseen.as_ref().map_or(now, |unseen| unseen.since);
            Late { unseen: Some(Unseen { since, error: error.to_string() }), ..before.clone() }
        }
    };
    if (&after.records, &after.commits, after.unseen.is_some())
        != (&before.records, &before.commits, before.unseen.is_some())
    {
        let all = lines(&after);
        run.journal.set_fact(late::FACT, &json!(all.iter().take(LINES).collect::<Vec<_>>())).await?;
        let records: i64 = after.records.iter().map(|late| late.records).sum();
        let values = [(metrics::LATE_RECORDS, records as f64), (metrics::LATE_COMMITS, after.commits.len() as f64)];
        metrics::emit(phase.name(), run.id.as_str(), &values);
    }
    documents::write(&run.store, late::KEY, &after).await?;
    Ok(Next { again: true, wait_seconds: pause(now - plan.made_at) })
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

async fn look(run: &Run<'_>, plan: &CutoverPlan, before: &Late, now: DateTime<Utc>) -> Result<Late> {
    let source = run.source().await?;
    let records = late_records(&source, plan, before, now).await?;
    let commits = late_commits(&source, plan, before, now).await?;
    Ok(Late { looked_at: Some(now), unseen: None, records, commits })
}

async fn late_records(
    source: &Cluster,
    plan: &CutoverPlan,
    before: &Late,
    now: DateTime<Utc>,
) -> Result<Vec<LateRecords>> {
    let names: Vec<_> = plan.ends.iter().map(|end| end.partition.clone()).collect();
    let mut ends = BTreeMap::new();
    for (partition, end) in source.list_offsets(&names, OffsetSpec::Latest).await {
        // A topic that its owner deleted on the source has no late records.
        match end {
            Err(error) if error.code() == Some(kafka::Code::UnknownTopicOrPartition) => {}
            end => _ = ends.insert(partition, end?),
        }
    }
    let moved = plan.ends.iter().filter(|end| ends.get(&end.partition).is_some_and(|now| *now > end.source_end));
    let moved: Vec<_> = moved.map(|end| (end.partition.clone(), end.source_end)).collect();
    let known: BTreeMap<_, _> = before.records.iter().map(|late| (&late.partition, late.first_seen)).collect();
    let mut late = Vec::new();
    for (partition, batches) in source.written_since(&moved, LOOKED_AT).await {
        let batches: Vec<_> = batches?.into_iter().filter(|batch| !batch.is_control).collect();
        let first_seen = known.get(&partition).copied().unwrap_or(now);
        late.extend(summary(partition, &batches, first_seen));
    }
    Ok(late)
}

/// What `batches` are together; nothing without records.
fn summary(partition: TopicPartition, batches: &[WrittenBatch], first_seen: DateTime<Utc>) -> Option<LateRecords> {
    let (first, last) = (batches.first()?, batches.last()?);
    let producers: BTreeSet<_> =
        batches.iter().filter_map(|batch| batch.producer).map(|producer| producer.id).collect();
    let newest = batches.iter().map(|batch| batch.timestamp).max().filter(|at| *at >= 0);
    Some(LateRecords {
        partition,
        from: first.base_offset,
        to: last.next_offset,
        records: batches.iter().map(|batch| batch.records).sum(),
        producers: producers.into_iter().collect(),
        newest: newest.and_then(DateTime::from_timestamp_millis),
        first_seen,
    })
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
        let by = match late.producers.as_slice() {
            [] => "a producer without an id".to_owned(),
            [id] => format!("producer id {id}"),
            [id, rest @ ..] => format!("producer id {id}{}", fence::and_more(rest.len() + 1, "producer", "producers")),
        };
        format!(
            "{}: {} {noun} written to the source behind the fence, at offsets {} to {}, by {by}, seen at {}: they are not on the \
             target",
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
    unseen.into_iter().chain(records).chain(commits).collect()
}

/// Refuses nothing and changes nothing: what is on record, for whoever asks.
///
/// # Errors
/// Those of the bucket.
pub async fn on_record(run: &Run<'_>) -> Result<Late, Error> {
    Ok(documents::read_if_there(&run.store, late::KEY).await?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use documents::cutover_plan::PlannedOffset;
    use kafka::ProducerIdentity;

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    #[test]
    fn late_records_are_summed_up_by_partition() {
        let batch = |base: i64, records: i64, producer: Option<i64>| WrittenBatch {
            base_offset: base,
            next_offset: base + records,
            records,
            is_control: false,
            producer: producer.map(|id| ProducerIdentity { id, epoch: 0 }),
            timestamp: base,
        };
        let partition = TopicPartition::new("orders", 3);
        assert_eq!(summary(partition.clone(), &[], at()), None);
        let late = summary(partition, &[batch(10, 2, Some(7)), batch(12, 1, None)], at()).unwrap();
        assert_eq!((late.from, late.to, late.records, late.producers.as_slice()), (10, 13, 3, &[7][..]));
        let line = lines(&Late { records: vec![late], ..Late::default() }).remove(0);
        assert!(
            line.starts_with(
                "orders/3: 3 records were written to the source behind the fence, at offsets 10 to 13, by producer id 7, seen at \
                 2023-11-14T22:13:20.000000Z"
            ),
            "{line}"
        );
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
