//! Data in the form people read.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::HumanBytes;
use migration::progress::{PartitionProgress, ReencodedCounts};
use migration::report::{Estimate, Finding, Plan, PlannedCluster, PlannedTopic, PrecheckReport, Severity};

use crate::progress::Totals;
use crate::words;

/// Topics that a plan's summary shows: the largest.
const SAMPLE_TOPICS: usize = 10;

/// A length of time: `45s`, `12m 03s`, `5h 07m`, `3d 04h`.
pub(crate) fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

/// How long a seed may take.
fn seed_time(estimate: &Estimate) -> String {
    let Estimate { seconds, bytes_per_second, bound_by, functions } = estimate;
    let length = span(Duration::from_secs(*seconds));
    let rate = HumanBytes(*bytes_per_second);
    format!("estimated_seed_time={length} at {rate}/s with {functions} functions, bound by {bound_by}")
}

/// A plan's clusters, totals and largest topics.
pub(crate) fn plan_summary(plan: &Plan) -> String {
    let cluster = |side: &str, cluster: &PlannedCluster| {
        let PlannedCluster { name, metadata, kafka, brokers, .. } = cluster;
        format!("{side}={name} metadata={metadata} kafka={kafka} brokers={brokers}")
    };
    let skipped = plan.skipped_internal.iter().map(|topic| format!("{topic:?}")).collect::<Vec<_>>().join(",");
    let mut lines = vec![
        cluster("source", &plan.source),
        cluster("target", &plan.target),
        format!("topics={}", plan.topics.len()),
        format!("topics_to_create={}", plan.topics.iter().filter(|topic| !topic.on_target).count()),
        format!("partitions_to_create={}", plan.partitions_to_create),
        format!("estimated_seed_bytes={}", plan.estimated_seed_bytes),
        seed_time(&plan.estimated_seed),
        format!("skipped_internal=[{skipped}]"),
    ];
    if !plan.sink_groups.is_empty() {
        lines.push(format!("sink_groups={:?}", plan.sink_groups));
    }
    let mut topics: Vec<&PlannedTopic> = plan.topics.iter().collect();
    topics.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    if !topics.is_empty() {
        lines.push("sample topics:".to_owned());
    }
    let sample = topics.iter().take(SAMPLE_TOPICS);
    lines.extend(sample.map(|PlannedTopic { name, partitions, replication_factor, .. }| {
        format!("  {name} partitions={partitions} rf={replication_factor}")
    }));
    if let Some(more) = topics.len().checked_sub(SAMPLE_TOPICS + 1) {
        lines.push(format!("  and {} more", more + 1));
    }
    lines.join("\n")
}

/// Findings in the report's order: for a terminal a table, whose width it fits, and below it what to do, in lines of their own
/// so that commands can be copied; for anything else one line each.
pub(crate) fn findings(report: &PrecheckReport, terminal: bool) -> String {
    let all = &report.findings;
    let lines = if terminal { finding_table(all) } else { finding_lines(all) };
    let count = |severity| all.iter().filter(|finding| finding.severity == severity).count();
    let counts = format!(
        "blockers={} warnings={} infos={}",
        count(Severity::Blocker),
        count(Severity::Warning),
        count(Severity::Info)
    );
    if all.is_empty() { counts } else { format!("{lines}\n{counts}") }
}

fn finding_table(findings: &[Finding]) -> String {
    let mut table = table(["CODE", "SEVERITY", "ABOUT", "FOUND", "WHY IT MATTERS"]);
    for Finding { code, severity, subject, message, cause, .. } in findings {
        table.add_row([code, &severity.to_string(), subject, message, cause]);
    }
    let fixes = findings.iter().map(|Finding { code, subject, fix, .. }| format!("{code} ({subject}): {fix}\n"));
    format!("{}\n\nWHAT TO DO\n{}", table.trim_fmt(), fixes.collect::<String>())
}

fn finding_lines(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let Finding { code, severity, subject, message, cause, fix, .. } = finding;
        format!("{code} {severity} ({subject}): {message}; {cause} -- {fix}")
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Partitions with the largest lag first, at most `limit`.
pub(crate) fn lags<'a>(partitions: impl IntoIterator<Item = &'a PartitionProgress>, limit: usize) -> String {
    let mut sorted: Vec<&PartitionProgress> = partitions.into_iter().collect();
    sorted.sort_by(|a, b| b.lag().cmp(&a.lag()).then_with(|| a.partition.cmp(&b.partition)));
    let mut table = table(["PARTITION", "LAG", "SOURCE NEXT", "SOURCE END", "COPIED", "BYTES", "SEEDED"]);
    for column in 1..=5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for progress in sorted.iter().take(limit) {
        table.add_row([
            progress.partition.to_string(),
            progress.lag().to_string(),
            progress.source_next.to_string(),
            progress.source_end.to_string(),
            progress.target_next.to_string(),
            progress.bytes.to_string(),
            if progress.is_seeded() { "yes" } else { "no" }.to_owned(),
        ]);
    }
    let rest = sorted.len().saturating_sub(limit);
    let rest = if rest > 0 { format!("\nand {rest} more: --all shows them") } else { String::new() };
    format!("{}{rest}", table.trim_fmt())
}

/// What was copied of all partitions, on one line.
pub(crate) fn totals(totals: &Totals) -> String {
    let Totals { partitions, seeded, records, bytes, .. } = totals;
    let records = usize::try_from(*records).unwrap_or_default();
    format!(
        "{}, {seeded} seeded; {}, {} copied",
        words::count(*partitions, "partition"),
        words::count(records, "record"),
        HumanBytes(bytes.unsigned_abs())
    )
}

/// A moment, to the second.
pub(crate) fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// How long ago `at` was.
pub(crate) fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!("{} ago", span((now - at).to_std().unwrap_or_default()))
}

/// Batches that did not pass through raw, on one line; none if all did.
pub(crate) fn reencoded(counts: &ReencodedCounts) -> Option<String> {
    let reasons: Vec<_> = counts.iter().map(|(reason, batches)| format!("{batches} {reason}")).collect();
    let total = usize::try_from(counts.total()).unwrap_or_default();
    (!counts.is_empty()).then(|| format!("{}: {}", words::count(total, "batch"), reasons.join(", ")))
}

/// What the source deleted of partitions before it was copied: those with the most such offsets first, at most `limit`.
pub(crate) fn gaps<'a>(partitions: impl IntoIterator<Item = &'a PartitionProgress>, limit: usize) -> Vec<String> {
    let mut all: Vec<_> = partitions.into_iter().filter_map(|one| Some((one, one.gaps.text()?))).collect();
    all.sort_by(|(a, _), (b, _)| b.gaps.offsets.cmp(&a.gaps.offsets).then_with(|| a.partition.cmp(&b.partition)));
    let rest = all.len().saturating_sub(limit);
    let mut lines: Vec<_> =
        all.into_iter().take(limit).map(|(one, gaps)| format!("gap        {}: {gaps}", one.partition)).collect();
    if rest > 0 {
        lines.push(format!("gap        and {} more: --all shows them", words::count(rest, "partition")));
    }
    lines
}

/// An empty table.
pub(crate) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_header(header);
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planning::sample;
    use crate::test_support::partition;
    use migration::progress::Gap;

    fn topic(name: &str, bytes: i64) -> PlannedTopic {
        let topic = sample::plan().topics.remove(0);
        PlannedTopic { name: name.to_owned(), partitions: 6, bytes, on_target: false, ..topic }
    }

    fn plan(topics: Vec<PlannedTopic>) -> Plan {
        Plan {
            partitions_to_create: topics.len() * 6,
            estimated_seed_bytes: topics.iter().map(|topic| topic.bytes).sum(),
            topics,
            ..sample::plan()
        }
    }

    #[test]
    fn a_plan_is_summed_up() {
        let summary = plan_summary(&plan(vec![topic("small", 5), topic("large", 10)]));
        let expected = r#"source=orders metadata=ZOOKEEPER kafka=3.6.0 brokers=3
target=orders-kraft metadata=KRAFT kafka=3.9.x.kraft brokers=3
topics=2
topics_to_create=2
partitions_to_create=12
estimated_seed_bytes=15
estimated_seed_time=2h 41m at 23.84 MiB/s with 1 functions, bound by functions
skipped_internal=["__amazon_msk_canary","__consumer_offsets"]
sample topics:
  large partitions=6 rf=3
  small partitions=6 rf=3"#;
        assert_eq!(summary, expected);
    }

    #[test]
    fn a_long_plan_shows_a_sample_and_says_so() {
        let with = |count: i64| plan_summary(&plan((0..count).map(|n| topic(&format!("t{n}"), n)).collect()));
        assert!(with(12).ends_with("  and 2 more"));
        assert!(!with(10).contains("more"));
        assert!(!with(0).contains("sample"));
    }

    fn finding(code: &str, severity: Severity) -> Finding {
        Finding {
            code: code.to_owned(),
            severity,
            subject: "source".to_owned(),
            message: format!("found {code}"),
            cause: format!("why {code}"),
            fix: format!("fix {code}"),
            resources: Vec::new(),
        }
    }

    #[test]
    fn findings_are_shown_with_cause_and_fix() {
        let found = vec![finding("W04", Severity::Warning), finding("B03", Severity::Blocker)];
        let report = PrecheckReport::new(found);
        let expected = " CODE  SEVERITY  ABOUT   FOUND      WHY IT MATTERS
 B03   blocker   source  found B03  why B03
 W04   warning   source  found W04  why W04

WHAT TO DO
B03 (source): fix B03
W04 (source): fix W04

blockers=1 warnings=1 infos=0";
        assert_eq!(findings(&report, true), expected);
        let expected = "B03 blocker (source): found B03; why B03 -- fix B03
W04 warning (source): found W04; why W04 -- fix W04
blockers=1 warnings=1 infos=0";
        assert_eq!(findings(&report, false), expected);
        assert_eq!(findings(&PrecheckReport::default(), true), "blockers=0 warnings=0 infos=0");
    }

    #[test]
    fn lags_are_sorted_and_cut() {
        let partitions = [partition("a", 0, 10, 10), partition("b", 1, 4, 10), partition("b", 0, 4, 10)];
        let expected = " PARTITION  LAG  SOURCE NEXT  SOURCE END  COPIED  BYTES  SEEDED
 b/0          6            4          10       4    400  no
 b/1          6            4          10       4    400  no
and 1 more: --all shows them";
        assert_eq!(lags(&partitions, 2), expected);
        assert!(!lags(&partitions, 3).contains("more"));
    }

    #[test]
    fn the_largest_gaps_are_shown_first() {
        let mut partitions = [partition("a", 0, 10, 10), partition("b", 1, 4, 10), partition("b", 0, 4, 10)];
        for (number, one) in (1..).zip(&mut partitions[1..]) {
            one.gaps.add(&Gap { from: 1, to: 1 + number, at: "then".to_owned() }, 1);
        }
        let lines = gaps(&partitions, 1);
        assert!(lines[0].starts_with("gap        b/0: the source deleted 2 offsets"), "{lines:?}");
        assert_eq!(lines[1..], ["gap        and 1 partition more: --all shows them"]);
        assert_eq!(gaps(&partitions, 2).len(), 2);
        assert!(gaps(&partitions[..1], 2).is_empty());
    }

    #[test]
    fn totals_are_one_line() {
        let totals = totals(&Totals::of(&[partition("a", 0, 2000, 2000), partition("a", 1, 4, 10)]));
        assert_eq!(totals, "2 partitions, 1 seeded; 2,004 records, 195.70 KiB copied");
    }

    #[test]
    fn spans_have_two_units() {
        let of = |seconds| span(Duration::from_secs(seconds));
        assert_eq!([of(0), of(59), of(723), of(18_420)], ["0s", "59s", "12m 03s", "5h 07m"]);
        assert_eq!(of(3 * 86_400 + 4 * 3600 + 59), "3d 04h");
    }
}
