//! The programs in `tests/stack/java`: compiled once, run as child processes.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::Value;
use stack::process::{Process, Spec};
use stack::progress::Progress;
use stack::{Ground, Side, setup};
use tokio::process::Command;

const PACKAGE: &str = "io.mskkraft.rehearsal";

/// The Kafka version whose jars the programs are compiled and run with, whatever the clusters are: clients older than 3.x
/// lack what the programs use, those of 4.x do not talk to old brokers (KIP-896).
const WRITTEN_FOR: &str = setup::DEFAULT_VERSION;

/// A way to run the programs against one stack.
#[derive(Debug, Clone)]
pub struct Java {
    classpath: String,
    source: String,
    target: String,
    source_logs: String,
    target_logs: String,
    logs: PathBuf,
}

impl Java {
    /// Compiles the programs when their sources are not those of the last time.
    ///
    /// # Errors
    /// When the jars cannot be fetched; with the compiler's output when it does not compile.
    pub async fn ready(stack: &Ground) -> anyhow::Result<Self> {
        setup::ensure(&[WRITTEN_FOR], &Progress::new(true)).await?;
        let libs = setup::kafka_classpath(WRITTEN_FOR);
        let classes = stack::java::compile("rehearsal", &libs).await?;
        Ok(Self {
            classpath: format!("{}:{libs}", classes.display()),
            source: stack.source_bootstrap(),
            target: stack.target_bootstrap(),
            source_logs: joined(stack.cluster(Side::Source).log_dirs()),
            target_logs: joined(stack.cluster(Side::Target).log_dirs()),
            logs: stack.logs(),
        })
    }

    /// Creates and fills the realistic source: 36 topics, 306 partitions. Returns the loader's summary.
    ///
    /// # Errors
    /// When the loader fails, with its output.
    pub async fn load_source(&self, seed: u64, scale: &str) -> anyhow::Result<Value> {
        let args = ["--bootstrap", &self.source, "--seed", &seed.to_string(), "--scale", scale];
        self.json("LoadSource", &args).await.map(|(summary, _)| summary)
    }

    /// Creates and fills topics in formats before Kafka 0.11, for which the source has to be older than Kafka 3.0. Returns
    /// the loader's summary.
    ///
    /// # Errors
    /// When the loader fails, with its output.
    pub async fn load_old_formats(&self, seed: u64) -> anyhow::Result<Value> {
        let args = ["--bootstrap", &self.source, "--seed", &seed.to_string(), "--old-formats"];
        self.json("LoadSource", &args).await.map(|(summary, _)| summary)
    }

    /// The same with a few of the topics, and only with the consumer groups that need no others.
    ///
    /// # Errors
    /// When the loader fails, with its output.
    pub async fn load_topics(&self, seed: u64, scale: &str, topics: &[&str]) -> anyhow::Result<Value> {
        let (seed, topics) = (seed.to_string(), topics.join(","));
        let args = ["--bootstrap", &self.source, "--seed", &seed, "--scale", scale, "--topics", &topics];
        self.json("LoadSource", &args).await.map(|(summary, _)| summary)
    }

    /// Compares both clusters completely; `options` are further ones of the judge. Returns the verdict and whether they
    /// are equal.
    ///
    /// # Errors
    /// When the judge does not come to a verdict.
    pub async fn judge(&self, options: &[&str]) -> anyhow::Result<(Value, bool)> {
        let mut args = vec!["--source", &self.source, "--target", &self.target];
        args.extend(["--source-logs", &self.source_logs, "--target-logs", &self.target_logs]);
        args.extend(options);
        self.json("Judge", &args).await
    }

    /// Checks the downloaded offset maps in `dir` against both clusters, offset by offset. Returns the verdict and whether
    /// all are right.
    ///
    /// # Errors
    /// When the judge does not come to a verdict.
    pub async fn judge_offsets(&self, dir: &Path) -> anyhow::Result<(Value, bool)> {
        let args = ["--source", &self.source, "--target", &self.target, "--maps", &dir.display().to_string()];
        self.json("OffsetsJudge", &args).await
    }

    /// Checks the logs of live clients in `dir`: each acknowledged record read exactly once and in order, across a switch
    /// to the target. Returns the verdict and whether it is so.
    ///
    /// # Errors
    /// When the check does not come to a verdict.
    pub async fn check_live(&self, dir: &Path) -> anyhow::Result<(Value, bool)> {
        self.json("CheckLive", &["--dir", &dir.display().to_string(), "--expect-switch"]).await
    }

    /// Starts a live client `program` that uses both clusters; it logs to `<name>.log` in the stack's logs.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn client(&self, program: &str, name: &str, args: &[&str]) -> anyhow::Result<Process> {
        let mut all: Vec<String> = vec!["-Xmx192m".into(), "-cp".into(), self.classpath.clone(), class(program)];
        all.extend(["--bootstrap", &self.source, "--target", &self.target, "--name", name].map(str::to_owned));
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        Process::spawn(Spec {
            name: name.to_owned(),
            program: "java".into(),
            args: all,
            env: Vec::new(),
            clean_env: false,
            log: self.logs.join(format!("{name}.log")),
            dir: self.logs.clone(),
        })
    }

    /// Runs `program` to its end; its standard output is JSON.
    async fn json(&self, program: &str, args: &[&str]) -> anyhow::Result<(Value, bool)> {
        let mut command = Command::new("java");
        command.args(["-Xmx384m", "-cp", &self.classpath, &class(program)]).args(args).kill_on_drop(true);
        let output = command.output().await.with_context(|| format!("starting java for {program}"))?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let Some(json) = out.find('{').and_then(|start| serde_json::from_str(&out[start..]).ok()) else {
            bail!("{program} ended with {} and no verdict:\n{out}\n{err}", output.status);
        };
        if !output.status.success() {
            // The differences are in front of the summary.
            eprint_lines(&out, &err);
        }
        Ok((json, output.status.success()))
    }
}

#[expect(clippy::print_stderr, reason = "what the judge objects to has to be seen beside the failed test")]
fn eprint_lines(out: &str, err: &str) {
    eprintln!("{out}\n{err}");
}

fn class(program: &str) -> String {
    format!("{PACKAGE}.{program}")
}

fn joined(dirs: Vec<PathBuf>) -> String {
    let dirs: Vec<_> = dirs.into_iter().map(|dir| dir.display().to_string()).collect();
    dirs.join(",")
}
