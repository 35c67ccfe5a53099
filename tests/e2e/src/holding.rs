//! A producer that lets a freeze wait: what happens between the approval of a cutover and the confirmed freeze happens while it
//! has not obeyed yet.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use stack::webhook::Webhook;

const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);

/// A producer of a stack's freeze webhook.
#[derive(Debug)]
pub struct Holding {
    webhook: Webhook,
    ack: PathBuf,
}

impl Holding {
    /// Registers the producer, which obeys at once until it is to [hold](Holding::hold).
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn register(webhook: &Webhook) -> anyhow::Result<Self> {
        let holding = Self { webhook: webhook.clone(), ack: webhook.dir().join("acks/holding") };
        holding.obey()?;
        webhook.register("holding")?;
        Ok(holding)
    }

    /// From now on it obeys no order.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn hold(&self) -> anyhow::Result<()> {
        let last = self.webhook.history().last().map_or(0, |change| change.sequence);
        self.acknowledge(last)
    }

    /// It obeys every order, the last one too.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn obey(&self) -> anyhow::Result<()> {
        self.acknowledge(usize::MAX)
    }

    /// Waits until producers were asked to stop.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn asked(&self) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.state() != "frozen" {
            ensure!(Instant::now() < until, "nobody asked producers to stop");
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// What producers were told last.
    pub fn state(&self) -> String {
        self.webhook.history().last().map(|change| change.state.clone()).unwrap_or_default()
    }

    /// How often producers were asked to stop so far.
    pub fn freezes(&self) -> usize {
        self.webhook.history().iter().filter(|change| change.state == "frozen").count()
    }

    /// In one step, so that the webhook never reads half a number.
    fn acknowledge(&self, sequence: usize) -> anyhow::Result<()> {
        let fresh = self.ack.with_extension("new");
        std::fs::write(&fresh, sequence.to_string()).with_context(|| format!("writing {}", fresh.display()))?;
        std::fs::rename(&fresh, &self.ack).with_context(|| format!("writing {}", self.ack.display()))
    }
}
