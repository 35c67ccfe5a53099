//! Counts and offsets of one partition.
//!
//! The copy is dense: `expected` records lie at `[0, expected)` of the target, and whatever follows is the clients'. The
//! source must have ended where the copy did.

use documents::cutover_plan::PartitionEnd;
use documents::deleted_keys::ComparedKeys;
use migration::config::KeysDeleted;
use migration::progress::PartitionProgress;
use migration::report::validation::Problem;
use migration::{Result, TopicPartition};

use super::late::{self, Late, late};
use super::{Bench, Sides};
use crate::policy::Policy;
use crate::presence::Presence;
use crate::recount::Count;
use crate::results::Counts;
use crate::switch::Switch;

/// Counts one partition.
///
/// # Errors
/// Transient when a cluster could not be asked.
pub(crate) async fn count(
    bench: &Bench<'_>,
    progress: &PartitionProgress,
    end: Option<&PartitionEnd>,
    sides: Sides,
) -> Result<Counts> {
    let partition = &progress.partition;
    let mut counts = Counts { expected: progress.target_next, source_next: progress.source_next, ..Counts::default() };
    counts.problems = judge_copy(progress, end);
    match sides.target {
        Presence::There => {
            let (start, end) = bench.second.bounds(partition).await?;
            (counts.target_start, counts.target_end) = (Some(start), Some(end));
            let policy = bench.target_policy(partition);
            let tolerance = bench.config.validation.count_tolerance;
            counts.problems.extend(judge_target(&counts, &policy, tolerance, bench.switch, partition));
            if let Some(count) = bench.counted.get(partition) {
                let counted = &count.counted;
                (counts.counted, counts.missing) = (Some(counted.records().min(counts.expected)), counted.missing);
                counts.problems.extend(judge_recount(&counts, count, &policy, partition));
            }
        }
        other => counts.problems.push(absent_on_target(other, counts.expected, bench.switch, partition)),
    }
    if bench.source_policy(partition).compacts {
        let keep = bench.config.topology.on_deleted_keys == KeysDeleted::Keep;
        counts.problems.extend(judge_keys(bench.keys.get(partition), keep, partition));
    }
    let appended = bench.repaired.of(partition);
    counts.late_appended = appended.map_or(0, |appended| appended.records);
    let found = bench.source_ends.get(partition).copied().filter(|_| sides.source == Presence::There);
    let Some((source_end, stable)) = found else {
        counts.problems.push(absent_on_source(sides.source, bench.switch, partition));
        counts.problems.extend(late(partition, &Late::default(), appended));
        return Ok(counts);
    };
    counts.source_end = Some(source_end);
    let from = appended.map_or(progress.source_next, |appended| appended.next_offset.max(progress.source_next));
    let found = if stable > from { late::read(&bench.source, partition, from, stable).await? } else { Late::default() };
    counts.problems.extend(judge_source(partition, progress.source_next, from, source_end, stable));
    counts.problems.extend(late(partition, &found, appended));
    counts.late = found;
    Ok(counts)
}

/// What the journal's progress and the cutover's plan say about each other.
fn judge_copy(progress: &PartitionProgress, end: Option<&PartitionEnd>) -> Vec<Problem> {
    let partition = &progress.partition;
    let mut problems = Vec::new();
    if let Some(reason) = &progress.stopped {
        problems.push(Problem::failed(partition, format_args!("the copy of this partition stopped: {reason}")));
    }
    problems.extend(progress.gaps.text().map(|gaps| Problem::warning(partition, gaps)));
    let Some(end) = end else {
        let message = "the cutover's plan has no end of this partition, so nothing shows that all of it was copied";
        problems.push(Problem::failed(partition, message));
        return problems;
    };
    if progress.source_next < end.source_end || progress.target_next < end.target_end {
        let message = format_args!(
            "the copy ended at source offset {} with {} records, before the end that the cutover found: source offset {} with {} \
             records",
            progress.source_next, progress.target_next, end.source_end, end.target_end
        );
        problems.push(Problem::failed(partition, message));
    } else if progress.target_next > end.target_end {
        let message = format_args!(
            "{} late record(s) from source offset {} on were copied before the tail had stopped: they are on the target",
            progress.target_next - end.target_end,
            end.source_end
        );
        problems.push(Problem::warning(partition, message));
    }
    problems
}

/// What the target's log bounds say about the copied records. The cutover has seen them whole: its start was 0 and its end where
/// the copy's was. A client can move the start from then on, but nobody can move an end back.
fn judge_target(
    counts: &Counts,
    policy: &Policy,
    tolerance: i64,
    switch: Switch,
    partition: &TopicPartition,
) -> Vec<Problem> {
    let expected = counts.expected;
    let mut problems = Vec::new();
    let end = counts.target_end.unwrap_or(0);
    let behind = expected - end;
    if behind > 0 {
        let message = format!(
            "the target ends at offset {end}, but {expected} records were copied: {behind} are missing. No client moves an end \
             back: the topic was deleted and created anew, or a replica without all records became leader"
        );
        problems.push(match behind > tolerance {
            true => Problem::failed(partition, message),
            false => Problem::warning(partition, message),
        });
    }
    let start = counts.target_start.unwrap_or(0);
    let removed = start.min(expected);
    if removed > 0 {
        let cause = match policy.expires {
            true => format!("by retention, as {} allows, or by DeleteRecords", policy.because),
            false => format!(
                "by DeleteRecords, since its configuration removes none ({}), or by one that was changed since",
                policy.because
            ),
        };
        let message = format_args!(
            "records were removed on the target: its log starts at offset {start}, so {removed} of {expected} copied records are \
             not there any more, {cause}"
        );
        problems.push(switch.explains(partition, message));
    }
    problems
}

/// What reading the target has shown. Compaction alone makes holes, and it may: the topic has its own policy since the cutover.
fn judge_recount(counts: &Counts, count: &Count, policy: &Policy, partition: &TopicPartition) -> Option<Problem> {
    let (expected, counted) = (counts.expected, &count.counted);
    if let Some((first, last)) = counted.missing_between.filter(|_| !policy.compacts) {
        let message = format_args!(
            "{} of {expected} copied records are missing on the target, between offsets {first} and {last}, and the topic is not \
             compacted ({}): somebody let the log cleaner at it for a while, or a replica without them became leader",
            counted.missing, policy.because
        );
        return Some(Problem::failed(partition, message));
    }
    let reached = counts.target_end.is_some_and(|end| end >= expected);
    (counted.next < expected && reached).then(|| {
        let why = count.damage.as_deref().unwrap_or("it gives none");
        let message = format_args!(
            "only {} of {expected} copied records could be read on the target, from offset {} on: {why}",
            counted.records(),
            counted.next
        );
        Problem::failed(partition, message)
    })
}

/// What comparing a compacted partition by key has shown, while it was copied.
fn judge_keys(compared: Option<&ComparedKeys>, keep: bool, partition: &TopicPartition) -> Option<Problem> {
    let Some(compared) = compared.filter(|compared| compared.failed.is_none() && !compared.is_unfinished()) else {
        let why = compared.and_then(|compared| compared.failed.as_deref()).unwrap_or("there was no time for it");
        let message = format_args!(
            "the compacted partition was not compared by key before the cutover ({why}): keys that were deleted on the source while \
             it was copied may live on the target"
        );
        return Some(Problem::warning(partition, message));
    };
    let deleted = compared.deleted;
    let message = format!(
        "{deleted} of {} keys lived on the target alone when the two sides were compared: their deletion was compacted away on the \
         source before it was copied; their newest records were at target offsets {:?}",
        compared.live, compared.offsets
    );
    match (deleted, keep) {
        (0, _) => None,
        (_, true) => Some(Problem::warning(partition, message)),
        (_, false) => Some(Problem::failed(partition, message)),
    }
}

/// A partition that the target does not have as it was copied.
fn absent_on_target(presence: Presence, expected: i64, switch: Switch, partition: &TopicPartition) -> Problem {
    match presence {
        Presence::Hidden => hidden("target", partition),
        Presence::Recreated => switch.explains(
            partition,
            format_args!(
                "the topic was deleted and created anew on the target: {expected} copied records are not there any more"
            ),
        ),
        Presence::Deleted | Presence::There => switch.explains(
            partition,
            format_args!("the topic was deleted on the target: {expected} copied records are not there any more"),
        ),
    }
}

/// A partition that the source does not have as it was copied.
fn absent_on_source(presence: Presence, switch: Switch, partition: &TopicPartition) -> Problem {
    let what = match presence {
        Presence::Hidden => return hidden("source", partition),
        Presence::Recreated => "deleted and created anew",
        Presence::Deleted | Presence::There => "deleted",
    };
    let message = format_args!(
        "the topic was {what} on the source, so the target cannot be compared with it any more, and what might have been written \
         there behind the copy is not known"
    );
    switch.explains(partition, message)
}

fn hidden(side: &str, partition: &TopicPartition) -> Problem {
    let message = format_args!(
        "this migration's principal may not describe the topic on the {side}, so that nothing can be compared: allow it and \
         finalize again"
    );
    Problem::failed(partition, message)
}

/// What the source's end says: `next` is where the copy ended, `looked_from` where late records were looked for, `end` the high
/// watermark, `stable` the last stable offset.
fn judge_source(partition: &TopicPartition, next: i64, looked_from: i64, end: i64, stable: i64) -> Vec<Problem> {
    let mut problems = Vec::new();
    if end < next {
        problems.push(Problem::failed(
            partition,
            format_args!(
                "the source ends at offset {end}, before {next} up to which it was copied: was the topic created anew, or \
                 did an unclean leader election shorten it?"
            ),
        ));
    }
    if stable < end && end > looked_from {
        problems.push(Problem::failed(
            partition,
            format_args!(
                "an open transaction holds the source from offset {} to {end}: end it, so that its records are known to \
                 count or not, and finalize again",
                stable.max(looked_from)
            ),
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::policy;
    use crate::switch::tests::SWITCHED;
    use documents::Recounted;
    use documents::cutover_plan::EndProof;
    use migration::progress::Gap;
    use migration::report::Outcome::{self, Failed, Warning};

    fn partition() -> TopicPartition {
        TopicPartition::new("t", 0)
    }

    fn outcomes(problems: &[Problem]) -> Vec<Outcome> {
        problems.iter().map(|problem| problem.outcome).collect()
    }

    fn judged_with(switch: Switch, expected: i64, start: i64, end: i64, policy: &Policy) -> Vec<Problem> {
        let counts = Counts { expected, target_start: Some(start), target_end: Some(end), ..Counts::default() };
        judge_target(&counts, policy, 1, switch, &partition())
    }

    fn judged(expected: i64, start: i64, end: i64, policy: &Policy) -> Vec<Outcome> {
        outcomes(&judged_with(SWITCHED, expected, start, end, policy))
    }

    #[test]
    fn a_target_with_all_records_and_later_ones_passes() {
        let forever = policy(&[("retention.ms", "-1")]);
        assert!(judged(10, 0, 10, &forever).is_empty());
        assert!(judged(10, 0, 500, &forever).is_empty());
        assert!(judged(0, 0, 0, &forever).is_empty());
        assert!(judged(0, 7, 9, &forever).is_empty(), "nothing was copied, so nothing can have been removed");
    }

    #[test]
    fn an_end_that_went_back_fails_beyond_the_tolerance_whatever_the_policy() {
        for policy in [policy(&[("retention.ms", "-1")]), policy(&[("retention.ms", "5")])] {
            assert_eq!(judged(10, 0, 9, &policy), [Warning]);
            assert_eq!(judged(10, 0, 8, &policy), [Failed]);
            assert_eq!(judged(10, 0, 0, &policy), [Failed]);
        }
    }

    #[test]
    fn what_was_removed_at_the_start_after_the_switch_is_a_warning_with_its_number() {
        let forever = policy(&[("retention.ms", "-1")]);
        let week = policy(&[("cleanup.policy", "delete"), ("retention.ms", "604800000")]);
        // What Kafka Streams does every 30 s with a repartition topic (report 05): retention -1, and DeleteRecords up to the end.
        let streams = judged_with(SWITCHED, 51, 51, 51, &forever);
        assert_eq!(outcomes(&streams), [Warning]);
        for part in ["51 of 51 copied records", "DeleteRecords", "after the clients could be switched"] {
            assert!(streams[0].message.contains(part), "{part}: {}", streams[0].message);
        }
        assert!(judged_with(SWITCHED, 10, 7, 10, &week)[0].message.contains("retention.ms=604800000"));
        assert_eq!(judged(10, 3, 12, &forever), [Warning]);
        assert_eq!(judged(10, 500, 700, &week), [Warning], "no more than was copied");
        let nobody = Switch::of(&[]);
        assert_eq!(outcomes(&judged_with(nobody, 10, 3, 12, &forever)), [Failed], "nobody was there to remove them");
        assert_eq!(outcomes(&judged_with(nobody, 10, 3, 12, &week)), [Failed], "the cutover had seen them");
    }

    #[test]
    fn a_hole_is_a_loss_unless_the_policy_makes_holes() {
        let counts = Counts { expected: 10, target_start: Some(0), target_end: Some(12), ..Counts::default() };
        let counted = |next, missing| {
            let mut counted = Recounted { next, ..Recounted::new(partition()) };
            if missing > 0 {
                counted.miss(missing, 3, 5);
            }
            Count { counted, damage: None }
        };
        let judged = |count: &Count, policy: &Policy| judge_recount(&counts, count, policy, &partition());
        let (week, compact) = (policy(&[("retention.ms", "604800000")]), policy(&[("cleanup.policy", "compact")]));
        assert!(judged(&counted(10, 0), &week).is_none());
        let lost = judged(&counted(10, 3), &week).unwrap();
        assert!(lost.outcome == Failed && lost.message.starts_with("3 of 10 copied records are missing"), "{lost:?}");
        assert!(judged(&counted(10, 3), &compact).is_none());
        let unread = judged(&counted(7, 0), &compact).unwrap();
        assert!(unread.outcome == Failed && unread.message.contains("only 7 of 10"), "{unread:?}");
        let damaged = Count { damage: Some("batch at offset 7 is corrupt".to_owned()), ..counted(7, 0) };
        let damaged = judged(&damaged, &week).unwrap();
        assert!(
            damaged.outcome == Failed && damaged.message.ends_with("7 on: batch at offset 7 is corrupt"),
            "{damaged:?}"
        );
        let shortened = Counts { target_end: Some(7), ..counts.clone() };
        assert!(judge_recount(&shortened, &counted(7, 0), &week, &partition()).is_none(), "the end says it");
    }

    #[test]
    fn keys_that_lived_on_the_target_alone_fail_unless_they_are_kept() {
        let compared = |deleted, failed: Option<&str>| ComparedKeys {
            partition: partition(),
            at: chrono::DateTime::UNIX_EPOCH,
            followed_until: chrono::DateTime::UNIX_EPOCH,
            target_end: 9,
            live: 7,
            deleted,
            offsets: vec![3],
            failed: failed.map(str::to_owned),
            begun: 0,
        };
        let judged =
            |found: Option<&ComparedKeys>, keep| judge_keys(found, keep, &partition()).map(|problem| problem.outcome);
        assert_eq!(judged(Some(&compared(0, None)), false), None);
        assert_eq!(judged(Some(&compared(1, None)), false), Some(Failed));
        assert_eq!(judged(Some(&compared(1, None)), true), Some(Warning));
        assert_eq!(judged(Some(&compared(0, Some("crc"))), false), Some(Warning));
        assert_eq!(judged(None, false), Some(Warning), "nothing is known");
    }

    #[test]
    fn topics_that_their_owners_deleted_are_warnings_on_either_side() {
        for presence in [Presence::Deleted, Presence::Recreated] {
            assert_eq!(absent_on_target(presence, 10, SWITCHED, &partition()).outcome, Warning);
            assert_eq!(absent_on_source(presence, SWITCHED, &partition()).outcome, Warning);
            assert_eq!(absent_on_target(presence, 10, Switch::of(&[]), &partition()).outcome, Failed);
        }
        assert!(absent_on_target(Presence::Deleted, 10, SWITCHED, &partition()).message.contains("10 copied records"));
        assert_eq!(absent_on_target(Presence::Hidden, 10, SWITCHED, &partition()).outcome, Failed);
        assert_eq!(absent_on_source(Presence::Hidden, SWITCHED, &partition()).outcome, Failed);
    }

    #[test]
    fn the_source_has_to_end_where_the_copy_did() {
        let at = |next, end, stable| outcomes(&judge_source(&partition(), next, next, end, stable));
        assert!(at(10, 10, 10).is_empty());
        assert!(at(10, 12, 12).is_empty(), "what lies behind is for `late` to judge");
        assert_eq!(at(10, 9, 9), [Failed]);
        assert_eq!(at(10, 12, 10), [Failed], "an open transaction");
        assert!(judge_source(&partition(), 10, 15, 15, 12).is_empty(), "it was open below what was appended");
    }

    #[test]
    fn the_journal_and_the_plan_have_to_agree() {
        let end = PartitionEnd { partition: partition(), source_end: 20, target_end: 10, proof: EndProof::End };
        let copied = |source_next, target_next| {
            let mut progress = PartitionProgress::new(partition(), 0, 0);
            (progress.source_next, progress.target_next) = (source_next, target_next);
            progress
        };
        assert!(judge_copy(&copied(20, 10), Some(&end)).is_empty());
        assert!(judge_copy(&copied(22, 10), Some(&end)).is_empty(), "markers behind the end");
        let later = judge_copy(&copied(23, 12), Some(&end));
        assert_eq!(outcomes(&later), [Warning]);
        assert!(later[0].message.contains("2 late record(s) from source offset 20"), "{}", later[0].message);
        for (source_next, target_next) in [(19, 10), (20, 9)] {
            assert_eq!(outcomes(&judge_copy(&copied(source_next, target_next), Some(&end))), [Failed]);
        }
        assert_eq!(outcomes(&judge_copy(&copied(20, 10), None)), [Failed]);
        let mut with_gap = copied(20, 10);
        with_gap.gaps.add(&Gap { from: 4, to: 9, at: "then".to_owned() }, 4);
        let gap = judge_copy(&with_gap, Some(&end));
        assert_eq!(outcomes(&gap), [Warning]);
        assert!(gap[0].message.contains("deleted 5 offsets before they were copied"), "{}", gap[0].message);
        let stopped = PartitionProgress { stopped: Some("why".to_owned()), ..copied(20, 10) };
        assert_eq!(outcomes(&judge_copy(&stopped, Some(&end))), [Failed]);
    }
}
