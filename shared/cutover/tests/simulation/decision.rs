//! What must be true of a plan at the moment at which it is marked, from what really happened on the source and what really
//! lies on the target.

use std::time::Duration;

use documents::CutoverPlan;
use documents::cutover_plan::{EndProof, GroupPlan, PartitionEnd, PlannedOffset};
use migration::config::{Cutover, Sentinels, WriteFence};
use migration::scope;
use tokio::time::Instant;

use crate::source::{Entry, Kind, Log, MARKER_PRODUCER, Writer};
use crate::witness::Known;
use crate::world::World;

/// Shortest time for which the source's ends have to stand still.
const SHORTEST: Duration = Duration::from_millis(300);

type Verdict = Result<(), String>;

/// Judges the plan that was made with what is `known`.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn judge(world: &World, known: &Known, plan: &CutoverPlan) -> Verdict {
    for (index, partition) in world.setup.partitions.iter().enumerate() {
        let end = plan.ends.iter().find(|end| end.partition == *partition);
        let end = end.ok_or_else(|| format!("{partition} has no end"))?;
        judge_end(world, known, index, end).map_err(|why| format!("{partition}: {why}"))?;
    }
    judge_groups(world, known, plan)?;
    judge_transactions(world, plan)
}

/// What should be met now and then.
pub(crate) fn kinds(plan: &CutoverPlan) -> Vec<&'static str> {
    let of_end = |end: &PartitionEnd| match end.proof {
        EndProof::Marker { .. } => "marker placed",
        EndProof::Record { .. } => "record sentinel",
        EndProof::End => "proven end",
        EndProof::Fence => "fenced end",
    };
    let notes = plan.groups.iter().flat_map(|group| &group.offsets).filter_map(|offset| offset.note.as_deref());
    let of_note = |note: &str| match note {
        note if note.starts_with("below") => "offset below the log start",
        note if note.starts_with("beyond") => "offset beyond the end",
        _ => "offset of another partition",
    };
    plan.ends.iter().map(of_end).chain(notes.map(of_note)).collect()
}

fn judge_end(world: &World, known: &Known, index: usize, end: &PartitionEnd) -> Verdict {
    let (source, target) = (&world.source.logs[index], &world.target.logs[index]);
    let PartitionEnd { partition, source_end, target_end, proof } = end;
    if lost_too_late(world, known, source) {
        return Ok(());
    }
    let open = |entry: &&Entry| entry.base < *source_end && matches!(entry.kind, Kind::Open(_));
    if let Some(open) = source.entries.iter().find(open) {
        return Err(format!("a transaction is open at {}", open.base));
    }
    // A cutover that never looked has to answer for everything up to its decision.
    let looked = known.bounds.or(known.decided);
    let is_spoiled = target.spoiled_at.is_some_and(|at| looked.is_none_or(|looked| at >= looked));
    let altered_at = world.target.altered.get(&partition.topic);
    if altered_at.is_some_and(|at| looked.is_some_and(|looked| *at < looked)) {
        return Err(format!("topic {} was compacted on the target, and nobody noticed", partition.topic));
    }
    let wanted: Vec<_> = source.copied_below(*source_end).map(Some).collect();
    if *target_end != wanted.len() as i64 {
        return Err(format!("the target ends at {target_end}, {} records were to be copied", wanted.len()));
    }
    let found = target.records.get(..wanted.len());
    if !is_spoiled && (found != Some(&wanted[..]) || target.start != 0) {
        return Err(format!("the target does not hold what was written below {source_end}"));
    }
    // Records that are nobody's of the source.
    if !is_spoiled && target.records.iter().any(Option::is_none) {
        return Err("another client has written to the target, and nobody noticed".to_owned());
    }
    let is_excluded = world.setup.limits.sentinel_exclude.iter().any(|pattern| pattern.matches(&partition.topic));
    judge_proof(source, *source_end, *proof, &world.setup.limits, is_excluded)?;
    judge_late(world, known, source, *source_end)
}

/// Whether a leader lost a record when nobody looked any more.
fn lost_too_late(world: &World, known: &Known, log: &Log) -> bool {
    let began = Instant::now() - world.elapsed();
    log.lost.is_some_and(|(_, at)| known.looked.is_none_or(|looked| began + at >= looked))
}

fn judge_proof(source: &Log, end: i64, proof: EndProof, limits: &Cutover, is_excluded: bool) -> Verdict {
    let at = |offset: i64| source.entries.iter().find(|entry| entry.base == offset && entry.base < end);
    if limits.write_fence == WriteFence::Acl {
        let holds = proof == EndProof::Fence && source.denies;
        return if holds { Ok(()) } else { Err(format!("{proof:?} proves nothing, denied: {}", source.denies)) };
    }
    let is_right = match (proof, limits.sentinels) {
        (EndProof::Marker { source_offset, producer_id, producer_epoch }, Sentinels::Markers) => at(source_offset)
            .is_some_and(|entry| {
                let identity = entry.identity.map(|identity| (identity.id, identity.epoch));
                entry.kind == Kind::Control
                    && producer_id == MARKER_PRODUCER
                    && identity == Some((producer_id, producer_epoch))
            }),
        (EndProof::Record { source_offset }, Sentinels::Records) => {
            !is_excluded && at(source_offset).is_some_and(|entry| entry.writer == Writer::Sentinel)
        }
        (EndProof::End, Sentinels::Markers) => source.no_marker.is_some(),
        (EndProof::End, Sentinels::Records) => is_excluded,
        (EndProof::End, Sentinels::None) => true,
        _ => false,
    };
    if is_right { Ok(()) } else { Err(format!("{proof:?} proves nothing")) }
}

/// Records behind the end were written so late that nobody could have seen them.
fn judge_late(world: &World, known: &Known, source: &Log, end: i64) -> Verdict {
    let began = Instant::now() - world.elapsed();
    let window = Duration::from(world.setup.limits.fence_window).max(SHORTEST);
    let seen = known.settled.map(|settled| settled + window).max(known.decided);
    let mut late = source.entries.iter().filter(|entry| entry.base >= end && entry.kind != Kind::Control);
    let early = late.find(|entry| seen.is_some_and(|seen| began + entry.at < seen));
    match early {
        Some(entry) => {
            Err(format!("{:?} wrote behind its end {end} at {:?}, and was to be found", entry.writer, entry.at))
        }
        None => Ok(()),
    }
}

/// Every group is accounted for, and every offset is that of the moment at which it was asked for, translated as counting does.
fn judge_groups(world: &World, known: &Known, plan: &CutoverPlan) -> Verdict {
    let selects = |topic: &str| world.setup.selection.selects(topic);
    for (id, committed) in &known.snapshot {
        let group = plan.groups.iter().find(|group| group.group == *id);
        let group = group.ok_or_else(|| format!("group {id} is not accounted for"))?;
        let mut offsets: Vec<_> = committed.offsets.iter().filter(|offset| selects(&offset.partition.topic)).collect();
        offsets.sort_by(|a, b| a.partition.cmp(&b.partition));
        if offsets.len() != group.offsets.len() {
            return Err(format!("group {id} has {} offsets, planned are {}", offsets.len(), group.offsets.len()));
        }
        for (committed, planned) in offsets.into_iter().zip(&group.offsets) {
            let index = world.setup.index_of(&planned.partition);
            let is_lost = index.is_some_and(|index| lost_too_late(world, known, &world.source.logs[index]));
            let right = if is_lost { planned.target_offset } else { translated(world, plan, planned) };
            let is_same = committed.partition == planned.partition
                && committed.offset == planned.source_offset
                && committed.metadata == planned.metadata;
            if !is_same || planned.target_offset != right {
                return Err(format!("group {id} had {committed:?}, planned is {planned:?}, right were {right:?}"));
            }
        }
    }
    let carried = |group: &&GroupPlan| group.skipped.is_none();
    match plan.groups.iter().filter(carried).find(|group| !is_wanted(world, group)) {
        Some(group) => Err(format!("group {} was to be left out", group.group)),
        None => Ok(()),
    }
}

fn is_wanted(world: &World, group: &GroupPlan) -> bool {
    let is_left_out = world.setup.limits.skip_groups.iter().any(|pattern| pattern.matches(&group.group));
    let protocol = world.groups.groups.get(&group.group).map_or("", |group| group.protocol);
    !is_left_out && !scope::is_internal_group(&group.group) && protocol != "connect"
}

/// Copied records below an offset, counted.
fn translated(world: &World, plan: &CutoverPlan, planned: &PlannedOffset) -> Option<i64> {
    let index = world.setup.index_of(&planned.partition)?;
    let end = plan.ends.iter().find(|end| end.partition == planned.partition)?;
    Some(world.source.logs[index].copied_below(planned.source_offset.min(end.source_end)).count() as i64)
}

/// A transaction is on the target whole: where its records were copied, its offsets are planned.
fn judge_transactions(world: &World, plan: &CutoverPlan) -> Verdict {
    for transacted in &world.groups.transacted {
        let mut whole = transacted.data.iter().filter(|(index, _)| world.source.logs[**index].lost.is_none());
        let is_copied = whole.any(|(index, base)| {
            let end = plan.ends.iter().find(|end| end.partition == world.setup.partitions[*index]);
            end.is_some_and(|end| *base < end.source_end)
        });
        let group = plan.groups.iter().find(|group| group.group == transacted.group);
        let offsets = group.into_iter().flat_map(|group| &group.offsets);
        let planned = offsets.filter(|offset| offset.partition == transacted.partition).map(|o| o.source_offset).max();
        if is_copied && planned.is_none_or(|planned| planned < transacted.offset) {
            return Err(format!("records of a transaction are copied, its offset is not planned: {transacted:?}"));
        }
    }
    Ok(())
}
