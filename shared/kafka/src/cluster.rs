//! A handle on a cluster: whom to ask, over which connection, and how often.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clock::Backoff;
use futures::future::join_all;
use migration::TopicPartition;

use crate::Api;
use crate::api::Call;
use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::metadata::{Broker, Cache, Metadata, MetadataMode};
use crate::pool::{Key, Pool, Purpose};
use crate::settings::Settings;

/// A cluster. Clones share connections and metadata.
#[derive(Debug, Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
    lane: u8,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    mode: MetadataMode,
    metadata: Cache,
    pool: Pool,
    trouble: Mutex<Option<Error>>,
}

impl Cluster {
    /// Connects to the first of the bootstrap servers that answers, and learns from it about the whole cluster. Retried
    /// up to the retry deadline.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when no server answers, with the reason of each.
    pub async fn connect(settings: Settings) -> Result<Self> {
        if settings.bootstrap.is_empty() {
            return Err(Error::Usage { message: "there are no bootstrap servers".to_owned() });
        }
        let mut backoff = Backoff::new(settings.retry);
        loop {
            match Self::bootstrap(&settings).await {
                Err(error) if error.is_retryable() && backoff.pause().await => {
                    tracing::debug!(%error, "bootstrapping again");
                }
                outcome => return outcome,
            }
        }
    }

    async fn bootstrap(settings: &Settings) -> Result<Self> {
        let (connection, metadata) = ask_bootstrap(settings).await?;
        // Only the brokers of a KRaft cluster have an API for its quorum (KIP-595).
        let mode = match connection.offers(Api::DescribeQuorum) {
            true => MetadataMode::KRaft,
            false => MetadataMode::ZooKeeper,
        };
        let cache = Cache::new();
        cache.get(|| async { Ok(metadata) }).await?;
        let shared = Shared {
            settings: settings.clone(),
            mode,
            metadata: cache,
            pool: Pool::default(),
            trouble: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared), lane: 0 })
    }

    /// The same cluster over connections of its own: what runs on different lanes does not queue behind each other.
    #[must_use]
    pub fn lane(&self, lane: u8) -> Self {
        Self { shared: self.shared.clone(), lane }
    }

    /// How the cluster is reached, for other clients.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// The cluster's id, which every cluster since 0.10.1 has.
    pub fn id(&self) -> Option<String> {
        self.shared.metadata.newest().cluster_id.clone()
    }

    /// How the cluster keeps its metadata, told by the APIs that its brokers have.
    pub fn metadata_mode(&self) -> MetadataMode {
        self.shared.mode
    }

    /// The live brokers by id.
    pub async fn brokers(&self) -> Result<Vec<Broker>> {
        Ok(self.metadata().await?.brokers.values().cloned().collect())
    }

    /// Connects to every live broker, and names those for which that fails, each with the reason. Retried up to the retry
    /// deadline, unless a reason is not a passing one.
    ///
    /// # Errors
    /// When nobody tells which brokers there are.
    pub async fn unreachable_brokers(&self) -> Result<Vec<(Broker, Error)>> {
        let mut backoff = self.backoff();
        loop {
            let brokers = self.with_retries(|| self.brokers()).await?;
            let connecting = brokers.into_iter().map(|broker| async {
                let error = self.connection_to(&broker, Purpose::Admin).await.err()?;
                Some((broker, error))
            });
            let failed: Vec<_> = join_all(connecting).await.into_iter().flatten().collect();
            let passing = failed.iter().all(|(_, error)| error.is_retryable());
            if failed.is_empty() || !passing || !backoff.pause().await {
                return Ok(failed);
            }
            // One that is down is no longer among the live ones in a moment.
            self.invalidate();
        }
    }

    /// The broker that leads `partition`.
    ///
    /// # Errors
    /// [`Error::NoLeader`] when it has none, or does not exist, also after asking again.
    pub async fn leader(&self, partition: &TopicPartition) -> Result<i32> {
        let mut leaders = self.leaders(std::slice::from_ref(partition)).await?;
        leaders.remove(partition).ok_or_else(|| Error::NoLeader { partition: partition.clone() })
    }

    /// The leaders of those of `partitions` that have one. Asks again at most once when one is missing.
    pub async fn leaders(&self, partitions: &[TopicPartition]) -> Result<HashMap<TopicPartition, i32>> {
        let mut metadata = self.metadata().await?;
        if partitions.iter().any(|partition| metadata.leader(partition).is_none()) {
            self.invalidate();
            metadata = self.metadata().await?;
        }
        let known = partitions.iter().filter_map(|partition| Some((partition.clone(), metadata.leader(partition)?)));
        Ok(known.collect())
    }

    /// Doubts what is known about the cluster; it is asked for again before the next request that needs it.
    pub fn invalidate(&self) {
        self.shared.metadata.invalidate();
    }

    /// Asks the cluster for its brokers, topics and leaders now.
    pub async fn refresh(&self) -> Result<()> {
        self.invalidate();
        self.metadata().await.map(drop)
    }

    /// Repeats `attempt` while it fails for a passing reason, with growing pauses up to the retry deadline.
    pub async fn with_retries<T, F: Future<Output = Result<T>>>(&self, mut attempt: impl FnMut() -> F) -> Result<T> {
        let mut backoff = self.backoff();
        loop {
            match attempt().await {
                Err(error) => {
                    self.note(&error);
                    if !error.is_retryable() {
                        return Err(error);
                    }
                    self.set_trouble(Some(&error));
                    if !backoff.pause().await {
                        return Err(error);
                    }
                    tracing::debug!(%error, "asking again");
                }
                done => {
                    self.set_trouble(None);
                    return done;
                }
            }
        }
    }

    /// The passing failure that calls were repeated for last, unless one was answered since: what keeps a call from ending that its
    /// caller gives up.
    pub fn trouble(&self) -> Option<Error> {
        self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes note of what calls are repeated for, if for anything.
    pub(crate) fn set_trouble(&self, error: Option<&Error>) {
        *self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner) = error.cloned();
    }

    /// The pauses of one piece of work that is repeated.
    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.shared.settings.retry)
    }

    /// Takes note of what an error says about the metadata.
    pub(crate) fn note(&self, error: &Error) {
        if error.doubts_metadata() {
            self.invalidate();
        }
    }

    /// What is known about the cluster, asked for if it is in doubt.
    pub(crate) async fn metadata(&self) -> Result<Arc<Metadata>> {
        self.shared.metadata.get(|| self.ask_metadata()).await
    }

    /// Asks the brokers that are known one after the other, then the bootstrap servers: all brokers may have moved.
    async fn ask_metadata(&self) -> Result<Metadata> {
        let known = self.shared.metadata.newest();
        for broker in known.brokers.values() {
            let asked = async {
                let connection = self.connection_to(broker, Purpose::Admin).await?;
                connection.call(&Metadata::request(), Duration::ZERO).await.and_then(Metadata::from_response)
            };
            match asked.await {
                Ok(metadata) => return Ok(metadata),
                Err(error) => tracing::debug!(broker = broker.id, %error, "no metadata"),
            }
        }
        Ok(ask_bootstrap(&self.shared.settings).await?.1)
    }

    async fn connection_to(&self, broker: &Broker, purpose: Purpose) -> Result<Arc<Connection>> {
        let key = Key { broker: broker.id, purpose, lane: self.lane };
        self.shared.pool.get(key, &broker.address(), &self.shared.settings).await
    }

    /// A connection to the broker with this id.
    pub(crate) async fn connection(&self, broker: i32, purpose: Purpose) -> Result<Arc<Connection>> {
        let metadata = self.metadata().await?;
        match metadata.brokers.get(&broker) {
            Some(broker) => self.connection_to(broker, purpose).await,
            None => {
                self.invalidate();
                Err(Error::Unreachable { message: format!("broker {broker} is not in the cluster's metadata") })
            }
        }
    }

    /// Sends one request to one broker. `broker_wait` is how long the request lets the broker take on purpose.
    pub(crate) async fn call<C: Call>(
        &self,
        broker: i32,
        purpose: Purpose,
        request: &C,
        broker_wait: Duration,
    ) -> Result<C::Response> {
        let connection = self.connection(broker, purpose).await?;
        connection.call(request, broker_wait).await
    }

    /// A broker that may change the cluster: the controller, or on KRaft any broker, which passes it on.
    pub(crate) async fn controller(&self) -> Result<i32> {
        let metadata = self.metadata().await?;
        let controller = metadata.controller.filter(|id| metadata.brokers.contains_key(id));
        controller.ok_or_else(|| {
            self.invalidate();
            Error::Unreachable { message: "the cluster has no controller".to_owned() }
        })
    }

    /// Some broker, for what every broker can answer.
    pub(crate) async fn any_broker(&self) -> Result<i32> {
        let metadata = self.metadata().await?;
        let first = metadata.brokers.keys().next().copied();
        first.ok_or_else(|| Error::Unreachable { message: "the cluster has no brokers".to_owned() })
    }
}

/// Asks the bootstrap servers for the cluster's metadata until one answers.
async fn ask_bootstrap(settings: &Settings) -> Result<(Connection, Metadata)> {
    let mut failures = Vec::with_capacity(settings.bootstrap.len());
    for address in &settings.bootstrap {
        match ask_server(address, settings).await {
            Ok(found) => return Ok(found),
            // A broker that refuses us, or that is too old, will not change its mind: say so at once.
            Err(error) if !error.is_retryable() => return Err(error),
            Err(error) => failures.push(error.to_string()),
        }
    }
    Err(Error::Unreachable { message: failures.join("; ") })
}

async fn ask_server(address: &str, settings: &Settings) -> Result<(Connection, Metadata)> {
    let connection = Connection::open(address, settings).await?;
    let answer =
        connection.call(&Metadata::request(), Duration::ZERO).await.map_err(|error| match settings.auth.sasl() {
            None => error.if_closed("a listener for SASL does that: check that the port fits auth.mode"),
            Some(_) => error,
        })?;
    Ok((connection, Metadata::from_response(answer)?))
}

#[cfg(test)]
mod tests;
