//! What groups are, and what they are doing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a group is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupState {
    /// It has offsets, but no members.
    Empty,
    /// Its members have their partitions.
    Stable,
    /// Its members are joining.
    PreparingRebalance,
    /// Its members wait for their partitions.
    CompletingRebalance,
    /// Its partitions are being assigned (KIP-848).
    Assigning,
    /// Its members are taking over partitions (KIP-848).
    Reconciling,
    /// It does not exist, or is about to be removed.
    Dead,
    /// A state newer than this list.
    Other(String),
}

impl From<&str> for GroupState {
    fn from(name: &str) -> Self {
        match name {
            "Empty" => Self::Empty,
            "Stable" => Self::Stable,
            "PreparingRebalance" => Self::PreparingRebalance,
            "CompletingRebalance" => Self::CompletingRebalance,
            "Assigning" => Self::Assigning,
            "Reconciling" => Self::Reconciling,
            "Dead" => Self::Dead,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl GroupState {
    /// Whether it may have members, so that nobody else can commit offsets for it.
    pub fn is_active(&self) -> bool {
        !matches!(self, Self::Empty | Self::Dead)
    }
}

/// By which protocol a group's members share their work (`org.apache.kafka.common.GroupType`). One id is of one type at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GroupType {
    /// The protocol of all consumers before Kafka 3.7, which Connect and others use too; also groups that only have offsets.
    Classic,
    /// Consumers of the protocol of KIP-848.
    Consumer,
    /// Consumers that share records instead of partitions (KIP-932). It has no committed offsets.
    Share,
    /// Kafka Streams applications of the protocol of KIP-1071.
    Streams,
    /// A type newer than this list.
    Other(String),
}

impl GroupType {
    /// The type that a broker calls `name`; nothing where it does not tell.
    pub(crate) fn told(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "" => None,
            "classic" => Some(Self::Classic),
            "consumer" => Some(Self::Consumer),
            "share" => Some(Self::Share),
            "streams" => Some(Self::Streams),
            other => Some(Self::Other(other.to_owned())),
        }
    }

    /// Whether offsets can be committed for such a group while it has no members. A coordinator answers a commit for one of
    /// another type with `GroupIdNotFound`, for as long as the group exists.
    pub fn takes_offsets(&self) -> bool {
        matches!(self, Self::Classic | Self::Consumer | Self::Streams)
    }
}

impl fmt::Display for GroupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
            Self::Share => "share",
            Self::Streams => "streams",
            Self::Other(name) => name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_without_members_are_inactive() {
        let active = |name: &str| GroupState::from(name).is_active();
        assert!(!active("Empty") && !active("Dead"));
        assert!(active("Stable") && active("PreparingRebalance") && active("Reconciling") && active("Unheard"));
    }

    #[test]
    fn types_are_known_by_the_brokers_names_whatever_their_case() {
        // Kafka 3.8 and 4.0 write them in different cases.
        let told = |name: &str| GroupType::told(name);
        assert_eq!(
            [told("Classic"), told("consumer"), told("")],
            [Some(GroupType::Classic), Some(GroupType::Consumer), None]
        );
        assert_eq!([told("share"), told("Streams")], [Some(GroupType::Share), Some(GroupType::Streams)]);
        assert!(!GroupType::Share.takes_offsets() && !GroupType::Other("new".into()).takes_offsets());
        for kind in [GroupType::Classic, GroupType::Share, GroupType::Streams, GroupType::Other("new".into())] {
            assert_eq!(GroupType::told(&kind.to_string()), Some(kind));
        }
    }
}
