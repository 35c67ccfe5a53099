//! A compacted log that is written, cleaned and copied in every order, and what a comparison by key makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka::batch::{Codec, ProduceBytes, Record, Stamp, encode};
use kafka::{ConfigEntry, ConfigSource, Each, FetchOptions, FetchPosition, Fetched, Produced};
use proptest::prelude::*;

use chrono::DateTime;
use clock::Clock;
use documents::deleted_keys::{ComparedKeys, DeletedKeys, key};
use documents::{Memory, Objects};
use kafka::{OffsetSpec, TopicPartition};
use migration::BatchId;
use migration::progress::PartitionProgress;
use offsets::OffsetRuns;

use super::KeyReview;
use crate::engine::Reached;
use crate::ports::{Brokers, Source, Target};

/// Records by offset: a key, and a value or a deletion.
type Records = BTreeMap<i64, (u8, Option<u8>)>;

#[derive(Debug, Clone, Default)]
struct Log {
    records: Records,
    start: i64,
    end: i64,
}

impl Log {
    fn append(&mut self, key: u8, value: Option<u8>) {
        self.records.insert(self.end, (key, value));
        self.end += 1;
    }

    fn alive(&self) -> BTreeSet<u8> {
        let newest: BTreeMap<u8, Option<u8>> = self.records.values().copied().collect();
        newest.into_iter().filter(|(_, value)| value.is_some()).map(|(key, _)| key).collect()
    }

    fn keys(&self) -> BTreeSet<u8> {
        self.records.values().map(|(key, _)| *key).collect()
    }

    /// Takes superseded records, and deletions too where their time is over. The last record stays.
    fn clean(&mut self, forgets: bool) {
        let last: BTreeMap<u8, i64> = self.records.iter().map(|(offset, (key, _))| (*key, *offset)).collect();
        let end = self.end;
        self.records
            .retain(|offset, (key, value)| *offset + 1 == end || last[key] == *offset && (value.is_some() || !forgets));
    }
}

fn fetched(log: &Log, offset: i64) -> Fetched {
    let records = log.records.range(offset..).take(3).flat_map(|(offset, (key, value))| {
        let record = Record {
            key: Some(Bytes::copy_from_slice(&[*key])),
            value: value.map(|value| Bytes::copy_from_slice(&[value])),
            ..Record::default()
        };
        encode(&[record], Codec::Lz4, Stamp::NONE, *offset).unwrap().into_bytes()
    });
    Fetched {
        high_watermark: log.end,
        last_stable_offset: log.end,
        log_start: log.start,
        aborted: Vec::new(),
        records: records.collect::<Vec<u8>>().into(),
    }
}

/// Either cluster, with one partition.
struct Side(Log);

impl Brokers for Side {
    async fn list_offsets(&self, partitions: &[TopicPartition], spec: OffsetSpec) -> Each<TopicPartition, i64> {
        let offset = if spec == OffsetSpec::Earliest { self.0.start } else { self.0.end };
        partitions.iter().map(|partition| (partition.clone(), Ok(offset))).collect()
    }

    async fn topic_configs(&self, topics: &[Arc<str>]) -> Each<Arc<str>, Vec<ConfigEntry>> {
        let entry = |(name, value): (&str, &str)| ConfigEntry {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            source: ConfigSource::DynamicTopic,
            read_only: false,
            sensitive: false,
        };
        let configs = || [("cleanup.policy", "compact"), ("delete.retention.ms", "60000")].map(entry).to_vec();
        topics.iter().map(|topic| (topic.clone(), Ok(configs()))).collect()
    }

    async fn size(&self) -> usize {
        1
    }

    async fn leaders(&self, _: &[TopicPartition]) -> BTreeMap<TopicPartition, i32> {
        BTreeMap::new()
    }

    fn invalidate(&self) {}
}

impl Source for Side {
    async fn fetch(&self, positions: &[FetchPosition], _: &FetchOptions) -> Each<TopicPartition, Fetched> {
        positions.iter().map(|at| (at.partition.clone(), Ok(fetched(&self.0, at.offset)))).collect()
    }
}

impl Target for Side {
    async fn produce(&self, _: &[(TopicPartition, ProduceBytes)], _: Duration) -> Each<TopicPartition, Produced> {
        unreachable!("a comparison writes nothing")
    }

    async fn fetch(&self, positions: &[FetchPosition], options: &FetchOptions) -> Each<TopicPartition, Fetched> {
        Source::fetch(self, positions, options).await
    }

    async fn batch_at(&self, _: &TopicPartition, offset: i64) -> kafka::Result<Fetched> {
        Ok(fetched(&self.0, offset))
    }
}

fn partition() -> TopicPartition {
    TopicPartition::new("accounts", 0)
}

fn document(bucket: &Memory) -> Option<ComparedKeys> {
    let stored = bucket.content(&key(BatchId(0)))?;
    let mut stored: DeletedKeys = documents::document::decode(&stored).unwrap();
    stored.partitions.pop()
}

/// Compares both sides at most `max_keys` keys at a time, the copy at the end of the source.
fn compared(source: Log, target: Log, max_keys: usize) -> ComparedKeys {
    let end = source.end;
    looked(source, target, &Memory::default(), Clock::system(), (end, max_keys)).unwrap()
}

/// Looks at both sides when `clock` says, the copy at the source offset `copied`, and returns what is stored then.
fn looked(
    source: Log,
    target: Log,
    bucket: &Memory,
    clock: Clock,
    (copied, max_keys): (i64, usize),
) -> Option<ComparedKeys> {
    let (source, target) = (Side(source), Side(target));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let reached = Reached::default();
        reached.note(&partition(), copied);
        let mut review = KeyReview::new((&source, &target, bucket), BatchId(0), clock, reached);
        review.max_keys = max_keys;
        let mut progress = PartitionProgress::new(partition(), 0, 0);
        progress.source_next = copied;
        // Of the first record it is known where it came from.
        let mut runs = OffsetRuns::starting_at(0);
        runs.push(0, 1).unwrap();
        (progress.target_next, progress.runs_open) = (1, runs.to_text());
        review.look(&[progress], &mut None).await.unwrap();
    });
    document(bucket)
}

/// What happens to the pair of logs.
#[derive(Debug, Clone, Copy)]
enum Step {
    Write(u8, Option<u8>),
    Clean { forgets: bool },
    Copy(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let write = (0..12_u8, any::<Option<u8>>()).prop_map(|(key, value)| Step::Write(key, value));
    let clean = any::<bool>().prop_map(|forgets| Step::Clean { forgets });
    prop_oneof![6 => write, 1 => clean, 2 => (1..8_usize).prop_map(Step::Copy)]
}

/// The logs behind `steps`, the copy at the end of the source.
fn played(steps: &[Step]) -> (Log, Log) {
    let (mut source, mut target, mut next) = (Log::default(), Log::default(), 0);
    let mut copy = |source: &Log, target: &mut Log, most: usize| {
        for (offset, (key, value)) in source.records.range(next..).take(most) {
            target.append(*key, *value);
            next = offset + 1;
        }
    };
    for step in steps {
        match *step {
            Step::Write(key, value) => source.append(key, value),
            Step::Clean { forgets } => source.clean(forgets),
            Step::Copy(most) => copy(&source, &mut target, most),
        }
    }
    copy(&source, &mut target, usize::MAX);
    (source, target)
}

proptest! {
    /// Found are exactly the keys that are alive on the target and of which the source has nothing, however few are held at a
    /// time; and whatever else the two sides disagree on about who is alive there is none of.
    #[test]
    fn keys_that_live_on_the_target_alone_are_found(steps in prop::collection::vec(step(), 0..80), max_keys in 1..20_usize) {
        let (source, target) = played(&steps);
        let expected: BTreeSet<u8> = target.alive().difference(&source.keys()).copied().collect();
        let differing: BTreeSet<u8> = target.alive().symmetric_difference(&source.alive()).copied().collect();
        prop_assert_eq!(&differing, &expected, "deletions alone are lost by a copy");
        let live = target.alive().len() as u64;
        let records = target.records.clone();
        let found = compared(source, target, max_keys);
        prop_assert_eq!((found.deleted, found.live, &found.failed), (expected.len() as u64, live, &None));
        let named: BTreeSet<u8> = found.offsets.iter().map(|offset| records[offset].0).collect();
        prop_assert_eq!(named, expected);
    }
}

/// A log whose key 1 was deleted on the source and lives on the target.
fn with_a_lost_deletion() -> (Log, Log) {
    played(&[
        Step::Write(1, Some(1)),
        Step::Copy(1),
        Step::Write(1, None),
        Step::Write(2, Some(1)),
        Step::Clean { forgets: true },
        Step::Write(3, Some(3)),
    ])
}

#[test]
fn what_the_sources_retention_removed_is_no_lost_deletion() {
    let (mut source, target) = with_a_lost_deletion();
    assert_eq!(compared(source.clone(), target.clone(), 9).offsets, [0]);
    source.start = 1;
    let found = compared(source, target, 9);
    assert_eq!((found.deleted, found.failed), (0, None), "the record lay before the start");
}

#[test]
fn a_comparison_stands_until_the_copy_was_behind_for_longer_than_deletions_are_kept() {
    let (source, target) = with_a_lost_deletion();
    let bucket = Memory::default();
    let look = |seconds: i64, source: &Log, copied: i64| {
        let clock = Clock::from_fn(move || DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap());
        looked(source.clone(), target.clone(), &bucket, clock, (copied, 9)).map(|found| found.deleted)
    };
    let (same, end) = (target.clone(), source.end);
    assert_eq!(look(0, &same, same.end - 1), None, "behind: nothing can be compared yet");
    assert_eq!(look(5, &same, same.end), Some(0));
    assert_eq!(look(70, &source, end), Some(0), "compared already, and followed since");
    assert_eq!(look(150, &source, end - 1), Some(0), "not behind for long enough");
    assert_eq!(look(200, &source, end - 1), None, "130 s behind: what is known is nothing any more");
    assert_eq!(look(205, &source, end), Some(1));
}

#[test]
fn a_comparison_that_no_function_ends_is_not_waited_for() {
    let (source, target) = with_a_lost_deletion();
    let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    let found = |begun| {
        let stored = ComparedKeys::begun(partition(), now, begun);
        assert!(stored.is_unfinished());
        let bucket = Memory::default();
        let body = documents::document::encode(&DeletedKeys { partitions: vec![stored] }).unwrap();
        futures::executor::block_on(bucket.put(&key(BatchId(0)), body)).unwrap();
        looked(source.clone(), target.clone(), &bucket, Clock::from_fn(move || now), (source.end, 9)).unwrap()
    };
    let ended = found(2);
    assert!(!ended.is_unfinished() && (ended.deleted, ended.failed) == (1, None));
    let given_up = found(3);
    assert!(!given_up.is_unfinished() && given_up.failed.unwrap().contains("3 attempts"));
}
