//! One connection to one broker: requests go out in order, answers come back in the same order.
//!
//! A task owns the socket. A request that is dropped while it waits leaves its place in the queue behind, and the answer
//! is thrown away when it comes: whatever the callers do, questions and answers stay paired. A request that times out
//! closes the connection, because everything behind it would wait for the same broker.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::{StrBytes, VersionRange};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::admin::ServedVersions;
use crate::api::Call;
use crate::auth::Auth;
use crate::codec::{CLIENT_ID, decode, encode};
use crate::error::{Error, Place, Result, check};
use crate::frame::serve;
use crate::session::Session;
use crate::settings::Settings;
use crate::{Api, transport};

/// Requests that may wait to be written before callers have to wait themselves.
const QUEUED_REQUESTS: usize = 64;

/// A request on its way to the socket.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Everything to be written, the length included, in pieces.
    pub(crate) frame: Vec<Bytes>,
    /// Who waits for the answer.
    pub(crate) pending: Pending,
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(crate) struct Pending {
    /// Id that the answer must carry.
    pub(crate) correlation: i32,
    /// Where the answer goes, its length removed.
    pub(crate) answer: oneshot::Sender<Result<Bytes>>,
}

/// A connection that has learnt which versions its broker speaks.
#[derive(Debug)]
pub(crate) struct Connection {
    broker: Arc<str>,
    versions: HashMap<i16, VersionRange>,
    outgoing: mpsc::Sender<Outgoing>,
    correlation: AtomicI32,
    request_timeout: Duration,
    task: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    /// Connects to `address` (`host:port`), signs in, and asks the broker for its versions (KIP-35).
    pub(crate) async fn open(address: &str, settings: &Settings) -> Result<Self> {
        let broker: Arc<str> = address.into();
        let timeout = settings.connect_timeout;
        let opening = Self::handshake(broker.clone(), settings);
        match tokio::time::timeout(timeout, opening).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::Timeout { broker, api: Api::ApiVersions, after: timeout }),
        }
    }

    async fn handshake(broker: Arc<str>, settings: &Settings) -> Result<Self> {
        let stream = transport::open(&broker, &settings.auth).await?;
        let session = settings.auth.sasl().map(|sasl| Session::new(broker.clone(), sasl.clone()));
        let (outgoing, requests) = mpsc::channel(QUEUED_REQUESTS);
        let serving = serve(stream, requests, session, broker.clone(), settings.max_response_bytes);
        let task = tokio::spawn(serving).abort_handle();
        let mut connection = Self {
            broker,
            versions: HashMap::from([(Api::ApiVersions as i16, <ApiVersionsRequest as Call>::VERSIONS)]),
            outgoing,
            correlation: AtomicI32::new(0),
            request_timeout: settings.request_timeout,
            task,
        };
        connection.versions = connection.ask_versions().await.map_err(|error| match settings.auth {
            Auth::Plaintext => error.if_closed("a listener for TLS does that: check that the port fits auth.mode"),
            Auth::Tls(_) | Auth::Sasl(..) => error,
        })?;
        Ok(connection)
    }

    async fn ask_versions(&self) -> Result<HashMap<i16, VersionRange>> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str(CLIENT_ID))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let frame = self.exchange(&request, <ApiVersionsRequest as Call>::VERSIONS.max, self.request_timeout).await?;
        // A broker too old for the version asked answers in version 0, with this code and the versions it has.
        if frame.get(4..6) == Some(&crate::Code::UnsupportedVersion.code().to_be_bytes()) {
            return Err(self.unsupported::<ApiVersionsRequest>(None));
        }
        let answer: ApiVersionsResponse =
            decode::<ApiVersionsRequest>(&self.broker, frame, <ApiVersionsRequest as Call>::VERSIONS.max)?;
        check(Api::ApiVersions, answer.error_code, || Place::Cluster, None)?;
        let range = |min, max| VersionRange { min, max };
        Ok(answer.api_keys.iter().map(|api| (api.api_key, range(api.min_version, api.max_version))).collect())
    }

    /// Address of the broker, as it was connected to.
    pub(crate) fn address(&self) -> &str {
        &self.broker
    }

    /// Whether the connection can no longer be used.
    pub(crate) fn is_closed(&self) -> bool {
        self.outgoing.is_closed()
    }

    /// Whether the broker has `api` in any version.
    pub(crate) fn offers(&self, api: Api) -> bool {
        self.versions.contains_key(&(api as i16))
    }

    /// The versions that the broker says it serves, by the number of the API.
    pub(crate) fn served(&self) -> ServedVersions {
        self.versions.iter().map(|(api, range)| (*api, range.min..=range.max)).collect()
    }

    /// The newest version of a request that both sides know.
    pub(crate) fn version<C: Call>(&self) -> Result<i16> {
        let offered = self.versions.get(&(C::API as i16)).copied();
        let common = offered.map(|range| range.intersect(&C::VERSIONS)).filter(|range| !range.is_empty());
        common.map(|range| range.max).ok_or_else(|| self.unsupported::<C>(offered))
    }

    fn unsupported<C: Call>(&self, offered: Option<VersionRange>) -> Error {
        Error::UnsupportedApi { api: C::API, broker: self.broker.clone(), offered, needed: C::VERSIONS }
    }

    /// Sends `request` and waits for its answer. `broker_wait` is how long the request lets the broker take on purpose.
    ///
    /// # Errors
    /// After [`Error::Timeout`] and [`Error::Closed`] it is unknown whether the broker did what it was asked to.
    pub(crate) async fn call<C: Call>(&self, request: &C, broker_wait: Duration) -> Result<C::Response> {
        let version = self.version::<C>()?;
        let answer = self.exchange(request, version, self.request_timeout + broker_wait).await?;
        decode::<C>(&self.broker, answer, version)
    }

    async fn exchange<C: Call>(&self, request: &C, version: i16, timeout: Duration) -> Result<Bytes> {
        let correlation = self.correlation.fetch_add(1, Ordering::Relaxed);
        let frame = encode(&self.broker, request, version, correlation)?;
        let (answer, answered) = oneshot::channel();
        let exchange = async {
            let outgoing = Outgoing { frame, pending: Pending { correlation, answer } };
            self.outgoing.send(outgoing).await.map_err(|_| self.closed())?;
            answered.await.map_err(|_| self.closed())?
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.task.abort();
                Err(Error::Timeout { broker: self.broker.clone(), api: C::API, after: timeout })
            }
        }
    }

    fn closed(&self) -> Error {
        Error::Closed { broker: self.broker.clone() }
    }
}

#[cfg(test)]
mod tests;
