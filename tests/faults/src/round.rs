//! One migration from an empty target to `finalized`, with faults all the way.

use std::time::{Duration, Instant};

use anyhow::Context;
use e2e::{Live, Rehearsal, Verdict};
use stack::Options;

use crate::diary::Diary;
use crate::inject::Injector;
use crate::operator::Operator;
use crate::samples;
use crate::schedule::Lane;

/// Records in a second of the live producers: nearly each is a batch, and the copy has to keep up while everything fails.
const RATE: u32 = 60;

/// How long a migration may take to come to its end after the last fault.
const PATIENCE: Duration = Duration::from_secs(600);

/// Topics of a short round: those with live clients, those of [`samples`], and what has to be encoded again (compacted,
/// LogAppendTime, a log start inside a batch).
const FEW_TOPICS: [&str; 9] = [
    "orders",
    "clickstream.web",
    "search.index-requests",
    "payments",
    "notifications.email",
    "logs.application",
    "cdc.postgres.public.line_items",
    "iot.telemetry",
    "geo.positions",
];

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Name of the stack and of the migration.
    pub name: String,
    /// Seed of the source's data and of the faults.
    pub seed: u64,
    /// Brokers a side, 1 or 3.
    pub brokers: usize,
    /// Size of the source; 1 is about 80 MB when it is whole.
    pub scale: String,
    /// Whether the source is whole: 36 topics with 306 partitions, and not 9 with 67.
    pub whole: bool,
    /// How long faults go on from the start of the migration; the operator cuts over after two thirds of it, so that the
    /// cutover and what follows have their share.
    pub faults_for: Duration,
    /// How many kinds of faults, and resumes as one more, have to have met something before the operator cuts over. On a slow
    /// machine that takes longer than `faults_for`.
    pub kinds: usize,
}

/// What happened.
#[derive(Debug)]
pub struct Account {
    /// The independent checks, all of them passed.
    pub verdict: Verdict,
    /// How often each kind of fault met something, and how often the migration had to be resumed.
    pub counts: std::collections::BTreeMap<String, u32>,
    /// Calls of AWS that went wrong.
    pub troubled_calls: u64,
}

/// Goes through one migration. Everything is stopped at the end; after a failure the data is kept.
///
/// # Errors
/// When the migration does not come to its end, or a judge finds a record lost, doubled, altered or out of order.
pub async fn run(plan: &Plan) -> anyhow::Result<Account> {
    let options = Options {
        name: plan.name.clone(),
        brokers: plan.brokers,
        linked: true,
        quiet: true,
        broker_heap_mib: 320,
        ..Options::default()
    };
    let rehearsal = Rehearsal::start(options, &plan.name).await?;
    let outcome = migrate(&rehearsal, plan).await;
    let home = rehearsal.stack.logs().parent().map(std::path::Path::to_owned);
    rehearsal.stack.stop().await?;
    if let (Ok(_), Some(home)) = (&outcome, home) {
        std::fs::remove_dir_all(home.join("data")).context("removing the brokers' data")?;
    }
    outcome.with_context(|| format!("seed {} with {} brokers a side", plan.seed, plan.brokers))
}

async fn migrate(rehearsal: &Rehearsal, plan: &Plan) -> anyhow::Result<Account> {
    let diary = Diary::default();
    diary.note(format_args!("seed {}, {} brokers a side: loading the source", plan.seed, plan.brokers));
    match plan.whole {
        true => rehearsal.java.load_source(plan.seed, &plan.scale).await?,
        false => rehearsal.java.load_topics(plan.seed, &plan.scale, &FEW_TOPICS).await?,
    };
    let live = Live::start_at(&rehearsal.stack, &rehearsal.java, RATE).await?;
    diary.note("the migration begins");
    let began = Instant::now();
    let faults_end = began + plan.faults_for;
    let injector = Injector { rehearsal, diary: &diary, kinds: plan.kinds };
    let operator = Operator {
        rehearsal,
        live: &live,
        diary: &diary,
        cutover_at: began + plan.faults_for * 2 / 3,
        kinds: plan.kinds,
        until: faults_end + PATIENCE,
    };
    tokio::try_join!(
        operator.finalize(),
        injector.run(plan.seed, Lane::Clusters, plan.brokers, faults_end),
        injector.run(plan.seed, Lane::Serverless, plan.brokers, faults_end),
    )?;
    diary.note("finalized; the judges look");
    samples::check(rehearsal).await?;
    let verdict = rehearsal.judge(live, true).await?;
    Ok(Account { verdict, counts: diary.counts(), troubled_calls: rehearsal.stack.troubled_calls() })
}
