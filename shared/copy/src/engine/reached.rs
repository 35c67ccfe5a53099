//! How far the copy of each partition is on the source, for those who work beside it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use migration::TopicPartition;
use migration::progress::PartitionProgress;

/// Where the partitions of a batch are. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reached(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Source offsets that they are copied up to.
    next: BTreeMap<TopicPartition, i64>,
    /// Their progress as the journal has it.
    saved: BTreeMap<TopicPartition, PartitionProgress>,
}

impl Reached {
    /// Notes that `partition` is copied up to the source offset `next`.
    pub(crate) fn note(&self, partition: &TopicPartition, next: i64) {
        self.lock().next.insert(partition.clone(), next);
    }

    /// The source offset that `partition` is copied up to, 0 when nothing is known of it.
    pub(crate) fn of(&self, partition: &TopicPartition) -> i64 {
        self.lock().next.get(partition).copied().unwrap_or(0)
    }

    /// Notes what the journal has.
    pub(crate) fn saved<'p>(&self, partitions: impl Iterator<Item = &'p PartitionProgress>) {
        self.lock().saved.extend(partitions.map(|progress| (progress.partition.clone(), progress.clone())));
    }

    /// The progress of `partition` as the journal has it.
    pub(crate) fn progress(&self, partition: &TopicPartition) -> Option<PartitionProgress> {
        self.lock().saved.get(partition).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
