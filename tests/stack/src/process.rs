//! Child processes: each in a group of its own, its output in a log file, never outliving this program.
//!
//! A child is stopped by [`Process::terminate`], by dropping its [`Process`], and, where `setpriv` of util-linux is
//! there, by the kernel when this program is killed (`PR_SET_PDEATHSIG`). The kernel ties that signal to the *thread*
//! that forked, so all children are started by one thread that lives as long as the program.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, OnceLock, mpsc},
    time::{Duration, Instant},
};

use anyhow::Context;
use nix::{sys::signal::Signal, unistd::Pid};
use tokio::sync::watch;

const SETPRIV: &str = "/usr/bin/setpriv";
const POLL: Duration = Duration::from_millis(25);
const TAIL_LINES: usize = 25;
const TAIL_BYTES: u64 = 16 * 1024;

/// What to start.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Name in messages, `target-1` for example.
    pub name: String,
    /// Program to run.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment on top of this program's own, unless `clean_env`.
    pub env: Vec<(String, String)>,
    /// Whether the child sees only `env`.
    pub clean_env: bool,
    /// File that standard output and error are appended to.
    pub log: PathBuf,
    /// Working directory.
    pub dir: PathBuf,
}

/// A running child.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: Pid,
    log: PathBuf,
    log_start: u64,
    exit: watch::Receiver<Option<ExitStatus>>,
    ended: Arc<(Mutex<bool>, Condvar)>,
}

impl Process {
    /// Starts a child.
    ///
    /// # Errors
    /// When its log file cannot be opened or the program cannot be started.
    pub fn spawn(spec: Spec) -> anyhow::Result<Self> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&spec.log)
            .with_context(|| format!("opening the log file {}", spec.log.display()))?;
        let log_start = log.metadata()?.len();
        let child = spawn_on_lasting_thread(command(&spec, log)?)
            .with_context(|| format!("starting {} ({})", spec.name, spec.program.display()))?;
        let pid = Pid::from_raw(i32::try_from(child.id()).context("process id out of range")?);
        let (exit, ended) = watch_exit(&spec.name, child)?;
        Ok(Self { name: spec.name, pid, log: spec.log, log_start, exit, ended })
    }

    /// The child's process id, which is also its group's.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, `None` while it runs.
    pub fn exited(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Resolves when the child has ended; may be kept apart from the process.
    pub fn on_exit(&self) -> impl Future<Output = Option<ExitStatus>> + Send + 'static {
        let mut exit = self.exit.clone();
        async move { exit.wait_for(Option::is_some).await.ok().and_then(|status| *status) }
    }

    /// Sends a signal to the child's whole group; a group that is gone is fine.
    pub fn signal(&self, signal: Signal) {
        if self.exited().is_none() {
            // ESRCH: it ended on its own just now.
            let _ = nix::sys::signal::killpg(self.pid, signal);
        }
    }

    /// Waits until the child has ended, at most `limit`. Blocks the thread.
    pub fn wait(&self, limit: Duration) -> bool {
        let (ended, changed) = &*self.ended;
        let Ok(guard) = ended.lock() else { return true };
        changed.wait_timeout_while(guard, limit, |ended| !*ended).is_ok_and(|(ended, _)| *ended)
    }

    /// SIGTERM, at most `grace` of waiting, SIGKILL for the whole group. Blocks the thread.
    pub fn terminate(&self, grace: Duration) {
        self.signal(Signal::SIGTERM);
        if !self.wait(grace) {
            tracing::warn!(process = %self.name, "did not stop in time and is killed");
            self.kill();
        }
    }

    /// SIGKILL for the group and a wait for its end. Blocks the thread for moments.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
        self.wait(Duration::from_secs(5));
    }

    /// Waits until `probe` is true.
    ///
    /// # Errors
    /// When the child ends first or `limit` has passed; the error ends with the last lines of the log.
    pub async fn ready<F, Fut>(&self, limit: Duration, mut probe: F) -> anyhow::Result<()>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = bool>,
    {
        let start = Instant::now();
        loop {
            if let Some(status) = self.exited() {
                anyhow::bail!("{} ended before it was ready ({}).\n{}", self.name, describe(status), self.tail());
            }
            if tokio::time::timeout(Duration::from_secs(2), probe()).await.unwrap_or(false) {
                return Ok(());
            }
            if start.elapsed() > limit {
                anyhow::bail!("{} was not ready within {limit:?}.\n{}", self.name, self.tail());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// What this child (not an earlier one with the same log) wrote last, preceded by the log file's name.
    pub fn tail(&self) -> String {
        let text = read_tail(&self.log, self.log_start).unwrap_or_else(|error| format!("(unreadable: {error})"));
        format!("Log file {}; its last lines:\n{text}", self.log.display())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exited().is_none() {
            self.kill();
        }
    }
}

/// Stops several children at once: SIGTERM to all, one common grace period, SIGKILL for what is left.
pub fn terminate_all<'a>(processes: impl IntoIterator<Item = &'a Process>, grace: Duration) {
    let processes: Vec<&Process> = processes.into_iter().collect();
    for process in &processes {
        process.signal(Signal::SIGTERM);
    }
    let deadline = Instant::now() + grace;
    for process in processes {
        if !process.wait(deadline.saturating_duration_since(Instant::now())) {
            tracing::warn!(process = %process.name, "did not stop in time and is killed");
            process.kill();
        }
    }
}

/// `exit status: 1` or `signal: killed`, in the words AWS Lambda uses.
pub fn describe(status: ExitStatus) -> String {
    match status.signal().and_then(|signal| Signal::try_from(signal).ok()) {
        Some(Signal::SIGKILL) => "signal: killed".to_owned(),
        Some(Signal::SIGTERM) => "signal: terminated".to_owned(),
        Some(signal) => format!("signal: {}", signal.as_str()),
        None => format!("exit status {}", status.code().unwrap_or(-1)),
    }
}

fn command(spec: &Spec, log: File) -> anyhow::Result<Command> {
    let mut command = if Path::new(SETPRIV).exists() {
        let mut command = Command::new(SETPRIV);
        command.args(["--pdeathsig", "KILL", "--"]).arg(&spec.program);
        command
    } else {
        Command::new(&spec.program)
    };
    if spec.clean_env {
        command.env_clear();
    }
    command
        .args(&spec.args)
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&spec.dir)
        .stdin(Stdio::null())
        .stderr(log.try_clone()?)
        .stdout(log)
        .process_group(0);
    Ok(command)
}

type Reply = mpsc::Sender<std::io::Result<Child>>;

fn spawn_on_lasting_thread(command: Command) -> anyhow::Result<Child> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<(Command, Reply)>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<(Command, Reply)>();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                // The asker is gone only when it panicked; then nobody wants the child.
                if let Err(mpsc::SendError(Ok(mut child))) = reply.send(command.spawn()) {
                    let _ = child.kill();
                }
            }
        });
        Mutex::new(orders)
    });
    let (reply, answer) = mpsc::channel();
    let orders = spawner.lock().map_err(|_| anyhow::anyhow!("the thread that starts processes panicked"))?;
    orders.send((command, reply)).context("the thread that starts processes ended")?;
    drop(orders);
    Ok(answer.recv().context("the thread that starts processes ended")??)
}

type ExitWatch = (watch::Receiver<Option<ExitStatus>>, Arc<(Mutex<bool>, Condvar)>);

fn watch_exit(name: &str, mut child: Child) -> anyhow::Result<ExitWatch> {
    let (sender, receiver) = watch::channel(None);
    let ended = Arc::new((Mutex::new(false), Condvar::new()));
    let shared = Arc::clone(&ended);
    std::thread::Builder::new()
        .name(format!("wait-{name}"))
        .spawn(move || {
            let status = child.wait().unwrap_or_default();
            sender.send_replace(Some(status));
            if let Ok(mut ended) = shared.0.lock() {
                *ended = true;
            }
            shared.1.notify_all();
        })
        .context("starting the thread that waits for a child")?;
    Ok((receiver, ended))
}

fn read_tail(path: &Path, from: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(from.max(length.saturating_sub(TAIL_BYTES))))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, dir: &Path) -> Spec {
        Spec {
            name: "test".to_owned(),
            program: "/bin/sh".into(),
            args: vec!["-c".to_owned(), script.to_owned()],
            env: vec![("GREETING".to_owned(), "hello".to_owned())],
            clean_env: false,
            log: dir.join("log"),
            dir: dir.to_owned(),
        }
    }

    #[tokio::test]
    async fn an_early_end_names_the_log_and_shows_its_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let process = Process::spawn(sh("echo $GREETING; exit 3", dir.path())).unwrap();
        let error = process.ready(Duration::from_secs(5), async || false).await.unwrap_err().to_string();
        assert!(error.contains("exit status 3") && error.contains("hello") && error.contains("log"), "{error}");
    }

    #[tokio::test]
    async fn a_child_that_is_never_ready_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let process = Process::spawn(sh("sleep 60", dir.path())).unwrap();
        let error = process.ready(Duration::from_millis(50), async || false).await.unwrap_err().to_string();
        assert!(error.contains("not ready within"), "{error}");
    }

    #[test]
    fn terminate_kills_the_whole_group_of_a_stubborn_child() {
        let dir = tempfile::tempdir().unwrap();
        let script = "trap '' TERM; sleep 60 & echo $!; wait; wait";
        let process = Process::spawn(sh(script, dir.path())).unwrap();
        let grandchild = loop {
            if let Ok(pid) = std::fs::read_to_string(process.log()).unwrap().trim().parse::<i32>() {
                break pid;
            }
        };
        process.terminate(Duration::from_millis(200));
        assert_eq!(describe(process.exited().unwrap()), "signal: killed");
        let gone = || std::fs::read_to_string(format!("/proc/{grandchild}/stat")).map_or(true, |s| s.contains(") Z "));
        let deadline = Instant::now() + Duration::from_secs(5);
        while !gone() {
            assert!(Instant::now() < deadline, "the grandchild {grandchild} still runs");
        }
    }

    #[test]
    fn dropping_kills_without_a_runtime() {
        let dir = tempfile::tempdir().unwrap();
        let process = Process::spawn(sh("sleep 60", dir.path())).unwrap();
        let (exit, pid) = (process.exit.clone(), process.pid());
        drop(process);
        assert!(exit.borrow().is_some(), "process {pid} was not reaped");
    }
}
