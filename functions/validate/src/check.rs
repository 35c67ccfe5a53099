//! How the problems of many items become one check, and which of them somebody has accepted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use journal::{Acceptance, timestamp};
use migration::report::CheckName;
use migration::report::validation::{Check, Exception, Outcome, Problem, UsedAcceptance};

/// Problems kept of one check; the counts go on beyond it.
const PROBLEMS_KEPT: usize = 100;
/// Exceptions kept of one check: the evidence is to name each of them.
const EXCEPTIONS_KEPT: usize = 10_000;

/// What was accepted, and how often each acceptance applied.
#[derive(Debug, Default)]
pub(crate) struct Acceptances(Vec<(Acceptance, AtomicU64)>);

impl Acceptances {
    /// Those of the journal, oldest first.
    pub(crate) fn new(accepted: Vec<Acceptance>) -> Arc<Self> {
        Arc::new(Self(accepted.into_iter().map(|acceptance| (acceptance, AtomicU64::new(0))).collect()))
    }

    /// The newest acceptance that covers a finding of `check` about `place`. All that cover it count it.
    fn cover(&self, check: CheckName, place: &str) -> Option<&Acceptance> {
        let mut newest = None;
        for (acceptance, covered) in &self.0 {
            if acceptance.what().covers(check, place) {
                covered.fetch_add(1, Ordering::Relaxed);
                newest = Some(acceptance);
            }
        }
        newest
    }

    /// Each of them with what it has covered so far.
    pub(crate) fn used(&self) -> Vec<UsedAcceptance> {
        let used = |(acceptance, covered): &(Acceptance, AtomicU64)| UsedAcceptance {
            accept: acceptance.what().to_string(),
            reason: acceptance.reason.clone(),
            accepted_by: acceptance.by.clone(),
            accepted_at: timestamp(acceptance.at),
            covered: covered.load(Ordering::Relaxed),
        };
        self.0.iter().map(used).collect()
    }
}

/// Adds up one check.
#[derive(Debug)]
pub(crate) struct Collector {
    name: CheckName,
    acceptances: Arc<Acceptances>,
    check: Check,
}

impl Collector {
    /// Nothing looked at yet.
    pub(crate) fn new(name: CheckName, acceptances: &Arc<Acceptances>) -> Self {
        Self { name, acceptances: acceptances.clone(), check: Check::default() }
    }

    /// Adds one item with its problems.
    pub(crate) fn add(&mut self, problems: impl IntoIterator<Item = Problem>) {
        let mut worst = Outcome::Passed;
        for problem in problems {
            let problem = self.judged(problem);
            let check = &mut self.check;
            worst = worst.max(problem.outcome);
            check.problems_total += 1;
            let at = check.problems.partition_point(|kept| kept.outcome >= problem.outcome);
            check.problems.insert(at, problem);
            check.problems.truncate(PROBLEMS_KEPT);
        }
        let check = &mut self.check;
        check.checked += 1;
        check.failed += u64::from(worst == Outcome::Failed);
        check.accepted += u64::from(worst == Outcome::Accepted);
        check.warned += u64::from(worst == Outcome::Warning);
        check.outcome = check.outcome.max(worst);
    }

    /// `problem` as it counts: what failed and was accepted is an exception.
    fn judged(&mut self, problem: Problem) -> Problem {
        if problem.outcome != Outcome::Failed {
            return problem;
        }
        let Some(acceptance) = self.acceptances.cover(self.name, &problem.place) else { return problem };
        self.check.exceptions_total += 1;
        if self.check.exceptions.len() < EXCEPTIONS_KEPT {
            self.check.exceptions.push(Exception {
                place: problem.place.clone(),
                message: problem.message.clone(),
                reason: acceptance.reason.clone(),
                accepted_by: acceptance.by.clone(),
                accepted_at: timestamp(acceptance.at),
            });
        }
        Problem { outcome: Outcome::Accepted, ..problem }
    }

    /// The check.
    pub(crate) fn finish(self) -> Check {
        self.check
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use chrono::DateTime;
    use migration::report::Acceptable;
    use proptest::prelude::*;

    pub(crate) fn accepted(what: &[&str]) -> Arc<Acceptances> {
        let acceptance = |(number, what): (usize, &&str)| {
            let Acceptable { check, subject } = what.parse().unwrap();
            Acceptance {
                check,
                subject,
                reason: format!("reason {number}"),
                by: "ada".to_owned(),
                at: DateTime::from_timestamp(1_700_000_000 + number as i64, 0).unwrap(),
                seen_attempt: Some(1),
            }
        };
        Acceptances::new(what.iter().enumerate().map(acceptance).collect())
    }

    fn collector(what: &[&str]) -> Collector {
        Collector::new(CheckName::CountsAndOffsets, &accepted(what))
    }

    #[test]
    fn an_item_counts_once_by_its_worst_problem() {
        let mut collector = collector(&[]);
        collector.add([]);
        collector.add([Problem::warning("a/0", "w"), Problem::failed("a/0", "f"), Problem::warning("a/0", "w")]);
        collector.add([Problem::warning("a/1", "w")]);
        let check = collector.finish();
        assert_eq!((check.outcome, check.checked, check.failed, check.warned), (Outcome::Failed, 3, 1, 1));
        assert_eq!((check.problems_total, check.contradiction()), (4, None));
        assert_eq!(check.problems[0].outcome, Outcome::Failed);
    }

    #[test]
    fn an_exception_is_named_with_its_finding_and_its_reason() {
        let mut collector = collector(&["counts_and_offsets:a/1", "topic_parity"]);
        collector.add([Problem::failed("a/1", "2 late records"), Problem::warning("a/1", "w")]);
        collector.add([Problem::warning("a/2", "a warning needs nobody")]);
        let check = collector.finish();
        assert_eq!((check.outcome, check.accepted, check.warned, check.failed), (Outcome::Accepted, 1, 1, 0));
        let exception = &check.exceptions[0];
        assert_eq!((exception.place.as_str(), exception.message.as_str()), ("a/1", "2 late records"));
        assert_eq!((exception.reason.as_str(), exception.accepted_by.as_str()), ("reason 0", "ada"));
        assert_eq!(exception.accepted_at, "2023-11-14T22:13:20.000000Z");
        assert_eq!(check.contradiction(), None);
    }

    #[test]
    fn the_acceptance_matrix() {
        for (accept, expected) in [
            (&["counts_and_offsets"][..], Outcome::Accepted),
            (&["counts_and_offsets:a"], Outcome::Accepted),
            (&["counts_and_offsets:a/1", "counts_and_offsets:a/2"], Outcome::Accepted),
            (&["counts_and_offsets:a/1"], Outcome::Failed),
            (&["counts_and_offsets:b"], Outcome::Failed),
            (&["spot_check_records"], Outcome::Failed),
            (&[], Outcome::Failed),
        ] {
            let mut collector = collector(accept);
            collector.add([Problem::failed("a/1", "f")]);
            collector.add([Problem::failed("a/2", "f")]);
            assert_eq!(collector.finish().outcome, expected, "{accept:?}");
        }
    }

    #[test]
    fn of_several_acceptances_the_newest_names_the_reason_and_one_that_covers_nothing_shows() {
        let acceptances = accepted(&["counts_and_offsets", "counts_and_offsets:a", "counts_and_offsets:b/7"]);
        let mut collector = Collector::new(CheckName::CountsAndOffsets, &acceptances);
        collector.add([Problem::failed("a/1", "f")]);
        collector.add([Problem::failed("c/1", "f")]);
        let check = collector.finish();
        let reasons: Vec<_> = check.exceptions.iter().map(|exception| exception.reason.as_str()).collect();
        assert_eq!(reasons, ["reason 1", "reason 0"]);
        let used = acceptances.used();
        assert_eq!(used.iter().map(|used| used.covered).collect::<Vec<_>>(), [2, 1, 0]);
        assert_eq!(used[2].accept, "counts_and_offsets:b/7");
    }

    proptest! {
        #[test]
        fn the_list_is_bounded_and_the_worse_comes_first(
            items in proptest::collection::vec(proptest::collection::vec(0_u8..3, 0..8), 0..80)
        ) {
            let mut collector = collector(&["counts_and_offsets:accepted"]);
            for item in &items {
                let problem = |kind: &u8| match kind {
                    0 => Problem::warning("p", ""),
                    1 => Problem::failed("accepted", ""),
                    _ => Problem::failed("p", ""),
                };
                collector.add(item.iter().map(problem));
            }
            let check = collector.finish();
            let all: Vec<u8> = items.concat();
            let number = |kind| all.iter().filter(|each| **each == kind).count();
            let kept = |outcome| check.problems.iter().filter(|kept| kept.outcome == outcome).count();
            prop_assert_eq!(check.problems_total, all.len() as u64);
            prop_assert_eq!(check.problems.len(), all.len().min(PROBLEMS_KEPT));
            prop_assert_eq!(kept(Outcome::Failed), number(2).min(PROBLEMS_KEPT));
            let room = PROBLEMS_KEPT - kept(Outcome::Failed);
            prop_assert_eq!(kept(Outcome::Accepted), number(1).min(room));
            prop_assert!(check.problems.is_sorted_by(|a, b| a.outcome >= b.outcome));
            prop_assert_eq!(check.exceptions_total, number(1) as u64);
            prop_assert_eq!(check.outcome == Outcome::Failed, number(2) > 0);
            prop_assert_eq!(check.failed, items.iter().filter(|item| item.contains(&2)).count() as u64);
            prop_assert_eq!(check.contradiction(), None);
        }
    }
}
