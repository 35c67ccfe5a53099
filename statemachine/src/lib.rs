//! The state machine of a migration: its text, the errors it knows and a walk over its states.
//!
//! `migration.asl.json` is the source; nothing generates it. It is JSON in the Amazon States Language with JSONPath, and
//! its tests hold it to the rules that neither Step Functions nor a stand-in checks when it is created.

pub mod errors;
pub mod walk;

/// The definition as deployed, with `${...FunctionArn}` where the ARN of a function belongs.
pub const ASL: &str = include_str!("../migration.asl.json");

/// The definition, parsed.
///
/// # Errors
/// When the text is not JSON.
pub fn definition() -> serde_json::Result<serde_json::Value> {
    serde_json::from_str(ASL)
}
