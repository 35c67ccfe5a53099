//! Lambda invocations on real function binaries.
//!
//! Each instance of a function is a process of its own with a queue of its own at the runtime API of
//! `cargo lambda watch --only-lambda-apis`, which knows a function only as a binary in a manifest: a manifest is
//! generated that lists as many binaries as there may be instances. A queue is never used again after its process
//! ended, since a request may still lie in it.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context;
use axum::{
    body::{Body, Bytes},
    extract::{Path as UrlPath, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{ArnPath, FrontState, request_id};
use crate::{
    http,
    process::{self, Process, Spec},
};

/// Size limit of a synchronous request or response (Lambda quotas).
const PAYLOAD_LIMIT: usize = 6 * 1024 * 1024;
const FIRST_MANIFEST: usize = 64;

/// How functions are run.
#[derive(Debug, Clone)]
pub(crate) struct LambdaOptions {
    /// Names of the functions, which are the names of their binaries.
    pub functions: Vec<String>,
    /// Folder of the binaries.
    pub bin_dir: PathBuf,
    /// Concurrent instances per function; one more is answered with TooManyRequestsException.
    pub limit: usize,
    /// Time limit of an invocation.
    pub timeout: Duration,
    /// Environment of every function; nothing is inherited but `PATH` and `HOME`.
    pub env: Vec<(String, String)>,
    /// Folder for `<function>-<n>.log`.
    pub logs: PathBuf,
    /// Folder of the generated manifest.
    pub manifest_dir: PathBuf,
    /// Port of `cargo lambda watch`.
    pub runtime_port: u16,
}

/// The functions and their instances.
#[derive(Debug, Clone)]
pub(crate) struct Lambdas {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: LambdaOptions,
    pools: Mutex<Pools>,
}

#[derive(Debug, Default)]
struct Pools {
    by_function: HashMap<String, Pool>,
    listed: usize,
    closed: bool,
}

#[derive(Debug, Default)]
struct Pool {
    started: usize,
    idle: Vec<Instance>,
    busy: BTreeMap<String, Arc<Instance>>,
}

#[derive(Debug)]
struct Instance {
    id: String,
    process: Process,
}

enum Refusal {
    Throttled,
    Failed(Value),
}

impl Lambdas {
    /// Writes the manifest; instances start on demand.
    ///
    /// # Errors
    /// When the manifest cannot be written.
    pub(crate) fn new(options: LambdaOptions) -> anyhow::Result<Self> {
        let pools = Mutex::new(Pools { listed: FIRST_MANIFEST, ..Pools::default() });
        write_manifest(&options, FIRST_MANIFEST)?;
        Ok(Self { inner: Arc::new(Inner { options, pools }) })
    }

    /// The generated manifest, for `cargo lambda watch --manifest-path`.
    pub(crate) fn manifest(&self) -> PathBuf {
        self.inner.options.manifest_dir.join("Cargo.toml")
    }

    /// Port of the runtime API.
    pub(crate) fn runtime_port(&self) -> u16 {
        self.inner.options.runtime_port
    }

    /// Kills (SIGKILL) the process of one invocation that is running, and says which process that was.
    ///
    /// # Errors
    /// When no instance of the function is busy.
    pub(crate) fn kill_busy(&self, function: &str) -> anyhow::Result<u32> {
        let busy = self.lock().by_function.get(function).and_then(|pool| pool.busy.values().next().cloned());
        let instance = busy.with_context(|| format!("no instance of {function} is busy"))?;
        instance.process.kill();
        Ok(instance.process.pid())
    }

    /// How many invocations of a function are running.
    pub(crate) fn busy(&self, function: &str) -> usize {
        self.lock().by_function.get(function).map_or(0, |pool| pool.busy.len())
    }

    /// Names and ids of the instances' processes.
    pub(crate) fn processes(&self) -> Vec<(String, u32)> {
        let pools = self.lock();
        let of_pool = |pool: &Pool| -> Vec<(String, u32)> {
            let instances = pool.idle.iter().chain(pool.busy.values().map(Arc::as_ref));
            instances.map(|instance| (instance.id.clone(), instance.process.pid())).collect()
        };
        pools.by_function.values().flat_map(of_pool).collect()
    }

    /// Ends the instances that are idle, as AWS does after a while.
    pub(crate) fn retire_idle(&self) {
        self.lock().by_function.values_mut().for_each(|pool| pool.idle.clear());
    }

    /// Kills every instance and starts no more.
    pub(crate) fn stop(&self) {
        let mut pools = self.lock();
        pools.closed = true;
        for pool in pools.by_function.values_mut() {
            pool.idle.clear();
            for instance in std::mem::take(&mut pool.busy).into_values() {
                instance.process.kill();
            }
        }
    }

    async fn call(&self, function: &str, payload: Bytes) -> Response {
        let id = request_id();
        let instance = match self.acquire(function) {
            Ok(instance) => instance,
            Err(Refusal::Throttled) => return throttled(&id),
            Err(Refusal::Failed(error)) => return failed(&id, &error),
        };
        let options = &self.inner.options;
        let url = format!("http://127.0.0.1:{}/2015-03-31/functions/{}/invocations", options.runtime_port, instance.id);
        let response = tokio::select! {
            // An answer given in the moment of the end still counts.
            biased;
            answer = http::post(&url, &[("content-type", "application/json")], payload) => answered(&id, answer),
            status = instance.process.on_exit() => {
                let how = status.map_or_else(|| "unknown".to_owned(), process::describe);
                failed(&id, &json!({
                    "errorType": "Runtime.ExitError",
                    "errorMessage": format!("RequestId: {id} Error: Runtime exited with error: {how}"),
                }))
            }
            () = tokio::time::sleep(options.timeout) => {
                instance.process.kill();
                failed(&id, &json!({
                    "errorType": "Sandbox.Timedout",
                    "errorMessage": format!(
                        "RequestId: {id} Error: Task timed out after {:.2} seconds", options.timeout.as_secs_f64()
                    ),
                }))
            }
        };
        self.release(function, instance);
        response
    }

    fn acquire(&self, function: &str) -> Result<Arc<Instance>, Refusal> {
        let options = &self.inner.options;
        let mut pools = self.lock();
        let closed = pools.closed;
        let pool = pools.by_function.entry(function.to_owned()).or_default();
        pool.idle.retain(|instance| instance.process.exited().is_none());
        if pool.busy.len() >= options.limit || closed {
            return Err(Refusal::Throttled);
        }
        let instance = match pool.idle.pop() {
            Some(instance) => instance,
            None => {
                pool.started += 1;
                let id = format!("{function}-{}", pool.started);
                let started = pool.started;
                self.list(&mut pools, started).and_then(|()| self.start(function, id)).map_err(|error| {
                    Refusal::Failed(
                        json!({"errorType": "Runtime.InvalidEntrypoint", "errorMessage": format!("{error:#}")}),
                    )
                })?
            }
        };
        let instance = Arc::new(instance);
        let pool = pools.by_function.entry(function.to_owned()).or_default();
        pool.busy.insert(instance.id.clone(), Arc::clone(&instance));
        Ok(instance)
    }

    fn release(&self, function: &str, instance: Arc<Instance>) {
        let mut pools = self.lock();
        let closed = pools.closed;
        let Some(pool) = pools.by_function.get_mut(function) else { return };
        pool.busy.remove(&instance.id);
        // kill_busy may hold another handle for a moment; such an instance is not worth keeping.
        if let (false, Some(instance)) = (closed, Arc::into_inner(instance))
            && instance.process.exited().is_none()
        {
            pool.idle.push(instance);
        }
    }

    fn list(&self, pools: &mut Pools, needed: usize) -> anyhow::Result<()> {
        if needed > pools.listed {
            pools.listed *= 2;
            write_manifest(&self.inner.options, pools.listed)?;
        }
        Ok(())
    }

    fn start(&self, function: &str, id: String) -> anyhow::Result<Instance> {
        let options = &self.inner.options;
        let program = options.bin_dir.join(function);
        anyhow::ensure!(
            program.exists(),
            "there is no binary {}; build it first: cargo build -p {function}",
            program.display()
        );
        let process = Process::spawn(Spec {
            name: id.clone(),
            program,
            args: Vec::new(),
            env: instance_env(options, function, &id),
            clean_env: true,
            log: options.logs.join(format!("{id}.log")),
            dir: options.logs.clone(),
        })?;
        Ok(Instance { id, process })
    }

    fn lock(&self) -> MutexGuard<'_, Pools> {
        self.inner.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) async fn invoke(
    State(front): FrontState,
    UrlPath(name): ArnPath,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let id = request_id();
    let Ok(payload) = axum::body::to_bytes(body, PAYLOAD_LIMIT).await else {
        let message = format!("Request must be smaller than {PAYLOAD_LIMIT} bytes for the InvokeFunction operation");
        return refused(&id, StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", &message);
    };
    let lambdas = front.lambdas;
    let Some(function) = function_name(&name).filter(|name| lambdas.inner.options.functions.iter().any(|f| f == name))
    else {
        return refused(
            &id,
            StatusCode::NOT_FOUND,
            "ResourceNotFoundException",
            &format!("Function not found: {name}"),
        );
    };
    let function = function.to_owned();
    // A task of its own: as on AWS, an invocation runs on when its caller hangs up.
    let invocation = tokio::spawn(async move { lambdas.call(&function, payload).await });
    match headers.get("x-amz-invocation-type").and_then(|kind| kind.to_str().ok()) {
        Some("Event") => (StatusCode::ACCEPTED, [("x-amzn-requestid", id)]).into_response(),
        _ => invocation.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response()),
    }
}

/// The function in `name`, `name:alias`, an ARN, or an ARN with an alias.
fn function_name(name: &str) -> Option<&str> {
    match name.strip_prefix("arn:") {
        Some(arn) => arn.split(':').nth(5),
        None => name.split(':').next(),
    }
}

fn instance_env(options: &LambdaOptions, function: &str, id: &str) -> Vec<(String, String)> {
    let api = format!("http://127.0.0.1:{}/.rt/{id}", options.runtime_port);
    let inherited = ["PATH", "HOME"].into_iter().filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)));
    let runtime = [
        ("AWS_LAMBDA_RUNTIME_API", api.as_str()),
        ("AWS_LAMBDA_FUNCTION_NAME", function),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", function),
        ("AWS_LAMBDA_LOG_STREAM_NAME", id),
    ];
    let runtime = runtime.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    inherited.chain(runtime).chain(options.env.iter().cloned()).collect()
}

fn write_manifest(options: &LambdaOptions, instances: usize) -> anyhow::Result<()> {
    let dir = &options.manifest_dir;
    std::fs::create_dir_all(dir)?;
    write(&dir.join("main.rs"), "fn main() {}\n")?;
    let mut text = "[workspace]\n[package]\nname = \"instances\"\nversion = \"0.0.0\"\nedition = \"2024\"\n".to_owned();
    for function in &options.functions {
        for n in 1..=instances {
            text += &format!("[[bin]]\nname = \"{function}-{n}\"\npath = \"main.rs\"\n");
        }
    }
    write(&dir.join("Cargo.toml"), &text)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// cargo-lambda answers HTTP 500 when a function reports an error; AWS answers 200 with a header.
fn answered(id: &str, answer: anyhow::Result<(StatusCode, Bytes)>) -> Response {
    match answer {
        Ok((StatusCode::OK, body)) if body.len() > PAYLOAD_LIMIT => failed(
            id,
            &json!({
                "errorType": "Function.ResponseSizeTooLarge",
                "errorMessage": format!("Response payload size exceeded maximum allowed payload size ({PAYLOAD_LIMIT} bytes)."),
            }),
        ),
        Ok((StatusCode::OK, body)) => {
            ([("x-amzn-requestid", id), ("x-amz-executed-version", "1")], body).into_response()
        }
        Ok((_, body)) => failed(id, &serde_json::from_slice(&body).unwrap_or_else(|_| unreadable(&body))),
        Err(error) => refused(id, StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", &format!("{error:#}")),
    }
}

fn unreadable(body: &[u8]) -> Value {
    json!({"errorType": "Runtime.Unknown", "errorMessage": String::from_utf8_lossy(body)})
}

fn failed(id: &str, error: &Value) -> Response {
    let headers = [("x-amz-function-error", "Unhandled"), ("x-amzn-requestid", id), ("x-amz-executed-version", "1")];
    (headers, error.to_string()).into_response()
}

fn throttled(id: &str) -> Response {
    refused(id, StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", "Rate Exceeded.")
}

fn refused(id: &str, status: StatusCode, kind: &str, message: &str) -> Response {
    let headers = [("x-amzn-errortype", kind), ("x-amzn-requestid", id)];
    (status, headers, json!({"Type": "User", "message": message, "errorType": kind}).to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_out_of_arns() {
        for name in [
            "tail-batch",
            "tail-batch:live",
            "arn:aws:lambda:us-east-1:123456789012:function:tail-batch",
            "arn:aws:lambda:us-east-1:123456789012:function:tail-batch:7",
        ] {
            assert_eq!(function_name(name), Some("tail-batch"));
        }
        assert_eq!(function_name("arn:aws:lambda"), None);
    }
}
