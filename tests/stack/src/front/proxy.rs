//! Passing requests on to moto, bodies streamed both ways.

use axum::{
    body::Body,
    extract::{Request, State},
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use super::{Front, trouble::AwsTrouble};

/// moto behind the front.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    client: Client<HttpConnector, Body>,
    port: u16,
}

impl Upstream {
    /// A client for moto on `port` of this machine.
    pub(super) fn new(port: u16) -> Self {
        // moto's server closes after every answer; a pooled connection would be a dead one.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Self { client, port }
    }

    async fn send(&self, mut request: Request) -> anyhow::Result<Response> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = format!("http://127.0.0.1:{}{path}", self.port).parse::<Uri>()?;
        // The Host header stays: S3 reads bucket names from it, and moto answers with links to it. The interim answer
        // that Expect asks for was given by the front already.
        request.headers_mut().remove(header::EXPECT);
        Ok(self.client.request(request).await?.map(Body::new))
    }
}

pub(super) async fn pass(State(front): State<Front>, request: Request) -> Response {
    let trouble = front.troubles.next(request.headers());
    if let Some(refusal) = trouble.and_then(AwsTrouble::refusal) {
        return refusal;
    }
    match (front.moto.send(request).await, trouble) {
        (Ok(response), None) => response,
        (Ok(response), Some(trouble)) => trouble.on_the_way(response).await,
        (Err(error), _) => (StatusCode::BAD_GATEWAY, format!("moto did not answer: {error:#}")).into_response(),
    }
}
