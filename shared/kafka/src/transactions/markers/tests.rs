use std::sync::atomic::{AtomicU16, Ordering};

use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{
    AddPartitionsToTxnResponse, ApiKey, EndTxnResponse, FindCoordinatorRequest, FindCoordinatorResponse,
    InitProducerIdResponse,
};
use migration::ErrorKind;

use super::*;
use crate::fake::{Asked, FakeBroker, Reaction, hasty, metadata};

const IDENTITY: ProducerIdentity = ProducerIdentity { id: 40, epoch: 7 };

/// What a coordinator says: to adding, for each partition asked for; to the end of a transaction.
struct Says {
    add: fn(&Asked, i32) -> Option<Code>,
    end: fn(&Asked) -> Option<Code>,
}

fn wire(code: Option<Code>) -> i16 {
    code.map_or(0, |code| code.code())
}

fn added(asked: &Asked, says: fn(&Asked, i32) -> Option<Code>) -> Reaction {
    let request: AddPartitionsToTxnRequest = asked.request();
    assert_eq!(
        (request.v3_and_below_producer_id.0, request.v3_and_below_producer_epoch),
        (IDENTITY.id, IDENTITY.epoch)
    );
    let partition = |partition: &i32| {
        AddPartitionsToTxnPartitionResult::default()
            .with_partition_index(*partition)
            .with_partition_error_code(wire(says(asked, *partition)))
    };
    let topic = |topic: &AddPartitionsToTxnTopic| {
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(topic.partitions.iter().map(partition).collect())
    };
    let topics = request.v3_and_below_topics.iter().map(topic).collect();
    asked.answer(&AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics))
}

async fn coordinator(says: Says) -> (FakeBroker, Cluster) {
    let port = Arc::new(AtomicU16::new(0));
    let own = port.clone();
    let broker = FakeBroker::start(move |asked| match asked.api {
        ApiKey::ApiVersions => None,
        ApiKey::Metadata => Some(asked.answer(&metadata(&[own.load(Ordering::SeqCst)], &[1]))),
        ApiKey::FindCoordinator => {
            let request: FindCoordinatorRequest = asked.request();
            assert_eq!(request.key_type, 1);
            let found = |key| Coordinator::default().with_key(key).with_node_id(1.into());
            let found = request.coordinator_keys.into_iter().map(found).collect();
            Some(asked.answer(&FindCoordinatorResponse::default().with_coordinators(found)))
        }
        ApiKey::InitProducerId => {
            let request: InitProducerIdRequest = asked.request();
            let too_long = request.transaction_timeout_ms > 30_000;
            let answer = InitProducerIdResponse::default()
                .with_producer_id(ProducerId(IDENTITY.id))
                .with_producer_epoch(IDENTITY.epoch)
                .with_error_code(wire(too_long.then_some(Code::InvalidTransactionTimeout)));
            Some(asked.answer(&answer))
        }
        ApiKey::AddPartitionsToTxn => Some(added(asked, says.add)),
        ApiKey::EndTxn => Some(asked.answer(&EndTxnResponse::default().with_error_code(wire((says.end)(asked))))),
        other => panic!("{other:?} is not for markers"),
    })
    .await;
    port.store(broker.port, Ordering::SeqCst);
    let cluster = Cluster::connect(hasty(&[broker.address()])).await.unwrap();
    (broker, cluster)
}

fn partitions(count: i32) -> Vec<TopicPartition> {
    (0..count).map(|partition| TopicPartition::new("t", partition)).collect()
}

/// How many partitions each request to add some had.
fn adds(broker: &FakeBroker) -> Vec<usize> {
    let count = |asked: &Asked| -> usize {
        let request: AddPartitionsToTxnRequest = asked.request();
        request.v3_and_below_topics.iter().map(|topic| topic.partitions.len()).sum()
    };
    broker.asked(ApiKey::AddPartitionsToTxn).iter().map(count).collect()
}

/// How each request to end said that it shall.
fn ended(broker: &FakeBroker) -> Vec<bool> {
    broker.asked(ApiKey::EndTxn).iter().map(|asked| asked.request::<EndTxnRequest>().committed).collect()
}

#[tokio::test]
async fn a_transaction_that_is_still_being_ended_is_waited_for() {
    let busy = |asked: &Asked| (asked.earlier < 2).then_some(Code::ConcurrentTransactions);
    let (broker, cluster) =
        coordinator(Says { add: |asked, _| (asked.earlier < 2).then_some(Code::ConcurrentTransactions), end: busy })
            .await;
    let markers = cluster.append_markers("id", &partitions(2)).await.unwrap();
    assert_eq!((markers.identity, markers.marked), (IDENTITY, partitions(2)));
    assert_eq!((adds(&broker), ended(&broker)), (vec![2, 2, 2], vec![true; 3]));
    // The first timeout was too long for this cluster.
    assert_eq!(broker.asked(ApiKey::InitProducerId).len(), 2);
}

#[tokio::test]
async fn what_is_refused_is_left_out_and_the_rest_tried_again() {
    let refuse = |asked: &Asked, partition| match (asked.earlier, partition) {
        (0, 1) => Some(Code::TopicAuthorizationFailed),
        (0, _) => Some(Code::OperationNotAttempted),
        _ => None,
    };
    let (broker, cluster) = coordinator(Says { add: refuse, end: |_| None }).await;
    let markers = cluster.append_markers("id", &partitions(3)).await.unwrap();
    let all = partitions(3);
    assert_eq!(markers.marked, [all[0].clone(), all[2].clone()]);
    assert_eq!(markers.refused.len(), 1);
    let (partition, error) = &markers.refused[0];
    assert_eq!((partition, error.code()), (&all[1], Some(Code::TopicAuthorizationFailed)));
    assert_eq!((adds(&broker), ended(&broker)), (vec![3, 2], vec![true]));
}

#[tokio::test]
async fn no_transaction_is_ended_that_never_began() {
    let (broker, cluster) = coordinator(Says { add: |_, _| Some(Code::TopicAuthorizationFailed), end: |_| None }).await;
    let markers = cluster.append_markers("id", &partitions(2)).await.unwrap();
    assert_eq!((markers.marked.len(), markers.refused.len()), (0, 2));
    assert!(ended(&broker).is_empty());
}

#[tokio::test]
async fn a_topic_that_was_just_created_is_waited_for() {
    let new = |asked: &Asked, partition| match (asked.earlier, partition) {
        (0..4, 0) => Some(Code::UnknownTopicOrPartition),
        (0..4, _) => Some(Code::OperationNotAttempted),
        _ => None,
    };
    let (_broker, cluster) = coordinator(Says { add: new, end: |_| None }).await;
    let markers = cluster.append_markers("id", &partitions(2)).await.unwrap();
    assert_eq!((markers.marked.len(), markers.refused.len()), (2, 0));
}

#[tokio::test]
async fn what_fails_in_between_is_aborted() {
    // The id is not permitted for adding, say since a moment ago.
    let (broker, cluster) = coordinator(Says {
        add: |asked, _| (asked.earlier == 1).then_some(Code::TransactionalIdAuthorizationFailed),
        end: |_| None,
    })
    .await;
    let error = cluster.append_markers("id", &partitions(1_500)).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::TransactionalIdAuthorizationFailed));
    assert!(error.to_string().contains("transactional id id"), "{error}");
    assert_eq!((adds(&broker), ended(&broker)), (vec![1_000, 500], vec![false]));
}

#[tokio::test]
async fn who_was_overtaken_is_fenced() {
    let (broker, cluster) = coordinator(Says { add: |_, _| None, end: |_| Some(Code::InvalidProducerEpoch) }).await;
    let error = cluster.append_markers("id", &partitions(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert_eq!(ended(&broker), [true, false]);
}

#[test]
fn names_that_are_too_much_for_one_transaction_are_spread() {
    let long = |at: i32| TopicPartition::new(format!("{at:0>249}"), 0);
    let many: Vec<_> = (0..10_000).map(long).collect();
    let runs = transactions(&many);
    let bytes = |run: &&[TopicPartition]| run.len() * (249 + 16);
    assert!(runs.len() > 9 && runs.iter().all(|run| bytes(run) <= BYTES_PER_TRANSACTION));
    assert_eq!(runs.concat(), many);
    // What clusters have fits into one.
    let usual = |at: i32| TopicPartition::new(format!("team.orders.{:0>20}", at / 6), at % 6);
    assert_eq!(transactions(&(0..10_000).map(usual).collect::<Vec<_>>()).len(), 1);
    assert!(transactions(&[]).is_empty());
}
