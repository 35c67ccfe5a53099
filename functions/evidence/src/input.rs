//! What the function is asked.

use migration::MigrationId;
use serde::Deserialize;

/// Input of the function.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Input {
    /// The migration.
    pub(crate) migration_id: MigrationId,
    /// What to do about it.
    #[serde(default)]
    pub(crate) op: Op,
}

/// An operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Op {
    /// Signs what is known and ends the migration, when its validation did not fail.
    #[default]
    Finalize,
    /// Looks whether there is a key to sign with, and signs nothing.
    Check,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_state_machine_names_no_operation() {
        let op = |value| serde_json::from_value::<Input>(value).map(|input| input.op);
        assert_eq!(op(json!({"migration_id": "m"})).unwrap(), Op::Finalize);
        assert_eq!(op(json!({"op": "check", "migration_id": "m"})).unwrap(), Op::Check);
        assert!(op(json!({"op": "sign", "migration_id": "m"})).is_err());
    }
}
