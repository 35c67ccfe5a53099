//! What the state machine passes to its functions and gets back: ids and small scalars, never lists.

use serde::{Deserialize, Serialize};

use crate::ids::{BatchId, MigrationId};
use crate::phase::Phase;

/// Input of the `gate` function, which keeps the doors of a migration.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum GateInput {
    /// Lets a run in: creates it from `config`, or finds where an earlier execution of it stopped.
    Enter {
        /// The migration.
        migration_id: MigrationId,
        /// The configuration in its JSON form; needed the first time, compared with the stored one afterwards.
        #[serde(default)]
        config: Option<serde_json::Value>,
    },
    /// Arms a gate with the task token of the state that waits for it.
    Open {
        /// The migration.
        migration_id: MigrationId,
        /// Which gate.
        gate: GateName,
        /// Who may open it: whoever holds this. Never logged.
        token: SecretToken,
    },
    /// Decides a gate that is armed.
    Decide {
        /// The migration.
        migration_id: MigrationId,
        /// Which gate.
        gate: GateName,
        /// The decision.
        decision: Decision,
        /// Who decided, for the journal.
        by: String,
    },
    /// The clients were switched: validation may begin, producers may write to the target.
    Switched {
        /// The migration.
        migration_id: MigrationId,
    },
    /// Gives a run up before its first commit on the target.
    Rollback {
        /// The migration.
        migration_id: MigrationId,
        /// Why, for the journal.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Records that the run stopped, and lets frozen producers go on where that is right.
    Fail {
        /// The migration.
        migration_id: MigrationId,
        /// What Step Functions caught.
        cause: Caught,
    },
}

/// Input of the functions that work on a phase as a whole: `precheck`, `topology-copy`, `cutover`, `evidence`.
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

/// What `enter` returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entered {
    /// The migration.
    pub migration_id: MigrationId,
    /// The phase to go on with.
    pub phase: Phase,
    /// Copy functions at the same time.
    pub copy_functions: u32,
    /// Bound of the freeze gate, in seconds.
    pub freeze_timeout_seconds: u64,
}

/// The places where a migration waits for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateName {
    /// The operator starts the cutover.
    Cutover,
    /// Producers are frozen.
    Freeze,
    /// Clients run against the target.
    ClientSwitch,
    /// The operator asks for validation and evidence.
    Finalize,
}

impl GateName {
    /// The name as stored and printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cutover => "cutover",
            Self::Freeze => "freeze",
            Self::ClientSwitch => "client-switch",
            Self::Finalize => "finalize",
        }
    }
}

impl std::fmt::Display for GateName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What was decided at a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Go on.
    Approve,
    /// Do not: roll back where that is still possible.
    Reject,
}

/// A Step Functions task token. Whoever has it can answer for the operator, so it cannot be printed or serialised.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretToken(String);

impl SecretToken {
    /// Wraps a token.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SecretToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
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
    /// One line for the journal: the function's own message where there is one.
    pub fn reason(&self) -> String {
        let message = serde_json::from_str::<serde_json::Value>(&self.cause)
            .ok()
            .and_then(|cause| cause.get("errorMessage")?.as_str().map(str::to_owned))
            .unwrap_or_else(|| self.cause.clone());
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
    fn a_token_is_never_printed() {
        let input: GateInput =
            serde_json::from_str(r#"{"op":"open","migration_id":"m","gate":"client-switch","token":"AQC8"}"#).unwrap();
        assert!(!format!("{input:?}").contains("AQC8"));
    }

    #[test]
    fn the_functions_own_message_is_the_reason() {
        let cause = r#"{"errorType":"Unsafe","errorMessage":"foreign record (orders/3)"}"#;
        let caught = Caught { error: "Unsafe".into(), cause: cause.into() };
        assert_eq!(caught.reason(), "Unsafe: foreign record (orders/3)");
        let timeout = Caught { error: "States.Timeout".into(), cause: String::new() };
        assert_eq!(timeout.reason(), "States.Timeout");
    }
}
