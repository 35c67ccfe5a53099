//! Exactly once, in thousands of simulated worlds: a random source, a random schedule of faults, and a judge that knows
//! what must have arrived. A seed decides everything, so that the same seed gives the same run.
//!
//! - `MSK_KRAFT_SEED=17 cargo test -p copy --test simulation -- --nocapture` repeats one world and prints what happened;
//! - `MSK_KRAFT_SEEDS=20000 cargo test -p copy --test simulation` tries more of them.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "the rules' exceptions for tests miss a test's helpers")]

mod brokers;
mod client;
mod cloud;
mod dice;
mod faults;
mod knowledge;
mod link;
mod oracle;
mod schedule;
mod source;
mod target;
mod traffic;
mod wire;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use schedule::Schedule;
use world::{Shared, World};

/// Seeds in a normal run of the tests.
const SEEDS: u64 = 500;

/// Virtual time after which a world counts as stuck.
const FOREVER: Duration = Duration::from_secs(30 * 24 * 3600);

/// What has to happen in a normal run of the tests, so that a world in which nothing goes wrong any more is noticed.
const MUST_HAPPEN: [&str; 34] = [
    "batch appended",
    "batch out of order",
    "batch refused",
    "batch refused for a while",
    "batch repeated",
    "beat",
    "beat lost",
    "beat of an overtaken claim",
    "beat with an error",
    "budget spent",
    "compacted",
    "gap behind a resume",
    "gap in a whole partition",
    "gap with records on both sides",
    "invocation done",
    "invocation failed",
    "invocation fenced",
    "invocation killed",
    "late batch",
    "late request",
    "object taken",
    "partition whole",
    "producers expired",
    "records counted",
    "resumed with recorded gaps",
    "sequence wrapped",
    "stopped: a hole on the target",
    "stopped: damaged",
    "stopped: deleted on the source",
    "stopped: foreign writer",
    "target leader moved",
    "target restart",
    "twin",
    "went on beside a refused partition",
];

/// How a world ended.
#[derive(Debug, PartialEq)]
struct End {
    trace: Vec<String>,
    /// How often what happened.
    seen: BTreeMap<&'static str, u32>,
    /// The broken promise, if there is one.
    verdict: Result<(), String>,
}

/// Runs the world of `seed` to its end.
fn run(seed: u64, traced: bool) -> End {
    run_as(seed, traced, |schedule| schedule.run())
}

/// Runs the world of `seed` as `life` says.
fn run_as<L: Future<Output = Result<(), String>>>(seed: u64, traced: bool, life: impl FnOnce(Schedule) -> L) -> End {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let world = Shared::new(World::new(seed, traced));
        let life = async {
            life(Schedule::new(&world)).await?;
            oracle::judge(&world).await
        };
        let verdict = tokio::time::timeout(FOREVER, life).await.unwrap_or_else(|_| Err("stuck".to_owned()));
        let world = &mut *world.lock();
        End { trace: world.take_trace(), seen: std::mem::take(&mut world.seen), verdict }
    })
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn no_record_is_lost_doubled_or_reordered() {
    if let Some(seed) = setting("MSK_KRAFT_SEED") {
        let End { trace, verdict, .. } = run(seed, true);
        trace.iter().for_each(|line| println!("{line}"));
        return verdict.unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
    let seeds = setting("MSK_KRAFT_SEEDS").unwrap_or(SEEDS);
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let mut failed = Vec::new();
    for seed in 0..seeds {
        let end = run(seed, false);
        end.seen.into_iter().for_each(|(what, times)| *seen.entry(what).or_default() += times);
        failed.extend(end.verdict.err().map(|why| format!("MSK_KRAFT_SEED={seed}: {why}")));
    }
    println!("{seeds} seeds: {seen:?}");
    assert!(failed.is_empty(), "{} of {seeds} seeds failed:\n{}", failed.len(), failed.join("\n"));
    let missing: Vec<_> = MUST_HAPPEN.into_iter().filter(|what| !seen.contains_key(what)).collect();
    assert!(seeds < SEEDS || missing.is_empty(), "never happened: {missing:?}");
}

#[test]
fn a_seed_decides_everything() {
    for seed in 0..10 {
        let (first, again) = (run(seed, true), run(seed, true));
        assert!(first.trace.len() > 20, "seed {seed} has a trace");
        assert_eq!(first, again, "seed {seed}");
    }
}

/// Fewer replicas in sync than `min.insync.replicas`, as when a broker is down that leads or follows some partitions only.
#[test]
fn a_partition_that_the_target_refuses_holds_up_no_other() {
    let mut refused = 0;
    for seed in 0..40 {
        let end = run_as(seed, false, |schedule| schedule.refuse_the_first());
        assert_eq!(end.verdict, Ok(()), "seed {seed}");
        refused += u32::from(end.seen.contains_key("batch refused for a while"));
    }
    assert!(refused > 20, "only {refused} worlds had anything to refuse");
}
