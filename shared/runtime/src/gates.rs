//! What the gate function answers whoever decides a gate.

use journal::Gate;
use serde::{Deserialize, Serialize};

/// What became of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The gate with the decision that stands.
    pub gate: Gate,
    /// False when Step Functions has just said that no state waits for it. It says so of a state that was answered already,
    /// that timed out, and whose execution has ended. A decision that was sent before is not sent again, and counts as heard.
    pub heard: bool,
    /// Whether the cutover was given up: producers were confirmed to be frozen already when the freeze was rejected.
    #[serde(default)]
    pub given_up: bool,
}
