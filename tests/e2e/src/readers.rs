//! Applications that break at a record which is not theirs: Kafka Streams with its stores, a typed consumer, a sink. They are
//! `tests/stack/java/io/mskkraft/readers`, built on Kafka's own libraries.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::Value;
use stack::progress::Progress;
use stack::setup;
use tokio::process::Command;

/// The applications' input topic.
pub const INPUT: &str = "readers-input";
/// Records of an hour of it.
pub const PER_HOUR: u64 = 50;

/// The applications, compiled.
#[derive(Debug)]
pub struct Readers {
    classpath: String,
    /// Folder for the state of each run.
    states: PathBuf,
}

impl Readers {
    /// Fetches Kafka Streams and compiles the applications, unless that is done. Their state goes below `dir`.
    ///
    /// # Errors
    /// When the jars cannot be fetched; with the compiler's output when it does not compile.
    pub async fn ready(dir: &Path) -> anyhow::Result<Self> {
        let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("readers/pom.xml");
        let name = format!("readers-{}", setup::DEFAULT_VERSION);
        let jars = setup::jars(&name, &pom, &Progress::new(true)).await?;
        let jars = format!("{}/*", jars.display());
        let classes = stack::java::compile("readers", &jars).await?;
        Ok(Self { classpath: format!("{}:{jars}", classes.display()), states: dir.join("streams") })
    }

    /// Writes `hours` of input, beginning with the hour number `first`.
    ///
    /// # Errors
    /// When a record is not taken.
    pub async fn write(&self, bootstrap: &str, first: u64, hours: u64) -> anyhow::Result<()> {
        self.program("Input", &[bootstrap, &first.to_string(), &hours.to_string()]).await.map(drop)
    }

    /// Runs every application to the end of its topics, with no state but what the cluster keeps, and returns what each
    /// knows: entries and their sum for each store, and the records that each group met.
    ///
    /// # Errors
    /// With its output when an application dies.
    pub async fn run(&self, bootstrap: &str) -> anyhow::Result<Value> {
        if self.states.exists() {
            std::fs::remove_dir_all(&self.states)?;
        }
        std::fs::create_dir_all(&self.states)?;
        self.program("Readers", &[bootstrap, &self.states.display().to_string()]).await
    }

    async fn program(&self, name: &str, args: &[&str]) -> anyhow::Result<Value> {
        let mut command = Command::new("java");
        command.args(["-Xmx256m", "-cp", &self.classpath, &format!("io.mskkraft.readers.{name}")]).args(args);
        let output = command.kill_on_drop(true).output().await.with_context(|| format!("starting java for {name}"))?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        match out.lines().rev().find_map(|line| serde_json::from_str(line).ok()) {
            Some(told) if output.status.success() => Ok(told),
            _ => bail!("{name} ended with {}:\n{out}\n{err}", output.status),
        }
    }
}
