//! Differences that a person takes as they are, so that a migration with one that cannot be repaired has an end.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::validation::CheckName;
use crate::error::Error;

/// Longest subject, in characters: the longest name of a topic, or of most groups, and a partition's number.
const SUBJECT_CHARS: usize = 300;

/// What an acceptance is about: `CHECK` for all that the check found, or `CHECK:SUBJECT`, where a subject is a topic, a
/// partition (`topic/number`) or a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Acceptable {
    /// The check.
    pub check: CheckName,
    /// The one thing of which its findings are accepted; none for everything.
    pub subject: Option<String>,
}

impl Acceptable {
    /// Everything that `check` found.
    pub const fn all(check: CheckName) -> Self {
        Self { check, subject: None }
    }

    /// What `check` found of `subject`.
    pub fn of(check: CheckName, subject: impl Into<String>) -> Self {
        Self { check, subject: Some(subject.into()) }
    }

    /// Whether a finding of `check` about `place` is meant. A topic stands for its partitions, a group for itself alone.
    pub fn covers(&self, check: CheckName, place: &str) -> bool {
        let Some(subject) = &self.subject else { return self.check == check };
        let of_topic = || {
            let number = place.strip_prefix(subject.as_str()).and_then(|rest| rest.strip_prefix('/'));
            number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        self.check == check && (place == subject || (check != CheckName::ConsumerGroupReconciliation && of_topic()))
    }
}

impl fmt::Display for Acceptable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Some(subject) => write!(f, "{}:{subject}", self.check),
            None => write!(f, "{}", self.check),
        }
    }
}

impl FromStr for Acceptable {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // Names of groups may hold colons, names of checks do not.
        let Some((check, subject)) = text.split_once(':') else { return Ok(Self::all(text.parse()?)) };
        if subject.is_empty() || subject.chars().count() > SUBJECT_CHARS || subject.chars().any(char::is_control) {
            return Err(Error::invalid(format_args!(
                "{text:?} names no topic, partition (topic/number) or group of at most {SUBJECT_CHARS} characters behind \
                 the colon; leave the colon out for everything that {check} found"
            )));
        }
        Ok(Self::of(check.parse()?, subject))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(accept: &str, check: CheckName, place: &str) -> bool {
        accept.parse::<Acceptable>().unwrap().covers(check, place)
    }

    #[test]
    fn a_topic_stands_for_its_partitions_and_a_check_for_everything() {
        use CheckName::{ConsumerGroupReconciliation as Groups, CountsAndOffsets as Counts, TopicParity as Parity};
        for (accept, check, place, expected) in [
            ("counts_and_offsets", Counts, "orders/3", true),
            ("counts_and_offsets", Parity, "orders", false),
            ("counts_and_offsets:orders", Counts, "orders/3", true),
            ("counts_and_offsets:orders", Counts, "orders-2/3", false),
            ("counts_and_offsets:orders", Parity, "orders", false),
            ("counts_and_offsets:orders/3", Counts, "orders/3", true),
            ("counts_and_offsets:orders/3", Counts, "orders/33", false),
            ("counts_and_offsets:orders/3", Counts, "orders/4", false),
            ("topic_parity:orders", Parity, "orders", true),
            ("topic_parity:orders", Parity, "orders/", false),
            ("consumer_group_reconciliation:billing", Groups, "billing", true),
            ("consumer_group_reconciliation:billing", Groups, "billing/3", false),
            ("consumer_group_reconciliation:a:b", Groups, "a:b", true),
        ] {
            assert_eq!(covers(accept, check, place), expected, "{accept} and {place}");
        }
    }

    #[test]
    fn what_is_written_reads_back_and_anything_else_says_what_there_is() {
        for text in ["spot_check_records", "sentinel_presence:orders/0", "consumer_group_reconciliation:a:b c"] {
            assert_eq!(text.parse::<Acceptable>().unwrap().to_string(), text);
        }
        for bad in ["", "counts", "counts_and_offsets:", "everything:orders"] {
            let error = bad.parse::<Acceptable>().unwrap_err();
            assert!(error.message.contains("counts_and_offsets"), "{bad}: {error}");
        }
        assert!(format!("topic_parity:{}", "x".repeat(301)).parse::<Acceptable>().is_err());
        assert!("topic_parity:a\nb".parse::<Acceptable>().is_err());
    }
}
