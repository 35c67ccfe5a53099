//! A journal, a state machine and functions of its own for each test, and the binary to run against them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue};
use journal::{Decided, Decision, GateName, GateState, Journal, NewRun, Side, Token, Verdict, schema};
use migration::progress::PartitionProgress;
use migration::{BatchId, Config, Phase, TopicPartition};
use runtime::Store;
use runtime::gates::Answered;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

/// An execution that would go on for the whole test.
const DEFINITION: &str = r#"{"StartAt":"Wait","States":{"Wait":{"Type":"Wait","Seconds":600,"End":true}}}"#;
/// Longest wait for something that has to happen.
const LONGEST: Duration = Duration::from_secs(60);

/// Answers of the functions by `op`, with whether they are errors.
type Answers = Arc<Mutex<HashMap<String, (bool, Value)>>>;

/// Everything of one test.
pub(crate) struct Bench {
    pub(crate) journal: Journal,
    env: Vec<(&'static str, String)>,
    sfn: aws_sdk_sfn::Client,
    state_machine: String,
    answers: Answers,
    dir: tempfile::TempDir,
    tokens: AtomicU32,
}

/// A run of the binary.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    pub(crate) fn prints(&self, text: &str) -> &Self {
        assert!(self.stdout.contains(text), "{text:?} is not on stdout: {self:#?}");
        self
    }

    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "{text:?} is not on stderr: {self:#?}");
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Bench {
    /// A migration `m1` in `phase`, without a freeze webhook; in `planned` it does not exist yet.
    pub(crate) async fn new(phase: Phase) -> Option<Self> {
        Self::with(phase, false).await
    }

    /// The same, with a freeze webhook if wanted. `None`, and a line that says so, where there is no stand-in.
    pub(crate) async fn with(phase: Phase, webhook: bool) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let Ok(endpoint) = std::env::var("MSK_KRAFT_TEST_AWS") else {
            println!("skipped: MSK_KRAFT_TEST_AWS is not set");
            return None;
        };
        let name = format!("cli-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let dynamodb = dynamodb(&endpoint);
        let sfn = aws_sdk_sfn::Client::from_conf(
            aws_sdk_sfn::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new("us-east-1"))
                .endpoint_url(&endpoint)
                .credentials_provider(credentials())
                .http_client(aws_smithy_http_client::Builder::new().build_http())
                .build(),
        );
        schema::create_table(&dynamodb, &name).await.unwrap();
        let machine = sfn.create_state_machine().name(&name).definition(DEFINITION);
        let machine = machine.role_arn("arn:aws:iam::123456789012:role/msk-kraft").send().await.unwrap();
        let journal = Journal::new(dynamodb, &name, "m1".parse().unwrap());
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("m.yaml"), config(webhook)).unwrap();
        let answers = Answers::default();
        let lambda = functions(Arc::clone(&answers), journal.clone()).await;
        let env = vec![
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_ENDPOINT_URL_LAMBDA", lambda),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("MSK_KRAFT_TABLE", name),
            ("MSK_KRAFT_STATE_MACHINE_ARN", machine.state_machine_arn.clone()),
        ];
        let state_machine = machine.state_machine_arn;
        let bench = Self { journal, env, sfn, state_machine, answers, dir, tokens: AtomicU32::new(0) };
        bench.answer("report", json!({"findings": [finding("W04", "warning")]}));
        bench.answer("check", json!({"key": "configured", "public_key": "-----BEGIN PUBLIC KEY-----"}));
        if phase != Phase::Planned {
            bench.create().await;
            bench.go(phase).await;
        }
        if phase == Phase::DrainReady {
            bench.rehearse("r7").await;
        }
        Some(bench)
    }

    /// A client of the journal's table.
    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        dynamodb(self.endpoint())
    }

    /// Address of the stand-in for AWS.
    pub(crate) fn endpoint(&self) -> &str {
        &self.env[0].1
    }

    /// The binary's environment.
    pub(crate) fn env(&self) -> &[(&'static str, String)] {
        &self.env
    }

    /// Creates the migration in `phase` with a backup bucket of its own, and returns where its working data lies.
    pub(crate) async fn with_bucket(&self, phase: Phase) -> Store {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let bucket = format!("cli-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        self.edit_config("segments", &bucket);
        self.create().await;
        self.go(phase).await;
        self.bucket(bucket).await
    }

    /// The bucket, created if it is not there.
    async fn bucket(&self, bucket: String) -> Store {
        let s3 = aws_sdk_s3::Client::from_conf(
            aws_sdk_s3::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new("us-east-1"))
                .endpoint_url(self.endpoint())
                .credentials_provider(credentials())
                .force_path_style(true)
                .http_client(aws_smithy_http_client::Builder::new().build_http())
                .build(),
        );
        s3.create_bucket().bucket(&bucket).send().await.unwrap();
        Store::new(s3, bucket, "runs/m1/")
    }

    /// Stores a rehearsal of now that found nothing in the way, as the newest.
    pub(crate) async fn rehearse(&self, id: &str) {
        let store = self.bucket("segments".to_owned()).await;
        let made_at = journal::timestamp(self.journal.now());
        let rehearsal = json!({
            "schema": 1, "id": id, "migration_id": "m1", "made_at": made_at, "findings": [],
            "lag": {"partitions": 1, "total": 0, "largest": 0}, "groups": [], "settings": {}, "source": {}, "expected": [],
        });
        store.put_json(&documents::rehearsal::key(id), &rehearsal).await.unwrap();
        self.journal.set_fact(documents::rehearsal::NEWEST, &json!(id)).await.unwrap();
    }

    /// Sets a variable of the binary's environment.
    pub(crate) fn set_env(&mut self, name: &'static str, value: String) {
        self.env.push((name, value));
    }

    /// Folder of the test.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What the functions answer to `op` from now on.
    pub(crate) fn answer(&self, op: &str, answer: Value) {
        self.answers.lock().unwrap().insert(op.to_owned(), (false, answer));
    }

    /// The error the functions answer to `op` with from now on.
    pub(crate) fn fail(&self, op: &str, error: Value) {
        self.answers.lock().unwrap().insert(op.to_owned(), (true, error));
    }

    /// Replaces `from` in the configuration file.
    pub(crate) fn edit_config(&self, from: &str, to: &str) {
        let path = self.config_path();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    fn config_path(&self) -> PathBuf {
        self.dir().join("m.yaml")
    }

    /// Creates the run, as the state machine's first step does.
    pub(crate) async fn create(&self) {
        let text = std::fs::read_to_string(self.config_path()).unwrap();
        let config = Config::from_yaml(&text, |_| None).unwrap();
        let new = NewRun { config: config.to_json(), fingerprint: config.fingerprint() };
        self.journal.create(&new).await.unwrap();
    }

    /// Takes the run from `planned` to `phase`.
    pub(crate) async fn go(&self, phase: Phase) {
        for to in Phase::ALL.into_iter().skip(1).take_while(|to| *to <= phase) {
            self.journal.transition(to, "").await.unwrap();
        }
    }

    /// Stores progress of two partitions, the second 7 behind.
    pub(crate) async fn progress(&self) {
        let partition = |number, next| {
            let mut progress = PartitionProgress::new(TopicPartition::new("orders", number), 0, 10);
            (progress.source_next, progress.target_next) = (next, next);
            progress
        };
        self.journal.init_partitions(BatchId(0), &[partition(0, 10), partition(1, 3)]).await.unwrap();
        self.journal.set_fact("batches", &json!(1)).await.unwrap();
    }

    /// Arms a gate, as the state machine does.
    pub(crate) async fn arm(&self, gate: GateName) {
        let token = Token::new(format!("token-{}", self.tokens.fetch_add(1, Ordering::Relaxed)));
        self.journal.open(gate, &token, None).await.unwrap();
    }

    /// Starts execution `number` of the run and counts it.
    pub(crate) async fn start(&self, number: u32) {
        let request = self.sfn.start_execution().state_machine_arn(&self.state_machine).name(format!("m1-{number}"));
        request.input(r#"{"migration_id":"m1"}"#).send().await.unwrap();
        self.journal.begin_execution().await.unwrap();
    }

    /// Stops the execution `name`.
    pub(crate) async fn stop(&self, name: &str) {
        let arn = format!("{}:{name}", self.state_machine.replace(":stateMachine:", ":execution:"));
        self.sfn.stop_execution().execution_arn(arn).send().await.unwrap();
    }

    /// Name and status of every execution.
    pub(crate) async fn executions(&self) -> Vec<(String, String)> {
        let listed = self.sfn.list_executions().state_machine_arn(&self.state_machine).send().await.unwrap();
        listed.executions.into_iter().map(|one| (one.name, one.status.as_str().to_owned())).collect()
    }

    /// Waits until the execution `name` was started.
    pub(crate) async fn wait_for_execution(&self, name: &str) {
        let started = async {
            while !self.executions().await.iter().any(|(started, _)| started == name) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(LONGEST, started).await.expect("nothing was started");
    }

    /// Waits until the gate was answered with `verdict` and Step Functions told.
    pub(crate) async fn wait_for_decision(&self, gate: GateName, verdict: Verdict) {
        let decided = async {
            loop {
                let found = self.journal.gate(gate).await.unwrap();
                if let Some(found) = found.filter(|found| found.state == GateState::Sent) {
                    return found.decision.unwrap().verdict;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let found = tokio::time::timeout(LONGEST, decided).await.expect("nothing was decided");
        assert_eq!(found, verdict);
    }

    /// Runs the binary to its end. `CONFIG` and `DIR` stand for the configuration file and the test's folder.
    pub(crate) async fn run(&self, args: &[&str]) -> Ran {
        self.spawn(args).await.unwrap()
    }

    /// Starts the binary on a terminal, where stdout and stderr are one, and types `text` when `when` is there to read.
    pub(crate) fn on_terminal(&self, args: &[&str], when: &'static str, text: &'static str) -> JoinHandle<Ran> {
        let line = [&[env!("CARGO_BIN_EXE_msk-kraft")], args].concat().join(" ");
        let mut command = tokio::process::Command::new("script");
        command.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
        command.envs(self.env.iter().map(|(name, value)| (name, value))).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let session = async move {
            let (mut shown, mut typed) = (Vec::new(), false);
            while output.read_buf(&mut shown).await.unwrap() > 0 {
                if !typed && String::from_utf8_lossy(&shown).contains(when) {
                    input.write_all(text.as_bytes()).await.unwrap();
                    typed = true;
                }
            }
            let code = child.wait().await.unwrap().code();
            let shown = String::from_utf8_lossy(&shown).into_owned();
            Ran { code, stdout: shown.clone(), stderr: shown }
        };
        tokio::spawn(async { tokio::time::timeout(LONGEST, session).await.expect("the binary does not end") })
    }

    /// Starts the binary.
    pub(crate) fn spawn(&self, args: &[&str]) -> JoinHandle<Ran> {
        let (config, dir) = (self.config_path(), self.dir().to_str().unwrap().to_owned());
        let fill = |arg: &&str| match *arg {
            "CONFIG" => config.to_str().unwrap().to_owned(),
            other => other.replace("DIR", &dir),
        };
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_msk-kraft"));
        command.args(args.iter().map(fill)).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).kill_on_drop(true);
        tokio::spawn(async move {
            let ended = tokio::time::timeout(LONGEST * 2, command.output()).await;
            ended.expect("the binary does not end").unwrap().into()
        })
    }
}

/// A finding as precheck answers with it.
pub(crate) fn finding(code: &str, severity: &str) -> Value {
    json!({
        "code": code,
        "severity": severity,
        "subject": "source",
        "message": format!("found {code}"),
        "cause": format!("why {code} matters"),
        "fix": format!("what to do about {code}"),
    })
}

fn dynamodb(endpoint: &str) -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::from_conf(
        aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(endpoint)
            .credentials_provider(credentials())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build(),
    )
}

/// What the stand-in takes.
pub(crate) fn credentials() -> Credentials {
    Credentials::new("test", "test", None, None, "test")
}

fn config(webhook: bool) -> String {
    let cutover = if webhook { "cutover: {producer_freeze_webhook: 'http://localhost/freeze'}" } else { "" };
    format!(
        "
enterprise:
  msk_kraft_migration:
    source:
      cluster_arn: arn:aws:kafka:us-east-1:123456789012:cluster/old/abc-1
      auth: {{mode: plaintext}}
    target:
      cluster_arn: arn:aws:kafka:us-east-1:123456789012:cluster/new/def-2
      bootstrap_servers: target:9092
      auth: {{mode: plaintext}}
    backup: {{s3_bucket: segments, s3_prefix: runs/}}
    evidence: {{s3_bucket: evidence, s3_prefix: runs/}}
    {cutover}
"
    )
}

/// A stand-in for Lambda; returns its address.
async fn functions(answers: Answers, journal: Journal) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(invoke).with_state((answers, journal));
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn invoke(State((answers, journal)): State<(Answers, Journal)>, body: Bytes) -> (HeaderMap, String) {
    let input: Value = serde_json::from_slice(&body).unwrap();
    let op = input["op"].as_str().unwrap().to_owned();
    if op == "restart" && input["apply"] == true {
        crate::restart::remove(&journal).await;
    }
    let given = answers.lock().unwrap().get(&op).cloned();
    let (failed, answer) = match (given, op.as_str()) {
        (Some(given), _) => given,
        (None, "decide") => {
            decide(&journal, &input).await.map_or_else(|error| (true, failure(&error)), |done| (false, done))
        }
        (None, _) => Default::default(),
    };
    if !failed {
        change(&journal, &op, &input).await;
    }
    if op == "accept" {
        let texts = input["accept"].as_array().unwrap().iter();
        let what: Vec<_> = texts.map(|text| text.as_str().unwrap().parse().unwrap()).collect();
        let (reason, by) = (input["reason"].as_str().unwrap(), input["by"].as_str().unwrap());
        journal.accept(&what, reason, by, None).await.unwrap();
    }
    let mut headers = HeaderMap::new();
    if failed {
        headers.insert("X-Amz-Function-Error", HeaderValue::from_static("Unhandled"));
    }
    (headers, answer.to_string())
}

/// What the gate function does to the journal, beside decisions.
async fn change(journal: &Journal, op: &str, input: &Value) {
    let reason = || input["reason"].as_str().unwrap();
    match op {
        "rollback" => {
            journal.transition(Phase::RolledBack, reason()).await.unwrap();
        }
        "give_up" => {
            let reason = format!("given up by {}: {}", input["by"].as_str().unwrap(), reason());
            journal.abort_cutover(&reason).await.unwrap();
        }
        _ => return,
    }
    if let Some(freeze) = journal.freeze_state().await.unwrap() {
        if let Some(by) = input["by_hand"]["by"].as_str() {
            journal.set_unfrozen_by_hand(&freeze, by, journal.now()).await.unwrap();
        }
        journal.set_unfrozen(&freeze, Side::Source, journal.now()).await.unwrap();
    }
}

/// A decision as the gate function makes it, without a state machine to hear of it and without rehearsals.
async fn decide(journal: &Journal, input: &Value) -> migration::Result<Value> {
    let decision: Decision = serde_json::from_value(input.clone()).unwrap();
    let name: GateName = serde_json::from_value(input["gate"].clone()).unwrap();
    let gate = match journal.decide(name, &decision, input["by"].as_str().unwrap()).await? {
        Decided::AlreadySent(gate) => gate,
        Decided::Send { gate, .. } => {
            journal.mark_sent(name, gate.attempt).await?;
            gate
        }
    };
    Ok(json!(Answered { gate, heard: true, given_up: false }))
}

fn failure(error: &migration::Error) -> Value {
    json!({"errorType": error.kind.name(), "errorMessage": error.to_string()})
}
