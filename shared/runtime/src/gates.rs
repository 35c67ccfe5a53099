//! Answering a gate: the journal records who decided what, then Step Functions hears of it.

use journal::{Decided, Decision, FreezeHow, Gate, GateName, Journal, Verdict};
use migration::{Error, Result};
use serde_json::json;

use crate::aws::{Aws, sdk_error};

/// What became of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The gate with the decision that stands.
    pub gate: Gate,
    /// False when Step Functions has just said that no state waits for it. It says so of a state that was answered already,
    /// that timed out, and whose execution has ended. A decision that was sent before is not sent again, and counts as heard.
    pub heard: bool,
}

/// Records `decision` at the gate `name` and sends it to the state that waits. Safe to repeat: a decision that was
/// recorded but not sent is sent, one that was sent is left alone.
///
/// # Errors
/// Invalid for a rejection where nothing can be given up any more; Blocked when nothing waits at the gate; Transient when Step Functions could not be told, with the decision kept.
pub async fn decide(aws: &Aws, journal: &Journal, name: GateName, decision: &Decision, by: &str) -> Result<Answered> {
    if decision.verdict == Verdict::Reject && matches!(name, GateName::ClientSwitch | GateName::Finalize) {
        return Err(Error::invalid(format_args!(
            "the gate {name} can only be approved: offsets are committed on the target; leave it open instead"
        )));
    }
    let (token, gate) = match journal.decide(name, decision, by).await? {
        Decided::AlreadySent(gate) => return Ok(Answered { gate, heard: true }),
        Decided::Send { token, gate } => (token, gate),
    };
    if name == GateName::Freeze && decision.verdict == Verdict::Approve {
        // A webhook's freeze is on record since it was asked; that one stands.
        journal.set_frozen(journal.now(), FreezeHow::Operator, by).await?;
    }
    let output = json!({"verdict": decision.verdict, "attempt": gate.attempt}).to_string();
    let sent = aws.sfn.send_task_success().task_token(token.expose()).output(output).send().await;
    let heard = match sent {
        Ok(_) => true,
        // Repeating can change nothing.
        Err(error) if error.as_service_error().is_some_and(|e| e.is_task_timed_out() || e.is_task_does_not_exist()) => {
            tracing::warn!(gate = %name, "the state that opened the gate no longer waits");
            false
        }
        Err(error) => return Err(sdk_error(&format!("answer the gate {name}"), &error)),
    };
    journal.mark_sent(name, gate.attempt).await?;
    Ok(Answered { gate, heard })
}
