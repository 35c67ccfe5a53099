//! One migration on the local stack, step by step, as an operator goes through it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use stack::{Options, Stack};

use crate::{Cli, Java, Live, config, evidence, live};

/// How long the switched clients work on the target before the migration is finalized.
const ON_TARGET: Duration = Duration::from_secs(3);

/// A stack, and a migration on it.
#[derive(Debug)]
pub struct Rehearsal {
    /// The running stack.
    pub stack: Stack,
    /// The programs that load, work and judge.
    pub java: Java,
    /// The operator's CLI.
    pub cli: Cli,
    /// Folder of the configuration, the mirrored journal and the fetched evidence.
    pub dir: PathBuf,
    id: String,
}

/// What the independent checks say of a finished migration.
#[derive(Debug)]
pub struct Verdict {
    /// The judge's comparison of both clusters.
    pub judge: Value,
    /// The account of the live clients, when they were followed from beginning to end.
    pub live: Option<Value>,
    /// The evidence bundle, its signature verified by openssl.
    pub bundle: Value,
}

impl Rehearsal {
    /// Starts the stack and prepares the migration `id`.
    ///
    /// # Errors
    /// When the stack does not come up.
    pub async fn start(options: Options, id: &str) -> anyhow::Result<Self> {
        let stack = Stack::start(options).await?;
        let java = Java::ready(&stack).await?;
        let dir = stack.logs().parent().context("the stack's logs have a folder")?.join("rehearsal");
        let yaml = config::write(&dir, "migration.yaml", &config::yaml(&stack))?;
        let cli = Cli::new(&stack, &yaml, id, &dir.join("journal"));
        Ok(Self { stack, java, cli, dir, id: id.to_owned() })
    }

    /// As [`cut_over`].
    ///
    /// # Errors
    /// As [`cut_over`].
    pub async fn cut_over(&self, cli: &Cli, live: &Live) -> anyhow::Result<()> {
        cut_over(cli, live).await
    }

    /// Ends the live clients and asks every independent judge. `followed` says whether the clients' logs are complete.
    ///
    /// # Errors
    /// When a judge finds a difference or does not come to a verdict.
    pub async fn judge(&self, live: Live, followed: bool) -> anyhow::Result<Verdict> {
        let logs = live.dir().to_owned();
        live.finish().await?;
        let ignored = ["--live-on-target", "--ignore-groups", live::GROUP];
        let (judge, equal) = self.java.judge(&ignored).await?;
        ensure!(equal, "the judge found differences: {judge:#}");
        let live = match followed {
            true => {
                let (account, complete) = self.java.check_live(&logs).await?;
                ensure!(complete, "live records were lost, repeated or reordered: {account:#}");
                Some(account)
            }
            false => None,
        };
        let bundle = evidence::verify(&self.stack, &self.id, &self.dir.join("evidence")).await?;
        Ok(Verdict { judge, live, bundle })
    }

    /// The migration's id.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// From `drain_ready` to `finalized`: consumers stop, producers are frozen, everything is switched, and the switched
/// clients work on the target while the migration is validated.
///
/// # Errors
/// With what a verb printed when it did not end with exit code 0.
pub async fn cut_over(cli: &Cli, live: &Live) -> anyhow::Result<()> {
    live.pause_consumers().await?;
    cli.run("cutover", &[]).await?.ok()?;
    live.switch_consumers().await?;
    cli.run("cutover-ack", &[]).await?.ok()?;
    tokio::time::sleep(ON_TARGET).await;
    cli.run("finalize", &[]).await?.ok()?;
    Ok(())
}
