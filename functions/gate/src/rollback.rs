//! Giving a migration up: the target keeps what was copied, the source goes on as before.

use journal::{Freeze, GateName, Side, Verdict};
use migration::{Phase, Result};
use runtime::{Run, secrets};
use serde_json::Value;

use crate::input::ByHand;
use crate::{ends, fence, producers, report};

/// Gives up. Repeated, it lifts a write fence and lets producers go that it could not let go before; what somebody has done
/// `by_hand` is put on record instead.
///
/// # Errors
/// Blocked where there is no way back; those of [`fence::lift`] and of the webhook, with what the operator has to do.
pub(crate) async fn rollback(run: &Run<'_>, reason: Option<String>, by_hand: Option<ByHand>) -> Result<Value> {
    let reason = match reason {
        Some(reason) => reason,
        None => rejection(run).await?,
    };
    run.journal.transition(Phase::RolledBack, &reason).await?;
    ends::stop_tail(run).await?;
    match by_hand {
        Some(ByHand { by }) => done_by_hand(run, &by).await?,
        None => let_go(run).await?,
    }
    // Whoever looks once more for what a function set that was cut off needs them.
    if !fence::may_hold(run).await? {
        secrets::forget_at_end(&run.host().aws, &run.config).await;
    }
    report::rollback(run).await
}

/// Lifts the write fence, and has producers go on.
async fn let_go(run: &Run<'_>) -> Result<()> {
    let version = run.journal.meta().await?.version;
    fence::lift(run, version, "the rollback").await?;
    producers::unfreeze(run, Side::Source).await.map_err(|error| {
        ends::by_hand(
            run,
            "the migration is rolled back, but producers are still FROZEN: roll back again, or let them go by hand",
            error,
        )
    })
}

/// Records that `by` says that both were done by hand.
async fn done_by_hand(run: &Run<'_>, by: &str) -> Result<()> {
    write_fence::lifted_by_hand(&run.journal, by).await?;
    if let Some(freezes) = run.journal.freeze_state().await?.filter(Freeze::may_hold_producers) {
        run.journal.set_unfrozen_by_hand(&freezes, by, run.journal.now()).await?;
    }
    Ok(())
}

/// Why the operator rejected the cutover, as said there.
async fn rejection(run: &Run<'_>) -> Result<String> {
    let gate = run.journal.gate(GateName::Cutover).await?;
    let said = gate.and_then(|gate| gate.decision).filter(|decision| decision.verdict == Verdict::Reject);
    let said = said.map(|decision| decision.reason).filter(|reason| !reason.is_empty());
    Ok(said.unwrap_or_else(|| "rolled back by the operator".to_owned()))
}
