use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    ApiKey, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, ProduceRequest, ProduceResponse,
};

use super::*;
use crate::fake::{Asked, FakeBroker, Reaction, hasty, metadata};
use crate::spread::topic_name;
use crate::{Code, FetchOptions, FetchPosition, Isolation, OffsetSpec, Place, Stability, all_ok};

fn partitions(count: i32) -> Vec<TopicPartition> {
    (0..count).map(|partition| TopicPartition::new("t", partition)).collect()
}

fn failure(code: Code) -> Error {
    Error::Broker { api: ApiKey::Metadata, code, place: Place::Cluster, message: None }
}

/// Answers about the partitions asked for with `code(partition)` and, as offset, the partition times ten.
fn offsets(asked: &Asked, code: impl Fn(i32) -> i16) -> Reaction {
    let request = asked.request::<ListOffsetsRequest>();
    let answered = request.topics[0].partitions.iter().map(|partition| {
        let index = partition.partition_index;
        ListOffsetsPartitionResponse::default()
            .with_partition_index(index)
            .with_error_code(code(index))
            .with_offset(i64::from(index) * 10)
    });
    let topic = ListOffsetsTopicResponse::default().with_name(topic_name("t")).with_partitions(answered.collect());
    asked.answer(&ListOffsetsResponse::default().with_topics(vec![topic]))
}

/// Answers a produce request for partition 0 with `code`.
fn written(asked: &Asked, code: i16) -> Reaction {
    let partition = PartitionProduceResponse::default().with_index(0).with_error_code(code).with_base_offset(42);
    let topic = TopicProduceResponse::default().with_name(topic_name("t")).with_partition_responses(vec![partition]);
    asked.answer(&ProduceResponse::default().with_responses(vec![topic]))
}

fn records(asked: &Asked) -> Bytes {
    asked.request::<ProduceRequest>().topic_data[0].partition_data[0].records.clone().unwrap()
}

/// A cluster of one broker, which leads the partitions of `t`.
async fn single(leaders: &'static [i32], script: impl Fn(&Asked) -> Reaction + Send + Sync + 'static) -> FakeBroker {
    let port = Arc::new(AtomicUsize::new(0));
    let own = port.clone();
    let broker = FakeBroker::start(move |asked| match asked.api {
        ApiKey::ApiVersions => None,
        ApiKey::Metadata => Some(asked.answer(&metadata(&[own.load(Ordering::SeqCst) as u16], leaders))),
        _ => Some(script(asked)),
    })
    .await;
    port.store(broker.port.into(), Ordering::SeqCst);
    broker
}

async fn connect(broker: &FakeBroker) -> Cluster {
    Cluster::connect(hasty(&[broker.address()])).await.unwrap()
}

#[tokio::test]
async fn a_fetch_beyond_the_quota_passes() {
    let broker = single(&[1], |asked| asked.answer(&FetchResponse::default().with_throttle_time_ms(300))).await;
    let position = FetchPosition { partition: TopicPartition::new("t", 0), offset: 0, max_bytes: 1 };
    let options =
        FetchOptions { max_wait: Duration::ZERO, min_bytes: 1, max_bytes: 1, isolation: Isolation::ReadCommitted };
    let error = all_ok(connect(&broker).await.fetch(&[position], &options).await).unwrap_err();
    assert!(error.is_retryable(), "the copy of the partition would end: {error}");
}

#[tokio::test]
async fn a_dead_bootstrap_server_is_passed_over() {
    let dead = FakeBroker::start(|_| None).await.address();
    let broker = single(&[1], |_| Reaction::Ignore).await;
    let cluster = Cluster::connect(hasty(&[dead, broker.address()])).await.unwrap();
    assert_eq!(cluster.leader(&TopicPartition::new("t", 0)).await, Ok(1));
    assert_eq!(cluster.metadata_mode(), MetadataMode::ZooKeeper);
}

#[tokio::test]
async fn when_no_bootstrap_server_answers_each_is_named() {
    let dead = [FakeBroker::start(|_| None).await.address(), FakeBroker::start(|_| None).await.address()];
    let mut settings = hasty(&dead);
    settings.retry.deadline = Duration::from_millis(50);
    let error = Cluster::connect(settings).await.unwrap_err();
    assert!(error.is_retryable());
    assert!(dead.iter().all(|address| error.to_string().contains(address)), "{error}");
}

#[tokio::test]
async fn only_passing_failures_are_repeated() {
    let broker = single(&[1], |_| Reaction::Ignore).await;
    let cluster = connect(&broker).await;
    let count = AtomicUsize::new(0);
    let third = || async {
        match count.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Err(failure(Code::CoordinatorLoadInProgress)),
            third => Ok(third),
        }
    };
    assert_eq!(cluster.with_retries(third).await, Ok(2));
    count.store(0, Ordering::SeqCst);
    let forbidden = || async {
        count.fetch_add(1, Ordering::SeqCst);
        Result::<()>::Err(failure(Code::ClusterAuthorizationFailed))
    };
    assert!(cluster.with_retries(forbidden).await.is_err());
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn only_the_partitions_that_failed_are_asked_for_again() {
    let broker = single(&[1, 1, 1], |asked| {
        let hiccup = asked.earlier == 0;
        offsets(asked, |partition| if hiccup && partition == 1 { 6 } else { 0 })
    })
    .await;
    let cluster = connect(&broker).await;
    let found = all_ok(cluster.list_offsets(&partitions(3), OffsetSpec::Latest).await).unwrap();
    assert_eq!(found.into_values().collect::<Vec<_>>(), [0, 10, 20]);
    let asked: Vec<usize> = broker
        .asked(ApiKey::ListOffsets)
        .iter()
        .map(|asked| asked.request::<ListOffsetsRequest>().topics[0].partitions.len())
        .collect();
    assert_eq!(asked, [3, 1]);
    assert_eq!(broker.asked(ApiKey::Metadata).len(), 2, "a leader that is none makes the metadata doubtful");
}

#[tokio::test]
async fn a_lasting_failure_of_one_partition_is_its_own() {
    let broker = single(&[1, 1], |asked| offsets(asked, |partition| if partition == 1 { 29 } else { 0 })).await;
    let cluster = connect(&broker).await;
    let each = cluster.list_offsets(&partitions(2), OffsetSpec::Latest).await;
    assert_eq!(each[0].1, Ok(0));
    let error = each[1].1.as_ref().unwrap_err();
    assert_eq!(error.code(), Some(Code::TopicAuthorizationFailed));
    assert_eq!(error.partition(), Some(&TopicPartition::new("t", 1)));
    assert_eq!(broker.asked(ApiKey::ListOffsets).len(), 1);
}

#[tokio::test]
async fn a_partition_that_is_left_out_of_an_answer_is_an_error() {
    let broker = single(&[1], |asked| asked.answer(&ListOffsetsResponse::default())).await;
    let each = connect(&broker).await.list_offsets(&partitions(1), OffsetSpec::Latest).await;
    assert!(matches!(each[0].1, Err(Error::Protocol { .. })), "{each:?}");
}

#[tokio::test]
async fn partitions_without_a_leader_cost_one_question_per_round_and_a_bounded_time() {
    let broker = single(&[-1, -1, 1], |asked| offsets(asked, |_| 0)).await;
    let mut settings = hasty(&[broker.address()]);
    settings.retry.deadline = Duration::from_millis(10);
    let cluster = Cluster::connect(settings).await.unwrap();
    let each = cluster.list_offsets(&partitions(4), OffsetSpec::Latest).await;
    let missing: Vec<bool> = each.iter().map(|(_, found)| matches!(found, Err(Error::NoLeader { .. }))).collect();
    assert_eq!(missing, [true, true, false, true]);
    assert!(broker.asked(ApiKey::Metadata).len() <= 8);
}

/// Two brokers that share their metadata: at first broker 1 leads the partition, later broker 2.
async fn moving(
    first: impl Fn(&Asked) -> Reaction + Send + Sync + 'static,
    second: impl Fn(&Asked) -> Reaction + Send + Sync + 'static,
) -> (FakeBroker, FakeBroker) {
    let ports: Arc<[AtomicUsize; 2]> = Arc::default();
    let asked_metadata = Arc::new(AtomicUsize::new(0));
    let shared = |ports: Arc<[AtomicUsize; 2]>| {
        let count = asked_metadata.clone();
        move |asked: &Asked| {
            let leader = if count.fetch_add(1, Ordering::SeqCst) == 0 { 1 } else { 2 };
            let ports = [0, 1].map(|at: usize| ports[at].load(Ordering::SeqCst) as u16);
            asked.answer(&metadata(&ports, &[leader]))
        }
    };
    let (meta_a, meta_b) = (shared(ports.clone()), shared(ports.clone()));
    let a = FakeBroker::start(move |asked| match asked.api {
        ApiKey::ApiVersions => None,
        ApiKey::Metadata => Some(meta_a(asked)),
        _ => Some(first(asked)),
    })
    .await;
    let b = FakeBroker::start(move |asked| match asked.api {
        ApiKey::ApiVersions => None,
        ApiKey::Metadata => Some(meta_b(asked)),
        _ => Some(second(asked)),
    })
    .await;
    ports[0].store(a.port.into(), Ordering::SeqCst);
    ports[1].store(b.port.into(), Ordering::SeqCst);
    (a, b)
}

/// A task that has done much in one go is made to wait by tokio, future by future, which must not turn requests around.
#[tokio::test]
async fn requests_in_flight_go_out_in_the_order_in_which_they_were_begun() {
    const IN_FLIGHT: u32 = 5;
    let broker = single(&[1], |asked| written(asked, 0)).await;
    let cluster = &connect(&broker).await;
    let batch = |number: u32| [(TopicPartition::new("t", 0), Bytes::copy_from_slice(&number.to_be_bytes()).into())];
    let mut begun = 0;
    for done_before in 0..140 {
        let mut in_flight = FuturesOrdered::new();
        for _ in 0..IN_FLIGHT {
            let batch = batch(begun);
            in_flight.push_back(async move { cluster.produce(&batch, Duration::from_secs(1)).await });
            begun += 1;
        }
        for _ in 0..done_before {
            tokio::task::consume_budget().await;
        }
        while let Some(answers) = in_flight.next().await {
            all_ok(answers).unwrap();
        }
    }
    let arrived = broker.asked(ApiKey::Produce);
    let arrived: Vec<_> =
        arrived.iter().map(|asked| u32::from_be_bytes(records(asked)[..].try_into().unwrap())).collect();
    assert_eq!(arrived, (0..begun).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_same_bytes_go_to_the_new_leader() {
    let lost = |asked: &Asked| {
        let frame = asked.frame(&ProduceResponse::default());
        Reaction::SendAndClose(frame[..5].to_vec())
    };
    let not_leader = |asked: &Asked| written(asked, 6);
    let scripts: [fn(&Asked) -> Reaction; 2] = [lost, not_leader];
    for script in scripts {
        let (old, new) = moving(script, |asked| written(asked, 0)).await;
        let cluster = connect(&old).await;
        let batch = Bytes::from_static(b"not looked at by anybody");
        let batches = [(TopicPartition::new("t", 0), batch.clone().into())];
        let produced = all_ok(cluster.produce_retrying(&batches, Duration::from_millis(100)).await).unwrap();
        assert_eq!(produced.into_values().next().unwrap().base_offset, 42);
        assert_eq!(records(&old.asked(ApiKey::Produce)[0]), batch);
        assert_eq!(records(&new.asked(ApiKey::Produce)[0]), batch);
    }
}

#[tokio::test]
async fn sequence_errors_are_not_repeated() {
    for code in [Code::OutOfOrderSequenceNumber, Code::DuplicateSequenceNumber] {
        let broker = single(&[1], move |asked| written(asked, code.code())).await;
        let cluster = connect(&broker).await;
        let batches = [(TopicPartition::new("t", 0), Bytes::from_static(b"x").into())];
        let each = cluster.produce_retrying(&batches, Duration::from_millis(100)).await;
        assert_eq!(each[0].1.as_ref().unwrap_err().code(), Some(code));
        assert_eq!(broker.asked(ApiKey::Produce).len(), 1);
    }
}

#[tokio::test]
async fn a_partition_twice_in_one_request_is_not_sent() {
    let broker = single(&[1], |asked| written(asked, 0)).await;
    let cluster = connect(&broker).await;
    let batch = (TopicPartition::new("t", 0), Bytes::from_static(b"x").into());
    let each = cluster.produce(&[batch.clone(), batch], Duration::from_millis(100)).await;
    assert!(each.iter().all(|(_, outcome)| matches!(outcome, Err(Error::Usage { .. }))), "{each:?}");
    assert!(broker.asked(ApiKey::Produce).is_empty());
}

#[tokio::test]
async fn purposes_and_lanes_have_their_own_connections_and_share_them() {
    let broker = single(&[1], |asked| match asked.api {
        ApiKey::Produce => written(asked, 0),
        _ => offsets(asked, |_| 0),
    })
    .await;
    let cluster = connect(&broker).await;
    let batches = [(TopicPartition::new("t", 0), Bytes::from_static(b"x").into())];
    let connection_of = |api| broker.asked(api).last().unwrap().connection;
    let mut used = std::collections::BTreeSet::new();
    for lane in [0, 1] {
        let cluster = cluster.lane(lane);
        for _ in 0..2 {
            all_ok(cluster.list_offsets(&partitions(1), OffsetSpec::Latest).await).unwrap();
            all_ok(cluster.produce(&batches, Duration::from_millis(100)).await).unwrap();
            used.insert(connection_of(ApiKey::ListOffsets));
            used.insert(connection_of(ApiKey::Produce));
        }
    }
    assert_eq!(used.len(), 4);
}

#[tokio::test]
async fn what_calls_are_repeated_for_is_known_until_one_is_answered() {
    let (answers, fails) = (Arc::new(AtomicBool::new(false)), Code::NotLeaderOrFollower);
    let script = answers.clone();
    let broker = single(&[1], move |asked| {
        let answers = script.load(Ordering::SeqCst);
        offsets(asked, |_| if answers { 0 } else { fails.code() })
    })
    .await;
    let cluster = connect(&broker).await;
    assert!(cluster.trouble().is_none());
    let asked = partitions(1);
    let given_up = tokio::time::timeout(Duration::from_millis(300), cluster.list_offsets(&asked, OffsetSpec::Latest));
    assert!(given_up.await.is_err(), "it is repeated for longer");
    assert_eq!(cluster.trouble().unwrap().code(), Some(fails));
    answers.store(true, Ordering::SeqCst);
    all_ok(cluster.list_offsets(&asked, OffsetSpec::Latest).await).unwrap();
    assert!(cluster.trouble().is_none());
}

#[tokio::test]
async fn work_on_a_cluster_can_be_spawned() {
    let broker = single(&[1], |asked| offsets(asked, |_| 0)).await;
    let cluster = connect(&broker).await;
    let spawned = tokio::spawn(async move {
        let batches = [(TopicPartition::new("t", 0), Bytes::from_static(b"x").into())];
        // Only has to compile: every kind of request must be able to move between threads.
        if cluster.id().is_some() {
            cluster.produce_retrying(&batches, Duration::ZERO).await;
            let _ = (cluster.topics().await, cluster.list_groups().await, cluster.log_sizes().await);
            cluster.commit_offsets("g", &[]).await;
            cluster.describe_groups(&[]).await;
            cluster.committed_offsets_of(&[], Stability::Now).await;
            let _ = (cluster.committed_offsets("g").await, cluster.coordinator_limits().await);
            let marked = cluster.append_markers("id", &partitions(1)).await;
            cluster.find_markers(&[], marked.unwrap().identity).await;
            let _ = cluster.open_offset_transactions().await;
            cluster.probe_write(&[]).await;
            cluster.delete_acls(&[]).await;
        }
        cluster.list_offsets(&partitions(1), OffsetSpec::Earliest).await.len()
    });
    assert_eq!(spawned.await.unwrap(), 1);
}
