//! What processes use, from `/proc`: CPU time and peak memory, watched while something runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use procfs::process::{Process, Stat};
use procfs::{CurrentSI, KernelStats};
use serde::Serialize;
use stack::Stack;

/// How often processes are looked at; a process that ends may use this much unseen.
const EVERY: Duration = Duration::from_millis(200);

/// Name under which the compiler threads of a broker are kept, as if they were a process.
const COMPILERS: &str = "compilers";

/// Names of HotSpot's compiler threads, as far as Linux keeps a thread's name.
const COMPILER_THREADS: [&str; 2] = ["C1 CompilerThre", "C2 CompilerThre"];

/// Whom a process works for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// The copy functions, the relay, MirrorMaker's JVM, a performance tool.
    Copier,
    /// The other functions of a migration.
    OtherFunctions,
    /// The source's broker and ZooKeeper.
    Source,
    /// The target's broker.
    Target,
    /// The compilers in the JVMs of both brokers.
    Compilers,
    /// What stands for S3.
    S3,
    /// moto, which stands for DynamoDB and Step Functions.
    Aws,
    /// The bench itself and the Lambda runtime API.
    Harness,
}

impl Role {
    fn of(process: &str) -> Self {
        let name = match process.rsplit_once('-') {
            Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => process,
        };
        match name {
            "source" | "zookeeper" => Self::Source,
            "target" => Self::Target,
            COMPILERS => Self::Compilers,
            "moto" => Self::Aws,
            "s3" => Self::S3,
            "seed-partition" | "tail-batch" | "relay" | "mirrormaker" | "producer-perf" | "consumer-perf" => {
                Self::Copier
            }
            "bench" | "cargo-lambda" => Self::Harness,
            _ => Self::OtherFunctions,
        }
    }
}

/// CPU seconds by role.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Cpu {
    /// See [`Role::Copier`].
    pub(crate) copier: f64,
    /// See [`Role::OtherFunctions`].
    pub(crate) other_functions: f64,
    /// See [`Role::Source`].
    pub(crate) source: f64,
    /// See [`Role::Target`].
    pub(crate) target: f64,
    /// See [`Role::Compilers`]; not part of `source` and `target`.
    pub(crate) compilers: f64,
    /// See [`Role::S3`].
    pub(crate) s3: f64,
    /// See [`Role::Aws`].
    pub(crate) aws: f64,
    /// See [`Role::Harness`].
    pub(crate) harness: f64,
    /// The part of the machine's time, from 0 to 1, that everything else took. When it is not small, the seconds say little.
    pub(crate) elsewhere: f64,
}

impl Cpu {
    fn of(&mut self, role: Role) -> &mut f64 {
        match role {
            Role::Copier => &mut self.copier,
            Role::OtherFunctions => &mut self.other_functions,
            Role::Source => &mut self.source,
            Role::Target => &mut self.target,
            Role::Compilers => &mut self.compilers,
            Role::S3 => &mut self.s3,
            Role::Aws => &mut self.aws,
            Role::Harness => &mut self.harness,
        }
    }
}

/// Processes beside those of the stack. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Others(Arc<Mutex<Vec<(String, u32)>>>);

impl Others {
    /// Adds a process.
    pub(crate) fn add(&self, name: &str, pid: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((name.to_owned(), pid));
    }

    fn all(&self) -> Vec<(String, u32)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A process by name and id.
type Named = (String, u32);

/// CPU seconds used up to moments in time.
type Used = Vec<(DateTime<Utc>, f64)>;

/// What every process had used at moments in time.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// CPU seconds since the start of the process.
    by_process: BTreeMap<Named, Used>,
    peak_rss: BTreeMap<Named, u64>,
    /// CPU seconds of the whole machine since it started.
    machine: Used,
}

/// Runs `work` and watches the processes of `stack`, `others` and this one meanwhile.
pub(crate) async fn watch<T>(stack: &Stack, others: &Others, work: impl Future<Output = T>) -> (T, Usage) {
    tokio::pin!(work);
    let mut usage = Usage::default();
    let mut ticks = tokio::time::interval(EVERY);
    let look = |usage: &mut Usage| {
        let own = ("bench".to_owned(), std::process::id());
        usage.take(stack.processes().into_iter().chain(others.all()).chain([own]));
    };
    loop {
        tokio::select! {
            output = &mut work => {
                look(&mut usage);
                return (output, usage);
            }
            _ = ticks.tick() => look(&mut usage),
        }
    }
}

impl Usage {
    fn take(&mut self, processes: impl Iterator<Item = (String, u32)>) {
        let before = self.machine.last().map(|(at, _)| *at);
        self.machine.extend(machine().map(|cpu| (Utc::now(), cpu)));
        for (name, pid) in processes {
            // A process that has ended keeps what was seen of it.
            let Some((mut cpu, peak)) = read(pid) else { continue };
            let mut push = |key: Named, cpu| {
                let new = || before.map(|at| (at, 0.0)).into_iter().collect();
                self.by_process.entry(key).or_insert_with(new).push((Utc::now(), cpu));
            };
            if matches!(Role::of(&name), Role::Source | Role::Target) {
                let compilers = read_compilers(pid).unwrap_or_default();
                push((COMPILERS.to_owned(), pid), compilers);
                cpu -= compilers;
            }
            let key = (name, pid);
            self.peak_rss.insert(key.clone(), peak);
            push(key, cpu);
        }
    }

    /// CPU time that was used between two moments.
    pub(crate) fn cpu(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Cpu {
        let used = |seen: &[(DateTime<Utc>, f64)]| used_until(seen, to) - used_until(seen, from);
        let mut sum = Cpu::default();
        let mut known = 0.0;
        for ((name, _), seen) in &self.by_process {
            *sum.of(Role::of(name)) += used(seen);
            known += used(seen);
        }
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let whole = (to - from).as_seconds_f64() * processors as f64;
        sum.elsewhere = ((used(&self.machine) - known) / whole).max(0.0);
        sum
    }

    /// Largest resident memory in bytes that a process of the copier had (`VmHWM`).
    pub(crate) fn copier_peak_rss(&self) -> u64 {
        let copiers = self.peak_rss.iter().filter(|((name, _), _)| Role::of(name) == Role::Copier);
        copiers.map(|(_, bytes)| *bytes).max().unwrap_or(0)
    }

    /// How many processes the copier had.
    pub(crate) fn copiers(&self) -> usize {
        self.peak_rss.keys().filter(|(name, _)| Role::of(name) == Role::Copier).count()
    }
}

/// What was used until `at`, between two looks in proportion.
fn used_until(seen: &[(DateTime<Utc>, f64)], at: DateTime<Utc>) -> f64 {
    let next = seen.partition_point(|(when, _)| *when <= at);
    let Some((before, used)) = next.checked_sub(1).map(|index| seen[index]) else {
        // Before the first look nothing counts.
        return seen.first().map_or(0.0, |(_, used)| *used);
    };
    let Some((after, more)) = seen.get(next).copied() else { return used };
    let part = (at - before).as_seconds_f64() / (after - before).as_seconds_f64();
    used + (more - used) * part
}

fn read(pid: u32) -> Option<(f64, u64)> {
    let process = Process::new(i32::try_from(pid).ok()?).ok()?;
    Some((seconds(&process.stat().ok()?), process.status().ok()?.vmhwm? * 1024))
}

/// CPU seconds of the threads of a JVM that compile.
fn read_compilers(pid: u32) -> Option<f64> {
    let tasks = Process::new(i32::try_from(pid).ok()?).ok()?.tasks().ok()?;
    let stats = tasks.filter_map(|task| task.ok()?.stat().ok());
    Some(stats.filter(|stat| COMPILER_THREADS.contains(&stat.comm.as_str())).map(|stat| seconds(&stat)).sum())
}

fn seconds(stat: &Stat) -> f64 {
    (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64
}

/// CPU seconds that the machine spent on anything but waiting.
fn machine() -> Option<f64> {
    let total = KernelStats::current().ok()?.total;
    let ticks = total.user + total.nice + total.system + total.irq.unwrap_or(0) + total.softirq.unwrap_or(0);
    Some(ticks as f64 / procfs::ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_known_by_their_names() {
        let of = |name| Role::of(name);
        assert_eq!((of("source-1"), of("target-3"), of("zookeeper")), (Role::Source, Role::Target, Role::Source));
        assert_eq!(
            (of("seed-partition-12"), of("tail-batch-1"), of("relay")),
            (Role::Copier, Role::Copier, Role::Copier)
        );
        assert_eq!((of("s3"), of("moto"), of("gate-1")), (Role::S3, Role::Aws, Role::OtherFunctions));
    }

    #[test]
    fn what_was_used_is_read_between_the_looks() {
        let at = |ms| DateTime::from_timestamp_millis(ms).unwrap();
        let seen = [(at(1000), 2.0), (at(2000), 4.0)];
        for (ms, used) in [(0, 2.0), (1000, 2.0), (1500, 3.0), (2000, 4.0), (9000, 4.0)] {
            assert!((used_until(&seen, at(ms)) - used).abs() < 1e-9, "{ms}");
        }
    }

    #[test]
    fn this_process_uses_something() {
        let (_, peak) = read(std::process::id()).unwrap();
        assert!(peak > 100_000);
    }
}
