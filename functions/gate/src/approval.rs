//! What a cutover is approved by: its newest rehearsal, while it is young and nothing in it stands in the way.

use std::time::Duration;

use chrono::{DateTime, Utc};
use documents::Rehearsal;
use documents::rehearsal::{self, NEWEST};
use migration::config::Span;
use migration::{Error, Result};
use runtime::Run;

/// Blockers that are named.
const NAMED: usize = 5;

/// The rehearsal that an approval is about: `named`, or the newest.
///
/// # Errors
/// Blocked, with the way out, when there is none, when another is the newest, and when it is too old or has blockers;
/// otherwise those of the bucket.
pub(crate) async fn rehearsal(run: &Run<'_>, named: Option<&str>) -> Result<String> {
    let newest = run.meta.facts.get(NEWEST).and_then(|id| id.as_str());
    let id = choose(newest, named).map_err(|why| refused(run, &why))?;
    let rehearsal: Rehearsal = documents::read(&run.store, &rehearsal::key(id)).await?;
    judge(&rehearsal, run.journal.now(), run.config.cutover.rehearsal_max_age).map_err(|why| refused(run, &why))?;
    Ok(id.to_owned())
}

fn refused(run: &Run<'_>, why: &str) -> Error {
    Error::blocked(format_args!(
        "the cutover is not approved: {why}; run msk-kraft cutover --rehearse --migration-id {}",
        run.id
    ))
}

/// The rehearsal that is meant.
///
/// # Errors
/// Why none can be.
fn choose<'a>(newest: Option<&'a str>, named: Option<&str>) -> std::result::Result<&'a str, String> {
    let newest = newest.ok_or("it was not rehearsed")?;
    match named {
        Some(named) if named != newest => {
            Err(format!("the rehearsal {named} is not the newest any more, {newest} is: look at that one"))
        }
        _ => Ok(newest),
    }
}

/// Whether `rehearsal` allows a cutover at `now`.
///
/// # Errors
/// Why it does not.
fn judge(rehearsal: &Rehearsal, now: DateTime<Utc>, most: Span) -> std::result::Result<(), String> {
    let age = (now - rehearsal.made_at).to_std().unwrap_or_default();
    if age > Duration::from(most) {
        return Err(format!(
            "the rehearsal {} is {} old, and cutover.rehearsal_max_age is {most}",
            rehearsal.id,
            Span::from_secs(age.as_secs())
        ));
    }
    let blockers: Vec<_> = rehearsal.blockers().collect();
    if blockers.is_empty() {
        return Ok(());
    }
    let mut named: Vec<_> = blockers
        .iter()
        .take(NAMED)
        .map(|found| format!("{}: {} ({})", found.subject, found.message, found.way_out))
        .collect();
    if blockers.len() > NAMED {
        named.push(format!("and {} more", blockers.len() - NAMED));
    }
    Err(format!("the rehearsal {} found what stands in the way: {}; when that is done", rehearsal.id, named.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use documents::rehearsal::{Finding, Lag, Weight};

    pub(crate) fn made(seconds_ago: i64, blockers: usize) -> Rehearsal {
        let finding = |weight, number: usize| Finding {
            weight,
            code: "cutover.x".to_owned(),
            subject: format!("group g{number}"),
            message: "is alive".to_owned(),
            way_out: "stop it".to_owned(),
        };
        let blockers = (0..blockers).map(|number| finding(Weight::Blocker, number));
        Rehearsal {
            id: "r1".to_owned(),
            migration_id: "m1".parse().unwrap(),
            made_at: DateTime::from_timestamp(10_000 - seconds_ago, 0).unwrap(),
            findings: blockers.chain([finding(Weight::Warning, 99)]).collect(),
            lag: Lag::default(),
            groups: Vec::new(),
            settings: documents::Settings::default(),
            source: documents::SettingsFound::default(),
            expected: Vec::new(),
        }
    }

    #[test]
    fn the_newest_rehearsal_is_the_one_that_counts() {
        assert_eq!(choose(Some("r2"), None), Ok("r2"));
        assert_eq!(choose(Some("r2"), Some("r2")), Ok("r2"));
        assert!(choose(Some("r2"), Some("r1")).unwrap_err().contains("r1 is not the newest any more, r2 is"));
        for named in [None, Some("r1")] {
            assert_eq!(choose(None, named), Err("it was not rehearsed".to_owned()));
        }
    }

    #[test]
    fn a_rehearsal_allows_a_cutover_while_it_is_young_and_found_nothing_in_the_way() {
        let now = DateTime::from_timestamp(10_000, 0).unwrap();
        let most = Span::from_secs(900);
        for (seconds_ago, blockers, says) in [
            (0, 0, None),
            (900, 0, None),
            (-120, 0, None),
            (901, 0, Some("r1 is 901s old, and cutover.rehearsal_max_age is 15m")),
            (5, 1, Some("group g0: is alive (stop it)")),
            (5, 7, Some("and 2 more")),
        ] {
            let judged = judge(&made(seconds_ago, blockers), now, most);
            match says {
                None => assert_eq!(judged, Ok(()), "{seconds_ago}"),
                Some(says) => assert!(judged.clone().unwrap_err().contains(says), "{judged:?}"),
            }
        }
    }
}
