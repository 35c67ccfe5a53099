//! The write fence on the source: lifted before producers are let go, so that none of them meets it on the way back.
//!
//! It is lifted here, where producers are let go, and not by a state of its own: nothing can come in between, and every way back
//! leads through here. For that the gate function reaches the source, when there is a fence.

use documents::FenceRules;
use journal::{Meta, WriteFence};
use migration::config;
use migration::{Error, ErrorKind, Phase, Result};
use runtime::{Run, clusters};
use serde_json::{Value, json};
use write_fence::live::LiveAcls;
use write_fence::ports::Acls;
use write_fence::{Lift, Lifted, commands};

/// Lifts the fence of a cutover that began before the run's `version`, if there may be one. The source is not asked otherwise.
///
/// # Errors
/// Fenced when the fence is that of a later cutover; those of the source, with the commands that do it by hand; those of the journal and of the bucket.
pub(crate) async fn lift(run: &Run<'_>, version: u64, by: &str) -> Result<Lifted> {
    let connect = async || LiveAcls::of_source(run).await;
    match write_fence::lift(connect, &run.journal, &run.store, Lift { version, by }).await {
        Ok(lifted) => {
            if let Lifted::Rules(rules) = lifted {
                tracing::info!(run = %run.id, rules, by, "write fence lifted");
            }
            Ok(lifted)
        }
        Err(error) if error.kind == ErrorKind::Fenced => Err(error),
        Err(error) => Err(by_hand(run, error).await),
    }
}

/// Whether rules of a fence may be on the source.
///
/// # Errors
/// Those of the journal.
pub(crate) async fn may_hold(run: &Run<'_>) -> Result<bool> {
    Ok(run.journal.write_fence().await?.is_some_and(|stored| stored.fence.may_hold()))
}

/// Lifts the fence that stands behind the point of no return, or records that `by` has done so by hand.
///
/// # Errors
/// Blocked before it, where every way back lifts the fence; otherwise as [`lift`].
pub(crate) async fn unfence(run: &Run<'_>, by: &str, by_hand: bool) -> Result<Value> {
    if !is_cut_over(&run.meta) {
        return Err(Error::blocked(too_early(&run.meta)));
    }
    if by_hand {
        write_fence::lifted_by_hand(&run.journal, by).await?;
        return Ok(json!({"rules": 0}));
    }
    let rules = match lift(run, run.meta.version, by).await? {
        Lifted::Nothing => 0,
        Lifted::Rules(rules) => rules,
    };
    Ok(json!({"rules": rules}))
}

/// Why the fence is not to be lifted yet, and what does it.
fn too_early(meta: &Meta) -> String {
    let phase = meta.phase;
    if meta.committed {
        return format!(
            "the migration is in phase {phase}: offsets are committed on the target, and its cutover goes forward under the write \
             fence. resume completes it, and unfence is for behind it"
        );
    }
    let verb = if phase == Phase::RolledBack { "rollback" } else { "resume or rollback" };
    format!(
        "the migration is in phase {phase}, before its point of no return: the write fence belongs to the cutover, and {verb} \
         lifts it"
    )
}

/// Whether clients may be switched, or are.
fn is_cut_over(meta: &Meta) -> bool {
    let phase = meta.failed_in.unwrap_or(meta.phase);
    meta.committed && matches!(phase, Phase::AwaitingClientSwitch | Phase::Validating | Phase::Finalized)
}

/// Looks, before producers are asked to stop, whether the function that will have to lift the fence reaches the source's ACLs.
///
/// # Errors
/// What keeps it from that.
pub(crate) async fn reach(run: &Run<'_>) -> Result<()> {
    if run.config.cutover.write_fence == config::WriteFence::None {
        return Ok(());
    }
    let asked = async { LiveAcls::of_source(run).await?.rules().await };
    asked.await.map(drop).map_err(|error| Error {
        message: format!(
            "the cutover is not approved: under cutover.write_fence acl the gate function lifts the fence, and it cannot ask the \
             source for its ACLs: {}. Let it reach the brokers (subnets, security groups) and read the secrets of source.auth",
            error.message
        ),
        ..error
    })
}

/// `error`, with what it leaves as it is, and the commands by which an operator lifts the fence.
async fn by_hand(run: &Run<'_>, error: Error) -> Error {
    let fence = run.journal.write_fence().await.ok().flatten().map(|stored| stored.fence);
    let stands = fence.as_ref().is_none_or(WriteFence::stands);
    let (what, again, verb) = match (run.meta.committed, stands) {
        (true, _) => (
            "the write fence could NOT be lifted: the source goes on refusing every write",
            "Repeat unfence once the source answers",
            "unfence",
        ),
        (false, true) => (
            "the write fence could NOT be lifted, so that producers stay frozen",
            "Repeat it once the source answers (resume and rollback do)",
            "rollback",
        ),
        (false, false) => (
            "the write fence was lifted, and whether a function that was cut off has set ACLs of it since could NOT be found out",
            "Repeat it once the source answers (resume and rollback do)",
            "rollback",
        ),
    };
    let commands = match &fence {
        Some(fence) => commands(run, fence).await,
        None => None,
    };
    let commands = commands.map_or_else(String::new, |commands| {
        format!(". By hand: {commands}; then `msk-kraft {verb} --by-hand --migration-id {}`", run.id)
    });
    Error { message: format!("{what}: {}. {again}{commands}", error.message), ..error }
}

async fn commands(run: &Run<'_>, fence: &WriteFence) -> Option<String> {
    let rules: FenceRules = documents::read(&run.store, &fence.rules).await.ok()?;
    let servers = clusters::bootstrap_servers(&run.host().aws, &run.config.source).await;
    let servers = servers.unwrap_or_else(|_| "<source bootstrap servers>".to_owned());
    Some(commands::by_hand(&rules, &servers, &run.store.url(&fence.rules)))
}
