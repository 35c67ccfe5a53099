//! The comparison of one partition.

use std::time::Duration;

use tokio::time::Instant;

use documents::Objects;
use documents::deleted_keys::{ComparedKeys, LISTED};
use kafka::{OffsetSpec, TopicPartition};
use migration::progress::PartitionProgress;
use migration::{Error, Result};
use offsets::OffsetMap;

use super::read::{OnSource, OnTarget, each_record};
use super::review::KeyReview;
use super::share::Share;
use crate::ports::{Brokers, Source, Target};

/// How long it is waited until what is on the source has come to lie on the target.
const LANDED_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl<S: Source, T: Target, O: Objects> KeyReview<'_, S, T, O> {
    /// Compares one partition.
    ///
    /// # Errors
    /// When a cluster or the bucket cannot be asked for a passing reason. What does not pass is in the result.
    pub(super) async fn compare(&self, progress: &PartitionProgress) -> Result<ComparedKeys> {
        let partition = &progress.partition;
        let began = self.clock.now();
        let target_end = self.offset(self.target, partition, OffsetSpec::Latest).await?;
        let outcome = self.living_on_target_alone(progress, target_end).await;
        let (live, offsets, failed) = match outcome {
            Ok((live, offsets)) => (live, offsets, None),
            Err(error) if error.kind.is_retryable() => return Err(error.at(partition)),
            Err(error) => (0, Vec::new(), Some(error.to_string())),
        };
        if !offsets.is_empty() {
            tracing::error!(%partition, keys = offsets.len(), "keys live on the target alone: their deletion was not copied");
        }
        let deleted = offsets.len() as u64;
        let offsets = offsets.into_iter().take(LISTED).collect();
        let at = self.clock.now();
        let followed_until = began;
        Ok(ComparedKeys {
            partition: partition.clone(),
            at,
            followed_until,
            target_end,
            live,
            deleted,
            offsets,
            failed,
            begun: 0,
        })
    }

    /// How many keys live below `target_end`, and target offsets of those of which the source has nothing.
    async fn living_on_target_alone(&self, progress: &PartitionProgress, target_end: i64) -> Result<(u64, Vec<i64>)> {
        let mut shares = 1;
        loop {
            if let Some(found) = self.in_shares(progress, target_end, shares).await? {
                return Ok(found);
            }
            shares *= 2;
        }
    }

    /// The same, share by share; `None` when one of `shares` has too many keys.
    async fn in_shares(
        &self,
        progress: &PartitionProgress,
        target_end: i64,
        shares: u64,
    ) -> Result<Option<(u64, Vec<i64>)>> {
        let (mut live, mut alone) = (0, Vec::new());
        for part in 0..shares {
            let Some(share) = self.on_target(&progress.partition, target_end, Share::new(part, shares)).await? else {
                return Ok(None);
            };
            live += share.len() as u64;
            alone.extend(self.without_the_sources(progress, target_end, share).await?);
        }
        alone.sort_unstable();
        Ok(Some((live, alone)))
    }

    /// The keys of `share` that live on the target below `end`; `None` when they are too many.
    async fn on_target(&self, partition: &TopicPartition, end: i64, mut share: Share) -> Result<Option<Share>> {
        let are_few = each_record(&OnTarget(self.target), partition, 0, end, |record| {
            share.on_target(record);
            share.len() <= self.max_keys
        })
        .await?;
        Ok(are_few.then_some(share))
    }

    /// Target offsets of those keys of `share` of which neither the source has a record, nor the target behind `target_end`.
    async fn without_the_sources(
        &self,
        progress: &PartitionProgress,
        target_end: i64,
        mut share: Share,
    ) -> Result<Vec<i64>> {
        let partition = &progress.partition;
        let start = self.offset(self.source, partition, OffsetSpec::Earliest).await?;
        let end = self.offset(self.source, partition, OffsetSpec::LastStable).await?;
        each_record(&OnSource(self.source), partition, start, end, |record| {
            share.elsewhere(record);
            true
        })
        .await?;
        if share.is_empty() {
            return Ok(Vec::new());
        }
        // What was read last may be gone already because of what came behind it.
        let now = self.offset(self.source, partition, OffsetSpec::LastStable).await?;
        let until = Instant::now() + LANDED_WITHIN;
        while self.reached.of(partition) < now {
            if Instant::now() >= until {
                return Err(Error::transient("the copy is not at the end of the source").at(partition));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let landed = self.offset(self.target, partition, OffsetSpec::Latest).await?;
        each_record(&OnTarget(self.target), partition, target_end, landed, |record| {
            share.elsewhere(record);
            true
        })
        .await?;
        self.not_deleted_by_start(progress, share.into_offsets(), start).await
    }

    /// Those of `offsets` whose records the source has not removed because its log starts behind them, at `start`: that is its
    /// retention, which the target has too.
    async fn not_deleted_by_start(
        &self,
        progress: &PartitionProgress,
        offsets: Vec<i64>,
        start: i64,
    ) -> Result<Vec<i64>> {
        if start == 0 || offsets.is_empty() {
            return Ok(offsets);
        }
        let newest = self.reached.progress(&progress.partition);
        let progress = newest.as_ref().unwrap_or(progress);
        let mut map = OffsetMap::open(self.objects, progress).await?;
        let mut kept = Vec::new();
        for offset in offsets {
            match map.source_of(offset).await? {
                Some(source) if source < start => {}
                // Copied since, so that it lies behind all that the map knows.
                None if start > progress.source_next => {
                    return Err(Error::transient("the map of offsets is older than the log").at(&progress.partition));
                }
                _ => kept.push(offset),
            }
        }
        Ok(kept)
    }

    pub(super) async fn offset(
        &self,
        cluster: &impl Brokers,
        partition: &TopicPartition,
        spec: OffsetSpec,
    ) -> Result<i64> {
        let answer = cluster.list_offsets(std::slice::from_ref(partition), spec).await.pop();
        match answer {
            Some((_, offset)) => Ok(offset?),
            None => Err(Error::transient("a broker left a partition out").at(partition)),
        }
    }
}
