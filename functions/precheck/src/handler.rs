//! Answers the function's invocations.

use migration::message::PrecheckInput;
use migration::report::{Finding, PrecheckReport, Severity};
use migration::{Config, Error, MigrationId, Phase, Result};
use runtime::{Host, Run};
use serde::Serialize;
use serde_json::{Value, json};

use crate::facts::Facts;
use crate::{gather, plan, rules};

/// Where a run's report is kept.
const REPORT: &str = "precheck/report.json";

/// The fact that topology-copy notes when the target's topics are this run's own.
const BATCHES: &str = "batches";

/// Answers one invocation.
///
/// # Errors
/// Blocked with every blocker of a run; for a plan, when a cluster cannot be reached.
pub(crate) async fn handle(host: &Host, input: PrecheckInput) -> Result<Value> {
    match input {
        PrecheckInput::Check { migration_id } => {
            let checked = check(host, &migration_id).await;
            checked.map_err(|error| error.in_run(&migration_id).in_phase(Phase::Precheck))
        }
        PrecheckInput::Report { config } => {
            let facts = gather::gather(host, Config::from_json(&config)?, false).await;
            answer(&rules::judge(&facts))
        }
        PrecheckInput::Plan { config } => answer(&plan::plan(host, &Config::from_json(&config)?).await?),
    }
}

fn answer(value: &impl Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|error| Error::internal(format_args!("the answer cannot be encoded: {error}")))
}

async fn check(host: &Host, id: &MigrationId) -> Result<Value> {
    let run = host.load(id).await?;
    run.journal.transition(Phase::Precheck, "").await?;
    let copying = run.meta.facts.contains_key(BATCHES);
    let facts = gather::gather(host, run.config.clone(), copying).await;
    if let Some(error) = facts.passing() {
        // Not a verdict: the state machine asks again.
        return Err(Error::transient(format_args!("precheck could not ask everything: {}", error.message)));
    }
    let report = store(&run, &facts, rules::judge(&facts)).await?;
    for Finding { code, severity, message, .. } in &report.findings {
        tracing::info!(run = %id, %severity, code, "{message}");
    }
    verdict(&report)
}

/// Stores the report if its bucket can be reached. That it cannot be written there is a finding like any other.
async fn store(run: &Run<'_>, facts: &Facts, report: PrecheckReport) -> Result<PrecheckReport> {
    if facts.backup.reachable.is_err() {
        return Ok(report);
    }
    match run.store.put_json(REPORT, &report).await {
        Ok(()) => Ok(report),
        Err(error) if error.kind.is_retryable() => Err(error),
        Err(error) => {
            let mut findings = report.findings;
            findings.push(rules::cannot_store(facts, &error));
            Ok(PrecheckReport::new(findings))
        }
    }
}

/// What the state machine hears.
fn verdict(report: &PrecheckReport) -> Result<Value> {
    let blockers: Vec<_> = report.blockers().map(|Finding { code, message, .. }| format!("{code} {message}")).collect();
    if !blockers.is_empty() {
        return Err(Error::blocked(blockers.join("; ")));
    }
    let warnings = report.findings.iter().filter(|finding| finding.severity == Severity::Warning).count();
    Ok(json!({"blockers": 0, "warnings": warnings}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use migration::ErrorKind;

    #[test]
    fn warnings_let_a_migration_begin() {
        let mut facts = sample::facts();
        facts.config.target.auth.mode = migration::config::AuthMode::Iam;
        facts.config.backup.kms_key_arn = Some("arn:aws:kms:us-east-1:1:key/k".to_owned());
        assert_eq!(verdict(&rules::judge(&facts)).unwrap(), json!({"blockers": 0, "warnings": 1}));
    }

    #[test]
    fn only_what_may_pass_by_itself_is_asked_again() {
        let mut facts = sample::facts();
        assert_eq!(facts.passing(), None);
        facts.target.reached = Err(Error::blocked("unknown user"));
        facts.backup.reachable = Err(Error::blocked("it does not exist (HTTP 404)"));
        assert_eq!(facts.passing(), None);
        facts.evidence.reachable = Err(Error::transient("S3 answered HTTP 503"));
        let passing = |facts: &Facts| facts.passing().map(|error| error.message);
        assert_eq!(passing(&facts).as_deref(), Some("S3 answered HTTP 503"));
        facts.source.reached = Err(Error::transient("NOT_CONTROLLER"));
        assert_eq!(passing(&facts).as_deref(), Some("NOT_CONTROLLER"));
    }

    #[test]
    fn what_hides_a_blocker_for_a_moment_is_asked_again() {
        let spoilt: [fn(&mut Facts, Error); 5] = [
            |facts, error| sample::arriving(facts).ends.missing = Some((1, error)),
            |facts, error| sample::arriving(facts).brokers = Err(error),
            |facts, error| sample::leaving(facts).sizes = Err(error),
            |facts, error| sample::leaving(facts).permitted.groups.missing = Some((3, error)),
            |facts, error| sample::source(facts).hidden = Err(error),
        ];
        for spoil in spoilt {
            let mut facts = sample::facts();
            spoil(&mut facts, Error::blocked("denied"));
            assert_eq!(facts.passing(), None);
            spoil(&mut facts, Error::transient("timeout"));
            assert_eq!(facts.passing(), Some(Error::transient("timeout")));
        }
        let mut facts = sample::facts();
        let unreachable = kafka::Error::Unreachable { message: "down".to_owned() };
        sample::arriving(&mut facts).refused = [("orders".into(), unreachable)].into();
        assert!(facts.passing().is_some());
        // Nothing that only warns.
        facts = sample::facts();
        sample::leaving(&mut facts).quotas = Err(Error::transient("timeout"));
        assert_eq!(facts.passing(), None);
    }

    #[test]
    fn every_blocker_is_named() {
        let mut facts = sample::facts();
        facts.config.cutover.reverse_replication_enabled = true;
        facts.backup.reachable = Err(Error::blocked("gone"));
        let error = verdict(&rules::judge(&facts)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Blocked);
        assert!(error.message.starts_with("B07 backup S3 bucket 'segments' cannot be used: gone; B13 "), "{error}");
    }
}
