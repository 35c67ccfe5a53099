//! One function's way to the world: requests that take time, get lost, or take effect after all.
//!
//! A request is a task of its own, so that it goes on when whoever sent it is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use migration::{Error, Result};
use tokio::sync::{Mutex, Notify, oneshot};
use tokio::time::{Instant, sleep};

use crate::faults::{Breaks, Fate, Faults};
use crate::mischief;
use crate::world::{Shared, World};

/// Attempts that the AWS SDK makes at a request.
const ATTEMPTS: usize = 3;

/// How long a request to a cluster is repeated.
const REPEATED: Duration = Duration::from_secs(30);

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    Cluster,
    Journal,
    Bucket,
}

/// The request at which a function dies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Death {
    /// Number of the request, from 0.
    pub(crate) request: usize,
    /// Whether it is sent before.
    pub(crate) is_sent: bool,
}

/// One invocation of a function.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    pub(crate) world: Shared,
    pub(crate) number: usize,
    /// How wrong its clock is.
    skew: TimeDelta,
    sent: Arc<AtomicUsize>,
    /// Changes of ACLs go over one connection, and a broker carries them out in their order.
    connection: Arc<Mutex<()>>,
    /// The request at which it dies.
    pub(crate) death: Option<Death>,
    died: Arc<Notify>,
}

impl Invocation {
    /// An invocation with a clock of its own.
    pub(crate) fn new(world: &Shared) -> Self {
        let (number, skew) = {
            let world = &mut *world.lock();
            let number = world.next_number();
            let is_wrong = world.dice.chance(world.faults.skews);
            let skew = if is_wrong { world.dice.number(-120_000..120_001) } else { 0 };
            if is_wrong {
                world.saw("clock skewed");
                world.note(|| format!("the clock of {number} is wrong by {skew} ms"));
            }
            (number, TimeDelta::milliseconds(skew))
        };
        world.lock().witness.begins(number);
        Self {
            world: world.clone(),
            number,
            skew,
            sent: Arc::default(),
            connection: Arc::default(),
            death: None,
            died: Arc::default(),
        }
    }

    /// The same one, by whose clock it is so much later.
    pub(crate) fn later(mut self, by: TimeDelta) -> Self {
        self.skew += by;
        self
    }

    /// The time of day by its clock, as fine as clocks are.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.world.lock().now() + self.skew + TimeDelta::nanoseconds(321)
    }

    /// Requests sent so far.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits until it dies.
    pub(crate) async fn died(&self) {
        self.died.notified().await;
    }

    async fn die(&self) {
        self.died.notify_one();
        std::future::pending::<()>().await;
    }

    /// Sends a request. `None` when no answer came.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        to: To,
        what: &'static str,
        effect: impl FnOnce(&mut World) -> T + Send + 'static,
    ) -> Option<T> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let dies = self.death.filter(|death| death.request == number);
        if dies.is_some_and(|death| !death.is_sent) {
            self.die().await;
        }
        let is_ordered = ["add rules", "remove rules"].contains(&what);
        let fate = {
            let world = &mut *self.world.lock();
            let own_now = world.now() + self.skew;
            World::sends(world, self.number, what, own_now);
            // What is done once in a cutover, so that its answer is lost often enough.
            let is_rare = ["put new", "mark"].contains(&what);
            let lost = if is_rare { world.faults.lost * 4 } else { world.faults.lost };
            // A controller has done what it was asked for on a broken connection before it answers to the repetition.
            let lingering = if is_ordered { 0 } else { world.faults.lingering };
            Fate::draw(&Faults { lost, lingering, ..world.faults.clone() }, &mut world.dice)
        };
        let (answer, answered) = oneshot::channel();
        let request = Request { world: self.world.clone(), number: self.number, to, what, fate };
        let connection = is_ordered.then(|| self.connection.clone());
        tokio::spawn(async move {
            let _turn = match connection {
                Some(connection) => Some(connection.lock_owned().await),
                None => None,
            };
            request.run(effect, answer).await;
        });
        if dies.is_some() {
            self.die().await;
        }
        answered.await.ok()
    }

    /// Repeats a request to AWS whose answer was lost, as the SDK does.
    ///
    /// # Errors
    /// Transient when no answer comes.
    pub(crate) async fn aws<T: Send + 'static>(
        &self,
        to: To,
        what: &'static str,
        effect: impl Fn(&mut World) -> T + Clone + Send + 'static,
    ) -> Result<T> {
        for _ in 0..ATTEMPTS {
            if let Some(answer) = self.ask(to, what, effect.clone()).await {
                return Ok(answer);
            }
            sleep(Duration::from_millis(50)).await;
        }
        Err(Error::transient(format_args!("no answer from AWS: {what}")))
    }

    /// Repeats a request to a cluster that fails for a passing reason, as [`kafka::Cluster`] does.
    ///
    /// # Errors
    /// The last one.
    pub(crate) async fn cluster<T: Send + 'static>(
        &self,
        what: &'static str,
        effect: impl Fn(&mut World) -> kafka::Result<T> + Clone + Send + 'static,
    ) -> Result<T> {
        let until = Instant::now() + REPEATED;
        let mut pause = Duration::from_millis(100);
        loop {
            let error = match self.ask(To::Cluster, what, effect.clone()).await {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(error)) if !error.is_retryable() => return Err(error.into()),
                Some(Err(error)) => error,
                None => closed(),
            };
            if Instant::now() + pause > until {
                return Err(error.into());
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }
}

/// What a client says when its connection broke.
pub(crate) fn closed() -> kafka::Error {
    kafka::Error::Closed { broker: "b-1:9098".into() }
}

/// A request on its way.
struct Request {
    world: Shared,
    number: usize,
    to: To,
    what: &'static str,
    fate: Fate,
}

impl Request {
    async fn run<T>(self, effect: impl FnOnce(&mut World) -> T, answer: oneshot::Sender<T>) {
        let fate = self.fate;
        sleep(fate.out).await;
        if fate.breaks == Some(Breaks::BeforeEffect) {
            let Some(later) = fate.lingers else { return };
            // The sender learns of the break now, and the effect comes later.
            drop(answer);
            sleep(later).await;
            self.world.lock().saw("late request");
            self.take_effect(effect);
            return;
        }
        let Some(result) = self.take_effect(effect) else { return };
        sleep(fate.back).await;
        if fate.breaks.is_none() {
            let _ = answer.send(result);
        } else if self.what == "mark" {
            self.world.lock().saw("lost answer of mark");
        }
    }

    /// The effect, unless whoever should see to it cannot be reached.
    fn take_effect<T>(&self, effect: impl FnOnce(&mut World) -> T) -> Option<T> {
        let world = &mut *self.world.lock();
        if self.to == To::Journal && world.journal_down_until.is_some_and(|until| until > Instant::now()) {
            world.saw("journal down");
            return None;
        }
        let (number, what) = (self.number, self.what);
        world.note(|| format!("{number} {what}"));
        world.takes_effect(number, what);
        let result = effect(world);
        mischief::behind(&self.world, world, what);
        Some(result)
    }
}
