//! Accepting differences, so that the next validation passes with exceptions where it would fail.

use journal::Meta;
use migration::report::validation;
use migration::report::{Acceptable, ValidationReport};
use migration::{Error, MigrationId, Phase, Result};
use runtime::{Host, Run};
use serde_json::{Value, json};

use crate::input::Accept;

/// Records that somebody accepts what he names. Answers with everything that was accepted.
///
/// # Errors
/// Blocked when the migration is not about to be validated; Invalid for a name that no check has, or without a reason.
pub(crate) async fn accept(host: &Host, migration_id: &MigrationId, accept: &Accept) -> Result<Value> {
    let run = host.load(migration_id).await?;
    check_phase(&run.meta)?;
    let what: Vec<Acceptable> = accept.accept.iter().map(|text| text.parse()).collect::<Result<_>>()?;
    if what.is_empty() {
        return Err(Error::invalid("nothing is named to be accepted: CHECK or CHECK:SUBJECT"));
    }
    let seen = seen_attempt(&run).await?;
    let accepted = run.journal.accept(&what, &accept.reason, &accept.by, seen).await?;
    Ok(json!({"acceptances": accepted}))
}

/// Differences are accepted when they are looked for: before the cutover there are none, and signed evidence does not change.
fn check_phase(meta: &Meta) -> Result<()> {
    let open =
        meta.phase == Phase::Validating || (meta.phase == Phase::Failed && meta.failed_in == Some(Phase::Validating));
    match open {
        true => Ok(()),
        false => Err(Error::blocked(format_args!(
            "differences are accepted in phase {} or after it has failed, and the migration is in {}",
            Phase::Validating,
            meta.phase
        ))),
    }
}

/// The validation whose report is there to be looked at.
async fn seen_attempt(run: &Run<'_>) -> Result<Option<u32>> {
    let Some(object) = run.store.get(validation::NAME).await? else { return Ok(None) };
    let report: Option<ValidationReport> = serde_json::from_slice(&object.body).ok();
    Ok(report.map(|report| report.attempt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_accepted_while_they_are_looked_for() {
        let meta = |phase, failed_in| Meta {
            phase,
            version: 1,
            config: Value::Null,
            fingerprint: String::new(),
            created_at: chrono::DateTime::UNIX_EPOCH,
            producer: None,
            failed_in,
            committed: true,
            plan: None,
            cutover_epoch: 0,
            late_epoch: 0,
            executions: 0,
            facts: std::collections::BTreeMap::default(),
        };
        assert!(check_phase(&meta(Phase::Validating, None)).is_ok());
        assert!(check_phase(&meta(Phase::Failed, Some(Phase::Validating))).is_ok());
        for (phase, failed_in) in [
            (Phase::AwaitingClientSwitch, None),
            (Phase::Failed, Some(Phase::Cutover)),
            (Phase::Finalized, None),
            (Phase::RolledBack, None),
        ] {
            let error = check_phase(&meta(phase, failed_in)).unwrap_err();
            assert!(error.message.contains(phase.name()), "{error}");
        }
    }
}
