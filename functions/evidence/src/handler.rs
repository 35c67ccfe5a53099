//! One invocation: collect, sign, store, and end the migration when its validation did not fail.

use evidence::{Envelope, Key, KeyKind};
use journal::GateName;
use migration::message::PhaseInput;
use migration::{Error, Phase, Result};
use runtime::{Host, Run, secrets};
use serde_json::{Value, json};

use crate::bundle;
use crate::upload::{NEWEST, Shelf};
use crate::verdict::Verdict;

/// Answers one invocation. Safe to repeat: the evidence of one validation is made once, and a finalized migration is left
/// alone.
///
/// # Errors
/// Unsafe when validation failed, with its evidence stored; Blocked when the key or the bucket cannot be used.
pub(crate) async fn handle(host: &Host, input: PhaseInput) -> Result<Value> {
    let migration_id = input.migration_id;
    let outcome = async {
        let run = host.load(&migration_id).await?;
        if run.meta.phase == Phase::Finalized {
            secrets::forget_at_end(&host.aws, &run.config).await;
            return Ok(json!({"evidence": run.meta.facts.get("evidence")}));
        }
        finalize(&run).await
    };
    outcome.await.map_err(|error: Error| error.in_run(&migration_id).in_phase(Phase::Validating))
}

async fn finalize(run: &Run<'_>) -> Result<Value> {
    run.meta.check_transition(Phase::Finalized)?;
    let report: Value = run.store.get_json("validation/report.json").await?;
    let verdict = Verdict::read(&report)?;
    let gate = run.journal.gate(GateName::Finalize).await?;
    let attempt = gate.map_or(0, |gate| gate.attempt);
    if verdict.attempt != attempt {
        return Err(Error::blocked(format_args!(
            "the validation report is of attempt {}, this is attempt {attempt}: finalize again, so that source and target \
             are compared as they are now",
            verdict.attempt
        )));
    }
    let evidence = &run.config.evidence;
    let store = run.host().evidence(&run.config, &run.id);
    let shelf = Shelf::new(store, evidence.retention.map(Into::into), run.journal.now())?;
    let envelope = match shelf.find(attempt).await? {
        Some(envelope) => envelope,
        None => {
            let key = Key::load(evidence.signing_key_path.as_deref())?;
            Envelope::seal(bundle::collect(run, &report, attempt, key.kind()).await?, &key)?
        }
    };
    shelf.put(&envelope, attempt).await?;
    let url = shelf.store.url(NEWEST);
    tracing::info!(url, attempt, overall = verdict.overall, sha256 = envelope.bundle_sha256, "evidence stored");
    run.journal.set_fact("evidence", &json!(url)).await?;
    if let Some(error) = verdict.error(&url) {
        return Err(error);
    }
    run.journal.transition(Phase::Finalized, &reason(&url, &verdict, envelope.signing_key)).await?;
    secrets::forget_at_end(&run.host().aws, &run.config).await;
    Ok(json!({"evidence": url, "validation": verdict.overall}))
}

fn reason(url: &str, verdict: &Verdict, key: KeyKind) -> String {
    let demo = match key {
        KeyKind::Demo => "; demonstration key: proves nothing about who signed",
        KeyKind::Configured => "",
    };
    format!("evidence signed + uploaded to {url} (validation={}{demo})", verdict.overall)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::tests::report;

    #[test]
    fn the_journal_says_where_what_and_whether_the_key_proves_anything() {
        let verdict = Verdict::read(&report("PASSED", "PASSED")).unwrap();
        let configured = reason("s3://b/m/evidence.json", &verdict, KeyKind::Configured);
        assert_eq!(configured, "evidence signed + uploaded to s3://b/m/evidence.json (validation=PASSED)");
        assert!(reason("u", &verdict, KeyKind::Demo).contains("demonstration key"));
    }
}
