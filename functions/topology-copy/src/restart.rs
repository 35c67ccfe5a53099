//! Removing what the migration made, so that it can begin again.

use migration::restart::RestartAnswer;
use migration::{MigrationId, Result};
use runtime::{Budget, Host};
use serde_json::Value;
use topology::restart::Restart;

/// Says what would be removed or, to `apply`, removes it.
///
/// # Errors
/// Those of [`Restart`].
pub(crate) async fn restart(
    host: &Host,
    id: &MigrationId,
    given: Option<&Value>,
    apply: bool,
    budget: Budget,
) -> Result<RestartAnswer> {
    let restart = Restart::open(host, id, given).await?;
    match apply {
        true => restart.remove(budget).await,
        false => Ok(RestartAnswer { removal: restart.removal().await?, done: false }),
    }
}
