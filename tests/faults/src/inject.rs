//! Carrying faults out, and mending what they broke.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use e2e::{Rehearsal, leaders};
use serde_json::json;
use stack::{FUNCTIONS, Link, Side, Weather};
use tokio::time::{sleep, timeout};

use crate::diary::Diary;
use crate::schedule::{Fault, Lane, Schedule, Step};

/// How long a fault waits for something that it can hit.
const OPPORTUNITY: Duration = Duration::from_secs(6);
/// How long the answer to a second invocation is of interest.
const SECOND_ANSWER: Duration = Duration::from_secs(3);
/// Batches that the largest migration of these tests has.
const BATCHES: usize = 5;
/// A live topic, whose leaders are moved.
const TOPIC: &str = "orders";

/// What the faults of a run act on.
#[derive(Debug, Clone, Copy)]
pub struct Injector<'a> {
    /// The migration and its stack.
    pub rehearsal: &'a Rehearsal,
    /// Where it is written down.
    pub diary: &'a Diary,
    /// How many kinds have to have met something before the faults end.
    pub kinds: usize,
}

impl Injector<'_> {
    /// Lets one fault of `lane` follow the other until `until`, and until enough kinds met something. The last one is mended when
    /// this returns.
    ///
    /// # Errors
    /// When something cannot be mended, a broker that does not start again for example.
    pub async fn run(&self, seed: u64, lane: Lane, brokers: usize, until: Instant) -> anyhow::Result<()> {
        for Step { after, fault } in Schedule::new(seed, lane, brokers) {
            sleep(after).await;
            if Instant::now() >= until && self.diary.counts().len() >= self.kinds {
                break;
            }
            self.diary.note(format_args!("{fault:?}"));
            let hit = self.inject(fault).await.with_context(|| format!("{fault:?}"))?;
            match hit {
                true => self.diary.count(&fault.kind()),
                false => self.diary.note(format_args!("{} met nothing", fault.kind())),
            }
        }
        Ok(())
    }

    /// Whether the fault met something.
    async fn inject(&self, fault: Fault) -> anyhow::Result<bool> {
        let stack = &self.rehearsal.stack;
        match fault {
            Fault::KillBroker { side, broker, down } => {
                stack.cluster(side).kill_broker(broker)?;
                sleep(down).await;
                stack.cluster(side).restart_broker(broker).await?;
            }
            Fault::RestartBroker { side, broker } => {
                stack.cluster(side).stop_broker(broker).await?;
                stack.cluster(side).restart_broker(broker).await?;
            }
            Fault::ElectLeaders { side } => return self.attempt(leaders::prefer(stack, side).await),
            Fault::MoveLeaders { side, first } => {
                return self.attempt(leaders::rotate(stack, side, TOPIC, first).await);
            }
            Fault::CutConnections { side, broker } => self.link(side, broker)?.cut(),
            Fault::Unreachable { side, broker, lasts } => {
                let link = self.link(side, broker)?;
                link.set(Weather { refuses: true, ..Weather::default() });
                link.cut();
                sleep(lasts).await;
                link.set(Weather::default());
            }
            Fault::SlowAnswers { side, broker, delay, lasts } => {
                self.weather(side, broker, Weather { delay, ..Weather::default() }, lasts).await?;
            }
            Fault::NarrowLink { side, broker, bytes_per_second, lasts } => {
                let weather = Weather { bytes_per_second: Some(bytes_per_second), ..Weather::default() };
                self.weather(side, broker, weather, lasts).await?;
            }
            Fault::LoseProduceAnswers { side, broker, answers } => {
                return Ok(lose(&*self.link(side, broker)?, answers).await);
            }
            Fault::KillFunction { turn } => return Ok(self.kill_function(turn).await),
            Fault::InvokeTwice { turn } => return Ok(self.invoke_twice(turn % BATCHES).await),
            Fault::Aws { trouble, lasts } => {
                let before = stack.troubled_calls();
                stack.trouble_aws(Some(trouble));
                sleep(lasts).await;
                stack.trouble_aws(None);
                return Ok(stack.troubled_calls() > before);
            }
        }
        Ok(true)
    }

    /// An operator's tool may fail while something else is wrong: then this fault did not happen.
    fn attempt(&self, outcome: anyhow::Result<()>) -> anyhow::Result<bool> {
        Ok(outcome.inspect_err(|error| self.diary.note(format_args!("{error:#}"))).is_ok())
    }

    fn link(&self, side: Side, broker: usize) -> anyhow::Result<Arc<Link>> {
        self.rehearsal.stack.cluster(side).link(broker)
    }

    async fn weather(&self, side: Side, broker: usize, weather: Weather, lasts: Duration) -> anyhow::Result<()> {
        let link = self.link(side, broker)?;
        link.set(weather);
        sleep(lasts).await;
        link.set(Weather::default());
        Ok(())
    }

    async fn kill_function(&self, turn: usize) -> bool {
        let stack = &self.rehearsal.stack;
        let killed = opportunity(|| {
            let busy: Vec<_> = FUNCTIONS.into_iter().filter(|name| stack.busy_instances(name) > 0).collect();
            let name = *busy.get(turn % busy.len().max(1))?;
            stack.kill_function_instance(name).ok().map(|_| name)
        });
        let killed = killed.await;
        self.diary.note(format_args!("killed: {}", killed.unwrap_or("nothing")));
        killed.is_some()
    }

    /// Runs on when nobody waits for its answer any more.
    async fn invoke_twice(&self, batch: usize) -> bool {
        let stack = &self.rehearsal.stack;
        let works = |name: &&str| stack.busy_instances(name) > 0;
        let working = opportunity(|| ["seed-partition", "tail-batch", "validate"].into_iter().find(works)).await;
        let Some(function) = working else { return false };
        let work = json!({"op": "work", "migration_id": self.rehearsal.id(), "batch": batch});
        let answer = timeout(SECOND_ANSWER, stack.invoke(function, &work)).await;
        let answer = answer.map_or_else(|_| "works on".to_owned(), |answer| format!("{answer:?}"));
        self.diary.note(format_args!("{function} a second time for batch {batch}: {answer}"));
        true
    }
}

/// Waits until the answers were lost; whether any was.
async fn lose(link: &Link, answers: usize) -> bool {
    let before = link.lost_produce_answers();
    link.lose_produce_answers(answers);
    let all = opportunity(|| (link.lost_produce_answers() >= before + answers).then_some(()));
    all.await;
    link.lose_produce_answers(0);
    link.lost_produce_answers() > before
}

/// Asks until there is something, or it has taken too long.
async fn opportunity<T>(mut find: impl FnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + OPPORTUNITY;
    loop {
        let found = find();
        if found.is_some() || Instant::now() >= until {
            return found;
        }
        sleep(Duration::from_millis(50)).await;
    }
}
