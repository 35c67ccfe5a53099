//! The validation report: five checks and what they come to.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use migration::MigrationId;
use migration::report::validation::{Check, UsedAcceptance};
use migration::report::{CheckName, Overall};
use serde::Serialize;

use crate::check::{Acceptances, Collector};
use crate::groups::Groups;
use crate::partition::late::Late;
use crate::results::{PartitionResult, ProvenBy};

/// Version of the stored form.
const SCHEMA: u32 = 2;
/// Partitions whose late records are listed.
const LATE_LISTED: usize = 1_000;

/// The report. Its readers know it as [`migration::report::ValidationReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    /// Partitions: what proved their ends is in its place.
    pub(crate) sentinel_presence: SentinelSection,
    /// Groups: what was committed for them is committed, or they have gone on.
    pub(crate) consumer_group_reconciliation: Groups,
    /// What was accepted, with what each acceptance covered.
    pub(crate) acceptances: Vec<UsedAcceptance>,
}

/// Counts and offsets over all partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct CountsSection {
    #[serde(flatten)]
    pub(crate) check: Check,
    #[serde(flatten)]
    counts: PartitionCounts,
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct PartitionCounts {
    /// Partitions looked at.
    partitions_checked: u64,
    /// Records that the target has to have.
    records_expected: i64,
    /// Those of them that were counted on the target by reading it; 0 with `validation.recount: false`.
    records_counted: i64,
    /// Those of them that compaction or somebody else took out of the midst of the target's logs.
    records_missing: i64,
    /// Partitions that are missing on the target or end before their copied records do.
    target_behind_or_missing: u64,
    /// Partitions whose log on the target starts behind the first copied record.
    earliest_mismatches: u64,
    /// Partitions whose source does not end where the copy did; transaction markers behind it count.
    latest_mismatches: u64,
    /// Committed records on the source that came after the copy and that the target does not have.
    late_records: u64,
    /// Such records that somebody has appended to the target.
    late_records_appended: u64,
    /// The late records by partition; the first thousand partitions that have some.
    late: Vec<LatePartition>,
}

/// The late records of one partition. Offsets are the source's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct LatePartition {
    topic: Arc<str>,
    partition: i32,
    #[serde(flatten)]
    late: Late,
    appended: u64,
}

/// Spot checks over all partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct SpotSection {
    #[serde(flatten)]
    pub(crate) check: Check,
    #[serde(flatten)]
    counts: SpotCounts,
}

/// What was compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct SpotCounts {
    /// Records compared: matched and mismatched.
    compared: u64,
    /// Records that are equal.
    matched: u64,
    /// Records that differ, or that the target does not have.
    mismatched: u64,
    /// Records that could not be compared.
    skipped: u64,
    /// The same by reason.
    skipped_reasons: BTreeMap<String, u64>,
}

/// The proofs of all partitions' ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct SentinelSection {
    #[serde(flatten)]
    pub(crate) check: Check,
    /// Partitions by what proved their end.
    proven_by: BTreeMap<ProvenBy, u64>,
}

/// The checks that are made partition by partition.
#[derive(Debug)]
pub(crate) struct ByPartition {
    counts: (Collector, PartitionCounts),
    spot: (Collector, SpotCounts),
    sentinels: (Collector, BTreeMap<ProvenBy, u64>),
}

impl ByPartition {
    /// Nothing looked at yet.
    pub(crate) fn new(acceptances: &Arc<Acceptances>) -> Self {
        let collector = |name| Collector::new(name, acceptances);
        Self {
            counts: (collector(CheckName::CountsAndOffsets), PartitionCounts::default()),
            spot: (collector(CheckName::SpotCheckRecords), SpotCounts::default()),
            sentinels: (collector(CheckName::SentinelPresence), BTreeMap::new()),
        }
    }

    /// Adds the results of one partition.
    pub(crate) fn add(&mut self, result: PartitionResult) {
        let (found, (check, counts)) = (result.counts, &mut self.counts);
        counts.partitions_checked += 1;
        counts.records_expected += found.expected;
        counts.records_counted += found.counted.unwrap_or(0);
        counts.records_missing += found.missing;
        counts.target_behind_or_missing += u64::from(found.target_end.is_none_or(|end| end < found.expected));
        counts.earliest_mismatches +=
            u64::from(found.expected > 0 && found.target_start.is_some_and(|start| start > 0));
        counts.latest_mismatches += u64::from(found.source_end.is_some_and(|end| end != found.source_next));
        counts.late_records += found.late.records;
        counts.late_records_appended += found.late_appended;
        let has_late = found.late.records > 0 || found.late.removed.is_some() || found.late_appended > 0;
        if has_late && counts.late.len() < LATE_LISTED {
            let (topic, partition) = (result.partition.topic.clone(), result.partition.partition);
            counts.late.push(LatePartition { topic, partition, late: found.late, appended: found.late_appended });
        }
        check.add(found.problems);
        let (found, (check, spot)) = (result.spot, &mut self.spot);
        spot.compared += found.compared;
        spot.matched += found.matched;
        spot.mismatched += found.mismatched;
        for (reason, skipped) in found.skipped {
            spot.skipped += skipped;
            *spot.skipped_reasons.entry(reason).or_default() += skipped;
        }
        check.add(found.problems);
        let (found, (check, proven_by)) = (result.sentinels, &mut self.sentinels);
        if let Some(by) = found.by {
            *proven_by.entry(by).or_default() += 1;
        }
        check.add(found.problems);
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
        acceptances: &Acceptances,
    ) -> Self {
        let ByPartition { counts, spot, sentinels } = partitions;
        let counts = CountsSection { check: counts.0.finish(), counts: counts.1 };
        let spot = SpotSection { check: spot.0.finish(), counts: spot.1 };
        let sentinels = SentinelSection { check: sentinels.0.finish(), proven_by: sentinels.1 };
        let checks = [&topic_parity, &counts.check, &spot.check, &sentinels.check, &groups.check];
        Self {
            schema: SCHEMA,
            migration_id,
            attempt,
            validated_at: now.to_rfc3339_opts(SecondsFormat::Micros, true),
            overall: Overall::of(checks.map(|check| check.outcome)),
            topic_parity,
            counts_and_offsets: counts,
            spot_check_records: spot,
            sentinel_presence: sentinels,
            consumer_group_reconciliation: groups,
            acceptances: acceptances.used(),
        }
    }

    /// Differences of all checks.
    pub(crate) const fn differences(&self) -> u64 {
        self.topic_parity.problems_total
            + self.counts_and_offsets.check.problems_total
            + self.spot_check_records.check.problems_total
            + self.sentinel_presence.check.problems_total
            + self.consumer_group_reconciliation.check.problems_total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::accepted;
    use crate::results::{Counts, Sentinels, Spot};
    use migration::TopicPartition;
    use migration::report::ValidationReport;
    use migration::report::validation::Problem;

    fn result(number: i32, counts: Counts, spot: Spot) -> PartitionResult {
        let partition = TopicPartition::new("orders", number);
        let sentinels = Sentinels { checked: 1, by: Some(ProvenBy::Marker), problems: Vec::new() };
        PartitionResult { partition, counts, spot, sentinels }
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

    /// Two partitions, of which the second has a late record.
    fn report(accept: &[&str]) -> serde_json::Value {
        let acceptances = accepted(accept);
        let mut partitions = ByPartition::new(&acceptances);
        let skipped = BTreeMap::from([("gone".to_owned(), 2)]);
        partitions.add(result(0, counts(15), Spot { compared: 3, matched: 3, ..Spot::default() }));
        let late = Late { records: 3, first: Some(20), last_next: 23, next: 23, ..Late::default() };
        let short = Counts { late, problems: vec![Problem::failed("orders/1", "3 late records")], ..counts(7) };
        partitions.add(result(1, short, Spot { compared: 1, matched: 1, skipped, ..Spot::default() }));
        let now = "2026-04-25T06:15:07.5Z".parse().unwrap();
        let (id, groups) = ("m-1".parse().unwrap(), Groups::default());
        serde_json::to_value(Report::new(id, 2, now, Check::default(), partitions, groups, &acceptances)).unwrap()
    }

    #[test]
    fn partitions_add_up() {
        let report = report(&[]);
        assert_eq!(report["overall"], "FAILED");
        let counts = &report["counts_and_offsets"];
        assert_eq!((&counts["outcome"], &counts["partitions_checked"]), (&"FAILED".into(), &2.into()));
        assert_eq!((&counts["failed"], &counts["target_behind_or_missing"]), (&1.into(), &1.into()));
        assert_eq!((&counts["earliest_mismatches"], &counts["latest_mismatches"]), (&0.into(), &0.into()));
        assert_eq!(counts["problems"][0]["place"], "orders/1");
        let late = &counts["late"][0];
        assert_eq!((&late["topic"], &late["partition"], &late["records"]), (&"orders".into(), &1.into(), &3.into()));
        assert_eq!((&late["first"], &late["last_next"], &counts["late_records"]), (&20.into(), &23.into(), &3.into()));
        let spot = &report["spot_check_records"];
        assert_eq!((&spot["outcome"], &spot["compared"], &spot["skipped"]), (&"PASSED".into(), &4.into(), &2.into()));
        assert_eq!(report["sentinel_presence"]["checked"], 2);
        assert_eq!(report["sentinel_presence"]["proven_by"], serde_json::json!({"marker": 2}));
        assert_eq!(report["validated_at"], "2026-04-25T06:15:07.500000Z");
        assert_eq!(report["consumer_group_reconciliation"]["outcome"], "PASSED");
    }

    #[test]
    fn what_was_accepted_passes_with_exceptions_and_what_covers_nothing_shows() {
        let report = report(&["counts_and_offsets:orders/1", "topic_parity:users"]);
        assert_eq!(report["overall"], "PASSED_WITH_EXCEPTIONS");
        let counts = &report["counts_and_offsets"];
        assert_eq!((&counts["outcome"], &counts["accepted"]), (&"ACCEPTED".into(), &1.into()));
        assert_eq!(counts["exceptions"][0]["reason"], "reason 0");
        assert_eq!(counts["exceptions"][0]["message"], "3 late records");
        let covered: Vec<_> = report["acceptances"].as_array().unwrap().iter().map(|used| &used["covered"]).collect();
        assert_eq!(covered, [1, 0]);
    }

    #[test]
    fn its_readers_understand_it() {
        for accept in [&[][..], &["counts_and_offsets:orders/1"]] {
            let report = report(accept);
            let read: ValidationReport = serde_json::from_value(report.clone()).unwrap();
            assert_eq!(read.overall.name(), report["overall"]);
            for (name, check) in read.checks() {
                assert_eq!(check.contradiction(), None, "{name}");
                assert_eq!(serde_json::to_value(check.outcome).unwrap(), report[name.name()]["outcome"]);
            }
        }
    }
}
