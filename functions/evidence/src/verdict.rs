//! What the validation report comes to.

use migration::{Error, Result};
use serde::Deserialize;
use serde_json::Value;

/// The report's checks and what the items of each are.
const CHECKS: [(&str, &str); 5] = [
    ("topic_parity", "topics"),
    ("counts_and_offsets", "partitions"),
    ("spot_check_records", "partitions"),
    ("sentinel_presence", "partitions"),
    ("consumer_group_reconciliation", "groups"),
];

/// The report's sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// `PASSED`, `PASSED_WITH_WARNINGS` or `FAILED`.
    pub(crate) overall: String,
    /// Which validation of the run it is.
    pub(crate) attempt: u32,
    failures: Vec<String>,
}

#[derive(Deserialize)]
struct Report {
    overall: String,
    attempt: u32,
    #[serde(flatten)]
    checks: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct Check {
    outcome: String,
    checked: u64,
    failed: u64,
    #[serde(default)]
    problems: Vec<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    place: String,
    message: String,
}

impl Verdict {
    /// Reads `report`. All five checks have to be there, and what they say has to be what the whole says: a report with
    /// less must not end a migration.
    ///
    /// # Errors
    /// Internal when it does not hold that.
    pub(crate) fn read(report: &Value) -> Result<Self> {
        let unusable = |why: &str| Error::internal(format_args!("the validation report cannot be used: {why}"));
        let report: Report = serde_json::from_value(report.clone()).map_err(|error| unusable(&error.to_string()))?;
        let mut failures = Vec::new();
        for (name, items) in CHECKS {
            let check = report.checks.get(name).cloned().ok_or_else(|| unusable(&format!("{name} is missing")))?;
            let check: Check = serde_json::from_value(check).map_err(|error| unusable(&format!("{name}: {error}")))?;
            match check.outcome.as_str() {
                "PASSED" | "WARNING" => {}
                "FAILED" => failures.push(describe(name, items, &check)),
                other => return Err(unusable(&format!("{name} is {other:?}"))),
            }
        }
        let agrees = match report.overall.as_str() {
            "PASSED" | "PASSED_WITH_WARNINGS" => failures.is_empty(),
            "FAILED" => !failures.is_empty(),
            _ => false,
        };
        if !agrees {
            return Err(unusable(&format!(
                "it is {:?} over all with {} failed checks",
                report.overall,
                failures.len()
            )));
        }
        Ok(Self { overall: report.overall, attempt: report.attempt, failures })
    }

    /// The error that ends a finalize whose validation failed; `url` is where its evidence lies.
    pub(crate) fn error(&self, url: &str) -> Option<Error> {
        if self.failures.is_empty() {
            return None;
        }
        Some(Error::data_unsafe(format_args!("validation failed: {} (evidence at {url})", self.failures.join("; "))))
    }
}

fn describe(name: &str, items: &str, check: &Check) -> String {
    let example = check.problems.first().map(|problem| format!(", such as {}: {}", problem.place, problem.message));
    format!("{name}: {} of {} {items}{}", check.failed, check.checked, example.unwrap_or_default())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use migration::ErrorKind;
    use serde_json::json;

    pub(crate) fn report(overall: &str, counts: &str) -> Value {
        let check = |outcome: &str| json!({"outcome": outcome, "checked": 306, "failed": 0, "problems": []});
        let mut report = json!({"schema": 1, "overall": overall, "attempt": 2});
        for (name, _) in CHECKS {
            report[name] = check("PASSED");
        }
        report["counts_and_offsets"]["outcome"] = json!(counts);
        report
    }

    #[test]
    fn a_failed_check_names_itself_its_share_and_an_example() {
        let mut report = report("FAILED", "FAILED");
        report["counts_and_offsets"]["failed"] = json!(3);
        report["counts_and_offsets"]["problems"] =
            json!([{"outcome": "FAILED", "place": "orders/1", "message": "35 are missing"}]);
        let error = Verdict::read(&report).unwrap().error("s3://b/evidence.json").unwrap();
        assert_eq!(error.kind, ErrorKind::Unsafe);
        assert_eq!(
            error.message,
            "validation failed: counts_and_offsets: 3 of 306 partitions, such as orders/1: 35 are missing (evidence at \
             s3://b/evidence.json)"
        );
    }

    #[test]
    fn warnings_do_not_fail() {
        let verdict = Verdict::read(&report("PASSED_WITH_WARNINGS", "WARNING")).unwrap();
        assert_eq!((verdict.error("u"), verdict.attempt), (None, 2));
    }

    #[test]
    fn a_report_that_contradicts_itself_or_lacks_a_check_is_refused() {
        assert!(Verdict::read(&report("PASSED", "FAILED")).is_err());
        assert!(Verdict::read(&report("FAILED", "PASSED")).is_err());
        assert!(Verdict::read(&report("GREAT", "PASSED")).is_err());
        assert!(Verdict::read(&report("PASSED", "SKIPPED")).is_err());
        let mut lacking = report("PASSED", "PASSED");
        lacking.as_object_mut().unwrap().remove("sentinel_presence");
        assert!(Verdict::read(&lacking).unwrap_err().message.contains("sentinel_presence"));
    }
}
