//! Watching a migration through its journal while its execution runs.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use journal::Event;
use migration::{Config, Error, Phase, Result};
use serde_json::{Value, json};

use crate::advice::{self, Next};
use crate::executions::{Execution, Executions};
use crate::progress::{Progress, Totals};
use crate::sealing;
use crate::session::{Session, Snapshot};

/// Pause between two looks at the journal.
pub(crate) const LOOK: Duration = Duration::from_millis(500);
/// Pause between two questions to Step Functions, which allows far fewer.
const ASK: Duration = Duration::from_secs(4);
/// How much the clocks of Step Functions and of the functions may differ.
const SKEW: TimeDelta = TimeDelta::seconds(2);

/// What tells news of an execution from what an earlier one left.
#[derive(Debug, Clone, Copy)]
enum Since {
    /// The run's version and its gate's attempt before this program started the execution.
    Version(u64, u32),
    /// When the execution, which somebody else started, began.
    Time(DateTime<Utc>),
}

/// Follows one execution of a migration.
#[derive(Debug)]
pub(crate) struct Follower<'a> {
    session: &'a Session,
    executions: Executions,
    execution: Execution,
    /// Secrets that were created for the execution.
    secrets: Vec<String>,
    since: Since,
    events: Vec<Event>,
    /// Transitions printed, which is the number of the last one printed.
    printed: usize,
    progress: Progress,
    ask_next: Instant,
    ended: bool,
}

/// A look at the migration.
#[derive(Debug)]
pub(crate) struct Moment {
    /// Where it stands.
    pub(crate) snapshot: Snapshot,
    /// Whether the phase, or the gate, is this execution's and not left from an earlier one.
    pub(crate) current: bool,
    /// Whether the phase's gate was armed within this execution: an earlier one may have left its gate open, and its
    /// token dead.
    pub(crate) armed: bool,
    /// Whether that gate is still open.
    pub(crate) open: bool,
}

impl Moment {
    /// The phase.
    pub(crate) const fn phase(&self) -> Phase {
        self.snapshot.meta.phase
    }
}

impl<'a> Follower<'a> {
    /// Starts an execution and follows it. `before` is where the migration stood; nothing when it is new.
    ///
    /// # Errors
    /// Blocked when Step Functions refuses.
    pub(crate) async fn start(session: &'a Session, before: Option<&Snapshot>) -> Result<Follower<'a>> {
        Self::start_numbered(session, before, before.map_or(0, |before| before.meta.executions)).await
    }

    /// Starts an execution of a migration that begins again after `count` others, and follows it.
    ///
    /// # Errors
    /// Blocked when Step Functions refuses.
    pub(crate) async fn start_again(session: &'a Session, count: u32) -> Result<Follower<'a>> {
        Self::start_numbered(session, None, count).await
    }

    async fn start_numbered(session: &'a Session, before: Option<&Snapshot>, count: u32) -> Result<Follower<'a>> {
        let executions = session.executions()?;
        let config = session.config_to_start(before.map(|before| &before.meta)).await?;
        session.mark_under_way();
        let secrets = sealing::hand_over();
        let start = || executions.start(session.id(), count, &config);
        let arn = match session.patiently("start the execution", start).await {
            Ok(arn) => arn,
            Err(error) => {
                sealing::delete(&session.host.aws, secrets.iter().map(String::as_str)).await;
                return Err(error);
            }
        };
        let execution = session.patiently("ask Step Functions", || executions.described(&arn)).await?;
        session.console.say(format!("execution: {arn}"));
        let version = before.map_or(0, |before| before.meta.version);
        let attempt = before.and_then(|before| before.gate.as_ref()).map_or(0, |gate| gate.attempt);
        let follower = Self::new(session, executions, execution, Since::Version(version, attempt), version)?;
        Ok(Self { secrets, ..follower })
    }

    /// Follows the execution that runs; nothing when none does.
    ///
    /// # Errors
    /// Blocked when Step Functions refuses.
    pub(crate) async fn join(session: &'a Session, snapshot: &Snapshot) -> Result<Option<Follower<'a>>> {
        let executions = session.executions()?;
        let count = snapshot.meta.executions;
        let found = session.patiently("ask Step Functions", || executions.running(session.id(), count)).await?;
        let Some(execution) = found else { return Ok(None) };
        session.mark_under_way();
        let since = Since::Time(execution.started);
        Self::new(session, executions, execution, since, snapshot.meta.version).map(Some)
    }

    fn new(
        session: &'a Session,
        executions: Executions,
        execution: Execution,
        since: Since,
        version: u64,
    ) -> Result<Follower<'a>> {
        let printed = usize::try_from(version).map_err(|_| Error::internal("more transitions than fit in memory"))?;
        let (progress, ask_next) = (Progress::new(), Instant::now() + ASK);
        Ok(Self {
            session,
            executions,
            execution,
            secrets: Vec::new(),
            since,
            events: Vec::new(),
            printed,
            progress,
            ask_next,
            ended: false,
        })
    }

    /// The execution.
    pub(crate) const fn execution(&self) -> &Execution {
        &self.execution
    }

    /// The transition into the phase the migration is in.
    pub(crate) fn last_event(&self) -> Option<&Event> {
        self.events.last()
    }

    /// Looks once, prints what is new, and pauses. Nothing while a new migration has no journal yet.
    ///
    /// # Errors
    /// Blocked when the execution ended and left nothing in the journal to go by.
    pub(crate) async fn look(&mut self) -> Result<Option<Moment>> {
        self.ask().await?;
        if self.events.is_empty() {
            self.events = self.session.events().await?;
        }
        if self.events.is_empty() {
            if self.ended {
                return Err(self.ended_early("before it had a journal", None).await);
            }
            tokio::time::sleep(LOOK).await;
            return Ok(None);
        }
        let snapshot = self.session.snapshot().await?;
        if snapshot.meta.version != self.events.len() as u64 {
            self.events = self.session.events().await?;
        }
        self.print_events()?;
        self.show_progress(&snapshot).await;
        let (armed, current) = (self.is_armed(&snapshot), self.is_current(&snapshot));
        let open = armed && advice::is_open(snapshot.gate.as_ref());
        Ok(Some(Moment { snapshot, current, armed, open }))
    }

    /// Looks until `decide` makes something of what it sees.
    ///
    /// # Errors
    /// Blocked when the execution ends before that.
    pub(crate) async fn until<T>(&mut self, decide: impl Fn(&Moment) -> Option<T>) -> Result<(T, Moment)> {
        loop {
            let Some(moment) = self.look().await? else { continue };
            if let Some(decided) = decide(&moment) {
                self.progress.hide(&self.session.console);
                return Ok((decided, moment));
            }
            self.go_on(&moment).await?;
        }
    }

    /// Pauses after a look that showed nothing to act on.
    ///
    /// # Errors
    /// Blocked when the execution has ended, so that nothing will follow.
    pub(crate) async fn go_on(&self, moment: &Moment) -> Result<()> {
        if self.ended {
            let when = format!("while the journal says {}", moment.phase());
            return Err(self.ended_early(&when, Some(&moment.snapshot.meta.config)).await);
        }
        tokio::time::sleep(LOOK).await;
        Ok(())
    }

    /// Whether the execution has ended, as far as Step Functions was asked.
    pub(crate) async fn has_ended(&mut self) -> Result<bool> {
        self.ask().await?;
        Ok(self.ended)
    }

    /// Shows no progress until [`Follower::resume_progress`], so that a question can stand on the terminal.
    pub(crate) fn pause_progress(&mut self) {
        self.progress.pause();
        self.progress.hide(&self.session.console);
    }

    /// Shows progress again.
    pub(crate) fn resume_progress(&mut self) {
        self.progress.go_on();
    }

    /// Asks Step Functions, when it is time, whether the execution goes on. Asked before the journal is read: whatever
    /// an execution wrote, it wrote before it ended.
    async fn ask(&mut self) -> Result<()> {
        if self.ended || Instant::now() < self.ask_next {
            return Ok(());
        }
        self.ask_next = Instant::now() + ASK;
        let arn = &self.execution.arn;
        let found = self.session.patiently("ask Step Functions", || self.executions.describe(arn)).await?;
        match found {
            Some(execution) => {
                self.ended = !execution.running;
                self.execution = execution;
            }
            None => {
                self.ended = true;
                self.execution.failure = Some("Step Functions does not know it any more".to_owned());
            }
        }
        Ok(())
    }

    /// What to say of an execution that left nothing to go by. Deletes the secrets that were created for it, unless it got
    /// as far as to enter its configuration in the journal.
    async fn ended_early(&self, when: &str, journal: Option<&Value>) -> Error {
        let entered = journal.and_then(|config| Config::from_json(config).ok());
        let unused = |arn: &&str| entered.as_ref().is_none_or(|config| config.run_secrets().all(|used| used != *arn));
        sealing::delete(&self.session.host.aws, self.secrets.iter().map(String::as_str).filter(unused)).await;
        let Execution { arn, status, failure, .. } = &self.execution;
        let why = failure.as_ref().map_or_else(String::new, |failure| format!(": {failure}"));
        Error::blocked(format_args!(
            "the execution {arn} ended ({status}) {when}{why}\nnext_command: {}",
            self.session.line.command("resume")
        ))
    }

    fn is_armed(&self, Snapshot { meta, gate }: &Snapshot) -> bool {
        let Some(gate) = gate else { return false };
        let entered = self.events.last().is_none_or(|event| gate.opened_at + SKEW >= event.at);
        entered
            && match self.since {
                Since::Version(version, attempt) => meta.version > version || gate.attempt > attempt,
                Since::Time(started) => gate.opened_at + SKEW >= started,
            }
    }

    fn is_current(&self, snapshot: &Snapshot) -> bool {
        let moved = match self.since {
            Since::Version(version, _) => snapshot.meta.version > version,
            Since::Time(started) => self.events.last().is_some_and(|event| event.at + SKEW >= started),
        };
        moved || snapshot.meta.phase.is_terminal() || self.is_armed(snapshot)
    }

    fn print_events(&mut self) -> Result<()> {
        for event in self.events.iter().skip(self.printed) {
            if self.session.console.is_json() {
                self.session.console.json_line(event)?;
            } else {
                self.session.console.data(event.to_string());
            }
        }
        self.printed = self.printed.max(self.events.len());
        Ok(())
    }

    /// Shows progress when it is time. That it cannot be read is no reason to look away from the migration.
    async fn show_progress(&mut self, snapshot: &Snapshot) {
        if !self.progress.is_due(snapshot.meta.phase) {
            return;
        }
        match self.session.partitions(&snapshot.meta).await {
            Ok(partitions) => {
                self.progress.show(&self.session.console, snapshot.meta.phase, &Totals::of(&partitions));
            }
            Err(error) => {
                self.progress.pause();
                self.session.console.say(format!("progress is not shown: {error}"));
            }
        }
    }

    /// Says what comes next: on stderr, and for programs as the last line of stdout.
    ///
    /// # Errors
    /// Invalid when the stored configuration cannot be used.
    pub(crate) fn conclude(&self, snapshot: &Snapshot) -> Result<()> {
        conclude(self.session, snapshot)
    }
}

/// Says what comes next: on stderr, and for programs as the last line of stdout.
///
/// # Errors
/// Invalid when the stored configuration cannot be used.
pub(crate) fn conclude(session: &Session, snapshot: &Snapshot) -> Result<()> {
    let config = Config::from_json(&snapshot.meta.config)?;
    let next = advice::next(snapshot, &config, &session.line);
    if session.console.is_json() {
        let phase = snapshot.meta.phase;
        session.console.json_line(&json!({"migration_id": session.id(), "phase": phase, "next": next}))?;
    }
    let Next { action, command } = next;
    session.console.say(format!("next: {action}"));
    if let Some(command) = command {
        session.console.say(format!("next_command: {command}"));
    }
    Ok(())
}
