//! Letting an execution in.

use journal::{Claimed, Created, FreezeState, Meta, NewRun, Side, TailWanted};
use migration::message::Entered;
use migration::{Config, Error, MigrationId, Phase, Result};
use runtime::{Host, Run};
use serde_json::{Value, json};

use crate::{handler, producers};

/// Creates the migration from `config`, or finds where it goes on.
///
/// # Errors
/// Invalid when `config` cannot be used or is not the one the migration was started with.
pub(crate) async fn enter(host: &Host, id: &MigrationId, config: Option<Value>) -> Result<Value> {
    if let Some(config) = config {
        create(host, id, &Config::from_json(&config)?).await?;
    }
    let run = host.load(id).await?;
    let execution = run.journal.begin_execution().await?;
    let phase = go_on(&run).await?;
    clear_stops(&run).await?;
    tracing::info!(%id, execution, %phase, "execution entered");
    run.journal.set_tail_wanted(TailWanted::Run).await?;
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
        Created::Exists(meta) => Err(handler::fingerprint_mismatch(id, &meta.fingerprint, &new.fingerprint)),
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
async fn go_on(run: &Run<'_>) -> Result<Phase> {
    let Meta { phase, committed, .. } = run.meta;
    if phase == Phase::Failed {
        run.journal.resume_from_failed().await?;
    } else if phase == Phase::DrainReady || (phase == Phase::Cutover && !committed) {
        run.journal.transition(Phase::Tail, &format!("resumed from {phase}")).await?;
    }
    let now = run.journal.meta().await?.phase;
    let frozen = run.journal.freeze_state().await?.is_some_and(|freeze| freeze.state() == FreezeState::Frozen);
    if frozen && !committed {
        producers::unfreeze(run, Side::Source).await?;
    }
    match now {
        Phase::Planned => Ok(Phase::Precheck),
        Phase::Failed => Err(Error::internal("a resumed migration is still failed")),
        other => Ok(other),
    }
}
