//! Signs of life: when a function that copies a batch was last heard of, and what keeps it from going on.
//!
//! A checkpoint says how far a batch is and nothing about now: where nothing arrives there is none, and where nothing can be
//! copied there is none either. So whoever copies a batch beats every [`BEAT_EVERY`] into an item of its own, whatever its
//! work does. A beat is one write unit, so that a batch costs 12 of them a minute, 17,280 a day, and 150 batches about 2.6
//! million (<https://aws.amazon.com/dynamodb/pricing/on-demand/> has the price).
//!
//! Beats tell; claims and checkpoints decide. A beat may be lost, and none ever keeps a copy from going on.

mod tails;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::{self, StreamExt, TryStreamExt};
use migration::{BatchId, Error, ErrorKind, Result, TopicPartition};
use serde::{Deserialize, Serialize};

use crate::Journal;
use crate::batch::{BATCHES_IN_FLIGHT, Lease};
use crate::write::Write;

pub use tails::{TailTrouble, Tails, Trouble};

/// Pause between two beats.
pub const BEAT_EVERY: Duration = Duration::from_secs(5);

/// Age from which on a beat says nothing any more: three beats that did not come, and as long again for clocks that differ and
/// for the moment between one invocation and the next.
pub const ALIVE_FOR: TimeDelta = TimeDelta::seconds(30);

/// Longest message of an error that is kept, in bytes, so that a beat stays one write unit (1 KB).
const MESSAGE_BYTES: usize = 400;

/// Refused partitions that are named.
const NAMED: usize = 3;

/// What a function copies a batch for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyWork {
    /// What was there when the copy began.
    Seed,
    /// Whatever arrives.
    Tail,
}

impl CopyWork {
    /// The name as stored and printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seed => "seed",
            Self::Tail => "tail",
        }
    }
}

/// How a function's work goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Health {
    /// It has just begun: what kept the one before it from going on stays on record.
    #[default]
    Unproven,
    /// Everything that was tried last was done.
    Well,
    /// This keeps it, or some of its partitions, from going on; it is tried again.
    Failing(Error),
}

/// A sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// What the function works on.
    pub work: CopyWork,
    /// How that goes.
    pub health: Health,
    /// Partitions of which the target takes nothing for the moment.
    pub refused: Vec<TopicPartition>,
}

/// What kept a function from going on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// Kind of the error.
    pub kind: ErrorKind,
    /// Its message, cut where it was long.
    pub message: String,
    /// When it was met last.
    #[serde(with = "clock::micros")]
    pub at: DateTime<Utc>,
}

/// Partitions of which the target takes nothing for the moment, at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// How many.
    pub count: usize,
    /// The first of them.
    pub first: Vec<TopicPartition>,
}

impl Refused {
    /// Counts and names; none when there are none.
    fn of(partitions: &[TopicPartition]) -> Option<Self> {
        let first = partitions.iter().take(NAMED).cloned().collect();
        (!partitions.is_empty()).then_some(Self { count: partitions.len(), first })
    }
}

/// What is known of the function that copies a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// When it beat last; never, when every invocation failed before it had taken the batch.
    #[serde(with = "clock::micros_option")]
    pub at: Option<DateTime<Utc>>,
    /// Epoch of its claim; 0 without a beat.
    pub epoch: u64,
    /// Who it is, for people.
    pub owner: String,
    /// What it worked on; none without a beat.
    pub work: Option<CopyWork>,
    /// What keeps it, or kept the last one, from going on. Gone once something was done after it.
    pub error: Option<LastError>,
    /// Partitions of which the target takes nothing.
    pub refused: Option<Refused>,
}

impl Heartbeat {
    /// Whether a function copied the batch at `now`, as far as can be told: its last beat is younger than [`ALIVE_FOR`].
    pub fn is_alive(&self, now: DateTime<Utc>) -> bool {
        // One of the future is of a clock that is ahead.
        self.at.is_some_and(|at| now - at < ALIVE_FOR)
    }
}

/// [`Heartbeat`] in the table.
#[derive(Deserialize)]
struct HeartbeatItem {
    #[serde(default)]
    at: Option<DateTime<Utc>>,
    #[serde(default)]
    epoch: u64,
    #[serde(default)]
    owner: String,
    #[serde(default)]
    work: Option<CopyWork>,
    error_kind: Option<ErrorKind>,
    error_message: Option<String>,
    error_at: Option<DateTime<Utc>>,
    refused: Option<String>,
}

impl Journal {
    /// Tells that the holder of `lease` is at work. Says whether that was stored: not when a newer claim has beaten already.
    pub async fn beat(&self, lease: &Lease, beat: &Beat) -> Result<bool> {
        let write = Write::to(self.heartbeat_key(lease.batch))
            .set("at", self.now())
            .set("epoch", lease.epoch)
            .set("owner", lease.owner.as_str())
            .set("work", beat.work.name())
            .if_at_most("epoch", lease.epoch);
        let write = match Refused::of(&beat.refused) {
            Some(refused) => write.set("refused", serde_json::json!(refused).to_string().as_str()),
            None => write.remove("refused"),
        };
        let write = match &beat.health {
            Health::Unproven => write,
            Health::Well => write.remove("error_kind").remove("error_message").remove("error_at"),
            Health::Failing(error) => self.with_error(write, error),
        };
        Ok(self.update("store a sign of life", write).await?.is_some())
    }

    /// Records what an invocation ended with that was to copy `batch`, whether it had taken the batch or not. A newer one that
    /// is at work forgets it with its next beat.
    pub async fn note_failure(&self, batch: BatchId, error: &Error) -> Result<()> {
        let write = self.with_error(Write::to(self.heartbeat_key(batch)), error);
        self.update("store why a copy ended", write).await?;
        Ok(())
    }

    fn with_error(&self, write: Write, error: &Error) -> Write {
        let message = cut(&error.to_string());
        write.set("error_kind", error.kind.name()).set("error_message", message.as_str()).set("error_at", self.now())
    }

    /// What is known of the functions of several batches, in the order of `batches`; nothing of one that never began.
    pub async fn heartbeats(
        &self,
        batches: impl IntoIterator<Item = BatchId>,
    ) -> Result<Vec<(BatchId, Option<Heartbeat>)>> {
        let reads = batches.into_iter().map(|batch| async move { Ok((batch, self.heartbeat(batch).await?)) });
        stream::iter(reads).buffered(BATCHES_IN_FLIGHT).try_collect().await
    }

    async fn heartbeat(&self, batch: BatchId) -> Result<Option<Heartbeat>> {
        let item = self.get("read a sign of life", &self.heartbeat_key(batch)).await?;
        let Some(item) = item.map(|item| self.read::<HeartbeatItem>(item)).transpose()? else { return Ok(None) };
        let HeartbeatItem { at, epoch, owner, work, error_kind, error_message, error_at, refused } = item;
        let error = match (error_kind, error_message, error_at) {
            (Some(kind), Some(message), Some(at)) => Some(LastError { kind, message, at }),
            _ => None,
        };
        let refused = refused.map(|text| self.json("refused partitions", &text)).transpose()?;
        Ok(Some(Heartbeat { at, epoch, owner, work, error, refused }))
    }
}

/// `message`, at most [`MESSAGE_BYTES`] of it.
fn cut(message: &str) -> String {
    if message.len() <= MESSAGE_BYTES {
        return message.to_owned();
    }
    let end = (0..=MESSAGE_BYTES).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
    format!("{} ...", &message[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_counts_for_half_a_minute() {
        let now = DateTime::from_timestamp(1_777_097_707, 0).unwrap();
        let beat = |at| Heartbeat { at, epoch: 1, owner: String::new(), work: None, error: None, refused: None };
        let aged = |seconds| beat(Some(now - TimeDelta::seconds(seconds))).is_alive(now);
        assert!(aged(0) && aged(29) && !aged(30) && !aged(3600));
        assert!(aged(-120), "a function whose clock is ahead is alive all the same");
        assert!(!beat(None).is_alive(now));
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = cut(&"ä".repeat(500));
        assert!(long.ends_with("ä ...") && long.len() <= MESSAGE_BYTES + 4, "{long}");
    }

    #[test]
    fn refused_partitions_are_counted_and_the_first_named() {
        assert_eq!(Refused::of(&[]), None);
        let many: Vec<_> = (0..7).map(|number| TopicPartition::new("t", number)).collect();
        let refused = Refused::of(&many).unwrap();
        assert_eq!((refused.count, refused.first.len()), (7, NAMED));
    }
}
