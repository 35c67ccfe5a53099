//! Which partitions are to be compared, and for how long a comparison stands.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use clock::Clock;
use documents::Objects;
use documents::deleted_keys::{ComparedKeys, DeletedKeys, key};
use kafka::{OffsetSpec, TopicPartition};
use migration::progress::PartitionProgress;
use migration::{BatchId, Result};

use super::found::compacted;
use crate::engine::Reached;
use crate::ports::{Source, Target};

/// Most keys that are held at the same time: some 160 MB.
const MAX_KEYS: usize = 2_000_000;

/// How often it is looked whether partitions are followed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often it is looked whether partitions have become compacted, where none is.
const LOOK_FOR_COMPACTED: Duration = Duration::from_secs(60);

/// How long it is waited in one look until what is on the source is copied.
const MOMENTS: u32 = 30;
const MOMENT: Duration = Duration::from_millis(100);

/// How often it is stored that they are.
const SAVE_EVERY: TimeDelta = TimeDelta::seconds(60);

/// The shortest time between two stored looks that counts as a pause. Where deletions are kept for less, more than this is never
/// known, and precheck says so (`W32`).
const SHORTEST_PAUSE: TimeDelta = TimeDelta::seconds(120);

/// When keys that were found are looked for again: somebody may have deleted them on the source once more.
const AGAIN_AFTER: TimeDelta = TimeDelta::minutes(10);

/// How many functions may begin a comparison without coming to its end.
const MOST_BEGUN: u32 = 3;

/// What is known of each partition.
pub(super) type Known = BTreeMap<TopicPartition, ComparedKeys>;

/// The comparison of the compacted partitions of one batch, beside the tail.
pub(crate) struct KeyReview<'a, S, T, O> {
    pub(super) source: &'a S,
    pub(super) target: &'a T,
    pub(super) objects: &'a O,
    batch: BatchId,
    pub(super) clock: Clock,
    /// How far the copy is.
    pub(super) reached: Reached,
    /// Most keys held at the same time.
    pub(super) max_keys: usize,
}

impl<'a, S: Source, T: Target, O: Objects> KeyReview<'a, S, T, O> {
    /// Of `batch`, whose copy stands where `reached` says.
    pub(crate) fn new(
        (source, target, objects): (&'a S, &'a T, &'a O),
        batch: BatchId,
        clock: Clock,
        reached: Reached,
    ) -> Self {
        Self { source, target, objects, batch, clock, reached, max_keys: MAX_KEYS }
    }

    /// Compares those of `partitions` that are compacted on the source once the copy has caught up with it, and again when it was
    /// behind for longer than the source keeps a deletion. Does not end.
    pub(crate) async fn run(&self, partitions: Vec<PartitionProgress>) {
        loop {
            // What could not be stored is forgotten: the next look begins with what is.
            let Err(error) = self.look_on(&partitions).await;
            tracing::warn!(batch = %self.batch, "keys are compared later: {error}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Looks again and again, as long as nothing fails.
    async fn look_on(&self, partitions: &[PartitionProgress]) -> Result<std::convert::Infallible> {
        let mut known = None;
        loop {
            let pause = if self.look(partitions, &mut known).await? { LOOK_EVERY } else { LOOK_FOR_COMPACTED };
            tokio::time::sleep(pause).await;
        }
    }

    /// Compares what is to be compared now; whether there are compacted partitions. `known` is what is stored, as soon as it was
    /// read: no other function compares this batch.
    ///
    /// # Errors
    /// When a cluster or the bucket cannot be asked.
    pub(super) async fn look(&self, partitions: &[PartitionProgress], known: &mut Option<Known>) -> Result<bool> {
        let kept = self.deletions_kept(partitions).await?;
        if kept.is_empty() {
            return Ok(false);
        }
        let known = match known {
            Some(known) => known,
            None => known.insert(self.stored().await?),
        };
        let followed = self.follow(&kept, known).await?;
        for progress in partitions.iter().filter(|progress| followed.contains(&progress.partition)) {
            let begun = match known.get(&progress.partition) {
                Some(known) if !self.is_due(known) => continue,
                known => known.map_or(0, |known| known.begun) + 1,
            };
            let outcome = self.compare_following(progress, begun, &kept, known).await;
            match outcome {
                Err(error) if error.kind.is_retryable() => {
                    tracing::warn!(partition = %progress.partition, "keys are compared later: {error}");
                    // It may be that this could not be stored.
                    *known = self.stored().await?;
                }
                outcome => outcome?,
            }
        }
        Ok(true)
    }

    /// Whether a partition is to be compared again: there is no result, or one that somebody may have mended.
    fn is_due(&self, known: &ComparedKeys) -> bool {
        known.is_unfinished() || (known.deleted > 0 && self.clock.now() - known.at >= AGAIN_AFTER)
    }

    /// Compares one partition, notes meanwhile that the others are followed, and stores what was found.
    async fn compare_following(
        &self,
        progress: &PartitionProgress,
        begun: u32,
        kept: &BTreeMap<TopicPartition, TimeDelta>,
        known: &mut Known,
    ) -> Result<()> {
        let partition = &progress.partition;
        let mut provisional = ComparedKeys::begun(partition.clone(), self.clock.now(), begun);
        let is_new = known.get(partition).is_none_or(|known| known.deleted == 0);
        if begun > MOST_BEGUN {
            provisional.failed = Some(format!("no function came to its end in {MOST_BEGUN} attempts"));
        }
        if is_new {
            known.insert(partition.clone(), provisional);
            self.save(known).await?;
        }
        if begun > MOST_BEGUN {
            return Ok(());
        }
        let compare = self.compare(progress);
        tokio::pin!(compare);
        let compared = loop {
            tokio::select! {
                biased;
                compared = &mut compare => break compared,
                () = tokio::time::sleep(LOOK_EVERY) => drop(self.follow(kept, known).await?),
            }
        };
        match compared {
            Ok(compared) => drop(known.insert(partition.clone(), compared)),
            Err(error) => {
                // It did not take too long.
                if let Some(known) = known.get_mut(partition).filter(|known| known.is_unfinished()) {
                    known.begun = begun - 1;
                }
                if begun == 1 && is_new {
                    known.remove(partition);
                }
                self.save(known).await?;
                return Err(error);
            }
        }
        self.save(known).await
    }

    /// Forgets of `known` what was behind for too long, and notes what is followed, which is returned.
    async fn follow(
        &self,
        kept: &BTreeMap<TopicPartition, TimeDelta>,
        known: &mut Known,
    ) -> Result<Vec<TopicPartition>> {
        let now = self.clock.now();
        let before = known.clone();
        let followed = self.followed(kept.keys().cloned().collect()).await;
        known.retain(|name, one| {
            let stands = |kept: &TimeDelta| now - one.followed_until <= (*kept).max(SHORTEST_PAUSE);
            one.begun > 0 && kept.contains_key(name) || kept.get(name).is_some_and(stands)
        });
        for name in &followed {
            let due = |one: &&mut ComparedKeys| now - one.followed_until >= SAVE_EVERY;
            if let Some(one) = known.get_mut(name).filter(due) {
                one.followed_until = now;
            }
        }
        if *known != before {
            self.save(known).await?;
        }
        Ok(followed)
    }

    /// Those of `partitions` of which everything that is on the source now is copied, or is so in a moment: where producers are at
    /// work a copy is never at the end.
    async fn followed(&self, partitions: Vec<TopicPartition>) -> Vec<TopicPartition> {
        let ends = self.source.list_offsets(&partitions, OffsetSpec::LastStable).await;
        // Of one that does not answer nothing is known.
        let ends: Vec<_> = ends.into_iter().filter_map(|(name, end)| Some((name, end.ok()?))).collect();
        let is_followed = |(name, end): &(TopicPartition, i64)| self.reached.of(name) >= *end;
        for _ in 0..MOMENTS {
            if ends.iter().all(is_followed) {
                break;
            }
            tokio::time::sleep(MOMENT).await;
        }
        ends.into_iter().filter(is_followed).map(|(name, _)| name).collect()
    }

    /// What earlier looks found, those of other functions too.
    async fn stored(&self) -> Result<Known> {
        let stored: Option<DeletedKeys> = documents::read_if_there(self.objects, &key(self.batch)).await?;
        Ok(stored.unwrap_or_default().by_partition())
    }

    async fn save(&self, known: &Known) -> Result<()> {
        let document = DeletedKeys { partitions: known.values().cloned().collect() };
        documents::write(self.objects, &key(self.batch), &document).await
    }

    /// How long the source keeps a deletion at least, for each of `partitions` that is compacted there.
    async fn deletions_kept(&self, partitions: &[PartitionProgress]) -> Result<BTreeMap<TopicPartition, TimeDelta>> {
        let topics = partitions.iter().map(|progress| progress.partition.topic.clone()).collect();
        let compacted = compacted(self.source, topics).await?;
        let kept = |progress: &PartitionProgress| {
            Some((progress.partition.clone(), *compacted.get(&progress.partition.topic)?))
        };
        Ok(partitions.iter().filter_map(kept).collect())
    }
}
