//! One freeze, from the moment producers are asked to stop to the moment they are let go.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

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

/// By what means producers are asked to stop, and are let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FreezeHow {
    /// By the webhook.
    Webhook,
    /// By an operator.
    Operator,
}

/// Where a freeze stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum FreezeState {
    /// Producers were asked to stop, and it is not confirmed that they did: some of them may stand still.
    Asked,
    /// Producers are confirmed to be frozen.
    Frozen,
    /// They were asked to stop, or frozen, and have gone on.
    Unfrozen {
        /// The cluster they write to since.
        towards: Side,
    },
    /// They were to be asked, and the call certainly did not get there: they never stopped.
    NotReached,
}

impl FreezeState {
    /// The name as stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Frozen => "frozen",
            Self::Unfrozen { .. } => "unfrozen",
            Self::NotReached => "not_reached",
        }
    }

    /// Whether producers stand still, or may do so in part.
    pub const fn is_under_way(self) -> bool {
        matches!(self, Self::Asked | Self::Frozen)
    }
}

/// One freeze from its beginning to its end. Its times never go backwards, whichever hosts wrote them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredPeriod")]
pub struct FreezePeriod {
    /// When producers were asked to stop. The webhook is told this time, and acknowledges it.
    #[serde(with = "clock::micros")]
    pub asked_at: DateTime<Utc>,
    /// False when the call certainly reached nobody.
    pub reached: bool,
    /// When it was confirmed that they had stopped: the outage counts from here. None while it is not.
    #[serde(with = "clock::micros_option")]
    pub frozen_at: Option<DateTime<Utc>>,
    /// By what means they were asked, and are let go.
    pub how: FreezeHow,
    /// Who was asked; from the confirmation on, who confirmed.
    pub by: String,
    /// When producers were let go; none before that.
    #[serde(with = "clock::micros_option")]
    pub unfrozen_at: Option<DateTime<Utc>>,
    /// Towards which cluster they were let go.
    pub towards: Option<Side>,
    /// Who says that he has let them go by hand; none when the webhook, or whoever was asked to stop them, has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<String>,
}

/// A period as any version of msk-kraft stored it: once `frozen_at` was all there was of a freeze's beginning.
#[derive(Deserialize)]
struct StoredPeriod {
    #[serde(default)]
    asked_at: Option<DateTime<Utc>>,
    #[serde(default = "yes")]
    reached: bool,
    #[serde(default)]
    frozen_at: Option<DateTime<Utc>>,
    how: FreezeHow,
    by: String,
    #[serde(default)]
    unfrozen_at: Option<DateTime<Utc>>,
    #[serde(default)]
    towards: Option<Side>,
    #[serde(default)]
    by_hand: Option<String>,
}

const fn yes() -> bool {
    true
}

impl From<StoredPeriod> for FreezePeriod {
    fn from(stored: StoredPeriod) -> Self {
        Self {
            asked_at: stored.asked_at.or(stored.frozen_at).unwrap_or_default(),
            reached: stored.reached,
            frozen_at: stored.frozen_at,
            how: stored.how,
            by: stored.by,
            unfrozen_at: stored.unfrozen_at,
            towards: stored.towards,
            by_hand: stored.by_hand,
        }
    }
}

impl FreezePeriod {
    /// A freeze that is asked for at `at`.
    pub(super) fn asked(at: DateTime<Utc>, how: FreezeHow, by: &str) -> Self {
        Self {
            asked_at: at,
            reached: true,
            frozen_at: None,
            how,
            by: by.to_owned(),
            unfrozen_at: None,
            towards: None,
            by_hand: None,
        }
    }

    /// Confirms it.
    pub(super) fn confirm(&mut self, at: DateTime<Utc>, by: &str) {
        self.frozen_at = Some(at.max(self.asked_at));
        by.clone_into(&mut self.by);
    }

    /// Ends it.
    pub(super) fn let_go(&mut self, towards: Side, at: DateTime<Utc>) {
        self.unfrozen_at = Some(at.max(self.frozen_at.unwrap_or(self.asked_at)));
        self.towards = Some(towards);
    }

    /// Where it stands.
    pub fn state(&self) -> FreezeState {
        match (self.towards, self.frozen_at) {
            (Some(towards), _) => FreezeState::Unfrozen { towards },
            (None, Some(_)) => FreezeState::Frozen,
            (None, None) if self.reached => FreezeState::Asked,
            (None, None) => FreezeState::NotReached,
        }
    }

    /// Length of the outage: from the confirmation up to `now` while it lasts; zero when it was never confirmed.
    pub fn length(&self, now: DateTime<Utc>) -> Duration {
        let since = self.frozen_at.map(|since| self.unfrozen_at.unwrap_or(now) - since);
        since.and_then(|length| length.to_std().ok()).unwrap_or_default()
    }

    /// How long the confirmation took, or takes up to `now`.
    pub fn reaction(&self, now: DateTime<Utc>) -> Duration {
        let until = self.frozen_at.or(self.unfrozen_at).unwrap_or(now);
        (until - self.asked_at).to_std().unwrap_or_default()
    }

    /// When the last thing happened to it that producers, or their webhook, heard of.
    pub fn last_call(&self) -> DateTime<Utc> {
        self.unfrozen_at.or(self.frozen_at).unwrap_or(self.asked_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn the_outage_counts_from_the_confirmation_until_producers_are_let_go() {
        let mut period = FreezePeriod::asked(at(40), FreezeHow::Operator, "operator");
        assert_eq!(period.state(), FreezeState::Asked);
        assert_eq!((period.length(at(90)), period.reaction(at(90))), (Duration::ZERO, Duration::from_secs(50)));
        period.confirm(at(100), "ada");
        assert_eq!((period.state(), period.by.as_str()), (FreezeState::Frozen, "ada"));
        assert_eq!(
            (period.length(at(142)), period.reaction(at(142))),
            (Duration::from_secs(42), Duration::from_secs(60))
        );
        period.let_go(Side::Target, at(130));
        assert_eq!((period.length(at(999)), period.last_call()), (Duration::from_secs(30), at(130)));
        assert_eq!(json!(period.state()), json!({"state": "unfrozen", "towards": "target"}));
    }

    #[test]
    fn no_length_is_negative_whichever_clocks_wrote_the_times() {
        let mut period = FreezePeriod::asked(at(100), FreezeHow::Webhook, "webhook");
        assert_eq!(period.reaction(at(90)), Duration::ZERO);
        period.confirm(at(70), "webhook");
        assert_eq!(period.frozen_at, Some(at(100)), "not confirmed before it was asked for");
        assert_eq!(period.length(at(90)), Duration::ZERO);
        period.let_go(Side::Source, at(60));
        assert_eq!((period.unfrozen_at, period.length(at(90))), (Some(at(100)), Duration::ZERO));
    }

    #[test]
    fn a_call_that_reached_nobody_froze_nobody() {
        let mut period = FreezePeriod::asked(at(100), FreezeHow::Webhook, "webhook");
        period.reached = false;
        assert_eq!(period.state(), FreezeState::NotReached);
        assert!(!period.state().is_under_way());
        assert_eq!(serde_json::from_value::<FreezePeriod>(json!(period)).unwrap(), period);
    }

    /// What version 0.1.0 stored of a freeze that lasts, and of one that has ended.
    const OLD: &str = r#"[
        {"frozen_at": "2026-04-25T06:15:07.512121Z", "how": "webhook", "by": "webhook", "unfrozen_at": null, "towards": null},
        {"frozen_at": "2026-04-25T06:15:07.512121Z", "how": "operator", "by": "ada",
         "unfrozen_at": "2026-04-25T06:15:47.512121Z", "towards": "source"}
    ]"#;

    #[test]
    fn freezes_from_before_there_were_two_limits_are_read() {
        let [lasting, ended]: [FreezePeriod; 2] = serde_json::from_str(OLD).unwrap();
        assert_eq!(lasting.state(), FreezeState::Frozen);
        assert_eq!((lasting.frozen_at, lasting.reached), (Some(lasting.asked_at), true));
        assert_eq!(ended.state(), FreezeState::Unfrozen { towards: Side::Source });
        assert_eq!((ended.length(at(0)), ended.reaction(at(0))), (Duration::from_secs(40), Duration::ZERO));
    }

    #[test]
    fn stored_names_are_those_of_the_states() {
        let states = [FreezeState::Asked, FreezeState::Frozen, FreezeState::NotReached];
        for state in states.into_iter().chain([FreezeState::Unfrozen { towards: Side::Source }]) {
            assert_eq!(json!(state)["state"], state.name());
        }
    }
}
