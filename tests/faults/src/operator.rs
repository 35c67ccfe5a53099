//! Somebody who runs the next verb, whatever the last one said.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use e2e::{Live, Rehearsal};
use serde_json::Value;
use tokio::time::{sleep, timeout_at};

use crate::diary::Diary;

/// How long the switched clients work on the target before validation.
const ON_TARGET: Duration = Duration::from_secs(3);
/// Pause before a question that had no answer is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// The operator of one migration.
#[derive(Debug)]
pub struct Operator<'a> {
    /// The migration.
    pub rehearsal: &'a Rehearsal,
    /// Its clients.
    pub live: &'a Live,
    /// Where it is written down.
    pub diary: &'a Diary,
    /// The cutover does not begin before.
    pub cutover_at: Instant,
    /// Nor before so many kinds of faults have met something.
    pub kinds: usize,
    /// When patience ends.
    pub until: Instant,
}

impl Operator<'_> {
    /// Goes on until the migration is finalized. Resumes are counted in the diary.
    ///
    /// # Errors
    /// When it was not finalized in time, or a client does not obey.
    pub async fn finalize(&self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::from_std(self.until);
        let mut last = "unknown".to_owned();
        loop {
            let step = async {
                let status = self.status().await;
                let done = self.step(&status).await?;
                anyhow::Ok((done, status["phase"].as_str().map(str::to_owned)))
            };
            let out_of_time = || format!("the migration was not finalized in time; its phase was {last}");
            let (done, phase) = timeout_at(deadline, step).await.with_context(out_of_time)??;
            if done {
                return Ok(());
            }
            last = phase.unwrap_or(last);
        }
    }

    /// What `status` says; null while there is no migration or it cannot be read.
    async fn status(&self) -> Value {
        let output = self.rehearsal.cli.run("status", &["--output", "json"]).await;
        output.ok().and_then(|output| output.ok().ok()?.json().ok()).unwrap_or_default()
    }

    /// What the phase asks for; true when nothing is left to do.
    async fn step(&self, status: &Value) -> anyhow::Result<bool> {
        match status["phase"].as_str() {
            None => self.verb("execute").await?,
            Some("finalized") => return Ok(true),
            Some("rolled_back") => bail!("the migration was rolled back, which nobody asked for"),
            Some("failed") => {
                let reason = status["reason"].as_str().unwrap_or_default();
                // Nothing that is done to it here is a reason to give data up, or to suspect somebody else.
                ensure!(!reason.contains("Unsafe"), "the migration failed for good: {reason}");
                self.diary.count("resume");
                self.verb("resume").await?;
            }
            Some("drain_ready") => {
                sleep(self.cutover_at.saturating_duration_since(Instant::now())).await;
                while self.diary.counts().len() < self.kinds {
                    let counts = self.diary.counts();
                    ensure!(Instant::now() + 2 * AGAIN < self.until, "hardly anything went wrong: {counts:?}");
                    sleep(AGAIN).await;
                }
                self.live.pause_consumers().await?;
                self.verb("cutover").await?;
            }
            Some("awaiting_client_switch") => {
                self.live.switch_consumers().await?;
                self.verb("cutover-ack").await?;
                sleep(ON_TARGET).await;
            }
            Some("validating") => self.verb("finalize").await?,
            // An execution works on it: resume follows it, or starts another where it ended without a word.
            Some(_) => self.verb("resume").await?,
        }
        Ok(false)
    }

    async fn verb(&self, verb: &str) -> anyhow::Result<()> {
        let output = self.rehearsal.cli.run(verb, &[]).await?;
        self.diary.note(format_args!("msk-kraft {verb}: exit code {}", output.code));
        if output.code != 0 {
            for line in output.stderr.lines() {
                self.diary.note(format_args!("    {line}"));
            }
            sleep(AGAIN).await;
        }
        Ok(())
    }
}
