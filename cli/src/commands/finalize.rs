//! `finalize`: validation and evidence.

mod exceptions;
mod summary;

use journal::{Decision, GateName};
use migration::report::ValidationReport;
use migration::{Config, Phase, Result};

use super::cutover::out_of_phase;
use super::{Exit, decide, resume};
use crate::args::FinalizeArgs;
use crate::follow::{self, Follower, Moment};
use crate::naming;
use crate::session::{Session, Snapshot};
use summary::Figures;

/// Runs the verb.
pub(super) async fn run(args: &FinalizeArgs) -> Result<Exit> {
    let (session, snapshot) = Session::open(&args.run).await?;
    session.events().await?;
    let meta = &snapshot.meta;
    match meta.phase {
        Phase::Finalized => {
            if !args.accept.is_empty() {
                session.console.say("nothing can be accepted any more: the evidence is signed");
            }
            tell_evidence(&session, &snapshot).await?;
            follow::conclude(&session, &snapshot)?;
            return Ok(Exit::Done);
        }
        Phase::Validating => {}
        Phase::Failed if meta.failed_in == Some(Phase::Validating) => {}
        _ => return Err(out_of_phase(&session, &snapshot, "finalize", Phase::Validating)?),
    }
    look_at_key(&session).await?;
    accept(&session, args).await?;
    let mut follower = match resume::running(&session, &snapshot).await? {
        Some(follower) => follower,
        None => Follower::start(&session, Some(&snapshot)).await?,
    };
    decide::when_armed(&session, &mut follower, GateName::Finalize, &Decision::approve("")).await?;
    let reached = |moment: &Moment| match moment.phase() {
        Phase::Finalized => Some(Exit::Done),
        Phase::Failed if moment.current => Some(Exit::Failed),
        _ => None,
    };
    let (exit, moment) = follower.until(reached).await?;
    match exit {
        Exit::Done => {
            tell_report(&session, &moment.snapshot, |report, figures| {
                std::iter::once(summary::line(report, figures)).chain(exceptions::accepted(report)).collect()
            })
            .await;
            tell_evidence(&session, &moment.snapshot).await?;
        }
        _ => {
            resume::tell_failure(&session, &mut follower, &moment).await?;
            tell_report(&session, &moment.snapshot, |report, _| exceptions::ways_out(report, &session.line)).await;
        }
    }
    follower.conclude(&moment.snapshot)?;
    Ok(exit)
}

/// Looks at the key that is to sign before anything is compared: it would be missed at the very end.
///
/// # Errors
/// Blocked when it cannot be used.
async fn look_at_key(session: &Session) -> Result<()> {
    if session.functions().signing_key(session.id()).await?.is_demo() {
        session.console.say(
            "note: the evidence will be signed with the public demonstration key, which proves nothing about who signed \
             (evidence.signing_key_path)",
        );
    }
    Ok(())
}

/// Records what is accepted, before the validation that finds it.
///
/// # Errors
/// Those of the function.
async fn accept(session: &Session, args: &FinalizeArgs) -> Result<()> {
    let (false, Some(reason)) = (args.accept.is_empty(), &args.reason) else { return Ok(()) };
    let by = naming::operator();
    session.functions().accept(session.id(), &args.accept, reason, &by).await?;
    for what in &args.accept {
        session.console.say(format!("accepted by {by}: {what}"));
    }
    Ok(())
}

/// Says what `lines` make of the validation's report. That it cannot be read is no reason to fail: the journal has the verdict.
async fn tell_report(
    session: &Session,
    snapshot: &Snapshot,
    lines: impl Fn(&ValidationReport, &Figures) -> Vec<String>,
) {
    match exceptions::report(session, snapshot).await {
        Ok(Some((report, figures))) => lines(&report, &figures).into_iter().for_each(|line| session.console.say(line)),
        Ok(None) => {}
        Err(error) => session.console.say(format!("the validation's report cannot be read: {error}")),
    }
}

/// Says where the evidence lies: as the journal tells, else where it goes by rule.
async fn tell_evidence(session: &Session, snapshot: &Snapshot) -> Result<()> {
    let fact = snapshot.meta.facts.get("evidence").and_then(|fact| fact.as_str()).map(str::to_owned);
    let url = match fact {
        Some(url) => url,
        None => {
            let events = session.events().await?;
            let by_rule = || {
                Ok::<_, migration::Error>(session.host.evidence(&config(snapshot)?, session.id()).url("evidence.json"))
            };
            match events.last().and_then(|event| s3_url(&event.reason)) {
                Some(url) => url.to_owned(),
                None => by_rule()?,
            }
        }
    };
    session.console.say(format!("evidence: {url}"));
    session.forget_secrets(&config(snapshot)?).await;
    Ok(())
}

fn config(snapshot: &Snapshot) -> Result<Config> {
    Config::from_json(&snapshot.meta.config)
}

/// The first `s3://` address in `text`.
fn s3_url(text: &str) -> Option<&str> {
    let from = &text[text.find("s3://")?..];
    let end = from.find(|c: char| c.is_whitespace() || matches!(c, ')' | ',' | ';' | '"')).unwrap_or(from.len());
    Some(&from[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_evidences_address_is_found_in_a_reason() {
        assert_eq!(s3_url("uploaded to s3://b/m/evidence.json (validation=PASSED)"), Some("s3://b/m/evidence.json"));
        assert_eq!(s3_url("(evidence at s3://b/e.json)"), Some("s3://b/e.json"));
        assert_eq!(s3_url("nothing"), None);
    }
}
