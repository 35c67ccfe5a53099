//! What coordinators take: of one commit, and of one group.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{NewOffset, OFFSETS};
use crate::Code;
use crate::admin::{AclOperation, ConfigEntry};
use crate::batch::{HEADER_SIZE, record_size};
use crate::cluster::Cluster;
use crate::error::{Error, Result};

/// Config of brokers: the longest metadata string beside an offset.
const METADATA: &str = "offset.metadata.max.bytes";
/// Config of topics: the largest batch.
const BATCH: &str = "max.message.bytes";
/// Config of topics: the largest segment, which has to hold a batch.
const SEGMENT: &str = "segment.bytes";
/// Config of brokers behind [`BATCH`].
const BROKERS_BATCH: &str = "message.max.bytes";
/// Config of brokers: the most members of a group.
const MEMBERS: &str = "group.max.size";

/// Bytes of a record's key around group and topic (`OffsetCommitKey`): version, two lengths, partition.
const KEY_FIXED: usize = 2 + 2 + 2 + 4;
/// Bytes of a record's value around the metadata, in the largest of the versions that brokers write (`OffsetCommitValue`, v4 with
/// the topic's id): version, offset, leader epoch, a length of up to three bytes, time, tagged fields.
const VALUE_FIXED: usize = 2 + 8 + 4 + 3 + 8 + 20;

/// How large commits may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitLimits {
    /// Most bytes of the batch of records that a coordinator makes of one commit: `max.message.bytes` of `__consumer_offsets`.
    /// A coordinator refuses a larger one whole, with [`InvalidCommitOffsetSize`](crate::Code::InvalidCommitOffsetSize).
    pub batch_bytes: usize,
    /// Longest metadata string beside an offset: `offset.metadata.max.bytes`, which Kafka compares with the number of UTF-16 code
    /// units, whatever its name says (`OffsetMetadataManager.isMetadataInvalid`).
    pub metadata_bytes: usize,
}

/// Kafka's own defaults.
impl Default for CommitLimits {
    fn default() -> Self {
        Self { batch_bytes: (1 << 20) + 12, metadata_bytes: 4096 }
    }
}

impl CommitLimits {
    /// Bytes of a batch without its records. Some of Kafka 4's coordinators count the header twice: they compare the size of the
    /// whole batch with what is left of the limit behind a header (`CoordinatorRuntime.append`,
    /// `MemoryRecordsBuilder.maxAllowedBytes`).
    pub const BATCH_OVERHEAD: usize = 2 * HEADER_SIZE;

    /// Bytes that `offset` takes in the batch of records that a coordinator of the target makes of a commit for `group`, the most
    /// of any version from 2.8 on: a few more than most versions need, never fewer. It is what counts where coordinators do
    /// not compress (`offsets.topic.compression.codec`, Kafka's default); where they do, a commit may have more.
    pub fn weight(group: &str, offset: &NewOffset) -> usize {
        let key = KEY_FIXED + group.len() + offset.partition.topic.len();
        record_size(key, VALUE_FIXED + offset.metadata.len())
    }

    /// Whether `offset` can be committed for `group` in a batch of its own.
    pub fn allow(&self, group: &str, offset: &NewOffset) -> bool {
        self.allow_metadata(offset) && Self::BATCH_OVERHEAD + Self::weight(group, offset) <= self.batch_bytes
    }

    /// Whether the metadata string of `offset` is not too long.
    pub fn allow_metadata(&self, offset: &NewOffset) -> bool {
        offset.metadata.encode_utf16().count() <= self.metadata_bytes
    }

    /// `offsets` in runs whose batches are within the limit and have at most `count` records; what is too heavy for any goes alone.
    pub(super) fn parts<'a>(&self, group: &str, offsets: &'a [NewOffset], count: usize) -> Vec<&'a [NewOffset]> {
        let room = self.batch_bytes.saturating_sub(Self::BATCH_OVERHEAD);
        let mut parts = Vec::new();
        let (mut begin, mut taken) = (0, 0);
        for (at, offset) in offsets.iter().enumerate() {
            let weight = Self::weight(group, offset);
            if at > begin && (taken + weight > room || at - begin == count) {
                parts.push(&offsets[begin..at]);
                (begin, taken) = (at, 0);
            }
            taken += weight;
        }
        parts.extend((begin < offsets.len()).then(|| &offsets[begin..]));
        parts
    }
}

/// What a cluster's coordinators take, as far as this client may know it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinatorLimits {
    /// `offset.metadata.max.bytes`, the smallest of all brokers; none when not all of them tell. Kafka's default is 4,096.
    pub metadata_bytes: Option<usize>,
    /// The largest batch of `__consumer_offsets`: its `max.message.bytes` or `segment.bytes`, whichever is smaller, or the brokers'
    /// `message.max.bytes` while there is no such topic. None when that is not told. Kafka's default is 1,048,588.
    pub batch_bytes: Option<usize>,
    /// `group.max.size`, the smallest of all brokers: how many members a group may have. None when not all of them tell.
    pub members: Option<usize>,
}

impl CoordinatorLimits {
    /// What to split commits by: Kafka's default batches where the real limit is not told, and no limit of metadata strings where
    /// that is not told, so that the coordinator decides.
    pub fn commits(&self) -> CommitLimits {
        CommitLimits {
            batch_bytes: self.batch_bytes.unwrap_or(CommitLimits::default().batch_bytes),
            metadata_bytes: self.metadata_bytes.unwrap_or(usize::MAX),
        }
    }

    /// Whether all of them are told.
    pub fn are_told(&self) -> bool {
        self.metadata_bytes.is_some() && self.batch_bytes.is_some() && self.members.is_some()
    }
}

impl Cluster {
    /// What the coordinators of this cluster take. What this client may not know is none: DescribeConfigs on the cluster for the
    /// brokers' configs, and on the topic `__consumer_offsets` for its own.
    pub async fn coordinator_limits(&self) -> Result<CoordinatorLimits> {
        self.with_retries(|| self.refresh()).await?;
        let brokers = self.brokers_configs().await?;
        Ok(CoordinatorLimits {
            metadata_bytes: smallest(&brokers, METADATA),
            batch_bytes: self.offsets_batch().await?.unwrap_or_else(|| smallest(&brokers, BROKERS_BATCH)),
            members: smallest(&brokers, MEMBERS),
        })
    }

    /// The configs of every broker; none of one that may not be described.
    async fn brokers_configs(&self) -> Result<Vec<Option<Vec<ConfigEntry>>>> {
        let mut each = Vec::new();
        for broker in self.brokers().await? {
            each.push(unless_refused(self.broker_configs(broker.id).await)?);
        }
        Ok(each)
    }

    /// The largest batch of the groups' topic, if it is told; nothing while there is no such topic.
    async fn offsets_batch(&self) -> Result<Option<Option<usize>>> {
        let topic: Arc<str> = OFFSETS.into();
        if !self.metadata().await?.topics.contains_key(&topic) {
            // It may also be hidden.
            let operations = self.topic_operations(std::slice::from_ref(&topic)).await?;
            let hidden = operations.get(&topic).is_some_and(|may| !may.contain(AclOperation::Describe));
            return Ok(hidden.then_some(None));
        }
        let described = self.topic_configs(&[topic]).await.pop().map(|(_, configs)| unless_refused(configs));
        let Some(configs) = described.transpose()?.flatten() else { return Ok(Some(None)) };
        let configs = [Some(configs)];
        let told = (smallest(&configs, BATCH), smallest(&configs, SEGMENT));
        Ok(Some(told.0.zip(told.1).map(|(batch, segment)| batch.min(segment))))
    }
}

/// The smallest value of the config among all, if all have it.
fn smallest(each: &[Option<Vec<ConfigEntry>>], name: &str) -> Option<usize> {
    let value = |configs: &Option<Vec<ConfigEntry>>| {
        let entry = configs.as_ref()?.iter().find(|entry| entry.name == name)?;
        entry.value.as_ref()?.parse::<usize>().ok()
    };
    each.iter().map(value).collect::<Option<Vec<_>>>()?.into_iter().min()
}

/// Nothing where this client may not look.
pub(crate) fn unless_refused<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Err(Error::Broker { code: Code::ClusterAuthorizationFailed | Code::TopicAuthorizationFailed, .. }) => Ok(None),
        outcome => outcome.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use migration::TopicPartition;

    use super::*;
    use crate::admin::ConfigSource;

    fn offset(topic: &str, partition: i32, metadata: &str) -> NewOffset {
        NewOffset { partition: TopicPartition::new(topic, partition), offset: i64::MAX, metadata: metadata.to_owned() }
    }

    #[test]
    fn a_weight_is_not_below_the_record_that_a_coordinator_writes() {
        use crate::batch::{Codec, Record, Stamp, encode};
        for (group, topic, metadata) in [("g", "t", 0), ("group", "topic", 40), ("g", "t", 200), ("group", "t", 60_000)]
        {
            let offsets: Vec<_> = (0..300).map(|at| offset(topic, at, &"m".repeat(metadata))).collect();
            // `OffsetCommitValue` v3, as brokers from 2.1 to 4.0 write it.
            let record = |_| Record {
                key: Some(vec![0; 10 + group.len() + topic.len()].into()),
                value: Some(vec![0; 24 + metadata].into()),
                ..Record::default()
            };
            let batch = encode(&(0..300).map(record).collect::<Vec<_>>(), Codec::None, Stamp::NONE, 0).unwrap();
            let weight: usize = offsets.iter().map(|offset| CommitLimits::weight(group, offset)).sum();
            let whole = CommitLimits::BATCH_OVERHEAD + weight;
            let written = batch.bytes().len();
            assert!((written..written + HEADER_SIZE + 300 * 28).contains(&whole), "{whole} for {written}");
        }
    }

    #[test]
    fn commits_are_split_by_bytes_and_by_count() {
        let light: Vec<_> = (0..10).map(|at| offset("t", at, "")).collect();
        let lengths = |limits: CommitLimits, offsets: &[NewOffset], count| {
            limits.parts("g", offsets, count).iter().map(|part| part.len()).collect::<Vec<_>>()
        };
        let weight = CommitLimits::weight("g", &light[0]);
        let three = CommitLimits { batch_bytes: CommitLimits::BATCH_OVERHEAD + 3 * weight, ..CommitLimits::default() };
        assert_eq!(lengths(three, &light, 1000), [3, 3, 3, 1]);
        assert_eq!(lengths(CommitLimits::default(), &light, 4), [4, 4, 2]);
        let mut mixed = light[..3].to_vec();
        mixed.insert(1, offset("t", 99, &"m".repeat(10 * weight)));
        assert_eq!(lengths(three, &mixed, 1000), [1, 1, 2], "the heavy one goes alone");
        assert!(!three.allow("g", &mixed[1]) && three.allow("g", &mixed[0]));
        assert!(lengths(three, &[], 1000).is_empty());
    }

    #[test]
    fn metadata_is_measured_as_java_does() {
        let limits = CommitLimits { metadata_bytes: 4, ..CommitLimits::default() };
        assert!(limits.allow_metadata(&offset("t", 0, "ääää")), "eight bytes, four characters");
        assert!(limits.allow_metadata(&offset("t", 0, "🦀🦀")), "two characters, four code units");
        assert!(!limits.allow_metadata(&offset("t", 0, "🦀🦀a")));
    }

    #[test]
    fn the_smallest_of_all_brokers_counts_if_all_tell() {
        let broker = |value: &str| {
            let (name, value) = (METADATA.to_owned(), Some(value.to_owned()));
            Some(vec![ConfigEntry { name, value, source: ConfigSource::Default, read_only: true, sensitive: false }])
        };
        assert_eq!(smallest(&[broker("4096"), broker("64")], METADATA), Some(64));
        assert_eq!(smallest(&[broker("4096"), None], METADATA), None);
        assert_eq!(smallest(&[broker("4096")], MEMBERS), None);
    }
}
