//! The one error every phase reports, and the closed table of its kinds.
//!
//! A kind says what happens next and nothing else; what went wrong is in the message and the [`Context`]. The kinds'
//! names are the Lambda error types that the state machine's `Retry` and `Catch` name, so the table is closed and tested
//! against the ASL.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{MigrationId, TopicPartition};
use crate::phase::Phase;

/// Result of anything a phase does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorKind {
    /// A passing fault of a broker, AWS or the network: the same call is worth repeating.
    Transient,
    /// Another invocation has taken over this work: stop, and leave it to that one.
    Fenced,
    /// The configuration or the request is wrong: change it, then start again.
    Invalid,
    /// The clusters or AWS are not in the state this needs: follow the message, then resume.
    Blocked,
    /// Going on could lose, double or alter a record: a person has to look before anything continues.
    Unsafe,
    /// A deadline (producer freeze, drain, gate) passed or would be missed: nothing was half done, resume when ready.
    Deadline,
    /// A defect in msk-kraft: report it with the log.
    Internal,
}

impl ErrorKind {
    /// Every kind, in the order of the table.
    pub const ALL: [Self; 7] =
        [Self::Transient, Self::Fenced, Self::Invalid, Self::Blocked, Self::Unsafe, Self::Deadline, Self::Internal];

    /// The name under which Lambda and the state machine know the kind.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transient => "Transient",
            Self::Fenced => "Fenced",
            Self::Invalid => "Invalid",
            Self::Blocked => "Blocked",
            Self::Unsafe => "Unsafe",
            Self::Deadline => "Deadline",
            Self::Internal => "Internal",
        }
    }

    /// Whether repeating the same call can help.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Transient)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where in a migration an error happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// The migration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<MigrationId>,
    /// The phase it was in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The topic, when one is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The partition of `topic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// The source offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::with_capacity(4);
        if let Some(run) = &self.run {
            parts.push(format!("run {run}"));
        }
        if let Some(phase) = self.phase {
            parts.push(format!("phase {phase}"));
        }
        match (&self.topic, self.partition) {
            (Some(topic), Some(partition)) => parts.push(format!("{topic}/{partition}")),
            (Some(topic), None) => parts.push(format!("topic {topic}")),
            _ => {}
        }
        if let Some(offset) = self.offset {
            parts.push(format!("offset {offset}"));
        }
        f.write_str(&parts.join(", "))
    }
}

/// An error of a phase: what happened, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// What the caller does next.
    pub kind: ErrorKind,
    /// What went wrong and, where the user can act, the way out. Never holds a secret.
    pub message: String,
    /// Where it happened.
    pub context: Box<Context>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if *self.context != Context::default() {
            write!(f, " ({})", self.context)?;
        }
        Ok(())
    }
}

macro_rules! constructors {
    ($($name:ident => $kind:ident),* $(,)?) => {
        $(
            #[doc = concat!("An error of kind [`ErrorKind::", stringify!($kind), "`].")]
            pub fn $name(message: impl fmt::Display) -> Self {
                Self::new(ErrorKind::$kind, message)
            }
        )*
    };
}

impl Error {
    /// An error of `kind`, so far without a place.
    pub fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string(), context: Box::default() }
    }

    constructors! {
        transient => Transient,
        fenced => Fenced,
        invalid => Invalid,
        blocked => Blocked,
        data_unsafe => Unsafe,
        deadline => Deadline,
        internal => Internal,
    }

    /// Names the migration, unless one is named already.
    #[must_use]
    pub fn in_run(mut self, run: &MigrationId) -> Self {
        self.context.run.get_or_insert_with(|| run.clone());
        self
    }

    /// Names the phase, unless one is named already.
    #[must_use]
    pub fn in_phase(mut self, phase: Phase) -> Self {
        self.context.phase.get_or_insert(phase);
        self
    }

    /// Names the topic, unless one is named already.
    #[must_use]
    pub fn at_topic(mut self, topic: &str) -> Self {
        self.context.topic.get_or_insert_with(|| topic.to_owned());
        self
    }

    /// Names the partition, unless one is named already.
    #[must_use]
    pub fn at(mut self, partition: &TopicPartition) -> Self {
        if self.context.partition.is_none() {
            self.context.topic = Some(partition.topic.to_string());
            self.context.partition = Some(partition.partition);
        }
        self
    }

    /// Names the source offset, unless one is named already.
    #[must_use]
    pub fn at_offset(mut self, offset: i64) -> Self {
        self.context.offset.get_or_insert(offset);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_place_wins_and_is_printed_after_the_message() {
        let inner = Error::data_unsafe("foreign record").at(&TopicPartition::new("orders", 3)).at_offset(7);
        let outer = inner.at(&TopicPartition::new("other", 0)).in_phase(Phase::Seed);
        assert_eq!(outer.to_string(), "foreign record (phase seed, orders/3, offset 7)");
        assert!(!outer.kind.is_retryable());
    }

    #[test]
    fn names_are_distinct() {
        let names: std::collections::BTreeSet<_> = ErrorKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), ErrorKind::ALL.len());
    }
}
