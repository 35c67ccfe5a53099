//! The comparison of one partition.

pub(crate) mod counts;
pub(crate) mod lookup;
pub(crate) mod sentinel;
pub(crate) mod spot;

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka::Cluster;
use migration::progress::PartitionProgress;
use migration::{Config, MigrationId, Result, TopicPartition};
use offsets::store as runs_store;
use runtime::Store;

use crate::check::Problem;
use crate::policy::Policy;
use crate::results::{Counts, PartitionResult, Sentinels, Spot};
use crate::second::Second;

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
    /// High watermark and last stable offset of the partitions the source has.
    pub(crate) source_ends: BTreeMap<TopicPartition, (i64, i64)>,
    /// What the topics that the target has may remove.
    pub(crate) policies: BTreeMap<Arc<str>, Policy>,
    /// Partitions that the target has.
    pub(crate) on_target: std::collections::BTreeSet<TopicPartition>,
    /// Source offsets of the sentinels.
    pub(crate) sentinels: BTreeMap<TopicPartition, Vec<i64>>,
}

impl Bench<'_> {
    /// Compares one partition.
    ///
    /// # Errors
    /// Transient when a cluster or the store could not be asked; Internal or Blocked for lost or damaged offset runs.
    pub(crate) async fn compare(&self, progress: &PartitionProgress) -> Result<PartitionResult> {
        let partition = &progress.partition;
        if !self.on_target.contains(partition) {
            return Ok(missing_on_target(progress));
        }
        let policy = self.policies.get(&partition.topic).cloned().unwrap_or_default();
        let runs = runs_store::load(self.store, progress).await?;
        let counts = counts::count(self, progress, &policy).await?;
        let spot = match self.source_ends.contains_key(partition) {
            true => spot::compare(self, progress, &runs, &policy).await?,
            false => Spot::default(),
        };
        let sentinels = sentinel::look(self, progress, &runs, &policy).await?;
        Ok(PartitionResult { partition: partition.clone(), counts, spot, sentinels })
    }
}

fn missing_on_target(progress: &PartitionProgress) -> PartitionResult {
    let problem = Problem::failed(&progress.partition, "the target does not have this partition");
    let counts = Counts {
        expected: progress.target_next,
        source_next: progress.source_next,
        problems: vec![problem.clone()],
        ..Counts::default()
    };
    let sentinels = Sentinels { checked: 0, problems: vec![problem] };
    PartitionResult { partition: progress.partition.clone(), counts, spot: Spot::default(), sentinels }
}
