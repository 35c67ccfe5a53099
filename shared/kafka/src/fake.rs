//! A broker made of a listener and a script, for faults that a real one does not have on demand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{ApiKey, ApiVersionsResponse, MetadataResponse, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes, decode_request_header_from_buffer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::api::TABLE;
use crate::settings::Settings;
use crate::spread::topic_name;

/// A request as the fake broker got it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) api: ApiKey,
    pub(crate) header: RequestHeader,
    pub(crate) body: Bytes,
    /// How many requests of this API there were before it, over all connections.
    pub(crate) earlier: usize,
    /// Number of the connection, in the order in which they were made.
    pub(crate) connection: usize,
}

impl Asked {
    /// The request's message.
    pub(crate) fn request<C: Decodable>(&self) -> C {
        C::decode(&mut self.body.clone(), self.header.request_api_version).unwrap()
    }

    /// Answers with `response`.
    pub(crate) fn answer<R: Encodable + HeaderVersion>(&self, response: &R) -> Reaction {
        Reaction::Send(self.frame(response))
    }

    /// The frame that [`Asked::answer`] sends.
    pub(crate) fn frame<R: Encodable + HeaderVersion>(&self, response: &R) -> Vec<u8> {
        let version = self.header.request_api_version;
        let mut frame = BytesMut::new();
        let header = ResponseHeader::default().with_correlation_id(self.header.correlation_id);
        header.encode(&mut frame, R::header_version(version)).unwrap();
        response.encode(&mut frame, version).unwrap();
        let mut bytes = Vec::new();
        bytes.put_i32(frame.len() as i32);
        bytes.extend_from_slice(&frame);
        bytes
    }
}

/// What the fake broker does about a request.
#[derive(Debug, Clone)]
pub(crate) enum Reaction {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes after a while; requests behind it wait, as in a real broker.
    SendAfter(Duration, Vec<u8>),
    /// Sends these bytes and closes the connection.
    SendAndClose(Vec<u8>),
    /// Does nothing.
    Ignore,
}

type Script = dyn Fn(&Asked) -> Option<Reaction> + Send + Sync;

/// A fake broker that listens until it is dropped.
pub(crate) struct FakeBroker {
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for FakeBroker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeBroker {
    /// Starts a broker that reacts as `script` says, and by itself answers ApiVersions with all that the client knows.
    pub(crate) async fn start(script: impl Fn(&Asked) -> Option<Reaction> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (script, log): (Arc<Script>, _) = (Arc::new(script), asked.clone());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            for connection in 0.. {
                let (socket, _) = listener.accept().await.unwrap();
                connections.spawn(serve(socket, connection, script.clone(), log.clone()));
            }
        });
        Self { port, asked, task }
    }

    /// The requests of `api` so far.
    pub(crate) fn asked(&self, api: ApiKey) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().filter(|asked| asked.api == api).cloned().collect()
    }

    /// Its address.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

async fn serve(mut socket: TcpStream, connection: usize, script: Arc<Script>, log: Arc<Mutex<Vec<Asked>>>) {
    while let Ok(size) = socket.read_i32().await {
        let mut bytes = vec![0; size as usize];
        socket.read_exact(&mut bytes).await.unwrap();
        let mut body = Bytes::from(bytes);
        let header = decode_request_header_from_buffer(&mut body).unwrap();
        assert!(body.has_remaining() || body.is_empty());
        let api = ApiKey::try_from(header.request_api_key).unwrap();
        let asked = {
            let mut log = log.lock().unwrap();
            let earlier = log.iter().filter(|asked| asked.api == api).count();
            let asked = Asked { api, header, body, earlier, connection };
            log.push(asked.clone());
            asked
        };
        let reaction = script(&asked).unwrap_or_else(|| match api {
            ApiKey::ApiVersions => asked.answer(&all_versions()),
            _ => panic!("no script for {api:?}"),
        });
        match reaction {
            Reaction::Send(bytes) => socket.write_all(&bytes).await.unwrap(),
            Reaction::SendAfter(pause, bytes) => {
                tokio::time::sleep(pause).await;
                if socket.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Reaction::SendAndClose(bytes) => {
                socket.write_all(&bytes).await.unwrap();
                return;
            }
            Reaction::Ignore => {}
        }
    }
}

/// An answer that offers these APIs.
pub(crate) fn versions(apis: impl IntoIterator<Item = (ApiKey, i16, i16)>) -> ApiVersionsResponse {
    let api = |(api, min, max): (ApiKey, i16, i16)| {
        ApiVersion::default().with_api_key(api as i16).with_min_version(min).with_max_version(max)
    };
    ApiVersionsResponse::default().with_api_keys(apis.into_iter().map(api).collect())
}

fn all_versions() -> ApiVersionsResponse {
    versions(TABLE.iter().map(|(api, range, _)| (*api, range.min, range.max)))
}

/// Metadata of a cluster whose brokers listen on `ports` and have ids from 1, with one topic `t` whose partitions are
/// led by `leaders`. The first broker is the controller.
pub(crate) fn metadata(ports: &[u16], leaders: &[i32]) -> MetadataResponse {
    let broker = |(id, port): (i32, &u16)| {
        MetadataResponseBroker::default()
            .with_node_id(id.into())
            .with_host(StrBytes::from_static_str("127.0.0.1"))
            .with_port(i32::from(*port))
    };
    let partition = |(index, leader): (i32, &i32)| {
        MetadataResponsePartition::default().with_partition_index(index).with_leader_id((*leader).into())
    };
    let topic = MetadataResponseTopic::default()
        .with_name(Some(topic_name("t")))
        .with_partitions((0..).zip(leaders).map(partition).collect());
    MetadataResponse::default()
        .with_brokers((1..).zip(ports).map(broker).collect())
        .with_controller_id(1.into())
        .with_topics(vec![topic])
}

/// Settings with short patience.
pub(crate) fn hasty(bootstrap: &[String]) -> Settings {
    let mut settings = Settings::new(bootstrap.iter().cloned());
    settings.connect_timeout = Duration::from_secs(2);
    settings.request_timeout = Duration::from_secs(1);
    settings.retry.initial = Duration::from_millis(5);
    settings.retry.max = Duration::from_millis(20);
    settings.retry.deadline = Duration::from_secs(10);
    settings.max_response_bytes = 1 << 20;
    settings
}
