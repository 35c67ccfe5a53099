//! What must be true of a world in the end.

use documents::cutover_plan::{GroupPlan, PlannedOffset};
use documents::{CutoverReport, cutover_report};
use migration::Phase;
use migration::config::{Sentinels, WriteFence};

use crate::groups::METADATA_MAX;
use crate::rules;
use crate::source::Writer;
use crate::target::{By, Committed};
use crate::witness::Marked;
use crate::world::World;

type Verdict = Result<(), String>;

/// Judges a world that has come to its end.
///
/// # Errors
/// The first broken promise.
pub(crate) fn judge(world: &mut World) -> Verdict {
    if let Some(broken) = world.witness.broken.take() {
        return Err(broken);
    }
    judge_source(world)?;
    match world.witness.marked.clone() {
        Some(marked) => judge_ready(world, &marked),
        None => judge_given_up(world),
    }
}

/// Applications of the source see what they wrote, and sentinels where they were asked for.
fn judge_source(world: &World) -> Verdict {
    let limits = &world.setup.limits;
    for (partition, log) in world.setup.partitions.iter().zip(&world.source.logs) {
        let is_excluded = limits.sentinel_exclude.iter().any(|pattern| pattern.matches(&partition.topic));
        let may_have = limits.sentinels == Sentinels::Records && !is_excluded;
        if !may_have && log.entries.iter().any(|entry| entry.writer == Writer::Sentinel) {
            return Err(format!("{partition} has a sentinel that applications see"));
        }
    }
    Ok(())
}

/// Nothing is left of a cutover that was given up.
fn judge_given_up(world: &World) -> Verdict {
    let committed = world.target.groups.values().flat_map(|group| group.offsets.values());
    if committed.into_iter().any(|committed| committed.by == By::Migration) {
        return Err("nothing is marked, and offsets are committed".to_owned());
    }
    if let Some(left) = rules::ours(world).first() {
        return Err(format!("given up, and a rule of the write fence is left: {left}"));
    }
    if world.journal.fence.as_ref().is_some_and(|stored| stored.fence.may_hold()) {
        return Err("given up long ago, and the journal says that the write fence may hold".to_owned());
    }
    if world.producers.frozen || world.journal.frozen_at.is_some() || world.journal.phase != Phase::Failed {
        return Err(format!("given up in phase {}, producers are still frozen", world.journal.phase));
    }
    Ok(())
}

/// Everything that the plan has is in place, further on, or named with its reason.
fn judge_ready(world: &mut World, marked: &Marked) -> Verdict {
    if world.journal.phase != Phase::AwaitingClientSwitch {
        return Err(format!("marked, but still in phase {}", world.journal.phase));
    }
    if world.journal.plan.as_deref() != Some(&marked.key) {
        return Err(format!("{} is marked, the journal has {:?}", marked.key, world.journal.plan));
    }
    let stored = world.bucket.get(cutover_report::KEY).ok_or("there is no report")?;
    let report: CutoverReport = documents::document::decode(&stored.body).map_err(|error| error.to_string())?;
    if report.plan != marked.key {
        return Err(format!("{} is marked, the report is of {}", marked.key, report.plan));
    }
    if report.warnings.iter().any(|warning| warning.contains("went on on the target")) {
        world.saw("group further on");
    }
    for group in marked.plan.groups.iter().filter(|group| group.skipped.is_none()) {
        for offset in &group.offsets {
            judge_offset(world, group, offset, &report)?;
        }
    }
    let is_late = |end: &documents::cutover_plan::PartitionEnd| {
        let log = &world.source.logs[world.setup.index_of(&end.partition).unwrap()];
        log.entries.iter().any(|entry| entry.writer == Writer::Ignoring && entry.base >= end.source_end)
    };
    let is_late = marked.plan.ends.iter().any(is_late);
    if world.setup.limits.write_fence == WriteFence::Acl {
        if is_late && !world.setup.ignoring_is_super {
            return Err("a producer has written behind the end under a proven fence".to_owned());
        }
        let denied = |partition: &migration::TopicPartition| {
            world.source.rules.contains(&write_fence::rules::deny(&partition.topic))
        };
        if !world.setup.partitions.iter().all(denied) {
            return Err("the fence was lifted behind the mark".to_owned());
        }
    }
    if is_late {
        world.saw("late record behind the mark");
    }
    Ok(())
}

fn judge_offset(world: &World, group: &GroupPlan, planned: &PlannedOffset, report: &CutoverReport) -> Verdict {
    let Some(wanted) = planned.target_offset else { return Ok(()) };
    let on_target = world.target.groups.get(&group.group);
    let found = on_target.and_then(|group| group.offsets.get(&planned.partition));
    let GroupPlan { group: id, .. } = group;
    match found {
        Some(Committed { by: By::Migration, offset, metadata }) => {
            let is_right = (*offset, metadata) == (wanted, &planned.metadata);
            if is_right { Ok(()) } else { Err(format!("{id} is at {offset} of {}, not {wanted}", planned.partition)) }
        }
        Some(_) => Ok(()),
        None => {
            let refuses = on_target.is_some_and(|group| group.refuses.is_some() || group.was_active || group.was_share);
            let is_refused =
                refuses || world.target.denied.contains(&planned.partition) || planned.metadata.len() > METADATA_MAX;
            let begins = format!("group {id} has no offset of {}", planned.partition);
            let is_named = report.warnings.iter().any(|warning| warning.starts_with(&begins));
            match (is_refused, is_named) {
                (true, true) => Ok(()),
                (true, false) => Err(format!("no warning says: {begins}")),
                (false, _) => Err(format!("{begins}, and nobody refused it")),
            }
        }
    }
}
