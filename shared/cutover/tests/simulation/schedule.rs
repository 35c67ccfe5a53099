//! The state machine and its operator: cutovers are begun, given up, expired and begun again until one succeeds, while the world
//! around them goes on.

use std::time::Duration;

use documents::rehearsal;
use migration::{ErrorKind, Phase};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::gate::{Gate, Why};
use crate::invocation::{self, Ended};
use crate::request::Death;
use crate::world::{Shared, World};
use crate::{consumers, mischief, tail, traffic};

/// Cutovers after which faults end, and after which the run counts as stuck.
const ROUNDS: usize = 4;
const STUCK: usize = 7;

/// Attempts to complete what is marked after which faults end, and after which it counts as stuck.
const ATTEMPTS: usize = 6;
const UNFINISHED: usize = 9;

/// Invocations that the state machine makes of one state.
const RETRIES: usize = 6;

/// Longest time that the state machine waits for an invocation.
const LONGEST: Duration = Duration::from_secs(900);

/// Time behind the end in which everything that is still under way comes to an end.
const AFTERWARDS: Duration = Duration::from_secs(120);

/// What happens to the first invocation, and what the state machine does then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script {
    pub(crate) death: Death,
    /// Whether it is repeated; otherwise the cutover fails.
    pub(crate) is_repeated: bool,
}

/// The state machine.
#[derive(Debug)]
pub(crate) struct Schedule {
    world: Shared,
    gate: Gate,
    script: Option<Script>,
    /// Invocations that nobody waits for.
    others: Vec<JoinHandle<Ended>>,
}

impl Schedule {
    pub(crate) fn new(world: &Shared, script: Option<Script>) -> Self {
        Self { world: world.clone(), gate: Gate::new(world), script, others: Vec::new() }
    }

    /// Cuts over until that succeeds or cannot succeed, and waits for everything to end.
    ///
    /// # Errors
    /// In words, when it comes to no end.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        let world = &self.world;
        let batches = world.lock().setup.batches;
        for batch in 0..batches {
            tokio::spawn(tail::copy(world.clone(), batch));
        }
        tokio::spawn(traffic::applications(world.clone()));
        tokio::spawn(consumers::consume(world.clone()));
        tokio::spawn(mischief::trouble(world.clone()));
        tokio::spawn(mischief::ignore_always(world.clone()));
        let done = self.live().await;
        for other in std::mem::take(&mut self.others) {
            other.await.map_err(|error| error.to_string())?;
        }
        sleep(AFTERWARDS).await;
        self.gate.roll_back().await;
        done
    }

    async fn live(&mut self) -> Result<(), String> {
        for round in 0..STUCK {
            if round == ROUNDS {
                self.world.lock().calm_down();
            }
            if round > 0 {
                self.world.lock().saw("second cutover of a run");
            }
            self.pause(500..5_000).await;
            if self.cutover(round).await {
                return Ok(());
            }
            let (is_marked, is_spoiled) = {
                let world = &mut *self.world.lock();
                if !world.journal.committed && world.producers.frozen {
                    world.broken("a cutover failed before its mark, and producers are still frozen".to_owned());
                }
                (world.journal.committed, is_spoiled(world))
            };
            if is_marked {
                return self.complete().await;
            }
            if is_spoiled && round > 1 {
                return Ok(());
            }
        }
        Err("no cutover succeeded".to_owned())
    }

    /// One cutover, from its gate to the state behind it. Whether clients can be switched.
    async fn cutover(&mut self, round: usize) -> bool {
        self.gate.enter().await;
        let rehearsal = format!("r{round:03}");
        store_rehearsal(&mut self.world.lock(), &rehearsal);
        traffic::freeze(&mut self.world.lock());
        self.pause(0..2_000).await;
        self.gate.confirm().await;
        let (limit, gives_up) = {
            let World { dice, faults, setup, .. } = &mut *self.world.lock();
            let limit = Duration::from(setup.limits.max_producer_freeze);
            (limit, dice.chance(faults.give_ups).then(|| dice.millis(0..2_500)))
        };
        if let Some(after) = gives_up {
            let gate = self.gate.clone();
            tokio::spawn(async move {
                sleep(after).await;
                gate.end(Why::GivenUp).await;
            });
        }
        let gate = self.gate.clone();
        let watchdog = async {
            sleep(limit).await;
            if !gate.end(Why::Expired).await {
                std::future::pending::<()>().await;
            }
        };
        let is_done = tokio::select! {
            biased;
            is_done = self.function(&rehearsal) => is_done,
            () = watchdog => false,
        };
        if !is_done {
            self.gate.end(Why::Failed).await;
        }
        is_done
    }

    /// Behind the mark there is no way but forward, however often that takes.
    async fn complete(&mut self) -> Result<(), String> {
        for attempt in 0..UNFINISHED {
            if attempt == ATTEMPTS {
                self.world.lock().calm_down();
            }
            self.pause(0..20_000).await;
            self.gate.enter_if_failed().await;
            if self.world.lock().journal.phase == Phase::AwaitingClientSwitch || self.function("r000").await {
                return Ok(());
            }
            self.gate.end(Why::Failed).await;
        }
        Err("what is marked is not completed".to_owned())
    }

    /// The state that invokes the cutover function. Whether it succeeded.
    async fn function(&mut self, rehearsal: &str) -> bool {
        for retry in 0..RETRIES {
            let script = self.script.take();
            let mut invocation = invocation::invoke(&self.world, rehearsal, script.map(|script| script.death));
            let (twin, patience, pause) = {
                let World { dice, faults, .. } = &mut *self.world.lock();
                let patience = if dice.chance(faults.freezes) { dice.millis(100..4_000) } else { LONGEST };
                let pause = dice.millis(0..1_000 << retry);
                (dice.chance(faults.twins).then(|| dice.millis(0..3_000)), patience, pause)
            };
            if let Some(after) = twin {
                self.others.push(twin_of(self.world.clone(), rehearsal.to_owned(), after));
            }
            match timeout(patience, &mut invocation).await.map(Result::unwrap) {
                Ok(Some(Ok(_))) => return true,
                Ok(Some(Err(error))) if error.kind != ErrorKind::Transient => return false,
                Ok(None) if script.is_some_and(|script| !script.is_repeated) => return false,
                Ok(_) => {}
                // The state machine gives up on an invocation that goes on.
                Err(_) => self.others.push(invocation),
            }
            sleep(pause).await;
        }
        false
    }

    async fn pause(&self, range: std::ops::Range<u64>) {
        let pause = self.world.lock().dice.millis(range);
        sleep(pause).await;
    }
}

/// Another invocation for the same cutover, that nobody waits for.
fn twin_of(world: Shared, rehearsal: String, after: Duration) -> JoinHandle<Ended> {
    tokio::task::spawn_local(async move {
        sleep(after).await;
        world.lock().saw("twin");
        invocation::invoke(&world, &rehearsal, None).await.unwrap()
    })
}

/// Whether no cutover can succeed any more.
fn is_spoiled(world: &World) -> bool {
    world.target.logs.iter().any(|log| log.spoiled_at.is_some())
        || !world.target.altered.is_empty()
        || world.source.logs.iter().any(|log| log.lost.is_some())
}

/// What was decided before producers were asked to stop.
fn store_rehearsal(world: &mut World, id: &str) {
    let document = serde_json::json!({
        "id": id,
        "migration_id": "simulated",
        "made_at": clock::timestamp(world.now()),
        "findings": [],
        "lag": {"partitions": 1, "total": 0, "largest": 0},
        "groups": [],
        "settings": {},
        "source": {},
        "expected": [],
    });
    world.bucket.put(&rehearsal::key(id), document.to_string().into());
}
