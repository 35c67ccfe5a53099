//! The operator's CLI as an operator runs it: the real binary, in a process of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, ensure};
use serde_json::Value;
use stack::{Stack, layout};
use tokio::process::Command;
use tokio::task::JoinHandle;

/// `msk-kraft` with the environment and configuration of one rehearsal.
#[derive(Debug, Clone)]
pub struct Cli {
    env: Vec<(String, String)>,
    config: PathBuf,
    migration_id: String,
    /// Where the journal is mirrored.
    journal_dir: PathBuf,
    /// Whether what it prints on stderr is passed on as it comes.
    show: bool,
    program: PathBuf,
}

/// How a run of the CLI ended.
#[derive(Debug)]
pub struct Output {
    /// Exit code.
    pub code: i32,
    /// Data.
    pub stdout: String,
    /// Narrative; empty when it was passed on.
    pub stderr: String,
}

impl Output {
    /// Fails unless the exit code is 0.
    ///
    /// # Errors
    /// With everything the CLI printed.
    pub fn ok(self) -> anyhow::Result<Self> {
        ensure!(self.code == 0, "msk-kraft ended with exit code {}:\n{}\n{}", self.code, self.stdout, self.stderr);
        Ok(self)
    }

    /// Fails unless the exit code is 1 and each of `expected` was said; returns all that was.
    ///
    /// # Errors
    /// With everything the CLI printed.
    pub fn refused(self, expected: &[&str]) -> anyhow::Result<String> {
        let said = format!("{}\n{}", self.stdout, self.stderr);
        let missing: Vec<_> = expected.iter().filter(|part| !said.contains(**part)).collect();
        ensure!(self.code == 1 && missing.is_empty(), "exit code {}, without {missing:?}:\n{said}", self.code);
        Ok(said)
    }

    /// Standard output as JSON.
    ///
    /// # Errors
    /// When it is not.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("not JSON:\n{}\n{}", self.stdout, self.stderr))
    }
}

impl Cli {
    /// The CLI for the migration `migration_id` on `stack` with the configuration file `config`.
    pub fn new(stack: &Stack, config: &Path, migration_id: &str, journal_dir: &Path) -> Self {
        Self::with_env_of(stack.env(), config, migration_id, journal_dir)
    }

    /// The same with the environment `env`, which is somebody else's.
    pub fn with_env_of(env: Vec<(String, String)>, config: &Path, migration_id: &str, journal_dir: &Path) -> Self {
        Self {
            env,
            config: config.to_owned(),
            migration_id: migration_id.to_owned(),
            journal_dir: journal_dir.to_owned(),
            show: false,
            program: layout::workspace().join("target/debug/msk-kraft"),
        }
    }

    /// The same with another build of the CLI.
    #[must_use]
    pub fn built_as(mut self, program: &Path) -> Self {
        self.program = program.to_owned();
        self
    }

    /// The same with a further environment variable.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Passes on what the CLI prints on stderr.
    #[must_use]
    pub fn shown(mut self) -> Self {
        self.show = true;
        self
    }

    /// The same for another migration or configuration.
    #[must_use]
    pub fn with(mut self, config: &Path, migration_id: &str) -> Self {
        self.config = config.to_owned();
        self.migration_id = migration_id.to_owned();
        self
    }

    /// Runs a verb that is about the migration, to its end.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub async fn run(&self, verb: &str, flags: &[&str]) -> anyhow::Result<Output> {
        let id = ["--migration-id", &self.migration_id];
        self.start(verb, &[id.as_slice(), flags].concat(), true).await
    }

    /// Runs a verb that is about a configuration only.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub async fn ask(&self, verb: &str, flags: &[&str]) -> anyhow::Result<Output> {
        self.start(verb, flags, false).await
    }

    /// Runs verbs that are about the migration, one after the other, none of which may fail.
    ///
    /// # Errors
    /// With what the first that failed printed.
    pub async fn run_all(&self, verbs: &[&str]) -> anyhow::Result<()> {
        for verb in verbs {
            self.run(verb, &[]).await?.ok()?;
        }
        Ok(())
    }

    /// Runs a verb beside the caller.
    pub fn beside(&self, verb: &'static str) -> JoinHandle<anyhow::Result<Output>> {
        let cli = self.clone();
        tokio::spawn(async move { cli.run(verb, &[]).await })
    }

    /// Resumes, and returns the phase in which the operator is needed.
    ///
    /// # Errors
    /// When it fails, with what it printed.
    pub async fn resume(&self) -> anyhow::Result<String> {
        let Output { code, stdout, stderr } = self.run("resume", &[]).await?;
        ensure!(matches!(code, 0 | 10), "resume ended with exit code {code}:\n{stdout}\n{stderr}");
        Ok(self.status().await?["phase"].as_str().unwrap_or_default().to_owned())
    }

    /// What `status` says.
    ///
    /// # Errors
    /// When it fails, with what it printed.
    pub async fn status(&self) -> anyhow::Result<Value> {
        self.run("status", &["--output", "json"]).await?.ok()?.json()
    }

    async fn start(&self, verb: &str, flags: &[&str], journal: bool) -> anyhow::Result<Output> {
        let mut command = Command::new(&self.program);
        command.arg(verb).arg("--config").arg(&self.config).args(flags).envs(self.env.iter().cloned());
        command.env("RUST_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        if journal {
            command.arg("--journal-dir").arg(&self.journal_dir);
        }
        command.stderr(if self.show { Stdio::inherit() } else { Stdio::piped() });
        let child = command.spawn().with_context(|| format!("starting {}", self.program.display()))?;
        let output = child.wait_with_output().await?;
        Ok(Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}
