//! One invocation: collect, sign, store, and end the migration when its validation did not fail. Or only: is there a key?

use evidence::{Envelope, Key, KeyKind};
use journal::GateName;
use migration::report::{Overall, validation};
use migration::{Error, Phase, Result};
use runtime::{Host, Run, secrets};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::bundle;
use crate::input::{Input, Op};
use crate::upload::{NEWEST, Shelf};
use crate::verdict::Verdict;

/// Answers one invocation. Safe to repeat: the evidence of one validation is made once, and a finalized migration is left
/// alone.
///
/// # Errors
/// Unsafe when validation failed, with its evidence stored; Blocked when the key or the bucket cannot be used.
pub(crate) async fn handle(host: &Host, input: Input) -> Result<Value> {
    let Input { migration_id, op } = input;
    let run = host.load(&migration_id).await?;
    match op {
        Op::Check => {
            let shown = key(&run).await.and_then(|key| shown(&key));
            shown.map_err(|error| error.in_run(&migration_id))
        }
        Op::Finalize => {
            let outcome = match run.meta.phase {
                Phase::Finalized => {
                    secrets::forget_at_end(&host.aws, &run.config).await;
                    Ok(json!({"evidence": run.meta.facts.get("evidence")}))
                }
                _ => finalize(&run).await,
            };
            outcome.map_err(|error: Error| error.in_run(&migration_id).in_phase(Phase::Validating))
        }
    }
}

/// The key that is to sign: it is in the file system of this function or in a secret that it may read, and nobody else.
async fn key(run: &Run<'_>) -> Result<Key> {
    let evidence = &run.config.evidence;
    match &evidence.signing_key_arn {
        Some(arn) => Key::from_pem(&secrets::text(&run.host().aws, arn).await?, arn),
        None => Key::load(evidence.signing_key_path.as_deref()),
    }
}

/// What may be known of a key.
fn shown(key: &Key) -> Result<Value> {
    Ok(json!({"key": key.kind(), "public_key": key.public_key_pem()?}))
}

async fn finalize(run: &Run<'_>) -> Result<Value> {
    run.meta.check_transition(Phase::Finalized)?;
    let report: Box<RawValue> = run.store.get_json(validation::NAME).await?;
    let acceptances = run.journal.acceptances().await?;
    let verdict = Verdict::read(report.get().as_bytes(), &acceptances)?;
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
            let key = key(run).await?;
            let bundle = bundle::collect(run, &report, &acceptances, attempt, key.kind()).await?;
            Envelope::seal(bundle, &key)?
        }
    };
    shelf.put(&envelope, attempt).await?;
    let url = shelf.store.url(NEWEST);
    tracing::info!(url, attempt, overall = %verdict.overall, sha256 = envelope.bundle_sha256, "evidence stored");
    run.journal.set_fact("evidence", &json!(url)).await?;
    if let Some(error) = verdict.error(&url) {
        return Err(error);
    }
    run.journal.transition(Phase::Finalized, &reason(&url, &verdict, envelope.signing_key)).await?;
    secrets::forget_at_end(&run.host().aws, &run.config).await;
    Ok(json!({"evidence": url, "validation": verdict.overall}))
}

fn reason(url: &str, verdict: &Verdict, key: KeyKind) -> String {
    let exceptions = match verdict.overall {
        Overall::PassedWithExceptions => format!("; accepted: {}", verdict.exceptions),
        _ => String::new(),
    };
    let demo = match key {
        KeyKind::Demo => "; demonstration key: proves nothing about who signed",
        KeyKind::Configured => "",
    };
    format!("evidence signed + uploaded to {url} (validation={}{exceptions}{demo})", verdict.overall)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::tests::{acceptance, report};
    use migration::ErrorKind;
    use migration::report::Outcome;

    fn verdict(overall: Overall, outcome: Outcome) -> Verdict {
        let accepted = [acceptance("counts_and_offsets")];
        Verdict::read(report(overall, outcome).to_string().as_bytes(), &accepted).unwrap()
    }

    #[test]
    fn the_journal_says_where_what_and_whether_the_key_proves_anything() {
        let passed = verdict(Overall::Passed, Outcome::Passed);
        let configured = reason("s3://b/m/evidence.json", &passed, KeyKind::Configured);
        assert_eq!(configured, "evidence signed + uploaded to s3://b/m/evidence.json (validation=PASSED)");
        assert!(reason("u", &passed, KeyKind::Demo).contains("demonstration key"));
        let accepted = verdict(Overall::PassedWithExceptions, Outcome::Accepted);
        let reason = reason("u", &accepted, KeyKind::Configured);
        assert_eq!(reason, "evidence signed + uploaded to u (validation=PASSED_WITH_EXCEPTIONS; accepted: 1)");
    }

    #[test]
    fn a_key_is_looked_at_before_it_is_needed() {
        let demo = shown(&Key::demo()).unwrap();
        assert_eq!(demo["key"], "demo");
        assert!(demo["public_key"].as_str().unwrap().starts_with("-----BEGIN PUBLIC KEY-----"));
        let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:key-AbCdEf";
        let error =
            Key::from_pem("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n", arn).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Blocked);
        assert!(error.message.contains(arn) && !error.message.contains("hunter2"), "{error}");
    }
}
