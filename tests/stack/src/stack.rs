//! A running stack: how its parts come up together and go down in reverse.

use std::{collections::BTreeMap, ops::Deref, time::Duration};

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{
    aws, deploy,
    front::{AwsTrouble, Front, LambdaOptions, Lambdas, Msk, Requests, Troubles},
    ground::Ground,
    http,
    kafka::Side,
    layout::Layout,
    moto,
    options::{MEMORY_ENV, Options},
    ports::Ports,
    process::{self, Process, Spec},
    progress::Progress,
    setup::Tools,
    snapshot,
};

const STOP_GRACE: Duration = Duration::from_secs(5);
const RUNTIME_API_LIMIT: Duration = Duration::from_secs(60);
/// Time a function keeps for finishing its work before its limit.
const BUDGET_MARGIN: Duration = Duration::from_secs(60);

/// A running stack. Dropping it stops every process, without saving the AWS side; [`Stack::stop`] saves it.
#[derive(Debug)]
pub struct Stack {
    options: Options,
    ground: Ground,
    lambdas: Lambdas,
    troubles: Troubles,
    msk: Msk,
    requests: Requests,
    front_port: u16,
    moto_port: u16,
    front: JoinHandle<()>,
    /// moto and cargo lambda.
    processes: Vec<Process>,
    stopped: bool,
}

impl Stack {
    /// Fetches what is missing, starts everything at once, and deploys.
    ///
    /// # Errors
    /// When the machine lacks a program, a process does not come up (with the end of its log), or the state machine is
    /// refused. Whatever had started is stopped.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let progress = Progress::new(options.quiet);
        let (layout, tools) = Ground::prepare(&options, &progress).await?;
        let mut stack = Self::plan(options, layout, &tools).await?;
        stack.bring_up(&tools, &progress).await?;
        Ok(stack)
    }

    /// The AWS endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.front_port)
    }

    /// ARN of the deployed state machine.
    pub fn state_machine_arn(&self) -> String {
        aws::state_machine_arn(aws::STATE_MACHINE)
    }

    /// Environment for the CLI and the functions.
    pub fn env(&self) -> Vec<(String, String)> {
        environment(self.front_port, &self.options)
    }

    /// Kills (SIGKILL) a running invocation's process; its id is returned.
    ///
    /// # Errors
    /// When no instance of the function is busy.
    pub fn kill_function_instance(&self, function: &str) -> anyhow::Result<u32> {
        self.lambdas.kill_busy(function)
    }

    /// How many invocations of a function are running.
    pub fn busy_instances(&self, function: &str) -> usize {
        self.lambdas.busy(function)
    }

    /// Invokes a function with `payload`, as anybody may beside the state machine, and waits for its answer.
    ///
    /// # Errors
    /// With what the function, or Lambda in its place, said went wrong.
    pub async fn invoke(&self, function: &str, payload: &Value) -> anyhow::Result<Value> {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.endpoint());
        let (status, body) = http::post(&url, &[], payload.to_string().into()).await?;
        let answer: Value = serde_json::from_slice(&body).context("an answer that is not JSON")?;
        let failed = !status.is_success() || answer.get("errorType").is_some();
        anyhow::ensure!(!failed, "{function} failed ({status}): {answer}");
        Ok(answer)
    }

    /// Calls an AWS service that speaks JSON by target names, `DynamoDB_20120810.Scan` for example.
    ///
    /// # Errors
    /// When there is no answer, or it is an error; then with its text.
    pub async fn aws_json(&self, target: &str, body: &Value) -> anyhow::Result<Value> {
        http::aws_json(&self.endpoint(), target, body).await
    }

    /// Makes trouble with AWS, in place of the trouble there was; nothing ends it.
    pub fn trouble_aws(&self, trouble: Option<AwsTrouble>) {
        self.troubles.set(trouble);
    }

    /// Has the MSK API describe a side as another cluster: `instead` is merged into its `clusterInfo` (RFC 7386), in place
    /// of what was merged before.
    pub fn describe_with(&self, side: Side, instead: Value) {
        self.msk.describe_with(side, instead);
    }

    /// How many calls of AWS were hit by trouble since the start.
    pub fn troubled_calls(&self) -> u64 {
        self.troubles.hit()
    }

    /// Names and ids of the processes that run: `source-1`, `zookeeper`, `moto`, `seed-partition-1` and so on.
    pub fn processes(&self) -> Vec<(String, u32)> {
        let own = self.processes.iter().map(|process| (process.name().to_owned(), process.pid()));
        own.chain(self.ground.cluster_processes()).chain(self.lambdas.processes()).collect()
    }

    /// Requests to the JSON services (DynamoDB, Step Functions) so far, by operation.
    pub fn aws_requests(&self) -> BTreeMap<String, u64> {
        self.requests.counts()
    }

    /// How many requests to what stands for AWS were under way between `from` and `to`, and how much of that time at least one
    /// was. Of many thousand requests the oldest are forgotten.
    pub fn aws_between(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> (usize, Duration) {
        self.requests.between(from, to)
    }

    /// Ends the instances of functions that are idle; the next invocation is a cold start.
    pub fn retire_idle_instances(&self) {
        self.lambdas.retire_idle();
    }

    /// Creates a further state machine, for tests with a definition of their own; placeholders are filled in.
    ///
    /// # Errors
    /// When a placeholder is unknown or the definition is refused.
    pub async fn create_state_machine(&self, name: &str, asl: &Value) -> anyhow::Result<String> {
        let moto = moto_url(self.moto_port);
        deploy::create_state_machine(&moto, name, &asl.to_string(), &self.options.functions).await
    }

    /// The content of an object in one of the stack's buckets.
    ///
    /// # Errors
    /// When there is no such object.
    pub async fn get_object(&self, bucket: &str, key: &str) -> anyhow::Result<Vec<u8>> {
        let object = crate::aws::s3(&self.endpoint()).get_object().bucket(bucket).key(key).send().await;
        let object = object.with_context(|| format!("no object {key} in {bucket}"))?;
        Ok(object.body.collect().await?.to_vec())
    }

    /// Saves the AWS side for a start with `keep` (unless the data is to be discarded) and stops everything.
    ///
    /// # Errors
    /// When saving fails; everything is stopped nevertheless.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.lambdas.stop();
        let saved = match self.options.discard {
            true => Ok(()),
            false => snapshot::save(&moto_url(self.moto_port), &self.ground.layout().aws())
                .await
                .context("saving the AWS side"),
        };
        tokio::task::spawn_blocking(move || self.shut_down()).await?;
        saved
    }

    async fn plan(options: Options, layout: Layout, tools: &Tools) -> anyhow::Result<Self> {
        let mut ports = Ports::load(&layout.ports())?;
        let ground = Ground::plan(&options, &layout, tools, &mut ports).await?;
        let [moto_port, runtime_port, front_port] = [ports.get("moto")?, ports.get("lambda")?, ports.get("front")?];
        ports.save(&layout.ports())?;
        let lambdas = Lambdas::new(lambda_options(&options, &layout, runtime_port, front_port))?;
        let front = Front::new(lambdas.clone(), ground.as_msk(), moto_port, options.s3_port);
        let (requests, troubles, msk) = (front.requests.clone(), front.troubles.clone(), front.msk.clone());
        let front = tokio::spawn(front.serve(TcpListener::bind(("127.0.0.1", front_port)).await?));
        Ok(Self {
            options,
            ground,
            lambdas,
            troubles,
            msk,
            requests,
            front_port,
            moto_port,
            front,
            processes: Vec::new(),
            stopped: false,
        })
    }

    async fn bring_up(&mut self, tools: &Tools, progress: &Progress) -> anyhow::Result<()> {
        let ((), moto, runtime) = tokio::try_join!(
            self.ground.start(progress),
            self.bring_up_aws(tools, progress),
            self.start_runtime_api(tools, progress),
        )?;
        self.processes = vec![moto, runtime];
        Ok(())
    }

    async fn bring_up_aws(&self, tools: &Tools, progress: &Progress) -> anyhow::Result<Process> {
        let moto = moto::start(&tools.venv, self.ground.layout(), self.moto_port, self.front_port, progress).await?;
        let endpoint = moto_url(self.moto_port);
        deploy::create_table(&endpoint).await?;
        if self.options.s3_port.is_none() {
            deploy::create_buckets(&endpoint).await?;
        }
        if let Some(asl) = deploy::read_asl(&self.options.state_machine)? {
            deploy::create_state_machine(&endpoint, aws::STATE_MACHINE, &asl, &self.options.functions).await?;
        }
        if self.options.keep {
            snapshot::restore(&endpoint, &self.ground.layout().aws()).await.context("restoring the AWS side")?;
        }
        Ok(moto)
    }

    /// `cargo lambda watch` builds and runs nothing here: it only serves the runtime API to the instances.
    async fn start_runtime_api(&self, tools: &Tools, progress: &Progress) -> anyhow::Result<Process> {
        let step = progress.step("cargo lambda (the functions' runtime API)");
        let port = self.lambdas.runtime_port();
        let manifest = self.lambdas.manifest();
        let port_text = port.to_string();
        let args = ["lambda", "watch", "--only-lambda-apis", "--ignore-changes", "-A", "127.0.0.1", "-P", &port_text];
        let mut args: Vec<String> = args.map(str::to_owned).into();
        args.extend(["--manifest-path".to_owned(), manifest.display().to_string()]);
        let process = Process::spawn(Spec {
            name: "cargo-lambda".to_owned(),
            program: tools.venv.join("bin/cargo-lambda"),
            args,
            env: Vec::new(),
            clean_env: false,
            log: self.ground.layout().logs().join("cargo-lambda.log"),
            dir: manifest.parent().unwrap_or(self.ground.layout().home()).to_owned(),
        })?;
        process.ready(RUNTIME_API_LIMIT, || async { TcpStream::connect(("127.0.0.1", port)).await.is_ok() }).await?;
        step.done();
        Ok(process)
    }

    /// Stops everything in the reverse order of dependence. Blocks the thread, needs no runtime.
    fn shut_down(&mut self) {
        if std::mem::replace(&mut self.stopped, true) {
            return;
        }
        self.lambdas.stop();
        self.front.abort();
        let grace = if self.options.discard { Duration::ZERO } else { STOP_GRACE };
        std::thread::scope(|scope| {
            scope.spawn(|| process::terminate_all(&self.processes, grace));
            scope.spawn(|| self.ground.shut_down());
        });
        self.processes.clear();
    }
}

/// A stack is its ground with a stand-in for AWS on it.
impl Deref for Stack {
    type Target = Ground;

    fn deref(&self) -> &Ground {
        &self.ground
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.shut_down();
    }
}

fn moto_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn environment(front_port: u16, options: &Options) -> Vec<(String, String)> {
    let budget = options.function_timeout.saturating_sub(BUDGET_MARGIN).max(options.function_timeout / 2);
    let mut env = aws::client_env(&format!("http://127.0.0.1:{front_port}"));
    env.extend([
        ("MSK_KRAFT_TABLE".to_owned(), aws::TABLE.to_owned()),
        ("MSK_KRAFT_STATE_MACHINE_ARN".to_owned(), aws::state_machine_arn(aws::STATE_MACHINE)),
        ("MSK_KRAFT_TIME_BUDGET".to_owned(), budget.as_millis().to_string()),
        ("RUST_LOG".to_owned(), std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned())),
    ]);
    env
}

fn lambda_options(options: &Options, layout: &Layout, runtime_port: u16, front_port: u16) -> LambdaOptions {
    let mut env = environment(front_port, options);
    // In Lambda a role's credentials are those of a session.
    env.push(("AWS_SESSION_TOKEN".to_owned(), aws::SESSION_TOKEN.to_owned()));
    env.extend(MEMORY_ENV.map(|(name, value)| (name.to_owned(), value.to_owned())));
    // Straight there: the front would only pass on what it gets.
    env.extend(options.s3_port.map(|port| ("AWS_ENDPOINT_URL_S3".to_owned(), format!("http://127.0.0.1:{port}"))));
    env.extend(options.function_env.iter().cloned());
    LambdaOptions {
        functions: options.functions.clone(),
        bin_dir: options.bin_dir.clone(),
        limit: options.function_limit,
        timeout: options.function_timeout,
        env,
        logs: layout.logs(),
        manifest_dir: layout.conf().join("lambda"),
        runtime_port,
    }
}
