//! Deciding a gate: the journal records who decided what, then Step Functions hears of it.
//!
//! Everybody decides through here: the operator's program, whoever invokes the function by hand, a webhook that answers, and
//! one that acknowledges later. So every time that is compared with another was written by a function.

use journal::{Decided, Decision, FreezeHow, Gate, GateName, GateState, Verdict};
use migration::{Error, MigrationId, Phase, Result};
use runtime::aws::sdk_error;
use runtime::gates::Answered;
use runtime::{Aws, Host};
use serde_json::json;

use crate::{approval, ends, fence};

/// Records `decision` at the gate `name` and sends it to the state that waits. Safe to repeat: a decision that was recorded
/// but not sent is sent, one that was sent is left alone. A freeze that is rejected after it was confirmed gives the cutover
/// up.
///
/// # Errors
/// Invalid for a rejection where nothing can be given up any more; Blocked when nothing waits at the gate, and when the
/// cutover is approved without a rehearsal that allows it; Transient when Step Functions could not be told, with the decision
/// kept.
pub(crate) async fn decide(
    host: &Host,
    id: &MigrationId,
    name: GateName,
    mut decision: Decision,
    by: &str,
) -> Result<Answered> {
    let rejects = decision.verdict == Verdict::Reject;
    if rejects && matches!(name, GateName::ClientSwitch | GateName::Finalize) {
        return Err(Error::invalid(format_args!(
            "the gate {name} can only be approved: offsets are committed on the target; leave it open instead"
        )));
    }
    let journal = host.journal(id);
    match (name, journal.gate(name).await?) {
        (GateName::Cutover, Some(gate)) if !rejects && gate.state == GateState::Open => {
            let run = host.load(id).await?;
            // In another phase nothing waits here, which the journal says better.
            if run.meta.phase == name.phase() {
                fence::reach(&run).await?;
                decision.rehearsal = Some(approval::rehearsal(&run, decision.rehearsal.as_deref()).await?);
            }
        }
        (GateName::Freeze, Some(gate)) if rejects && is_approved(&gate) => {
            let run = host.load(id).await?;
            if run.meta.phase == Phase::Cutover {
                ends::give_up(&run, by, &decision.reason).await?;
                return Ok(Answered { gate, heard: true, given_up: true });
            }
        }
        _ => {}
    }
    let (token, gate) = match journal.decide(name, &decision, by).await? {
        Decided::AlreadySent(gate) => return Ok(Answered { gate, heard: true, given_up: false }),
        Decided::Send { token, gate } => (token, gate),
    };
    if name == GateName::Freeze && !rejects {
        // From here on the outage counts; the freeze that was asked for stands.
        journal.set_frozen(journal.now(), FreezeHow::Operator, by).await?;
    }
    let output = json!({"verdict": decision.verdict, "attempt": gate.attempt}).to_string();
    let heard = send(&host.aws, name, token.expose(), output).await?;
    journal.mark_sent(name, gate.attempt).await?;
    Ok(Answered { gate, heard, given_up: false })
}

fn is_approved(gate: &Gate) -> bool {
    gate.decision.as_ref().is_some_and(|decision| decision.verdict == Verdict::Approve)
}

/// Answers the state that waits with `token`; false when none does any more.
async fn send(aws: &Aws, name: GateName, token: &str, output: String) -> Result<bool> {
    let sent = aws.sfn.send_task_success().task_token(token).output(output).send().await;
    match sent {
        Ok(_) => Ok(true),
        // Repeating can change nothing.
        Err(error) if error.as_service_error().is_some_and(|e| e.is_task_timed_out() || e.is_task_does_not_exist()) => {
            tracing::warn!(gate = %name, "the state that opened the gate no longer waits");
            Ok(false)
        }
        Err(error) => Err(sdk_error(&format!("answer the gate {name}"), &error)),
    }
}
