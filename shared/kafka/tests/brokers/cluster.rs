//! The client against real brokers: a source in ZooKeeper mode and a target in KRaft mode, from the environment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::common::{cluster, clusters, eventually, fresh};
use bytes::Bytes;
use kafka::batch::{Codec, DecodeLimit, ProduceBytes, Record, Stamp, encode, split};
use kafka::{
    Cluster, Code, ConfigChange, ConfigOp, ConfigSource, Error, FetchOptions, FetchPosition, GroupState, Isolation,
    MetadataMode, NewOffset, NewTopic, OffsetSpec, ProducerIdentity, Settings, TopicPartition, all_ok,
};
use migration::ErrorKind;

const TIMEOUT: Duration = Duration::from_secs(10);

fn new_topic(name: &str, configs: &[(&str, &str)]) -> NewTopic {
    let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    NewTopic { name: name.into(), partitions: 3, replication_factor: 1, configs }
}

/// The name of a topic of three partitions for one test.
async fn create(cluster: &Cluster, name: &str) -> Arc<str> {
    crate::common::create(cluster, name, 3).await[0].topic.clone()
}

fn partitions(topic: &Arc<str>) -> Vec<TopicPartition> {
    (0..3).map(|partition| TopicPartition::new(topic.clone(), partition)).collect()
}

/// A batch of `count` records that is the producer's from its record `nth` on.
fn batch(producer: ProducerIdentity, nth: i64, count: i64, codec: Codec) -> ProduceBytes {
    let record = |at: i64| Record {
        offset: at,
        timestamp: 1_700_000_000_000 + at,
        key: Some(Bytes::from(format!("key-{at}"))),
        value: Some(Bytes::from(vec![b'v'; 100])),
        headers: vec![(Bytes::from_static(b"h"), None), (Bytes::from_static(b"h"), Some(Bytes::from_static(b"2")))],
    };
    let records: Vec<Record> = (nth..nth + count).map(record).collect();
    let stamp = Stamp::nth(producer.id, producer.epoch, nth);
    encode(&records, codec, stamp, nth).unwrap().to_produce()
}

fn options() -> FetchOptions {
    let isolation = Isolation::ReadCommitted;
    FetchOptions { max_wait: Duration::from_millis(500), min_bytes: 1, max_bytes: 10 << 20, isolation }
}

fn position(partition: &TopicPartition, offset: i64) -> FetchPosition {
    FetchPosition { partition: partition.clone(), offset, max_bytes: 1 << 20 }
}

#[tokio::test]
async fn the_metadata_mode_is_told_by_the_apis() {
    for (variable, mode) in
        [("MSK_KRAFT_TEST_SOURCE", MetadataMode::ZooKeeper), ("MSK_KRAFT_TEST_TARGET", MetadataMode::KRaft)]
    {
        let Some(cluster) = cluster(variable).await else { continue };
        assert_eq!(cluster.metadata_mode(), mode);
        assert!(cluster.id().is_some());
        let brokers = cluster.brokers().await.unwrap();
        println!("{variable}: {mode}, {} broker(s)", brokers.len());
        assert!(!brokers.is_empty());
    }
}

#[tokio::test]
async fn topics_are_created_once_and_listed_with_their_leaders() {
    for cluster in clusters().await {
        let topic = new_topic(&fresh("created"), &[("retention.ms", "-1")]);
        let bad = new_topic(&fresh("bad"), &[("retention.ms", "soon")]);
        let each = cluster.create_topics(&[topic.clone(), bad.clone()]).await;
        assert_eq!(each[0], (topic.name.clone(), Ok(())));
        assert_eq!(each[1].1.as_ref().unwrap_err().code(), Some(Code::InvalidConfig), "{each:?}");

        let again = cluster.create_topics(std::slice::from_ref(&topic)).await;
        let again = again[0].1.as_ref().unwrap_err();
        assert_eq!(again.code(), Some(Code::TopicAlreadyExists));
        assert_eq!(migration::Error::from(again.clone()).context.topic.as_deref(), Some(&*topic.name));

        for partition in partitions(&topic.name) {
            cluster.with_retries(|| cluster.leader(&partition)).await.unwrap();
        }
        let topics = cluster.topics().await.unwrap();
        let listed = topics.iter().find(|listed| listed.name == topic.name).unwrap();
        assert_eq!(listed.topic_partitions().collect::<Vec<_>>(), partitions(&topic.name));
        assert!(listed.partitions.iter().all(|info| info.replicas.len() == 1 && info.isr == info.replicas));
        assert!(!listed.internal && topics.iter().all(|listed| listed.name != bad.name));

        let shown = async || {
            let of_brokers = cluster.topics_of_brokers().await.unwrap();
            assert_eq!(of_brokers.len(), cluster.brokers().await.unwrap().len());
            let ids = |topics: &Vec<kafka::TopicInfo>| topics.iter().find(|found| found.name == topic.name)?.id.clone();
            of_brokers.values().map(ids).collect::<Vec<_>>()
        };
        eventually(async || shown().await.iter().all(|id| *id == listed.id && id.is_some())).await;
        all_ok(cluster.delete_topics(std::slice::from_ref(&topic.name)).await).unwrap();
        eventually(async || shown().await.iter().all(Option::is_none)).await;
        assert!(cluster.topics().await.unwrap().iter().all(|listed| listed.name != topic.name));
    }
}

#[tokio::test]
async fn more_topics_and_configs_than_a_controller_takes_at_once_are_checked() {
    for cluster in clusters().await {
        // 11,400 records of topics and partitions.
        let many = |n| NewTopic { partitions: 75, ..new_topic(&fresh(&format!("many-{n}")), &[]) };
        let topics: Vec<_> = (0..150).map(many).collect();
        assert_eq!(all_ok(cluster.would_create_topics(&topics).await).unwrap().len(), 150);
    }
}

#[tokio::test]
async fn a_creation_can_be_checked_without_being_carried_out() {
    for cluster in clusters().await {
        let good = new_topic(&fresh("checked"), &[("retention.ms", "-1")]);
        let bad = new_topic(&fresh("bad"), &[("retention.ms", "soon")]);
        let each = cluster.would_create_topics(&[good.clone(), bad]).await;
        assert_eq!(each[0], (good.name.clone(), Ok(())));
        assert_eq!(each[1].1.as_ref().unwrap_err().code(), Some(Code::InvalidConfig), "{each:?}");
        assert!(cluster.topics().await.unwrap().iter().all(|listed| listed.name != good.name));
    }
}

#[tokio::test]
async fn configs_are_changed_one_by_one() {
    for cluster in clusters().await {
        let topic = new_topic(&fresh("configs"), &[("retention.ms", "12345"), ("compression.type", "producer")]);
        all_ok(cluster.create_topics(std::slice::from_ref(&topic)).await).unwrap();
        let names = std::slice::from_ref(&topic.name);
        let set = |name: &str, value: &str| ConfigOp::Set { name: name.into(), value: value.into() };
        let ops = vec![set("max.message.bytes", "2000000"), ConfigOp::Delete { name: "retention.ms".into() }];
        all_ok(cluster.alter_topic_configs(&[ConfigChange { topic: topic.name.clone(), ops }]).await).unwrap();
        // KRaft brokers learn of a change a moment after the controller has made it.
        let own = async || -> BTreeMap<String, String> {
            let entries = all_ok(cluster.topic_configs(names).await).unwrap().remove(&topic.name).unwrap();
            let own = entries.into_iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
            own.map(|entry| (entry.name, entry.value.unwrap())).collect()
        };
        let expected = [("compression.type", "producer"), ("max.message.bytes", "2000000")];
        let expected: BTreeMap<String, String> = expected.map(|(name, value)| (name.into(), value.into())).into();
        eventually(async || own().await == expected).await;

        // What it would have without its own, in its own units although brokers have hours.
        let inherited = cluster.inherited_topic_configs(&topic.name).await.unwrap();
        assert_eq!(inherited["retention.ms"], "604800000");
        assert_eq!(inherited["max.message.bytes"], "4194304", "as the stack's brokers are configured");

        let ops = vec![set("retention.ms", "soon")];
        let refused = cluster.alter_topic_configs(&[ConfigChange { topic: topic.name.clone(), ops }]).await;
        // Brokers up to 2.8 have another code for it.
        assert_eq!(refused[0].1.as_ref().unwrap_err().kind(), ErrorKind::Invalid, "{refused:?}");

        let brokers = cluster.brokers().await.unwrap();
        let configs = cluster.broker_configs(brokers[0].id).await.unwrap();
        let log_dirs = configs.iter().find(|entry| entry.name == "log.dirs").unwrap();
        assert_eq!(log_dirs.source, ConfigSource::StaticBroker);
        assert!(configs.iter().any(|entry| entry.is_default()));
    }
}

#[tokio::test]
async fn batches_are_written_once_and_read_back_as_they_are() {
    for cluster in clusters().await {
        let topic = create(&cluster, "raw").await;
        let partitions = partitions(&topic);
        let producer = cluster.init_producer_id().await.unwrap();
        assert!(producer.id >= 0 && producer.epoch == 0);

        for (nth, codec) in
            [(0, Codec::Zstd), (5, Codec::None), (10, Codec::Lz4), (15, Codec::Gzip), (20, Codec::Snappy)]
        {
            let bytes = batch(producer, nth, 5, codec);
            let batches: Vec<_> = partitions.iter().map(|partition| (partition.clone(), bytes.clone())).collect();
            // The second time stands for an answer that was lost.
            for _ in 0..2 {
                let produced = all_ok(cluster.produce_retrying(&batches, TIMEOUT).await).unwrap();
                assert_eq!(produced.len(), 3);
                assert!(produced.values().all(|produced| produced.base_offset == nth), "{produced:?}");
            }
            let fetched = cluster.fetch(&[position(&partitions[1], nth)], &options()).await.remove(0).1.unwrap();
            assert_eq!((fetched.high_watermark, fetched.last_stable_offset, fetched.log_start), (nth + 5, nth + 5, 0));
            let batches: Vec<_> = split(fetched.records).map(Result::unwrap).collect();
            assert_eq!(batches.len(), 1);
            // Base offset and leader epoch are the broker's, everything from the magic byte on is ours.
            assert_eq!(batches[0].bytes()[16..], bytes.concat()[16..]);
            let records = batches[0].decode(DecodeLimit::bytes(1 << 20)).unwrap();
            assert_eq!(records[0].offset, nth);
        }

        // One after a gap, and one from long ago that is not among the five that the broker remembers.
        for nth in [30, 0] {
            let bytes = batch(producer, nth, 2, Codec::None);
            let each = cluster.produce_retrying(&[(partitions[0].clone(), bytes)], TIMEOUT).await;
            assert_eq!(each[0].1.as_ref().unwrap_err().code(), Some(Code::OutOfOrderSequenceNumber), "{nth}");
        }
        let mut damaged = batch(producer, 25, 5, Codec::None).concat().to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        let each = cluster.produce_retrying(&[(partitions[0].clone(), Bytes::from(damaged).into())], TIMEOUT).await;
        assert_eq!(each[0].1.as_ref().unwrap_err().code(), Some(Code::CorruptMessage));

        let remembered = all_ok(cluster.describe_producers(&partitions).await).unwrap();
        for states in remembered.into_values() {
            assert_eq!(states.len(), 1);
            let state = (states[0].producer_id, states[0].last_sequence, states[0].transaction_start);
            assert_eq!(state, (producer.id, 24, None));
        }
        let sizes = cluster.log_sizes().await.unwrap();
        assert!(partitions.iter().all(|partition| sizes[partition] > 500), "{sizes:?}");
    }
}

#[tokio::test]
async fn the_ends_of_a_log_are_told_and_its_beginning_moved() {
    for cluster in clusters().await {
        let topic = create(&cluster, "ends").await;
        let partitions = partitions(&topic);
        let producer = cluster.init_producer_id().await.unwrap();
        let batches: Vec<_> =
            (1..=2).map(|at| (partitions[at].clone(), batch(producer, 0, 10 * at as i64, Codec::Zstd))).collect();
        all_ok(cluster.produce_retrying(&batches, TIMEOUT).await).unwrap();

        let ends = async |spec| -> Vec<i64> {
            all_ok(cluster.list_offsets(&partitions, spec).await).unwrap().into_values().collect()
        };
        assert_eq!(ends(OffsetSpec::Latest).await, [0, 10, 20]);
        assert_eq!(ends(OffsetSpec::LastStable).await, [0, 10, 20]);
        assert_eq!(ends(OffsetSpec::Earliest).await, [0, 0, 0]);

        let deleted = cluster.delete_records(&[(partitions[1].clone(), 4), (partitions[2].clone(), 99)]).await;
        assert_eq!(deleted[0].1, Ok(4));
        assert_eq!(deleted[1].1.as_ref().unwrap_err().code(), Some(Code::OffsetOutOfRange));
        assert_eq!(ends(OffsetSpec::Earliest).await, [0, 4, 0]);

        let wanted = [position(&partitions[2], 21), position(&partitions[1], 4), position(&partitions[1], 3)];
        let each = cluster.fetch(&wanted[..2], &options()).await;
        let above = each[0].1.as_ref().unwrap_err();
        assert_eq!(above.code(), Some(Code::OffsetOutOfRange));
        assert_eq!(above.partition(), Some(&partitions[2]));
        // The batch begins before the log does.
        let fetched = each[1].1.as_ref().unwrap();
        assert_eq!(fetched.log_start, 4);
        assert_eq!(split(fetched.records.clone()).next().unwrap().unwrap().header().base_offset, 0);
        let below = cluster.fetch(&wanted[2..], &options()).await;
        assert_eq!(below[0].1.as_ref().unwrap_err().code(), Some(Code::OffsetOutOfRange));
    }
}

#[tokio::test]
async fn a_waiting_fetch_holds_up_nothing_else() {
    for cluster in clusters().await {
        let topic = create(&cluster, "waiting").await;
        let partition = TopicPartition::new(topic, 0);
        let producer = cluster.init_producer_id().await.unwrap();
        let produce = async |nth| {
            let batches = [(partition.clone(), batch(producer, nth, 1, Codec::None))];
            all_ok(cluster.produce_retrying(&batches, TIMEOUT).await).unwrap();
        };
        // A fetch is tried once, and would fail while the leader of a new topic does not know it yet.
        produce(0).await;
        let waiting = FetchOptions { max_wait: Duration::from_secs(20), ..options() };
        let wanted = [position(&partition, 1)];
        let fetch = cluster.fetch(&wanted, &waiting);
        let work = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let ends = cluster.list_offsets(std::slice::from_ref(&partition), OffsetSpec::Latest).await;
            assert_eq!(ends[0].1, Ok(1));
            produce(1).await;
        };
        let both = async { tokio::join!(fetch, work).0 };
        let each = tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
        assert_eq!(each[0].1.as_ref().unwrap().high_watermark, 2);
    }
}

#[tokio::test]
async fn offsets_are_committed_for_groups_that_nobody_is_in() {
    for cluster in clusters().await {
        let topic = create(&cluster, "committed").await;
        let group = fresh("group");
        assert_eq!(cluster.committed_offsets(&group).await, Ok(vec![]));
        let described = cluster.describe_groups(std::slice::from_ref(&group)).await;
        assert_eq!(described[0].1.as_ref().unwrap().state, GroupState::Dead);

        let offset = |partition: TopicPartition| NewOffset {
            offset: i64::from(partition.partition) + 7,
            metadata: format!("määta-{}", partition.partition),
            partition,
        };
        let offsets: Vec<NewOffset> = partitions(&topic).into_iter().map(offset).collect();
        all_ok(cluster.commit_offsets(&group, &offsets).await).unwrap();
        let committed = cluster.committed_offsets(&group).await.unwrap();
        assert!(committed.iter().all(|committed| committed.leader_epoch.is_none()));
        let read: Vec<NewOffset> = committed
            .into_iter()
            .map(|found| NewOffset { partition: found.partition, offset: found.offset, metadata: found.metadata })
            .collect();
        assert_eq!(read, offsets);

        let listed = cluster.list_groups().await.unwrap();
        let listed = listed.iter().find(|listed| listed.id == group).unwrap();
        assert_eq!(listed.state, GroupState::Empty);
        let described = all_ok(cluster.describe_groups(std::slice::from_ref(&group)).await).unwrap();
        assert_eq!(described[&group].state, GroupState::Empty);
        assert!(described[&group].members.is_empty());
    }
}

/// A KRaft controller refuses an operation that makes more than 10,000 records.
#[tokio::test]
async fn more_configs_are_altered_than_a_controller_takes_at_once() {
    const TOPICS: usize = 500;
    const CONFIGS: &str = "cleanup.policy=delete compression.type=producer delete.retention.ms=1000 file.delete.delay.ms=1000 \
        flush.messages=1000 flush.ms=1000 index.interval.bytes=4096 max.compaction.lag.ms=1000 \
        max.message.bytes=1000 message.timestamp.type=CreateTime min.cleanable.dirty.ratio=0.1 \
        min.compaction.lag.ms=1 min.insync.replicas=1 preallocate=false retention.bytes=1000 retention.ms=-1 \
        segment.bytes=10485760 segment.index.bytes=1000 segment.jitter.ms=1 segment.ms=1000 \
        unclean.leader.election.enable=false";
    let Some(target) = cluster("MSK_KRAFT_TEST_TARGET").await else { return };
    let topic = |_| NewTopic { partitions: 1, ..new_topic(&fresh("many"), &[]) };
    let topics: Vec<_> = (0..TOPICS).map(topic).collect();
    for some in topics.chunks(100) {
        all_ok(target.create_topics(some).await).unwrap();
    }
    let sets = CONFIGS.split(' ').map(|config| config.split_once('=').unwrap());
    let ops: Vec<_> =
        sets.map(|(name, value)| ConfigOp::Set { name: name.to_owned(), value: value.to_owned() }).collect();
    assert!(TOPICS * ops.len() > 10_000);
    let change = |topic: &NewTopic| ConfigChange { topic: topic.name.clone(), ops: ops.clone() };
    let changes: Vec<_> = topics.iter().map(change).collect();
    all_ok(target.check_topic_configs(&changes).await).unwrap();
    let names: Vec<_> = topics.into_iter().map(|topic| topic.name).collect();
    all_ok(target.delete_topics(&names).await).unwrap();
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    for (variable, absent) in [("MSK_KRAFT_TEST_SOURCE", fresh("absent")), ("MSK_KRAFT_TEST_TARGET", fresh("absent"))] {
        let Ok(bootstrap) = std::env::var(variable) else { continue };
        let mut settings = Settings::parse(&bootstrap);
        settings.retry.deadline = Duration::from_millis(300);
        let cluster = Cluster::connect(settings).await.unwrap();
        let partition = TopicPartition::new(absent.as_str(), 0);
        let each = cluster.list_offsets(std::slice::from_ref(&partition), OffsetSpec::Latest).await;
        assert_eq!(each[0].1, Err(Error::NoLeader { partition: partition.clone() }));
        let error = migration::Error::from(each[0].1.clone().unwrap_err());
        assert_eq!(error.context.topic.as_deref(), Some(absent.as_str()));
        let configs = cluster.topic_configs(&[absent.as_str().into()]).await;
        assert_eq!(configs[0].1.as_ref().unwrap_err().code(), Some(Code::UnknownTopicOrPartition));
        assert!(cluster.topics().await.unwrap().iter().all(|topic| *topic.name != *absent), "it was created");
    }
}
