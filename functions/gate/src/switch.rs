//! The gate `client-switch`: asking the webhook to switch the clients, and what follows once they are.

use std::time::Duration;

use chrono::{DateTime, Utc};
use journal::{Decision, Freeze, GateName, GateState, Side, Token, WebhookCall, timestamp};
use migration::{Error, Phase, Result};
use runtime::secrets::WebhookName;
use runtime::{Budget, Run};
use serde_json::{Value, json};

use crate::webhook::{self, Fault, Webhook};
use crate::{decide, producers};

/// The fact that holds when the webhook was first asked to switch the clients. Later openings of the gate ask the same.
const ASKED_AT: &str = "client_switch_asked_at";

/// Pauses before a call that did not get there is made again.
const PAUSES: [Duration; 3] = if cfg!(test) {
    [Duration::from_millis(10); 3]
} else {
    [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(9)]
};

/// Opens the gate, and asks the webhook, when there is one, to switch the clients. Whatever becomes of that call, the gate is
/// open for the operator: behind the point of no return nothing fails because of a webhook.
///
/// # Errors
/// Those of the journal, before the gate is open; Transient when the clients are switched and Step Functions could not be
/// told.
pub(crate) async fn open(run: &Run<'_>, token: &Token, budget: Budget) -> Result<Value> {
    let gate = run.journal.open(GateName::ClientSwitch, token, None).await?;
    if gate.state != GateState::Open {
        return Ok(json!({"switched": "decided already"}));
    }
    let (webhook, body) = match prepare(run).await {
        Ok(Some(prepared)) => prepared,
        Ok(None) => return Ok(json!({"switched": "by operator"})),
        Err(error) => {
            let (at, action, outcome) =
                (run.journal.now(), "switch".to_owned(), format!("not called: {}", error.message));
            webhook::remember(run, &WebhookCall { at, action, outcome, status: None, ms: 0 }).await;
            return Ok(json!({"switched": "by operator", "webhook": error.message}));
        }
    };
    match ask(run, &webhook, &body, budget).await {
        Ok(202) => Ok(json!({"switched": "will be acknowledged"})),
        Ok(_) => decided(run).await,
        Err(fault) => {
            let error = fault.into_error(webhook.title(), webhook::action(&body));
            tracing::warn!(%error, run = %run.id, "the gate waits for the operator");
            Ok(json!({"switched": "by operator", "webhook": error.message}))
        }
    }
}

/// The webhook and what it is asked; nothing when there is none.
async fn prepare(run: &Run<'_>) -> Result<Option<(Webhook, Value)>> {
    let Some(webhook) = Webhook::of(run, WebhookName::ClientSwitch).await? else { return Ok(None) };
    let body = json!({
        "action": "switch",
        "migration_id": run.id,
        "asked_at": timestamp(first_asked_at(run).await?),
        "bootstrap_servers": producers::bootstrap_servers(run, &run.config.target).await?,
    });
    Ok(Some((webhook, body)))
}

/// Asks the webhook, again when it was not reached.
async fn ask(run: &Run<'_>, webhook: &Webhook, body: &Value, budget: Budget) -> Result<u16, Fault> {
    let mut pauses = PAUSES.iter();
    loop {
        let (outcome, call) = webhook.call(run.journal.now(), body, budget.left()).await;
        webhook::remember(run, &call).await;
        let pause = pauses.next().filter(|pause| **pause < budget.left());
        let (Some(pause), true) = (pause, outcome.as_ref().is_err_and(Fault::may_pass)) else { return outcome };
        tokio::time::sleep(*pause).await;
    }
}

/// Decides the gate: the webhook switched the clients.
async fn decided(run: &Run<'_>) -> Result<Value> {
    let decision = Decision::approve("the webhook switched the clients");
    match decide::decide(run.host(), &run.id, GateName::ClientSwitch, decision, "webhook").await {
        // The state machine opens the gate anew, and the call is repeated.
        Err(error) if error.kind.is_retryable() => Err(error),
        Err(error) => {
            tracing::warn!(%error, run = %run.id, "the gate waits for the operator");
            Ok(json!({"switched": "by operator"}))
        }
        Ok(_) => Ok(json!({"switched": "by webhook"})),
    }
}

/// When the webhook was first asked to switch the clients; nothing when it was not.
///
/// # Errors
/// Those of the journal.
pub(crate) async fn asked_at(run: &Run<'_>) -> Result<Option<DateTime<Utc>>> {
    let meta = run.journal.meta().await?;
    Ok(meta.facts.get(ASKED_AT).and_then(Value::as_str).and_then(|at| at.parse().ok()))
}

/// The same, and from now on when it was not.
async fn first_asked_at(run: &Run<'_>) -> Result<DateTime<Utc>> {
    if let Some(asked) = asked_at(run).await? {
        return Ok(asked);
    }
    let freeze = run.journal.freeze_state().await?;
    let last = freeze.as_ref().map(Freeze::current).map(journal::FreezePeriod::last_call);
    let at = producers::asked_at(run.journal.now(), last);
    run.journal.set_fact(ASKED_AT, &json!(timestamp(at))).await?;
    Ok(at)
}

/// Clients run against the target: producers may write there, and validation may begin.
///
/// # Errors
/// Those of [`producers::unfreeze`]; Blocked when the migration does not wait for the switch.
pub(crate) async fn switched(run: &Run<'_>) -> Result<Value> {
    producers::unfreeze(run, Side::Target).await.map_err(|error| Error {
        message: format!("clients are switched, but producers are still FROZEN: {}", error.message),
        ..error
    })?;
    let gate = run.journal.gate(GateName::ClientSwitch).await?;
    let reason = match gate.and_then(|gate| gate.decided_by).as_deref() {
        Some("webhook") => "the webhook confirmed the client cutover",
        _ => "operator confirmed client cutover",
    };
    run.journal.transition(Phase::Validating, reason).await?;
    Ok(json!({}))
}
