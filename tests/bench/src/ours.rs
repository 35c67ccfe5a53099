//! Our own copy: `msk-kraft execute` on the local stack with release binaries, as an operator runs it.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::Args;
use e2e::{Cli, config};
use migration::config::MAX_PARTITIONS_PER_BATCH;
use serde_json::Value;
use stack::layout;

use crate::copying::{self, COPY_LIMIT};
use crate::data::DataSet;
use crate::ground::Ground;
use crate::report::Figures;
use crate::topics::Loaded;
use crate::usage::watch;

/// Settings of our copy.
#[derive(Debug, Clone, Args)]
pub(crate) struct Tuning {
    /// Folder of the binaries of `msk-kraft` and its functions.
    #[arg(long, default_value_os_t = layout::workspace().join("target/release"))]
    pub(crate) bin_dir: PathBuf,
    /// `seed.max_concurrent_partitions` of our migration.
    #[arg(long, default_value_t = 64)]
    concurrency: u32,
    /// `seed.partitions_per_batch` of our migration; the default deals the partitions out to two functions, or as few as may be.
    #[arg(long)]
    per_batch: Option<u32>,
    /// `seed.segment_max_bytes` of our migration.
    #[arg(long, default_value_t = 16 << 20)]
    segment_bytes: u32,
}

impl Tuning {
    fn yaml(&self, set: &DataSet) -> String {
        let halves = u32::try_from(set.partitions).unwrap_or(1).div_ceil(2);
        let per_batch = self.per_batch.unwrap_or(halves.min(MAX_PARTITIONS_PER_BATCH));
        format!(
            "    seed:\n      max_concurrent_partitions: {}\n      segment_max_bytes: {}\n      partitions_per_batch: {per_batch}\n",
            self.concurrency, self.segment_bytes
        )
    }
}

/// Copies the data set, then a burst if it has one, and gives the migration up.
///
/// # Errors
/// With what the CLI printed when it failed.
pub(crate) async fn run(ground: &Ground, set: &DataSet, loaded: Loaded, tuning: &Tuning) -> anyhow::Result<Figures> {
    let id = format!("{}-{}", set.name, Utc::now().format("%H%M%S"));
    let dir = ground.stack.logs().join("ours");
    // Nothing is ever stored as evidence here.
    let yaml = config::yaml(&ground.stack).replace("      retention: 1d\n", "") + &tuning.yaml(set);
    let yaml = config::write(&dir, &format!("{id}.yaml"), &yaml)?;
    let cli = Cli::new(&ground.stack, &yaml, &id, &dir.join("journal")).built_as(&tuning.bin_dir.join("msk-kraft"));
    let figures = measure(ground, set, loaded, &cli).await;
    // Also after a failure: nothing may go on copying while others are measured.
    let given_up = cli.run("rollback", &["--yes"]).await?;
    ground.idle("seed-partition").await?;
    ground.idle("tail-batch").await?;
    if figures.is_ok() {
        given_up.ok()?;
    }
    figures
}

async fn measure(ground: &Ground, set: &DataSet, loaded: Loaded, cli: &Cli) -> anyhow::Result<Figures> {
    let requests = ground.dynamodb_requests();
    let (outcome, usage) = watch(&ground.stack, &ground.others(), async {
        let began = Instant::now();
        let done = tokio::time::timeout(COPY_LIMIT, cli.run("execute", &[])).await;
        done.with_context(|| format!("not caught up after {COPY_LIMIT:?}"))??.ok()?;
        anyhow::Ok(began.elapsed().as_secs_f64())
    })
    .await;
    let whole = outcome?;
    let requests = ground.dynamodb_requests() - requests;
    let s3_requests = ground.s3_requests().await?;
    let status = cli.run("status", &["--output", "json"]).await?.ok()?.json()?;
    let (from, to) = (entered(&status, "seed")?, entered(&status, "tail")?);
    let seconds = (to - from).as_seconds_f64();
    let (surplus, wrong_partitions) = copying::difference(ground, set).await?;
    Ok(Figures {
        records: loaded.records,
        bytes: loaded.bytes,
        seconds,
        startup_seconds: whole - seconds,
        surplus,
        wrong_partitions,
        cpu: usage.cpu(from, to),
        copiers: usage.copiers(),
        peak_rss: usage.copier_peak_rss(),
        s3_requests: Some(s3_requests),
        dynamodb_requests: Some(requests),
        burst: copying::burst(ground, set).await?,
    })
}

/// When the migration entered `phase`.
fn entered(status: &Value, phase: &str) -> anyhow::Result<DateTime<Utc>> {
    let events = status["events"].as_array().context("the status has no events")?;
    let event = events.iter().rev().find(|event| event["to"] == phase);
    let at = event.and_then(|event| event["at"].as_str()).with_context(|| format!("{phase} was never entered"))?;
    Ok(at.parse()?)
}
