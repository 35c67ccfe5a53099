//! The gate `freeze`: asking for the freeze of producers, by the webhook or at an operator's terminal.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clock::{Backoff, RetryPolicy};
use journal::{AskedFreeze, Decision, Freeze, FreezeHow, GateName, GateState, Token, Verdict, WebhookCall, timestamp};
use migration::{Error, Phase, Result};
use runtime::secrets::WebhookName;
use runtime::{Budget, Run};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::webhook::{self, Fault, Webhook};
use crate::{decide, producers};

/// First and longest pause before a call that did not get there is made again.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Most that a call ends before the gate does, so that it is the call that says why there is no freeze.
const MARGIN: Duration = Duration::from_secs(5);

/// Opens the gate and asks for the freeze. It is decided here when the webhook says that producers are frozen. Without a
/// webhook, and when it promises to acknowledge later, somebody else decides.
///
/// # Errors
/// Unsafe while partitions are stopped; Blocked when the webhook cannot be reached, refuses, or sends elsewhere; Deadline when
/// it does not answer in time.
pub(crate) async fn open(run: &Run<'_>, token: &Token, budget: Budget) -> Result<Value> {
    // A cutover would be refused; better before producers stop than after.
    runtime::run::refuse_stopped(&run.all_partitions().await?)?;
    let webhook = Webhook::of(run, WebhookName::Freeze).await?;
    run.journal.transition(Phase::Cutover, "the operator started the cutover").await?;
    let gate = run.journal.open(GateName::Freeze, token, None).await?;
    if gate.state != GateState::Open {
        return Ok(json!({"frozen": "decided already"}));
    }
    let last = run.journal.freeze_state().await?;
    let at = producers::asked_at(run.journal.now(), last.as_ref().map(|freeze| freeze.current().last_call()));
    let (how, whom) = match &webhook {
        Some(_) => (FreezeHow::Webhook, "webhook"),
        None => (FreezeHow::Operator, "operator"),
    };
    // Before anybody is asked: some may stop at once, and whoever gives the cutover up has to know.
    let asked = run.journal.ask_freeze(at, how, whom).await?;
    if let Some(since) = asked.freeze.frozen_since() {
        // An opening before this one got as far as that; nobody has let them go since.
        let reason = format!("frozen since {}", timestamp(since));
        decide::decide(run.host(), &run.id, GateName::Freeze, Decision::approve(reason), &asked.freeze.current().by)
            .await?;
        return Ok(json!({"frozen": "confirmed before"}));
    }
    if time_left(run, &asked.freeze).is_zero() {
        return Err(too_late(run, &asked.freeze));
    }
    let Some(webhook) = webhook else { return Ok(json!({"frozen": "by operator"})) };
    let answer = ask(run, &webhook, &asked, budget).await?;
    Ok(json!({"frozen": "by webhook", "answer": answer}))
}

/// Asks the webhook, and decides the gate when it says that producers are frozen.
async fn ask(run: &Run<'_>, webhook: &Webhook, asked: &AskedFreeze, budget: Budget) -> Result<&'static str> {
    let asked_at = asked.freeze.current().asked_at;
    let body = json!({"action": "freeze", "migration_id": run.id, "asked_at": timestamp(asked_at)});
    let until = Instant::now() + time_left(run, &asked.freeze).min(budget.left());
    refuse_given_up(run, asked).await?;
    let (outcome, call) = until_it_hears(run, webhook, &body, until).await;
    let heard = outcome.as_ref().err().is_none_or(Fault::may_have_reached);
    let answer = match outcome {
        Ok(202) => Ok("will be acknowledged"),
        Ok(_) if is_superseded(run, asked_at).await? => Err(Error::blocked(
            "the webhook answered to a freeze that was given up, and producers were asked for another one meanwhile: that one is not \
             confirmed by it",
        )),
        Ok(_) => {
            let decision = Decision::approve("the webhook froze the producers");
            decide::decide(run.host(), &run.id, GateName::Freeze, decision, "webhook").await.map(|_| "done")
        }
        Err(fault) => {
            // An opening before this one may have reached it.
            let nobody = asked.begun && !heard;
            let mut error = fault.into_error(webhook.title(), webhook::action(&body));
            if nobody {
                run.journal.set_not_reached(asked_at).await?;
                error.message.push_str("; nobody was asked to stop");
            }
            Err(error)
        }
    };
    webhook::remember(run, &call).await;
    // A later freeze wants them to stand still, and ends for itself.
    if heard && is_given_up(run).await? && !is_superseded(run, asked_at).await? {
        // They were let go while the webhook still froze them.
        producers::let_go_again(run, webhook).await?;
    }
    answer
}

/// Whether the cutover was given up, or its freeze rejected, since the gate was opened.
async fn is_given_up(run: &Run<'_>) -> Result<bool> {
    let meta = run.journal.meta().await?;
    let decision = run.journal.gate(GateName::Freeze).await?.and_then(|gate| gate.decision);
    let rejected = decision.is_some_and(|decision| decision.verdict == Verdict::Reject);
    Ok(!meta.committed && (rejected || meta.phase != Phase::Cutover))
}

/// Whether another freeze than the one of `asked_at` is under way.
async fn is_superseded(run: &Run<'_>, asked_at: DateTime<Utc>) -> Result<bool> {
    let freeze = run.journal.freeze_state().await?;
    Ok(freeze.is_some_and(|freeze| freeze.current().asked_at != asked_at && freeze.may_hold_producers()))
}

/// The gate was opened again when the time for the freeze was over.
fn too_late(run: &Run<'_>, freeze: &Freeze) -> Error {
    Error::deadline(format_args!(
        "producers were asked to stop at {}, and nobody confirmed within cutover.freeze_reaction_timeout of {} that they did",
        timestamp(freeze.current().asked_at),
        run.config.cutover.freeze_reaction_timeout
    ))
}

/// Asks nobody to stop for a cutover that was given up since its gate was opened.
async fn refuse_given_up(run: &Run<'_>, asked: &AskedFreeze) -> Result<()> {
    let phase = run.journal.meta().await?.phase;
    if phase == Phase::Cutover {
        return Ok(());
    }
    if asked.begun {
        run.journal.set_not_reached(asked.freeze.current().asked_at).await?;
    }
    Err(Error::blocked(format_args!(
        "the cutover was given up, the migration is in phase {phase}: producers are not frozen"
    )))
}

/// How long the webhook may still take.
fn time_left(run: &Run<'_>, freeze: &Freeze) -> Duration {
    let limit = Duration::from(run.config.cutover.freeze_reaction_timeout);
    let spent = freeze.current().reaction(run.journal.now());
    limit.saturating_sub(MARGIN.min(limit / 10)).saturating_sub(spent)
}

/// Calls until the webhook answers, or may have heard, and returns the last call. What did not get there is tried again
/// while there is time.
async fn until_it_hears(
    run: &Run<'_>,
    webhook: &Webhook,
    body: &Value,
    until: Instant,
) -> (Result<u16, Fault>, WebhookCall) {
    let left = || until.saturating_duration_since(Instant::now());
    let mut backoff = Backoff::new(RetryPolicy { initial: PAUSES.0, max: PAUSES.1, deadline: left() });
    loop {
        let (outcome, call) = webhook.call(run.journal.now(), body, left()).await;
        let again = outcome.as_ref().is_err_and(Fault::may_pass) && backoff.pause().await;
        if !again {
            return (outcome, call);
        }
        webhook::remember(run, &call).await;
        tracing::warn!("the webhook is asked again");
    }
}
