//! Partitions of which the target takes nothing for the moment, because too few replicas are in sync for example. What was read
//! of them waits here, in the order in which it was stored, while the others of the batch go on; it is tried again from time to
//! time, and nothing more is read of them until it is on the target.
//!
//! What waits was read before the target refused its beginning, so that it is no more than all stages hold at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use journal::Position;
use migration::{Error, Result, TopicPartition};
use tokio::time::Instant;

use crate::slice::Slice;

/// Pause before what waits is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// A try may take at most one in so many parts of the time, since nothing else is written meanwhile.
const SHARE: u32 = 5;

/// What waits of one partition.
#[derive(Debug)]
struct Waiting {
    slice: Slice,
    /// Why the target took nothing the last time.
    cause: Error,
}

/// What waits.
#[derive(Debug)]
pub(super) struct Aside {
    partitions: BTreeMap<TopicPartition, Waiting>,
    /// When it is tried again.
    due: Instant,
}

impl Aside {
    /// Nothing.
    pub(super) fn new() -> Self {
        Self { partitions: BTreeMap::new(), due: Instant::now() }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Whether something of `partition` does.
    pub(super) fn contains(&self, partition: &TopicPartition) -> bool {
        self.partitions.contains_key(partition)
    }

    /// Where what waits of `partition` ends.
    pub(super) fn end(&self, partition: &TopicPartition) -> Option<Position> {
        self.partitions.get(partition).map(|waiting| waiting.slice.to)
    }

    /// The partitions, and why the first of them waits; none when nothing does.
    pub(super) fn cause(&self) -> Option<(Vec<TopicPartition>, Error)> {
        let first = self.partitions.values().next()?;
        Some((self.partitions.keys().cloned().collect(), first.cause.clone()))
    }

    /// What waits, for the bucket.
    pub(super) fn slices(&self) -> impl Iterator<Item = &Slice> + Clone {
        self.partitions.values().map(|waiting| &waiting.slice)
    }

    /// Sets a slice aside because of `cause`.
    pub(super) fn put(&mut self, slice: Slice, cause: Error) {
        if self.partitions.is_empty() {
            self.due = Instant::now() + RETRY_AFTER;
        }
        self.partitions.insert(slice.partition.clone(), Waiting { slice, cause });
    }

    /// Appends what was stored next of a partition that waits.
    ///
    /// # Errors
    /// Internal when it does not join.
    pub(super) fn join(&mut self, slice: Slice) -> Result<()> {
        match self.partitions.get_mut(&slice.partition) {
            Some(waiting) => waiting.slice.join(slice),
            None => Err(Error::internal("nothing waits of this partition").at(&slice.partition)),
        }
    }

    /// Takes everything for another try.
    pub(super) fn take(&mut self) -> Vec<Slice> {
        std::mem::take(&mut self.partitions).into_values().map(|waiting| waiting.slice).collect()
    }

    /// Says that a try has just ended that took `length`.
    pub(super) fn tried(&mut self, length: Duration) {
        self.due = Instant::now() + RETRY_AFTER.max(length * (SHARE - 1));
    }

    /// Waits until it is time for another try; for ever while nothing waits.
    pub(super) async fn due(&self) {
        match self.is_empty() {
            false => tokio::time::sleep_until(self.due).await,
            true => std::future::pending().await,
        }
    }
}
