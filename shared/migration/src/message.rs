//! What the state machine passes to its functions and gets back: ids and small scalars, never lists.

use serde::{Deserialize, Serialize};

use crate::ids::{BatchId, MigrationId};
use crate::phase::Phase;

/// Input of `precheck`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum PrecheckInput {
    /// The phase of a run: journals, stores the report, and fails when there is a blocker.
    Check {
        /// The migration.
        migration_id: MigrationId,
    },
    /// Findings for a configuration, without a run. Answers with a [`PrecheckReport`](crate::report::PrecheckReport).
    Report {
        /// The configuration in its JSON form.
        config: serde_json::Value,
    },
    /// A plan for a configuration, without a run. Answers with a [`Plan`](crate::report::Plan).
    Plan {
        /// The configuration in its JSON form.
        config: serde_json::Value,
    },
}

/// Input of `cutover`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum CutoverInput {
    /// Rehearses the cutover, unfrozen.
    Rehearse {
        /// The migration.
        migration_id: MigrationId,
        /// Whether an operator has approved a rehearsal: then it is compared with what is found now.
        #[serde(default)]
        approved: bool,
        /// What is wrong with the key that signs the evidence, as far as whoever asks knows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signing_key: Option<String>,
    },
    /// Cuts over, or completes what was begun.
    CutOver {
        /// The migration.
        migration_id: MigrationId,
    },
    /// Looks once for what reached the source behind the fence.
    Watch {
        /// The migration.
        migration_id: MigrationId,
    },
    /// Lists records that were written to the source behind the fence. Answers with a `cutover::late::live::Listing`.
    ListLate {
        /// The migration.
        migration_id: MigrationId,
    },
    /// Appends them to the target, or goes on with it. Answers with a `cutover::late::Report`.
    AppendLate {
        /// The migration.
        migration_id: MigrationId,
        /// Who wants it.
        by: String,
    },
}

impl CutoverInput {
    /// The migration it is about.
    pub const fn migration_id(&self) -> &MigrationId {
        match self {
            Self::Rehearse { migration_id, .. }
            | Self::CutOver { migration_id }
            | Self::Watch { migration_id }
            | Self::ListLate { migration_id }
            | Self::AppendLate { migration_id, .. } => migration_id,
        }
    }
}

/// Input of the functions that work on a phase as a whole: `topology-copy`, `evidence`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PhaseInput {
    /// The migration.
    pub migration_id: MigrationId,
}

/// Input of `seed-partition`, `tail-batch` and `validate`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum BatchInput {
    /// Works on one batch of partitions.
    Work {
        /// The migration.
        migration_id: MigrationId,
        /// The batch, as listed in the manifest.
        batch: BatchId,
        /// The manifest's generation (`tail-batch` only): the work ends when the journal names a later one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        generation: Option<u32>,
    },
    /// Asks the journal what the Map really did.
    Reconcile {
        /// The migration.
        migration_id: MigrationId,
        /// What the reconcile before this one measured, to tell a slow Map from one that does nothing.
        #[serde(default)]
        before: i64,
    },
    /// Waits until the lag has stayed small for the configured window (`tail-batch` only).
    Drain {
        /// The migration.
        migration_id: MigrationId,
    },
    /// Asks the source how far the copy is behind now (`tail-batch` only). Answers with `copy::measure::Measured`.
    Measure {
        /// The migration.
        migration_id: MigrationId,
    },
}

/// What a batch's function returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchOutput {
    /// Whether the function stopped for lack of time with work left: call it again.
    pub again: bool,
}

/// What a reconcile step returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciled {
    /// Whether every partition is where the phase wants it.
    pub complete: bool,
    /// Measure of progress for the next reconcile's `before`.
    pub progress: i64,
}

/// What the drain step returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// Whether the lag stayed small for the whole window.
    pub ready: bool,
}

/// What the state machine takes of the rehearsal that a `rehearse` returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsed {
    /// Whether the cutover may go on to freeze producers.
    pub go: bool,
}

/// What `expire` returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    /// Whether the cutover was still before its mark, and has failed now.
    pub expired: bool,
}

/// What one look at the fence returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// Whether there is something left to watch.
    pub again: bool,
    /// How long to wait before the next look, in seconds.
    pub wait_seconds: u64,
}

/// What `enter` returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entered {
    /// The migration.
    pub migration_id: MigrationId,
    /// The phase to go on with.
    pub phase: Phase,
    /// Bucket of the manifest of partition batches.
    pub bucket: String,
    /// Its key.
    pub manifest: String,
    /// Copy functions at the same time.
    pub copy_functions: u32,
    /// How long people or the webhook may take to freeze producers, in seconds: bound of the freeze gate.
    pub freeze_reaction_seconds: u64,
    /// How long producers may stay frozen before the point of no return, in seconds.
    pub freeze_limit_seconds: u64,
}

/// An error as a `Catch` sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Caught {
    /// The error's name.
    #[serde(rename = "Error", default)]
    pub error: String,
    /// For a Lambda error, JSON with `errorMessage`.
    #[serde(rename = "Cause", default)]
    pub cause: String,
}

impl Caught {
    /// One line for the journal: the function's own message where there is one, the innermost error when a branch of
    /// the state machine wrapped it.
    pub fn reason(&self) -> String {
        let cause: Option<serde_json::Value> = serde_json::from_str(&self.cause).ok();
        let field = |name: &str| cause.as_ref().and_then(|cause| cause.get(name)?.as_str().map(str::to_owned));
        if let (Some(error), Some(cause)) = (field("Error"), field("Cause")) {
            return Self { error, cause }.reason();
        }
        let message = field("errorMessage").unwrap_or_else(|| self.cause.clone());
        match (self.error.as_str(), message.as_str()) {
            ("", "") => "stopped without a reason".to_owned(),
            (error, "") => error.to_owned(),
            ("", message) => message.to_owned(),
            (error, message) => format!("{error}: {message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_own_message_is_the_reason() {
        let cause = r#"{"errorType":"Unsafe","errorMessage":"foreign record (orders/3)"}"#;
        let caught = Caught { error: "Unsafe".into(), cause: cause.into() };
        assert_eq!(caught.reason(), "Unsafe: foreign record (orders/3)");
        let wrapped = serde_json::json!({"Error": "Unsafe", "Cause": cause}).to_string();
        let caught = Caught { error: "BranchFailed".into(), cause: wrapped };
        assert_eq!(caught.reason(), "Unsafe: foreign record (orders/3)");
        let timeout = Caught { error: "States.Timeout".into(), cause: String::new() };
        assert_eq!(timeout.reason(), "States.Timeout");
    }
}
