//! The write fence: ACLs on the source that deny Write on the wave's topics to everybody. It is on record before the first of them
//! is set, so that whoever ends a cutover knows what to remove.
//!
//! An invocation that sets rules enters itself in `setters` before, and takes itself out when nothing that it sent can take effect
//! any more. While there is one, rules may appear behind a removal, which has to be repeated then. One that was cut off never takes
//! itself out: it counts for as long as an invocation may last.

use chrono::{DateTime, TimeDelta, Utc};
use migration::Result;
use serde::{Deserialize, Serialize};

use crate::Journal;

/// An invocation of a function lasts 15 minutes at most
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>); clocks may differ by the rest.
pub const LIFETIME: TimeDelta = TimeDelta::minutes(16);

/// An invocation that may still be setting rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setter {
    /// Its epoch, see [`CutoverLease`](crate::CutoverLease).
    pub epoch: u64,
    /// When it entered itself, for the first time.
    #[serde(with = "clock::micros")]
    pub since: DateTime<Utc>,
}

/// A write fence, of the newest cutover that set one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteFence {
    /// The run's version with which its cutover began: a fence that was lifted is not set again in the same cutover.
    pub version: u64,
    /// When it was put on record, before the first rule was set.
    #[serde(with = "clock::micros")]
    pub since: DateTime<Utc>,
    /// Key of the list of its rules (`documents::fence_rules`).
    pub rules: String,
    /// Topics that it is about.
    pub topics: usize,
    /// Rules that are the migration's own.
    pub own: usize,
    /// Topics that were denied already, by rules that stay.
    pub foreign: usize,
    /// Invocations that may still be setting rules.
    #[serde(default)]
    pub setters: Vec<Setter>,
    /// When every rule was set.
    #[serde(default, with = "clock::micros_option")]
    pub set_at: Option<DateTime<Utc>>,
    /// When every leader refused to write for the first time.
    #[serde(default, with = "clock::micros_option")]
    pub proven_at: Option<DateTime<Utc>>,
    /// When the rules were removed.
    #[serde(default, with = "clock::micros_option")]
    pub lifted_at: Option<DateTime<Utc>>,
    /// By whom, or because of what.
    #[serde(default)]
    pub lifted_by: Option<String>,
}

impl WriteFence {
    /// Whether it stands, or stands in part.
    pub const fn stands(&self) -> bool {
        self.lifted_at.is_none()
    }

    /// Whether rules of it may be on the source: also behind a removal, when an invocation was still setting them.
    pub fn may_hold(&self) -> bool {
        self.stands() || !self.setters.is_empty()
    }

    /// Enters the invocation `epoch` as setting rules.
    pub fn enter(&mut self, epoch: u64, now: DateTime<Utc>) {
        if !self.is_set_by(epoch) {
            self.setters.push(Setter { epoch, since: now });
        }
    }

    /// Whether the invocation `epoch` may still be setting rules.
    pub fn is_set_by(&self, epoch: u64) -> bool {
        self.setters.iter().any(|setter| setter.epoch == epoch)
    }

    /// Takes the invocation `epoch` out.
    pub fn leave(&mut self, epoch: u64) {
        self.setters.retain(|setter| setter.epoch != epoch);
    }

    /// Takes those out that have certainly ended by `now`.
    pub fn forget_ended(&mut self, now: DateTime<Utc>) {
        self.setters.retain(|setter| now - setter.since < LIFETIME);
    }
}

/// A write fence as it was read, for a change that nobody else came in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFence {
    /// Counts changes.
    pub edition: u64,
    /// The fence.
    pub fence: WriteFence,
}

/// The fence in the table.
#[derive(Serialize, Deserialize)]
struct FenceItem {
    /// Guards the read-modify-write.
    edition: u64,
    fence: WriteFence,
}

impl Journal {
    /// The newest write fence; `None` when there never was one.
    pub async fn write_fence(&self) -> Result<Option<StoredFence>> {
        let item = self.get("read the write fence", &self.key("write_fence")).await?;
        let item: Option<FenceItem> = item.map(|item| self.read(item)).transpose()?;
        Ok(item.map(|FenceItem { edition, fence }| StoredFence { edition, fence }))
    }

    /// Records `fence` unless it was changed since `edition`, none when there was none. Says whether it was recorded.
    pub async fn put_write_fence(&self, edition: Option<u64>, fence: &WriteFence) -> Result<bool> {
        let item = FenceItem { edition: edition.unwrap_or_default() + 1, fence: fence.clone() };
        let expected = edition.map(|edition| ("edition", edition));
        self.put("record the write fence", self.key("write_fence"), &item, expected).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_that_is_lifted_may_hold_again_while_somebody_sets_rules() {
        let mut fence = WriteFence {
            version: 1,
            since: DateTime::UNIX_EPOCH,
            rules: "k".to_owned(),
            topics: 1,
            own: 2,
            foreign: 0,
            setters: vec![Setter { epoch: 7, since: DateTime::UNIX_EPOCH }],
            set_at: None,
            proven_at: None,
            lifted_at: None,
            lifted_by: None,
        };
        assert!(fence.stands() && fence.may_hold());
        fence.lifted_at = Some(DateTime::UNIX_EPOCH);
        assert!(!fence.stands() && fence.may_hold());
        let (since, before) = (DateTime::UNIX_EPOCH, TimeDelta::seconds(1));
        fence.enter(8, since + before);
        fence.enter(8, since + LIFETIME);
        fence.forget_ended(since + LIFETIME);
        assert!(fence.may_hold() && !fence.is_set_by(7), "it has ended, another one has not");
        fence.forget_ended(since + LIFETIME + before);
        assert!(!fence.may_hold(), "what counts is when it entered first");
        fence.enter(9, since);
        fence.leave(9);
        assert!(!fence.may_hold());
    }
}
