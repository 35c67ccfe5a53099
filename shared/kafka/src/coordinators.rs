//! Who keeps which group and which transactional id, and asking about many of them at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use kafka_protocol::messages::FindCoordinatorRequest;
use kafka_protocol::messages::find_coordinator_response::Coordinator;

use crate::Api;
use crate::cluster::Cluster;
use crate::connection::Connection;
use crate::error::{Each, Error, Place, Result, check};
use crate::pool::Purpose;
use crate::spread::{Outcomes, complete, text};

/// Keys in one question for their coordinators.
const KEYS_PER_REQUEST: usize = 500;
/// Requests at the same time. They share a connection, which is answered in order.
const IN_FLIGHT: usize = 16;
/// The first version that can ask for many coordinators at once (KIP-699).
const MANY_KEYS: i16 = 4;

/// What a coordinator keeps (`FindCoordinatorRequest.CoordinatorType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// Groups.
    Group,
    /// Transactional ids.
    TransactionalId,
}

impl Keeps {
    fn wire(self) -> i8 {
        match self {
            Self::Group => 0,
            Self::TransactionalId => 1,
        }
    }

    /// What an error about `key` is about.
    pub(crate) fn place(self, key: &str) -> Place {
        match self {
            Self::Group => Place::Group(key.to_owned()),
            Self::TransactionalId => Place::TransactionalId(key.to_owned()),
        }
    }
}

impl Cluster {
    /// The broker that keeps `group`, now.
    ///
    /// # Errors
    /// `CoordinatorNotAvailable` while the cluster creates the topic of its groups or elects a leader for it.
    pub async fn group_coordinator(&self, group: &str) -> Result<i32> {
        self.coordinator(Keeps::Group, group).await
    }

    /// The broker that keeps `key`, now. Tried once.
    pub(crate) async fn coordinator(&self, keeps: Keeps, key: &str) -> Result<i32> {
        let keys = [key.to_owned()];
        let found = self.coordinators_of(keeps, &keys).await.pop();
        found.map_or_else(|| Err(left_out("a broker", keeps, key)), |(_, coordinator)| coordinator)
    }

    /// A connection to the broker that keeps `group`.
    pub(crate) async fn coordinator_connection(&self, group: &str) -> Result<Arc<Connection>> {
        let coordinator = self.group_coordinator(group).await?;
        self.connection(coordinator, Purpose::Admin).await
    }

    /// The broker that keeps each of `keys`, now. Tried once.
    pub(crate) async fn coordinators_of(&self, keeps: Keeps, keys: &[String]) -> Each<String, i32> {
        let connection = async { self.connection(self.any_broker().await?, Purpose::Admin).await };
        let connected = async {
            let connection = connection.await?;
            let version = connection.version::<FindCoordinatorRequest>()?;
            Ok((connection, version))
        };
        let (connection, version) = match connected.await {
            Ok(connected) => connected,
            Err(error) => return complete(keys.to_vec(), Err(error)),
        };
        let per_request = if version < MANY_KEYS { 1 } else { KEYS_PER_REQUEST };
        // Collected first, here and below: a stream that borrows from its closures cannot be sent between threads.
        let asked: Vec<_> =
            keys.chunks(per_request).map(|keys| find(connection.clone(), version, keeps, keys.to_vec())).collect();
        let answers: Vec<_> = stream::iter(asked).buffered(IN_FLIGHT).collect().await;
        answers.into_iter().flatten().collect()
    }

    /// Sends the brokers that keep `keys` requests of at most `per_request` of them through `ask`, which is given a broker and
    /// its keys. A request that fails fails all of its keys. Tried once.
    pub(crate) async fn per_coordinator<T, F>(
        &self,
        keeps: Keeps,
        keys: Vec<String>,
        per_request: usize,
        ask: impl Fn(i32, Vec<String>) -> F,
    ) -> Each<String, T>
    where
        F: Future<Output = Result<Outcomes<String, T>>>,
    {
        let mut kept: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        let mut outcomes = Outcomes::new();
        for (key, coordinator) in self.coordinators_of(keeps, &keys).await {
            match coordinator {
                Ok(broker) => kept.entry(broker).or_default().push(key),
                Err(error) => drop(outcomes.insert(key, Err(error))),
            }
        }
        let mut asked = Vec::new();
        for (broker, keys) in kept {
            for keys in keys.chunks(per_request) {
                let (keys, answer) = (keys.to_vec(), ask(broker, keys.to_vec()));
                asked.push(async move { complete(keys, answer.await) });
            }
        }
        let answers: Vec<_> = stream::iter(asked).buffer_unordered(IN_FLIGHT).collect().await;
        outcomes.extend(answers.into_iter().flatten());
        complete(keys, Ok(outcomes))
    }
}

async fn find(connection: Arc<Connection>, version: i16, keeps: Keeps, keys: Vec<String>) -> Each<String, i32> {
    let found = match version {
        MANY_KEYS.. => find_many(&connection, keeps, &keys).await,
        _ => find_one(&connection, keeps, &keys).await,
    };
    complete(keys, found)
}

/// Before v4 a request has one key, and its answer names none.
async fn find_one(connection: &Connection, keeps: Keeps, keys: &[String]) -> Result<Outcomes<String, i32>> {
    let mut outcomes = Outcomes::new();
    for key in keys {
        let request = FindCoordinatorRequest::default().with_key(text(key)).with_key_type(keeps.wire());
        let answer = connection.call(&request, Duration::ZERO).await?;
        let message = answer.error_message.as_deref();
        let found = check(Api::FindCoordinator, answer.error_code, || keeps.place(key), message);
        outcomes.insert(key.clone(), found.map(|()| answer.node_id.0));
    }
    Ok(outcomes)
}

async fn find_many(connection: &Connection, keeps: Keeps, keys: &[String]) -> Result<Outcomes<String, i32>> {
    let request = FindCoordinatorRequest::default()
        .with_key_type(keeps.wire())
        .with_coordinator_keys(keys.iter().map(|key| text(key)).collect());
    let answer = connection.call(&request, Duration::ZERO).await?;
    let found = |found: Coordinator| {
        let key = found.key.to_string();
        let message = found.error_message.as_deref();
        let outcome = check(Api::FindCoordinator, found.error_code, || keeps.place(&key), message);
        (key, outcome.map(|()| found.node_id.0))
    };
    Ok(answer.coordinators.into_iter().map(found).collect())
}

/// The error of an answer without `key`.
pub(crate) fn left_out(broker: &str, keeps: Keeps, key: &str) -> Error {
    Error::Protocol { broker: broker.into(), message: format!("left {} out of its answer", keeps.place(key)) }
}
