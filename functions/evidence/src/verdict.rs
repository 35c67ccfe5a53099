//! What the validation report comes to.

use journal::Acceptance;
use migration::report::validation::{Check, Exception};
use migration::report::{CheckName, Outcome, Overall, ValidationReport};
use migration::{Error, Result};

/// The report's sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// What the checks come to.
    pub(crate) overall: Overall,
    /// Which validation of the run it is.
    pub(crate) attempt: u32,
    /// Differences that were accepted.
    pub(crate) exceptions: u64,
    failures: Vec<String>,
}

impl Verdict {
    /// Reads `report`. All five checks have to be there, what each comes to has to follow from what it counted, what the whole says
    /// from what they say, and what was accepted has to be on record as `accepted`: a report with less must not end a migration.
    ///
    /// # Errors
    /// Internal when it does not hold that.
    pub(crate) fn read(report: &[u8], accepted: &[Acceptance]) -> Result<Self> {
        let unusable = |why: &str| Error::internal(format_args!("the validation report cannot be used: {why}"));
        let report: ValidationReport = serde_json::from_slice(report).map_err(|error| unusable(&error.to_string()))?;
        for (name, check) in report.checks() {
            let bad = |why: &str| unusable(&format!("{name}: {why}"));
            if let Some(contradiction) = check.contradiction() {
                return Err(bad(&contradiction));
            }
            if let Some(exception) = check.exceptions.iter().find(|exception| !is_on_record(name, exception, accepted))
            {
                return Err(bad(&format!("the journal does not know who accepted {}", exception.place)));
            }
        }
        let overall = Overall::of(report.checks().map(|(_, check)| check.outcome));
        if overall != report.overall {
            return Err(unusable(&format!("it is {} over all, and its checks come to {overall}", report.overall)));
        }
        let failed = report.checks().into_iter().filter(|(_, check)| check.outcome == Outcome::Failed);
        Ok(Self {
            overall,
            attempt: report.attempt,
            exceptions: report.checks().iter().map(|(_, check)| check.exceptions_total).sum(),
            failures: failed.map(|(name, check)| describe(name, check)).collect(),
        })
    }

    /// The error that ends a finalize whose validation failed; `url` is where its evidence lies.
    pub(crate) fn error(&self, url: &str) -> Option<Error> {
        if self.failures.is_empty() {
            return None;
        }
        Some(Error::data_unsafe(format_args!("validation failed: {} (evidence at {url})", self.failures.join("; "))))
    }
}

/// Whether an acceptance of the journal covers `exception`, and says the same about it.
fn is_on_record(check: CheckName, exception: &Exception, accepted: &[Acceptance]) -> bool {
    accepted.iter().any(|acceptance| {
        acceptance.what().covers(check, &exception.place)
            && acceptance.reason == exception.reason
            && acceptance.by == exception.accepted_by
            && journal::timestamp(acceptance.at) == exception.accepted_at
    })
}

fn describe(name: CheckName, check: &Check) -> String {
    let example = check.problems.first().map(|problem| format!(", such as {}: {}", problem.place, problem.message));
    format!("{name}: {} of {} {}{}", check.failed, check.checked, name.items(), example.unwrap_or_default())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use chrono::DateTime;
    use migration::ErrorKind;
    use serde_json::{Value, json};

    /// A report over 306 items a check, of which the counts end as `outcome`.
    pub(crate) fn report(overall: Overall, outcome: Outcome) -> Value {
        let mut report = json!({"schema": 2, "migration_id": "m-1", "overall": overall, "attempt": 2});
        for name in CheckName::ALL {
            report[name.name()] = json!(Check { checked: 306, ..Check::default() });
        }
        let counts = &mut report["counts_and_offsets"];
        counts["outcome"] = json!(outcome);
        let place = "orders/1";
        match outcome {
            Outcome::Passed => {}
            Outcome::Warning => counts["warned"] = json!(1),
            Outcome::Failed => {
                counts["failed"] = json!(3);
                counts["problems"] = json!([{"outcome": "FAILED", "place": place, "message": "35 are missing"}]);
            }
            Outcome::Accepted => {
                let acceptance = acceptance("counts_and_offsets:orders/1");
                counts["accepted"] = json!(1);
                counts["exceptions_total"] = json!(1);
                counts["exceptions"] = json!([Exception {
                    place: place.to_owned(),
                    message: "35 are missing".to_owned(),
                    reason: acceptance.reason,
                    accepted_by: acceptance.by,
                    accepted_at: journal::timestamp(acceptance.at),
                }]);
            }
        }
        report
    }

    pub(crate) fn acceptance(what: &str) -> Acceptance {
        let what: migration::report::Acceptable = what.parse().unwrap();
        Acceptance {
            check: what.check,
            subject: what.subject,
            reason: "two heartbeats of a monitor".to_owned(),
            by: "ada@ops".to_owned(),
            at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            seen_attempt: Some(1),
        }
    }

    fn read(report: &Value, accepted: &[&str]) -> Result<Verdict> {
        let accepted: Vec<_> = accepted.iter().map(|what| acceptance(what)).collect();
        Verdict::read(report.to_string().as_bytes(), &accepted)
    }

    #[test]
    fn a_failed_check_names_itself_its_share_and_an_example() {
        let error =
            read(&report(Overall::Failed, Outcome::Failed), &[]).unwrap().error("s3://b/evidence.json").unwrap();
        assert_eq!(error.kind, ErrorKind::Unsafe);
        assert_eq!(
            error.message,
            "validation failed: counts_and_offsets: 3 of 306 partitions, such as orders/1: 35 are missing (evidence at \
             s3://b/evidence.json)"
        );
    }

    #[test]
    fn warnings_do_not_fail() {
        let verdict = read(&report(Overall::PassedWithWarnings, Outcome::Warning), &[]).unwrap();
        assert_eq!((verdict.error("u"), verdict.attempt, verdict.exceptions), (None, 2, 0));
    }

    #[test]
    fn what_was_accepted_passes_when_it_is_on_record() {
        let report = report(Overall::PassedWithExceptions, Outcome::Accepted);
        for accepted in ["counts_and_offsets", "counts_and_offsets:orders", "counts_and_offsets:orders/1"] {
            let verdict = read(&report, &[accepted]).unwrap();
            assert_eq!((verdict.error("u"), verdict.overall), (None, Overall::PassedWithExceptions));
            assert_eq!(verdict.exceptions, 1);
        }
        for other in [&[][..], &["counts_and_offsets:orders/2"], &["topic_parity"]] {
            assert!(read(&report, other).unwrap_err().message.contains("who accepted orders/1"));
        }
        let mut changed = report;
        changed["counts_and_offsets"]["exceptions"][0]["reason"] = json!("another reason");
        assert!(read(&changed, &["counts_and_offsets"]).is_err());
    }

    #[test]
    fn a_report_that_contradicts_itself_or_lacks_a_check_is_refused() {
        let everything: Vec<_> = CheckName::ALL.map(CheckName::name).into();
        for (overall, outcome) in [
            (Overall::Passed, Outcome::Failed),
            (Overall::PassedWithWarnings, Outcome::Accepted),
            (Overall::PassedWithExceptions, Outcome::Failed),
            (Overall::PassedWithExceptions, Outcome::Passed),
            (Overall::Failed, Outcome::Passed),
        ] {
            assert!(read(&report(overall, outcome), &everything).is_err(), "{overall} with {outcome:?}");
        }
        let sound = report(Overall::Passed, Outcome::Passed);
        assert!(read(&sound, &everything).is_ok());
        let mut unknown = sound.clone();
        unknown["topic_parity"]["outcome"] = json!("SKIPPED");
        assert!(read(&unknown, &everything).is_err());
        let mut hidden = sound.clone();
        hidden["topic_parity"]["failed"] = json!(2);
        assert!(read(&hidden, &everything).unwrap_err().message.contains("topic_parity"));
        for name in CheckName::ALL.map(CheckName::name) {
            let mut lacking = sound.clone();
            lacking.as_object_mut().unwrap().remove(name);
            let error = read(&lacking, &everything).unwrap_err();
            assert!(error.message.contains(name), "{error}");
        }
    }
}
