//! What a check found: outcomes, problems, and how those of many items become one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Problems kept of one check; the counts go on beyond it.
const PROBLEMS_KEPT: usize = 100;

/// How a check, or one item of it, ended. The worse is the greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Outcome {
    /// Nothing differs.
    #[default]
    Passed,
    /// Something differs, for a reason that is known and harmless, or within the tolerance.
    Warning,
    /// Something differs.
    Failed,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Problem {
    /// Warning or failed.
    pub(crate) outcome: Outcome,
    /// The topic, partition (`topic/partition`) or group it is about.
    pub(crate) place: String,
    /// What differs and, where there is one, the way out. Never holds a record's content.
    pub(crate) message: String,
}

impl Problem {
    /// A difference that does not keep the migration from being finalized.
    pub(crate) fn warning(place: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self { outcome: Outcome::Warning, place: place.to_string(), message: message.to_string() }
    }

    /// A difference that does.
    pub(crate) fn failed(place: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self { outcome: Outcome::Failed, place: place.to_string(), message: message.to_string() }
    }
}

/// The sum of one check over its items (topics, partitions or groups).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Check {
    /// The worst of the problems.
    pub(crate) outcome: Outcome,
    /// Items looked at.
    pub(crate) checked: u64,
    /// Items with a problem that failed.
    pub(crate) failed: u64,
    /// Items with warnings only.
    pub(crate) warned: u64,
    /// Problems of all items.
    pub(crate) problems_total: u64,
    /// The first problems, all failed ones before the warnings.
    pub(crate) problems: Vec<Problem>,
}

impl Check {
    /// Adds one item with its problems.
    pub(crate) fn add(&mut self, problems: impl IntoIterator<Item = Problem>) {
        let mut worst = Outcome::Passed;
        for problem in problems {
            worst = worst.max(problem.outcome);
            self.problems_total += 1;
            let failed = self.problems.partition_point(|kept| kept.outcome == Outcome::Failed);
            let at = if problem.outcome == Outcome::Failed { failed } else { self.problems.len() };
            self.problems.insert(at, problem);
            self.problems.truncate(PROBLEMS_KEPT);
        }
        self.checked += 1;
        self.failed += u64::from(worst == Outcome::Failed);
        self.warned += u64::from(worst == Outcome::Warning);
        self.outcome = self.outcome.max(worst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_item_counts_once_by_its_worst_problem() {
        let mut check = Check::default();
        check.add([]);
        check.add([Problem::warning("a/0", "w"), Problem::failed("a/0", "f"), Problem::warning("a/0", "w")]);
        check.add([Problem::warning("a/1", "w")]);
        assert_eq!((check.outcome, check.checked, check.failed, check.warned), (Outcome::Failed, 3, 1, 1));
        assert_eq!(check.problems_total, 4);
        assert_eq!(check.problems[0].outcome, Outcome::Failed);
    }

    #[test]
    fn outcomes_are_named_as_operators_read_them() {
        let name = |outcome| serde_json::to_value(outcome).unwrap();
        assert_eq!(name(Outcome::Passed), "PASSED");
        assert_eq!(name(Outcome::Warning), "WARNING");
        assert_eq!(name(Outcome::Failed), "FAILED");
    }

    proptest! {
        #[test]
        fn the_list_is_bounded_and_no_warning_displaces_a_failure(
            items in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 0..8), 0..80)
        ) {
            let mut check = Check::default();
            for item in &items {
                let problem = |failed: &bool| if *failed { Problem::failed("p", "") } else { Problem::warning("p", "") };
                check.add(item.iter().map(problem));
            }
            let all: Vec<bool> = items.concat();
            let failed = all.iter().filter(|failed| **failed).count();
            let kept_failed = check.problems.iter().filter(|kept| kept.outcome == Outcome::Failed).count();
            prop_assert_eq!(check.problems_total, all.len() as u64);
            prop_assert_eq!(check.problems.len(), all.len().min(PROBLEMS_KEPT));
            prop_assert_eq!(kept_failed, failed.min(PROBLEMS_KEPT));
            prop_assert_eq!(check.outcome == Outcome::Failed, failed > 0);
            prop_assert_eq!(check.failed, items.iter().filter(|item| item.contains(&true)).count() as u64);
        }
    }
}
