//! Counts and offsets of one partition.
//!
//! The copy is dense: `expected` records lie at `[0, expected)` of the target, and whatever follows is the clients'. The
//! source must have ended where the copy did.

use documents::cutover_plan::PartitionEnd;
use migration::progress::PartitionProgress;
use migration::report::validation::Problem;
use migration::{Result, TopicPartition};

use super::late::{self, Late, late};
use super::{Bench, Sides};
use crate::policy::Policy;
use crate::presence::Presence;
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
        }
        other => counts.problems.push(absent_on_target(other, counts.expected, bench.switch, partition)),
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
    use documents::cutover_plan::EndProof;
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
        let stopped = PartitionProgress { stopped: Some("why".to_owned()), ..copied(20, 10) };
        assert_eq!(outcomes(&judge_copy(&stopped, Some(&end))), [Failed]);
    }
}
