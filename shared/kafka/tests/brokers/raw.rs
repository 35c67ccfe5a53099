//! Requests that this client does not make, for states that only applications bring about.

use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka::{Cluster, Code};
use kafka_protocol::messages::{FindCoordinatorRequest, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A string of the protocol.
pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// The address of the broker that keeps `key`, once it has one; `key_type` as `FindCoordinator` has it.
pub(crate) async fn coordinator(cluster: &Cluster, key_type: i8, key: &str) -> String {
    let request = FindCoordinatorRequest::default().with_key(text(key)).with_key_type(key_type);
    let answer = send_until_ready(&cluster.settings().bootstrap[0], &request, 3, |answer| answer.error_code).await;
    format!("{}:{}", &*answer.host, answer.port)
}

/// [`send`], again and again while the answer's code says that it may be different in a moment.
pub(crate) async fn send_until_ready<R: Request>(
    address: &str,
    request: &R,
    version: i16,
    code: impl Fn(&R::Response) -> i16,
) -> R::Response {
    const LIMIT: Duration = Duration::from_secs(60);
    let begun = Instant::now();
    loop {
        let answer = send(address, request, version).await;
        let Some(error) = Code::try_from_code(code(&answer)) else { return answer };
        assert!(error.is_retriable() && begun.elapsed() < LIMIT, "request {}: {error:?}", R::KEY);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Sends one request over a connection of its own, by a client called `raw`.
pub(crate) async fn send<R: Request>(address: &str, request: &R, version: i16) -> R::Response {
    let mut frame = BytesMut::new();
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(1)
        .with_client_id(Some(text("raw")));
    header.encode(&mut frame, R::header_version(version)).unwrap();
    request.encode(&mut frame, version).unwrap();
    let mut bytes = Vec::with_capacity(frame.len() + 4);
    bytes.put_i32(frame.len() as i32);
    bytes.extend_from_slice(&frame);
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(&bytes).await.unwrap();
    let size = socket.read_i32().await.unwrap();
    let mut answer = vec![0; size as usize];
    socket.read_exact(&mut answer).await.unwrap();
    let mut answer = Bytes::from(answer);
    ResponseHeader::decode(&mut answer, R::Response::header_version(version)).unwrap();
    let decoded = R::Response::decode(&mut answer, version).unwrap();
    assert!(!answer.has_remaining(), "bytes are left over");
    decoded
}
