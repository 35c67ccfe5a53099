//! What the function is asked.

use migration::MigrationId;
use migration::message::BatchInput;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Input of the function. The operation `accept` is its own, the others are those of every function that works on batches.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// Somebody accepts differences.
    Accept(Accept),
    /// The state machine compares.
    Batch(BatchInput),
}

/// The operation `accept`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Accept {
    /// The migration.
    pub(crate) migration_id: MigrationId,
    /// Each as `CHECK` or `CHECK:SUBJECT`, see [`migration::report::Acceptable`].
    pub(crate) accept: Vec<String>,
    /// Who accepts.
    pub(crate) by: String,
    /// Why.
    pub(crate) reason: String,
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let input = Value::deserialize(deserializer)?;
        let input = match input["op"] == "accept" {
            true => serde_json::from_value(input).map(Self::Accept),
            false => serde_json::from_value(input).map(Self::Batch),
        };
        input.map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_kinds_of_operations_are_told_apart() {
        let read = |value| serde_json::from_value::<Input>(value);
        let accept =
            json!({"op": "accept", "migration_id": "m", "accept": ["topic_parity:a"], "by": "ada", "reason": "r"});
        assert!(matches!(read(accept).unwrap(), Input::Accept(accept) if accept.accept == ["topic_parity:a"]));
        let work = json!({"op": "work", "migration_id": "m", "batch": 3});
        assert!(matches!(read(work).unwrap(), Input::Batch(BatchInput::Work { .. })));
        let reconcile = json!({"op": "reconcile", "migration_id": "m", "before": 5});
        assert!(matches!(read(reconcile).unwrap(), Input::Batch(BatchInput::Reconcile { before: 5, .. })));
        let error =
            read(json!({"op": "accept", "migration_id": "m", "accept": ["topic_parity"], "by": "ada"})).unwrap_err();
        assert!(error.to_string().contains("reason"), "{error}");
    }
}
