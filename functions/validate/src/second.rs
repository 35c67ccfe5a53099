//! A second, independent client of the target: what wrote the copy does not check it.
//!
//! rskafka keeps headers in a map and fails a whole fetch for one null header value, so it gives log bounds and reads
//! sentinels here, while records are compared through the `kafka` crate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use kafka::{Sasl, Settings};
use migration::{Error, Result, TopicPartition};
use rskafka::BackoffConfig;
use rskafka::client::error::{Error as ClientError, ProtocolError, RequestError};
use rskafka::client::partition::{OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder, Credentials, OauthBearerCredentials, SaslConfig};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long one question is repeated. Without a bound rskafka repeats it for ever.
const RETRY_FOR: Duration = Duration::from_secs(30);
/// How long one question may take with its repetitions, should a broker accept it and never answer.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);
/// How long a broker may wait for a record that is not there.
const MAX_WAIT_MS: i32 = 500;

/// Between two new connections to brokers that are signed in to with IAM. This client opens one for each partition, MSK takes 100 a
/// second on a broker (<https://docs.aws.amazon.com/msk/latest/developerguide/limits.html>), and sixteen functions may compare at once.
const IAM_PAUSE: Duration = Duration::from_millis(50);

/// The client, connected.
#[derive(Debug, Clone)]
pub(crate) struct Second {
    client: Arc<Client>,
    pace: Option<Arc<Pace>>,
}

/// When the next connection may be opened.
#[derive(Debug)]
struct Pace(Mutex<Instant>);

impl Pace {
    fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Waits for the next turn.
    async fn turn(&self) {
        let mut next = self.0.lock().await;
        tokio::time::sleep_until(*next).await;
        *next = Instant::now() + IAM_PAUSE;
    }
}

/// A record as this client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Key.
    pub(crate) key: Option<Vec<u8>>,
    /// Value.
    pub(crate) value: Option<Vec<u8>>,
    /// Headers; of several with one name, one.
    pub(crate) headers: BTreeMap<String, Vec<u8>>,
}

/// Outcome of [`Second::record_at`].
#[derive(Debug)]
pub(crate) enum Read {
    /// There is a record at the offset.
    Record(Seen),
    /// There is none.
    Missing,
    /// This client cannot read what is there.
    Unreadable(String),
}

impl Second {
    /// Connects as `settings` say.
    ///
    /// # Errors
    /// Transient when no broker answers.
    pub(crate) async fn connect(settings: &Settings) -> Result<Self> {
        let backoff = BackoffConfig {
            max_backoff: Duration::from_secs(2),
            deadline: Some(RETRY_FOR),
            ..BackoffConfig::default()
        };
        let mut builder = ClientBuilder::new(settings.bootstrap.clone());
        builder = builder.client_id("msk-kraft-validate").backoff_config(backoff);
        if let Some(tls) = settings.auth.tls() {
            builder = builder.tls_config(tls.client_config());
        }
        let mut pace = None;
        if let Some(sasl) = settings.auth.sasl() {
            pace = matches!(sasl, Sasl::MskIam(_)).then(|| Arc::new(Pace::new()));
            builder = builder.sasl_config(sasl_config(sasl));
        }
        let client = bounded("connect", builder.build()).await?.map_err(|error| failed("connect", &error))?;
        Ok(Self { client: Arc::new(client), pace })
    }

    async fn partition(&self, partition: &TopicPartition) -> Result<PartitionClient> {
        if let Some(pace) = &self.pace {
            pace.turn().await;
        }
        let topic = partition.topic.to_string();
        let client = self.client.partition_client(topic, partition.partition, UnknownTopicHandling::Error);
        let client = bounded("find the leader", client).await.map_err(|error| error.at(partition))?;
        client.map_err(|error| failed("find the leader", &error).at(partition))
    }

    /// Log start and log end offset of `partition`. The end is the last stable offset, since rskafka asks
    /// read-committed.
    ///
    /// # Errors
    /// Transient when the partition's leader does not answer.
    pub(crate) async fn bounds(&self, partition: &TopicPartition) -> Result<(i64, i64)> {
        let client = self.partition(partition).await?;
        let client = &client;
        let ask = |at| async move {
            let offset =
                bounded("ask for an offset", client.get_offset(at)).await.map_err(|error| error.at(partition))?;
            offset.map_err(|error| failed("ask for an offset", &error).at(partition))
        };
        Ok((ask(OffsetAt::Earliest).await?, ask(OffsetAt::Latest).await?))
    }

    /// The record at `offset` of `partition`.
    ///
    /// # Errors
    /// Transient when the partition's leader does not answer.
    pub(crate) async fn record_at(&self, partition: &TopicPartition, offset: i64) -> Result<Read> {
        let client = self.partition(partition).await?;
        // One byte: a broker always returns the whole first batch (KIP-74), and nothing of the next is wanted.
        let fetch = client.fetch_records(offset, 1..2, MAX_WAIT_MS);
        match bounded("fetch", fetch).await.map_err(|error| error.at(partition))? {
            Ok((records, _)) => {
                let found = records.into_iter().find(|found| found.offset == offset);
                let seen = found.map(|found| found.record);
                let seen = seen.map(|record| Seen { key: record.key, value: record.value, headers: record.headers });
                Ok(seen.map_or(Read::Missing, Read::Record))
            }
            Err(ClientError::ServerError { protocol_error: ProtocolError::OffsetOutOfRange, .. }) => Ok(Read::Missing),
            Err(error) if is_unreadable(&error) => Ok(Read::Unreadable(error.to_string())),
            Err(error) => Err(failed("fetch", &error).at(partition)),
        }
    }
}

/// The same credentials for rskafka, which does not sign in again on an open connection: brokers that limit sessions close
/// it, and it connects anew.
fn sasl_config(sasl: &Sasl) -> SaslConfig {
    match sasl {
        Sasl::ScramSha512 { username, password } => {
            SaslConfig::ScramSha512(Credentials::new(username.clone(), password.expose().to_owned()))
        }
        Sasl::MskIam(iam) => {
            let iam = iam.clone();
            let token = move || {
                let iam = iam.clone();
                async move { iam.token().await.map_err(Into::into) }.boxed()
            };
            let (callback, authz_id, bearer_kvs) = (Arc::new(token), None, Vec::new());
            SaslConfig::Oauthbearer(OauthBearerCredentials { callback, authz_id, bearer_kvs })
        }
    }
}

async fn bounded<F: Future>(what: &str, question: F) -> Result<F::Output> {
    let answer = tokio::time::timeout(GIVE_UP_AFTER, question).await;
    answer.map_err(|_| Error::transient(format_args!("rskafka: {what}: no answer for {} s", GIVE_UP_AFTER.as_secs())))
}

/// Whether the answer came and this client could not make sense of it. It fetches with version 4, for which brokers refuse
/// topics whose `compression.type` is `zstd` (KIP-110).
const fn is_unreadable(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::InvalidResponse(_)
            | ClientError::ServerError { protocol_error: ProtocolError::UnsupportedCompressionType, .. }
            | ClientError::Request(
                RequestError::ReadError(_) | RequestError::ReadVersionedError(_) | RequestError::TooMuchData { .. }
            )
    )
}

fn failed(what: &str, error: &ClientError) -> Error {
    let message = format!("rskafka: {what}: {error}");
    match error {
        ClientError::ServerError {
            protocol_error: ProtocolError::TopicAuthorizationFailed | ProtocolError::ClusterAuthorizationFailed,
            ..
        } => Error::blocked(message),
        _ => Error::transient(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn connections_take_turns() {
        let (pace, begun) = (Pace::new(), Instant::now());
        pace.turn().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let turns = (0..20).map(|_| pace.turn());
        futures::future::join_all(turns).await;
        assert!(begun.elapsed() >= 20 * IAM_PAUSE);
    }
}
