//! What becomes of a partition whose log on the source does not begin where the copy stands.
//!
//! Before the first record that is how retention works. Later, records were deleted before they were copied: the partition
//! stops, or, where `topology.on_records_deleted` or `topology.record_gap_of` says so, goes on at the log's start with the gap on
//! record. A log that begins below the copy is another one, whatever they say.

use std::collections::BTreeSet;
use std::sync::Arc;

use clock::Clock;
use journal::Position;
use kafka::TopicPartition;
use migration::Error;
use migration::config::Topology;
use migration::progress::Gap;

use super::faulted;
use crate::slice::Slice;

/// Which topics go on behind deleted records.
#[derive(Debug)]
pub struct GapRule {
    topics: BTreeSet<Arc<str>>,
    /// Says when a gap was met.
    clock: Clock,
}

impl GapRule {
    /// No topic does.
    pub fn stop() -> Self {
        Self { topics: BTreeSet::new(), clock: Clock::system() }
    }

    /// Those of `topics` do of which `topology` says so.
    pub fn new<'t>(topology: &Topology, topics: impl Iterator<Item = &'t Arc<str>>, clock: &Clock) -> Self {
        let topics = topics.filter(|topic| topology.records_gaps_of(topic)).cloned().collect();
        Self { topics, clock: clock.clone() }
    }

    /// The slice that follows `from` in a log that starts at `start`.
    pub(super) fn go_on(&self, partition: &TopicPartition, from: Position, start: i64) -> Slice {
        let is_loss = from.target_next > 0 && start > from.source_next;
        if start < from.source_next || is_loss && !self.topics.contains(&partition.topic) {
            return faulted(partition, from, Error::data_unsafe(loss(from.source_next, start)));
        }
        let mut slice = Slice::at(partition.clone(), from, start);
        slice.to.source_next = start;
        if is_loss {
            tracing::warn!(%partition, from = from.source_next, to = start, "deleted before it was copied; going on behind it");
            let at = clock::timestamp(self.clock.now());
            slice.gaps.push(Gap { from: from.source_next, to: start, at });
        } else {
            tracing::info!(%partition, from = from.source_next, to = start, "the log start moved before the copy began");
        }
        slice
    }
}

/// What an operator reads about a log that starts at `start` now, while the copy stands at `copied`.
fn loss(copied: i64, start: i64) -> String {
    if start < copied {
        return format!(
            "the source's log starts at {start} now and ends before offset {copied}, up to which it was copied: the topic was \
             deleted and created anew, or an unclean leader election lost records; roll back, delete the topic on the target \
             and start a new migration"
        );
    }
    format!(
        "the source's log starts at {start} now, so the offsets {copied} to {start} are gone and were not copied. If nobody needs \
         these records (their consumer deletes them, or retention may), resume with the topic added to \
         topology.record_gap_of, or with topology.on_records_deleted: record_gap: the copy goes on at {start}, and the gap is on \
         record. Otherwise raise the topic's retention on the source, roll back, delete the topic on the target and start a new \
         migration"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    const AT: Position = Position { source_next: 40, target_next: 7 };

    fn partition() -> TopicPartition {
        TopicPartition::new("app-count-repartition", 0)
    }

    fn recording() -> GapRule {
        let clock = Clock::from_fn(|| DateTime::from_timestamp(1_700_000_000, 0).unwrap_or_default());
        GapRule::new(&Topology::default(), [partition().topic].iter(), &clock)
    }

    fn message(slice: &Slice) -> &str {
        slice.fault.as_ref().map_or("", |fault| &fault.message)
    }

    #[test]
    fn a_topic_stops_at_a_loss_and_names_the_way_out() {
        let slice = GapRule::stop().go_on(&partition(), AT, 75);
        assert_eq!((slice.to, slice.gaps.len()), (AT, 0));
        let said = message(&slice);
        assert!(said.starts_with("the source's log starts at 75 now, so the offsets 40 to 75 are gone"), "{said}");
        assert!(said.contains("topology.record_gap_of") && said.contains("topology.on_records_deleted: record_gap"));
    }

    #[test]
    fn where_gaps_are_recorded_the_copy_goes_on_at_the_start() {
        let slice = recording().go_on(&partition(), AT, 75);
        assert_eq!((slice.to.source_next, slice.to.target_next), (75, 7));
        let expected = Gap { from: 40, to: 75, at: "2023-11-14T22:13:20.000000Z".to_owned() };
        assert_eq!((slice.gaps.as_slice(), slice.fault.is_none()), ([expected].as_slice(), true));
    }

    #[test]
    fn a_log_that_begins_below_the_copy_is_another_one_under_every_rule() {
        for rule in [GapRule::stop(), recording()] {
            let slice = rule.go_on(&partition(), AT, 0);
            assert_eq!((slice.to, slice.gaps.len()), (AT, 0));
            let said = message(&slice);
            assert!(said.starts_with("the source's log starts at 0 now and ends before offset 40"), "{said}");
        }
    }

    #[test]
    fn what_is_deleted_before_the_first_record_is_no_gap() {
        for rule in [GapRule::stop(), recording()] {
            let slice = rule.go_on(&partition(), Position { target_next: 0, ..AT }, 75);
            assert_eq!((slice.to.source_next, slice.gaps.len(), slice.fault.is_none()), (75, 0, true));
        }
    }

    #[test]
    fn a_start_that_is_where_the_copy_stands_is_no_loss() {
        for rule in [GapRule::stop(), recording()] {
            let slice = rule.go_on(&partition(), AT, 40);
            assert_eq!((slice.to, slice.gaps.len(), slice.fault.is_none()), (AT, 0, true), "it is read again");
        }
    }
}
