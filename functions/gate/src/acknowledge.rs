//! Acknowledgements that come later, as requests to the function's URL: a webhook that answered 202 says here what became of
//! it. `POST /ack`, signed like the calls themselves ([`crate::signature`]); it names the call by its `asked_at`, so a recorded
//! one can be played back for five minutes and then changes nothing. Nobody who asks here ever sees a task token.

use std::time::Instant;

use aws_lambda_events::lambda_function_urls::{LambdaFunctionUrlRequest, LambdaFunctionUrlResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use journal::{Decision, FreezeHow, FreezeState, GateName, GateState, Verdict, WebhookCall};
use migration::{Error, ErrorKind, MigrationId, Result};
use runtime::{Host, Run, secrets};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::signature::{self, SIGNATURE, SigningKey, TIMESTAMP};
use crate::{decide, switch, webhook};

/// Longest body, in bytes.
const LONGEST: usize = 4096;
/// Longest reason that is kept, in characters.
const LONGEST_REASON: usize = 500;

/// What a webhook acknowledges.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Acknowledgement {
    migration_id: MigrationId,
    gate: GateName,
    verdict: Verdict,
    /// The call's own.
    asked_at: DateTime<Utc>,
    #[serde(default)]
    reason: String,
}

/// An answer: an HTTP status and a JSON body.
struct Answer(u16, Value);

impl Answer {
    /// A refusal, and why.
    fn refused(status: u16, why: impl Into<String>) -> Self {
        Self(status, json!({"error": why.into()}))
    }
}

/// Whether the function was invoked by a request to its URL. Lambda alone makes these events; what a client sends is inside.
pub(crate) fn is_request(event: &Value) -> bool {
    event.get("requestContext").is_some_and(|context| context.get("http").is_some())
}

/// Answers a request.
///
/// # Errors
/// Internal when the answer cannot be encoded.
pub(crate) async fn answer(host: &Host, event: Value) -> Result<Value> {
    let Answer(status, body) = match serde_json::from_value(event) {
        Ok(request) => take(host, request).await.unwrap_or_else(|refused| refused),
        Err(_) => Answer::refused(400, "the request cannot be read"),
    };
    tracing::info!(status, %body, "acknowledgement answered");
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    let mut response = LambdaFunctionUrlResponse::default();
    (response.status_code, response.headers, response.body) = (i64::from(status), headers, Some(body.to_string()));
    serde_json::to_value(response)
        .map_err(|error| Error::internal(format_args!("the answer cannot be encoded: {error}")))
}

/// Checks who asks, from what costs nothing to what costs a call of AWS, then decides.
async fn take(host: &Host, request: LambdaFunctionUrlRequest) -> Result<Answer, Answer> {
    let http = &request.request_context.http;
    let asked = (http.method.as_deref(), request.raw_path.as_deref().or(http.path.as_deref()));
    if asked != (Some("POST"), Some("/ack")) {
        return Err(Answer::refused(400, "there is nothing but POST /ack"));
    }
    let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (timestamp, signed) = (header(TIMESTAMP), header(SIGNATURE));
    if timestamp.is_empty() || signed.is_empty() {
        return Err(Answer::refused(401, format!("the headers {TIMESTAMP} and {SIGNATURE} are missing")));
    }
    if !signature::is_recent(timestamp, Utc::now().timestamp()) {
        let most = signature::TOLERANCE / 60;
        return Err(Answer::refused(
            401,
            format!("{TIMESTAMP} is no time of the last {most} minutes, in seconds since 1970"),
        ));
    }
    let body = body(&request)?;
    let mut said: Acknowledgement = serde_json::from_slice(&body)
        .map_err(|error| Answer::refused(400, format!("the body cannot be used: {error}")))?;
    said.reason = said.reason.chars().take(LONGEST_REASON).collect();
    if !matches!(said.gate, GateName::Freeze | GateName::ClientSwitch) {
        return Err(Answer::refused(400, format!("the gate {} is not acknowledged by a webhook", said.gate)));
    }
    let (run, key) = authority(host, &said.migration_id).await?;
    if !key.verifies(timestamp, &body, signed) {
        return Err(Answer::refused(401, "the signature is not that of this body and timestamp"));
    }
    settle(&run, said).await
}

/// The body as it was sent.
fn body(request: &LambdaFunctionUrlRequest) -> Result<Vec<u8>, Answer> {
    let text = request.body.as_deref().unwrap_or_default();
    // In base64 it is a third longer.
    let most = if request.is_base64_encoded { LONGEST.div_ceil(3) * 4 } else { LONGEST };
    if text.len() > most {
        return Err(Answer::refused(400, format!("the body is longer than {LONGEST} bytes")));
    }
    match request.is_base64_encoded {
        true => BASE64.decode(text).map_err(|_| Answer::refused(400, "the body is no base64")),
        false => Ok(text.as_bytes().to_vec()),
    }
}

/// The migration, and the key that its acknowledgements are signed with. Whether there is a migration of a name is nobody's
/// business who cannot sign.
async fn authority<'a>(host: &'a Host, id: &MigrationId) -> Result<(Run<'a>, SigningKey), Answer> {
    let nothing =
        || Answer::refused(403, "no acknowledgements are taken: the migration has no cutover.webhook_secret_arn");
    let run = match host.load(id).await {
        Ok(run) => run,
        Err(error) if error.kind == ErrorKind::Invalid => return Err(nothing()),
        Err(error) => return Err(fault(&error)),
    };
    let key = secrets::webhook_key(&host.aws, &run.config.cutover).await.map_err(|error| fault(&error))?;
    let key = key.ok_or_else(nothing)?;
    Ok((run, SigningKey::new(&key)))
}

/// Decides the gate, and keeps the acknowledgement among the calls of webhooks.
async fn settle(run: &Run<'_>, said: Acknowledgement) -> Result<Answer, Answer> {
    let begun = Instant::now();
    let because = if said.reason.is_empty() { String::new() } else { format!(" ({})", said.reason) };
    let told = format!("{}: {}{because}", said.gate, said.verdict);
    let at = run.journal.now();
    let answer = decided(run, said).await.unwrap_or_else(|error| refusal(&error));
    let outcome = match answer.1["error"].as_str() {
        Some(error) => format!("{told}, answered HTTP {}: {error}", answer.0),
        None => format!("{told}, taken"),
    };
    let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    webhook::remember(run, &WebhookCall { at, action: "acknowledge".to_owned(), outcome, status: Some(answer.0), ms })
        .await;
    Ok(answer)
}

async fn decided(run: &Run<'_>, said: Acknowledgement) -> Result<Answer> {
    if !is_of_the_call_on_record(run, &said).await? {
        return Ok(Answer::refused(409, "asked_at is not that of the call that is waited for"));
    }
    let Acknowledgement { gate: name, verdict, reason, .. } = said;
    let stands = run.journal.gate(name).await?;
    let stands = stands.filter(|gate| gate.state == GateState::Sent);
    if let Some(gate) = stands {
        let wanted = gate.decision.as_ref().is_some_and(|decision| decision.verdict == verdict);
        let by = gate.decided_by.unwrap_or_default();
        let stands = gate.decision.map(|decision| decision.verdict);
        return Ok(Answer(
            if wanted { 200 } else { 409 },
            match wanted {
                true => json!({"gate": name, "verdict": stands, "by": by}),
                false => json!({"gate": name, "verdict": stands, "by": by, "error": "the gate was decided otherwise"}),
            },
        ));
    }
    if name == GateName::ClientSwitch && verdict == Verdict::Reject {
        // Behind the point of no return there is nothing to reject: the operator switches the clients.
        tracing::warn!(run = %run.id, reason, "the webhook could not switch the clients");
        return Ok(Answer(200, json!({"gate": name, "verdict": Value::Null, "left_to": "operator"})));
    }
    let decision = Decision { verdict, reason, rehearsal: None };
    let answered = decide::decide(run.host(), &run.id, name, decision, "webhook").await?;
    let gate = answered.gate;
    let stands = gate.decision.map(|decision| decision.verdict);
    if stands != Some(verdict) {
        let error = "the gate was decided otherwise";
        return Ok(Answer(409, json!({"gate": name, "verdict": stands, "by": gate.decided_by, "error": error})));
    }
    Ok(Answer(200, json!({"gate": name, "verdict": stands, "by": gate.decided_by})))
}

/// Whether it is about the webhook's newest call, which has not been taken back since.
async fn is_of_the_call_on_record(run: &Run<'_>, said: &Acknowledgement) -> Result<bool> {
    if said.gate == GateName::ClientSwitch {
        return Ok(switch::asked_at(run).await? == Some(said.asked_at));
    }
    let freeze = run.journal.freeze_state().await?;
    Ok(freeze.as_ref().is_some_and(|freeze| {
        let current = freeze.current();
        let stands = match freeze.state() {
            FreezeState::Asked | FreezeState::Frozen => true,
            // Let go towards the target it has served its purpose, and repeating the acknowledgement is no fault.
            FreezeState::Unfrozen { .. } => current.frozen_at.is_some(),
            FreezeState::NotReached => false,
        };
        stands && current.how == FreezeHow::Webhook && current.asked_at == said.asked_at
    }))
}

/// The answer to an error of a call that was signed: the caller may know why.
fn refusal(error: &Error) -> Answer {
    match error.kind {
        ErrorKind::Invalid => Answer::refused(400, &*error.message),
        ErrorKind::Transient => fault(error),
        _ => Answer::refused(409, &*error.message),
    }
}

/// The answer to a fault of ours, about which a caller learns nothing but what to do.
fn fault(error: &Error) -> Answer {
    tracing::error!(%error, "an acknowledgement could not be looked at");
    Answer::refused(503, "it cannot be looked at at the moment: send it again")
}
