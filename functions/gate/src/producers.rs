//! Telling producers to stop and to go on, through the operator's webhook.

use std::time::Duration;

use journal::{FreezeState, Side};
use migration::{Error, Result};
use runtime::{Run, clusters};
use serde_json::{Value, json};

/// What the webhook answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Every producer has stopped.
    Done,
    /// It will be acknowledged later (HTTP 202), by deciding the gate.
    Later,
}

impl Answer {
    /// For the function's answer.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Later => "will be acknowledged",
        }
    }
}

/// Asks the webhook to freeze the producers.
///
/// # Errors
/// Blocked when it refuses, Deadline when it does not answer within `max_producer_freeze`.
pub(crate) async fn freeze(run: &Run<'_>, webhook: &str) -> Result<Answer> {
    let body = json!({"action": "freeze", "migration_id": run.id});
    let status = post(webhook, &body, run.config.cutover.max_producer_freeze.into()).await?;
    Ok(if status == 202 { Answer::Later } else { Answer::Done })
}

/// Lets frozen producers write to `towards`; nothing when they are not frozen. Without a webhook only the journal learns
/// of it, and the operator lets them go.
///
/// # Errors
/// Blocked when the webhook refuses, Deadline when it does not answer.
pub(crate) async fn unfreeze(run: &Run<'_>, towards: Side) -> Result<()> {
    let freeze = run.journal.freeze_state().await?;
    if !freeze.is_some_and(|freeze| freeze.state() == FreezeState::Frozen) {
        return Ok(());
    }
    if let Some(webhook) = &run.config.cutover.producer_freeze_webhook {
        let cluster = match towards {
            Side::Source => &run.config.source,
            Side::Target => &run.config.target,
        };
        let servers = clusters::bootstrap_servers(&run.host().aws, cluster).await?;
        let body = json!({
            "action": "unfreeze",
            "migration_id": run.id,
            "towards": towards.name(),
            "bootstrap_servers": servers,
        });
        post(webhook, &body, run.config.cutover.max_producer_freeze.into()).await?;
    }
    run.journal.set_unfrozen(towards, run.journal.now()).await?;
    Ok(())
}

async fn post(webhook: &str, body: &Value, timeout: Duration) -> Result<u16> {
    // One provider for the whole process; a second call finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let action = body["action"].as_str().unwrap_or_default();
    let client = reqwest::Client::builder().timeout(timeout).build();
    let client = client.map_err(|error| Error::internal(format_args!("HTTP client: {error}")))?;
    let response = client.post(webhook).json(body).send().await.map_err(|error| {
        let way_out = "check that the function can reach it, or raise cutover.max_producer_freeze";
        let what = if error.is_timeout() { "did not answer in time" } else { "cannot be reached" };
        Error::deadline(format_args!("producer freeze webhook {what} ({action}): {}; {way_out}", error.without_url()))
    })?;
    let status = response.status();
    if status.is_success() {
        return Ok(status.as_u16());
    }
    let text = response.text().await.unwrap_or_default();
    let text: String = text.chars().take(300).collect();
    Err(Error::blocked(format_args!("producer freeze webhook returned HTTP {} ({action}): {text}", status.as_u16())))
}
