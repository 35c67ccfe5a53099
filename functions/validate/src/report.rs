//! The validation report: five checks and what they come to.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use migration::MigrationId;
use serde::{Deserialize, Serialize};

use crate::check::{Check, Outcome};
use crate::groups::Groups;
use crate::results::PartitionResult;

/// Version of the stored form.
const SCHEMA: u32 = 1;

/// Name of the report in the run's store.
pub(crate) const NAME: &str = "validation/report.json";

/// What the five checks come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Overall {
    /// Every check passed.
    Passed,
    /// No check failed.
    PassedWithWarnings,
    /// A check failed: the migration cannot be finalized like this.
    Failed,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    schema: u32,
    migration_id: MigrationId,
    /// Which validation of the run this is, as the finalize gate counts.
    attempt: u32,
    validated_at: String,
    /// What the checks come to.
    pub(crate) overall: Overall,
    /// Topics: partition counts and configs are the same.
    pub(crate) topic_parity: Check,
    /// Partitions: every copied record is there, and the source ended where the copy did.
    pub(crate) counts_and_offsets: CountsSection,
    /// Partitions: sampled records are equal in every field.
    pub(crate) spot_check_records: SpotSection,
    /// Partitions: the cutover's sentinels are in their places.
    pub(crate) sentinel_presence: Check,
    /// Groups: what was committed for them is committed, or they have gone on.
    pub(crate) consumer_group_reconciliation: Groups,
}

/// Counts and offsets over all partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CountsSection {
    #[serde(flatten)]
    pub(crate) check: Check,
    /// Partitions looked at.
    pub(crate) partitions_checked: u64,
    /// Records that the target has to have.
    pub(crate) records_expected: i64,
    /// Partitions that are missing on the target or end before their copied records do.
    pub(crate) target_behind_or_missing: u64,
    /// Partitions whose log on the target starts behind the first copied record.
    pub(crate) earliest_mismatches: u64,
    /// Partitions whose source does not end where the copy did; transaction markers behind it count.
    pub(crate) latest_mismatches: u64,
    /// Committed records on the source that came after the copy.
    pub(crate) late_records: u64,
}

/// Spot checks over all partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpotSection {
    #[serde(flatten)]
    pub(crate) check: Check,
    /// Records compared: matched and mismatched.
    pub(crate) compared: u64,
    /// Records that are equal.
    pub(crate) matched: u64,
    /// Records that differ, or that the target does not have.
    pub(crate) mismatched: u64,
    /// Records that could not be compared.
    pub(crate) skipped: u64,
    /// The same by reason.
    pub(crate) skipped_reasons: BTreeMap<String, u64>,
}

/// The checks that are made partition by partition.
#[derive(Debug, Default)]
pub(crate) struct ByPartition {
    counts: CountsSection,
    spot: SpotSection,
    sentinels: Check,
}

impl ByPartition {
    /// Adds the results of one partition.
    pub(crate) fn add(&mut self, result: PartitionResult) {
        let (found, counts) = (result.counts, &mut self.counts);
        counts.partitions_checked += 1;
        counts.records_expected += found.expected;
        counts.target_behind_or_missing += u64::from(found.target_end.is_none_or(|end| end < found.expected));
        counts.earliest_mismatches +=
            u64::from(found.expected > 0 && found.target_start.is_some_and(|start| start > 0));
        counts.latest_mismatches += u64::from(found.source_end.is_some_and(|end| end != found.source_next));
        counts.late_records += found.late_records;
        counts.check.add(found.problems);
        let (found, spot) = (result.spot, &mut self.spot);
        spot.compared += found.compared;
        spot.matched += found.matched;
        spot.mismatched += found.mismatched;
        for (reason, skipped) in found.skipped {
            spot.skipped += skipped;
            *spot.skipped_reasons.entry(reason).or_default() += skipped;
        }
        spot.check.add(found.problems);
        self.sentinels.add(result.sentinels.problems);
    }
}

impl Report {
    /// Puts the checks together.
    pub(crate) fn new(
        migration_id: MigrationId,
        attempt: u32,
        now: DateTime<Utc>,
        topic_parity: Check,
        partitions: ByPartition,
        groups: Groups,
    ) -> Self {
        let ByPartition { counts, spot, sentinels } = partitions;
        let outcomes =
            [topic_parity.outcome, counts.check.outcome, spot.check.outcome, sentinels.outcome, groups.check.outcome];
        Self {
            schema: SCHEMA,
            migration_id,
            attempt,
            validated_at: now.to_rfc3339_opts(SecondsFormat::Micros, true),
            overall: overall(outcomes),
            topic_parity,
            counts_and_offsets: counts,
            spot_check_records: spot,
            sentinel_presence: sentinels,
            consumer_group_reconciliation: groups,
        }
    }

    /// Differences of all checks.
    pub(crate) const fn differences(&self) -> u64 {
        self.topic_parity.problems_total
            + self.counts_and_offsets.check.problems_total
            + self.spot_check_records.check.problems_total
            + self.sentinel_presence.problems_total
            + self.consumer_group_reconciliation.check.problems_total
    }
}

fn overall(outcomes: [Outcome; 5]) -> Overall {
    match outcomes.into_iter().max() {
        Some(Outcome::Failed) => Overall::Failed,
        Some(Outcome::Warning) => Overall::PassedWithWarnings,
        Some(Outcome::Passed) | None => Overall::Passed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Problem;
    use crate::results::{Counts, Sentinels, Spot};
    use migration::TopicPartition;

    fn result(number: i32, counts: Counts, spot: Spot) -> PartitionResult {
        let partition = TopicPartition::new("orders", number);
        PartitionResult { partition, counts, spot, sentinels: Sentinels { checked: 1, problems: Vec::new() } }
    }

    fn counts(end: i64) -> Counts {
        Counts {
            expected: 10,
            target_start: Some(0),
            target_end: Some(end),
            source_next: 20,
            source_end: Some(20),
            ..Counts::default()
        }
    }

    fn report(partitions: ByPartition) -> serde_json::Value {
        let now = "2026-04-25T06:15:07.5Z".parse().unwrap();
        let groups = Groups::default();
        serde_json::to_value(Report::new("m-1".parse().unwrap(), 2, now, Check::default(), partitions, groups)).unwrap()
    }

    #[test]
    fn the_worst_check_decides() {
        use Outcome::{Failed, Passed, Warning};
        assert_eq!(overall([Passed; 5]), Overall::Passed);
        assert_eq!(overall([Passed, Warning, Passed, Passed, Passed]), Overall::PassedWithWarnings);
        assert_eq!(overall([Warning, Passed, Passed, Passed, Failed]), Overall::Failed);
        assert_eq!(serde_json::to_value(Overall::PassedWithWarnings).unwrap(), "PASSED_WITH_WARNINGS");
    }

    #[test]
    fn partitions_add_up() {
        let mut partitions = ByPartition::default();
        let skipped = BTreeMap::from([("gone".to_owned(), 2)]);
        partitions.add(result(0, counts(15), Spot { compared: 3, matched: 3, ..Spot::default() }));
        let short = Counts { problems: vec![Problem::failed("orders/1", "3 are missing")], ..counts(7) };
        partitions.add(result(1, short, Spot { compared: 1, matched: 1, skipped, ..Spot::default() }));
        let report = report(partitions);
        assert_eq!(report["overall"], "FAILED");
        let counts = &report["counts_and_offsets"];
        assert_eq!((&counts["outcome"], &counts["partitions_checked"]), (&"FAILED".into(), &2.into()));
        assert_eq!((&counts["failed"], &counts["target_behind_or_missing"]), (&1.into(), &1.into()));
        assert_eq!((&counts["earliest_mismatches"], &counts["latest_mismatches"]), (&0.into(), &0.into()));
        assert_eq!(counts["problems"][0]["place"], "orders/1");
        let spot = &report["spot_check_records"];
        assert_eq!((&spot["outcome"], &spot["compared"], &spot["skipped"]), (&"PASSED".into(), &4.into(), &2.into()));
        assert_eq!(report["sentinel_presence"]["checked"], 2);
        assert_eq!(report["validated_at"], "2026-04-25T06:15:07.500000Z");
        assert_eq!(report["consumer_group_reconciliation"]["outcome"], "PASSED");
    }
}
