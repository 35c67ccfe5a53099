//! Bucket and journal, without the way to them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use documents::{Object, PutOnce};
use journal::{Beat, Claimed, Health, Lease, TailWanted};
use migration::progress::PartitionProgress;
use migration::{BatchId, Error, Phase, Result, TopicPartition};

/// Objects by name.
#[derive(Debug, Default)]
pub(crate) struct Objects(BTreeMap<String, Object>);

impl Objects {
    pub(crate) fn put(&mut self, name: &str, body: Bytes) {
        self.0.insert(name.to_owned(), Object { body, metadata: HashMap::new() });
    }

    pub(crate) fn put_once(&mut self, name: &str, body: Bytes, metadata: HashMap<String, String>) -> PutOnce {
        if self.0.contains_key(name) {
            return PutOnce::Taken;
        }
        self.0.insert(name.to_owned(), Object { body, metadata });
        PutOnce::Stored
    }

    pub(crate) fn get(&self, name: &str) -> Option<Object> {
        self.0.get(name).cloned()
    }
}

/// A batch's item and the migration's control items, under the conditions of `journal::batch`.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) phase: Phase,
    pub(crate) wanted: TailWanted,
    pub(crate) partitions: Vec<PartitionProgress>,
    /// Epoch of the claim that beat last, and what it said.
    pub(crate) heartbeat: Option<(u64, Health)>,
    pub(crate) epoch: u64,
    /// Every gap that a checkpoint ever named.
    pub(crate) gaps: BTreeSet<(TopicPartition, i64, i64)>,
    checkpoints: u64,
    tail_next: u64,
}

impl Item {
    pub(crate) const fn new(partitions: Vec<PartitionProgress>) -> Self {
        let (phase, wanted) = (Phase::Seed, TailWanted::Run);
        let gaps = BTreeSet::new();
        Self { phase, wanted, partitions, heartbeat: None, epoch: 0, gaps, checkpoints: 0, tail_next: 0 }
    }

    pub(crate) fn claim(&mut self, batch: BatchId, owner: &str) -> Claimed {
        self.epoch += 1;
        let lease = Lease { batch, epoch: self.epoch, owner: owner.to_owned(), checkpoints: self.checkpoints };
        Claimed { lease, partitions: self.partitions.clone(), tail_next: self.tail_next }
    }

    /// The conditional write; whether the condition held.
    pub(crate) fn write(&mut self, lease: &Lease, partitions: &[PartitionProgress], tail_next: u64) -> bool {
        let holds = self.epoch == lease.epoch && self.checkpoints == lease.checkpoints;
        if holds {
            self.checkpoints += 1;
            self.tail_next = tail_next;
            self.partitions = partitions.to_vec();
            let named = |one: &PartitionProgress| {
                let name = one.partition.clone();
                one.gaps.last.clone().into_iter().map(move |gap| (name.clone(), gap.from, gap.to))
            };
            self.gaps.extend(partitions.iter().flat_map(named));
        }
        holds
    }

    /// What entering a migration again does: partitions that stopped are tried anew, and whoever works on them is fenced.
    pub(crate) fn enter(&mut self) {
        let Claimed { lease, mut partitions, tail_next } = self.claim(BatchId(0), "enter");
        partitions.iter_mut().for_each(|progress| progress.stopped = None);
        self.write(&lease, &partitions, tail_next);
    }

    /// Why a write was refused: it may have been made already.
    pub(crate) fn check_replay(&self, lease: &Lease, partitions: &[PartitionProgress], tail_next: u64) -> Result<()> {
        self.check_lease(lease)?;
        let same =
            self.checkpoints == lease.checkpoints + 1 && self.tail_next == tail_next && self.partitions == partitions;
        if same { Ok(()) } else { Err(Error::data_unsafe("checkpointed by somebody else under the same claim")) }
    }

    /// A sign of life; whether it was taken: not behind that of a newer claim.
    pub(crate) fn beat(&mut self, lease: &Lease, beat: &Beat) -> bool {
        let holds = self.heartbeat.as_ref().is_none_or(|(epoch, _)| *epoch <= lease.epoch);
        if holds {
            self.heartbeat = Some((lease.epoch, beat.health.clone()));
        }
        holds
    }

    pub(crate) fn check_lease(&self, lease: &Lease) -> Result<()> {
        if self.epoch == lease.epoch { Ok(()) } else { Err(Error::fenced("claimed again")) }
    }
}
