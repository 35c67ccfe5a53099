//! The service behind a migration's freeze webhook, with producers that obey it through files.
//!
//! - `POST /` with `{"action": "freeze"}` or `{"action": "unfreeze", "towards": "source" | "target"}` changes the state
//!   and answers 200 once every registered producer acknowledged, or 504 naming those that did not. A request whose
//!   `asked_at` is older than that of the same migration's last change is refused with 409: it was overtaken on its way.
//! - `POST /` with `{"action": "switch"}` is remembered, and answered with 200.
//! - With a key ([`Webhook::sign_with`]) a call has to be signed (401), and one that is to be acknowledged later
//!   ([`Webhook::acknowledge_later`]) is answered with 202 at once, unless it lets producers go.
//! - `GET /` answers the current state and the history.
//!
//! The state is the file `freeze-state`: the number of the change, then `running source`, `frozen` or `running target`.
//! A producer registers by creating `producers/<name>` and acknowledges by writing that number into `acks/<name>`.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context;
use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{net::TcpListener, time::Instant};

use crate::kafka::Side;

const POLL: Duration = Duration::from_millis(10);
/// How old a signed call may be, in seconds.
const TOLERANCE: u64 = 300;

/// A running webhook; clones share it.
#[derive(Debug, Clone)]
pub struct Webhook {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    ack_limit: Duration,
    history: Mutex<Vec<Change>>,
    manner: Mutex<Manner>,
}

/// How calls are answered.
#[derive(Debug, Default, Clone)]
struct Manner {
    /// The key that calls have to be signed with.
    key: Option<Vec<u8>>,
    /// Whether a freeze and a switch are acknowledged later.
    later: bool,
}

/// One change of state.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// Number of the change, from 0 for the state at the start.
    pub sequence: usize,
    /// `running source`, `frozen` or `running target`.
    pub state: String,
    /// When it was asked for.
    pub at: DateTime<Utc>,
    /// The request that asked for it.
    pub request: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", tag = "action")]
enum Action {
    Freeze,
    Switch,
    Unfreeze {
        #[serde(default, alias = "target")]
        towards: Towards,
    },
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Towards {
    #[default]
    Source,
    Target,
}

impl Action {
    /// What producers are to do; nothing new when clients are switched.
    fn state(&self) -> Option<String> {
        match self {
            Self::Freeze => Some("frozen".to_owned()),
            Self::Switch => None,
            Self::Unfreeze { towards: Towards::Source } => Some(format!("running {}", Side::Source.name())),
            Self::Unfreeze { towards: Towards::Target } => Some(format!("running {}", Side::Target.name())),
        }
    }
}

impl Webhook {
    /// A webhook that tells producers through `dir`, where it says `running source` at first, or goes on with the
    /// state it finds. A change waits at most `ack_limit` for the producers.
    ///
    /// # Errors
    /// When the folders or the state cannot be written.
    pub fn new(dir: &Path, ack_limit: Duration) -> anyhow::Result<Self> {
        for sub in ["acks", "producers"] {
            std::fs::create_dir_all(dir.join(sub)).with_context(|| format!("creating {}", dir.join(sub).display()))?;
        }
        let found = std::fs::read_to_string(dir.join("freeze-state")).ok();
        let (sequence, state) = found.as_deref().and_then(read_state).unwrap_or((0, "running source"));
        let state = state.to_owned();
        let first = Change { sequence, state, at: Utc::now(), request: Value::Null };
        write_state(dir, &first)?;
        let history = Mutex::new(vec![first]);
        let manner = Mutex::default();
        Ok(Self { inner: Arc::new(Inner { dir: dir.to_owned(), ack_limit, history, manner }) })
    }

    /// From now on calls have to be signed with `key`; without one signatures are not looked at.
    pub fn sign_with(&self, key: Option<Vec<u8>>) {
        self.manner().key = key;
    }

    /// Whether a freeze and a switch are answered with 202 from now on.
    pub fn acknowledge_later(&self, later: bool) {
        self.manner().later = later;
    }

    /// The folder shared with the producers.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// Every change so far, the last one being the current state.
    pub fn history(&self) -> Vec<Change> {
        self.lock().clone()
    }

    /// Registers a producer whose acknowledgement every later change waits for.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn register(&self, producer: &str) -> anyhow::Result<()> {
        let path = self.inner.dir.join("producers").join(producer);
        std::fs::write(&path, "").with_context(|| format!("writing {}", path.display()))
    }

    /// Serves until the task is aborted.
    pub async fn serve(self, listener: TcpListener) {
        let app = Router::new().route("/", get(show).post(change)).with_state(self);
        // Serving only fails when the listener does, and that ends with the program.
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(%error, "the webhook ended");
        }
    }

    /// Nothing when the request was overtaken by another one.
    fn record(&self, action: &Action, request: Value) -> anyhow::Result<Option<Change>> {
        let mut history = self.lock();
        let of_same = history.iter().filter(|change| change.request["migration_id"] == request["migration_id"]);
        let newest = of_same.filter_map(|change| asked_at(&change.request)).max();
        if asked_at(&request).is_some_and(|asked| Some(asked) < newest) {
            return Ok(None);
        }
        let last = history.last();
        let sequence = last.map_or(0, |change| change.sequence) + 1;
        let state = action.state().or_else(|| last.map(|change| change.state.clone())).unwrap_or_default();
        let change = Change { sequence, state, at: Utc::now(), request };
        write_state(&self.inner.dir, &change)?;
        history.push(change.clone());
        Ok(Some(change))
    }

    /// Waits for the producers; those that did not acknowledge in time are returned.
    async fn silent_producers(&self, sequence: usize) -> Vec<String> {
        let deadline = Instant::now() + self.inner.ack_limit;
        loop {
            let silent: Vec<String> =
                self.producers().into_iter().filter(|name| self.acknowledged(name) < Some(sequence)).collect();
            if silent.is_empty() || Instant::now() >= deadline {
                return silent;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn producers(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.inner.dir.join("producers")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    fn acknowledged(&self, producer: &str) -> Option<usize> {
        std::fs::read_to_string(self.inner.dir.join("acks").join(producer)).ok()?.trim().parse().ok()
    }

    fn manner(&self) -> MutexGuard<'_, Manner> {
        self.inner.manner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Change>> {
        self.inner.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn show(State(webhook): State<Webhook>) -> Json<Value> {
    let history = webhook.history();
    let current = history.last();
    Json(json!({
        "state": current.map(|change| &change.state),
        "sequence": current.map(|change| change.sequence),
        "producers": webhook.producers(),
        "history": history,
    }))
}

async fn change(State(webhook): State<Webhook>, headers: HeaderMap, body: Bytes) -> Response {
    let refused = |status, why: &str| (status, Json(json!({"error": why}))).into_response();
    let Manner { key, later } = webhook.manner().clone();
    if key.is_some_and(|key| !is_signed(&key, &headers, &body)) {
        return refused(StatusCode::UNAUTHORIZED, "not signed");
    }
    let read = serde_json::from_slice(&body)
        .and_then(|request: Value| Ok((request.clone(), serde_json::from_value(request)?)));
    let (request, action): (Value, Action) = match read {
        Ok(read) => read,
        Err(error) => return refused(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let change = match webhook.record(&action, request) {
        Ok(Some(change)) => change,
        Ok(None) => return refused(StatusCode::CONFLICT, "overtaken"),
        Err(error) => return refused(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error:#}")),
    };
    let silent = match action {
        Action::Freeze | Action::Switch if later => {
            return (StatusCode::ACCEPTED, Json(json!({"sequence": change.sequence}))).into_response();
        }
        Action::Switch => Vec::new(),
        Action::Freeze | Action::Unfreeze { .. } => webhook.silent_producers(change.sequence).await,
    };
    let status = if silent.is_empty() { StatusCode::OK } else { StatusCode::GATEWAY_TIMEOUT };
    let body = json!({"state": change.state, "sequence": change.sequence, "not_acknowledged": silent});
    (status, Json(body)).into_response()
}

/// Whether a call is signed with `key`, and not too old, as docs/CONFIGURATION.md asks of a webhook.
fn is_signed(key: &[u8], headers: &HeaderMap, body: &[u8]) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let timestamp = header("x-msk-kraft-timestamp");
    let recent = timestamp.parse::<i64>().is_ok_and(|at| Utc::now().timestamp().abs_diff(at) <= TOLERANCE);
    let tag = header("x-msk-kraft-signature").strip_prefix("v1=").and_then(|digits| hex::decode(digits).ok());
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(key) else { return false };
    let mac = mac.chain_update(timestamp).chain_update(".").chain_update(body);
    recent && tag.is_some_and(|tag| mac.verify_slice(&tag).is_ok())
}

/// When a request was sent, if it says so.
fn asked_at(request: &Value) -> Option<DateTime<Utc>> {
    request["asked_at"].as_str()?.parse().ok()
}

/// A rename, so that a producer never reads half a state.
fn write_state(dir: &Path, change: &Change) -> anyhow::Result<()> {
    let path = dir.join("freeze-state");
    let fresh = dir.join("freeze-state.new");
    std::fs::write(&fresh, format!("{} {}\n", change.sequence, change.state))
        .and_then(|()| std::fs::rename(&fresh, &path))
        .with_context(|| format!("writing {}", path.display()))
}

/// The number and the state of a `freeze-state` file.
fn read_state(text: &str) -> Option<(usize, &str)> {
    let (sequence, state) = text.trim_end().split_once(' ')?;
    Some((sequence.parse().ok()?, state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;

    async fn served(dir: &Path, ack_limit: Duration) -> (Webhook, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let webhook = Webhook::new(dir, ack_limit).unwrap();
        tokio::spawn(webhook.clone().serve(listener));
        (webhook, url)
    }

    async fn post(url: &str, body: &str) -> (StatusCode, Value) {
        let (status, answer) =
            http::post(url, &[("content-type", "application/json")], body.to_owned().into()).await.unwrap();
        (status, serde_json::from_slice(&answer).unwrap_or_default())
    }

    #[tokio::test]
    async fn producers_are_told_and_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (webhook, url) = served(dir.path(), Duration::from_secs(10)).await;
        webhook.register("p1").unwrap();
        let asked = tokio::spawn(async move { post(&url, r#"{"action":"freeze","reason":"cutover"}"#).await });
        let state = dir.path().join("freeze-state");
        while !std::fs::read_to_string(&state).unwrap().starts_with("1 frozen") {
            tokio::time::sleep(POLL).await;
        }
        assert!(!asked.is_finished());
        std::fs::write(dir.path().join("acks/p1"), "1").unwrap();
        assert_eq!(asked.await.unwrap().0, StatusCode::OK);
        assert_eq!(webhook.history().last().unwrap().request["reason"], "cutover");
    }

    #[tokio::test]
    async fn a_producer_that_does_not_obey_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (webhook, url) = served(dir.path(), Duration::from_millis(30)).await;
        webhook.register("deaf").unwrap();
        let (status, body) = post(&url, r#"{"action":"freeze"}"#).await;
        assert_eq!((status, &body["not_acknowledged"]), (StatusCode::GATEWAY_TIMEOUT, &json!(["deaf"])));
    }

    #[tokio::test]
    async fn a_freeze_that_was_overtaken_freezes_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let (webhook, url) = served(dir.path(), Duration::ZERO).await;
        let asked = |action: &str, at: &str| json!({"action": action, "asked_at": at}).to_string();
        let unfreeze = asked("unfreeze", "2026-11-21T04:18:36.000001Z");
        assert_eq!(post(&url, &unfreeze).await.0, StatusCode::OK);
        assert_eq!(post(&url, &unfreeze).await.0, StatusCode::OK, "a repeat is not overtaken");
        assert_eq!(post(&url, &asked("freeze", "2026-11-21T04:18:36Z")).await.0, StatusCode::CONFLICT);
        assert_eq!(webhook.history().last().unwrap().state, "running source");
    }

    #[tokio::test]
    async fn with_a_key_only_what_is_signed_with_it_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (webhook, url) = served(dir.path(), Duration::ZERO).await;
        webhook.sign_with(Some(b"0123456789abcdef".to_vec()));
        let send = async |key: &[u8], age: i64, body: &'static str| {
            let timestamp = (Utc::now().timestamp() - age).to_string();
            let mac = Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(format!("{timestamp}.{body}"));
            let signature = format!("v1={}", hex::encode(mac.finalize().into_bytes()));
            let headers =
                [("x-msk-kraft-timestamp", timestamp.as_str()), ("x-msk-kraft-signature", signature.as_str())];
            http::post(&url, &headers, body.into()).await.unwrap().0
        };
        assert_eq!(post(&url, r#"{"action":"freeze"}"#).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(send(b"0123456789abcdeg", 0, r#"{"action":"freeze"}"#).await, StatusCode::UNAUTHORIZED);
        assert_eq!(send(b"0123456789abcdef", 400, r#"{"action":"freeze"}"#).await, StatusCode::UNAUTHORIZED);
        assert_eq!(webhook.history().last().unwrap().state, "running source");
        assert_eq!(send(b"0123456789abcdef", 0, r#"{"action":"freeze"}"#).await, StatusCode::OK);
        assert_eq!(webhook.history().last().unwrap().state, "frozen");
    }

    #[tokio::test]
    async fn what_is_acknowledged_later_is_promised_and_a_switch_moves_no_producer() {
        let dir = tempfile::tempdir().unwrap();
        let (webhook, url) = served(dir.path(), Duration::ZERO).await;
        webhook.register("deaf").unwrap();
        webhook.acknowledge_later(true);
        assert_eq!(post(&url, r#"{"action":"freeze"}"#).await.0, StatusCode::ACCEPTED);
        assert_eq!(post(&url, r#"{"action":"switch"}"#).await.0, StatusCode::ACCEPTED);
        assert_eq!(webhook.history().last().unwrap().state, "frozen", "a switch changes nothing for producers");
        assert_eq!(post(&url, r#"{"action":"unfreeze"}"#).await.0, StatusCode::GATEWAY_TIMEOUT, "that is never later");
        webhook.acknowledge_later(false);
        assert_eq!(post(&url, r#"{"action":"switch"}"#).await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn unfreezing_names_a_side_and_nonsense_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (webhook, url) = served(dir.path(), Duration::ZERO).await;
        assert_eq!(post(&url, r#"{"action":"unfreeze","towards":"target"}"#).await.1["state"], "running target");
        assert_eq!(post(&url, r#"{"action":"unfreeze"}"#).await.1["state"], "running source");
        assert_eq!(post(&url, r#"{"action":"melt"}"#).await.0, StatusCode::BAD_REQUEST);
        let again = Webhook::new(webhook.dir(), Duration::ZERO).unwrap();
        assert_eq!(again.history().last().unwrap().sequence, 2);
    }
}
