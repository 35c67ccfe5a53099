//! When producers were asked to stop, confirmed to be frozen, and let go: what bounds the cutover, and what the report shows.
//!
//! ```text
//!             ask_freeze ──► ASKED ──set_frozen──► FROZEN
//!                             │  │                   │
//!  NOT_REACHED ◄─set_not_reached  └───set_unfrozen───┴──► UNFROZEN
//! ```
//! From the moment they are asked some producers may stand still, so whoever gives the cutover up lets them go in `ASKED` too.

use std::time::Duration;

use chrono::{DateTime, Utc};
use migration::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::{Journal, RACE_ATTEMPTS};

mod period;

pub use period::{FreezeHow, FreezePeriod, FreezeState, Side};

/// Every freeze of a run, oldest first; at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<FreezePeriod>", into = "Vec<FreezePeriod>")]
pub struct Freeze {
    periods: Vec<FreezePeriod>,
}

impl TryFrom<Vec<FreezePeriod>> for Freeze {
    type Error = &'static str;

    fn try_from(periods: Vec<FreezePeriod>) -> std::result::Result<Self, Self::Error> {
        if periods.is_empty() { Err("there is no freeze") } else { Ok(Self { periods }) }
    }
}

impl From<Freeze> for Vec<FreezePeriod> {
    fn from(freeze: Freeze) -> Self {
        freeze.periods
    }
}

impl Freeze {
    /// The freezes, oldest first. A run has several when a cutover was given up and repeated.
    pub fn periods(&self) -> &[FreezePeriod] {
        &self.periods
    }

    /// The latest freeze.
    pub fn current(&self) -> &FreezePeriod {
        // Nothing makes a `Freeze` without a period.
        &self.periods[self.periods.len() - 1]
    }

    /// Since when producers are confirmed to be frozen; none when they are not.
    pub fn frozen_since(&self) -> Option<DateTime<Utc>> {
        (self.state() == FreezeState::Frozen).then_some(self.current().frozen_at).flatten()
    }

    /// Where the latest freeze stands.
    pub fn state(&self) -> FreezeState {
        self.current().state()
    }

    /// Whether producers stand still, or may do so in part: somebody has to let them go.
    pub fn may_hold_producers(&self) -> bool {
        matches!(self.state(), FreezeState::Asked | FreezeState::Frozen)
    }

    /// Length of the latest freeze, from its confirmation up to `now` while it lasts.
    pub fn length(&self, now: DateTime<Utc>) -> Duration {
        self.current().length(now)
    }
}

/// Outcome of [`Journal::ask_freeze`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedFreeze {
    /// The freezes, the one that producers are asked for last.
    pub freeze: Freeze,
    /// Whether it began with this call. Otherwise it was under way, and somebody may have been asked before.
    pub begun: bool,
}

/// The freezes in the table. `state` is for whoever looks at the table; `periods` decides.
#[derive(Default, Serialize, Deserialize)]
struct FreezeItem {
    /// Guards the read-modify-write.
    edition: u64,
    state: String,
    periods: Vec<FreezePeriod>,
}

impl FreezeItem {
    /// The item with its edition counted and its state named after a change of `periods`.
    fn next(mut self) -> Self {
        self.edition += 1;
        self.state = self.periods.last().map_or("", |period| period.state().name()).to_owned();
        self
    }
}

impl Journal {
    /// The run's freezes; `None` when producers were never asked.
    pub async fn freeze_state(&self) -> Result<Option<Freeze>> {
        let item = self.freeze_item().await?;
        Ok(item.and_then(|item| Freeze::try_from(item.periods).ok()))
    }

    async fn freeze_item(&self) -> Result<Option<FreezeItem>> {
        let item = self.get("read the freeze", &self.key("freeze")).await?;
        item.map(|item| self.read(item)).transpose()
    }

    /// Records that producers are about to be asked to stop: to be called before anybody is. A freeze that is under way
    /// stands, with the time at which it was asked for.
    pub async fn ask_freeze(&self, at: DateTime<Utc>, how: FreezeHow, by: &str) -> Result<AskedFreeze> {
        let changed = self.change_freeze("record that producers are asked to stop", |periods| {
            let under_way = periods.last().is_some_and(|last| last.state().is_under_way());
            if !under_way {
                periods.push(FreezePeriod::asked(at, how, by));
            }
            Ok(!under_way)
        });
        match changed.await? {
            (Some(freeze), begun) => Ok(AskedFreeze { freeze, begun }),
            (None, _) => Err(Error::internal("a freeze was asked for and is not on record").in_run(&self.run)),
        }
    }

    /// Records that producers are confirmed to be frozen, by `by`. While they are frozen already, the first record stands. A
    /// freeze that nobody was asked for, as far as the journal knows, was asked for at the same moment.
    ///
    /// # Errors
    /// [`ErrorKind::Blocked`](migration::ErrorKind::Blocked) when producers were let go since they were asked.
    pub async fn set_frozen(&self, at: DateTime<Utc>, how: FreezeHow, by: &str) -> Result<Freeze> {
        let changed = self.change_freeze("record the freeze", |periods| {
            match periods.last_mut() {
                Some(last) if last.state() == FreezeState::Frozen => return Ok(false),
                Some(last) if last.state() == FreezeState::Asked => last.confirm(at, by),
                Some(FreezePeriod { towards: Some(towards), .. }) => {
                    return Err(Error::blocked(format_args!(
                        "producers were let go and write to the {}: a freeze has to be asked for anew",
                        towards.name()
                    )));
                }
                _ => {
                    let mut period = FreezePeriod::asked(at, how, by);
                    period.confirm(at, by);
                    periods.push(period);
                }
            }
            Ok(true)
        });
        let (freeze, _) = changed.await?;
        freeze.ok_or_else(|| Error::internal("a freeze was recorded and is not on record").in_run(&self.run))
    }

    /// Records that nobody was asked for the freeze that began at `asked_at` after all: the call certainly did not get
    /// there. Nothing changes when it was confirmed by somebody else, or when another freeze began.
    pub async fn set_not_reached(&self, asked_at: DateTime<Utc>) -> Result<()> {
        let changed = self.change_freeze("record that nobody was asked to stop", |periods| {
            let last = periods.last_mut();
            let last = last.filter(|last| last.state() == FreezeState::Asked && last.asked_at == asked_at);
            Ok(last.map(|last| last.reached = false).is_some())
        });
        changed.await.map(|_| ())
    }

    /// Records that the producers whom the latest of `freezes` held write to `towards` since `at`. Repeating it changes
    /// nothing, and nothing changes when another freeze began since `freezes` was read: that one is not over.
    ///
    /// # Errors
    /// [`ErrorKind::Blocked`](migration::ErrorKind::Blocked) when they were let go towards the other cluster: they have to
    /// be frozen again before they change sides.
    pub async fn set_unfrozen(&self, freezes: &Freeze, towards: Side, at: DateTime<Utc>) -> Result<Option<Freeze>> {
        self.end_freeze(freezes, towards, at, None).await
    }

    async fn end_freeze(
        &self,
        freezes: &Freeze,
        towards: Side,
        at: DateTime<Utc>,
        by_hand: Option<&str>,
    ) -> Result<Option<Freeze>> {
        let asked_at = freezes.current().asked_at;
        let changed = self.change_freeze("record the end of the freeze", |periods| {
            let Some(last) = periods.last_mut().filter(|last| last.asked_at == asked_at) else { return Ok(false) };
            match last.state() {
                FreezeState::Unfrozen { towards: side } if side != towards => Err(Error::blocked(format_args!(
                    "producers write to the {} again, they cannot be let go towards the {} without another freeze",
                    side.name(),
                    towards.name()
                ))),
                FreezeState::Unfrozen { .. } | FreezeState::NotReached => Ok(false),
                FreezeState::Asked | FreezeState::Frozen => {
                    last.let_go(towards, at);
                    last.by_hand = by_hand.map(str::to_owned);
                    Ok(true)
                }
            }
        });
        Ok(changed.await?.0)
    }

    /// Records that `by` has let the producers go by hand whom the latest of `freezes` held, and that they write to the source since
    /// `at` or before. Otherwise as [`Journal::set_unfrozen`].
    pub async fn set_unfrozen_by_hand(&self, freezes: &Freeze, by: &str, at: DateTime<Utc>) -> Result<Option<Freeze>> {
        self.end_freeze(freezes, Side::Source, at, Some(by)).await
    }

    /// Changes the freezes until no other writer came in between. Returns them as they stand, and whether `change` said that
    /// it changed something.
    async fn change_freeze(
        &self,
        action: &str,
        change: impl Fn(&mut Vec<FreezePeriod>) -> Result<bool>,
    ) -> Result<(Option<Freeze>, bool)> {
        for _ in 0..RACE_ATTEMPTS {
            let stored = self.freeze_item().await?;
            let edition = stored.as_ref().map(|item| item.edition);
            let mut item = stored.unwrap_or_default();
            if !change(&mut item.periods).map_err(|error| error.in_run(&self.run))? {
                return Ok((Freeze::try_from(item.periods).ok(), false));
            }
            let item = item.next();
            let expected = edition.map(|edition| ("edition", edition));
            if self.put(action, self.key("freeze"), &item, expected).await? {
                tracing::info!(run = %self.run, state = item.state, "freeze changed");
                return Ok((Freeze::try_from(item.periods).ok(), true));
            }
        }
        Err(self.lost_races(action))
    }
}
