//! What the function is asked.

use migration::MigrationId;
use serde::Deserialize;

/// Input of the `topology-copy` function.
#[derive(Debug, Deserialize)]
pub(crate) struct Input {
    /// The migration.
    pub(crate) migration_id: MigrationId,
    /// What to do. The state machine does not say it.
    #[serde(default)]
    pub(crate) op: Op,
    /// For [`Op::Restart`]: the configuration to begin again with, in JSON form. The target is signed in to as it says; what is
    /// removed follows from the one the migration has, unless that cannot be read.
    #[serde(default)]
    pub(crate) config: Option<serde_json::Value>,
    /// For [`Op::Restart`]: whether to remove, and not only to say what would be removed.
    #[serde(default)]
    pub(crate) apply: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Op {
    /// Brings topics, ACLs and the manifest over.
    #[default]
    Copy,
    /// Removes what the migration made, so that it can begin again.
    Restart,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_machine_says_the_migration_alone() {
        let input: Input = serde_json::from_str(r#"{"migration_id": "m1"}"#).unwrap();
        assert_eq!((input.op, input.apply, input.config), (Op::Copy, false, None));
        let input: Input = serde_json::from_str(r#"{"op": "restart", "migration_id": "m1", "config": null}"#).unwrap();
        assert_eq!((input.op, input.apply), (Op::Restart, false));
        assert!(serde_json::from_str::<Input>(r#"{"op": "remove", "migration_id": "m1"}"#).is_err());
    }
}
