//! The write fence: ACLs on the source that deny Write on the wave's topics to everybody. It is on record before the first of them
//! is set, so that whoever ends a cutover knows what to remove.
//!
//! An invocation that sets rules enters itself in `setters` before, and takes itself out when nothing that it sent can take effect
//! any more. While there is one, rules may appear behind a removal, which has to be repeated then.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use migration::Result;
use serde::{Deserialize, Serialize};

use crate::Journal;

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
    /// Epochs of invocations that may still be setting rules.
    #[serde(default)]
    pub setters: BTreeSet<u64>,
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
            setters: BTreeSet::from([7]),
            set_at: None,
            proven_at: None,
            lifted_at: None,
            lifted_by: None,
        };
        assert!(fence.stands() && fence.may_hold());
        fence.lifted_at = Some(DateTime::UNIX_EPOCH);
        assert!(!fence.stands() && fence.may_hold());
        fence.setters.clear();
        assert!(!fence.may_hold());
    }
}
