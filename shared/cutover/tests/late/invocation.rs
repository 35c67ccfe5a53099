//! One invocation, and the way of its requests.

use std::time::Duration;

use cutover::late::{Report, append};
use migration::{Error, ErrorKind, Result};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::world::{Shared, World};

/// An invocation of the function.
#[derive(Clone)]
pub(crate) struct Invocation {
    pub(crate) world: Shared,
    pub(crate) number: usize,
    /// Requests after which its time is up.
    pub(crate) requests_left: u32,
    pub(crate) made: std::sync::Arc<std::sync::atomic::AtomicU32>,
}

/// What becomes of one request.
struct Fate {
    out: Duration,
    back: Duration,
    breaks: Option<bool>,
    lingers: Option<Duration>,
}

impl Invocation {
    /// Has `effect` on the world, and brings the answer back; nothing when the connection broke.
    pub(crate) async fn request<T: Send + 'static>(
        &self,
        what: &'static str,
        effect: impl FnOnce(&mut World) -> T + Send + 'static,
    ) -> Option<T> {
        self.made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (fate, still) = {
            let world = &mut *self.world.lock().unwrap();
            let World { dice, faults, .. } = world;
            let fate = Fate {
                out: dice.millis(0..20),
                back: dice.millis(0..20),
                breaks: dice.chance(faults.lost).then(|| dice.chance(500)),
                lingers: dice.chance(faults.lingering).then(|| dice.millis(1..20_000)),
            };
            let still = dice.chance(faults.freezes).then(|| dice.millis(1_000..40_000));
            if still.is_some() {
                world.saw("sandbox stood still");
            }
            (fate, still)
        };
        sleep(still.unwrap_or_default() + fate.out).await;
        match fate.breaks {
            Some(false) => {
                // It never arrives, or does so when nobody waits for it any more.
                if let Some(after) = fate.lingers {
                    let world = self.world.clone();
                    let number = self.number;
                    let under_way = UnderWay::begin(&world);
                    tokio::spawn(async move {
                        sleep(after).await;
                        {
                            let world = &mut *world.lock().unwrap();
                            world.saw("request came late");
                            world.note(|| format!("{number}: {what} comes late"));
                            drop(effect(world));
                        }
                        drop(under_way);
                    });
                }
                None
            }
            broken => {
                let answer = {
                    let world = &mut *self.world.lock().unwrap();
                    world.note(|| format!("{}: {what}", self.number));
                    effect(world)
                };
                sleep(fate.back).await;
                if broken.is_none() {
                    return Some(answer);
                }
                if what == "produce" {
                    self.world.lock().unwrap().saw("lost answer of produce");
                }
                None
            }
        }
    }

    /// The same of AWS, whose client repeats.
    pub(crate) async fn aws<T: Send + 'static>(
        &self,
        what: &'static str,
        effect: impl Fn(&mut World) -> T + Clone + Send + 'static,
    ) -> Result<T> {
        for _ in 0..3 {
            if let Some(answer) = self.request(what, effect.clone()).await {
                return Ok(answer);
            }
        }
        Err(Error::transient(format_args!("{what}: no answer")))
    }
}

/// A request that may still take effect. While there is one, no leader forgets producers.
pub(crate) struct UnderWay(Shared);

impl UnderWay {
    pub(crate) fn begin(world: &Shared) -> Self {
        world.lock().unwrap().under_way += 1;
        Self(world.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        // The world's lock is never held where one is dropped.
        self.0.lock().unwrap().under_way -= 1;
    }
}

/// Disarms an invocation however it ends.
struct Armed(Invocation);

impl Drop for Armed {
    fn drop(&mut self) {
        let world = &mut *self.0.world.lock().unwrap();
        world.armed.remove(&self.0.number);
        world.running -= 1;
    }
}

/// Starts an invocation.
pub(crate) fn invoke(world: &Shared) -> JoinHandle<Result<Report>> {
    let requests_left = {
        let World { dice, faults, .. } = &mut *world.lock().unwrap();
        if dice.chance(faults.short) { dice.number(5..60) as u32 } else { u32::MAX }
    };
    invoke_for(world, requests_left)
}

/// Starts an invocation whose time is up after so many requests.
pub(crate) fn invoke_for(world: &Shared, requests_left: u32) -> JoinHandle<Result<Report>> {
    let number = world.lock().unwrap().next_invocation();
    let invocation = Invocation { world: world.clone(), number, requests_left, made: std::sync::Arc::default() };
    world.lock().unwrap().running += 1;
    let armed = Armed(invocation.clone());
    tokio::spawn(async move {
        let armed = armed;
        let outcome = append(&invocation, "ada").await;
        {
            let world = &mut *invocation.world.lock().unwrap();
            world.note(|| format!("{}: {outcome:?}", invocation.number));
            if outcome.as_ref().is_err_and(|error| error.kind == ErrorKind::Fenced) {
                world.saw("fenced");
            }
        }
        drop(armed);
        outcome
    })
}
