//! The source's consumer groups and what they have committed.

use std::collections::BTreeMap;

use cutover::ports::GroupOffsets;
use kafka::{CommittedOffset, GroupListing, GroupState};
use migration::TopicPartition;

use crate::dice::Dice;
use crate::setup::{OTHER_WAVE, Setup};
use crate::source::{Log, Source};

/// Longest metadata that the target takes.
pub(crate) const METADATA_MAX: usize = 12;

/// A committed offset with its metadata.
pub(crate) type Committed = (i64, String);

/// A group on the source.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    pub(crate) protocol: &'static str,
    pub(crate) offsets: BTreeMap<TopicPartition, Committed>,
}

/// A transaction that committed records of this wave and an offset.
#[derive(Debug, Clone)]
pub(crate) struct Transacted {
    pub(crate) group: String,
    pub(crate) partition: TopicPartition,
    pub(crate) offset: i64,
    /// Partitions by index, with the first offset of the transaction there.
    pub(crate) data: BTreeMap<usize, i64>,
}

/// All groups.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) transacted: Vec<Transacted>,
}

impl Groups {
    /// Groups of all kinds.
    pub(crate) fn draw(setup: &Setup, logs: &[Log], dice: &mut Dice) -> Self {
        let mut groups = Self::default();
        for number in 0..setup.groups {
            let group = groups.group(&format!("g{number:03}"));
            if dice.chance(300) {
                group.protocol = "";
            }
            for (partition, log) in setup.partitions.iter().zip(logs) {
                if dice.chance(600) || setup.groups > 20 {
                    let offset = dice.number(log.start..log.end() + 1);
                    group.offsets.insert(partition.clone(), (offset, metadata(dice)));
                }
            }
            if dice.chance(150) {
                group.offsets.insert(TopicPartition::new(OTHER_WAVE, 0), (dice.number(0..9), String::new()));
            }
        }
        for special in ["empty", "tmp-1", "amazon.msk.canary.group.broker-1", "connect-cluster", "far", "low"] {
            if dice.chance(300) {
                groups.special(special, &setup.partitions[0], &logs[0]);
            }
        }
        groups
    }

    fn special(&mut self, name: &str, partition: &TopicPartition, log: &Log) {
        let group = self.group(name);
        if name == "connect-cluster" {
            group.protocol = "connect";
        }
        let offset = match name {
            "empty" => return,
            "far" => log.end() + 1_000,
            "low" => 0,
            _ => log.end(),
        };
        group.offsets.insert(partition.clone(), (offset, String::new()));
    }

    fn group(&mut self, name: &str) -> &mut Group {
        let new = || Group { protocol: "consumer", ..Group::default() };
        self.groups.entry(name.to_owned()).or_insert_with(new)
    }

    pub(crate) fn commit(&mut self, group: &str, partition: &TopicPartition, committed: Committed) {
        self.group(group).offsets.insert(partition.clone(), committed);
    }

    /// The groups as coordinators list them.
    pub(crate) fn listing(&self, pending: impl Iterator<Item = String>) -> Vec<GroupListing> {
        let mut all: BTreeMap<String, &str> =
            self.groups.iter().map(|(id, group)| (id.clone(), group.protocol)).collect();
        pending.for_each(|id| _ = all.entry(id).or_insert(""));
        let listing = |(id, protocol): (String, &str)| GroupListing {
            id,
            protocol_type: protocol.to_owned(),
            state: GroupState::Empty,
            group_type: None,
        };
        all.into_iter().map(listing).collect()
    }

    /// What each of `ids` has committed. A coordinator says so of partitions that it has an offset of; of a first commit that
    /// is not decided it says nothing.
    pub(crate) fn offsets(&self, ids: &[String], source: &Source) -> BTreeMap<String, GroupOffsets> {
        let of_group = |id: &String| {
            let committed = self.groups.get(id).map(|group| &group.offsets);
            let offsets = committed.into_iter().flatten().map(|(partition, (offset, metadata))| CommittedOffset {
                partition: partition.clone(),
                offset: *offset,
                leader_epoch: Some(3),
                metadata: metadata.clone(),
            });
            let pending = source.pending().filter(|(_, _, pending)| pending.group == *id);
            let pending = pending.map(|(_, _, pending)| pending.partition.clone());
            let known = |partition: &TopicPartition| committed.is_some_and(|offsets| offsets.contains_key(partition));
            let pending: Vec<_> = pending.filter(known).collect();
            // A coordinator gives no offset of a partition that is not decided.
            let offsets = offsets.filter(|offset| !pending.contains(&offset.partition)).collect();
            (id.clone(), GroupOffsets { offsets, pending })
        };
        ids.iter().map(of_group).collect()
    }
}

/// Metadata that consumers write beside their offsets; some is longer than the target takes.
pub(crate) fn metadata(dice: &mut Dice) -> String {
    match dice.index(0..12) {
        0 => "m".repeat(METADATA_MAX + 1),
        1..4 => "host-7".to_owned(),
        _ => String::new(),
    }
}
