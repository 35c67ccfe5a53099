//! Consumer groups: what the cutover committed for them on the target is still committed there, they have gone on, or somebody has
//! changed it since.
//!
//! The cutover read every commit back before clients could be switched. From then on the group is its clients': they delete it,
//! set it back, let it expire. So what is found otherwise is named, with numbers, and fails only where the cutover itself says that it
//! could not commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use documents::cutover_plan::{GroupPlan, PlannedOffset};
use documents::cutover_report::{self, CutoverReport};
use kafka::{Cluster, CommittedOffset, Stability};
use migration::report::CheckName;
use migration::report::validation::{Check, Problem};
use migration::{Result, TopicPartition};
use runtime::Store;
use serde::Serialize;

use crate::check::{Acceptances, Collector};
use crate::switch::Switch;

/// Groups asked for at once: their answers are in memory together.
const AT_ONCE: usize = 200;
/// Skipped groups listed in the report.
const SKIPPED_LISTED: usize = 100;

/// The reconciliation over all groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Groups {
    #[serde(flatten)]
    pub(crate) check: Check,
    #[serde(flatten)]
    counts: Counts,
}

/// What was counted beside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Counts {
    /// Groups with offsets that were looked at.
    groups_checked: u64,
    /// Offsets that were looked at.
    offsets_checked: u64,
    /// Offsets that the group has moved on since the cutover.
    offsets_ahead: u64,
    /// Offsets that are before what the cutover committed.
    offsets_behind: u64,
    /// Offsets that are not there any more.
    offsets_missing: u64,
    /// Groups that the cutover left out.
    skipped_total: u64,
    /// The first of them.
    skipped: Vec<Skipped>,
}

/// A group that the cutover left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Skipped {
    group: String,
    reason: String,
}

/// Compares what the cutover planned with what the target has now, whatever is pending there.
///
/// # Errors
/// Transient, naming a group, when the target could not be asked; otherwise those of the store.
pub(crate) async fn reconcile(
    store: &Store,
    target: &Cluster,
    planned: Vec<GroupPlan>,
    switch: Switch,
    acceptances: &Arc<Acceptances>,
) -> Result<Groups> {
    let mut reconciling = Reconciling::new(not_committed(store).await?, switch, acceptances);
    let (skipped, carried): (Vec<_>, Vec<_>) = planned.into_iter().partition(|group| group.skipped.is_some());
    skipped.into_iter().for_each(|group| reconciling.skip(group));
    for groups in carried.chunks(AT_ONCE) {
        let ids: Vec<_> = groups.iter().map(|group| group.group.clone()).collect();
        // In the order of `ids`, which is the order of `groups`.
        let answers = target.committed_offsets_of(&ids, Stability::Now).await;
        for (group, (_, answer)) in groups.iter().zip(answers) {
            let committed = answer.and_then(|each| each.into_iter().map(|(_, offset)| offset).collect());
            match committed {
                Ok(committed) => reconciling.add(group, committed),
                Err(error) if error.is_retryable() => return Err(migration::Error::from(error)),
                Err(error) => reconciling.unread(group, &error),
            }
        }
    }
    Ok(reconciling.finish())
}

/// The groups for which the cutover could not commit, with the reason.
async fn not_committed(store: &Store) -> Result<BTreeMap<String, String>> {
    let report: Option<CutoverReport> = documents::read_if_there(store, cutover_report::KEY).await?;
    let groups = report.map(|report| report.not_committed).unwrap_or_default();
    Ok(groups.into_iter().map(|group| (group.group, group.reason)).collect())
}

/// The reconciliation while it goes on.
struct Reconciling {
    check: Collector,
    counts: Counts,
    /// Reasons by group.
    not_committed: BTreeMap<String, String>,
    switch: Switch,
}

/// Offsets of one group that are not as they were committed.
#[derive(Default)]
struct Changed<'a> {
    /// Those that are before, with where they are now.
    behind: Vec<(&'a PlannedOffset, i64, i64)>,
    /// Those that are not there, with where they were.
    missing: Vec<(&'a PlannedOffset, i64)>,
    checked: usize,
}

impl Reconciling {
    fn new(not_committed: BTreeMap<String, String>, switch: Switch, acceptances: &Arc<Acceptances>) -> Self {
        let check = Collector::new(CheckName::ConsumerGroupReconciliation, acceptances);
        Self { check, counts: Counts::default(), not_committed, switch }
    }

    fn skip(&mut self, group: GroupPlan) {
        self.counts.skipped_total += 1;
        if self.counts.skipped.len() < SKIPPED_LISTED {
            let reason = group.skipped.unwrap_or_default();
            self.counts.skipped.push(Skipped { group: group.group, reason });
        }
    }

    /// A group that the target does not let us read.
    fn unread(&mut self, group: &GroupPlan, error: &kafka::Error) {
        self.counts.groups_checked += 1;
        let message = format_args!("what is committed for the group on the target cannot be read: {error}");
        self.check.add([Problem::failed(&group.group, message)]);
    }

    fn add(&mut self, group: &GroupPlan, committed: Vec<CommittedOffset>) {
        let committed: BTreeMap<TopicPartition, i64> =
            committed.into_iter().map(|committed| (committed.partition, committed.offset)).collect();
        let mut changed = Changed::default();
        for offset in &group.offsets {
            // Nothing was committed for a partition that is not part of the migration.
            let Some(wanted) = offset.target_offset else { continue };
            changed.checked += 1;
            match committed.get(&offset.partition) {
                Some(found) if *found > wanted => self.counts.offsets_ahead += 1,
                Some(found) if *found < wanted => changed.behind.push((offset, *found, wanted)),
                Some(_) => {}
                None => changed.missing.push((offset, wanted)),
            }
        }
        self.counts.groups_checked += 1;
        self.counts.offsets_checked += changed.checked as u64;
        self.counts.offsets_behind += changed.behind.len() as u64;
        self.counts.offsets_missing += changed.missing.len() as u64;
        let refused = self.not_committed.get(&group.group).map(String::as_str);
        self.check.add(changed.problems(&group.group, refused, self.switch));
    }

    fn finish(self) -> Groups {
        Groups { check: self.check.finish(), counts: self.counts }
    }
}

impl Changed<'_> {
    /// What is to be said of a group: `refused` is why the cutover could not commit for it, if it could not.
    fn problems(&self, group: &str, refused: Option<&str>, switch: Switch) -> Vec<Problem> {
        let mut problems = Vec::new();
        let problem = |message: String| match refused {
            Some(reason) => Problem::failed(
                group,
                format_args!(
                    "{message}: the cutover could not commit them ({reason}); commit them by hand and finalize again"
                ),
            ),
            None => switch.explains(group, message),
        };
        if let Some((first, wanted)) = self.missing.first() {
            let (missing, checked) = (self.missing.len(), self.checked);
            let what = match (refused, missing == checked) {
                (Some(_), _) => format!("{missing} of {checked} offsets are not committed on the target"),
                (None, true) => format!(
                    "none of the {checked} offsets that the cutover committed is there any more: the group was deleted, or its \
                     offsets expired"
                ),
                (None, false) => {
                    format!("{missing} of {checked} offsets that the cutover committed are not there any more")
                }
            };
            problems.push(problem(format!("{what}, such as {} at {wanted}", first.partition)));
        }
        if let Some((first, found, wanted)) = self.behind.first() {
            let records: i64 = self.behind.iter().map(|(_, found, wanted)| wanted - found).sum();
            problems.push(problem(format!(
                "{} of {} offsets are before the ones that the cutover translated, such as {} at {found} instead of {wanted}: \
                 {records} record(s) would be consumed again",
                self.behind.len(),
                self.checked,
                first.partition
            )));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::accepted;
    use crate::switch::tests::SWITCHED;
    use migration::report::Outcome;

    fn planned() -> GroupPlan {
        let offset = |topic: &str, partition, target_offset| PlannedOffset {
            partition: TopicPartition::new(topic, partition),
            source_offset: 70,
            target_offset,
            metadata: String::new(),
            note: None,
        };
        let offsets = vec![offset("orders", 0, Some(7)), offset("orders", 1, Some(3)), offset("made-later", 0, None)];
        GroupPlan { group: "billing".to_owned(), skipped: None, offsets, outside: 0 }
    }

    fn reconciled_with(refused: Option<&str>, switch: Switch, accept: &[&str], offsets: &[(i32, i64)]) -> Groups {
        let committed = |(partition, offset): &(i32, i64)| CommittedOffset {
            partition: TopicPartition::new("orders", *partition),
            offset: *offset,
            leader_epoch: None,
            metadata: String::new(),
        };
        let refused = refused.map(|reason| ("billing".to_owned(), reason.to_owned())).into_iter().collect();
        let mut groups = Reconciling::new(refused, switch, &accepted(accept));
        groups.add(&planned(), offsets.iter().map(committed).collect());
        groups.finish()
    }

    fn reconciled(offsets: &[(i32, i64)]) -> Groups {
        reconciled_with(None, SWITCHED, &[], offsets)
    }

    #[test]
    fn equal_or_further_passes() {
        let Groups { check, counts } = reconciled(&[(0, 7), (1, 12)]);
        assert_eq!((check.outcome, counts.offsets_checked, counts.offsets_ahead), (Outcome::Passed, 2, 1));
    }

    #[test]
    fn what_a_groups_owner_does_after_the_switch_is_a_warning_with_numbers() {
        // Report 12: (a) the group is deleted, (b) it is set back to the earliest, (e) its offsets expire.
        for (offsets, named) in [
            (&[][..], &["none of the 2 offsets", "deleted, or its offsets expired", "orders/0 at 7"][..]),
            (
                &[(0, 0), (1, 0)],
                &["2 of 2 offsets", "orders/0 at 0 instead of 7", "10 record(s) would be consumed again"],
            ),
            (&[(0, 7)], &["1 of 2 offsets", "orders/1 at 3"]),
        ] {
            let check = reconciled(offsets).check;
            assert_eq!((check.outcome, check.problems_total), (Outcome::Warning, 1), "{check:?}");
            for part in named {
                assert!(check.problems[0].message.contains(part), "{part}: {}", check.problems[0].message);
            }
            let early = reconciled_with(None, Switch::of(&[]), &[], offsets).check;
            assert_eq!(early.outcome, Outcome::Failed, "nobody was there to do that");
        }
        let Groups { check, counts } = reconciled(&[(0, 2)]);
        assert_eq!((check.problems_total, counts.offsets_behind, counts.offsets_missing), (2, 1, 1));
    }

    #[test]
    fn what_the_cutover_could_not_commit_fails_until_somebody_has() {
        let refused =
            |offsets: &[(i32, i64)]| reconciled_with(Some("the metadata is too large"), SWITCHED, &[], offsets).check;
        let failed = refused(&[]);
        assert_eq!(failed.outcome, Outcome::Failed);
        assert!(failed.problems[0].message.contains("(the metadata is too large)"), "{}", failed.problems[0].message);
        assert_eq!(refused(&[(0, 7), (1, 3)]).outcome, Outcome::Passed);
    }

    #[test]
    fn a_group_is_accepted_by_its_name() {
        let accept = |what: &str| reconciled_with(Some("refused"), SWITCHED, &[what], &[]).check.outcome;
        assert_eq!(accept("consumer_group_reconciliation:billing"), Outcome::Accepted);
        assert_eq!(accept("consumer_group_reconciliation"), Outcome::Accepted);
        assert_eq!(accept("consumer_group_reconciliation:invoices"), Outcome::Failed);
    }

    #[test]
    fn a_group_that_cannot_be_read_is_named() {
        let mut groups = Reconciling::new(BTreeMap::new(), SWITCHED, &accepted(&[]));
        groups.unread(&planned(), &kafka::Error::Unreachable { message: "refused".to_owned() });
        let check = groups.finish().check;
        assert_eq!((check.outcome, check.problems[0].place.as_str()), (Outcome::Failed, "billing"));
    }

    #[test]
    fn a_skipped_group_is_listed_with_its_reason() {
        let mut groups = Reconciling::new(BTreeMap::new(), SWITCHED, &accepted(&[]));
        groups.skip(GroupPlan::skipped("g", "it has no offsets"));
        let json = serde_json::to_value(groups.finish()).unwrap();
        assert_eq!(json["skipped"][0], serde_json::json!({"group": "g", "reason": "it has no offsets"}));
        assert_eq!((&json["outcome"], &json["checked"]), (&"PASSED".into(), &0.into()));
    }
}
