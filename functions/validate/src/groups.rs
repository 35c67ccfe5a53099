//! Consumer groups: what the cutover committed for them on the target is still committed there, or they have gone on.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use kafka::{Cluster, CommittedOffset};
use migration::{Result, TopicPartition};
use runtime::Store;
use serde::{Deserialize, Serialize};

use crate::check::{Check, Problem};

/// Groups asked for at the same time.
const AT_ONCE: usize = 8;
/// Skipped groups listed in the report.
const SKIPPED_LISTED: usize = 100;

/// A group as the cutover recorded it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Recorded {
    group: String,
    /// Why it was left out, if it was.
    #[serde(default)]
    skipped: Option<String>,
    #[serde(default)]
    offsets: Vec<RecordedOffset>,
}

/// One offset the cutover committed.
#[derive(Debug, Clone, Deserialize)]
struct RecordedOffset {
    topic: Arc<str>,
    partition: i32,
    /// Nothing was committed for a partition that is not part of the migration.
    target_offset: Option<i64>,
}

/// The reconciliation over all groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Groups {
    #[serde(flatten)]
    pub(crate) check: Check,
    /// Groups with offsets that were looked at.
    groups_checked: u64,
    /// Offsets that were looked at.
    offsets_checked: u64,
    /// Offsets that the group has moved on since the cutover.
    offsets_ahead: u64,
    /// Groups that the cutover left out.
    skipped_total: u64,
    /// The first of them.
    skipped: Vec<Skipped>,
}

/// A group that the cutover left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Skipped {
    group: String,
    reason: String,
}

/// Compares what the cutover recorded with what the target has.
///
/// # Errors
/// Transient when the target could not be asked; Blocked when the record is gone.
pub(crate) async fn reconcile(store: &Store, target: &Cluster) -> Result<Groups> {
    let recorded: Vec<Recorded> = store.get_json("cutover/groups.json").await?;
    let (skipped, carried): (Vec<_>, Vec<_>) = recorded.into_iter().partition(|group| group.skipped.is_some());
    let mut groups = Groups::default();
    skipped.into_iter().for_each(|group| groups.skip(group));
    let asked = carried.into_iter().map(|group| async move {
        let committed = target.committed_offsets(&group.group).await?;
        Ok::<_, migration::Error>((group, committed))
    });
    let mut answers = stream::iter(asked).buffered(AT_ONCE);
    while let Some((group, committed)) = answers.try_next().await? {
        groups.add(&group, committed);
    }
    Ok(groups)
}

impl Groups {
    fn skip(&mut self, group: Recorded) {
        self.skipped_total += 1;
        if self.skipped.len() < SKIPPED_LISTED {
            self.skipped.push(Skipped { group: group.group, reason: group.skipped.unwrap_or_default() });
        }
    }

    fn add(&mut self, group: &Recorded, committed: Vec<CommittedOffset>) {
        let committed: BTreeMap<TopicPartition, i64> =
            committed.into_iter().map(|committed| (committed.partition, committed.offset)).collect();
        let mut problems = Vec::new();
        for wanted in &group.offsets {
            let Some(target_offset) = wanted.target_offset else { continue };
            let partition = TopicPartition::new(wanted.topic.clone(), wanted.partition);
            self.offsets_checked += 1;
            match committed.get(&partition) {
                Some(offset) if *offset > target_offset => self.offsets_ahead += 1,
                Some(offset) if *offset == target_offset => {}
                Some(offset) => problems.push(Problem::failed(
                    &group.group,
                    format_args!(
                        "{partition}: offset {offset} is committed on the target, before {target_offset} to which the \
                         cutover translated it: records would be consumed again"
                    ),
                )),
                None => problems.push(Problem::failed(
                    &group.group,
                    format_args!(
                        "{partition}: no offset is committed on the target, the cutover committed {target_offset}"
                    ),
                )),
            }
        }
        self.groups_checked += 1;
        self.check.add(problems);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Outcome;

    fn recorded() -> Recorded {
        let json = serde_json::json!({
            "group": "billing", "skipped": null,
            "offsets": [
                {"topic": "orders", "partition": 0, "source_offset": 70, "target_offset": 7, "metadata": "", "note": null},
                {"topic": "orders", "partition": 1, "source_offset": 0, "target_offset": 0, "metadata": "", "note": "x"},
                {"topic": "made-later", "partition": 0, "source_offset": 3, "target_offset": null, "metadata": "", "note": "x"},
            ],
        });
        serde_json::from_value(json).unwrap()
    }

    fn reconciled(offsets: &[(i32, i64)]) -> Groups {
        let committed = |(partition, offset): &(i32, i64)| CommittedOffset {
            partition: TopicPartition::new("orders", *partition),
            offset: *offset,
            leader_epoch: None,
            metadata: String::new(),
        };
        let mut groups = Groups::default();
        groups.add(&recorded(), offsets.iter().map(committed).collect());
        groups
    }

    #[test]
    fn equal_or_further_passes() {
        let groups = reconciled(&[(0, 7), (1, 12)]);
        assert_eq!((groups.check.outcome, groups.offsets_checked, groups.offsets_ahead), (Outcome::Passed, 2, 1));
    }

    #[test]
    fn lower_or_missing_fails_and_is_named() {
        let lower = reconciled(&[(0, 6), (1, 0)]);
        assert_eq!((lower.check.outcome, lower.check.problems_total), (Outcome::Failed, 1));
        assert!(lower.check.problems[0].message.contains("orders/0"));
        let missing = reconciled(&[(0, 7)]);
        assert!(missing.check.problems[0].message.contains("orders/1"));
        assert_eq!(reconciled(&[]).check.problems_total, 2);
    }

    #[test]
    fn a_skipped_group_is_listed_with_its_reason() {
        let mut groups = Groups::default();
        let group = serde_json::json!({"group": "g", "skipped": "it has no offsets", "offsets": []});
        groups.skip(serde_json::from_value(group).unwrap());
        let json = serde_json::to_value(&groups).unwrap();
        assert_eq!(json["skipped"][0], serde_json::json!({"group": "g", "reason": "it has no offsets"}));
        assert_eq!((&json["outcome"], &json["checked"]), (&"PASSED".into(), &0.into()));
    }
}
