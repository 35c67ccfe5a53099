//! Partitions that cannot go on, and those that wait for the target, known to all stages of a copy.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use migration::TopicPartition;

/// Sets that the stages share. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Stopped(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    stopped: BTreeSet<TopicPartition>,
    paused: BTreeSet<TopicPartition>,
}

impl Stopped {
    /// Stops a partition for good.
    pub(super) fn stop(&self, partition: &TopicPartition) {
        self.lock().stopped.insert(partition.clone());
    }

    /// Whether a partition was stopped.
    pub(super) fn contains(&self, partition: &TopicPartition) -> bool {
        self.lock().stopped.contains(partition)
    }

    /// Lets nothing more be read of a partition for now.
    pub(super) fn pause(&self, partition: &TopicPartition) {
        self.lock().paused.insert(partition.clone());
    }

    /// Lets a partition be read on.
    pub(super) fn go_on(&self, partition: &TopicPartition) {
        self.lock().paused.remove(partition);
    }

    /// Whether a partition is to be read: neither stopped nor paused.
    pub(super) fn is_read(&self, partition: &TopicPartition) -> bool {
        let state = self.lock();
        !state.stopped.contains(partition) && !state.paused.contains(partition)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
