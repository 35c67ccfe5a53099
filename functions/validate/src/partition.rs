//! The comparison of one partition.

pub(crate) mod counts;
pub(crate) mod late;
pub(crate) mod lookup;
pub(crate) mod sentinel;
pub(crate) mod spot;

use std::collections::BTreeMap;
use std::sync::Arc;

use documents::deleted_keys::ComparedKeys;
use kafka::Cluster;
use migration::progress::PartitionProgress;
use migration::{Config, MigrationId, Result, TopicPartition};
use offsets::OffsetMap;
use runtime::Store;

use crate::policy::Policy;
use crate::presence::Presence;
use crate::recount::Count;
use crate::reference::Reference;
use crate::results::{PartitionResult, Spot};
use crate::second::Second;
use crate::switch::Switch;
use late::Repaired;

/// What has become of a partition's topic on both sides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sides {
    /// On the source.
    pub(crate) source: Presence,
    /// On the target.
    pub(crate) target: Presence,
}

/// What is known before the partitions of a batch are compared.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    /// The migration.
    pub(crate) id: &'a MigrationId,
    /// What to compare.
    pub(crate) config: &'a Config,
    /// Where offset runs lie.
    pub(crate) store: &'a Store,
    /// The source.
    pub(crate) source: Cluster,
    /// The target, through the client that copied.
    pub(crate) target: Cluster,
    /// The target, through the other one.
    pub(crate) second: Second,
    /// What the cutover has decided.
    pub(crate) reference: Arc<Reference>,
    /// Since when clients may be on the target.
    pub(crate) switch: Switch,
    /// What has become of the topics.
    pub(crate) sides: BTreeMap<Arc<str>, Sides>,
    /// High watermark and last stable offset of the partitions the source has.
    pub(crate) source_ends: BTreeMap<TopicPartition, (i64, i64)>,
    /// What the source's topics may remove.
    pub(crate) source_policies: BTreeMap<Arc<str>, Policy>,
    /// What the target's topics may remove, or might have removed since the cutover.
    pub(crate) target_policies: BTreeMap<Arc<str>, Policy>,
    /// Late records that somebody has appended.
    pub(crate) repaired: Repaired,
    /// Compacted partitions as they were compared by key before the cutover.
    pub(crate) keys: BTreeMap<TopicPartition, ComparedKeys>,
    /// The records of the target as they were counted; nothing when they are not to be.
    pub(crate) counted: BTreeMap<TopicPartition, Count>,
}

impl Bench<'_> {
    /// Compares one partition. Needs memory for one part of its offset runs, however many there are.
    ///
    /// # Errors
    /// Transient when a cluster or the store could not be asked; Internal or Blocked for lost or damaged offset runs.
    pub(crate) async fn compare(&self, progress: &PartitionProgress) -> Result<PartitionResult> {
        let partition = &progress.partition;
        let absent = Sides { source: Presence::Deleted, target: Presence::Deleted };
        let sides = self.sides.get(&partition.topic).copied().unwrap_or(absent);
        let end = self.reference.ends.get(partition);
        let mut map = OffsetMap::open(self.store, progress).await?;
        let counts = counts::count(self, progress, end, sides).await?;
        let spot = match (sides.source, sides.target) {
            (Presence::There, Presence::There) => spot::compare(self, progress, &mut map).await?,
            _ => Spot::default(),
        };
        let sentinels = sentinel::look(self, progress, end, sides, &mut map).await?;
        Ok(PartitionResult { partition: partition.clone(), counts, spot, sentinels })
    }

    /// Whether the target has the topic of `partition` as it was copied.
    pub(crate) fn is_on_target(&self, partition: &TopicPartition) -> bool {
        self.sides.get(&partition.topic).is_some_and(|sides| sides.target == Presence::There)
    }

    fn source_policy(&self, partition: &TopicPartition) -> Policy {
        self.source_policies.get(&partition.topic).cloned().unwrap_or_default()
    }

    fn target_policy(&self, partition: &TopicPartition) -> Policy {
        self.target_policies.get(&partition.topic).cloned().unwrap_or_default()
    }
}
