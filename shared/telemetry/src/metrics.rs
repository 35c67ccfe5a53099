//! Every metric there is, declared once: name, unit and meaning.
//!
//! A metric leaves a function as one CloudWatch embedded metric format line on stdout
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
//! Its dimensions are the deployment, once alone for alarms and once with the phase; migration and batch are fields of the
//! line, since as dimensions they would make a new metric each.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

/// CloudWatch namespace of all metrics.
pub const NAMESPACE: &str = "msk-kraft";

/// A declared metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Name in CloudWatch.
    pub name: &'static str,
    /// CloudWatch unit.
    pub unit: &'static str,
    /// What it measures.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($ident:ident = $name:literal, $unit:literal, $help:literal;)*) => {
        $(#[doc = $help] pub const $ident: Metric = Metric { name: $name, unit: $unit, help: $help };)*

        /// Every declared metric, for the documentation and its test.
        pub const ALL: &[Metric] = &[$($ident),*];
    };
}

metrics! {
    RECORDS_COPIED = "RecordsCopied", "Count", "Records produced to the target.";
    BYTES_COPIED = "BytesCopied", "Bytes", "Bytes of record batches produced to the target.";
    BATCHES_REENCODED = "BatchesReencoded", "Count", "Batches that could not pass through raw.";
    MAX_PARTITION_LAG = "MaxPartitionLag", "Count", "Largest lag of a partition behind the source's last stable offset.";
    LAG_SHARE = "LagShare", "Percent", "Largest lag of a partition as a share of what its log on the source still holds, where that deletes.";
    PARTITIONS_STOPPED = "PartitionsStopped", "Count", "Partitions that stopped and need a person.";
    FREEZE_MILLIS = "FreezeMillis", "Milliseconds", "Time from the freeze of producers to READY_FOR_CLIENT_SWITCH.";
    LATE_RECORDS = "LateRecords", "Count", "Records written to the source behind the cutover's fence, not on the target.";
    LATE_COMMITS = "LateCommits", "Count", "Offsets that groups committed on the source behind the cutover's snapshot.";
    FREEZE_SHARE = "FreezeShare", "Percent", "The same as a share of `cutover.max_producer_freeze`.";
    HEARTBEAT_AGE = "HeartbeatAge", "Seconds", "Age of the oldest sign of life of the functions that should be copying.";
    PHASE_AGE = "PhaseAge", "Seconds", "How long a migration has been in its phase.";
    FENCED = "Fenced", "Count", "Invocations that ended because another one had taken their work over.";
    VALIDATION_MISMATCHES = "ValidationMismatches", "Count", "Differences that validation found.";
}

/// Writes `values` of one moment of one migration as an embedded metric line.
#[expect(clippy::print_stdout, reason = "CloudWatch reads embedded metrics from stdout")]
pub fn emit(phase: &str, migration: &str, values: &[(Metric, f64)]) {
    println!("{}", line(phase, migration, values));
}

/// Name of the deployment that this process is a part of.
pub fn deployment() -> String {
    std::env::var("MSK_KRAFT_DEPLOYMENT").unwrap_or_else(|_| "local".to_owned())
}

fn line(phase: &str, migration: &str, values: &[(Metric, f64)]) -> serde_json::Value {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let declared: Vec<_> = values.iter().map(|(metric, _)| json!({"Name": metric.name, "Unit": metric.unit})).collect();
    let mut line = json!({
        "_aws": {
            "Timestamp": millis,
            "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [["deployment"], ["deployment", "phase"]], "Metrics": declared}],
        },
        "deployment": deployment(),
        "phase": phase,
        "migration": migration,
    });
    for (metric, value) in values {
        line[metric.name] = json!(value);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_the_value_of_each_metric_it_declares() {
        let line = line("seed", "m1", &[(RECORDS_COPIED, 3.0), (BYTES_COPIED, 9.0)]);
        for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap() {
            assert!(line[metric["Name"].as_str().unwrap()].is_number());
        }
        assert_eq!(line["RecordsCopied"], 3.0);
        for dimension in line["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|set| set.as_array().unwrap())
        {
            assert!(line[dimension.as_str().unwrap()].is_string(), "{dimension}");
        }
    }

    #[test]
    fn names_are_distinct() {
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
