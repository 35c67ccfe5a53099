//! A migration of its own for each test, and the function around it.

use std::sync::atomic::{AtomicU32, Ordering};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use chrono::TimeDelta;
use documents::rehearsal::{self, Finding, Lag, NEWEST, Rehearsal, Weight};
use journal::{Freeze, FreezeHow, Gate, GateName, Journal, NewRun, Side, schema};
use migration::{Config, MigrationId, Phase, Result};
use runtime::clusters::Clusters;
use runtime::{Aws, Budget, Host};
use serde_json::{Value, json};

use crate::handler::handle;

/// The key of the webhooks in tests that have one.
pub(super) const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A migration `m1` in a table and buckets of its own.
pub(super) struct Bench {
    pub(super) host: Host,
    pub(super) id: MigrationId,
    pub(super) journal: Journal,
    tokens: AtomicU32,
    buckets: String,
}

impl Bench {
    /// A migration in `phase` with this `cutover` section. `None`, and a line that says so, where there is no stand-in.
    pub(super) async fn new(phase: Phase, cutover: Value) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let Ok(endpoint) = std::env::var("MSK_KRAFT_TEST_AWS") else {
            println!("skipped: MSK_KRAFT_TEST_AWS is not set");
            return None;
        };
        let name = format!("gate-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut aws = Aws::new(config(endpoint));
        aws.table.clone_from(&name);
        schema::create_table(&aws.dynamodb, &name).await.unwrap();
        aws.s3.create_bucket().bucket(&name).send().await.unwrap();
        let host = Host { aws, clusters: Clusters::default() };
        let id: MigrationId = "m1".parse().unwrap();
        let journal = host.journal(&id);
        let bench = Self { host, id, journal, tokens: AtomicU32::new(0), buckets: name };
        bench.create(cutover).await;
        for to in Phase::ALL.into_iter().skip(1).take_while(|to| *to <= phase) {
            bench.journal.transition(to, "").await.unwrap();
        }
        Some(bench)
    }

    /// The configuration with this `cutover` section, as `enter` gets it.
    pub(super) fn config(&self, cutover: Value) -> Value {
        let cluster = |name: &str| {
            json!({
                "cluster_arn": format!("arn:aws:kafka:us-east-1:123456789012:cluster/{name}/abc-1"),
                "bootstrap_servers": format!("{name}:9092"),
                "auth": {"mode": "plaintext"},
            })
        };
        json!({
            "source": cluster("old"),
            "target": cluster("new"),
            "backup": {"s3_bucket": self.buckets, "s3_prefix": "runs/"},
            "evidence": {"s3_bucket": self.buckets, "s3_prefix": "evidence/"},
            "cutover": cutover,
        })
    }

    async fn create(&self, cutover: Value) {
        let config = Config::from_json(&self.config(cutover)).unwrap();
        let new = NewRun { config: config.to_json(), fingerprint: config.fingerprint() };
        self.journal.create(&new).await.unwrap();
        self.journal.set_fact("batches", &json!(0)).await.unwrap();
    }

    /// A secret with the key of the webhooks, by its ARN.
    pub(super) async fn key(&self) -> String {
        let name = format!("{}-{}", self.buckets, self.tokens.fetch_add(1, Ordering::Relaxed));
        let text = String::from_utf8(KEY.to_vec()).unwrap();
        let created = self.host.aws.secrets("").create_secret().name(name).secret_string(text).send().await;
        created.unwrap().arn.unwrap()
    }

    /// Changes the stored `cutover` section.
    pub(super) async fn reconfigure(&self, cutover: Value) {
        let config = Config::from_json(&self.config(cutover)).unwrap();
        self.journal.set_config(&config.to_json()).await.unwrap();
    }

    /// Invokes the function.
    pub(super) async fn invoke(&self, op: &str, fields: Value) -> Result<Value> {
        self.invoke_within(op, fields, Budget::lasting(std::time::Duration::from_secs(600))).await
    }

    /// Invokes the function with this budget.
    pub(super) async fn invoke_within(&self, op: &str, fields: Value, budget: Budget) -> Result<Value> {
        let mut input = json!({"op": op, "migration_id": self.id});
        input.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        handle(&self.host, input, budget).await
    }

    /// Opens a gate with a new token, as the state machine does.
    pub(super) async fn open(&self, gate: GateName) -> Result<Value> {
        let token = format!("token-{}", self.tokens.fetch_add(1, Ordering::Relaxed));
        self.invoke("open", json!({"gate": gate, "token": token})).await
    }

    /// Decides a gate as ada.
    pub(super) async fn decide(&self, gate: GateName, verdict: &str, reason: &str) -> Result<Value> {
        self.invoke("decide", json!({"gate": gate, "verdict": verdict, "by": "ada", "reason": reason})).await
    }

    /// Stores a rehearsal and makes it the newest.
    pub(super) async fn rehearse(&self, id: &str, age: TimeDelta, blockers: usize) {
        let blocker = |number: usize| Finding {
            weight: Weight::Blocker,
            code: "cutover.x".to_owned(),
            subject: format!("group g{number}"),
            message: "is alive".to_owned(),
            way_out: "stop it".to_owned(),
        };
        let made = Rehearsal {
            id: id.to_owned(),
            migration_id: self.id.clone(),
            made_at: self.journal.now() - age,
            findings: (0..blockers).map(blocker).collect(),
            lag: Lag::default(),
            groups: Vec::new(),
            settings: documents::Settings::default(),
            source: documents::SettingsFound::default(),
            expected: Vec::new(),
        };
        let run = self.host.load(&self.id).await.unwrap();
        documents::write(&run.store, &rehearsal::key(id), &made).await.unwrap();
        self.journal.set_fact(NEWEST, &json!(id)).await.unwrap();
    }

    /// Freezes producers, as a webhook.
    pub(super) async fn freeze(&self) {
        self.journal.ask_freeze(self.journal.now(), FreezeHow::Webhook, "webhook").await.unwrap();
        self.journal.set_frozen(self.journal.now(), FreezeHow::Webhook, "webhook").await.unwrap();
    }

    /// Passes the point of no return.
    pub(super) async fn commit(&self) {
        let (lease, _) = self.journal.claim_cutover().await.unwrap();
        self.journal.mark_committed(&lease, "cutover/plans/1.json").await.unwrap();
    }

    pub(super) async fn phase(&self) -> Phase {
        self.journal.meta().await.unwrap().phase
    }

    /// Why the migration is where it is.
    pub(super) async fn reason(&self) -> String {
        self.journal.events().await.unwrap().pop().unwrap().reason
    }

    pub(super) async fn gate(&self, name: GateName) -> Gate {
        self.journal.gate(name).await.unwrap().unwrap()
    }

    pub(super) async fn freezes(&self) -> Freeze {
        self.journal.freeze_state().await.unwrap().unwrap()
    }

    /// Outcomes of the calls of webhooks.
    pub(super) async fn outcomes(&self) -> Vec<(String, String)> {
        let calls = self.journal.webhook_calls().await.unwrap().calls;
        calls.into_iter().map(|call| (call.action, call.outcome)).collect()
    }

    /// Towards which cluster producers write, when they were let go.
    pub(super) async fn towards(&self) -> Option<Side> {
        self.journal.freeze_state().await.unwrap().and_then(|freeze| freeze.current().towards)
    }
}

fn config(endpoint: String) -> SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build()
}
