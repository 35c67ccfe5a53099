//! What a verb works with: AWS, the console, and one migration's journal.

use std::future::Future;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use journal::{BatchProgress, Event, Gate, GateName, Heartbeat, Journal, Meta};
use migration::progress::PartitionProgress;
use migration::{BatchId, Config, Error, ErrorKind, MigrationId, Result};
use runtime::{Host, Store};
use serde::Deserialize;

use crate::args::{Output, RunArgs};
use crate::command_line::CommandLine;
use crate::config_changes;
use crate::console::Console;
use crate::deployed::Deployed;
use crate::executions::Executions;
use crate::lambda::Functions;
use crate::mirror::Mirror;
use crate::sealing;

/// How long a verb that only looks keeps trying; one that follows a migration does so until it is interrupted.
const PATIENCE: Duration = Duration::from_secs(60);
/// First and longest pause between attempts of a call that failed in passing.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// The migration that goes on in AWS when this program is interrupted.
pub(crate) static UNDER_WAY: OnceLock<CommandLine> = OnceLock::new();

/// Reads and checks the configuration file `path`. Warns of passwords in it.
///
/// # Errors
/// Invalid with everything that is wrong about it.
pub(crate) fn load_config(path: &Path) -> Result<Config> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::invalid(format_args!("cannot read {}: {error}", path.display())))?;
    let config = Config::read_yaml(&text, |name| std::env::var(name).ok()).map_err(|problems| {
        Error::invalid(format_args!("the configuration cannot be used:\n{}", problems.in_file(path)))
    })?;
    for field in config.literal_passwords() {
        let way_out = "${NAME} takes it from the environment, and secret_arn from Secrets Manager";
        crate::say(&format!("warning: {field} is in {} for everybody who can read it; {way_out}", path.display()));
    }
    Ok(config)
}

/// One migration, seen from here.
#[derive(Debug)]
pub(crate) struct Session {
    /// AWS.
    pub(crate) host: Host,
    /// Where msk-kraft is deployed.
    deployed: Deployed,
    /// Where to print.
    pub(crate) console: Console,
    /// How to call this program about the same migration again.
    pub(crate) line: CommandLine,
    /// The configuration that was given, when it fits the migration.
    given: Option<Config>,
    /// Fields in which that differs from what the migration runs with.
    changed: Vec<String>,
    journal: Journal,
    mirror: Option<Mirror>,
}

/// The phase and the gate that belongs to it, read together.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// The run.
    pub(crate) meta: Meta,
    /// The gate of its phase, if it was ever armed.
    pub(crate) gate: Option<Gate>,
}

impl Session {
    /// A session about `line`'s migration, with a copy of the journal where `line` wants one.
    ///
    /// # Errors
    /// Those of [`Deployed::connect`].
    pub(crate) async fn new(line: CommandLine, output: Output) -> Result<Self> {
        let (host, deployed) = Deployed::connect().await?;
        let journal = host.journal(&line.migration_id);
        let mirror = line.journal_dir.as_deref().map(|dir| Mirror::new(dir, &line.migration_id));
        let console = Console::new(output);
        Ok(Self { host, deployed, console, line, given: None, changed: Vec::new(), journal, mirror })
    }

    /// The same session about a migration to start with `config`.
    pub(crate) fn with_config(self, config: Config) -> Self {
        Self { given: Some(config), ..self }
    }

    /// The session of a verb about an existing migration: checks the given configuration against the journal.
    ///
    /// # Errors
    /// Invalid when there is no such migration, or when it was started with other clusters or buckets.
    pub(crate) async fn open(args: &RunArgs) -> Result<(Self, Snapshot)> {
        let given = args.config.as_deref().map(load_config).transpose()?;
        let mut session = Self::new(CommandLine::from(args), args.output).await?;
        let snapshot = session.snapshot().await?;
        if let Some(given) = &given {
            session.check_fingerprint(&snapshot.meta, given)?;
            session.note_changes(&snapshot.meta, given);
        }
        session.given = given;
        Ok((session, snapshot))
    }

    /// Says in what `given` differs from the configuration that the migration runs with, while there is something to come.
    fn note_changes(&mut self, meta: &Meta, given: &Config) {
        // One that cannot be read any more is refused where it is needed.
        let stored = Config::from_json(&meta.config).ok().filter(|_| !meta.phase.is_terminal());
        self.changed = stored.map(|stored| config_changes::differing(&stored, given)).unwrap_or_default();
        if !self.changed.is_empty() {
            self.console.say(config_changes::line(&self.changed));
        }
    }

    /// Fields in which the configuration that was given differs from the one that the migration runs with.
    pub(crate) fn config_changes(&self) -> &[String] {
        &self.changed
    }

    /// The migration's id.
    pub(crate) fn id(&self) -> &MigrationId {
        &self.line.migration_id
    }

    /// What a further execution is started with: the given configuration, with its credentials moved into secrets of the
    /// migration, else the one the migration has. Those secrets belong to this program until [`sealing::hand_over`].
    ///
    /// # Errors
    /// Those of [`sealing::seal`], with no new secret left behind.
    pub(crate) async fn config_to_start(&self, meta: Option<&Meta>) -> Result<serde_json::Value> {
        let Some(given) = &self.given else { return Ok(meta.map(|meta| meta.config.clone()).unwrap_or_default()) };
        let seal = || sealing::seal(&self.host.aws, given, self.id().as_str());
        let sealed = self.patiently("store the credentials", seal).await;
        if sealed.is_err() {
            sealing::forget_brief().await;
        }
        Ok(sealed?.to_json())
    }

    /// Deletes the secrets of a migration that is over, which its functions have tried before. Says so when one is left.
    pub(crate) async fn forget_secrets(&self, config: &Config) {
        sealing::delete(&self.host.aws, config.run_secrets()).await;
    }

    /// Its journal.
    pub(crate) const fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Its executions.
    ///
    /// # Errors
    /// Invalid when there is no deployment.
    pub(crate) fn executions(&self) -> Result<Executions> {
        Ok(Executions::new(self.host.aws.sfn.clone(), self.deployed.state_machine()?))
    }

    /// The functions.
    pub(crate) fn functions(&self) -> Functions {
        Functions::new(&self.host.aws, &self.deployed)
    }

    /// From now on an interrupt says that the migration goes on.
    pub(crate) fn mark_under_way(&self) {
        // Set already by the same verb: it is the same migration.
        let _ = UNDER_WAY.set(self.line.clone());
    }

    /// The run and the gate of its phase.
    ///
    /// # Errors
    /// Invalid when there is no such migration.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot> {
        self.patiently("read the journal", || async {
            let meta = self.journal.meta().await?;
            let name = GateName::ALL.into_iter().find(|gate| gate.phase() == meta.phase);
            let gate = match name {
                Some(name) => self.journal.gate(name).await?,
                None => None,
            };
            Ok(Snapshot { meta, gate })
        })
        .await
    }

    /// Every transition so far, copied to the journal folder if there is one.
    ///
    /// # Errors
    /// Blocked when the copy cannot be written.
    pub(crate) async fn events(&self) -> Result<Vec<Event>> {
        let events = self.patiently("read the journal", || self.journal.events()).await?;
        if let Some(mirror) = self.mirror.as_ref().filter(|_| !events.is_empty()) {
            mirror.write(&events)?;
        }
        Ok(events)
    }

    /// Progress of every partition, as far as they are known yet.
    ///
    /// # Errors
    /// Those of the journal and of S3.
    pub(crate) async fn partitions(&self, meta: &Meta) -> Result<Vec<PartitionProgress>> {
        Ok(self.progress(meta).await?.into_iter().flat_map(|batch| batch.partitions).collect())
    }

    /// How far each batch is and since when that is known, as far as batches are known yet.
    ///
    /// # Errors
    /// Those of the journal and of S3.
    pub(crate) async fn progress(&self, meta: &Meta) -> Result<Vec<BatchProgress>> {
        let batches = self.batches(meta).await?;
        self.patiently("read the progress", || self.journal.batch_progress((0..batches).map(BatchId))).await
    }

    /// What is known of the function that copies each batch.
    ///
    /// # Errors
    /// Those of the journal and of S3.
    pub(crate) async fn heartbeats(&self, meta: &Meta) -> Result<Vec<(BatchId, Option<Heartbeat>)>> {
        let batches = self.batches(meta).await?;
        self.patiently("read signs of life", || self.journal.heartbeats((0..batches).map(BatchId))).await
    }

    /// Number of batches: a fact of the run, else the manifest's length, 0 before there is one.
    async fn batches(&self, meta: &Meta) -> Result<u32> {
        #[derive(Deserialize)]
        struct Listed {}
        let fact = meta.facts.get("batches").and_then(serde_json::Value::as_u64);
        let number = match fact {
            Some(number) => number,
            None => {
                let store = self.backup(&Config::from_json(&meta.config)?);
                let Some(object) = store.get("manifests/batches.json").await? else { return Ok(0) };
                let listed: Vec<Listed> = serde_json::from_slice(&object.body)
                    .map_err(|error| Error::internal(format_args!("manifests/batches.json: {error}")))?;
                listed.len() as u64
            }
        };
        u32::try_from(number).map_err(|_| Error::internal(format_args!("{number} batches are more than there can be")))
    }

    /// The migration's working data.
    pub(crate) fn backup(&self, config: &Config) -> Store {
        self.host.backup(config, self.id())
    }

    /// Calls `call` until it does something other than fail in passing, with growing pauses; says so once.
    ///
    /// # Errors
    /// Every error of `call` that repeating does not help against, and Transient when nothing is followed yet and it does
    /// not help for a minute.
    pub(crate) async fn patiently<T, F: Future<Output = Result<T>>>(
        &self,
        what: &str,
        call: impl Fn() -> F,
    ) -> Result<T> {
        let mut pause = PAUSES.0;
        let begun = Instant::now();
        loop {
            let patient = begun.elapsed() < PATIENCE || UNDER_WAY.get().is_some();
            match call().await {
                Err(error) if error.kind == ErrorKind::Transient && patient => {
                    if pause == PAUSES.0 {
                        self.console.say(format!("cannot {what} at the moment, trying on: {error}"));
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                other => {
                    if pause > PAUSES.0 && other.is_ok() {
                        self.console.say(format!("could {what} again"));
                    }
                    return other;
                }
            }
        }
    }

    /// Refuses a configuration with other clusters or buckets than the migration was started with.
    ///
    /// # Errors
    /// Invalid, naming what differs.
    pub(crate) fn check_fingerprint(&self, meta: &Meta, given: &Config) -> Result<()> {
        if meta.fingerprint == given.fingerprint() {
            return Ok(());
        }
        let path = self.line.config.as_deref().unwrap_or(Path::new("the configuration")).display().to_string();
        Err(mismatch(meta, given, &path, &self.line.command("execute")))
    }
}

/// `execute` is the command that starts the migration with the given configuration.
fn mismatch(meta: &Meta, given: &Config, path: &str, execute: &str) -> Error {
    let stored = Config::from_json(&meta.config).ok();
    let fields = |config: &Config| {
        [
            ("source.cluster_arn", config.source.cluster_arn.clone()),
            ("target.cluster_arn", config.target.cluster_arn.clone()),
            ("backup.s3_bucket", config.backup.s3_bucket.clone()),
            ("backup.s3_prefix", config.backup.s3_prefix.clone()),
            ("evidence.s3_bucket", config.evidence.s3_bucket.clone()),
            ("evidence.s3_prefix", config.evidence.s3_prefix.clone()),
            ("topology", config.topology.selection()),
        ]
    };
    let differs = stored.map(|stored| {
        let pairs = fields(&stored).into_iter().zip(fields(given)).filter(|(was, is)| was != is);
        pairs
            .map(|((field, was), (_, is))| format!("\n  {field}: started with {was:?}, now {is:?}"))
            .collect::<String>()
    });
    Error::invalid(format_args!(
        "resume fingerprint mismatch: {path} is not the configuration this migration was started with{}\n\
         Use the configuration it was started with, leave --config out, start another migration with an id of its own, or let \
         this one begin again with what is given: `{execute} --force-restart` says first what of it is removed on the target, and \
         asks",
        differs.unwrap_or_default()
    ))
}

impl From<&RunArgs> for CommandLine {
    fn from(args: &RunArgs) -> Self {
        Self {
            migration_id: args.migration_id.clone(),
            config: args.config.clone(),
            journal_dir: args.journal_dir.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{config, meta};
    use migration::Phase;

    #[test]
    fn a_mismatch_names_what_differs_and_the_way_out() {
        let mut other = config();
        other.backup.s3_bucket = "elsewhere".to_owned();
        let error = mismatch(&meta(Phase::Seed), &other, "m.yaml", "msk-kraft execute --migration-id m1");
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.message.starts_with("resume fingerprint mismatch"), "{error}");
        assert!(error.message.contains("backup.s3_bucket: started with \"segments\", now \"elsewhere\""), "{error}");
        assert!(!error.message.contains("cluster_arn") && error.message.contains("--config"), "{error}");
        assert!(error.message.contains("`msk-kraft execute --migration-id m1 --force-restart`"), "{error}");
    }

    #[test]
    fn a_configuration_that_cannot_be_read_is_named() {
        let error = load_config(Path::new("/nowhere/m.yaml")).unwrap_err();
        assert!(error.message.contains("/nowhere/m.yaml"), "{error}");
    }
}
