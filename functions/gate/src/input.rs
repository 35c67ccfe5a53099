//! What the gate function is asked.

use journal::{GateName, Token, Verdict};
use migration::MigrationId;
use migration::message::Caught;
use serde::Deserialize;

/// Input of the `gate` function.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum GateInput {
    /// Lets an execution in: creates the migration from `config`, or finds where an earlier execution stopped.
    Enter {
        migration_id: MigrationId,
        /// In JSON form; needed the first time, compared with the stored one afterwards.
        config: Option<serde_json::Value>,
    },
    /// Arms a gate with the task token of the state that waits for it.
    Open { migration_id: MigrationId, gate: GateName, token: Token },
    /// Decides an armed gate.
    Decide {
        migration_id: MigrationId,
        gate: GateName,
        verdict: Verdict,
        /// Who decided, for the journal and the evidence.
        by: String,
        #[serde(default)]
        reason: String,
        /// The rehearsal that is approved (gate `cutover` only); the newest unless given.
        #[serde(default)]
        rehearsal: Option<String>,
    },
    /// Producers were frozen for as long as they may be: a cutover before its point of no return fails.
    Expire { migration_id: MigrationId },
    /// The operator gives the cutover up before its point of no return.
    GiveUp {
        migration_id: MigrationId,
        /// Who, for the journal.
        by: String,
        #[serde(default)]
        reason: String,
    },
    /// The clients were switched: validation may begin, producers may write to the target.
    Switched { migration_id: MigrationId },
    /// Gives a migration up before its first commit on the target.
    Rollback {
        migration_id: MigrationId,
        #[serde(default)]
        reason: Option<String>,
        /// Producers were let go, and a write fence was removed, by hand: neither the webhook nor the source is asked.
        #[serde(default)]
        by_hand: Option<ByHand>,
    },
    /// Lifts the write fence that stands behind the point of no return.
    Unfence {
        migration_id: MigrationId,
        /// Who, for the journal.
        by: String,
        /// It was removed by hand: the source is not asked.
        #[serde(default)]
        by_hand: bool,
    },
    /// Announces what became of every migration.
    Pulse {},
    /// Records that an execution failed, and lets frozen producers go on where that is right.
    Fail { migration_id: MigrationId, cause: Caught },
}

/// What was done by hand, as somebody says.
#[derive(Debug, Deserialize)]
pub(crate) struct ByHand {
    /// Who says so, for the journal.
    pub(crate) by: String,
}

impl GateInput {
    /// The migration it is about; none when it is about all of them.
    pub(crate) const fn migration_id(&self) -> Option<&MigrationId> {
        Some(match self {
            Self::Pulse {} => return None,
            Self::Enter { migration_id, .. }
            | Self::Open { migration_id, .. }
            | Self::Decide { migration_id, .. }
            | Self::Expire { migration_id }
            | Self::GiveUp { migration_id, .. }
            | Self::Switched { migration_id }
            | Self::Rollback { migration_id, .. }
            | Self::Unfence { migration_id, .. }
            | Self::Fail { migration_id, .. } => migration_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_printed() {
        let text = r#"{"op":"open","migration_id":"m","gate":"client-switch","token":"AQC8"}"#;
        let input: GateInput = serde_json::from_str(text).unwrap();
        assert!(!format!("{input:?}").contains("AQC8"));
    }
}
