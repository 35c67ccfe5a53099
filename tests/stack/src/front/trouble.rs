//! Trouble with AWS: answers that are errors, come late, or are lost after the call was carried out.
//!
//! Only calls of the project's own clients are troubled, which say `aws-sdk-rust` in their user agent: moto's engine of
//! Step Functions calls S3 through the front too, and on AWS that is no network of ours.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::request_id;

/// A service behind the front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwsService {
    /// Segments, manifests, reports.
    S3,
    /// The journal.
    DynamoDb,
    /// Executions and gates.
    StepFunctions,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwsFault {
    /// Not carried out: `SlowDown` (503) of S3, `ThrottlingException` (400) of the others.
    Throttled,
    /// Not carried out: an internal error (500).
    Broken,
    /// Carried out, and answered so much later.
    Slow(Duration),
    /// Carried out; then the connection ends without an answer.
    AnswerLost,
}

/// Trouble with one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AwsTrouble {
    /// The service.
    pub service: AwsService,
    /// What becomes of a call that is hit.
    pub fault: AwsFault,
    /// Every so many calls one is hit; 1 hits all.
    pub one_in: u32,
}

/// The trouble there is at present.
#[derive(Debug, Clone, Default)]
pub(crate) struct Troubles {
    present: Arc<Mutex<Present>>,
}

#[derive(Debug, Default)]
struct Present {
    trouble: Option<AwsTrouble>,
    calls: u32,
    hit: u64,
}

impl Troubles {
    /// Changes the trouble; with nothing there is none any more.
    pub(crate) fn set(&self, trouble: Option<AwsTrouble>) {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.trouble = trouble;
        present.calls = 0;
    }

    /// How many calls were hit since the start.
    pub(crate) fn hit(&self) -> u64 {
        self.present.lock().unwrap_or_else(PoisonError::into_inner).hit
    }

    /// What becomes of the call with these headers.
    pub(super) fn next(&self, headers: &HeaderMap) -> Option<AwsTrouble> {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = present.trouble.filter(|trouble| is_ours(headers) && service(headers) == trouble.service)?;
        present.calls += 1;
        let hits = present.calls.is_multiple_of(trouble.one_in.max(1));
        present.hit += u64::from(hits);
        hits.then_some(trouble)
    }
}

impl AwsTrouble {
    /// The answer to a call that is not carried out; nothing when it is.
    pub(super) fn refusal(self) -> Option<Response> {
        let (status, kind) = match (self.fault, self.service) {
            (AwsFault::Slow(_) | AwsFault::AnswerLost, _) => return None,
            (AwsFault::Throttled, AwsService::S3) => (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
            (AwsFault::Throttled, _) => (StatusCode::BAD_REQUEST, "ThrottlingException"),
            (AwsFault::Broken, AwsService::S3) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
            (AwsFault::Broken, _) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError"),
        };
        let id = request_id();
        Some(match self.service {
            AwsService::S3 => {
                let body = format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{kind}</Code><Message>Trouble of the \
                     stack.</Message><RequestId>{id}</RequestId></Error>"
                );
                (status, [("x-amz-request-id", id), ("content-type", "application/xml".to_owned())], body)
                    .into_response()
            }
            AwsService::DynamoDb | AwsService::StepFunctions => {
                let body = json!({"__type": kind, "message": "Trouble of the stack."}).to_string();
                let headers = [("x-amzn-requestid", id), ("content-type", "application/x-amz-json-1.0".to_owned())];
                (status, headers, body).into_response()
            }
        })
    }

    /// What arrives of the answer to a call that was carried out.
    pub(super) async fn on_the_way(self, answer: Response) -> Response {
        match self.fault {
            AwsFault::Slow(delay) => tokio::time::sleep(delay).await,
            AwsFault::AnswerLost => return lost(),
            AwsFault::Throttled | AwsFault::Broken => {}
        }
        answer
    }
}

/// An answer that cannot be sent: hyper ends the connection when its body fails, before it has written anything.
fn lost() -> Response {
    let body = futures::stream::once(async { Err::<&[u8], _>(std::io::Error::other("the answer is lost")) });
    Response::new(Body::from_stream(body))
}

fn is_ours(headers: &HeaderMap) -> bool {
    text(headers, header::USER_AGENT.as_str()).contains("aws-sdk-rust")
}

/// S3 alone names no target.
fn service(headers: &HeaderMap) -> AwsService {
    match text(headers, "x-amz-target") {
        target if target.starts_with("DynamoDB") => AwsService::DynamoDb,
        target if target.starts_with("AWSStepFunctions") => AwsService::StepFunctions,
        _ => AwsService::S3,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, routing::get};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    fn call(target: &'static str) -> HeaderMap {
        let agent = (header::USER_AGENT, "aws-sdk-rust/1.3".parse().unwrap());
        let target = ("x-amz-target".parse().unwrap(), target.parse().unwrap());
        HeaderMap::from_iter([agent, target])
    }

    #[test]
    fn only_every_nth_call_of_our_clients_to_the_service_is_hit() {
        let troubles = Troubles::default();
        let trouble = AwsTrouble { service: AwsService::DynamoDb, fault: AwsFault::Broken, one_in: 2 };
        troubles.set(Some(trouble));
        let ours = call("DynamoDB_20120810.PutItem");
        let mut foreign = ours.clone();
        foreign.insert(header::USER_AGENT, "Boto3/1.0".parse().unwrap());
        let hit: Vec<_> = (0..4).map(|_| troubles.next(&ours).is_some()).collect();
        assert_eq!(hit, [false, true, false, true]);
        assert!((0..4).all(|_| troubles.next(&foreign).is_none()));
        assert!((0..4).all(|_| troubles.next(&call("AWSStepFunctions.StartExecution")).is_none()));
        troubles.set(None);
        assert!((0..4).all(|_| troubles.next(&ours).is_none()));
        assert_eq!(troubles.hit(), 2);
    }

    #[tokio::test]
    async fn not_a_byte_of_a_lost_answer_arrives() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = Router::new().route("/", get(async || lost()));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), "");
    }
}
