//! Producers and consumers that do not know of the migration: they write and read all the time, stop when they are told
//! to, and go on at the target.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use stack::Ground;
use stack::process::Process;

use crate::java::Java;

/// Topics that the producers write to; the last in transactions.
pub const TOPICS: &str = "orders,clickstream.web,search.index-requests,payments";

/// Group of the consumer.
pub const GROUP: &str = "live-readers";

/// Records in a second of the producers, unless a test asks for other ones.
const RATE: u32 = 200;

/// Exit code of a Java program that ended in an orderly way on SIGTERM.
const JVM_TERMINATED: i32 = 128 + 15;

/// How long a client may take to obey.
const PATIENCE: Duration = Duration::from_secs(40);

/// The running clients of a rehearsal.
#[derive(Debug)]
pub struct Live {
    dir: PathBuf,
    producer: Process,
    consumers: Vec<Process>,
}

impl Live {
    /// Starts one producer process and two members of a consumer group, and waits until records flow.
    ///
    /// # Errors
    /// When a client does not start, with the end of its log.
    pub async fn start(stack: &Ground, java: &Java) -> anyhow::Result<Self> {
        Self::start_at(stack, java, RATE).await
    }

    /// The same with producers that write `rate` records in a second.
    ///
    /// # Errors
    /// As [`Live::start`].
    pub async fn start_at(stack: &Ground, java: &Java, rate: u32) -> anyhow::Result<Self> {
        let dir = stack.webhook().dir().to_owned();
        let path = dir.display().to_string();
        order(&dir, "source")?;
        stack.webhook().register("live")?;
        let common = ["--dir", &path, "--topics", TOPICS];
        let mut consumers = Vec::new();
        for name in ["reader-1", "reader-2"] {
            consumers.push(java.client("LiveConsumer", name, &[common.as_slice(), &["--group", GROUP]].concat())?);
        }
        let producer =
            java.client("LiveProducers", "live", &[common.as_slice(), &["--rate", &rate.to_string()]].concat())?;
        let read = dir.join(format!("{GROUP}@reader-1.consumed"));
        producer.ready(PATIENCE, || async { read.metadata().is_ok_and(|file| file.len() > 0) }).await?;
        Ok(Self { dir, producer, consumers })
    }

    /// Where the clients' logs are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Stops the consumers at their committed positions, so that the group is empty.
    ///
    /// # Errors
    /// When one does not obey.
    pub async fn pause_consumers(&self) -> anyhow::Result<()> {
        self.order("paused").await
    }

    /// Lets the consumers go on at the target.
    ///
    /// # Errors
    /// When one does not obey.
    pub async fn switch_consumers(&self) -> anyhow::Result<()> {
        self.order("target").await
    }

    /// Ends the producer, lets the consumers read to the end, and ends them.
    ///
    /// # Errors
    /// When a client ended with an error.
    pub async fn finish(self) -> anyhow::Result<()> {
        for client in std::iter::once(&self.producer).chain(&self.consumers) {
            client.signal(Signal::SIGTERM);
            let status = tokio::time::timeout(PATIENCE, client.on_exit()).await;
            let status = status.with_context(|| format!("a client did not end: {}", client.tail()))?;
            let code = status.and_then(|status| status.code());
            ensure!(matches!(code, Some(0 | JVM_TERMINATED)), "a client failed ({code:?}): {}", client.tail());
        }
        // Nobody is to wait for a producer that is gone.
        std::fs::remove_file(self.dir.join("producers/live")).context("the registration of the producers")
    }

    async fn order(&self, what: &str) -> anyhow::Result<()> {
        order(&self.dir, what)?;
        let until = Instant::now() + PATIENCE;
        for name in ["reader-1", "reader-2"] {
            let ack = self.dir.join("acks").join(name);
            while std::fs::read_to_string(&ack).ok().is_none_or(|text| text.trim() != what) {
                ensure!(Instant::now() < until, "{name} did not go to {what}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }
}

/// Tells the consumers what to do, in one step.
fn order(dir: &Path, what: &str) -> anyhow::Result<()> {
    let fresh = dir.join("switch-consumers.new");
    std::fs::write(&fresh, what)?;
    std::fs::rename(fresh, dir.join("switch-consumers")).context("telling the consumers")
}
