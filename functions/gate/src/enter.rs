//! Letting an execution in.

use journal::{Claimed, Created, Freeze, NewRun, Side, TailWanted};
use migration::message::Entered;
use migration::{Config, Error, MigrationId, Phase, Result};
use runtime::{Host, Run};
use serde_json::{Value, json};

use crate::{ends, fence, producers};

/// Creates the migration from `config`, or finds where it goes on.
///
/// # Errors
/// Invalid when `config` cannot be used or is not the one the migration was started with; those of the webhook when producers
/// that an earlier execution froze cannot be let go.
pub(crate) async fn enter(host: &Host, id: &MigrationId, config: Option<Value>) -> Result<Value> {
    if let Some(config) = config {
        create(host, id, &Config::from_json(&config)?).await?;
    }
    let run = host.load(id).await?;
    run.journal.register().await?;
    let execution = run.journal.begin_execution().await?;
    let phase = go_on(&run).await?;
    clear_stops(&run).await?;
    tracing::info!(%id, execution, %phase, "execution entered");
    run.journal.set_tail_wanted(TailWanted::Run, execution).await?;
    Ok(json!(Entered {
        migration_id: id.clone(),
        phase,
        bucket: run.store.bucket().to_owned(),
        manifest: run.store.key("manifests/batches.json"),
        copy_functions: runtime::run::copy_functions(&run.config),
        freeze_reaction_seconds: run.config.cutover.freeze_reaction_timeout.as_secs(),
        freeze_limit_seconds: run.config.cutover.max_producer_freeze.as_secs(),
    }))
}

async fn create(host: &Host, id: &MigrationId, config: &Config) -> Result<()> {
    let new = NewRun { config: config.to_json(), fingerprint: config.fingerprint() };
    match host.journal(id).create(&new).await? {
        Created::New(_) => Ok(()),
        Created::Exists(meta) if meta.fingerprint == new.fingerprint => host.journal(id).set_config(&new.config).await,
        Created::Exists(meta) => Err(fingerprint_mismatch(id, &meta.fingerprint, &new.fingerprint)),
    }
}

/// Forgets why partitions stopped: a new execution tries them again. Taking their batch over also ends whatever an
/// earlier execution left running there.
async fn clear_stops(run: &Run<'_>) -> Result<()> {
    if !run.meta.facts.contains_key("batches") {
        return Ok(());
    }
    for (batch, partitions) in run.journal.progress(run.batches()?).await? {
        if partitions.iter().all(|progress| progress.stopped.is_none()) {
            continue;
        }
        let Claimed { mut lease, mut partitions, tail_next } = run.journal.claim(batch, "enter").await?;
        partitions.iter_mut().for_each(|progress| progress.stopped = None);
        run.journal.checkpoint(&mut lease, &partitions, tail_next).await?;
    }
    Ok(())
}

/// The phase to go on with. Lag and fence are proven again: what stopped behind the seed and before the first commit
/// goes on with the tail, with producers writing to the source.
///
/// Producers are never forgotten. A run that failed stays failed until they are let go; one that waited at the cutover, or was
/// in it, leaves that phase first, so that a function that still runs cannot pass the point of no return, and fails when they
/// cannot be let go. Entering again tries again.
async fn go_on(run: &Run<'_>) -> Result<Phase> {
    let was = run.meta.phase;
    if matches!(was, Phase::DrainReady | Phase::Cutover) && !run.meta.committed {
        run.journal.transition(Phase::Tail, &format!("resumed from {was}")).await?;
    }
    if !run.meta.committed {
        // Also where producers are not held: a function that was late may have set rules behind the last removal.
        let version = run.journal.meta().await?.version;
        fence::lift(run, version, "another execution").await?;
        let_go(run).await?;
    }
    run.journal.resume_from_failed().await?;
    match run.journal.meta().await?.phase {
        Phase::Planned => Ok(Phase::Precheck),
        Phase::Failed => Err(Error::internal("a resumed migration is still failed")),
        other => Ok(other),
    }
}

/// Lets producers go on against the source when an earlier execution left them frozen.
async fn let_go(run: &Run<'_>) -> Result<()> {
    let left = run.journal.freeze_state().await?.filter(Freeze::may_hold_producers);
    if left.is_none() {
        return Ok(());
    }
    let Err(error) = producers::unfreeze(run, Side::Source).await else { return Ok(()) };
    let error = ends::by_hand(
        run,
        "producers are still FROZEN since the cutover that was given up: let them go by hand, or resume again when the webhook \
         answers",
        error,
    );
    // What passes is tried again by the state machine; a migration that was given up stays so.
    if !error.kind.is_retryable() && !run.meta.phase.is_terminal() {
        run.journal.fail(&format!("{}: {}", error.kind, error.message)).await?;
    }
    Err(error)
}

fn fingerprint_mismatch(id: &MigrationId, stored: &str, given: &str) -> Error {
    Error::invalid(format_args!(
        "resume fingerprint mismatch: migration {id} was started with fingerprint {stored}, this configuration has {given}. \
         The clusters, buckets and selected topics of a migration cannot change; use the configuration it was started with, or another id"
    ))
}
