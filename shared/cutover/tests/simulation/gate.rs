//! The gate function: it begins a cutover, confirms the freeze, and ends it when it has lasted too long, was given up or failed.
//! The state machine repeats each call until it succeeds.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use journal::TailWanted;
use migration::config::WriteFence;
use migration::{Phase, Result};
use tokio::time::sleep;
use write_fence::{Lift, Lifted};

use crate::request::{Invocation, To};
use crate::traffic;
use crate::world::{Shared, World};

/// Pause before the state machine repeats a call.
const AGAIN: Duration = Duration::from_secs(1);

/// Longest time that a call which ends a freeze may take while nothing goes wrong with it, and while everything does.
const QUICK: Duration = Duration::from_secs(1);
const SLOW: Duration = Duration::from_secs(180);

/// How much clocks may differ.
const CLOCKS: TimeDelta = TimeDelta::minutes(5);

/// How much longer one may take that lifts a write fence: an invocation that was killed while it set rules is waited for.
const LIFTS: Duration = Duration::from_secs(8);
const LIFTS_SLOWLY: Duration = Duration::from_secs(180);

/// Why a freeze ends before the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The state machine's timer ran out.
    Expired,
    /// The operator gives up.
    GivenUp,
    /// The cutover function failed.
    Failed,
}

/// The gate function.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    world: Shared,
}

impl Gate {
    pub(crate) fn new(world: &Shared) -> Self {
        Self { world: world.clone() }
    }

    /// A cutover begins, or goes on behind its mark.
    pub(crate) async fn enter(&self) {
        let function = Invocation::new(&self.world);
        while enter(&function).await.is_err() {
            sleep(AGAIN).await;
        }
    }

    /// Gives the migration up for good, if nothing is marked, when every invocation has certainly ended.
    pub(crate) async fn roll_back(&self) {
        let function = Invocation::new(&self.world).later(journal::LIFETIME + CLOCKS);
        let fence = self.world.lock().journal.fence.clone();
        if fence.is_some_and(|stored| !stored.fence.setters.is_empty()) {
            self.world.lock().saw("setter was cut off");
        }
        while !self.world.lock().journal.committed && lift(&function, u64::MAX).await.is_err() {
            sleep(AGAIN).await;
        }
    }

    /// What is marked is gone on with.
    pub(crate) async fn enter_if_failed(&self) {
        if self.world.lock().journal.phase == Phase::Failed {
            self.enter().await;
        }
    }

    /// Producers stand still, as the operator says.
    pub(crate) async fn confirm(&self) {
        let function = Invocation::new(&self.world);
        let (at, freeze) = (function.now(), self.world.lock().producers.freezes);
        while set_frozen(&function, freeze, Some(at)).await.is_err() {
            sleep(AGAIN).await;
        }
        self.world.lock().witness.knows_frozen();
    }

    /// Ends the freeze, unless the point of no return is passed. Whether the run is failed then.
    pub(crate) async fn end(&self, why: Why) -> bool {
        let function = Invocation::new(&self.world);
        let began = {
            let world = &mut *self.world.lock();
            world.witness.begins_to_end(function.number);
            world.elapsed()
        };
        let ended = loop {
            match end(&function, why).await {
                Ok(ended) => break ended,
                Err(_) => sleep(AGAIN).await,
            }
        };
        let world = &mut *self.world.lock();
        world.witness.ended(function.number);
        let took = world.elapsed() - began;
        let faults = &world.setup.faults;
        let is_quick = faults.lost + faults.slow + faults.outages + faults.refused == 0;
        let longest = match (is_quick, world.setup.limits.write_fence) {
            (true, WriteFence::None) => QUICK,
            (false, WriteFence::None) => SLOW,
            (true, WriteFence::Acl) => QUICK + LIFTS,
            (false, WriteFence::Acl) => SLOW + LIFTS_SLOWLY,
        };
        if took > longest {
            world.broken(format!("the freeze was to end, and the call took {took:?}"));
        }
        ended
    }
}

async fn enter(function: &Invocation) -> Result<()> {
    let meta = function.aws(To::Journal, "read meta", |world| world.journal.meta()).await?;
    if !meta.committed {
        lift(function, meta.version).await?;
    }
    loop {
        let meta = function.aws(To::Journal, "read meta", |world| world.journal.meta()).await?;
        let to = match meta.phase {
            Phase::Cutover => break,
            Phase::Failed if meta.committed => Phase::Cutover,
            Phase::Failed => Phase::Tail,
            Phase::Tail => Phase::DrainReady,
            _ => Phase::Cutover,
        };
        function.aws(To::Journal, "enter", move |world| world.journal.advance(&meta, to)).await?;
    }
    function.aws(To::Journal, "start the tail", |world| world.journal.wanted = TailWanted::Run).await
}

/// Records since when producers are frozen by the freeze number `freeze`, or that they are not any more. What is on record already
/// stands, and so does what a later freeze has recorded.
async fn set_frozen(function: &Invocation, freeze: u32, at: Option<DateTime<Utc>>) -> Result<()> {
    loop {
        let read = |world: &mut World| (world.journal.frozen_at, world.journal.edition, world.producers.freezes);
        let (frozen_at, edition, latest) = function.aws(To::Journal, "read the freeze", read).await?;
        if frozen_at.is_some() == at.is_some() || latest != freeze {
            return Ok(());
        }
        let write = move |world: &mut World| {
            let limit = world.setup.limits.max_producer_freeze;
            if world.journal.set_frozen(edition, at) && at.is_some() {
                world.witness.frozen(limit.into());
            }
        };
        function.aws(To::Journal, "write the freeze", write).await?;
    }
}

/// Lifts the write fence of a cutover that began before the run's `version`, if there may be one.
async fn lift(function: &Invocation, version: u64) -> Result<()> {
    let connect = async || Ok(function.clone());
    let what = Lift { version, by: "the gate" };
    if write_fence::lift(connect, function, function, what).await? != Lifted::Nothing {
        function.world.lock().saw("write fence lifted");
    }
    Ok(())
}

/// The phase changes first, and producers are let go then: a function that still runs can pass no mark any more.
async fn end(function: &Invocation, why: Why) -> Result<bool> {
    // This freeze and no later one: the call may be slow, and a resume may begin another cutover meanwhile.
    let freeze = function.world.lock().producers.freezes;
    loop {
        let meta = function.aws(To::Journal, "read meta", |world| world.journal.meta()).await?;
        match (meta.phase, why) {
            (Phase::Cutover, Why::Expired | Why::GivenUp) if meta.committed => return Ok(false),
            (Phase::Cutover, _) => {
                let fail = move |world: &mut World| {
                    let advanced = world.journal.advance(&meta, Phase::Failed);
                    if advanced {
                        world.note(|| format!("the run fails: {why:?}"));
                        world.saw(match why {
                            Why::Expired => "expired by the watchdog",
                            Why::GivenUp => "given up",
                            Why::Failed => "cutover failed",
                        });
                    }
                };
                function.aws(To::Journal, "fail", fail).await?;
            }
            (Phase::Failed, _) if meta.committed => return Ok(true),
            (Phase::Failed, _) => {
                function.aws(To::Journal, "stop tail", |world| world.journal.wanted = TailWanted::Stop).await?;
                lift(function, meta.version).await?;
                function.aws(To::Cluster, "let go", move |world| traffic::let_go(world, freeze)).await?;
                set_frozen(function, freeze, None).await?;
                return Ok(true);
            }
            _ => return Ok(false),
        }
    }
}
