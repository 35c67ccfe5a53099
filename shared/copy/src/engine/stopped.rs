//! Partitions that cannot go on, known to all stages of a copy.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use migration::TopicPartition;

/// A set that the stages share. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Stopped(Arc<Mutex<BTreeSet<TopicPartition>>>);

impl Stopped {
    /// Adds a partition.
    pub(super) fn stop(&self, partition: &TopicPartition) {
        self.lock().insert(partition.clone());
    }

    /// Whether a partition was added.
    pub(super) fn contains(&self, partition: &TopicPartition) -> bool {
        self.lock().contains(partition)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<TopicPartition>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
