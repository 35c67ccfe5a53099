//! The operator's webhooks: one HTTP client for all calls, and what a call can come to.
//!
//! Redirects are not followed: whatever answers behind one (a sign-on page, a captive portal) was not asked to do anything.
//! What keeps a call from getting there is told apart from what leaves open whether it did.

mod fault;

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use journal::WebhookCall;
use migration::{Error, Result};
use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, LOCATION};
use runtime::secrets::{self, WebhookName};
use runtime::{Host, Run};
use serde_json::Value;
use tokio::time::Instant;

pub(crate) use self::fault::Fault;
use self::fault::{NoAddress, Where};
use crate::signature::{SIGNATURE, SigningKey, TIMESTAMP};

/// Longest that it may take until a connection stands, TLS included. A call that fails before that never got there.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest part of a refusal that is told, in characters.
const TOLD: usize = 300;

/// A webhook.
pub(crate) struct Webhook {
    name: WebhookName,
    url: String,
    key: Option<SigningKey>,
    client: Client,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its URL may carry credentials anywhere.
        f.debug_struct("Webhook").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Webhook {
    /// The webhook `name` of `run`, if there is one.
    ///
    /// # Errors
    /// Blocked when a secret is gone or may not be read; otherwise those of Secrets Manager.
    pub(crate) async fn of(run: &Run<'_>, name: WebhookName) -> Result<Option<Self>> {
        let Host { aws, .. } = run.host();
        let Some(url) = secrets::webhook(aws, &run.config.cutover, name).await? else { return Ok(None) };
        let key = secrets::webhook_key(aws, &run.config.cutover).await?;
        let key = key.map(|bytes| SigningKey::new(&bytes));
        Ok(Some(Self { name, url, key, client: client()? }))
    }

    /// What it is called where an error is told.
    pub(crate) fn title(&self) -> &'static str {
        match self.name {
            WebhookName::Freeze => "producer freeze webhook",
            WebhookName::ClientSwitch => "client switch webhook",
        }
    }

    /// Posts `body` once, at `at`, and waits for the answer, at most for `limit`. Returns the HTTP status, which is 2xx, or
    /// what went wrong; and the call as the journal keeps it.
    pub(crate) async fn call(
        &self,
        at: DateTime<Utc>,
        body: &Value,
        limit: Duration,
    ) -> (Result<u16, Fault>, WebhookCall) {
        let begun = Instant::now();
        let outcome = self.post(at.timestamp(), body, limit).await;
        let call = WebhookCall {
            at,
            action: action(body).to_owned(),
            outcome: match &outcome {
                Ok(202) => "HTTP 202: will be acknowledged later".to_owned(),
                Ok(status) => format!("HTTP {status}: done"),
                Err(fault) => fault.to_string(),
            },
            status: outcome.as_ref().map_or_else(Fault::status, |status| Some(*status)),
            ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        (outcome, call)
    }

    async fn post(&self, timestamp: i64, body: &Value, limit: Duration) -> Result<u16, Fault> {
        let body = body.to_string();
        let mut request = self.client.post(&self.url).timeout(limit).header(CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            let signature = key.sign(timestamp, body.as_bytes());
            request = request.header(TIMESTAMP, timestamp.to_string()).header(SIGNATURE, signature);
        }
        let mut response = request.body(body).send().await.map_err(|error| Fault::of(&error, &self.url, limit))?;
        let status = response.status();
        if status.is_success() {
            return Ok(status.as_u16());
        }
        if status.is_redirection() {
            let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            return Err(Fault::Redirect { status: status.as_u16(), to: to.and_then(Where::of) });
        }
        // As much as is told, and no more: whoever answers may answer without end.
        let mut text = Vec::new();
        while text.len() < 4 * TOLD {
            let Ok(Some(piece)) = response.chunk().await else { break };
            text.extend_from_slice(&piece);
        }
        let text = String::from_utf8_lossy(&text).split_whitespace().collect::<Vec<_>>().join(" ");
        Err(Fault::Answer { status: status.as_u16(), text: text.chars().take(TOLD).collect() })
    }
}

/// What a call asks for.
pub(crate) fn action(body: &Value) -> &str {
    body["action"].as_str().unwrap_or_default()
}

/// Remembers a call. What cannot be remembered is no reason to fail what it was about.
pub(crate) async fn remember(run: &Run<'_>, call: &WebhookCall) {
    tracing::info!(run = %run.id, action = call.action, ms = call.ms, "webhook: {}", call.outcome);
    if let Err(error) = run.journal.add_webhook_call(call).await {
        tracing::warn!(%error, "a call of a webhook is not on record");
    }
}

/// The process's one client.
fn client() -> Result<Client> {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client.clone());
    }
    let client = builder().build().map_err(|error| Error::internal(format_args!("HTTP client: {error}")))?;
    Ok(CLIENT.get_or_init(|| client).clone())
}

fn builder() -> reqwest::ClientBuilder {
    // One provider for the whole process; a second call finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        // A connection that was idle may be dead, and whether a call on it got there could not be told.
        .pool_max_idle_per_host(0)
        // A call that is repeated is repeated by whoever knows that it may be.
        .retry(reqwest::retry::never())
        .dns_resolver(Resolver)
}

/// The system's resolver, with an error that is told from others.
struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let found: Vec<_> = found.map_err(|error| NoAddress(error.to_string()))?.collect();
            if found.is_empty() {
                return Err(NoAddress("no address".to_owned()).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
