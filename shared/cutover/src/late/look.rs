//! Which stretches of the source are late and are not on the target.

use std::collections::BTreeMap;

use documents::late_append::{self, Append, LateRemoved};
use migration::{Result, TopicPartition};

use super::ports::{Bounds, CopyEnd, Source};

/// Committed offsets of one partition that the target does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stretch {
    /// The partition.
    pub(super) partition: TopicPartition,
    /// The first offset.
    pub(super) from: i64,
    /// Behind the last one that is decided.
    pub(super) until: i64,
}

/// What one look at the source found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// What can be read.
    pub(super) stretches: Vec<Stretch>,
    /// What was removed before.
    pub(super) removed: Vec<LateRemoved>,
    /// Partitions of which something cannot be read, and why.
    pub(super) unreadable: BTreeMap<TopicPartition, String>,
}

/// Looks at the source for what is neither copied nor in one of `appends`.
///
/// # Errors
/// Those of asking the source.
pub(super) async fn look(source: &impl Source, copied: &[CopyEnd], appends: &[Append]) -> Result<Look> {
    let names: Vec<_> = copied.iter().map(|end| end.partition.clone()).collect();
    let mut bounds = source.bounds(&names).await?;
    let mut look = Look::default();
    for CopyEnd { partition, source_next, .. } in copied {
        let from = late_append::next_of(appends, partition).map_or(*source_next, |next| next.max(*source_next));
        match bounds.remove(partition) {
            Some(Ok(bounds)) => look.add(partition, from, bounds),
            Some(Err(why)) => _ = look.unreadable.insert(partition.clone(), why),
            None => {}
        }
    }
    Ok(look)
}

impl Look {
    fn add(&mut self, partition: &TopicPartition, from: i64, Bounds { start, stable, end }: Bounds) {
        let partition = partition.clone();
        if end < from {
            let why = format!(
                "the source ends at offset {end}, before {from} up to which it was copied: its topic was created anew, or an unclean \
                 leader election shortened it, so that what is late there cannot be told"
            );
            self.unreadable.insert(partition, why);
            return;
        }
        let first = from.max(start).min(end);
        if first > from {
            self.removed.push(LateRemoved { partition: partition.clone(), from, to: first });
        }
        if stable < end {
            let held = stable.max(first);
            let why = format!(
                "an open transaction holds offsets {held} to {end} of the source: whether their records count is not decided yet"
            );
            self.unreadable.insert(partition.clone(), why);
        }
        if stable > first {
            self.stretches.push(Stretch { partition, from: first, until: stable });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(start: i64, stable: i64, end: i64) -> Look {
        let mut look = Look::default();
        look.add(&TopicPartition::new("t", 0), 10, Bounds { start, stable, end });
        look
    }

    type Ranges = Vec<(i64, i64)>;

    fn ranges(look: &Look) -> (Ranges, Ranges, usize) {
        let stretches = look.stretches.iter().map(|stretch| (stretch.from, stretch.until)).collect();
        (stretches, look.removed.iter().map(|removed| (removed.from, removed.to)).collect(), look.unreadable.len())
    }

    #[test]
    fn what_lies_behind_the_copy_is_late_and_what_was_removed_there_is_named() {
        assert_eq!(ranges(&found(0, 10, 10)), (vec![], vec![], 0));
        assert_eq!(ranges(&found(0, 15, 15)), (vec![(10, 15)], vec![], 0));
        assert_eq!(ranges(&found(12, 15, 15)), (vec![(12, 15)], vec![(10, 12)], 0));
        assert_eq!(ranges(&found(15, 15, 15)), (vec![], vec![(10, 15)], 0));
    }

    #[test]
    fn what_is_not_decided_or_another_log_is_said_in_words() {
        let open = found(0, 12, 15);
        assert_eq!(ranges(&open), (vec![(10, 12)], vec![], 1));
        assert!(open.unreadable.values().all(|why| why.contains("open transaction holds offsets 12 to 15")));
        assert_eq!(ranges(&found(0, 3, 15)), (vec![], vec![], 1), "it began before the copy ended");
        let anew = found(0, 4, 4);
        assert_eq!(ranges(&anew), (vec![], vec![], 1));
        assert!(anew.unreadable.values().all(|why| why.contains("ends at offset 4, before 10")));
    }
}
