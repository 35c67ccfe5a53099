//! A freeze ends within its bound, with producers let go or clients at the target, whatever breaks at whichever step of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use e2e::{Cli, Holding, Rehearsal, config, small};
use kafka::{Cluster, ConfigChange, ConfigOp, all_ok};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use stack::{Options, SEGMENTS_BUCKET, Side};

const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);
const TOPIC: &str = "orders";
/// Where the group stands.
const COMMITTED: i64 = 20;
/// The last step before the mark that asks the target.
const LAST_BEFORE_THE_MARK: &str = "read groups on the target";
/// The coordinators' topic.
const OFFSETS: &str = "__consumer_offsets";

/// Of a freeze that no machine ends in time, since a broker is lost from its start.
const SHORT: u64 = 12;
/// Of a freeze that a loaded machine gets through as well, so that a step of it can be met.
const LONG: u64 = 50;

/// What becomes of a broker, until the freeze is over.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Its process is killed.
    Dies,
    /// Its process stands still: connections stay, and nobody answers.
    Hangs,
}

/// A migration at `drain_ready`, again and again.
struct Freezes {
    rehearsal: Rehearsal,
    cli: Cli,
    source: Cluster,
    target: Cluster,
    producer: Holding,
}

impl Freezes {
    async fn start() -> Self {
        let options =
            Options { name: "e2e-freeze-faults".to_owned(), discard: true, quiet: true, ..Options::default() };
        let rehearsal = Rehearsal::start(options, "faults").await.unwrap();
        let source = small::connect(&rehearsal.stack, Side::Source).await.unwrap();
        let target = small::connect(&rehearsal.stack, Side::Target).await.unwrap();
        let producer = Holding::register(rehearsal.stack.webhook()).unwrap();
        let path = configured(&rehearsal, SHORT);
        let cli = rehearsal.cli.clone().with(&path, "faults");
        Self { rehearsal, cli, source, target, producer }
    }

    /// Bounds the next freezes by so many seconds, from the resume on.
    fn bound(&self, seconds: u64) {
        configured(&self.rehearsal, seconds);
    }

    /// How often the cutover's function has ended a step.
    fn ended(&self, step: &str) -> usize {
        let logs = std::fs::read_dir(self.rehearsal.stack.logs()).unwrap().map(|entry| entry.unwrap().path());
        let logs = logs.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("cutover"));
        let said = format!("\"step\":\"{step}\"");
        logs.map(|path| std::fs::read_to_string(path).unwrap().matches(&said).count()).sum()
    }

    /// Waits until the cutover's function has ended a step once more than `before`.
    async fn step(&self, step: &str, before: usize) {
        let until = Instant::now() + PATIENCE;
        while self.ended(step) == before {
            assert!(Instant::now() < until, "the cutover did not get to {step:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Where the group stands on the target.
    async fn committed(&self) -> Option<i64> {
        small::committed(&self.target, "readers", TOPIC).await.unwrap()
    }

    fn lose(&self, side: Side, fault: Fault) {
        match fault {
            Fault::Dies => self.rehearsal.stack.cluster(side).kill_broker(1).unwrap(),
            Fault::Hangs => self.signal(side, Signal::SIGSTOP),
        }
    }

    async fn bring_back(&self, side: Side, fault: Fault) {
        match fault {
            Fault::Dies => self.rehearsal.stack.cluster(side).restart_broker(1).await.unwrap(),
            Fault::Hangs => self.signal(side, Signal::SIGCONT),
        }
    }

    /// Sends a signal to the broker of a side.
    fn signal(&self, side: Side, signal: Signal) {
        let name = format!("{}-1", side.name());
        let (_, pid) = self.rehearsal.stack.processes().into_iter().find(|(found, _)| *found == name).unwrap();
        kill(Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
    }

    async fn status_until(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        let until = Instant::now() + PATIENCE;
        loop {
            let status = self.cli.status().await.unwrap();
            if holds(&status) {
                return;
            }
            assert!(Instant::now() < until, "{what}: {status:#}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Writes the configuration with a freeze of at most `seconds`. The source's ends stand still for so long that a step can be met.
fn configured(rehearsal: &Rehearsal, seconds: u64) -> PathBuf {
    let limits = format!("      max_producer_freeze: {seconds}s\n      fence_window: 8s\n");
    let yaml = config::yaml(&rehearsal.stack).replace("      max_producer_freeze: 60s\n", &limits);
    let yaml = yaml.replace("drain_stable_window: 2s", "drain_stable_window: 1s");
    config::write(&rehearsal.dir, "faults.yaml", &yaml).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_freeze_ends_with_producers_let_go_or_clients_at_the_target() {
    let freezes = Freezes::start().await;
    let Freezes { cli, source, target, .. } = &freezes;
    small::create(source, TOPIC, 2, &[]).await.unwrap();
    small::create(source, "lonely", 1, &[]).await.unwrap();
    for (topic, partition) in [(TOPIC, 0), (TOPIC, 1), ("lonely", 0)] {
        small::fill(source, topic, partition, 50).await.unwrap();
    }
    // More than it has replicas: no leader takes what waits for all of them.
    small::set(source, "lonely", "min.insync.replicas", "2").await.unwrap();
    small::commit(source, "readers", TOPIC, COMMITTED, "").await.unwrap();
    cli.run_all(&["execute"]).await.unwrap();
    small::commit(target, "there-before", TOPIC, 0, "").await.unwrap();

    a_target_without_enough_replicas_is_named_before_producers_stop(&freezes).await;
    // (side, fault, the step at whose end it comes, the bound of the freezes that follow in seconds)
    for (side, fault, step, next) in [
        (Side::Source, Fault::Dies, None, SHORT),
        (Side::Target, Fault::Dies, None, SHORT),
        (Side::Target, Fault::Hangs, None, LONG),
        (Side::Source, Fault::Dies, Some("place sentinels"), LONG),
    ] {
        a_broker_that_is_lost_ends_the_freeze(&freezes, side, fault, step, next).await;
    }
    a_record_between_the_looks_is_named(&freezes).await;
    a_broker_that_dies_at_the_mark_is_waited_for(&freezes).await;
    a_record_behind_the_mark_is_named(&freezes).await;
    freezes.rehearsal.stack.stop().await.unwrap();
}

async fn a_target_without_enough_replicas_is_named_before_producers_stop(freezes: &Freezes) {
    let Freezes { cli, target, producer, .. } = freezes;
    small::set(target, OFFSETS, "min.insync.replicas", "2").await.unwrap();
    let said = cli.run("cutover", &[]).await.unwrap();
    let expected = "of its replicas are in sync on the target, min.insync.replicas is 2";
    said.refused(&["cutover.target_under_min_isr", OFFSETS, expected]).unwrap();
    assert_eq!(producer.freezes(), 0);
    let ops = vec![ConfigOp::Delete { name: "min.insync.replicas".to_owned() }];
    all_ok(target.alter_topic_configs(&[ConfigChange { topic: OFFSETS.into(), ops }]).await).unwrap();
}

/// Loses the broker of a side when producers were asked to stop, or when the cutover has ended `step`; then bounds freezes by `next`
/// seconds and resumes.
async fn a_broker_that_is_lost_ends_the_freeze(
    freezes: &Freezes,
    side: Side,
    fault: Fault,
    step: Option<&str>,
    next: u64,
) {
    let Freezes { cli, producer, .. } = freezes;
    let case = format!("{side:?} {fault:?} at {step:?}");
    let before = step.map(|step| (step, freezes.ended(step)));
    producer.hold().unwrap();
    let cutover = cli.beside("cutover");
    producer.asked().await.unwrap();
    match before {
        None => {
            freezes.lose(side, fault);
            producer.obey().unwrap();
        }
        Some((step, before)) => {
            producer.obey().unwrap();
            freezes.step(step, before).await;
            freezes.lose(side, fault);
        }
    }
    let bound = format!("{}s", if step.is_some() { LONG } else { SHORT });
    let expected = ["Deadline: ", "max_producer_freeze", &bound, "Nothing was committed on the target"];
    let said = cutover.await.unwrap().unwrap().refused(&[]).unwrap();
    let missing: Vec<_> = expected.iter().filter(|part| !said.to_lowercase().contains(&part.to_lowercase())).collect();
    assert!(missing.is_empty(), "{case}, without {missing:?}: {said}");
    // The watchdog, which may be faster, does not know what the function met; the tail drains; and who hangs says nothing.
    if step.is_none() && matches!(fault, Fault::Dies) && !said.contains("no step of it has failed") {
        let cause = format!("the last failure was: the {}: ", side.name());
        assert!(said.contains(&cause), "{case}, without {cause:?}: {said}");
    }
    assert_eq!(producer.state(), "running source", "{case}: {said}");
    freezes.bring_back(side, fault).await;
    assert_eq!(freezes.committed().await, None, "{case}");
    freezes.bound(next);
    assert_eq!(cli.resume().await.unwrap(), "drain_ready", "{case}");
}

/// A producer that writes seldom, while the fence is being proven.
async fn a_record_between_the_looks_is_named(freezes: &Freezes) {
    let Freezes { cli, source, producer, .. } = freezes;
    let before = freezes.ended("translate offsets");
    let cutover = cli.beside("cutover");
    freezes.step("translate offsets", before).await;
    small::fill(source, TOPIC, 1, 1).await.unwrap();
    cutover.await.unwrap().unwrap().refused(&["Unsafe: ", "a producer ignores the freeze", "orders/1"]).unwrap();
    assert_eq!((producer.state().as_str(), freezes.committed().await), ("running source", None));
    assert_eq!(cli.resume().await.unwrap(), "drain_ready");
}

/// The target dies while the source's ends are looked at for the last time: the commits wait for it.
async fn a_broker_that_dies_at_the_mark_is_waited_for(freezes: &Freezes) {
    let Freezes { rehearsal, cli, producer, .. } = freezes;
    let before = freezes.ended(LAST_BEFORE_THE_MARK);
    let cutover = cli.beside("cutover");
    freezes.step(LAST_BEFORE_THE_MARK, before).await;
    let target = rehearsal.stack.cluster(Side::Target);
    target.kill_broker(1).unwrap();
    freezes.status_until("the mark", |status| status["committed"] == true).await;
    assert_eq!(producer.state(), "frozen");
    target.restart_broker(1).await.unwrap();
    cutover.await.unwrap().unwrap().ok().unwrap();
    assert_eq!(freezes.committed().await, Some(COMMITTED));
    let key = "zk-to-kraft/faults/cutover/report.json";
    let report: Value =
        serde_json::from_slice(&rehearsal.stack.get_object(SEGMENTS_BUCKET, key).await.unwrap()).unwrap();
    let unmarked = "lonely/0: takes no marker, so that its end alone is proof: 1 of its replicas are in sync";
    let warnings = report["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|line| line.as_str().unwrap().starts_with(unmarked)), "{report:#}");
    let (verdict, equal) =
        rehearsal.java.judge(&["--skip", "configs,acls", "--ignore-groups", "there-before"]).await.unwrap();
    assert!(equal, "{verdict:#}");
}

/// A producer that writes so seldom that no look meets it.
async fn a_record_behind_the_mark_is_named(freezes: &Freezes) {
    let Freezes { cli, source, .. } = freezes;
    small::fill(source, TOPIC, 1, 1).await.unwrap();
    cli.run_all(&["cutover-ack"]).await.unwrap();
    let is_named = |status: &Value| {
        let lines = [&status["notes"], &status["facts"]["late"]].into_iter().filter_map(Value::as_array).flatten();
        lines.filter_map(Value::as_str).any(|line| line.contains("orders/1"))
    };
    freezes.status_until("the late record is named", is_named).await;
}
