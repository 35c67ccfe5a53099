//! The target: logs with what was copied, and coordinators that take commits, refuse them, or are away for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka::{Code, CommittedOffset, GroupDescription, GroupMember, GroupState, GroupType, NewOffset};
use migration::TopicPartition;
use tokio::time::Instant;

use crate::dice::Dice;
use crate::groups::{Groups, METADATA_MAX};
use crate::setup::Setup;

/// A log of the target.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// First offset.
    pub(crate) start: i64,
    /// The source offset of each record from 0 on; none for one that another client wrote.
    pub(crate) records: Vec<Option<i64>>,
    /// When it was last spoiled by another client.
    pub(crate) spoiled_at: Option<Instant>,
}

impl Log {
    pub(crate) const fn end(&self) -> i64 {
        self.records.len() as i64
    }
}

/// Who committed an offset last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The migration.
    Migration,
    /// A consumer that goes on.
    Consumer,
    /// A person who wants the group to be there.
    Operator,
}

/// An offset of a group.
#[derive(Debug, Clone)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) metadata: String,
    pub(crate) by: By,
}

/// A group of the target.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    pub(crate) offsets: BTreeMap<TopicPartition, Committed>,
    /// Whether it has members.
    pub(crate) is_active: bool,
    /// Whether it was ever active: nobody wonders then that a commit is refused.
    pub(crate) was_active: bool,
    /// Whether it is a share group.
    pub(crate) is_share: bool,
    /// Whether it ever was one.
    pub(crate) was_share: bool,
    /// Refuses every commit with this, for good.
    pub(crate) refuses: Option<Code>,
    /// Its coordinator is loading until then.
    pub(crate) loading_until: Option<Instant>,
}

/// The target.
#[derive(Debug, Default)]
pub(crate) struct Target {
    pub(crate) logs: Vec<Log>,
    pub(crate) groups: BTreeMap<String, Group>,
    /// Partitions of which nobody may commit offsets.
    pub(crate) denied: BTreeSet<TopicPartition>,
    /// Since when topics have configs by which the broker compacts what is copied. The bounds of their logs stay what they were.
    pub(crate) altered: BTreeMap<Arc<str>, Instant>,
    /// Whether configs, quotas or ACLs are refused: not at all, one of them, all of them.
    pub(crate) refuses_settings: usize,
}

impl Target {
    pub(crate) fn draw(setup: &Setup, groups: &Groups, dice: &mut Dice) -> Self {
        let mut target = Self::default();
        target.logs.resize_with(setup.partitions.len(), Log::default);
        for id in groups.groups.keys() {
            if dice.chance(setup.refusing) {
                let codes = [Code::GroupAuthorizationFailed, Code::InvalidCommitOffsetSize, Code::UnknownMemberId];
                target.group(id).refuses = Some(dice.pick(&codes));
            }
        }
        if dice.chance(setup.refusing) {
            target.denied.insert(setup.partitions[0].clone());
        }
        target.refuses_settings = if dice.chance(setup.refusing) { dice.index(1..3) } else { 0 };
        target
    }

    pub(crate) fn group(&mut self, id: &str) -> &mut Group {
        self.groups.entry(id.to_owned()).or_default()
    }

    /// What stands in the way of a cutover goes away; what is refused for good stays.
    pub(crate) fn cure(&mut self) {
        for group in self.groups.values_mut() {
            group.loading_until = None;
            group.is_share = false;
        }
    }

    /// The group as its coordinator describes it.
    pub(crate) fn describe(&self, id: &str) -> GroupDescription {
        let none = Group::default();
        let group = self.groups.get(id).unwrap_or(&none);
        let member = || GroupMember {
            id: "m".to_owned(),
            client_id: "c".to_owned(),
            instance_id: None,
            host: "/10.0.0.7".to_owned(),
        };
        let state = match (group.is_active, group.offsets.is_empty()) {
            (true, _) => GroupState::Stable,
            (false, false) => GroupState::Empty,
            (false, true) => GroupState::Dead,
        };
        GroupDescription {
            id: id.to_owned(),
            protocol_type: "consumer".to_owned(),
            state,
            members: group.is_active.then(member).into_iter().collect(),
            operations: None,
            group_type: group.is_share.then_some(GroupType::Share),
        }
    }

    /// The offsets of a group.
    pub(crate) fn offsets(&self, id: &str) -> Vec<CommittedOffset> {
        let offsets = self.groups.get(id).into_iter().flat_map(|group| &group.offsets);
        let each = offsets.map(|(partition, committed)| CommittedOffset {
            partition: partition.clone(),
            offset: committed.offset,
            leader_epoch: None,
            metadata: committed.metadata.clone(),
        });
        each.collect()
    }

    /// Why a commit of `offset` is refused, whoever sends it from outside of the group.
    pub(crate) fn refusal(&self, id: &str, offset: &NewOffset) -> Option<Code> {
        let group = self.groups.get(id);
        let of_group = group.and_then(|group| match group {
            Group { loading_until: Some(until), .. } if *until > Instant::now() => {
                Some(Code::CoordinatorLoadInProgress)
            }
            Group { is_share: true, .. } => Some(Code::GroupIdNotFound),
            Group { is_active: true, .. } => Some(Code::UnknownMemberId),
            group => group.refuses,
        });
        let too_large = offset.metadata.len() > METADATA_MAX;
        let of_offset = match self.denied.contains(&offset.partition) {
            true => Some(Code::TopicAuthorizationFailed),
            false => too_large.then_some(Code::OffsetMetadataTooLarge),
        };
        of_group.or(of_offset)
    }
}
