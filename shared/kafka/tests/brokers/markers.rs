//! Empty transactions and their markers, against real brokers.

use std::time::Duration;

use crate::common::{clusters, create, eventually, fresh};
use crate::raw::{self, text};
use bytes::Bytes;
use kafka::batch::{Codec, ControlType, ProduceBytes, Record, Stamp, control_type, encode, split};
use kafka::{
    Cluster, Code, ConfigChange, ConfigOp, FetchOptions, FetchPosition, Isolation, OffsetSpec, ProducerIdentity,
    TopicPartition, WriteProbe, all_ok,
};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, InitProducerIdRequest, ProducerId, TopicName,
    TransactionalId,
};
use migration::ErrorKind;

/// Key type of transactional ids.
const TRANSACTION: i8 = 1;
const TIMEOUT: Duration = Duration::from_secs(10);

/// A batch of a few records under an identity of its own.
async fn some_records(cluster: &Cluster) -> ProduceBytes {
    let producer = cluster.init_producer_id().await.unwrap();
    let record = |at: i64| Record { timestamp: at, value: Some(Bytes::from(vec![b'v'; 50_000])), ..Record::default() };
    let records: Vec<_> = (0..3).map(record).collect();
    encode(&records, Codec::None, Stamp::nth(producer.id, producer.epoch, 0), 0).unwrap().to_produce()
}

async fn ends(cluster: &Cluster, partitions: &[TopicPartition], spec: OffsetSpec) -> Vec<i64> {
    all_ok(cluster.list_offsets(partitions, spec).await).unwrap().into_values().collect()
}

fn from(partitions: &[TopicPartition], offsets: &[i64]) -> Vec<(TopicPartition, i64)> {
    partitions.iter().cloned().zip(offsets.iter().copied()).collect()
}

/// Where the markers are, once all are there.
async fn found(cluster: &Cluster, from: &[(TopicPartition, i64)], identity: ProducerIdentity) -> Vec<i64> {
    let find = async || all_ok(cluster.find_markers(from, identity).await).unwrap();
    eventually(async || find().await.values().all(Option::is_some)).await;
    find().await.into_values().flatten().collect()
}

/// Every batch of a partition: its offset, and what it says if it is the brokers' own.
async fn log(cluster: &Cluster, partition: &TopicPartition) -> Vec<(i64, Option<ControlType>)> {
    let isolation = Isolation::ReadUncommitted;
    let options = FetchOptions { max_wait: Duration::ZERO, min_bytes: 0, max_bytes: 10 << 20, isolation };
    let mut batches = Vec::new();
    let mut offset = 0;
    loop {
        // A broker sends what is in one segment; the markers of today are not in that of records from 1970.
        let position = FetchPosition { partition: partition.clone(), offset, max_bytes: 10 << 20 };
        let fetched = cluster.fetch_retrying(&[position], &options).await.remove(0).1.unwrap();
        for batch in split(fetched.records) {
            let batch = batch.unwrap();
            batches.push((batch.header().base_offset, control_type(&batch).unwrap()));
            offset = batch.header().next_offset();
        }
        if offset == fetched.high_watermark {
            return batches;
        }
    }
}

const COMMIT: Option<ControlType> = Some(ControlType::Commit);
const ABORT: Option<ControlType> = Some(ControlType::Abort);

#[tokio::test]
async fn a_marker_comes_to_every_partition_and_nothing_else_does() {
    for cluster in clusters().await {
        let partitions = create(&cluster, "marked", 3).await;
        let batch = some_records(&cluster).await;
        all_ok(cluster.produce_retrying(&[(partitions[1].clone(), batch)], TIMEOUT).await).unwrap();
        let id = fresh("markers");
        let before = ends(&cluster, &partitions, OffsetSpec::Latest).await;
        assert_eq!(before, [0, 3, 0]);

        let first = cluster.append_markers(&id, &partitions).await.unwrap();
        assert_eq!((&first.marked, first.refused.len()), (&partitions, 0));
        // Also from the beginning of the log, behind a batch that is larger than what is read at first.
        assert_eq!(found(&cluster, &from(&partitions, &[0; 3]), first.identity).await, before);
        assert_eq!(found(&cluster, &from(&partitions, &before), first.identity).await, before);

        let second = cluster.append_markers(&id, &partitions).await.unwrap();
        assert_ne!(second.identity, first.identity);
        let after: Vec<_> = before.iter().map(|end| end + 1).collect();
        assert_eq!(found(&cluster, &from(&partitions, &after), second.identity).await, after);
        assert_eq!(cluster.find_marker(&partitions[0], after[0], first.identity).await, Ok(None), "it lies before");

        assert_eq!(log(&cluster, &partitions[0]).await, [(0, COMMIT), (1, COMMIT)]);
        assert_eq!(log(&cluster, &partitions[1]).await, [(0, None), (3, COMMIT), (4, COMMIT)]);
        // No transaction is left open.
        let two_more: Vec<_> = before.iter().map(|end| end + 2).collect();
        assert_eq!(ends(&cluster, &partitions, OffsetSpec::LastStable).await, two_more);
        let beyond = cluster.find_marker(&partitions[0], 99, first.identity).await;
        assert_eq!(beyond.unwrap_err().code(), Some(Code::OffsetOutOfRange));
    }
}

#[tokio::test]
async fn partitions_that_are_not_there_are_named_and_the_others_marked() {
    for cluster in clusters().await {
        let partitions = create(&cluster, "partly", 2).await;
        let absent = TopicPartition::new(fresh("absent"), 0);
        let too_high = TopicPartition::new(partitions[0].topic.clone(), 7);
        let asked = [partitions[0].clone(), absent.clone(), partitions[1].clone(), too_high.clone()];
        let id = fresh("partly");
        let markers = cluster.append_markers(&id, &asked).await.unwrap();
        assert_eq!(markers.marked, partitions);
        let refused: Vec<_> = markers.refused.iter().map(|(partition, error)| (partition, error.code())).collect();
        let unknown = Some(Code::UnknownTopicOrPartition);
        assert_eq!(refused, [(&absent, unknown), (&too_high, unknown)]);
        assert_eq!(found(&cluster, &from(&partitions, &[0, 0]), markers.identity).await, [0, 0]);

        let none = cluster.append_markers(&id, &[absent]).await.unwrap();
        assert!(none.marked.is_empty() && none.refused.len() == 1);
        // The id is as good as new after a transaction that never began.
        let again = cluster.append_markers(&id, &partitions).await.unwrap();
        assert_eq!(found(&cluster, &from(&partitions, &[1, 1]), again.identity).await, [1, 1]);
    }
}

#[tokio::test]
async fn what_a_crash_left_open_is_ended_by_the_next_call() {
    for cluster in clusters().await {
        let partitions = create(&cluster, "crashed", 1).await;
        let id = fresh("crashed");
        cluster.check_transactional_id(&id).await.unwrap();
        // The first half of a call.
        let coordinator = raw::coordinator(&cluster, TRANSACTION, &id).await;
        let init = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(&id))))
            .with_transaction_timeout_ms(60_000);
        let begun = raw::send_until_ready(&coordinator, &init, 4, |answer| answer.error_code).await;
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(TopicName(text(&partitions[0].topic)))
            .with_partitions(vec![0]);
        let add = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text(&id)))
            .with_v3_and_below_producer_id(ProducerId(begun.producer_id.0))
            .with_v3_and_below_producer_epoch(begun.producer_epoch)
            .with_v3_and_below_topics(vec![topic]);
        let code = |answer: &AddPartitionsToTxnResponse| {
            answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
        };
        raw::send_until_ready(&coordinator, &add, 3, code).await;
        let open = cluster.describe_transactions(std::slice::from_ref(&id)).await.remove(0).1;
        match open {
            Ok(open) => {
                assert_eq!((open.state.as_str(), open.timeout_ms), ("Ongoing", 60_000));
                assert_eq!((open.producer_id, open.partitions), (begun.producer_id.0, partitions.clone()));
                assert!(open.started_at.is_some());
            }
            // Before Kafka 3.0.
            Err(error) => assert!(matches!(error, kafka::Error::UnsupportedApi { .. }), "{error}"),
        }

        let markers = cluster.append_markers(&id, &partitions).await.unwrap();
        let at = found(&cluster, &from(&partitions, &[0]), markers.identity).await;
        assert_eq!(at, [1]);
        assert_eq!(log(&cluster, &partitions[0]).await, [(0, ABORT), (1, COMMIT)]);
        // Whoever began it is out.
        let code = code(&raw::send(&coordinator, &add, 3).await);
        assert!([Code::ProducerFenced.code(), Code::InvalidProducerEpoch.code()].contains(&code), "{code}");
    }
}

/// Changes how many replicas have to be in sync of topics that have one, and waits until their leaders go by it; whether they do.
async fn need_replicas(cluster: &Cluster, partitions: &[TopicPartition], replicas: &str) -> bool {
    let op = ConfigOp::Set { name: "min.insync.replicas".to_owned(), value: replicas.to_owned() };
    let change = ConfigChange { topic: partitions[0].topic.clone(), ops: vec![op] };
    all_ok(cluster.alter_topic_configs(&[change]).await).unwrap();
    let batch = [(partitions[0].clone(), some_records(cluster).await)];
    for _ in 0..60 {
        let said = cluster.produce(&batch, TIMEOUT).await.remove(0).1;
        if said.is_err_and(|error| error.code() == Some(Code::NotEnoughReplicas)) == (replicas != "1") {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
async fn a_marker_waits_for_replicas_and_comes_in_the_end() {
    for cluster in clusters().await {
        let partitions = create(&cluster, "replicas", 1).await;
        if !need_replicas(&cluster, &partitions, "2").await {
            println!(
                "skipped: leaders of the {} cluster want no more replicas than there are",
                cluster.metadata_mode()
            );
            continue;
        }
        let end = ends(&cluster, &partitions, OffsetSpec::Latest).await;
        let id = fresh("replicas");
        let markers = cluster.append_markers(&id, &partitions).await.unwrap();
        assert_eq!(markers.marked, partitions);
        assert_eq!(cluster.find_marker(&partitions[0], end[0], markers.identity).await, Ok(None));
        assert_eq!(cluster.probe_write(&partitions).await[0].1, Ok(WriteProbe::Allowed));
        // Until it has come the id can begin nothing new.
        let mut settings = cluster.settings().clone();
        settings.retry.deadline = Duration::from_secs(1);
        let hasty = Cluster::connect(settings).await.unwrap();
        let error = hasty.append_markers(&id, &partitions).await.unwrap_err();
        assert_eq!((error.code(), error.kind()), (Some(Code::ConcurrentTransactions), ErrorKind::Transient));

        assert!(need_replicas(&cluster, &partitions, "1").await);
        found(&cluster, &from(&partitions, &end), markers.identity).await;
        cluster.append_markers(&id, &partitions).await.unwrap();
    }
}

#[tokio::test]
async fn more_partitions_than_one_request_has_are_marked_at_once() {
    const PARTITIONS: i32 = 1_100;
    // One side will do: the brokers of a test have one disk for all those files.
    let Some(cluster) = clusters().await.pop() else { return };
    let partitions = create(&cluster, "many", PARTITIONS).await;
    let markers = cluster.append_markers(&fresh("many"), &partitions).await.unwrap();
    assert_eq!(markers.marked, partitions);
    let from = from(&partitions, &vec![0; partitions.len()]);
    assert_eq!(found(&cluster, &from, markers.identity).await, vec![0; partitions.len()]);
    all_ok(cluster.delete_topics(&[partitions[0].topic.clone()]).await).unwrap();
}

#[tokio::test]
async fn an_id_that_is_none_is_refused() {
    for cluster in clusters().await {
        let error = cluster.check_transactional_id("").await.unwrap_err();
        println!("{}: {error}", cluster.metadata_mode());
        assert_ne!(error.kind(), ErrorKind::Transient, "it would be waited for");
    }
}
