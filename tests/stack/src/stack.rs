//! A running stack: how its parts come up together and go down in reverse.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{
    aws,
    certificates::Certificates,
    deploy,
    front::{AwsTrouble, Front, LambdaOptions, Lambdas, Msk, MskCluster, Requests, SOURCE_ARN, TARGET_ARN, Troubles},
    http, java,
    kafka::{AuthFiles, Cluster, ClusterSpec, Listener, Side},
    layout::Layout,
    moto,
    options::{MEMORY_ENV, Options},
    ports::Ports,
    process::{self, Process, Spec},
    progress::Progress,
    setup::{self, Tools},
    snapshot,
    webhook::Webhook,
};

const STOP_GRACE: Duration = Duration::from_secs(5);
const RUNTIME_API_LIMIT: Duration = Duration::from_secs(60);
/// Time a function keeps for finishing its work before its limit.
const BUDGET_MARGIN: Duration = Duration::from_secs(60);

/// A running stack. Dropping it stops every process, without saving the AWS side; [`Stack::stop`] saves it.
#[derive(Debug)]
pub struct Stack {
    options: Options,
    layout: Layout,
    certificates: Option<Certificates>,
    source: Arc<Cluster>,
    target: Arc<Cluster>,
    lambdas: Lambdas,
    troubles: Troubles,
    msk: Msk,
    webhook: Webhook,
    requests: Requests,
    front_port: u16,
    webhook_port: u16,
    moto_port: u16,
    tasks: Vec<JoinHandle<()>>,
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
        anyhow::ensure!(matches!(options.brokers, 1 | 3), "1 or 3 brokers a side, not {}", options.brokers);
        check_sides(&options)?;
        let layout = Layout::new(&options.name)?;
        let progress = Progress::new(options.quiet);
        let tools = setup::ensure(&[&options.source_version, &options.target_version], &progress).await?;
        layout.prepare(options.keep)?;
        let mut stack = Self::plan(options, layout, &tools).await?;
        stack.bring_up(&tools, &progress).await?;
        Ok(stack)
    }

    /// Bootstrap servers of the source.
    pub fn source_bootstrap(&self) -> String {
        self.source.bootstrap()
    }

    /// Bootstrap servers of the target.
    pub fn target_bootstrap(&self) -> String {
        self.target.bootstrap()
    }

    /// One of the clusters: its tools, log directories, and ways to kill and restart its brokers.
    pub fn cluster(&self, side: Side) -> &Cluster {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// The certificates of brokers and clients; none without [`Options::auth_listeners`].
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// ARN of the source's or the target's stand-in at MSK.
    pub fn cluster_arn(&self, side: Side) -> &'static str {
        match side {
            Side::Source => SOURCE_ARN,
            Side::Target => TARGET_ARN,
        }
    }

    /// The AWS endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.front_port)
    }

    /// The freeze webhook's URL.
    pub fn webhook_url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.webhook_port)
    }

    /// The freeze webhook itself: its folder, history and producers.
    pub fn webhook(&self) -> &Webhook {
        &self.webhook
    }

    /// ARN of the deployed state machine.
    pub fn state_machine_arn(&self) -> String {
        aws::state_machine_arn(aws::STATE_MACHINE)
    }

    /// Folder of all log files.
    pub fn logs(&self) -> PathBuf {
        self.layout.logs()
    }

    /// Environment for the CLI and the functions.
    pub fn env(&self) -> Vec<(String, String)> {
        environment(self.front_port, &self.options)
    }

    /// Runs one of Kafka's own tools with the jars of a side.
    ///
    /// # Errors
    /// As [`Cluster::tool`].
    pub async fn kafka_tool(&self, side: Side, tool: &str, args: &[&str]) -> anyhow::Result<String> {
        Ok(self.cluster(side).tool(tool, args).await?.stdout)
    }

    /// Class path of a side's jars.
    pub fn java_classpath(&self, side: Side) -> String {
        self.cluster(side).classpath()
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
        let clusters = [&self.source, &self.target].into_iter().flat_map(|cluster| cluster.processes());
        own.chain(clusters).chain(self.lambdas.processes()).collect()
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
            false => snapshot::save(&moto_url(self.moto_port), &self.layout.aws()).await.context("saving the AWS side"),
        };
        tokio::task::spawn_blocking(move || self.shut_down()).await?;
        saved
    }

    async fn plan(options: Options, layout: Layout, tools: &Tools) -> anyhow::Result<Self> {
        let mut ports = Ports::load(&layout.ports())?;
        let certificates = match options.auth_listeners {
            true => Some(Certificates::make(&layout.conf().join("tls"))?),
            false => None,
        };
        let auth = auth_files(certificates.as_ref(), [&options.source_version, &options.target_version]).await?;
        let mut cluster = |side, version: &str, auth: Option<AuthFiles>| {
            let spec = ClusterSpec {
                side,
                version: version.to_owned(),
                brokers: options.brokers,
                heap_mib: options.broker_heap_mib,
                jvm: options.broker_jvm,
                linked: options.linked,
                auth,
                config: if side == Side::Target { options.target_config.clone() } else { Vec::new() },
            };
            Cluster::plan(spec, &tools.java, &layout, &mut ports).map(Arc::new)
        };
        let [source_auth, target_auth] = auth;
        let source = cluster(Side::Source, &options.source_version, source_auth)?;
        let target = cluster(Side::Target, &options.target_version, target_auth)?;
        let [moto_port, runtime_port, front_port, webhook_port] =
            [ports.get("moto")?, ports.get("lambda")?, ports.get("front")?, ports.get("webhook")?];
        ports.save(&layout.ports())?;
        let webhook = Webhook::new(&layout.webhook(), options.freeze_ack_limit)?;
        let lambdas = Lambdas::new(lambda_options(&options, &layout, runtime_port, front_port))?;
        let clusters = [as_msk(&source), as_msk(&target)];
        let front = Front::new(lambdas.clone(), clusters, moto_port, options.s3_port);
        let (requests, troubles, msk) = (front.requests.clone(), front.troubles.clone(), front.msk.clone());
        let tasks = vec![
            tokio::spawn(front.serve(TcpListener::bind(("127.0.0.1", front_port)).await?)),
            tokio::spawn(webhook.clone().serve(TcpListener::bind(("127.0.0.1", webhook_port)).await?)),
        ];
        Ok(Self {
            options,
            layout,
            certificates,
            source,
            target,
            lambdas,
            troubles,
            msk,
            webhook,
            requests,
            front_port,
            webhook_port,
            moto_port,
            tasks,
            processes: Vec::new(),
            stopped: false,
        })
    }

    async fn bring_up(&mut self, tools: &Tools, progress: &Progress) -> anyhow::Result<()> {
        let (_, _, moto, runtime) = tokio::try_join!(
            self.source.start(progress),
            self.target.start(progress),
            self.bring_up_aws(tools, progress),
            self.start_runtime_api(tools, progress),
        )?;
        self.processes = vec![moto, runtime];
        Ok(())
    }

    async fn bring_up_aws(&self, tools: &Tools, progress: &Progress) -> anyhow::Result<Process> {
        let moto = moto::start(&tools.venv, &self.layout, self.moto_port, self.front_port, progress).await?;
        let endpoint = moto_url(self.moto_port);
        deploy::create_table(&endpoint).await?;
        if self.options.s3_port.is_none() {
            deploy::create_buckets(&endpoint).await?;
        }
        if let Some(asl) = deploy::read_asl(&self.options.state_machine)? {
            deploy::create_state_machine(&endpoint, aws::STATE_MACHINE, &asl, &self.options.functions).await?;
        }
        if self.options.keep {
            snapshot::restore(&endpoint, &self.layout.aws()).await.context("restoring the AWS side")?;
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
            log: self.layout.logs().join("cargo-lambda.log"),
            dir: manifest.parent().unwrap_or(self.layout.home()).to_owned(),
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
        for task in &self.tasks {
            task.abort();
        }
        let at_once = self.options.discard;
        std::thread::scope(|scope| {
            scope.spawn(|| process::terminate_all(&self.processes, if at_once { Duration::ZERO } else { STOP_GRACE }));
            scope.spawn(|| self.source.stop(at_once));
            scope.spawn(|| self.target.stop(at_once));
        });
        self.processes.clear();
        if at_once {
            // Only the space is at stake; the next start of this name removes what is left.
            let _ = std::fs::remove_dir_all(self.layout.data());
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// What the brokers of both sides, of these versions, need for listeners that want to know who a client is.
async fn auth_files(
    certificates: Option<&Certificates>,
    versions: [&str; 2],
) -> anyhow::Result<[Option<AuthFiles>; 2]> {
    let Some(certificates) = certificates else { return Ok([None, None]) };
    let files = async |version: &str| {
        let libs = format!("{}/*", setup::kafka_lib(version).display());
        let classes = java::compile("broker", &libs).await?;
        anyhow::Ok(Some(AuthFiles { certificates: certificates.clone(), classes }))
    };
    Ok([files(versions[0]).await?, files(versions[1]).await?])
}

fn check_sides(options: &Options) -> anyhow::Result<()> {
    let (source, target) = (&options.source_version, &options.target_version);
    let (sources, targets) = (setup::SOURCE_VERSIONS, setup::TARGET_VERSIONS);
    anyhow::ensure!(sources.contains(&source.as_str()), "Kafka {source} cannot be the source: {}", sources.join(", "));
    anyhow::ensure!(targets.contains(&target.as_str()), "Kafka {target} cannot be the target: {}", targets.join(", "));
    Ok(())
}

fn moto_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn as_msk(cluster: &Cluster) -> MskCluster {
    let arn = match cluster.side() {
        Side::Source => SOURCE_ARN,
        Side::Target => TARGET_ARN,
    };
    MskCluster {
        side: cluster.side(),
        arn: arn.to_owned(),
        version: cluster.version().to_owned(),
        bootstrap: cluster.bootstrap(),
        bootstrap_scram: cluster.bootstrap_of(Listener::Scram),
        // MSK has one listener for TLS; it wants certificates where clients have to have some.
        bootstrap_tls: cluster.bootstrap_of(Listener::Mtls),
        bootstrap_iam: cluster.bootstrap_of(Listener::Iam),
        zookeeper: cluster.zookeeper_connect(),
        brokers: cluster.size(),
    }
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
