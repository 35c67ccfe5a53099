use kafka_protocol::messages::{
    ApiKey, FetchRequest, FindCoordinatorRequest, FindCoordinatorResponse, OffsetFetchRequest,
};

use super::*;
use crate::fake::{Asked, FakeBroker, Reaction, hasty, versions};
use crate::spread::text;

async fn connect(broker: &FakeBroker) -> Connection {
    Connection::open(&broker.address(), &hasty(&[])).await.unwrap()
}

/// A request whose answer tells which request it belongs to.
fn question(key: &str) -> FindCoordinatorRequest {
    FindCoordinatorRequest::default().with_coordinator_keys(vec![text(key)])
}

fn echo(asked: &Asked) -> FindCoordinatorResponse {
    let key = asked.request::<FindCoordinatorRequest>().coordinator_keys[0].clone();
    let found = kafka_protocol::messages::find_coordinator_response::Coordinator::default().with_key(key);
    FindCoordinatorResponse::default().with_coordinators(vec![found])
}

async fn ask(connection: &Connection, key: &str) -> Result<String> {
    let answer = connection.call(&question(key), Duration::ZERO).await?;
    Ok(answer.coordinators[0].key.to_string())
}

/// A broker that reacts to everything but ApiVersions as `script` says.
async fn broker(script: impl Fn(&Asked) -> Reaction + Send + Sync + 'static) -> FakeBroker {
    FakeBroker::start(move |asked| (asked.api != ApiKey::ApiVersions).then(|| script(asked))).await
}

#[tokio::test]
async fn the_newest_version_that_both_know_is_used() {
    let offer = versions([
        (ApiKey::Fetch, 4, 17),
        (ApiKey::FindCoordinator, 0, 3),
        (ApiKey::OffsetFetch, 1, 6),
        (ApiKey::DescribeGroups, 0, 5),
    ]);
    let broker = FakeBroker::start(move |asked| Some(asked.answer(&offer))).await;
    let connection = connect(&broker).await;
    assert_eq!(connection.version::<FetchRequest>(), Ok(12));
    assert_eq!(connection.version::<FindCoordinatorRequest>(), Ok(3));
    let too_old = connection.version::<OffsetFetchRequest>().unwrap_err();
    let text = too_old.to_string();
    assert!(text.contains("OffsetFetch") && text.contains("1..6") && text.contains("7..9"), "{text}");
    assert_eq!(too_old.kind(), migration::ErrorKind::Blocked);
    let absent = connection.version::<kafka_protocol::messages::DescribeProducersRequest>().unwrap_err();
    assert!(absent.to_string().contains("no version of it"), "{absent}");
    assert!(connection.offers(ApiKey::DescribeGroups) && !connection.offers(ApiKey::DescribeQuorum));
}

#[tokio::test]
async fn a_broker_too_old_for_the_handshake_is_named_as_such() {
    let broker = FakeBroker::start(|asked| {
        let mut frame = asked.header.correlation_id.to_be_bytes().to_vec();
        frame.extend([0, 35, 0, 0, 0, 0]);
        Some(Reaction::Send([(frame.len() as i32).to_be_bytes().to_vec(), frame].concat()))
    })
    .await;
    let refused = Connection::open(&broker.address(), &hasty(&[])).await.unwrap_err();
    assert!(matches!(refused, Error::UnsupportedApi { api: ApiKey::ApiVersions, .. }), "{refused}");
}

#[tokio::test]
async fn a_listener_that_never_speaks_is_given_up() {
    let silent = FakeBroker::start(|_| Some(Reaction::Ignore)).await;
    let refused = Connection::open(&silent.address(), &hasty(&[])).await.unwrap_err();
    assert!(matches!(refused, Error::Timeout { .. }), "{refused}");
    assert!(refused.is_retryable());
}

#[tokio::test]
async fn many_requests_in_flight_get_their_own_answers() {
    let broker = broker(|asked| Reaction::SendAfter(Duration::from_millis(2), asked.frame(&echo(asked)))).await;
    let connection = connect(&broker).await;
    let keys: Vec<String> = (0..40).map(|key| key.to_string()).collect();
    let answers = futures::future::try_join_all(keys.iter().map(|key| ask(&connection, key))).await.unwrap();
    assert_eq!(answers, keys);
    assert!(broker.asked(ApiKey::FindCoordinator).iter().all(|asked| asked.connection == 0));
}

#[tokio::test]
async fn a_dropped_request_does_not_shift_the_answers() {
    let broker = broker(|asked| Reaction::SendAfter(Duration::from_millis(50), asked.frame(&echo(asked)))).await;
    let connection = connect(&broker).await;
    for round in 0..5 {
        let dropped = tokio::time::timeout(Duration::from_millis(20), ask(&connection, "dropped")).await;
        assert!(dropped.is_err());
        assert_eq!(ask(&connection, &round.to_string()).await.unwrap(), round.to_string());
    }
    assert_eq!(broker.asked(ApiKey::FindCoordinator).len(), 10);
}

#[tokio::test]
async fn a_timeout_closes_the_connection_for_everybody_on_it() {
    let broker = broker(|_| Reaction::Ignore).await;
    let connection = connect(&broker).await;
    let longer = question("b");
    let (first, second) = tokio::join!(ask(&connection, "a"), connection.call(&longer, Duration::from_secs(60)));
    assert!(matches!(first, Err(Error::Timeout { api: ApiKey::FindCoordinator, .. })), "{first:?}");
    assert!(matches!(second, Err(Error::Closed { .. })), "{second:?}");
    assert!(connection.is_closed());
    assert!(matches!(ask(&connection, "c").await, Err(Error::Closed { .. })));
}

#[tokio::test]
async fn the_wait_that_a_request_permits_does_not_count_as_a_timeout() {
    let broker = broker(|asked| Reaction::SendAfter(Duration::from_millis(1200), asked.frame(&echo(asked)))).await;
    let connection = connect(&broker).await;
    connection.call(&question("a"), Duration::from_secs(9)).await.unwrap();
}

#[tokio::test]
async fn a_connection_cut_within_an_answer_is_closed() {
    let broker = broker(|asked| {
        let frame = asked.frame(&echo(asked));
        Reaction::SendAndClose(frame[..frame.len() - 3].to_vec())
    })
    .await;
    let connection = connect(&broker).await;
    let cut = ask(&connection, "a").await.unwrap_err();
    assert!(matches!(cut, Error::Closed { .. }), "{cut}");
    assert!(cut.is_retryable() && connection.is_closed());
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused() {
    let broker = broker(|_| Reaction::Send((2_i32 << 20).to_be_bytes().to_vec())).await;
    let connection = connect(&broker).await;
    let refused = ask(&connection, "a").await.unwrap_err();
    assert!(refused.to_string().contains("2097152 bytes is announced, at most 1048576"), "{refused}");
    assert!(!refused.is_retryable());
}

#[tokio::test]
async fn an_answer_to_another_request_is_refused() {
    let broker = broker(|asked| {
        let mut frame = asked.frame(&echo(asked));
        frame[7] ^= 1;
        Reaction::Send(frame)
    })
    .await;
    let connection = connect(&broker).await;
    let refused = ask(&connection, "a").await.unwrap_err();
    assert!(matches!(refused, Error::Protocol { .. }), "{refused}");
    assert!(connection.is_closed());
}

#[tokio::test]
async fn an_answer_nobody_asked_for_closes_the_connection() {
    let broker = broker(|asked| Reaction::Send([asked.frame(&echo(asked)), asked.frame(&echo(asked))].concat())).await;
    let connection = connect(&broker).await;
    assert_eq!(ask(&connection, "a").await.unwrap(), "a");
    let next = ask(&connection, "b").await;
    assert!(next.is_err(), "the second answer belonged to nobody: {next:?}");
}

#[tokio::test]
async fn an_answer_with_bytes_left_over_or_missing_is_refused() {
    for change in [-1_i32, 1] {
        let broker = broker(move |asked| {
            let mut frame = asked.frame(&echo(asked));
            let size = (frame.len() as i32 + change) as usize;
            frame.resize(size, 0);
            frame[..4].copy_from_slice(&(size as i32 - 4).to_be_bytes());
            Reaction::Send(frame)
        })
        .await;
        let connection = connect(&broker).await;
        let refused = ask(&connection, "a").await.unwrap_err();
        assert!(matches!(refused, Error::Protocol { .. }), "{change}: {refused}");
        assert!(!connection.is_closed(), "the frames are still in step");
    }
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_noticed() {
    let broker = broker(|asked| Reaction::SendAndClose(asked.frame(&echo(asked)))).await;
    let connection = connect(&broker).await;
    ask(&connection, "a").await.unwrap();
    while !connection.is_closed() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
