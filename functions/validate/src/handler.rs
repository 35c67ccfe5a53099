//! One invocation.

use migration::message::{BatchInput, BatchOutput};
use migration::{Error, Phase, Result};
use runtime::{Budget, Host};
use serde_json::{Value, json};

use crate::input::Input;
use crate::{accept, reconcile, work};

/// Answers one invocation.
///
/// # Errors
/// Transient when a cluster, S3 or the journal could not be asked; Invalid for `drain`. Never for a difference.
pub(crate) async fn handle(host: &Host, input: Input, budget: Budget) -> Result<Value> {
    let (migration_id, outcome) = match input {
        Input::Accept(input) => {
            let accepted = accept::accept(host, &input.migration_id, &input).await;
            (input.migration_id, accepted)
        }
        Input::Batch(BatchInput::Work { migration_id, batch, .. }) => {
            let again = work::work(host, &migration_id, batch, budget).await;
            if let Err(error) = &again {
                // The Map tells nobody; the reconcile finds it there.
                let noted = host.journal(&migration_id).note_failure(batch, error).await;
                noted.unwrap_or_else(|lost| tracing::warn!(%batch, "why a comparison ended was not recorded: {lost}"));
            }
            (migration_id, again.map(|again| json!(BatchOutput { again })))
        }
        Input::Batch(BatchInput::Reconcile { migration_id, before }) => {
            let reconciled = reconcile::reconcile(host, &migration_id, before).await;
            (migration_id, reconciled.map(|reconciled| json!(reconciled)))
        }
        Input::Batch(_) => {
            return Err(Error::invalid("validate compares and accepts; the other operations are tail-batch's"));
        }
    };
    outcome.map_err(|error| error.in_run(&migration_id).in_phase(Phase::Validating))
}
