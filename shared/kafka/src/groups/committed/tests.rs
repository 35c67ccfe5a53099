use std::sync::atomic::{AtomicU16, Ordering};

use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{ApiKey, FindCoordinatorRequest, FindCoordinatorResponse};

use super::*;
use crate::all_ok;
use crate::api::TABLE;
use crate::fake::{Asked, FakeBroker, Reaction, hasty, metadata, versions};
use crate::spread::topic_name;

/// The groups that a request asks about.
fn asked_for(asked: &Asked) -> Vec<String> {
    let request: OffsetFetchRequest = asked.request();
    assert!(request.require_stable);
    match asked.header.request_api_version {
        MANY_GROUPS.. => request.groups.iter().map(|group| group.group_id.to_string()).collect(),
        _ => vec![request.group_id.to_string()],
    }
}

/// The number in a group's name is the offset of its partition 0; its partition 1 has a commit pending, and nothing is
/// committed for its partition 2. All offsets have `metadata`.
fn answered(asked: &Asked, metadata: &str) -> Reaction {
    let groups = asked_for(asked);
    let offset = |group: &str| group.trim_start_matches('g').parse::<i64>().unwrap();
    let pending = Code::UnstableOffsetCommit.code();
    if asked.header.request_api_version < MANY_GROUPS {
        let partition = |index, offset, code| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(index)
                .with_committed_offset(offset)
                .with_error_code(code)
        };
        let partitions = vec![partition(1, -1, pending), partition(2, -1, 0), partition(0, offset(&groups[0]), 0)];
        let topic = OffsetFetchResponseTopic::default().with_name(topic_name("t")).with_partitions(partitions);
        return asked.answer(&OffsetFetchResponse::default().with_topics(vec![topic]));
    }
    let group = |group: &String| {
        let partition = |index, offset, code| {
            OffsetFetchResponsePartitions::default()
                .with_partition_index(index)
                .with_committed_offset(offset)
                .with_error_code(code)
                .with_metadata(Some(text(metadata)))
        };
        let partitions = vec![partition(1, -1, pending), partition(2, -1, 0), partition(0, offset(group), 0)];
        let topic = OffsetFetchResponseTopics::default().with_name(topic_name("t")).with_partitions(partitions);
        OffsetFetchResponseGroup::default().with_group_id(GroupId(text(group))).with_topics(vec![topic])
    };
    asked.answer(&OffsetFetchResponse::default().with_groups(groups.iter().map(group).collect()))
}

/// A broker whose FindCoordinator and OffsetFetch have these newest versions, and that keeps all groups.
async fn keeper(find: i16, fetch: i16, metadata_size: usize) -> (FakeBroker, Cluster) {
    let port = Arc::new(AtomicU16::new(0));
    let own = port.clone();
    let broker = FakeBroker::start(move |asked| match asked.api {
        ApiKey::ApiVersions => {
            let ours = TABLE.iter().map(|(api, range, _)| match api {
                ApiKey::FindCoordinator => (*api, range.min, find),
                ApiKey::OffsetFetch => (*api, range.min, fetch),
                _ => (*api, range.min, range.max),
            });
            Some(asked.answer(&versions(ours)))
        }
        ApiKey::Metadata => Some(asked.answer(&metadata(&[own.load(Ordering::SeqCst)], &[1]))),
        ApiKey::FindCoordinator => {
            let request: FindCoordinatorRequest = asked.request();
            let found = |key| Coordinator::default().with_key(key).with_node_id(1.into());
            let found = request.coordinator_keys.into_iter().map(found).collect();
            let answer = FindCoordinatorResponse::default();
            Some(match asked.header.request_api_version {
                4.. => asked.answer(&answer.with_coordinators(found)),
                _ => asked.answer(&answer.with_node_id(1.into())),
            })
        }
        _ => Some(answered(asked, &"m".repeat(metadata_size))),
    })
    .await;
    port.store(broker.port, Ordering::SeqCst);
    let cluster = Cluster::connect(hasty(&[broker.address()])).await.unwrap();
    (broker, cluster)
}

fn groups(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("g{at}")).collect()
}

async fn check_groups(cluster: &Cluster, count: usize) {
    let groups = groups(count);
    let each = cluster.committed_offsets_of(&groups, Stability::Stable).await;
    assert!(each.iter().map(|(group, _)| group).eq(&groups), "in the order in which they were asked for");
    for (at, (group, offsets)) in all_ok(each).unwrap().into_iter().enumerate() {
        let partitions: Vec<_> = offsets.iter().map(|(partition, _)| partition.partition).collect();
        assert_eq!(partitions, [0, 1], "{group} of {at}");
        assert_eq!(format!("g{}", offsets[0].1.as_ref().unwrap().offset), group);
        assert_eq!(offsets[1].1.as_ref().unwrap_err().group(), Some(&*group));
    }
}

#[tokio::test]
async fn many_groups_are_asked_for_in_few_requests() {
    let (broker, cluster) = keeper(4, 9, 0).await;
    check_groups(&cluster, 250).await;
    assert_eq!(broker.asked(ApiKey::FindCoordinator).len(), 1);
    let sizes: Vec<_> = broker.asked(ApiKey::OffsetFetch).iter().map(|asked| asked_for(asked).len()).collect();
    assert_eq!(sizes, [100, 100, 50]);
}

#[tokio::test]
async fn a_broker_that_takes_one_group_a_request_is_asked_one_by_one() {
    let (broker, cluster) = keeper(3, 7, 0).await;
    check_groups(&cluster, 150).await;
    assert_eq!(broker.asked(ApiKey::FindCoordinator).len(), 150);
    assert_eq!(broker.asked(ApiKey::OffsetFetch).len(), 150);
}

#[tokio::test]
async fn groups_whose_answer_is_too_large_are_asked_for_in_parts() {
    // Three strings of 7 KB in each of 100 groups are more than the client takes.
    let (broker, cluster) = keeper(4, 9, 7_000).await;
    check_groups(&cluster, 100).await;
    assert!(broker.asked(ApiKey::OffsetFetch).len() > 3);
}

#[tokio::test]
async fn a_pending_commit_is_not_waited_for() {
    let (broker, cluster) = keeper(4, 9, 0).await;
    assert_eq!(cluster.unstable_offsets("g5").await.unwrap(), [TopicPartition::new("t", 1)]);
    assert_eq!(broker.asked(ApiKey::OffsetFetch).len(), 1);
}
