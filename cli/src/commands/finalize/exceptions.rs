//! What a validation found that somebody has to accept, or has accepted.

use std::collections::BTreeSet;

use journal::GateName;
use migration::report::validation::{self, Check};
use migration::report::{Acceptable, CheckName, Outcome, ValidationReport};
use migration::{Config, Result};

use crate::command_line::{CommandLine, quoted};
use crate::session::{Session, Snapshot};

use super::summary::Figures;

/// Subjects of one check that are named each; beyond that, their topics, or the check as a whole.
const NAMED: usize = 8;

/// The report of the newest validation, and its figures; nothing when that came to none.
///
/// # Errors
/// Those of the journal and of S3.
pub(super) async fn report(session: &Session, snapshot: &Snapshot) -> Result<Option<(ValidationReport, Figures)>> {
    let store = session.backup(&Config::from_json(&snapshot.meta.config)?);
    let Some(object) = store.get(validation::NAME).await? else { return Ok(None) };
    let report: Option<ValidationReport> = serde_json::from_slice(&object.body).ok();
    let figures = serde_json::from_slice(&object.body).unwrap_or_default();
    let gate = session.journal().gate(GateName::Finalize).await?;
    let report = report.filter(|report| gate.is_some_and(|gate| gate.attempt == report.attempt));
    Ok(report.map(|report| (report, figures)))
}

/// What to say of a validation that failed: how what failed could be accepted, and what that means. Nothing when no check did.
pub(super) fn ways_out(report: &ValidationReport, line: &CommandLine) -> Vec<String> {
    let failed = report.checks().into_iter().filter(|(_, check)| check.outcome == Outcome::Failed);
    let accept: Vec<_> = failed.flat_map(|(name, check)| acceptables(name, check)).collect();
    if accept.is_empty() {
        return Vec::new();
    }
    let flags: String = accept.iter().map(|what| format!(" --accept {}", quoted(&what.to_string()))).collect();
    vec![
        "repair what failed and finalize again, or accept it as it is:".to_owned(),
        format!("  {}{flags} --reason 'WHY IT MAY STAY'", line.command("finalize")),
        "accepting repairs nothing and ends the migration: the evidence is signed as PASSED_WITH_EXCEPTIONS and names each \
         difference, the reason and who accepted it"
            .to_owned(),
    ]
}

/// What would accept everything that `check` failed for, as narrow as that can be said.
fn acceptables(name: CheckName, check: &Check) -> Vec<Acceptable> {
    let failed: BTreeSet<&str> = check
        .problems
        .iter()
        .filter(|problem| problem.outcome == Outcome::Failed)
        .map(|problem| problem.place.as_str())
        .collect();
    // They come first, so that all of them are listed when something else is.
    let all_listed = check.problems.len() as u64 == check.problems_total
        || check.problems.last().is_some_and(|problem| problem.outcome != Outcome::Failed);
    let topics: BTreeSet<&str> = match name {
        CheckName::ConsumerGroupReconciliation => BTreeSet::new(),
        _ => failed.iter().map(|place| place.rsplit_once('/').map_or(*place, |(topic, _)| topic)).collect(),
    };
    let each = |subjects: BTreeSet<&str>| subjects.into_iter().map(|subject| Acceptable::of(name, subject)).collect();
    match () {
        () if !all_listed || failed.is_empty() => vec![Acceptable::all(name)],
        () if failed.len() <= NAMED => each(failed),
        () if (1..=NAMED).contains(&topics.len()) => each(topics),
        () => vec![Acceptable::all(name)],
    }
}

/// What to say of a validation that passed: what was accepted, and which acceptances were not needed.
pub(super) fn accepted(report: &ValidationReport) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, check) in report.checks().into_iter().filter(|(_, check)| check.exceptions_total > 0) {
        let example = check.exceptions.first();
        let example = example.map_or_else(String::new, |first| format!(", such as {}: {}", first.place, first.message));
        lines.push(format!("accepted: {} difference(s) of {name}{example}", check.exceptions_total));
    }
    for unused in report.acceptances.iter().filter(|used| used.covered == 0) {
        lines.push(format!("the acceptance of {} matches nothing that was found", unused.accept));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use migration::report::Overall;
    use migration::report::validation::{Exception, Problem, UsedAcceptance};

    fn line() -> CommandLine {
        CommandLine { migration_id: "m1".parse().unwrap(), config: None, journal_dir: None }
    }

    fn report(overall: Overall, counts: Check, groups: Check) -> ValidationReport {
        ValidationReport {
            migration_id: "m1".parse().unwrap(),
            attempt: 1,
            overall,
            topic_parity: Check::default(),
            counts_and_offsets: counts,
            spot_check_records: Check::default(),
            sentinel_presence: Check::default(),
            consumer_group_reconciliation: groups,
            acceptances: Vec::new(),
        }
    }

    fn failed(places: &[&str], more: u64) -> Check {
        Check {
            outcome: Outcome::Failed,
            checked: 500,
            failed: places.len() as u64 + more,
            problems_total: places.len() as u64 + more,
            problems: places.iter().map(|place| Problem::failed(place, "m")).collect(),
            ..Check::default()
        }
    }

    fn command(counts: Check, groups: Check) -> String {
        ways_out(&report(Overall::Failed, counts, groups), &line())[1].clone()
    }

    #[test]
    fn a_failed_finalize_shows_how_to_accept_exactly_what_failed() {
        let found = ways_out(
            &report(Overall::Failed, failed(&["orders/3", "orders/4"], 0), failed(&["it's billing"], 0)),
            &line(),
        );
        let expected = [
            "repair what failed and finalize again, or accept it as it is:",
            "  msk-kraft finalize --migration-id m1 --accept counts_and_offsets:orders/3 --accept counts_and_offsets:orders/4 \
             --accept 'consumer_group_reconciliation:it'\\''s billing' --reason 'WHY IT MAY STAY'",
            "accepting repairs nothing and ends the migration: the evidence is signed as PASSED_WITH_EXCEPTIONS and names each \
             difference, the reason and who accepted it",
        ];
        assert_eq!(found, expected);
        assert!(ways_out(&report(Overall::Passed, Check::default(), Check::default()), &line()).is_empty());
    }

    #[test]
    fn many_partitions_are_named_by_their_topics_and_what_is_not_listed_by_its_check() {
        let places: Vec<_> = (0..30).map(|number| format!("orders/{number}")).collect();
        let places: Vec<&str> = places.iter().map(String::as_str).collect();
        let by_topic = command(failed(&places, 0), Check::default());
        assert!(by_topic.contains("--accept counts_and_offsets:orders --reason"), "{by_topic}");
        let whole = command(failed(&places, 70), Check::default());
        assert!(whole.contains("--accept counts_and_offsets --reason"), "{whole}");
        let groups: Vec<_> = (0..30).map(|number| format!("g-{number}")).collect();
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let all = command(Check::default(), failed(&groups, 0));
        assert!(all.contains("--accept consumer_group_reconciliation --reason"), "{all}");
        let mut with_a_warning = failed(&["orders/3"], 200);
        with_a_warning.problems.push(Problem::warning("orders/4", "w"));
        assert!(command(with_a_warning, Check::default()).contains("counts_and_offsets:orders/3"));
    }

    #[test]
    fn what_would_be_suggested_covers_what_failed() {
        for places in [&["orders/3", "a.b_c-d/0"][..], &["orders"]] {
            let check = failed(places, 0);
            let accept = acceptables(CheckName::CountsAndOffsets, &check);
            for place in places {
                assert!(accept.iter().any(|accept| accept.covers(CheckName::CountsAndOffsets, place)), "{place}");
            }
        }
    }

    #[test]
    fn what_was_accepted_is_said_and_so_is_what_was_not_needed() {
        let exception = Exception {
            place: "orders/3".to_owned(),
            message: "2 late records".to_owned(),
            reason: "r".to_owned(),
            accepted_by: "ada".to_owned(),
            accepted_at: "2026".to_owned(),
        };
        let counts = Check {
            outcome: Outcome::Accepted,
            checked: 2,
            accepted: 1,
            exceptions_total: 1,
            exceptions: vec![exception],
            ..Check::default()
        };
        let used = |accept: &str, covered| UsedAcceptance {
            accept: accept.to_owned(),
            reason: "r".to_owned(),
            accepted_by: "ada".to_owned(),
            accepted_at: "2026".to_owned(),
            covered,
        };
        let mut report = report(Overall::PassedWithExceptions, counts, Check::default());
        report.acceptances = vec![used("counts_and_offsets:orders/3", 1), used("topic_parity:users", 0)];
        let expected = [
            "accepted: 1 difference(s) of counts_and_offsets, such as orders/3: 2 late records",
            "the acceptance of topic_parity:users matches nothing that was found",
        ];
        assert_eq!(accepted(&report), expected);
    }
}
