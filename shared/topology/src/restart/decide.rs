//! What may be removed of the target's topics, decided from what is on record and what was found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use journal::ProducerId;
use kafka::TopicPartition;
use kafka::batch::Stamp;
use migration::restart::{KeptTopic, RemovedTopic};
use migration::{Error, Result};

/// Names that an error tells.
const NAMED: usize = 5;

/// What is on record of the run.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// Topics that it created, or was about to.
    pub(super) created: BTreeSet<Arc<str>>,
    /// Topics that the target had before it.
    pub(super) before: BTreeSet<Arc<str>>,
    /// Topics that it copied to, of which is not known whether the target had them before.
    pub(super) unclear: BTreeSet<Arc<str>>,
    /// Who wrote everything that it copied.
    pub(super) producer: Option<ProducerId>,
    /// When a removal had begun: the topics that it was about, with their ids, and no others.
    pub(super) marked: Option<BTreeMap<Arc<str>, Option<String>>>,
}

impl Known {
    /// Every topic to look for on the target.
    pub(super) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.created.iter().chain(&self.before).chain(&self.unclear)
    }
}

/// A topic of the target as it was found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) name: Arc<str>,
    pub(super) id: Option<String>,
    /// Whether it is under copy-time configs, as the run created it.
    pub(super) copying: bool,
    pub(super) partitions: Vec<FoundPartition>,
}

/// One of its partitions.
#[derive(Debug, Clone)]
pub(super) struct FoundPartition {
    pub(super) number: i32,
    /// Offset of its first record.
    pub(super) start: i64,
    /// Offset behind its last record.
    pub(super) end: i64,
    /// The batch that holds its last record; none where there is no record, and of what is no batch of today's format.
    pub(super) last: Option<LastBatch>,
}

/// The last batch of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastBatch {
    /// Offset of its first record.
    pub(super) offset: i64,
    /// Whose it is.
    pub(super) stamp: Stamp,
}

impl FoundPartition {
    const fn records(&self) -> i64 {
        self.end - self.start
    }

    /// Whether everything in it was written by `producer` as the copy writes: the sequence number of a record is its offset. A
    /// record of somebody else before the last batch would have moved that batch on, and a broker takes no other sequence.
    fn is_own(&self, producer: Option<ProducerId>) -> bool {
        let expected = |last: &LastBatch| producer.map(|own| Stamp::nth(own.id, own.epoch, last.offset));
        self.records() == 0 || self.last.is_some_and(|last| expected(&last) == Some(last.stamp))
    }
}

impl Found {
    fn records(&self) -> i64 {
        self.partitions.iter().map(FoundPartition::records).sum()
    }

    /// Whether anything was ever written to it, also what is deleted by now.
    fn was_written(&self) -> bool {
        self.partitions.iter().any(|partition| partition.end > 0)
    }
}

/// What becomes of the topics that were found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Decision {
    /// Those that are deleted.
    pub(super) remove: Vec<RemovedTopic>,
    /// Those that stay.
    pub(super) keep: Vec<KeptTopic>,
}

/// Decides about `found`.
///
/// # Errors
/// Unsafe, naming partitions, when a topic that the run created holds something that it did not write; Blocked, naming topics,
/// when one that was there before, or of which that is not known, holds records.
pub(super) fn decide(known: &Known, found: &[Found]) -> Result<Decision> {
    let (mut foreign, mut held) = (Vec::new(), Vec::new());
    let mut decision = Decision::default();
    for topic in found {
        match fate(known, topic) {
            Fate::Foreign(partitions) => foreign.extend(partitions),
            Fate::Held => held.push(topic),
            Fate::Removed => decision.remove.push(RemovedTopic {
                topic: topic.name.to_string(),
                id: topic.id.clone(),
                partitions: topic.partitions.len(),
                records: topic.records(),
            }),
            Fate::Kept(why) => {
                decision.keep.push(KeptTopic { topic: topic.name.to_string(), why: why.to_owned() });
            }
        }
    }
    refuse_foreign(&foreign, known.producer)?;
    refuse_held(&held, &known.before)?;
    Ok(decision)
}

/// What becomes of a topic.
enum Fate {
    Removed,
    Kept(&'static str),
    /// It has records and stands in the way.
    Held,
    /// These partitions have records of somebody else.
    Foreign(Vec<(TopicPartition, i64)>),
}

fn fate(known: &Known, topic: &Found) -> Fate {
    if let Some(marked) = &known.marked
        && marked.get(&topic.name).is_some_and(|id| *id != topic.id)
    {
        return Fate::Kept("somebody created it after the one of this migration was deleted");
    }
    let was_there = known.before.contains(&topic.name);
    if was_there || !known.created.contains(&topic.name) {
        return match topic.was_written() {
            true => Fate::Held,
            false if was_there => Fate::Kept("it was on the target before this migration, and is empty"),
            false => Fate::Kept("it is not on record whether it was there before this migration, and it is empty"),
        };
    }
    let foreign = topic.partitions.iter().filter(|partition| !partition.is_own(known.producer));
    let foreign: Vec<_> =
        foreign.map(|partition| (TopicPartition::new(topic.name.clone(), partition.number), partition.end)).collect();
    if !foreign.is_empty() {
        return Fate::Foreign(foreign);
    }
    if topic.records() == 0 && !topic.copying {
        return Fate::Kept("it is empty and not under copy-time configs any more, so it may be somebody else's");
    }
    Fate::Removed
}

fn refuse_foreign(foreign: &[(TopicPartition, i64)], producer: Option<ProducerId>) -> Result<()> {
    let Some((first, _)) = foreign.first() else { return Ok(()) };
    let names = named(foreign.iter().map(|(partition, end)| format!("{partition} (ends at {end})")));
    let why = match producer {
        Some(_) => "that this migration did not write",
        None => "of which the journal does not say that this migration wrote them",
    };
    Err(Error::data_unsafe(format_args!(
        "{} partitions of the target, in topics that this migration created, hold records {why}: {names}. Nothing was removed. \
         Find out who wrote them; if nobody needs them, delete these topics on the target by hand, then repeat the command",
        foreign.len()
    ))
    .at(first))
}

fn refuse_held(held: &[&Found], before: &BTreeSet<Arc<str>>) -> Result<()> {
    let Some(first) = held.first() else { return Ok(()) };
    let (there, unclear): (Vec<&Found>, Vec<&Found>) = held.iter().partition(|topic| before.contains(&topic.name));
    let mut parts = Vec::new();
    for (topics, what) in [
        (there, "were on the target before this migration and hold records now"),
        (unclear, "hold records, and it is not on record whether they were there before this migration"),
    ] {
        if !topics.is_empty() {
            let names = named(topics.iter().map(|topic| format!("{} ({} records)", topic.name, topic.records())));
            parts.push(format!("{} topics {what}: {names}", topics.len()));
        }
    }
    Err(Error::blocked(format_args!(
        "{}. Nothing was removed. A migration needs them empty and beginning at offset 0: delete them on the target by hand \
         (and create them again if their configs matter), then repeat the command",
        parts.join("; ")
    ))
    .at_topic(&first.name))
}

fn named(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let names = names.take(NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{names} and {more} more") } else { names }
}

#[cfg(test)]
mod tests {
    use super::*;
    use migration::ErrorKind;

    const OWN: ProducerId = ProducerId { id: 4_000_000_000, epoch: 0 };

    fn last(id: i64, epoch: i16, offset: i64, sequence: i64) -> Option<LastBatch> {
        Some(LastBatch { offset, stamp: Stamp::nth(id, epoch, sequence) })
    }

    /// A partition that the copy wrote, up to `end`.
    fn copied(number: i32, end: i64) -> FoundPartition {
        let last = (end > 0).then(|| last(OWN.id, OWN.epoch, end - 1, end - 1)).flatten();
        FoundPartition { number, start: 0, end, last }
    }

    fn found(name: &str, partitions: Vec<FoundPartition>) -> Found {
        Found { name: name.into(), id: Some(format!("id of {name}")), copying: true, partitions }
    }

    fn names(names: &[&str]) -> BTreeSet<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    fn known() -> Known {
        Known {
            created: names(&["new"]),
            before: names(&["old"]),
            unclear: names(&["unclear"]),
            producer: Some(OWN),
            marked: None,
        }
    }

    /// What becomes of one topic: the name of the list it is on, or the error's kind.
    fn outcome(known: &Known, topic: Found) -> String {
        match decide(known, &[topic]) {
            Ok(Decision { remove, keep }) if keep.is_empty() => format!("removed with {}", remove[0].records),
            Ok(Decision { remove, keep }) => {
                assert!(remove.is_empty());
                format!("kept: {}", keep[0].why)
            }
            Err(error) => {
                assert!(error.message.contains("Nothing was removed"), "{error}");
                format!("{}: {}", error.kind, error.message)
            }
        }
    }

    #[test]
    fn only_what_this_migration_made_is_removed() {
        let own = || vec![copied(0, 7), copied(1, 0), copied(2, 3_000_000_000)];
        let one = |start, end, last| vec![FoundPartition { number: 0, start, end, last }];
        let altered = |topic: Found| Found { copying: false, ..topic };
        for (case, topic, expected) in [
            ("created and copied to", found("new", own()), "removed with 3000000007"),
            (
                "sequence numbers wrap",
                found("new", one(0, 1 << 31, last(OWN.id, 0, (1 << 31) - 1, (1 << 31) - 1))),
                "removed",
            ),
            ("created and empty", found("new", one(0, 0, None)), "removed with 0"),
            ("emptied by hand", found("new", one(9, 9, None)), "removed with 0"),
            ("altered by hand, but with records of ours", altered(found("new", own())), "removed"),
            (
                "made anew by somebody",
                altered(found("new", one(0, 0, None))),
                "kept: it is empty and not under copy-time",
            ),
            ("a client wrote behind ours", found("new", one(0, 8, last(-1, -1, 7, -1))), "Unsafe: 1 partitions"),
            ("another producer", found("new", one(0, 8, last(OWN.id + 1, 0, 7, 7))), "Unsafe: 1 partitions"),
            ("another epoch of our producer", found("new", one(0, 8, last(OWN.id, 1, 7, 7))), "Unsafe: 1 partitions"),
            ("a client wrote before ours", found("new", one(0, 8, last(OWN.id, 0, 7, 6))), "Unsafe: 1 partitions"),
            ("an old message at the end", found("new", one(0, 8, None)), "Unsafe: 1 partitions"),
            ("there before, with records of ours", found("old", own()), "Blocked: 1 topics were on the target before"),
            ("there before, and emptied", found("old", one(9, 9, None)), "Blocked: 1 topics were on the target before"),
            ("there before, and empty", found("old", one(0, 0, None)), "kept: it was on the target before"),
            (
                "unclear, with records of ours",
                found("unclear", own()),
                "Blocked: 1 topics hold records, and it is not on",
            ),
            ("unclear and empty", found("unclear", one(0, 0, None)), "kept: it is not on record"),
        ] {
            let outcome = outcome(&known(), topic);
            assert!(outcome.starts_with(expected), "{case}: {outcome}");
        }
    }

    #[test]
    fn a_topic_that_was_there_before_counts_as_such_whatever_else_is_on_record() {
        let both = Known { created: names(&["old"]), ..known() };
        assert!(outcome(&both, found("old", vec![copied(0, 1)])).starts_with("Blocked"));
        assert!(outcome(&both, found("old", vec![copied(0, 0)])).starts_with("kept"));
    }

    #[test]
    fn without_a_producer_id_nothing_counts_as_ours() {
        let nobody = Known { producer: None, ..known() };
        let outcome_of = |end| outcome(&nobody, found("new", vec![copied(0, end)]));
        assert!(outcome_of(1).contains("the journal does not say that this migration wrote them"));
        assert_eq!(outcome_of(0), "removed with 0");
    }

    #[test]
    fn a_topic_of_another_id_than_the_marked_one_is_left_alone() {
        let marked =
            |id: Option<&str>| Known { marked: Some([("new".into(), id.map(str::to_owned))].into()), ..known() };
        assert!(outcome(&marked(Some("id of new")), found("new", vec![copied(0, 1)])).starts_with("removed"));
        let outcome = outcome(&marked(Some("another")), found("new", vec![copied(0, 1)]));
        assert!(outcome.starts_with("kept: somebody created it after"), "{outcome}");
    }

    #[test]
    fn everything_in_the_way_is_named() {
        let foreign = |name: &str| found(name, vec![copied(0, 4), FoundPartition { last: None, ..copied(3, 5) }]);
        let known = Known { created: names(&["a", "b", "c", "d", "e", "f"]), ..known() };
        let topics: Vec<_> = ["a", "b", "c", "d", "e", "f"].into_iter().map(foreign).collect();
        let error = decide(&known, &topics).unwrap_err();
        assert_eq!(
            (error.kind, error.context.topic.as_deref(), error.context.partition),
            (ErrorKind::Unsafe, Some("a"), Some(3))
        );
        assert!(error.message.starts_with("6 partitions of the target"), "{error}");
        assert!(error.message.contains("a/3 (ends at 5), b/3 (ends at 5)"), "{error}");
        assert!(error.message.contains("e/3 (ends at 5) and 1 more"), "{error}");
        let held = [found("old", vec![copied(0, 4)]), found("unclear", vec![copied(0, 2)])];
        let error = decide(&known, &held).unwrap_err();
        assert_eq!((error.kind, error.context.topic.as_deref()), (ErrorKind::Blocked, Some("old")));
        assert!(error.message.contains("hold records now: old (4 records); 1 topics hold records, and it"), "{error}");
    }
}
