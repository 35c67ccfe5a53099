//! `cutover --rehearse`, and the rehearsal that every cutover begins with.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Utc};
use documents::rehearsal::{self, Finding, Rehearsal, Weight};
use migration::{Config, Error, Phase, Result};

use super::Exit;
use crate::args::RunArgs;
use crate::render;
use crate::session::{Session, Snapshot};

/// Groups that are not brought over, as far as they are named.
const NAMED: usize = 10;

/// Runs `cutover --rehearse`.
pub(super) async fn run(args: &RunArgs) -> Result<Exit> {
    let (session, snapshot) = Session::open(args).await?;
    if snapshot.meta.phase != Phase::DrainReady {
        return Err(super::cutover::out_of_phase(&session, &snapshot, "cutover --rehearse", Phase::DrainReady)?);
    }
    let rehearsal = make(&session, &snapshot).await?;
    if session.console.is_json() {
        session.console.json(&rehearsal)?;
    } else {
        session.console.data(text(&rehearsal));
    }
    match rehearsal.blockers().count() {
        0 => {
            session.console.say(format!("next_command: {}", session.line.command("cutover")));
            Ok(Exit::Done)
        }
        count => {
            session.console.say(format!("a cutover would be refused: {}", blockers(count)));
            Ok(Exit::Failed)
        }
    }
}

/// The rehearsal to go by: the newest, unless it is too old or none was made. Says what differs from the one before.
///
/// # Errors
/// Those of the function and of the bucket.
pub(super) async fn fresh(session: &Session, snapshot: &Snapshot) -> Result<Rehearsal> {
    let config = Config::from_json(&snapshot.meta.config)?;
    let newest = newest(session, snapshot, &config).await?;
    let limit = Duration::from(config.cutover.rehearsal_max_age);
    match newest {
        Some(rehearsal)
            if age(&rehearsal, session.journal().now()) < limit && rehearsal.blockers().next().is_none() =>
        {
            session.console.say(format!(
                "rehearsal {} of {} ago is approved",
                rehearsal.id,
                render::span(age(&rehearsal, session.journal().now()))
            ));
            Ok(rehearsal)
        }
        _ => make(session, snapshot).await,
    }
}

/// Makes a rehearsal, and says what differs from the one before.
async fn make(session: &Session, snapshot: &Snapshot) -> Result<Rehearsal> {
    session.console.say("rehearsing the cutover; producers go on ...");
    let functions = session.functions();
    let outcome = session.patiently("rehearse", || functions.rehearse(session.id())).await?;
    for difference in &outcome.differences {
        session.console.say(format!("otherwise than in the rehearsal before: {difference}"));
    }
    let config = Config::from_json(&snapshot.meta.config)?;
    documents::read(&session.backup(&config), &rehearsal::key(&outcome.rehearsal)).await
}

/// The newest rehearsal, if there is one.
///
/// # Errors
/// Those of the bucket.
pub(super) async fn newest(session: &Session, snapshot: &Snapshot, config: &Config) -> Result<Option<Rehearsal>> {
    let Some(id) = snapshot.meta.facts.get(rehearsal::NEWEST).and_then(|id| id.as_str()) else { return Ok(None) };
    documents::read_if_there(&session.backup(config), &rehearsal::key(id)).await
}

/// The error for a rehearsal that found what stands in the way.
pub(super) fn refused(rehearsal: &Rehearsal) -> Error {
    Error::blocked(format_args!(
        "the cutover is not begun, producers go on: {}\n{}",
        blockers(rehearsal.blockers().count()),
        text(rehearsal)
    ))
}

fn blockers(count: usize) -> String {
    if count == 1 { "there is 1 blocker".to_owned() } else { format!("there are {count} blockers") }
}

fn age(rehearsal: &Rehearsal, now: DateTime<Utc>) -> Duration {
    (now - rehearsal.made_at).to_std().unwrap_or_default()
}

/// A rehearsal as people read it.
pub(super) fn text(rehearsal: &Rehearsal) -> String {
    let Rehearsal { id, made_at, findings, lag, groups, settings, expected, .. } = rehearsal;
    let carried = groups.iter().filter(|group| group.skipped.is_none());
    let (count, offsets) = carried.fold((0, 0), |(count, offsets), group| (count + 1, offsets + group.offsets));
    let mut text = format!(
        "rehearsal {id}, made at {}\n\
         lag: {} records in all, {} on the partition that is furthest behind, of {} partitions\n\
         groups: {count} with {offsets} offsets are brought over, {} are not\n\
         settings: configs of {} topics, quotas of {} entities, {} ACLs\n",
        journal::timestamp(*made_at),
        lag.total,
        lag.largest,
        lag.partitions,
        groups.len() - count,
        settings.configs.len(),
        settings.quotas.len(),
        settings.acls.len()
    );
    for group in groups.iter().filter(|group| group.skipped.is_some()).take(NAMED) {
        let _ = writeln!(text, "  group {} is not: {}", group.group, group.skipped.as_deref().unwrap_or_default());
    }
    let _ = writeln!(text, "expected freeze: {} ms", rehearsal.expected_ms());
    for step in expected {
        let _ = writeln!(text, "  {:<28}{:>8} ms", step.step, step.ms);
    }
    for finding in findings {
        let _ = write!(text, "{}", line(finding));
    }
    if findings.is_empty() {
        text.push_str("nothing stands in the way\n");
    }
    text.truncate(text.trim_end().len());
    text
}

fn line(finding: &Finding) -> String {
    let weight = match finding.weight {
        Weight::Blocker => "BLOCKER",
        Weight::Warning => "WARNING",
        Weight::Info => "INFO",
    };
    let subject = if finding.subject.is_empty() { String::new() } else { format!(" {}", finding.subject) };
    let way_out = if finding.way_out.is_empty() { String::new() } else { format!("\n        {}", finding.way_out) };
    format!("{weight:<8}{}{subject}: {}{way_out}\n", finding.code, finding.message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use documents::rehearsal::{ExpectedStep, Lag, RehearsedGroup};

    #[test]
    fn a_rehearsal_says_what_would_happen_and_what_stands_in_the_way() {
        let group = |name: &str, skipped: Option<&str>| RehearsedGroup {
            group: name.to_owned(),
            skipped: skipped.map(str::to_owned),
            offsets: 3,
            bytes: 300,
        };
        let rehearsal: Rehearsal = serde_json::from_value(serde_json::json!({
            "id": "20261130T084233123Z",
            "migration_id": "m1",
            "made_at": "2026-11-30T08:42:33.123000Z",
            "findings": [Finding {
                weight: Weight::Blocker,
                code: "cutover.tail_not_running".to_owned(),
                subject: "batch 3".to_owned(),
                message: "no function has copied it yet".to_owned(),
                way_out: "raise the concurrency".to_owned(),
            }],
            "lag": Lag { partitions: 9, total: 12, largest: 7 },
            "groups": [group("a", None), group("b", Some("it belongs to MSK"))],
            "settings": {},
            "source": {},
            "expected": [ExpectedStep { step: "drain".to_owned(), ms: 500 }],
        }))
        .unwrap();
        let expected = "\
rehearsal 20261130T084233123Z, made at 2026-11-30T08:42:33.123000Z
lag: 12 records in all, 7 on the partition that is furthest behind, of 9 partitions
groups: 1 with 3 offsets are brought over, 1 are not
settings: configs of 0 topics, quotas of 0 entities, 0 ACLs
  group b is not: it belongs to MSK
expected freeze: 500 ms
  drain                            500 ms
BLOCKER cutover.tail_not_running batch 3: no function has copied it yet
        raise the concurrency";
        assert_eq!(text(&rehearsal), expected);
        assert!(
            refused(&rehearsal).message.starts_with("the cutover is not begun, producers go on: there is 1 blocker")
        );
    }
}
