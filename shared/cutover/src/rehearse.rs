//! The rehearsal: everything that could keep a cutover from succeeding is tried or decided while producers go on. It changes
//! nothing on topics and groups of either cluster; what it writes to the source is that the migration's transactional id is taken
//! into use, and under a write fence for a moment an ACL on a topic that does not exist.

mod copy;
mod differences;
mod estimate;
mod findings;
mod groups;
mod read_again;
mod replicas;
mod target;
mod transactions;
mod write_fence;

use chrono::{DateTime, TimeDelta, Utc};
use documents::PutOnce;
use documents::rehearsal::{self, DIFFERS, NEWEST, Rehearsal, Weight};
use migration::{Error, ErrorKind, Phase, Result};
use runtime::Run;
use serde::Serialize;
use serde_json::{Value, json};
use topology::{lockout, settings};

use crate::live::approved;
use estimate::Stopwatch;
use findings::{Findings, code};

pub use differences::differences;
pub use findings::table;

/// Differences that are put on record.
const LINES: usize = 20;

/// What became of a rehearsal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rehearsed {
    /// Whether producers may be asked to stop.
    pub go: bool,
    /// Its id.
    pub rehearsal: String,
    /// What is otherwise than in the one that was approved, or that was the newest before.
    pub differences: Vec<String>,
}

/// Rehearses the cutover of `run` and stores what was found. `signing_key` is what is wrong with the key of the evidence, as far
/// as whoever asks knows.
///
/// # Errors
/// Blocked when the run is not at `drain_ready`; otherwise when a cluster or AWS cannot be asked.
pub async fn rehearse(run: &Run<'_>, signing_key: Option<String>) -> Result<(Rehearsal, Rehearsed)> {
    let before = newest(run).await?;
    let rehearsal = store(run, find(run, signing_key).await?).await?;
    let differences = before.map(|before| differences(&before, &rehearsal)).unwrap_or_default();
    let go = rehearsal.blockers().next().is_none();
    let outcome = Rehearsed { go, rehearsal: rehearsal.id.clone(), differences };
    Ok((rehearsal, outcome))
}

/// The last look before producers are asked to stop: rehearses again, and compares with what was approved. What differs is put on
/// record, or why there was no comparison, and the operator is asked again.
///
/// # Errors
/// As [`rehearse`]; Blocked too when nothing was approved.
pub async fn confirm(run: &Run<'_>) -> Result<Rehearsed> {
    // An invocation that dies says nothing any more, and what an earlier one found is not why.
    differs(run, None, &["the look at it did not end, see the logs of the function cutover".to_owned()]).await?;
    let outcome = compare(run).await;
    match &outcome {
        Ok(Rehearsed { go: true, .. }) => run.journal.set_fact(DIFFERS, &Value::Null).await?,
        Ok(_) => {}
        Err(error) => {
            let line = format!("it could not be looked at again: {}: {error}", error.kind);
            if let Err(unsaid) = differs(run, None, &[line]).await {
                tracing::warn!(%unsaid, "why a rehearsal failed is not on record");
            }
        }
    }
    outcome
}

async fn compare(run: &Run<'_>) -> Result<Rehearsed> {
    let id = approved(run).await?;
    let approved: Rehearsal = documents::read(&run.store, &rehearsal::key(&id)).await?;
    let now = find(run, None).await?;
    let mut differences = differences(&approved, &now);
    let allowed = run.config.cutover.drain_max_partition_lag;
    if now.lag.largest > allowed.saturating_mul(10) {
        differences.push(format!(
            "{} records of one partition are not copied yet, cutover.drain_max_partition_lag is {allowed}: the freeze would last as \
             long as they take",
            now.lag.largest
        ));
    }
    let age = run.journal.now() - approved.made_at;
    let is_old = age > age_limit(run);
    let blocked = now.blockers().next().is_some();
    if differences.is_empty() && !blocked && !is_old {
        return Ok(Rehearsed { go: true, rehearsal: id, differences });
    }
    let now = store(run, now).await?;
    // An old one that finds the same again is good.
    let go = differences.is_empty() && !blocked;
    if !go {
        let lines = if differences.is_empty() { vec!["there are blockers".to_owned()] } else { differences.clone() };
        differs(run, Some(&now.id), &lines).await?;
    }
    Ok(Rehearsed { go, rehearsal: id, differences })
}

/// Puts on record why producers were not asked to stop: `lines` differ from what was approved in the rehearsal `now`, if one was
/// made.
async fn differs(run: &Run<'_>, now: Option<&str>, lines: &[String]) -> Result<()> {
    // Facts share one item of the journal; all of them are in the stored rehearsals.
    let more = lines.len().saturating_sub(LINES);
    let more = (more > 0).then(|| format!("and {more} more, see msk-kraft cutover --rehearse"));
    let lines: Vec<_> = lines.iter().take(LINES).cloned().chain(more).collect();
    run.journal.set_fact(DIFFERS, &json!({"rehearsal": now, "differences": lines})).await
}

fn age_limit(run: &Run<'_>) -> TimeDelta {
    TimeDelta::seconds(i64::try_from(run.config.cutover.rehearsal_max_age.as_secs()).unwrap_or(i64::MAX / 1000))
}

/// The newest rehearsal of `run`, if there is one.
///
/// # Errors
/// Those of the bucket.
pub async fn newest(run: &Run<'_>) -> Result<Option<Rehearsal>> {
    let meta = run.journal.meta().await?;
    let Some(id) = meta.facts.get(NEWEST).and_then(|fact| fact.as_str()) else { return Ok(None) };
    documents::read_if_there(&run.store, &rehearsal::key(id)).await
}

/// Stores a rehearsal under an id of its own and makes it the newest.
async fn store(run: &Run<'_>, mut rehearsal: Rehearsal) -> Result<Rehearsal> {
    while documents::write_new(&run.store, &rehearsal::key(&rehearsal.id), &rehearsal).await? == PutOnce::Taken {
        rehearsal.made_at += TimeDelta::milliseconds(1);
        rehearsal.id = id(rehearsal.made_at);
    }
    run.journal.set_fact(NEWEST, &json!(rehearsal.id)).await?;
    Ok(rehearsal)
}

/// Sorts by time, and is a name in a URL and in a command.
fn id(at: DateTime<Utc>) -> String {
    at.format("%Y%m%dT%H%M%S%3fZ").to_string()
}

/// Looks at everything.
async fn find(run: &Run<'_>, signing_key: Option<String>) -> Result<Rehearsal> {
    if run.meta.phase != Phase::DrainReady {
        return Err(Error::blocked(format_args!(
            "a cutover is rehearsed at drain_ready; the migration is in phase {}",
            run.meta.phase
        )));
    }
    let (source, target) = tokio::try_join!(run.source(), run.target())?;
    let mut findings = Findings::default();
    let mut watch = Stopwatch::default();
    if let Some(problem) = signing_key {
        findings.block(code::SIGNING_KEY, "evidence.signing_key_path", problem, "give the evidence function the key");
    }
    let state = watch.time("read the progress", copy::look(run, &source, &mut findings)).await?;
    watch.time("prove the fence", transactions::look(run, &source, &state, &mut findings)).await?;
    watch.time("set the write fence", write_fence::look(run, &source, &state.topics(), &mut findings)).await?;
    let batches = run.batches()?;
    let read_again = read_again::look(run, &source, &batches, &state.progress, &mut findings);
    watch.time("look at what was read again", read_again).await?;
    let replicas = replicas::look(run, &source, &target, &state.names, &mut findings);
    let (no_markers, min_insync_replicas) = watch.time("look at replicas", replicas).await?;
    watch.time("check the target", target::look(run, &target, &state, &mut findings)).await?;
    let look = groups::look(run, &source, &target, &state, &mut findings, &mut watch);
    let (groups, coordinators) = look.await?;
    let decision = settings::decide(run, &source, &target);
    let settings::Decision { settings, found, warnings, refusals } =
        watch.time("decide configs, quotas and ACLs", decision).await?;
    for refusal in refusals {
        findings.push(refusal.into());
    }
    for warning in warnings {
        findings.add(Weight::Warning, code::NOT_BROUGHT_OVER, "", warning, "");
    }
    let topics = state.topics();
    if let Err(error) = lockout::refuse(run, &target, topics.iter()).await {
        findings.block(code::LOCKED_OUT, "target.auth", refusal(error)?.message, "");
    }
    let made_at = run.journal.now();
    let expected = estimate::expected(run, &watch, &state, &groups, &settings);
    estimate::judge(&expected, run.config.cutover.max_producer_freeze.into(), &mut findings);
    Ok(Rehearsal {
        id: id(made_at),
        migration_id: run.id.clone(),
        made_at,
        findings: findings.sorted(),
        lag: state.lag,
        groups,
        settings,
        source: found,
        no_markers,
        min_insync_replicas,
        coordinators,
        expected,
    })
}

/// A refusal, which is a finding.
///
/// # Errors
/// What is worth another try, and defects.
fn refusal(error: Error) -> Result<Error> {
    match error.kind {
        ErrorKind::Blocked | ErrorKind::Unsafe | ErrorKind::Invalid => Ok(error),
        _ => Err(error),
    }
}
