//! What a validation has looked at, in one line.

use indicatif::HumanCount;
use migration::report::ValidationReport;
use serde::Deserialize;

use crate::words::count;

/// What a report says beside its checks, as far as it does.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Figures {
    counts_and_offsets: Records,
    spot_check_records: Samples,
    consumer_group_reconciliation: Offsets,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Records {
    records_expected: usize,
    records_counted: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Samples {
    compared: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Offsets {
    offsets_checked: usize,
}

/// What `report` comes to, and how much it is about.
pub(super) fn line(report: &ValidationReport, figures: &Figures) -> String {
    let Figures { counts_and_offsets, spot_check_records, consumer_group_reconciliation } = figures;
    let Records { records_expected, records_counted } = *counts_and_offsets;
    let counted = match records_counted {
        all if all == records_expected => "each counted on the target".to_owned(),
        0 => "not counted on the target".to_owned(),
        some => format!("{} of them counted on the target", HumanCount(some as u64)),
    };
    format!(
        "validated: {}, {}, {} ({counted}), {} compared in every field, {} of {}: {}",
        count(report.topic_parity.checked as usize, "topic"),
        count(report.counts_and_offsets.checked as usize, "partition"),
        count(records_expected, "copied record"),
        count(spot_check_records.compared, "record"),
        count(consumer_group_reconciliation.offsets_checked, "offset"),
        count(report.consumer_group_reconciliation.checked as usize, "group"),
        report.overall.name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_is_one_line() {
        let check = |checked: u64| json!({"outcome": "PASSED", "checked": checked, "failed": 0, "warned": 0, "problems_total": 0, "problems": []});
        let with = |checked, more: serde_json::Value| {
            let mut section = check(checked);
            section.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            section
        };
        let said = |counted: u64| {
            let report = json!({
                "migration_id": "m1", "attempt": 1, "overall": "PASSED", "topic_parity": check(36), "sentinel_presence": check(306),
                "counts_and_offsets": with(306, json!({"records_expected": 176_644, "records_counted": counted})),
                "spot_check_records": with(306, json!({"compared": 918})),
                "consumer_group_reconciliation": with(1, json!({"offsets_checked": 430})),
            });
            line(&serde_json::from_value(report.clone()).unwrap(), &serde_json::from_value(report).unwrap())
        };
        assert_eq!(
            said(176_644),
            "validated: 36 topics, 306 partitions, 176,644 copied records (each counted on the target), 918 records compared in every \
             field, 430 offsets of 1 group: PASSED"
        );
        assert!(said(1_007).contains("176,644 copied records (1,007 of them counted on the target), 918"));
        assert!(said(0).contains("176,644 copied records (not counted on the target), 918"));
        assert!(serde_json::from_str::<Figures>("{}").is_ok(), "an older report has fewer of them");
    }
}
