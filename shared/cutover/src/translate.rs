//! Every committed offset's place on the target, by lookups in the offset runs: one partition after the other, so that memory
//! does not grow with the number of runs.

use std::collections::BTreeMap;

use documents::Objects;
use documents::cutover_plan::{GroupPlan, PlannedOffset};
use futures::{StreamExt, TryStreamExt, stream};
use kafka::CommittedOffset;
use migration::progress::PartitionProgress;
use migration::{Result, TopicPartition};
use offsets::{OffsetMap, Place};

use crate::drain::Drained;
use crate::groups::{Snapshot, Wanted};
use crate::metadata;

/// Partitions looked up at the same time. Each keeps a part of its runs in memory, two while it goes on to the next one:
/// 262,144 runs of 24 bytes each.
const AT_ONCE: usize = 8;

/// Where the committed offsets of a partition are on the target.
type Found = BTreeMap<i64, (i64, Place)>;

/// Translates the offsets of `snapshot` by the runs that `drained` refers to. Every group is in the result, by id.
///
/// # Errors
/// When offset runs are missing or damaged; otherwise those of the bucket.
pub(crate) async fn translate(objects: &impl Objects, snapshot: Snapshot, drained: &Drained) -> Result<Vec<GroupPlan>> {
    let mut wanted: BTreeMap<&TopicPartition, Vec<i64>> = BTreeMap::new();
    for offset in snapshot.wanted.values().flat_map(|group| &group.offsets) {
        if drained.contains_key(&offset.partition) {
            wanted.entry(&offset.partition).or_default().push(offset.offset);
        }
    }
    let lookups = wanted.into_iter().filter_map(|(partition, offsets)| Some((drained.get(partition)?, offsets)));
    let lookups =
        stream::iter(lookups.collect::<Vec<_>>()).map(|(progress, offsets)| look_up(objects, progress, offsets));
    let found: BTreeMap<TopicPartition, Found> = lookups.buffer_unordered(AT_ONCE).try_collect().await?;
    let mut groups = snapshot.skipped;
    for (group, Wanted { offsets, outside, skipped }) in snapshot.wanted {
        let offsets = offsets.into_iter().map(|offset| place(offset, &found, drained)).collect();
        groups.push(GroupPlan { group, skipped, offsets, outside });
    }
    groups.sort_by(|a, b| a.group.cmp(&b.group));
    Ok(groups)
}

async fn look_up(
    objects: &impl Objects,
    progress: &PartitionProgress,
    mut offsets: Vec<i64>,
) -> Result<(TopicPartition, Found)> {
    // In ascending order each part is read once.
    offsets.sort_unstable();
    offsets.dedup();
    let mut map = OffsetMap::open(objects, progress).await?;
    let mut found = Found::new();
    for offset in offsets {
        found.insert(offset, map.find(offset).await?);
    }
    Ok((progress.partition.clone(), found))
}

fn place(offset: CommittedOffset, found: &BTreeMap<TopicPartition, Found>, drained: &Drained) -> PlannedOffset {
    let place = found.get(&offset.partition).and_then(|found| found.get(&offset.offset)).copied();
    let progress = drained.get(&offset.partition);
    let note = match place.zip(progress) {
        None => Some("the partition is not part of the migration".to_owned()),
        Some(((_, Place::BelowStart), progress)) => Some(format!(
            "below the source's log start {}; placed at the first record that was copied",
            progress.source_start
        )),
        Some(((_, Place::Beyond), progress)) => {
            Some(format!("beyond the source's end {}; placed at the end", progress.source_next))
        }
        Some(((target, _), _)) if target != offset.offset && metadata::may_speak_of_offsets(&offset.metadata) => {
            Some(metadata::SHIFTED.to_owned())
        }
        Some(_) => None,
    };
    let CommittedOffset { partition, offset: source_offset, metadata, .. } = offset;
    PlannedOffset { partition, source_offset, target_offset: place.map(|(target, _)| target), metadata, note }
}

#[cfg(test)]
mod tests {
    use super::*;
    use documents::Memory;
    use offsets::OffsetRuns;

    async fn placed(offset: i64) -> PlannedOffset {
        placed_with(offset, "").await
    }

    async fn placed_with(offset: i64, metadata: &str) -> PlannedOffset {
        let partition = TopicPartition::new("orders", 0);
        let mut runs = OffsetRuns::starting_at(0);
        runs.push(100, 10).unwrap();
        runs.push(115, 5).unwrap();
        let mut progress = PartitionProgress::new(partition.clone(), 100, 120);
        (progress.source_next, progress.runs_open) = (121, runs.to_text());
        let committed = CommittedOffset {
            partition: partition.clone(),
            offset,
            leader_epoch: Some(7),
            metadata: metadata.to_owned(),
        };
        let mut snapshot = Snapshot::default();
        snapshot.wanted.insert("g".to_owned(), Wanted { offsets: vec![committed], ..Wanted::default() });
        let drained = BTreeMap::from([(partition, progress)]);
        translate(&Memory::default(), snapshot, &drained).await.unwrap().remove(0).offsets.remove(0)
    }

    #[tokio::test]
    async fn an_offset_goes_to_the_next_record_a_consumer_would_read() {
        for (source, target) in [(100, 0), (109, 9), (110, 10), (117, 12), (121, 15)] {
            let placed = placed(source).await;
            assert_eq!((placed.target_offset, placed.note), (Some(target), None), "{source}");
        }
    }

    #[tokio::test]
    async fn an_offset_in_a_gap_goes_to_the_first_record_behind_it() {
        // What `topology.record_gap_of` leaves: nothing copied of 110 to 115, whatever the last of them is.
        for source in 110..=115 {
            let placed = placed(source).await;
            assert_eq!((placed.target_offset, placed.note), (Some(10), None), "{source}");
        }
    }

    #[tokio::test]
    async fn metadata_that_may_speak_of_offsets_is_noted_where_they_differ() {
        let placed = placed_with(109, "done 113").await;
        assert_eq!((placed.metadata.as_str(), placed.note.as_deref()), ("done 113", Some(metadata::SHIFTED)));
        let mut same = PartitionProgress::new(TopicPartition::new("orders", 0), 0, 9);
        same.source_next = 9;
        let committed = CommittedOffset {
            partition: same.partition.clone(),
            offset: 5,
            leader_epoch: None,
            metadata: "done 7".to_owned(),
        };
        let found = BTreeMap::from([(same.partition.clone(), Found::from([(5, (5, Place::Record))]))]);
        let drained = BTreeMap::from([(same.partition.clone(), same)]);
        assert_eq!(place(committed, &found, &drained).note, None);
    }

    #[tokio::test]
    async fn an_offset_outside_the_log_says_so() {
        let below = placed(3).await;
        assert_eq!(below.target_offset, Some(0));
        assert!(below.note.unwrap().contains("log start 100"));
        let beyond = placed(500).await;
        assert_eq!(beyond.target_offset, Some(15));
        assert!(beyond.note.unwrap().contains("end 121"));
    }
}
