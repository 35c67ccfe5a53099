//! The life of a migration: invocations that are started again and again, killed, frozen and doubled, while the world
//! around them changes.

use std::time::Duration;

use chrono::DateTime;
use clock::Clock;
use copy::engine::{self, Job, Outcome, Work};
use journal::{ProducerId, TailWanted};
use migration::config::{RecordsDeleted, Throttle};
use migration::{BatchId, ErrorKind, Phase, Result};
use runtime::Budget;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::brokers::BROKERS;
use crate::client::Invocation;
use crate::traffic;
use crate::wire::Batch;
use crate::world::{PRODUCER, Shared, World};

/// Rounds after which faults end, and after which a phase counts as stuck.
const ROUNDS: usize = 20;
const STUCK: usize = 50;

/// What the reason of a stop says when records were deleted before they were copied.
pub(crate) const GONE: &str = "are gone";

/// Rounds in which records are written while a partition is refused, and a time longer than that.
const BUSY: usize = 8;
const FOREVER: Duration = Duration::from_secs(30 * 24 * 3600);

const TAIL: Work = Work::Tail { generation: 0 };

/// How an invocation ended; `None` when it was killed.
type Ended = Option<Result<Outcome>>;

/// The state machine, as far as it starts invocations.
#[derive(Debug)]
pub(crate) struct Schedule {
    world: Shared,
    started: usize,
    /// Twins and frozen invocations that run on.
    others: Vec<JoinHandle<Result<(), String>>>,
}

impl Schedule {
    pub(crate) fn new(world: &Shared) -> Self {
        Self { world: world.clone(), started: 0, others: Vec::new() }
    }

    /// Seeds, follows, and stops.
    ///
    /// # Errors
    /// In words, when an invocation failed for no reason or the copy came to no end.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        let weather = tokio::spawn(weather(self.world.clone()));
        self.seed().await?;
        self.world.lock().item.phase = Phase::Tail;
        self.follow().await?;
        weather.abort();
        self.settle().await?;
        for other in std::mem::take(&mut self.others) {
            other.await.map_err(|error| error.to_string())??;
        }
        self.stop().await?;
        // Whatever is still on its way arrives. One more invocation looks at the target's ends.
        sleep(Duration::from_secs(3600)).await;
        self.world.lock().item.wanted = TailWanted::Run;
        self.round(TAIL).await.map(drop)
    }

    /// The target takes nothing of the first partition for as long as the others need to be copied whole, and then everything.
    ///
    /// # Errors
    /// In words, when the first partition holds the others up, or does not arrive in the end.
    pub(crate) async fn refuse_the_first(mut self) -> Result<(), String> {
        {
            let world = &mut *self.world.lock();
            world.calm_down();
            world.item.phase = Phase::Tail;
            let now = Instant::now();
            world.target[0].refusing = Some((now, now + FOREVER));
        }
        for round in 0.. {
            if round < BUSY {
                let world = &mut *self.world.lock();
                let clock = world.clock_ms();
                world.source.iter_mut().for_each(|log| traffic::step(log, &world.faults, clock, &mut world.dice));
            }
            self.round(TAIL).await?;
            if round >= BUSY && others_have_arrived(&self.world.lock()) {
                break;
            }
            if round > STUCK {
                return Err("one partition that the target refuses holds the others up".to_owned());
            }
        }
        self.settle().await?;
        self.stop().await
    }

    /// The cutover tells the tail to stop, and it does.
    async fn stop(&mut self) -> Result<(), String> {
        self.world.lock().item.wanted = TailWanted::Stop;
        match self.round(TAIL).await? {
            Some(Outcome::Stopped) => Ok(()),
            other => Err(format!("told to stop, the tail ended with {other:?}")),
        }
    }

    async fn seed(&mut self) -> Result<(), String> {
        let work = {
            let dice = &mut self.world.lock().dice;
            Work::Seed { window: dice.index(1..4), segment_bytes: dice.pick(&[1, 500, 20_000]) }
        };
        for round in 0..STUCK {
            if round == ROUNDS {
                self.world.lock().calm_down();
            }
            if self.round(work).await? == Some(Outcome::Done) && !self.resume() {
                return Ok(());
            }
        }
        Err("the seed came to no end".to_owned())
    }

    async fn follow(&mut self) -> Result<(), String> {
        let rounds = self.world.lock().dice.index(1..6);
        for _ in 0..rounds {
            self.round(TAIL).await?;
            self.resume();
        }
        Ok(())
    }

    /// Nothing goes wrong any more, and nothing is written: what is there has to arrive.
    async fn settle(&mut self) -> Result<(), String> {
        {
            let world = &mut *self.world.lock();
            world.calm_down();
            let clock = world.clock_ms();
            world.source.iter_mut().for_each(|log| traffic::settle(log, clock, &mut world.dice));
        }
        for _ in 0..STUCK {
            self.round(TAIL).await?;
            if !self.resume() && has_arrived(&self.world.lock()) {
                return Ok(());
            }
        }
        Err("the tail did not catch up".to_owned())
    }

    /// In some worlds an operator resumes when records were deleted before they were copied, so that their copies go on behind
    /// them. Whether one did now.
    fn resume(&self) -> bool {
        let world = &mut *self.world.lock();
        let stopped = world.item.partitions.iter().filter_map(|progress| progress.stopped.as_deref());
        let resumes = world.faults.resumes && stopped.clone().any(|reason| reason.contains(GONE));
        if resumes {
            world.topology.on_records_deleted = RecordsDeleted::RecordGap;
            world.item.enter();
            world.saw("resumed with recorded gaps");
            world.note(|| "an operator resumes with recorded gaps".to_owned());
        }
        resumes
    }

    /// One step of the state machine: an invocation, possibly with a twin, until the first has ended.
    async fn round(&mut self, work: Work) -> Result<Option<Outcome>, String> {
        let (twin, rest) = {
            let World { dice, faults, .. } = &mut *self.world.lock();
            let rest = if dice.chance(30) { dice.millis(3_600_000..20_000_000) } else { dice.millis(0..3_000) };
            (dice.chance(faults.twins).then(|| dice.millis(0..20_000)), rest)
        };
        if let Some(later) = twin {
            let invocation = self.invocation(work);
            self.world.lock().saw("twin");
            self.others.push(tokio::task::spawn_local(async move {
                sleep(later).await;
                judge(invocation.await).map(drop)
            }));
        }
        let ended = judge(self.invocation(work).await);
        sleep(rest).await;
        ended
    }

    /// An invocation with a fate.
    fn invocation(&mut self, work: Work) -> impl Future<Output = (bool, Ended)> + 'static {
        self.started += 1;
        let (world, number) = (self.world.clone(), self.started);
        async move {
            let calm = world.lock().faults.is_calm();
            let (length, killed, frozen) = {
                let World { dice, faults, .. } = &mut *world.lock();
                let length = dice.millis(3_000..60_000);
                let killed = dice.chance(faults.kills).then(|| death(dice));
                let frozen = dice.chance(faults.freezes).then(|| (death(dice), dice.millis(1_000..600_000)));
                (length, killed, frozen)
            };
            let before = world.clone();
            before.lock().note(|| format!("{number} starts: {work:?}, dies {killed:?}, stands still {frozen:?}"));
            let topology = world.lock().topology.clone();
            let copy = async move {
                let ports = Invocation::new(&world, number);
                let watch = world.clone();
                let now = move || DateTime::from_timestamp_millis(watch.lock().clock_ms()).unwrap();
                let job = Job {
                    migration: "simulated".parse()?,
                    batch: BatchId(0),
                    work,
                    producer: ProducerId { id: PRODUCER, epoch: 0 },
                    functions: 1,
                    recount: true,
                    altered: |_, _| None,
                    throttle: Throttle::default(),
                    topology,
                    clock: Clock::from_fn(now),
                };
                engine::copy(&ports, &job, Budget::lasting(length)).await
            };
            let ended = timeout(killed.unwrap_or(Duration::MAX), standing_still(copy, frozen)).await.ok();
            let world = &mut *before.lock();
            world.note(|| format!("{number} ends: {ended:?}"));
            world.saw(match &ended {
                None => "invocation killed",
                Some(Ok(Outcome::OutOfTime)) => "budget spent",
                Some(Err(error)) if error.kind == ErrorKind::Fenced => "invocation fenced",
                Some(Err(_)) => "invocation failed",
                Some(Ok(_)) => "invocation done",
            });
            (calm, ended)
        }
    }
}

/// Most invocations die early, while they still recover, or late.
fn death(dice: &mut crate::dice::Dice) -> Duration {
    if dice.chance(500) { dice.millis(0..400) } else { dice.millis(0..30_000) }
}

/// Lets `copy` stand still once, as a sandbox that is frozen.
async fn standing_still<T>(copy: impl Future<Output = T>, frozen: Option<(Duration, Duration)>) -> T {
    tokio::pin!(copy);
    if let Some((after, length)) = frozen {
        if let Ok(done) = timeout(after, &mut copy).await {
            return done;
        }
        sleep(length).await;
    }
    copy.await
}

/// Which ends of an invocation there may be; how it ended if it was not killed.
fn judge((calm, ended): (bool, Ended)) -> Result<Option<Outcome>, String> {
    match ended {
        None => Ok(None),
        Some(Ok(outcome)) => Ok(Some(outcome)),
        Some(Err(error)) if matches!(error.kind, ErrorKind::Transient | ErrorKind::Fenced) => Ok(None),
        // A seed that stood still in all its time.
        Some(Err(error)) if error.kind == ErrorKind::Blocked && !calm => Ok(None),
        Some(Err(error)) => Err(format!("an invocation failed: {} {error}", error.kind)),
    }
}

/// Whether the journal has every partition that did not stop at its end, and all of it was counted on the target.
fn has_arrived(world: &World) -> bool {
    let counted = world.counted();
    let mut each = world.item.partitions.iter().zip(&world.source);
    each.all(|(progress, log)| {
        let is_counted = counted.get(&progress.partition).is_some_and(|counted| counted.next >= progress.target_next);
        progress.stopped.is_some()
            || progress.source_next >= log.last_stable() && (is_counted || progress.target_next == world.first)
    })
}

/// The same of all but the first.
fn others_have_arrived(world: &World) -> bool {
    let mut each = world.item.partitions.iter().zip(&world.source).skip(1);
    each.all(|(progress, log)| progress.stopped.is_some() || progress.source_next >= log.last_stable())
}

/// What happens around the copy.
async fn weather(world: Shared) {
    let mut traffic = world.lock().dice.index(0..120);
    loop {
        let pause = {
            let dice = &mut world.lock().dice;
            if traffic > 0 { dice.millis(1..600) } else { dice.millis(100..30_000) }
        };
        sleep(pause).await;
        let world = &mut *world.lock();
        let partition = world.dice.index(0..world.source.len());
        if traffic > 0 {
            traffic -= 1;
            let clock = world.clock_ms();
            traffic::step(&mut world.source[partition], &world.faults, clock, &mut world.dice);
        }
        trouble(world, partition);
    }
}

/// What may go wrong with `partition`'s leaders.
fn trouble(world: &mut World, partition: usize) {
    let clock = world.clock_ms();
    let now = Instant::now();
    let World { dice, faults, target, source_leaders, .. } = world;
    let log = &mut target[partition];
    if dice.chance(faults.moves) {
        source_leaders[partition] = dice.index(0..BROKERS);
    }
    if dice.chance(faults.moves) {
        let lossy = faults.lossy_moves && dice.chance(500);
        log.change_leader(dice.index(0..BROKERS), lossy, now, dice);
        let (leader, end) = (log.leader, log.end());
        if lossy {
            world.knowledge.lost(partition);
        }
        world.saw(if lossy { "target restart" } else { "target leader moved" });
        world.note(|| format!("broker {leader} leads {partition} on the target, lossy {lossy}, ends at {end}"));
    }
    let World { dice, faults, target, .. } = world;
    let log = &mut target[partition];
    if dice.chance(faults.expiry) {
        log.expire(clock);
        world.note(|| format!("producers of {partition} expire"));
        world.saw("producers expired");
    }
    let World { dice, faults, target, .. } = world;
    if dice.chance(faults.cleaning) && target[partition].clean(now, dice) {
        world.note(|| format!("the log cleaner takes a batch of {partition} on the target"));
    }
    let World { dice, faults, target, .. } = world;
    if dice.chance(faults.refusals) {
        target[partition].refusing = Some((now, now + dice.millis(1_000..600_000)));
        world.note(|| format!("the target takes nothing of {partition} for a while"));
    }
    let World { dice, faults, target, .. } = world;
    if dice.chance(faults.foreign) {
        let record = kafka::batch::Record { timestamp: clock, value: Some("foreign".into()), ..Default::default() };
        let batch = Batch { producer: -1, sequence: -1, records: vec![record], ..Batch::default() };
        target[partition].intrude(batch, now);
        world.note(|| format!("somebody else writes to {partition}"));
    }
}
