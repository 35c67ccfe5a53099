//! What goes wrong in a world, and how often. Worlds differ in it, so that rare faults meet and common ones do not hide
//! them.

use std::num::NonZeroU64;
use std::time::Duration;

use migration::config::RecordsDeleted;

use crate::dice::Dice;

/// Rates are per thousand requests or steps.
#[derive(Debug, Clone)]
pub(crate) struct Faults {
    /// Requests whose connection breaks on the way there, or on the way back.
    pub(crate) lost: u32,
    /// Requests on a broken connection that take effect all the same, later.
    pub(crate) lingering: u32,
    /// Requests that take seconds rather than milliseconds.
    pub(crate) slow: u32,
    /// Answers with an error that passes.
    pub(crate) refused: u32,
    /// Steps of the world that move a leader.
    pub(crate) moves: u32,
    /// Whether a new leader may lack what not all replicas had.
    pub(crate) lossy_moves: bool,
    /// Steps of the world at which brokers check for idle producers.
    pub(crate) expiry: u32,
    /// Whether records on the source are older than a broker remembers a producer.
    pub(crate) old_records: bool,
    /// Steps of the world at which a partition of the target begins to take nothing for a while.
    pub(crate) refusals: u32,
    /// Steps at which somebody else writes to the target.
    pub(crate) foreign: u32,
    /// Steps at which records of the source are compacted.
    pub(crate) compaction: u32,
    /// Steps at which the source's log start moves.
    pub(crate) deletion: u32,
    /// Steps at which the log cleaner takes a batch of the target.
    pub(crate) cleaning: u32,
    /// What the configuration says about that to begin with.
    pub(crate) on_records_deleted: RecordsDeleted,
    /// Whether an operator resumes with another one where a partition stopped because of that.
    pub(crate) resumes: bool,
    /// Steps at which a batch of the source is damaged.
    pub(crate) damage: u32,
    /// Whether the target takes small batches only.
    pub(crate) small_batches_only: bool,
    /// Whether the source's topic has tiered storage, whose answers may be empty for no reason.
    pub(crate) tiered: bool,
    /// Most bytes of an answer of the source.
    pub(crate) answer_max: usize,
    /// How fast the copy may go.
    pub(crate) bytes_per_second: Option<NonZeroU64>,
    /// Invocations that are killed.
    pub(crate) kills: u32,
    /// Invocations that stand still for long and then go on.
    pub(crate) freezes: u32,
    /// Invocations beside which another is started.
    pub(crate) twins: u32,
    calm: bool,
}

impl Faults {
    /// The faults of a world.
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        // A compacted topic cannot be tiered (KIP-405).
        let tiered = dice.chance(100);
        let mut rate = |worlds, most: i64| if dice.chance(worlds) { dice.number(1..most) as u32 } else { 0 };
        Self {
            lost: rate(600, 80),
            lingering: rate(500, 500),
            slow: rate(400, 60),
            refused: rate(600, 80),
            moves: rate(500, 200),
            lossy_moves: rate(500, 2) > 0,
            expiry: rate(250, 200),
            old_records: rate(500, 2) > 0,
            refusals: rate(250, 40),
            foreign: rate(60, 30),
            compaction: if tiered { 0 } else { rate(300, 200) },
            cleaning: rate(60, 30),
            deletion: rate(500, 90),
            on_records_deleted: match rate(500, 2) {
                0 => RecordsDeleted::Stop,
                _ => RecordsDeleted::RecordGap,
            },
            resumes: rate(500, 2) > 0,
            damage: rate(40, 60),
            small_batches_only: rate(40, 2) > 0,
            tiered,
            answer_max: if rate(400, 2) > 0 { rate(1000, 6000) as usize } else { usize::MAX },
            bytes_per_second: NonZeroU64::new(u64::from(rate(100, 500)) * 1000),
            kills: rate(700, 900),
            freezes: rate(300, 400),
            twins: rate(500, 600),
            calm: false,
        }
    }

    /// No faults any more.
    pub(crate) fn end(&mut self) {
        let calm = Self {
            lost: 0,
            lingering: 0,
            slow: 0,
            refused: 0,
            moves: 0,
            expiry: 0,
            refusals: 0,
            foreign: 0,
            compaction: 0,
            deletion: 0,
            cleaning: 0,
            damage: 0,
            kills: 0,
            freezes: 0,
            twins: 0,
            bytes_per_second: None,
            calm: true,
            ..self.clone()
        };
        *self = calm;
    }

    /// Whether faults have ended.
    pub(crate) const fn is_calm(&self) -> bool {
        self.calm
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
        let mut way = || if dice.chance(faults.slow) { dice.millis(500..50_000) } else { dice.millis(0..12) };
        let (out, back) = (way(), way());
        let breaks = dice.chance(faults.lost).then(|| dice.pick(&[Breaks::BeforeEffect, Breaks::AfterEffect]));
        let lingers = dice.chance(faults.lingering).then(|| dice.millis(1..60_000));
        Self { out, back, breaks, lingers }
    }
}
