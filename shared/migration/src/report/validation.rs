//! What a validation finds: five checks, and what they come to. Written by `validate`, read by `evidence` and the CLI.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::ids::MigrationId;

/// The object of the newest report, below the migration's prefix of the backup bucket.
pub const NAME: &str = "validation/report.json";

/// A check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckName {
    /// Both sides have the same topics, partitions and configs.
    TopicParity,
    /// Every copied record is there, and the source ended where the copy did.
    CountsAndOffsets,
    /// Sampled records are equal in every field.
    SpotCheckRecords,
    /// What proved the ends of partitions is in its place.
    SentinelPresence,
    /// What was committed for groups is committed, or they have gone on.
    ConsumerGroupReconciliation,
}

impl CheckName {
    /// Every check, in the order of a report.
    pub const ALL: [Self; 5] = [
        Self::TopicParity,
        Self::CountsAndOffsets,
        Self::SpotCheckRecords,
        Self::SentinelPresence,
        Self::ConsumerGroupReconciliation,
    ];

    /// The name as stored and printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TopicParity => "topic_parity",
            Self::CountsAndOffsets => "counts_and_offsets",
            Self::SpotCheckRecords => "spot_check_records",
            Self::SentinelPresence => "sentinel_presence",
            Self::ConsumerGroupReconciliation => "consumer_group_reconciliation",
        }
    }

    /// What it looks at, in the plural.
    pub const fn items(self) -> &'static str {
        match self {
            Self::TopicParity => "topics",
            Self::CountsAndOffsets | Self::SpotCheckRecords | Self::SentinelPresence => "partitions",
            Self::ConsumerGroupReconciliation => "groups",
        }
    }
}

impl fmt::Display for CheckName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for CheckName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|check| check.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::invalid(format_args!("there is no check {text:?}; the checks are {names}"))
        })
    }
}

/// How a check, or one item of it, ended. The worse is the greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Outcome {
    /// Nothing differs.
    #[default]
    Passed,
    /// Something differs, for a reason that is known and harmless, or within the tolerance.
    Warning,
    /// Something differs, and a person has accepted that.
    Accepted,
    /// Something differs.
    Failed,
}

/// What the five checks come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Overall {
    /// Every check passed.
    Passed,
    /// No check failed.
    PassedWithWarnings,
    /// No check failed that nobody has accepted.
    PassedWithExceptions,
    /// A check failed: the migration cannot be finalized like this.
    Failed,
}

impl Overall {
    /// What checks with these outcomes come to.
    pub fn of(outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        match outcomes.into_iter().max().unwrap_or_default() {
            Outcome::Passed => Self::Passed,
            Outcome::Warning => Self::PassedWithWarnings,
            Outcome::Accepted => Self::PassedWithExceptions,
            Outcome::Failed => Self::Failed,
        }
    }

    /// The name as stored and printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "PASSED",
            Self::PassedWithWarnings => "PASSED_WITH_WARNINGS",
            Self::PassedWithExceptions => "PASSED_WITH_EXCEPTIONS",
            Self::Failed => "FAILED",
        }
    }
}

impl fmt::Display for Overall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Warning, accepted or failed.
    pub outcome: Outcome,
    /// The topic, partition (`topic/partition`) or group it is about.
    pub place: String,
    /// What differs and, where there is one, the way out. Never holds a record's content.
    pub message: String,
}

impl Problem {
    /// A difference that does not keep the migration from being finalized.
    pub fn warning(place: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self { outcome: Outcome::Warning, place: place.to_string(), message: message.to_string() }
    }

    /// A difference that does.
    pub fn failed(place: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self { outcome: Outcome::Failed, place: place.to_string(), message: message.to_string() }
    }
}

/// A difference that somebody has accepted, and who, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// The topic, partition (`topic/partition`) or group it is about.
    pub place: String,
    /// What differs.
    pub message: String,
    /// Why it was accepted.
    pub reason: String,
    /// Who accepted it.
    pub accepted_by: String,
    /// When.
    pub accepted_at: String,
}

/// The sum of one check over its items (topics, partitions or groups).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The worst of the problems.
    pub outcome: Outcome,
    /// Items looked at.
    pub checked: u64,
    /// Items with a problem that failed.
    pub failed: u64,
    /// Items with problems that were accepted, and none that failed.
    #[serde(default)]
    pub accepted: u64,
    /// Items with warnings only.
    pub warned: u64,
    /// Problems of all items.
    pub problems_total: u64,
    /// The first problems, all failed ones before accepted ones before warnings.
    pub problems: Vec<Problem>,
    /// Problems that were accepted.
    #[serde(default)]
    pub exceptions_total: u64,
    /// Each of them with its reason; the first ten thousand.
    #[serde(default)]
    pub exceptions: Vec<Exception>,
}

impl Check {
    /// What contradicts itself in it, if anything does: what it comes to has to follow from what it counted.
    pub fn contradiction(&self) -> Option<String> {
        let outcome = match (self.failed, self.accepted, self.warned) {
            (0, 0, 0) => Outcome::Passed,
            (0, 0, _) => Outcome::Warning,
            (0, ..) => Outcome::Accepted,
            _ => Outcome::Failed,
        };
        let items = self.failed.saturating_add(self.accepted).saturating_add(self.warned);
        let listed = |outcome| self.problems.iter().any(|problem| problem.outcome == outcome);
        if self.outcome != outcome {
            Some(format!("it is {:?} and counts as {outcome:?}", self.outcome))
        } else if items > self.checked {
            Some(format!("{items} of {} items have problems", self.checked))
        } else if listed(Outcome::Failed) && self.failed == 0 {
            Some("it lists a failure and counts none".to_owned())
        } else if self.accepted > self.exceptions_total || self.exceptions.len() as u64 > self.exceptions_total {
            Some(format!("{} items were accepted with {} exceptions", self.accepted, self.exceptions_total))
        } else if self.exceptions_total > 0 && self.exceptions.is_empty() {
            Some("it names none of its exceptions".to_owned())
        } else {
            None
        }
    }
}

/// A report as its readers know it: what all five checks come to. What a check has besides is not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationReport {
    /// The migration.
    pub migration_id: MigrationId,
    /// Which validation of the run it is, as the finalize gate counts.
    pub attempt: u32,
    /// What the checks come to.
    pub overall: Overall,
    /// Topics.
    pub topic_parity: Check,
    /// Partitions.
    pub counts_and_offsets: Check,
    /// Partitions.
    pub spot_check_records: Check,
    /// Partitions.
    pub sentinel_presence: Check,
    /// Groups.
    pub consumer_group_reconciliation: Check,
    /// What was accepted, with the number of problems that each covered.
    #[serde(default)]
    pub acceptances: Vec<UsedAcceptance>,
}

/// An acceptance, and what it covered in one validation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedAcceptance {
    /// What was accepted, as it was asked for.
    pub accept: String,
    /// Why.
    pub reason: String,
    /// Who accepted it.
    pub accepted_by: String,
    /// When.
    pub accepted_at: String,
    /// Problems that it covered, also where another one did as well. With 0 it was not needed, or names what there is not.
    pub covered: u64,
}

impl ValidationReport {
    /// The checks by name.
    pub const fn checks(&self) -> [(CheckName, &Check); 5] {
        [
            (CheckName::TopicParity, &self.topic_parity),
            (CheckName::CountsAndOffsets, &self.counts_and_offsets),
            (CheckName::SpotCheckRecords, &self.spot_check_records),
            (CheckName::SentinelPresence, &self.sentinel_presence),
            (CheckName::ConsumerGroupReconciliation, &self.consumer_group_reconciliation),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stored_and_printed_alike() {
        for check in CheckName::ALL {
            assert_eq!(serde_json::to_value(check).unwrap(), check.name());
            assert_eq!(check.to_string().parse::<CheckName>().unwrap(), check);
        }
        let name = |outcome| serde_json::to_value(outcome).unwrap();
        assert_eq!(
            [Outcome::Passed, Outcome::Warning, Outcome::Accepted, Outcome::Failed].map(name),
            ["PASSED", "WARNING", "ACCEPTED", "FAILED"]
        );
        for overall in [Overall::Passed, Overall::PassedWithWarnings, Overall::PassedWithExceptions, Overall::Failed] {
            assert_eq!(serde_json::to_value(overall).unwrap(), overall.name());
        }
    }

    #[test]
    fn the_worst_check_decides() {
        use Outcome::{Accepted, Failed, Passed, Warning};
        assert_eq!(Overall::of([Passed; 5]), Overall::Passed);
        assert_eq!(Overall::of([Passed, Warning, Passed]), Overall::PassedWithWarnings);
        assert_eq!(Overall::of([Accepted, Warning]), Overall::PassedWithExceptions);
        assert_eq!(Overall::of([Accepted, Failed]), Overall::Failed);
    }

    #[test]
    fn a_check_has_to_follow_from_its_counts() {
        let sound = Check { checked: 3, ..Check::default() };
        let exception = Exception {
            place: "orders/1".to_owned(),
            message: "m".to_owned(),
            reason: "r".to_owned(),
            accepted_by: "ada".to_owned(),
            accepted_at: "2026".to_owned(),
        };
        let accepted = Check {
            outcome: Outcome::Accepted,
            accepted: 1,
            exceptions_total: 1,
            exceptions: vec![exception],
            ..sound.clone()
        };
        assert_eq!((sound.contradiction(), accepted.contradiction()), (None, None));
        let failure = vec![Problem::failed("orders/1", "m")];
        for bad in [
            Check { outcome: Outcome::Failed, ..sound.clone() },
            Check { failed: 1, ..sound.clone() },
            Check { outcome: Outcome::Warning, failed: 1, ..sound.clone() },
            Check { outcome: Outcome::Failed, failed: 4, ..sound.clone() },
            Check { problems: failure, ..sound },
            Check { outcome: Outcome::Passed, ..accepted.clone() },
            Check { exceptions_total: 0, ..accepted.clone() },
            Check { exceptions: Vec::new(), ..accepted },
        ] {
            assert!(bad.contradiction().is_some(), "{bad:?}");
        }
    }
}
