//! Telling producers to stop and to go on, through the operator's webhook.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use journal::{Freeze, FreezePeriod, FreezeState, Side, timestamp};
use migration::{Error, Result};
use runtime::{Run, clusters, secrets};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Share of `max_producer_freeze` that the webhook may take for its answer to a freeze.
const FREEZE_SHARE: f64 = 0.8;

/// Longest wait for one answer to an unfreeze: all tries have to fit into one invocation, which may last 15 minutes.
const UNFREEZE_TIMEOUT: Duration = Duration::from_secs(120);

/// Pauses before an unfreeze is tried again. Producers stay frozen if it fails, so one lost request must not decide.
const UNFREEZE_PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(9)];

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

/// When a call is made that comes behind the calls of the `last` freeze, whichever host's clock those were made by: a
/// webhook refuses what seems older than what it did last.
pub(crate) fn asked_at(now: DateTime<Utc>, last: Option<&FreezePeriod>) -> DateTime<Utc> {
    let last = last.map(|last| last.unfrozen_at.unwrap_or(last.frozen_at));
    last.map_or(now, |last| now.max(last + TimeDelta::microseconds(1)))
}

/// Asks the webhook, at `asked_at`, to freeze the producers. The time limit is counted from `begun`, when the gate opened.
///
/// # Errors
/// Blocked when it refuses, Deadline when it does not answer in time.
pub(crate) async fn freeze(run: &Run<'_>, webhook: &str, asked_at: DateTime<Utc>, begun: Instant) -> Result<Answer> {
    let body = json!({"action": "freeze", "migration_id": run.id, "asked_at": timestamp(asked_at)});
    // Less than the gate stays open, so that it is this call that says why there is no freeze.
    let limit = Duration::from(run.config.cutover.max_producer_freeze).mul_f64(FREEZE_SHARE);
    let status = post(webhook, &body, limit.saturating_sub(begun.elapsed())).await?;
    Ok(if status == 202 { Answer::Later } else { Answer::Done })
}

/// Lets frozen producers write to `towards`; nothing when they are not frozen. Without a webhook only the journal learns
/// of it, and the operator lets them go.
///
/// # Errors
/// Blocked when the webhook refuses, Deadline when it does not answer.
pub(crate) async fn unfreeze(run: &Run<'_>, towards: Side) -> Result<()> {
    let freezes = run.journal.freeze_state().await?;
    if !freezes.as_ref().is_some_and(|freeze| freeze.state() == FreezeState::Frozen) {
        return Ok(());
    }
    if let Some(webhook) = secrets::webhook(&run.host().aws, &run.config.cutover).await? {
        let cluster = match towards {
            Side::Source => &run.config.source,
            Side::Target => &run.config.target,
        };
        let servers = clusters::bootstrap_servers(&run.host().aws, cluster).await?;
        let body = json!({
            "action": "unfreeze",
            "migration_id": run.id,
            "asked_at": timestamp(asked_at(run.journal.now(), freezes.as_ref().map(Freeze::current))),
            "towards": towards.name(),
            "bootstrap_servers": servers,
        });
        let timeout = Duration::from(run.config.cutover.max_producer_freeze).min(UNFREEZE_TIMEOUT);
        post_repeatedly(&webhook, &body, timeout, &UNFREEZE_PAUSES).await?;
    }
    run.journal.set_unfrozen(towards, run.journal.now()).await?;
    Ok(())
}

/// Posts until the webhook agrees; a webhook has to take a repeated request as one.
async fn post_repeatedly(webhook: &str, body: &Value, timeout: Duration, pauses: &[Duration]) -> Result<u16> {
    for pause in pauses {
        match post(webhook, body, timeout).await {
            Ok(status) => return Ok(status),
            Err(error) => tracing::warn!(%error, "the webhook is asked again"),
        }
        tokio::time::sleep(*pause).await;
    }
    post(webhook, body, timeout).await
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
        let seconds = timeout.as_secs_f64();
        let error = error.without_url();
        Error::deadline(format_args!("producer freeze webhook {what} ({action}, {seconds:.0} s): {error}; {way_out}"))
    })?;
    let status = response.status();
    if status.is_success() {
        return Ok(status.as_u16());
    }
    let text = response.text().await.unwrap_or_default();
    let text: String = text.chars().take(300).collect();
    Err(Error::blocked(format_args!("producer freeze webhook returned HTTP {} ({action}): {text}", status.as_u16())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use journal::FreezeHow;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A webhook that gives these answers, one for each request.
    async fn webhook(statuses: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for status in statuses {
                let (mut socket, _) = listener.accept().await.unwrap();
                let _ = socket.read(&mut [0; 4096]).await.unwrap();
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        url
    }

    #[test]
    fn no_call_seems_older_than_the_one_before() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        assert_eq!(asked_at(at(7), None), at(7));
        let mut last = FreezePeriod {
            frozen_at: at(100),
            how: FreezeHow::Webhook,
            by: "webhook".to_owned(),
            unfrozen_at: None,
            towards: None,
        };
        assert_eq!(asked_at(at(101), Some(&last)), at(101));
        assert!(asked_at(at(99), Some(&last)) > at(100), "another host's clock");
        last.unfrozen_at = Some(at(200));
        assert!(asked_at(at(150), Some(&last)) > at(200));
    }

    #[tokio::test]
    async fn one_refusal_does_not_leave_producers_frozen() {
        let pauses = [Duration::from_millis(1); 2];
        let unfreeze = json!({"action": "unfreeze"});
        let url = webhook(&["503 Unavailable", "500 Broken", "200 OK"]).await;
        assert_eq!(post_repeatedly(&url, &unfreeze, Duration::from_secs(5), &pauses).await.unwrap(), 200);
        let url = webhook(&["503 Unavailable", "500 Broken", "502 Bad Gateway"]).await;
        let error = post_repeatedly(&url, &unfreeze, Duration::from_secs(5), &pauses).await.unwrap_err();
        assert!(error.message.contains("502"), "{error}");
    }
}
