//! When producers were frozen and unfrozen: what bounds the cutover, and what the report shows.

use std::time::Duration;

use chrono::{DateTime, Utc};
use migration::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::{Journal, RACE_ATTEMPTS};

/// One of the two clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The cluster that is left.
    Source,
    /// The cluster that is migrated to.
    Target,
}

impl Side {
    /// The name as stored and printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

/// How a freeze was confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FreezeHow {
    /// By the webhook.
    Webhook,
    /// By an operator at a terminal.
    Operator,
}

/// Whether producers are frozen now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum FreezeState {
    /// They are.
    Frozen,
    /// They were, and have gone on.
    Unfrozen {
        /// The cluster they write to since.
        towards: Side,
    },
}

/// One freeze from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezePeriod {
    /// When the freeze was confirmed.
    #[serde(with = "clock::micros")]
    pub frozen_at: DateTime<Utc>,
    /// How it was confirmed.
    pub how: FreezeHow,
    /// Who confirmed it: an operator's name or the webhook's address.
    pub by: String,
    /// When producers were let go; none while they are frozen.
    #[serde(with = "clock::micros_option")]
    pub unfrozen_at: Option<DateTime<Utc>>,
    /// Towards which cluster they were let go.
    pub towards: Option<Side>,
}

impl FreezePeriod {
    /// Length of the freeze, up to `now` while it lasts.
    pub fn length(&self, now: DateTime<Utc>) -> Duration {
        (self.unfrozen_at.unwrap_or(now) - self.frozen_at).to_std().unwrap_or_default()
    }
}

/// Every freeze of a run, oldest first; at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Freeze {
    periods: Vec<FreezePeriod>,
}

impl Freeze {
    /// The freezes, oldest first. A run has several when a cutover was given up and repeated.
    pub fn periods(&self) -> &[FreezePeriod] {
        &self.periods
    }

    /// The latest freeze.
    pub fn current(&self) -> &FreezePeriod {
        // Both ways to make a `Freeze` put a period in.
        &self.periods[self.periods.len() - 1]
    }

    /// Since when producers are confirmed to be frozen; none when they are not.
    pub fn frozen_since(&self) -> Option<DateTime<Utc>> {
        (self.state() == FreezeState::Frozen).then(|| self.current().frozen_at)
    }

    /// Whether producers are frozen now.
    pub fn state(&self) -> FreezeState {
        match self.current().towards {
            Some(towards) => FreezeState::Unfrozen { towards },
            None => FreezeState::Frozen,
        }
    }
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
        let frozen = self.periods.last().is_some_and(|period| period.towards.is_none());
        self.state = if frozen { "frozen" } else { "unfrozen" }.to_owned();
        self
    }
}

impl Journal {
    /// The run's freezes; `None` when producers were never frozen.
    pub async fn freeze_state(&self) -> Result<Option<Freeze>> {
        let item = self.freeze_item().await?;
        Ok(item.filter(|item| !item.periods.is_empty()).map(|item| Freeze { periods: item.periods }))
    }

    async fn freeze_item(&self) -> Result<Option<FreezeItem>> {
        let item = self.get("read the freeze", &self.key("freeze")).await?;
        item.map(|item| self.read(item)).transpose()
    }

    /// Records that producers are frozen since `at`. While they are frozen already, the first record stands.
    pub async fn set_frozen(&self, at: DateTime<Utc>, how: FreezeHow, by: &str) -> Result<Freeze> {
        let period = FreezePeriod { frozen_at: at, how, by: by.to_owned(), unfrozen_at: None, towards: None };
        for _ in 0..RACE_ATTEMPTS {
            let stored = self.freeze_item().await?;
            let edition = stored.as_ref().map(|item| item.edition);
            let mut item = stored.unwrap_or_default();
            if item.periods.last().is_none_or(|last| last.towards.is_some()) {
                item.periods.push(period.clone());
                item = item.next();
                if !self.put_freeze(&item, edition).await? {
                    continue;
                }
            }
            return Ok(Freeze { periods: item.periods });
        }
        Err(self.lost_races("record the freeze"))
    }

    /// Records that producers write to `towards` since `at`. Repeating it changes nothing, and `None` says that they were
    /// never frozen, so that unfreezing to be safe is always allowed.
    ///
    /// # Errors
    /// [`ErrorKind::Blocked`](migration::ErrorKind::Blocked) when they were let go towards the other cluster: they have to
    /// be frozen again before they change sides.
    pub async fn set_unfrozen(&self, towards: Side, at: DateTime<Utc>) -> Result<Option<Freeze>> {
        for _ in 0..RACE_ATTEMPTS {
            let Some(mut item) = self.freeze_item().await? else { return Ok(None) };
            let Some(last) = item.periods.last_mut() else { return Ok(None) };
            match last.towards {
                Some(side) if side == towards => return Ok(Some(Freeze { periods: item.periods })),
                Some(side) => {
                    return Err(Error::blocked(format_args!(
                        "producers write to the {} again, they cannot be let go towards the {} without another freeze",
                        side.name(),
                        towards.name()
                    ))
                    .in_run(&self.run));
                }
                None => (last.towards, last.unfrozen_at) = (Some(towards), Some(at)),
            }
            let edition = item.edition;
            let item = item.next();
            if self.put_freeze(&item, Some(edition)).await? {
                return Ok(Some(Freeze { periods: item.periods }));
            }
        }
        Err(self.lost_races("record the end of the freeze"))
    }

    async fn put_freeze(&self, item: &FreezeItem, edition: Option<u64>) -> Result<bool> {
        self.put("record the freeze", self.key("freeze"), item, edition.map(|edition| ("edition", edition))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_lasts_until_producers_are_let_go() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let mut period = FreezePeriod {
            frozen_at: at(100),
            how: FreezeHow::Operator,
            by: "ada".into(),
            unfrozen_at: None,
            towards: None,
        };
        assert_eq!(period.length(at(142)), Duration::from_secs(42));
        assert_eq!(period.length(at(90)), Duration::ZERO, "a clock that went back");
        (period.unfrozen_at, period.towards) = (Some(at(130)), Some(Side::Target));
        assert_eq!(period.length(at(999)), Duration::from_secs(30));
        let freeze = Freeze { periods: vec![period] };
        assert_eq!(freeze.state(), FreezeState::Unfrozen { towards: Side::Target });
        assert_eq!(
            serde_json::to_value(freeze.state()).unwrap(),
            serde_json::json!({"state": "unfrozen", "towards": "target"})
        );
    }
}
