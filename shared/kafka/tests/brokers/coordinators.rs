//! Groups and what their coordinators say about them, against real brokers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::{clusters, create, eventually, fresh};
use crate::raw::{self, text};
use kafka::batch::split;
use kafka::{
    Cluster, Code, CommitLimits, CommittedOffset, ConfigChange, ConfigOp, Each, FetchOptions, FetchPosition,
    GroupState, GroupType, Isolation, NewOffset, OffsetSpec, OpenTransaction, Place, Stability, TopicPartition, all_ok,
};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, ConsumerGroupHeartbeatRequest, EndTxnRequest, GroupId, InitProducerIdRequest,
    InitProducerIdResponse, ShareGroupHeartbeatRequest, TopicName, TransactionalId, TxnOffsetCommitRequest,
};

/// Key type of groups.
const GROUP: i8 = 0;
/// Key type of transactional ids.
const TRANSACTION: i8 = 1;
const OFFSETS: &str = "__consumer_offsets";

fn offset(partition: &TopicPartition, offset: i64, metadata: &str) -> NewOffset {
    NewOffset { partition: partition.clone(), offset, metadata: metadata.to_owned() }
}

/// What a group has committed, as it was given.
fn given(committed: Vec<CommittedOffset>) -> Vec<NewOffset> {
    committed.into_iter().map(|found| offset(&found.partition, found.offset, &found.metadata)).collect()
}

/// A transactional producer that only commits offsets of groups.
struct Transaction {
    coordinator: String,
    id: String,
    producer: InitProducerIdResponse,
}

impl Transaction {
    async fn begin(cluster: &Cluster) -> Self {
        let id = fresh("transaction");
        let coordinator = raw::coordinator(cluster, TRANSACTION, &id).await;
        let init = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(&id))))
            .with_transaction_timeout_ms(600_000);
        let producer = raw::send_until_ready(&coordinator, &init, 4, |answer| answer.error_code).await;
        Self { coordinator, id, producer }
    }

    /// Announces that offsets of `group` will be committed.
    async fn announce(&self, group: &str) {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(TransactionalId(text(&self.id)))
            .with_producer_id(self.producer.producer_id)
            .with_producer_epoch(self.producer.producer_epoch)
            .with_group_id(GroupId(text(group)));
        raw::send_until_ready(&self.coordinator, &request, 3, |answer| answer.error_code).await;
    }

    async fn commit(&self, cluster: &Cluster, group: &str, partition: &TopicPartition, offset: i64) {
        let wanted = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(partition.partition)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("")));
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(TopicName(text(&partition.topic)))
            .with_partitions(vec![wanted]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(TransactionalId(text(&self.id)))
            .with_group_id(GroupId(text(group)))
            .with_producer_id(self.producer.producer_id)
            .with_producer_epoch(self.producer.producer_epoch)
            .with_topics(vec![topic]);
        let keeper = raw::coordinator(cluster, GROUP, group).await;
        raw::send_until_ready(&keeper, &request, 3, |answer| answer.topics[0].partitions[0].error_code).await;
    }

    async fn end(&self) {
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(&self.id)))
            .with_producer_id(self.producer.producer_id)
            .with_producer_epoch(self.producer.producer_epoch)
            .with_committed(true);
        raw::send_until_ready(&self.coordinator, &request, 3, |answer| answer.error_code).await;
    }

    /// What the cluster says about it.
    async fn seen(&self, cluster: &Cluster) -> Vec<OpenTransaction> {
        let open = cluster.open_offset_transactions().await.unwrap();
        open.into_iter().filter(|one| one.producer_id == self.producer.producer_id.0).collect()
    }
}

/// Whether brokers name transactions (Kafka 3.0).
async fn names_transactions(cluster: &Cluster) -> bool {
    !matches!(cluster.transactions().await, Err(kafka::Error::UnsupportedApi { .. }))
}

#[tokio::test]
async fn a_pending_commit_is_seen_at_once_with_its_group() {
    for cluster in clusters().await {
        let partitions = create(&cluster, "pending", 2).await;
        let group = fresh("pending");
        let committed = [offset(&partitions[0], 5, "five"), offset(&partitions[1], 6, "")];
        all_ok(cluster.commit_offsets(&group, &committed).await).unwrap();
        let transaction = Transaction::begin(&cluster).await;
        transaction.announce(&group).await;
        transaction.commit(&cluster, &group, &partitions[1], 60).await;

        assert_eq!(given(cluster.committed_offsets_now(&group).await.unwrap()), committed);
        assert_eq!(cluster.unstable_offsets(&group).await.unwrap(), partitions[1..]);
        let groups = [group.clone(), fresh("nobody")];
        let stable = all_ok(cluster.committed_offsets_of(&groups, Stability::Stable).await).unwrap();
        assert_eq!(stable[&groups[1]], []);
        let each: &Each<TopicPartition, CommittedOffset> = &stable[&group];
        assert_eq!(each[0].1.as_ref().unwrap().offset, 5);
        let error = each[1].1.as_ref().unwrap_err();
        assert_eq!((error.code(), error.group()), (Some(Code::UnstableOffsetCommit), Some(&*group)));
        let place = Place::Offset { group: group.clone(), partition: partitions[1].clone() };
        assert!(error.to_string().contains(&place.to_string()), "{error}");
        let now = all_ok(cluster.committed_offsets_of(&groups, Stability::Now).await).unwrap();
        assert_eq!(given(now[&group].iter().map(|(_, offset)| offset.clone().unwrap()).collect()), committed);

        let seen = transaction.seen(&cluster).await;
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!((&*seen[0].partition.topic, seen[0].group.as_deref()), (OFFSETS, Some(&*group)));
        assert!(seen[0].start_offset.is_some() && seen[0].last_timestamp.is_some());
        if names_transactions(&cluster).await {
            assert_eq!(seen[0].transactional_id.as_deref(), Some(&*transaction.id));
            assert!(seen[0].started_at.is_some());
        }

        transaction.end().await;
        let stable = cluster.committed_offsets(&group).await.unwrap();
        assert_eq!(given(stable), [committed[0].clone(), offset(&partitions[1], 60, "")]);
        assert_eq!(cluster.unstable_offsets(&group).await.unwrap(), []);
        eventually(async || transaction.seen(&cluster).await.is_empty()).await;
    }
}

#[tokio::test]
async fn a_first_commit_in_a_transaction_is_seen_although_the_group_has_none() {
    for cluster in clusters().await {
        let partitions = create(&cluster, "first", 1).await;
        let group = fresh("first");
        let transaction = Transaction::begin(&cluster).await;
        transaction.announce(&group).await;
        if names_transactions(&cluster).await {
            let seen = transaction.seen(&cluster).await;
            assert_eq!(seen.len(), 1, "{seen:?}");
            assert_eq!((seen[0].start_offset, seen[0].transactional_id.as_deref()), (None, Some(&*transaction.id)));
        }
        transaction.commit(&cluster, &group, &partitions[0], 7).await;
        assert_eq!(cluster.committed_offsets_now(&group).await.unwrap(), []);
        let seen = transaction.seen(&cluster).await;
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!(seen[0].group.as_deref(), Some(&*group));
        transaction.end().await;
        eventually(async || cluster.committed_offsets(&group).await.unwrap().len() == 1).await;
    }
}

#[tokio::test]
async fn the_offsets_of_many_groups_take_few_requests() {
    const GROUPS: usize = 1_000;
    for cluster in clusters().await {
        let partitions = create(&cluster, "thousand", 2).await;
        let groups: Vec<String> = (0..GROUPS).map(|_| fresh("thousand")).collect();
        let offsets = [offset(&partitions[0], 1, ""), offset(&partitions[1], 2, "two")];
        for some in groups.chunks(50) {
            let commits = some.iter().map(|group| cluster.commit_offsets(group, &offsets));
            for committed in futures::future::join_all(commits).await {
                all_ok(committed).unwrap();
            }
        }
        let begun = Instant::now();
        let found = all_ok(cluster.committed_offsets_of(&groups, Stability::Stable).await).unwrap();
        println!("{}: offsets of {GROUPS} groups in {:?}", cluster.metadata_mode(), begun.elapsed());
        assert_eq!(found.len(), GROUPS);
        for each in found.into_values() {
            assert_eq!(given(each.into_iter().map(|(_, offset)| offset.unwrap()).collect()), offsets);
        }
        let begun = Instant::now();
        let described = all_ok(cluster.describe_groups(&groups).await).unwrap();
        println!("{}: descriptions of {GROUPS} groups in {:?}", cluster.metadata_mode(), begun.elapsed());
        let empty = described.values().filter(|group| group.state == GroupState::Empty);
        assert_eq!(empty.filter(|group| group.group_type == Some(GroupType::Classic)).count(), GROUPS);
    }
}

/// Sets a config of the groups' topic, or takes it back, and waits until brokers go by it.
async fn limit_batches(cluster: &Cluster, bytes: Option<usize>) {
    let name = "max.message.bytes".to_owned();
    let op = match bytes {
        Some(bytes) => ConfigOp::Set { name, value: bytes.to_string() },
        None => ConfigOp::Delete { name },
    };
    let change = ConfigChange { topic: OFFSETS.into(), ops: vec![op] };
    all_ok(cluster.alter_topic_configs(&[change]).await).unwrap();
    let expected = bytes.unwrap_or(4 << 20);
    eventually(async || cluster.coordinator_limits().await.unwrap().batch_bytes == Some(expected)).await;
    // The leader follows a moment later.
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// Sizes of the batches of `__consumer_offsets` from the given ends on.
async fn batches(cluster: &Cluster, from: Vec<(TopicPartition, i64)>) -> Vec<usize> {
    let isolation = Isolation::ReadUncommitted;
    let options = FetchOptions { max_wait: Duration::ZERO, min_bytes: 0, max_bytes: 50 << 20, isolation };
    let position = |(partition, offset)| FetchPosition { partition, offset, max_bytes: 10 << 20 };
    let positions: Vec<_> = from.into_iter().map(position).collect();
    let fetched = all_ok(cluster.fetch_retrying(&positions, &options).await).unwrap();
    let records = fetched.into_values().flat_map(|fetched| split(fetched.records));
    records.map(|batch| batch.unwrap().header().size()).collect()
}

/// One test for all that changes the limit, which is the cluster's.
#[tokio::test]
async fn commits_are_split_by_what_the_coordinator_takes() {
    const LIMIT: usize = 100_000;
    for cluster in clusters().await {
        let partitions = create(&cluster, "heavy", 300).await;
        let group = fresh("heavy");
        // The topic of the groups is there from now on.
        all_ok(cluster.commit_offsets(&group, &[offset(&partitions[0], 1, "")]).await).unwrap();
        let untouched = cluster.coordinator_limits().await.unwrap();
        assert!(untouched.are_told());
        assert_eq!(
            (untouched.metadata_bytes, untouched.batch_bytes),
            (Some(4096), Some(4 << 20)),
            "as the stack's are"
        );
        limit_batches(&cluster, Some(LIMIT)).await;
        let limits = cluster.coordinator_limits().await.unwrap().commits();
        assert_eq!(limits.batch_bytes, LIMIT);

        let heavy = |at: i64| -> Vec<NewOffset> {
            partitions.iter().map(|partition| offset(partition, at, &"m".repeat(3_900))).collect()
        };
        let of_offsets = TopicPartition::new(OFFSETS, 0);
        let kept: Vec<_> = {
            let topics = cluster.topics().await.unwrap();
            topics.iter().find(|topic| *topic.name == *of_offsets.topic).unwrap().topic_partitions().collect()
        };
        let ends = all_ok(cluster.list_offsets(&kept, OffsetSpec::Latest).await).unwrap().into_iter().collect();
        all_ok(cluster.commit_offsets_within(&group, &heavy(2), &limits).await).unwrap();
        assert_eq!(given(cluster.committed_offsets(&group).await.unwrap()), heavy(2));
        let sizes = batches(&cluster, ends).await;
        // Others commit at the same time, and much less.
        let full = sizes.iter().filter(|size| **size > LIMIT - 5_000).count();
        assert!(full >= 12 && sizes.iter().all(|size| *size <= LIMIT), "{sizes:?}");

        // Without knowing the limit it is found by trying.
        all_ok(cluster.commit_offsets(&group, &heavy(3)).await).unwrap();
        assert_eq!(given(cluster.committed_offsets(&group).await.unwrap()), heavy(3));

        // One that fits into no batch, and one whose metadata is too long, keep no other from being committed.
        let long = "m".repeat(5_000);
        let mixed = [
            offset(&partitions[0], 4, ""),
            offset(&partitions[1], 4, &long),
            offset(&partitions[2], 4, "fine"),
            offset(&partitions[3], 4, &"m".repeat(4_000)),
        ];
        limit_batches(&cluster, Some(3_000)).await;
        let limits = cluster.coordinator_limits().await.unwrap().commits();
        let each = cluster.commit_offsets_within(&group, &mixed, &limits).await;
        let codes: Vec<_> =
            each.iter().map(|(_, outcome)| outcome.as_ref().err().and_then(kafka::Error::code)).collect();
        let expected = [None, Some(Code::OffsetMetadataTooLarge), None, Some(Code::InvalidCommitOffsetSize)];
        assert_eq!(codes, expected);
        assert!(!limits.allow(&group, &mixed[1]) && !limits.allow(&group, &mixed[3]));
        limit_batches(&cluster, None).await;
        let stored = given(cluster.committed_offsets(&group).await.unwrap());
        assert_eq!((&stored[0], &stored[2]), (&mixed[0], &mixed[2]));
        assert_eq!((stored[1].offset, stored[3].offset), (3, 3));
        weights_are_what_is_written(&cluster, &group, &kept).await;
    }
}

/// What [`CommitLimits::weight`] says against what the coordinator wrote.
async fn weights_are_what_is_written(cluster: &Cluster, group: &str, kept: &[TopicPartition]) {
    let topic: Arc<str> = create(cluster, "weighed", 100).await[0].topic.clone();
    for metadata in ["", "short", &"ä".repeat(2_000)] {
        let offsets: Vec<_> =
            (0..100).map(|at| offset(&TopicPartition::new(topic.clone(), at), i64::MAX, metadata)).collect();
        let ends = all_ok(cluster.list_offsets(kept, OffsetSpec::Latest).await).unwrap().into_iter().collect();
        all_ok(cluster.commit_offsets(group, &offsets).await).unwrap();
        let written = batches(cluster, ends).await.into_iter().max().unwrap();
        let weight: usize = offsets.iter().map(|offset| CommitLimits::weight(group, offset)).sum();
        println!("{}: 100 offsets weigh {weight}, their batch has {written} bytes", cluster.metadata_mode());
        // A few bytes an offset more, and never fewer.
        assert!(weight + CommitLimits::BATCH_OVERHEAD >= written, "{weight} for {written}");
        assert!(weight <= written + 100 * 32, "{weight} for {written}");
    }
}

#[tokio::test]
async fn groups_are_told_by_their_type() {
    for cluster in clusters().await {
        let partitions = create(&cluster, "typed", 1).await;
        let topic = TopicName(text(&partitions[0].topic));
        let (classic, consumer, share) = (fresh("classic"), fresh("consumer"), fresh("share"));
        all_ok(cluster.commit_offsets(&classic, &[offset(&partitions[0], 1, "")]).await).unwrap();
        // ListGroups tells types from Kafka 3.8 on; the protocol of KIP-848 is there from 4.0 on, the one of KIP-932 from 4.1.
        let listed = cluster.list_groups().await.unwrap();
        let told = listed.iter().find(|group| group.id == classic).unwrap().group_type.clone();
        assert!([None, Some(GroupType::Classic)].contains(&told), "{told:?}");
        let kraft = cluster.metadata_mode() == kafka::MetadataMode::KRaft;
        if !kraft || told.is_none() || !has_new_groups(&cluster).await {
            println!("skipped: the {} cluster has classic groups only", cluster.metadata_mode());
            continue;
        }
        let heartbeat = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(&consumer)))
            .with_member_id(text("AAAAAAAAAAAAAAAAAAAAAQ"))
            .with_rebalance_timeout_ms(60_000)
            .with_topic_partitions(Some(Vec::new()))
            .with_subscribed_topic_names(Some(vec![topic.clone()]));
        let joined = raw::send(&raw::coordinator(&cluster, GROUP, &consumer).await, &heartbeat, 0).await;
        assert_eq!(joined.error_code, 0, "{joined:?}");
        let heartbeat = ShareGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(&share)))
            .with_member_id(text("AAAAAAAAAAAAAAAAAAAAAg"))
            .with_subscribed_topic_names(Some(vec![topic]));
        let joined = raw::send(&raw::coordinator(&cluster, GROUP, &share).await, &heartbeat, 1).await;
        assert_eq!(joined.error_code, 0, "{joined:?}");

        let groups = [classic, consumer, share, fresh("nobody")];
        let described = all_ok(cluster.describe_groups(&groups).await).unwrap();
        let types: Vec<_> = groups.iter().map(|group| described[group].group_type.clone()).collect();
        let expected = [Some(GroupType::Classic), Some(GroupType::Consumer), Some(GroupType::Share), None];
        assert_eq!(types, expected);
        assert_eq!(described[&groups[3]].state, GroupState::Dead);
        let listed = cluster.list_groups().await.unwrap();
        for group in &groups[..3] {
            let listing = listed.iter().find(|listing| listing.id == *group).unwrap();
            assert_eq!(listing.group_type, described[group].group_type);
        }
        for group in &groups[1..3] {
            let member = &described[group].members[0];
            assert_eq!((member.client_id.as_str(), member.host.as_str()), ("raw", "/127.0.0.1"));
            assert!(described[group].state.is_active());
        }
        let commit = cluster.commit_offsets(&groups[2], &[offset(&partitions[0], 1, "")]).await;
        assert_eq!(commit[0].1.as_ref().unwrap_err().code(), Some(Code::GroupIdNotFound));
    }
}

/// Whether the brokers have groups of the types that came with Kafka 4.
async fn has_new_groups(cluster: &Cluster) -> bool {
    let brokers = cluster.brokers().await.unwrap();
    let configs = cluster.broker_configs(brokers[0].id).await.unwrap();
    configs.iter().any(|config| config.name == "group.streams.max.size")
}
