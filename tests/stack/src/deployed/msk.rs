//! The MSK API of a deployed stack: ministack decides whether a caller may ask, the stack answers.

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use reqwest::Client;
use serde_json::json;
use tokio::net::TcpListener;

use crate::front::{Msk, msk_routes};

/// Who decides.
#[derive(Debug, Clone)]
struct Judge {
    client: Client,
    endpoint: String,
}

/// Serves the clusters of `msk` until the task is aborted, to those whom the stand-in at `endpoint` lets ask.
pub(super) async fn serve(msk: Msk, client: Client, endpoint: String, listener: TcpListener) {
    let judge = Judge { client, endpoint };
    let scram = get(async || Json(json!({"secretArnList": []})));
    let routes = msk_routes().route("/v1/clusters/{arn}/scram-secrets", scram);
    let routes: Router = routes.layer(middleware::from_fn_with_state(judge, judged)).with_state(msk);
    // Serving only fails when the listener does, and that ends with the program.
    if let Err(error) = axum::serve(listener, routes).await {
        tracing::error!(%error, "the MSK API ended");
    }
}

/// Shows the request to ministack as it came, signature and all. ministack knows no such cluster, or not even the operation,
/// and says so; what counts is whether it refuses to be asked.
async fn judged(State(judge): State<Judge>, request: Request, next: Next) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let shown = judge.client.request(request.method().clone(), format!("{}{path}", judge.endpoint));
    let answer = match shown.headers(request.headers().clone()).send().await {
        Ok(answer) => answer,
        Err(error) => return (StatusCode::BAD_GATEWAY, format!("no decision of IAM: {error}")).into_response(),
    };
    if answer.status() != StatusCode::FORBIDDEN {
        return next.run(request).await;
    }
    let kept = |name: &str| answer.headers().get(name).cloned();
    let mut headers = HeaderMap::new();
    for name in ["content-type", "x-amzn-errortype", "x-amzn-requestid"] {
        if let (Some(value), Ok(name)) = (kept(name), name.parse::<axum::http::HeaderName>()) {
            headers.insert(name, value);
        }
    }
    let body = answer.bytes().await.unwrap_or_default();
    (StatusCode::FORBIDDEN, headers, body).into_response()
}
