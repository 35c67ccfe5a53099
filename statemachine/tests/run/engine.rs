//! moto with its Step Functions interpreter, and the front that it calls for functions and manifests.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_sfn::config::{BehaviorVersion, Region};
use aws_sdk_sfn::types::ExecutionStatus;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use migration::message::Caught;
use serde_json::{Value, json};
use stack::{FUNCTIONS, layout::Layout, ports::Ports, process::Process, progress::Progress};

use crate::world::{Refused, World};

/// A guard against waiting for ever; nothing is expected to take this long.
const PATIENCE: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(50);

/// The interpreter and everything that runs on it.
#[derive(Clone)]
pub(crate) struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    endpoint: String,
    sfn: aws_sdk_sfn::Client,
    worlds: Worlds,
    _moto: Process,
}

type Worlds = Arc<Mutex<BTreeMap<String, Arc<World>>>>;

/// One execution.
pub(crate) struct Run {
    engine: Engine,
    execution: String,
    pub(crate) world: Arc<World>,
}

/// How an execution ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// In this state.
    Succeeded(String),
    /// What was recorded of the failure, as the journal would have it.
    Failed(String),
}

impl Engine {
    pub(crate) async fn start() -> Self {
        let progress = Progress::new(true);
        let tools = stack::setup::ensure(&[], &progress).await.unwrap();
        let layout = Layout::new("test-statemachine").unwrap();
        layout.prepare(false).unwrap();
        let worlds = Worlds::default();
        let front = TcpListener::bind("127.0.0.1:0").unwrap();
        let front_port = front.local_addr().unwrap().port();
        tokio::spawn(serve(front, worlds.clone()));
        let port = Ports::default().get("moto").unwrap();
        let moto = stack::moto::start(&tools.venv, &layout, port, front_port, &progress).await.unwrap();
        let endpoint = format!("http://127.0.0.1:{port}");
        let config = aws_sdk_sfn::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(stack::REGION))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .endpoint_url(&endpoint)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        let sfn = aws_sdk_sfn::Client::from_conf(config);
        Self { inner: Arc::new(Inner { endpoint, sfn, worlds, _moto: moto }) }
    }

    /// Starts an execution of the state machine in `world`.
    pub(crate) async fn run(&self, world: World) -> Run {
        self.run_changed(world, |_| {}).await
    }

    /// Starts an execution in `world` of a state machine that is changed before.
    pub(crate) async fn run_changed(&self, world: World, change: impl FnOnce(&mut Value)) -> Run {
        let mut machine = statemachine::definition().unwrap();
        shorten(&mut machine);
        change(&mut machine);
        let Inner { endpoint, sfn, worlds, .. } = &*self.inner;
        let (name, world) = (world.id.clone(), Arc::new(world));
        assert!(worlds.lock().unwrap().insert(name.clone(), world.clone()).is_none(), "{name} exists twice");
        let functions = FUNCTIONS.map(str::to_owned);
        let machine = machine.to_string();
        let machine = stack::deploy::create_state_machine(endpoint, &name, &machine, &functions).await.unwrap();
        let input = json!({"migration_id": name, "config": null}).to_string();
        let started = sfn.start_execution().state_machine_arn(machine).name(&name).input(input).send().await.unwrap();
        Run { engine: self.clone(), execution: started.execution_arn, world }
    }
}

impl Run {
    /// Waits until a gate opens and lets it pass.
    pub(crate) async fn approve(&self, gate: &str) {
        self.decide(gate, "approve").await;
    }

    /// Waits until a gate opens and answers it. The answer to an opening whose time was up does not count.
    pub(crate) async fn decide(&self, gate: &str, verdict: &str) {
        let verdict = json!({"verdict": verdict}).to_string();
        let mut token = self.until(gate, || self.world.token(gate)).await;
        loop {
            let sent = self.engine.inner.sfn.send_task_success().task_token(&token).output(&verdict).send().await;
            match sent.map_err(aws_sdk_sfn::error::SdkError::into_service_error) {
                Ok(_) => return,
                Err(error) if error.is_task_timed_out() => token = self.until(gate, || self.world.token(gate)).await,
                // The interpreter stumbles over an execution that is just being started, and asks for another try.
                Err(error) => assert!(error.meta().code().is_none(), "{gate}: {error:?}"),
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until a function has been called `times` times.
    pub(crate) async fn called(&self, call: &str, times: usize) {
        self.until(&format!("{times} x {call}"), || (self.world.count(call) >= times).then_some(())).await;
    }

    /// Waits until a function has been called, or a gate is open again.
    pub(crate) async fn called_or_opened(&self, call: &str, gate: &str) {
        let ready = || (self.world.count(call) > 0 || self.world.is_open(gate)).then_some(());
        self.until(&format!("{call} or the gate {gate}"), ready).await;
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) -> Ended {
        let sfn = &self.engine.inner.sfn;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let now = sfn.describe_execution().execution_arn(&self.execution).send().await.unwrap();
            match now.status {
                ExecutionStatus::Running => {}
                ExecutionStatus::Succeeded => {
                    return Ended::Succeeded(self.entered().await.last().unwrap().clone());
                }
                _ => {
                    let caught = self.world.failure().unwrap_or_else(|| panic!("{now:?} left nothing behind"));
                    return Ended::Failed(serde_json::from_value::<Caught>(caught).unwrap().reason());
                }
            }
            assert!(tokio::time::Instant::now() < deadline, "{} did not end: {:?}", self.execution, self.world.calls());
            tokio::time::sleep(POLL).await;
        }
    }

    /// The states that were entered, those of children excepted.
    pub(crate) async fn entered(&self) -> Vec<String> {
        let history = self.engine.inner.sfn.get_execution_history().execution_arn(&self.execution).into_paginator();
        let events = history.items().send().collect::<Result<Vec<_>, _>>().await.unwrap();
        events.into_iter().filter_map(|event| Some(event.state_entered_event_details?.name)).collect()
    }

    async fn until<T>(&self, what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(value) = ready() {
                return value;
            }
            let waiting = tokio::time::Instant::now() < deadline;
            assert!(waiting, "{}: {what} did not come: {:?}", self.world.id, self.world.calls());
            tokio::time::sleep(POLL).await;
        }
    }
}

/// The state called `name`, wherever it is.
pub(crate) fn state<'a>(machine: &'a mut Value, name: &str) -> &'a mut Value {
    fn find<'a>(value: &'a mut Value, name: &str) -> Option<&'a mut Value> {
        match value {
            Value::Object(fields) => {
                if fields.get(name).is_some_and(|found| found.get("Type").is_some()) {
                    return fields.get_mut(name);
                }
                fields.values_mut().find_map(|value| find(value, name))
            }
            Value::Array(values) => values.iter_mut().find_map(|value| find(value, name)),
            _ => None,
        }
    }
    find(machine, name).unwrap_or_else(|| panic!("there is no state {name}"))
}

/// Makes pauses and backoffs as short as they can be.
fn shorten(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "Seconds" | "MaxDelaySeconds" | "IntervalSeconds" => *value = json!(1),
                    _ => shorten(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(shorten),
        _ => {}
    }
}

async fn serve(listener: TcpListener, worlds: Worlds) {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let routes = Router::new().route("/2015-03-31/functions/{name}/invocations", post(invoke)).fallback(object);
    axum::serve(listener, routes.with_state(worlds)).await.unwrap();
}

/// Lambda's answers: an error of a function is not one of the invocation.
async fn invoke(State(worlds): State<Worlds>, Path(arn): Path<String>, body: Bytes) -> Response {
    let function = arn.rsplit(':').next().unwrap();
    let payload: Value = serde_json::from_slice(&body).unwrap();
    let world = worlds.lock().unwrap()[payload["migration_id"].as_str().unwrap()].clone();
    match world.answer(function, &payload).await {
        Ok(answer) => answer.to_string().into_response(),
        Err(Refused::Failed(kind)) => {
            let error = json!({"errorType": kind, "errorMessage": format!("{function} was to fail")});
            ([("x-amz-function-error", "Unhandled")], error.to_string()).into_response()
        }
        Err(Refused::Throttled) => {
            let kind = [("x-amzn-errortype", "TooManyRequestsException"), ("x-amzn-requestid", "1")];
            (StatusCode::TOO_MANY_REQUESTS, kind, r#"{"message": "Rate Exceeded."}"#).into_response()
        }
    }
}

/// S3's answer for a manifest, whose key is the migration's id.
async fn object(State(worlds): State<Worlds>, uri: Uri) -> Response {
    let id = uri.path().rsplit('/').next().unwrap();
    let manifest = worlds.lock().unwrap().get(id).and_then(|world| world.manifest());
    match manifest {
        Some(manifest) => manifest.to_string().into_response(),
        None => (StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>").into_response(),
    }
}
