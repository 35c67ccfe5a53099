//! What goes wrong in a world, and how often. Worlds differ in it, so that rare faults meet and common ones do not hide
//! them.

use std::time::Duration;

use crate::dice::Dice;

/// Longest way of a slow request in one direction.
pub(crate) const SLOWEST: Duration = Duration::from_secs(8);

/// Longest time after which a request takes effect whose connection broke.
pub(crate) const LINGERS: Duration = Duration::from_secs(20);

/// Longest time for which nothing can be read from or written to the journal.
pub(crate) const OUTAGE: Duration = Duration::from_secs(40);

/// Rates are per thousand requests, steps or invocations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    /// Requests whose connection breaks on the way there, or on the way back.
    pub(crate) lost: u32,
    /// Requests on a broken connection that take effect all the same, later.
    pub(crate) lingering: u32,
    /// Requests that take seconds rather than milliseconds.
    pub(crate) slow: u32,
    /// Answers of brokers with an error that passes.
    pub(crate) refused: u32,
    /// Steps of the world at which the journal cannot be reached for a while.
    pub(crate) outages: u32,
    /// Steps at which a leader of the source is away for a while.
    pub(crate) stalls: u32,
    /// Markers that take seconds to be written.
    pub(crate) late_markers: u32,
    /// Steps at which the tail of a partition stands still for a while.
    pub(crate) tail_stalls: u32,
    /// Steps at which the tail stops a partition for good.
    pub(crate) tail_stops: u32,
    /// Steps at which a coordinator of the target is loading for a while.
    pub(crate) loading: u32,
    /// Freezes at which a transaction is left open for longer than it should be.
    pub(crate) hanging: u32,
    /// Invocations that die.
    pub(crate) kills: u32,
    /// Invocations that stand still for long and then go on.
    pub(crate) freezes: u32,
    /// Invocations beside which another is started.
    pub(crate) twins: u32,
    /// Functions whose clock is wrong.
    pub(crate) skews: u32,
    /// Cutovers that the operator gives up.
    pub(crate) give_ups: u32,
}

impl Faults {
    /// The faults of a world.
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let mut rate = |worlds, most: i64| if dice.chance(worlds) { dice.number(1..most) as u32 } else { 0 };
        Self {
            lost: rate(500, 60),
            lingering: rate(500, 500),
            slow: rate(300, 30),
            refused: rate(500, 60),
            outages: rate(200, 25),
            stalls: rate(250, 40),
            late_markers: rate(250, 400),
            tail_stalls: rate(300, 60),
            tail_stops: rate(80, 15),
            loading: rate(300, 60),
            hanging: rate(500, 800),
            kills: rate(600, 700),
            freezes: rate(450, 600),
            twins: rate(450, 600),
            skews: rate(300, 800),
            give_ups: rate(250, 500),
        }
    }
}

/// What happens to one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fate {
    /// Time on the way there.
    pub(crate) out: Duration,
    /// Time on the way back.
    pub(crate) back: Duration,
    /// Where the connection breaks.
    pub(crate) breaks: Option<Breaks>,
    /// How long a request that takes effect after its connection broke takes until then.
    pub(crate) lingers: Option<Duration>,
}

/// When a connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breaks {
    BeforeEffect,
    AfterEffect,
}

impl Fate {
    pub(crate) fn draw(faults: &Faults, dice: &mut Dice) -> Self {
        let slowest = SLOWEST.as_millis() as u64;
        let mut way = || if dice.chance(faults.slow) { dice.millis(500..slowest) } else { dice.millis(0..8) };
        let (out, back) = (way(), way());
        let breaks = dice.chance(faults.lost).then(|| dice.pick(&[Breaks::BeforeEffect, Breaks::AfterEffect]));
        let lingers = dice.chance(faults.lingering).then(|| dice.millis(1..LINGERS.as_millis() as u64));
        Self { out, back, breaks, lingers }
    }
}
