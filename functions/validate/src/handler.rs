//! One invocation.

use migration::message::{BatchInput, BatchOutput};
use migration::{Error, Phase, Result};
use runtime::{Budget, Host};
use serde_json::{Value, json};

use crate::{reconcile, work};

/// Answers one invocation.
///
/// # Errors
/// Transient when a cluster, S3 or the journal could not be asked; Invalid for `drain`. Never for a difference.
pub(crate) async fn handle(host: &Host, input: BatchInput, budget: Budget) -> Result<Value> {
    let (migration_id, outcome) = match input {
        BatchInput::Work { migration_id, batch, .. } => {
            let again = work::work(host, &migration_id, batch, budget).await;
            (migration_id, again.map(|again| json!(BatchOutput { again })))
        }
        BatchInput::Reconcile { migration_id, before } => {
            let reconciled = reconcile::reconcile(host, &migration_id, before).await;
            (migration_id, reconciled.map(|reconciled| json!(reconciled)))
        }
        BatchInput::Drain { .. } | BatchInput::Measure { .. } => {
            return Err(Error::invalid("validate neither drains nor measures; tail-batch does"));
        }
    };
    outcome.map_err(|error| error.in_run(&migration_id).in_phase(Phase::Validating))
}
