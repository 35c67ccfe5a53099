//! Rehearses the cutover, carries it out, and looks after the fence behind it.

use cutover::{late, live, rehearse, watch};
use migration::message::CutoverInput;
use migration::{Phase, Result};
use runtime::{Budget, Host};
use serde_json::{Value, json};
use telemetry::metrics;

/// Answers one invocation.
///
/// # Errors
/// Those of the rehearsal and of the cutover, see [`cutover`].
pub(crate) async fn handle(host: &Host, input: CutoverInput, budget: Budget) -> Result<Value> {
    let id = input.migration_id().clone();
    answer(host, input, budget).await.map_err(|error| error.in_run(&id).in_phase(Phase::Cutover))
}

/// Each operation is a future on the heap: one that held them all would not fit on the stack of a debug build.
async fn answer(host: &Host, input: CutoverInput, budget: Budget) -> Result<Value> {
    let run = host.load(input.migration_id()).await?;
    match input {
        CutoverInput::Rehearse { approved: true, .. } => Ok(json!(Box::pin(rehearse::confirm(&run)).await?)),
        CutoverInput::Rehearse { signing_key, .. } => {
            let (rehearsal, outcome) = Box::pin(rehearse::rehearse(&run, signing_key)).await?;
            Ok(json!({"go": outcome.go, "rehearsal": rehearsal.id, "differences": outcome.differences}))
        }
        CutoverInput::CutOver { .. } => {
            let outcome = Box::pin(live::cut_over(&run)).await?;
            if let cutover::Outcome::Ready { freeze_ms, .. } = outcome {
                let most = run.config.cutover.max_producer_freeze.as_secs() as f64 * 1_000.0;
                let freeze = [
                    (metrics::FREEZE_MILLIS, freeze_ms as f64),
                    (metrics::FREEZE_SHARE, freeze_ms as f64 / most * 100.0),
                ];
                metrics::emit(Phase::Cutover.name(), run.id.as_str(), &freeze);
            }
            Ok(json!(outcome))
        }
        CutoverInput::Watch { .. } => Ok(json!(Box::pin(watch::watch(&run)).await?)),
        CutoverInput::ListLate { .. } => Ok(json!(Box::pin(late::live::list(&run)).await?)),
        CutoverInput::AppendLate { by, .. } => Ok(json!(Box::pin(late::live::append_for(&run, &by, budget)).await?)),
    }
}
