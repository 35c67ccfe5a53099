//! Passing requests on to moto (or to what stands for S3 in its place), bodies streamed both ways, counting them and the time
//! that they take there.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use super::{Front, stopped::Asked, trouble::AwsTrouble};
use crate::aws::{EVIDENCE_BUCKET, SEGMENTS_BUCKET};

/// The query of GetBucketVersioning.
const VERSIONING: &str = "versioning";
/// Size limit of an answer that is read before it is passed on.
const ANSWER_LIMIT: usize = 64 * 1024;

/// Requests of which the times are kept.
const TIMES_KEPT: usize = 200_000;

/// What was passed on so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Requests(Arc<Mutex<Passed>>);

#[derive(Debug, Default)]
struct Passed {
    /// How often each operation of a service with JSON requests, such as `DynamoDB_20120810.PutItem`, was asked for.
    counts: BTreeMap<String, u64>,
    /// From when to when each of the latest requests was under way, in the order of their ends.
    times: VecDeque<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Requests {
    fn passed(&self) -> std::sync::MutexGuard<'_, Passed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counts so far.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.passed().counts.clone()
    }

    /// How many requests were under way between `from` and `to`, and how much of that time at least one was.
    pub(crate) fn between(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> (usize, Duration) {
        let passed = self.passed();
        let within = passed.times.iter().filter(|(begun, ended)| *begun < to && *ended > from);
        let mut within: Vec<_> = within.map(|(begun, ended)| ((*begun).max(from), (*ended).min(to))).collect();
        within.sort_unstable();
        let (mut busy, mut until) = (chrono::TimeDelta::zero(), from);
        for (begun, ended) in &within {
            busy += (*ended - (*begun).max(until)).max(chrono::TimeDelta::zero());
            until = until.max(*ended);
        }
        (within.len(), busy.to_std().unwrap_or_default())
    }

    fn count(&self, request: &Request) {
        let Some(target) = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok()) else { return };
        *self.passed().counts.entry(target.to_owned()).or_default() += 1;
    }

    fn took(&self, begun: DateTime<Utc>) {
        let times = &mut self.passed().times;
        if times.len() == TIMES_KEPT {
            times.pop_front();
        }
        times.push_back((begun, Utc::now()));
    }
}

/// A server behind the front.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    client: Client<HttpConnector, Body>,
    port: u16,
}

impl Upstream {
    /// A client for the server on `port` of this machine.
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
    front.requests.count(&request);
    let trouble = front.troubles.next(request.headers());
    if let Some(refusal) = trouble.and_then(AwsTrouble::refusal) {
        return refusal;
    }
    let (asked, request) = match Asked::of(request).await {
        Ok(read) => read,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let misnamed = request.method() == Method::GET && request.uri().query() == Some(VERSIONING);
    let server = front.s3.as_ref().filter(|_| is_for_a_bucket(request.uri().path())).unwrap_or(&front.moto);
    let begun = Utc::now();
    let answer = server.send(request).await;
    front.requests.took(begun);
    match (answer, trouble) {
        (Ok(response), None) if misnamed => renamed(response).await,
        (Ok(response), None) if asked.is_some() => put_right(&front, asked, response).await,
        (Ok(response), None) => response,
        (Ok(response), Some(trouble)) => trouble.on_the_way(response).await,
        (Err(error), _) => {
            (StatusCode::BAD_GATEWAY, format!("the server behind did not answer: {error:#}")).into_response()
        }
    }
}

async fn put_right(front: &Front, asked: Option<Asked>, answer: Response) -> Response {
    let Some(asked) = asked else { return answer };
    let answer = front.stopped.put_right(asked, answer).await;
    answer.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, error.to_string()).into_response())
}

/// moto names the answer to GetBucketVersioning after the operation, which clients that look at the name do not take
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketVersioning.html>).
async fn renamed(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(body) = axum::body::to_bytes(body, ANSWER_LIMIT).await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let text = String::from_utf8_lossy(&body).replace("GetBucketVersioningResponse", "VersioningConfiguration");
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(text))
}

/// Whether a path is one of S3 in a bucket of the stack.
fn is_for_a_bucket(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next();
    first.is_some_and(|bucket| [SEGMENTS_BUCKET, EVIDENCE_BUCKET].contains(&bucket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_which_several_requests_are_under_way_counts_once() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let requests = Requests::default();
        requests.passed().times.extend([(0, 2), (4, 9), (5, 6), (8, 12), (20, 30)].map(|(a, b)| (at(a), at(b))));
        assert_eq!(requests.between(at(1), at(11)), (4, Duration::from_secs(1 + 7)));
        assert_eq!(requests.between(at(12), at(20)), (0, Duration::ZERO));
    }

    #[test]
    fn requests_for_buckets_are_known_by_their_paths() {
        assert!(is_for_a_bucket("/msk-kraft-segments/a/b.log") && is_for_a_bucket("/msk-kraft-evidence"));
        assert!(!is_for_a_bucket("/") && !is_for_a_bucket("/msk-kraft-segments-2/a"));
    }
}
