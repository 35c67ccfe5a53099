//! Everything outside of the functions, in one place behind one lock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use kafka::TopicPartition;
use kafka::batch::Codec;
use tokio::time::Instant;

use crate::dice::Dice;
use crate::logs::{SourceLog, TargetLog};

/// A world behind its lock.
pub(crate) type Shared = Arc<Mutex<World>>;

/// Rates are per thousand requests, steps or invocations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    /// Requests whose connection breaks.
    pub(crate) lost: u32,
    /// Such requests that take effect all the same, later.
    pub(crate) lingering: u32,
    /// Requests before which the sandbox stands still for minutes.
    pub(crate) freezes: u32,
    /// Invocations that die.
    pub(crate) kills: u32,
    /// Invocations that nobody waits for any longer, and that go on.
    pub(crate) abandons: u32,
    /// Invocations beside which another is started.
    pub(crate) twins: u32,
    /// Invocations whose time is up at some moment.
    pub(crate) short: u32,
    /// Steps at which a partition of the target gets another leader.
    pub(crate) leaders: u32,
    /// Steps at which leaders forget producers.
    pub(crate) forgets: u32,
    /// Steps at which records are removed, on the source and on the target.
    pub(crate) removals: u32,
    /// Steps at which compaction removes a batch of the target.
    pub(crate) compactions: u32,
    /// Steps at which a late record is written.
    pub(crate) writes: u32,
}

impl Faults {
    fn draw(dice: &mut Dice) -> Self {
        let mut rate = |worlds, most: i64| if dice.chance(worlds) { dice.number(1..most) as u32 } else { 0 };
        Self {
            lost: rate(600, 120),
            lingering: rate(500, 700),
            freezes: rate(350, 40),
            kills: rate(600, 800),
            abandons: rate(450, 600),
            twins: rate(450, 700),
            short: rate(300, 500),
            leaders: rate(500, 60),
            forgets: rate(400, 60),
            removals: rate(200, 30),
            writes: rate(500, 60),
            compactions: rate(150, 200),
        }
    }
}

/// One simulated world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) faults: Faults,
    pub(crate) sources: Vec<SourceLog>,
    pub(crate) targets: Vec<TargetLog>,
    /// Where the copy of each partition ended on the source.
    pub(crate) copied: Vec<i64>,
    pub(crate) objects: BTreeMap<String, Bytes>,
    /// The journal's epoch of late records.
    pub(crate) epoch: u64,
    next_producer: i64,
    next_id: u64,
    next_invocation: usize,
    /// Invocations that have checked their lease and have not produced since, and produce requests that are under way.
    pub(crate) armed: BTreeMap<usize, u32>,
    pub(crate) under_way: u32,
    /// Invocations that go on.
    pub(crate) running: u32,
    pub(crate) over: bool,
    began: Instant,
    pub(crate) seen: BTreeMap<&'static str, u32>,
    trace: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(seed: u64, traced: bool) -> Shared {
        let mut dice = Dice::new(seed);
        let faults = Faults::draw(&mut dice);
        let partitions = dice.index(1..4);
        let mut world = Self {
            faults,
            sources: Vec::new(),
            targets: Vec::new(),
            copied: Vec::new(),
            objects: BTreeMap::new(),
            epoch: 0,
            next_producer: 100,
            next_id: 0,
            next_invocation: 0,
            armed: BTreeMap::new(),
            under_way: 0,
            running: 0,
            over: false,
            began: Instant::now(),
            seen: BTreeMap::new(),
            trace: traced.then(Vec::new),
            dice,
        };
        for number in 0..partitions {
            let end = world.dice.number(0..50);
            world.copied.push(end);
            world.sources.push(SourceLog::starting_at(end));
            world.targets.push(TargetLog::default());
            for _ in 0..world.dice.number(0..30) {
                world.write_late(number);
            }
            let copied = (0..end).map(|_| world.next_id()).collect::<Vec<_>>();
            if !copied.is_empty() {
                world.targets[number].client_writes(copied);
                world.targets[number].replicated = 1;
            }
        }
        Arc::new(Mutex::new(world))
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(crate) fn next_producer(&mut self) -> i64 {
        self.next_producer += 1;
        self.next_producer
    }

    pub(crate) fn next_invocation(&mut self) -> usize {
        self.next_invocation += 1;
        self.next_invocation
    }

    /// One check of the lease by `invocation` is followed by a request.
    pub(crate) fn disarm(&mut self, invocation: usize) {
        let left = self.armed.get_mut(&invocation).map_or(0, |checks| {
            *checks = checks.saturating_sub(1);
            *checks
        });
        if left == 0 {
            self.armed.remove(&invocation);
        }
    }

    /// A producer that ignores the fence writes a batch.
    pub(crate) fn write_late(&mut self, number: usize) {
        let count = self.dice.index(1..6);
        let ids: Vec<_> = (0..count).map(|_| self.next_id()).collect();
        let codec = self.dice.pick(&[Codec::None, Codec::Lz4, Codec::Zstd]);
        self.sources[number].write(&ids, codec);
    }

    pub(crate) fn partition(number: usize) -> TopicPartition {
        TopicPartition::new(format!("t{number}"), 0)
    }

    pub(crate) fn number(partition: &TopicPartition) -> usize {
        partition.topic[1..].parse().unwrap()
    }

    /// Nothing goes wrong from now on.
    pub(crate) fn calm_down(&mut self) {
        self.faults = Faults::default();
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        let at = self.elapsed().as_millis();
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{at:>9} {}", line()));
        }
    }

    pub(crate) fn take_trace(&mut self) -> Vec<String> {
        self.trace.as_mut().map(std::mem::take).unwrap_or_default()
    }
}
