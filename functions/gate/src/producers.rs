//! Letting producers go on, and the times that calls of the webhooks carry.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use journal::{Freeze, Side, timestamp};
use migration::Result;
use migration::config::ClusterConfig;
use runtime::secrets::WebhookName;
use runtime::{Run, clusters};
use serde_json::json;

use crate::webhook::{self, Webhook};
use crate::{ends, switch};

/// Longest wait for one answer to an unfreeze: all tries have to fit into one invocation, which may last 15 minutes.
const UNFREEZE_TIMEOUT: Duration = Duration::from_secs(120);

/// Longest wait for the answer to an unfreeze at the end of an invocation that has waited for a freeze.
const LAST_TIMEOUT: Duration = Duration::from_secs(30);

/// Pauses before an unfreeze is tried again. Producers stay frozen if it fails, so one lost request must not decide.
const UNFREEZE_PAUSES: [Duration; 3] = if cfg!(test) {
    [Duration::from_millis(10); 3]
} else {
    [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(9)]
};

/// When a call is made that comes behind those that are on record, whichever host's clock they were made by: a webhook
/// refuses what seems older than what it did last.
pub(crate) fn asked_at(now: DateTime<Utc>, before: impl IntoIterator<Item = DateTime<Utc>>) -> DateTime<Utc> {
    let last = before.into_iter().max();
    last.map_or(now, |last| now.max(last + TimeDelta::microseconds(1)))
}

/// Lets producers write to `towards` when they are frozen, or may be in part; nothing when they are not. Without a webhook
/// only the journal learns of it, and the operator lets them go.
///
/// # Errors
/// Blocked when the webhook refuses or cannot be reached, Deadline when it does not answer.
pub(crate) async fn unfreeze(run: &Run<'_>, towards: Side) -> Result<()> {
    match run.journal.freeze_state().await? {
        Some(freeze) => unfreeze_from(run, &freeze, towards).await,
        None => Ok(()),
    }
}

/// As [`unfreeze`], for the latest of `freezes` and no later one.
///
/// # Errors
/// As [`unfreeze`].
pub(crate) async fn unfreeze_from(run: &Run<'_>, freezes: &Freeze, towards: Side) -> Result<()> {
    if !freezes.may_hold_producers() {
        return Ok(());
    }
    if let Some(webhook) = Webhook::of(run, WebhookName::Freeze).await? {
        let limit = Duration::from(run.config.cutover.freeze_reaction_timeout).min(UNFREEZE_TIMEOUT);
        call(run, &webhook, freezes, towards, limit, &UNFREEZE_PAUSES).await?;
    }
    run.journal.set_unfrozen(freezes, towards, run.journal.now()).await?;
    Ok(())
}

/// Lets producers go on against the source once more: the webhook may have frozen them behind the call that did, since it was
/// still at work then.
///
/// # Errors
/// As [`unfreeze`], with what the operator has to do.
pub(crate) async fn let_go_again(run: &Run<'_>, webhook: &Webhook) -> Result<()> {
    let Some(freeze) = run.journal.freeze_state().await? else { return Ok(()) };
    call(run, webhook, &freeze, Side::Source, LAST_TIMEOUT, &[]).await.map_err(|error| {
        let what = "producers may have been frozen for a cutover that was given up meanwhile, let them go by hand";
        ends::by_hand(run, what, error)
    })?;
    run.journal.set_unfrozen(&freeze, Side::Source, run.journal.now()).await?;
    Ok(())
}

/// Has the webhook let producers go behind `freeze`.
async fn call(
    run: &Run<'_>,
    webhook: &Webhook,
    freeze: &Freeze,
    towards: Side,
    limit: Duration,
    pauses: &[Duration],
) -> Result<()> {
    let cluster = match towards {
        Side::Source => &run.config.source,
        Side::Target => &run.config.target,
    };
    // The switch of the clients comes before they are let go towards the target.
    let before = [Some(freeze.current().last_call()), switch::asked_at(run).await?];
    let body = json!({
        "action": "unfreeze",
        "migration_id": run.id,
        "asked_at": timestamp(asked_at(run.journal.now(), before.into_iter().flatten())),
        "towards": towards.name(),
        "bootstrap_servers": bootstrap_servers(run, cluster).await?,
    });
    call_until_it_agrees(run, webhook, &body, limit, pauses).await
}

/// The bootstrap servers that a webhook is told.
pub(crate) async fn bootstrap_servers(run: &Run<'_>, cluster: &ClusterConfig) -> Result<String> {
    clusters::bootstrap_servers(&run.host().aws, cluster).await
}

/// Calls until the webhook agrees; a webhook has to take a repeated call as one.
async fn call_until_it_agrees(
    run: &Run<'_>,
    webhook: &Webhook,
    body: &serde_json::Value,
    limit: Duration,
    pauses: &[Duration],
) -> Result<()> {
    let mut pauses = pauses.iter();
    loop {
        let (outcome, call) = webhook.call(run.journal.now(), body, limit).await;
        webhook::remember(run, &call).await;
        let Err(fault) = outcome else { return Ok(()) };
        let Some(pause) = pauses.next() else {
            return Err(fault.into_error(webhook.title(), webhook::action(body)));
        };
        tracing::warn!(%fault, "the webhook is asked again");
        tokio::time::sleep(*pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_seems_older_than_the_ones_before() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        assert_eq!(asked_at(at(7), None), at(7));
        assert_eq!(asked_at(at(101), [at(100)]), at(101));
        assert!(asked_at(at(99), [at(100)]) > at(100), "another host's clock");
        assert!(asked_at(at(150), [at(100), at(200)]) > at(200));
    }
}
