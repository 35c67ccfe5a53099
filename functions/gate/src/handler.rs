//! Keeps the doors of a migration: lets executions in, arms and decides gates, and closes when one fails or is given up.

use journal::{Decision, GateName};
use migration::{Error, Result};
use runtime::{Budget, Host};
use serde_json::{Value, json};

use crate::input::GateInput;
use crate::{acknowledge, decide, ends, enter, fence, freeze, pulse, rollback, switch};

/// Answers one invocation: an operation of the state machine, of the operator or of the schedule, or a request to the function's URL.
///
/// # Errors
/// Invalid for a configuration that does not fit the run; Blocked for a door that is not there to be opened. A request over
/// HTTP is always answered in HTTP.
pub(crate) async fn handle(host: &Host, event: Value, budget: Budget) -> Result<Value> {
    if acknowledge::is_request(&event) {
        return Box::pin(acknowledge::answer(host, event)).await;
    }
    let input: GateInput = serde_json::from_value(event)
        .map_err(|error| Error::invalid(format_args!("the function's input cannot be used: {error}")))?;
    let id = input.migration_id().cloned();
    let answer = Box::pin(operate(host, input, budget)).await;
    answer.map_err(|error| match &id {
        Some(id) => error.in_run(id),
        None => error,
    })
}

async fn operate(host: &Host, input: GateInput, budget: Budget) -> Result<Value> {
    match input {
        GateInput::Enter { migration_id, config } => enter::enter(host, &migration_id, config).await,
        GateInput::Open { migration_id, gate: GateName::Freeze, token } => {
            freeze::open(&host.load(&migration_id).await?, &token, budget).await
        }
        GateInput::Open { migration_id, gate: GateName::ClientSwitch, token } => {
            switch::open(&host.load(&migration_id).await?, &token, budget).await
        }
        GateInput::Open { migration_id, gate, token } => {
            host.journal(&migration_id).open(gate, &token, None).await?;
            Ok(json!({}))
        }
        GateInput::Decide { migration_id, gate, verdict, by, reason, rehearsal } => {
            let decision = Decision { verdict, reason, rehearsal };
            Ok(json!(decide::decide(host, &migration_id, gate, decision, &by).await?))
        }
        GateInput::Expire { migration_id } => ends::expire(&host.load(&migration_id).await?).await,
        GateInput::GiveUp { migration_id, by, reason } => {
            ends::give_up(&host.load(&migration_id).await?, &by, &reason).await
        }
        GateInput::Switched { migration_id } => switch::switched(&host.load(&migration_id).await?).await,
        GateInput::Rollback { migration_id, reason, by_hand } => {
            rollback::rollback(&host.load(&migration_id).await?, reason, by_hand).await
        }
        GateInput::Unfence { migration_id, by, by_hand } => {
            fence::unfence(&host.load(&migration_id).await?, &by, by_hand).await
        }
        GateInput::Pulse {} => Box::pin(pulse::pulse(host)).await,
        GateInput::Fail { migration_id, cause } => ends::fail(&host.load(&migration_id).await?, &cause).await,
    }
}
