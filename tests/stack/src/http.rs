//! A plain HTTP client for services of this machine. It has no time limit: callers set their own.

use anyhow::Context;
use axum::{
    body::{Body, Bytes},
    http::{Request, StatusCode},
};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;

use crate::aws::REGION;

/// POSTs a body and returns status and body of the answer.
///
/// # Errors
/// When there is no answer.
pub(crate) async fn post(url: &str, headers: &[(&str, &str)], body: Bytes) -> anyhow::Result<(StatusCode, Bytes)> {
    let mut request = Request::post(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http::<Body>();
    let response =
        client.request(request.body(Body::from(body))?).await.with_context(|| format!("no answer from {url}"))?;
    let status = response.status();
    let body = axum::body::to_bytes(Body::new(response.into_body()), usize::MAX).await?;
    Ok((status, body))
}

/// Calls an AWS service that speaks JSON by target names, `DynamoDB_20120810.Scan` for example. moto reads only the
/// service from the signature, so it is not a real one.
///
/// # Errors
/// When there is no answer, or it is an error; then with its text.
pub(crate) async fn aws_json(endpoint: &str, target: &str, body: &Value) -> anyhow::Result<Value> {
    let service = if target.starts_with("DynamoDB") { "dynamodb" } else { "states" };
    let scope = format!("test/20260101/{REGION}/{service}/aws4_request");
    let signature = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none");
    let headers = [
        ("authorization", signature.as_str()),
        ("content-type", "application/x-amz-json-1.0"),
        ("x-amz-target", target),
    ];
    let (status, answer) = post(endpoint, &headers, body.to_string().into()).await?;
    anyhow::ensure!(status.is_success(), "{target} failed ({status}): {}", String::from_utf8_lossy(&answer));
    serde_json::from_slice(&answer).with_context(|| format!("{target} gave an answer that is not JSON"))
}
