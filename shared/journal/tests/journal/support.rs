//! A journal of its own for each test.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};
use journal::{Clock, Journal, NewRun, Transition, schema};
use migration::Phase;
use serde_json::json;

/// The way of a migration without trouble.
pub(crate) const WAY: [Phase; 10] = [
    Phase::Planned,
    Phase::Precheck,
    Phase::TopologyCopy,
    Phase::Seed,
    Phase::Tail,
    Phase::DrainReady,
    Phase::Cutover,
    Phase::AwaitingClientSwitch,
    Phase::Validating,
    Phase::Finalized,
];

/// A journal in a table of its own, and what a test needs around it.
pub(crate) struct Bench {
    pub(crate) journal: Journal,
    pub(crate) client: Client,
    microseconds: Arc<AtomicI64>,
}

impl Bench {
    /// A journal without a run; `None`, and a line that says so, where there is no stand-in.
    pub(crate) async fn empty() -> Option<Self> {
        let Ok(endpoint) = std::env::var("MSK_KRAFT_TEST_AWS") else {
            println!("skipped: MSK_KRAFT_TEST_AWS is not set");
            return None;
        };
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        static START: LazyLock<i64> = LazyLock::new(|| Utc::now().timestamp_micros());
        let table = format!("journal-{}-{}-{}", *START, std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let client = client(&endpoint);
        schema::create_table(&client, &table).await.unwrap();
        schema::create_table(&client, &table).await.expect("a table that exists is fine");
        let microseconds = Arc::new(AtomicI64::new(1_777_097_707_512_121));
        let clock = microseconds.clone();
        let clock = Clock::from_fn(move || DateTime::from_timestamp_micros(clock.load(Ordering::Relaxed)).unwrap());
        let journal = Journal::new(client.clone(), table, "prod-1".parse().unwrap()).with_clock(clock);
        Some(Self { journal, client, microseconds })
    }

    /// A journal with a run in phase `phase`.
    pub(crate) async fn in_phase(phase: Phase) -> Option<Self> {
        let bench = Self::empty().await?;
        bench.journal.create(&new_run()).await.unwrap();
        for to in WAY.into_iter().skip(1).take_while(|to| *to <= phase) {
            assert!(matches!(bench.journal.transition(to, "").await.unwrap(), Transition::Done(_)));
        }
        Some(bench)
    }

    /// Lets `seconds` pass.
    pub(crate) fn wait(&self, seconds: i64) {
        self.microseconds.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
    }

    /// The same journal, but when it first asks for the time, which is after it has read and before it writes, somebody
    /// else does `work`.
    pub(crate) fn with_interruption<F, W>(&self, work: W) -> Journal
    where
        W: FnOnce(Journal) -> F + Send + 'static,
        F: Future<Output = ()>,
    {
        let endpoint = std::env::var("MSK_KRAFT_TEST_AWS").unwrap();
        let (table, run) = (self.journal.table().to_owned(), self.journal.run().clone());
        let work = Mutex::new(Some(work));
        let clock = Clock::from_fn(move || {
            if let Some(work) = work.lock().unwrap().take() {
                let other = Journal::new(client(&endpoint), table.clone(), run.clone());
                // The clock is not async: the work gets a thread and a runtime of its own, and is waited for.
                std::thread::scope(|scope| {
                    let runtime = tokio::runtime::Runtime::new().unwrap();
                    scope.spawn(move || runtime.block_on(work(other)));
                });
            }
            Utc::now()
        });
        self.journal.clone().with_clock(clock)
    }

    /// What is in the table under `sk` of the run, past the journal.
    pub(crate) async fn raw(&self, sk: &str) -> std::collections::HashMap<String, AttributeValue> {
        let request = self.client.get_item().table_name(self.journal.table()).consistent_read(true);
        let pk = format!("run#{}", self.journal.run());
        let request = request.key("pk", AttributeValue::S(pk)).key("sk", AttributeValue::S(sk.into()));
        request.send().await.unwrap().item.unwrap_or_default()
    }

    /// Overwrites `attribute` of the item `sk` of the run, past the journal.
    pub(crate) async fn overwrite(&self, sk: &str, attribute: &str, value: AttributeValue) {
        let mut item = self.raw(sk).await;
        item.insert(attribute.into(), value);
        let request = self.client.put_item().table_name(self.journal.table()).set_item(Some(item));
        request.send().await.unwrap();
    }
}

/// A run to create.
pub(crate) fn new_run() -> NewRun {
    NewRun { config: json!({"max_lag": 9_007_199_254_740_993_i64}), fingerprint: "c27b080b829c382a".into() }
}

/// A client of the stand-in at `endpoint`.
pub(crate) fn client(endpoint: &str) -> Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}
