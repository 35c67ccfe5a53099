//! Sampled records of one partition, compared field by field.
//!
//! Both sides are read through the `kafka` crate: rskafka keeps headers in a map, which loses their order and all but one
//! of a name, and fails a whole fetch for one null header value, so it could not tell equal records from different ones.

use std::collections::BTreeSet;

use kafka::batch::Record;
use migration::progress::PartitionProgress;
use migration::report::validation::Problem;
use migration::{MigrationId, Result, TopicPartition};
use offsets::OffsetMap;
use runtime::Store;
use sha2::{Digest, Sha256};

use super::Bench;
use super::lookup::{Found, record_at};
use crate::policy::Policy;
use crate::results::Spot;
use crate::switch::Switch;

/// Why records were not compared, as the report counts them.
const GONE_ON_SOURCE: &str = "removed on the source by retention or compaction";
const GONE_ON_TARGET: &str = "removed on the target after the switch";

/// Compares the sampled records of a partition that both sides have; `map` has its offset runs.
///
/// # Errors
/// Transient when a cluster could not be asked; otherwise those of the store about the runs.
pub(crate) async fn compare(
    bench: &Bench<'_>,
    progress: &PartitionProgress,
    map: &mut OffsetMap<'_, Store>,
) -> Result<Spot> {
    let partition = &progress.partition;
    let policy = bench.target_policy(partition);
    let wanted = bench.config.validation.spot_check_records_per_partition;
    let mut spot = Spot::default();
    // In ascending order, so that each part of the runs is read once.
    for target_offset in sample(bench.id, partition, progress.target_next, u64::from(wanted)) {
        let Some(source_offset) = map.source_of(target_offset).await? else {
            let message = format!("no source offset is known for the record at target offset {target_offset}");
            spot.mismatch(Problem::failed(partition, message));
            continue;
        };
        let source = record_at(&bench.source, partition, source_offset).await?;
        let target = match &source {
            Found::Record(_) => record_at(&bench.target, partition, target_offset).await?,
            _ => Found::Hole,
        };
        spot.take(&Sampled { partition, source_offset, target_offset }, source, target, &policy, bench.switch);
    }
    if spot.compared == 0 && !spot.skipped.is_empty() && spot.problems.is_empty() {
        let message = "no sampled record could be compared, since the source does not have them any more";
        spot.problems.push(Problem::warning(partition, message));
    }
    Ok(spot)
}

/// One sampled record.
struct Sampled<'a> {
    partition: &'a TopicPartition,
    source_offset: i64,
    target_offset: i64,
}

impl Spot {
    fn take(&mut self, sampled: &Sampled<'_>, source: Found, target: Found, policy: &Policy, switch: Switch) {
        let Sampled { partition, source_offset, target_offset } = *sampled;
        let place = format!("source offset {source_offset}, target offset {target_offset}");
        let source = match source {
            Found::Record(source) => source,
            Found::Hole | Found::Removed(_) => return self.skip(GONE_ON_SOURCE),
            // The counts say what became of the source.
            Found::Beyond => return self.skip("the source ends before"),
            Found::Unreadable(error) => {
                let message = format!("the source's record cannot be read: {error} ({place})");
                return self.mismatch(Problem::failed(partition, message));
            }
        };
        match target {
            Found::Record(target) => match differences(&source, &target) {
                fields if fields.is_empty() => {
                    self.compared += 1;
                    self.matched += 1;
                }
                fields => {
                    let message = format!("the records differ in {} ({place})", fields.join(", "));
                    self.mismatch(Problem::failed(partition, message));
                }
            },
            Found::Removed(start) => {
                let message =
                    format_args!("the record was removed on the target, whose log starts at offset {start} ({place})");
                self.gone(switch.explains(partition, message));
            }
            Found::Hole if policy.compacts => {
                let message =
                    format_args!("the record was compacted away on the target, as {} allows ({place})", policy.because);
                self.gone(switch.explains(partition, message));
            }
            Found::Hole | Found::Beyond => {
                let message = format!(
                    "the record is missing on the target, and nothing there removes records in their midst ({place}; {})",
                    policy.because
                );
                self.mismatch(Problem::failed(partition, message));
            }
            Found::Unreadable(error) => {
                let message = format!("the target's record cannot be read: {error} ({place})");
                self.mismatch(Problem::failed(partition, message));
            }
        }
    }

    fn mismatch(&mut self, problem: Problem) {
        self.compared += 1;
        self.mismatched += 1;
        self.problems.push(problem);
    }

    /// A record that somebody has removed on the target.
    fn gone(&mut self, problem: Problem) {
        self.skip(GONE_ON_TARGET);
        self.problems.push(problem);
    }

    fn skip(&mut self, reason: &str) {
        *self.skipped.entry(reason.to_owned()).or_default() += 1;
    }
}

/// The fields in which two records differ, with sizes instead of contents: reports are read by more people than records.
fn differences(source: &Record, target: &Record) -> Vec<String> {
    let size =
        |field: &Option<bytes::Bytes>| field.as_ref().map_or("null".to_owned(), |bytes| format!("{} B", bytes.len()));
    let mut fields = Vec::new();
    if source.key != target.key {
        fields.push(format!("key ({} on the source, {} on the target)", size(&source.key), size(&target.key)));
    }
    if source.value != target.value {
        fields.push(format!("value ({} on the source, {} on the target)", size(&source.value), size(&target.value)));
    }
    if source.headers != target.headers {
        let (source, target) = (source.headers.len(), target.headers.len());
        fields.push(format!("headers ({source} on the source, {target} on the target)"));
    }
    if source.timestamp != target.timestamp {
        fields.push(format!("timestamp ({} on the source, {} on the target)", source.timestamp, target.timestamp));
    }
    fields
}

/// Target offsets to compare out of `total`: the first and the last, the others drawn by the migration's id, so that a
/// repeated validation looks at the same records. With `wanted` 1, the last.
fn sample(id: &MigrationId, partition: &TopicPartition, total: i64, wanted: u64) -> BTreeSet<i64> {
    let total = u64::try_from(total).unwrap_or(0);
    let wanted = wanted.min(total);
    let mut chosen = BTreeSet::new();
    if wanted >= 1 {
        chosen.insert(total - 1);
    }
    if wanted >= 2 {
        chosen.insert(0);
        // Floyd's algorithm over what lies between: distinct numbers with one draw each.
        let between = total - 2;
        let more = wanted - 2;
        for top in between - more..between {
            let drawn = draw(id, partition, top) % (top + 1);
            if !chosen.insert(1 + drawn) {
                chosen.insert(1 + top);
            }
        }
    }
    chosen.into_iter().filter_map(|offset| i64::try_from(offset).ok()).collect()
}

/// A number that only the migration, the partition and `number` decide.
fn draw(id: &MigrationId, partition: &TopicPartition, number: u64) -> u64 {
    let seed = format!("{id}\n{partition}\n{number}");
    let hash: [u8; 32] = Sha256::digest(seed).into();
    hash.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::policy;
    use crate::switch::tests::SWITCHED;
    use bytes::Bytes;
    use migration::report::Outcome;
    use proptest::prelude::*;

    fn record(offset: i64) -> Record {
        let text = |text: &'static str| Some(Bytes::from(text));
        let header = |name: &'static str, value: Option<Bytes>| (Bytes::from(name), value);
        Record {
            offset,
            timestamp: 1_700_000_000_000,
            key: text("k"),
            value: text("v"),
            headers: vec![header("a", text("1")), header("a", None), header("b", text(""))],
        }
    }

    #[test]
    fn offsets_may_differ_and_nothing_else() {
        assert!(differences(&record(70), &record(3)).is_empty());
    }

    /// A field by its name, and a change of it.
    type Change = (&'static str, fn(&mut Record));

    #[test]
    fn each_field_is_compared_exactly() {
        let changes: [Change; 8] = [
            ("key", |record| record.key = None),
            ("key", |record| record.key = Some(Bytes::new())),
            ("value", |record| record.value = None),
            ("timestamp", |record| record.timestamp += 1),
            ("headers", |record| record.headers.swap(0, 1)),
            ("headers", |record| record.headers[1].1 = Some(Bytes::new())),
            ("headers", |record| record.headers[2].1 = None),
            ("headers", |record| drop(record.headers.remove(1))),
        ];
        for (field, change) in changes {
            let mut changed = record(3);
            change(&mut changed);
            let found = differences(&record(70), &changed);
            assert!(found.len() == 1 && found[0].starts_with(field), "{field}: {found:?}");
        }
    }

    #[test]
    fn a_difference_does_not_show_the_records_content() {
        let mut changed = record(0);
        changed.value = Some(Bytes::from_static(b"hunter2"));
        assert!(!differences(&record(0), &changed).join(" ").contains("hunter2"));
    }

    fn taken_with(switch: Switch, source: Found, target: Found, policy: &Policy) -> (Spot, Option<Outcome>) {
        let mut spot = Spot::default();
        let sampled = Sampled { partition: &TopicPartition::new("t", 0), source_offset: 70, target_offset: 3 };
        spot.take(&sampled, source, target, policy, switch);
        let outcome = spot.problems.iter().map(|problem| problem.outcome).max();
        (spot, outcome)
    }

    fn taken(source: Found, target: Found, policy: &Policy) -> (Spot, Option<Outcome>) {
        taken_with(SWITCHED, source, target, policy)
    }

    #[test]
    fn what_clients_removed_is_a_warning_and_a_record_that_is_nowhere_fails() {
        let forever = policy(&[("retention.ms", "-1")]);
        let compact = policy(&[("cleanup.policy", "compact")]);
        let there = || Found::Record(record(70));
        for (target, policy, expected) in [
            (Found::Removed(51), &forever, Outcome::Warning),
            (Found::Removed(51), &compact, Outcome::Warning),
            (Found::Hole, &compact, Outcome::Warning),
            (Found::Hole, &forever, Outcome::Failed),
            (Found::Beyond, &forever, Outcome::Failed),
            (Found::Beyond, &compact, Outcome::Failed),
        ] {
            let (spot, outcome) = taken(there(), target, policy);
            assert_eq!(outcome, Some(expected), "{spot:?}");
            let failed = u64::from(expected == Outcome::Failed);
            assert_eq!((spot.mismatched, spot.compared, spot.skipped.len() as u64), (failed, failed, 1 - failed));
        }
        let (_, outcome) = taken_with(Switch::of(&[]), there(), Found::Removed(51), &forever);
        assert_eq!(outcome, Some(Outcome::Failed), "nobody was there to remove it");
        let (spot, outcome) = taken(Found::Hole, Found::Hole, &forever);
        assert_eq!((spot.skipped.len(), spot.compared, outcome), (1, 0, None));
        assert_eq!(taken(Found::Removed(90), Found::Hole, &forever).1, None);
    }

    #[test]
    fn nothing_excuses_a_record_that_is_there_and_differs() {
        let compact = policy(&[("cleanup.policy", "compact"), ("retention.ms", "5")]);
        let other = Record { key: None, ..record(3) };
        let (_, outcome) = taken(Found::Record(record(70)), Found::Record(other), &compact);
        assert_eq!(outcome, Some(Outcome::Failed));
        let (_, outcome) = taken(Found::Record(record(70)), Found::Unreadable("crc".into()), &compact);
        assert_eq!(outcome, Some(Outcome::Failed));
        let (spot, outcome) = taken(Found::Record(record(70)), Found::Record(record(3)), &compact);
        assert_eq!((spot.matched, outcome), (1, None));
    }

    proptest! {
        #[test]
        fn a_sample_is_distinct_in_range_and_has_both_ends(total in 0_i64..5000, wanted in 0_u64..200, part in 0..9) {
            let id: MigrationId = "m-1".parse().unwrap();
            let partition = TopicPartition::new("orders", part);
            let chosen = sample(&id, &partition, total, wanted);
            prop_assert_eq!(chosen.len() as u64, wanted.min(total as u64));
            prop_assert!(chosen.iter().all(|offset| (0..total).contains(offset)));
            if wanted >= 2 && total > 0 {
                prop_assert!(chosen.contains(&0) && chosen.contains(&(total - 1)));
            }
            prop_assert_eq!(sample(&id, &partition, total, wanted), chosen);
        }
    }

    #[test]
    fn another_migration_draws_other_records() {
        let of = |id: &str| sample(&id.parse().unwrap(), &TopicPartition::new("orders", 0), 1 << 40, 20);
        assert_ne!(of("m-1"), of("m-2"));
    }
}
