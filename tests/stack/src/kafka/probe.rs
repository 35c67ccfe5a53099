//! The smallest client that tells whether a cluster is up: one Metadata request by hand.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Metadata v4 for no topics and without creating any: key 3, version 4, correlation id 7, null client id. This
/// version is answered by Kafka 2.8 and, after KIP-896 removed the oldest ones, still by 4.x.
const REQUEST: [u8; 19] = [0, 0, 0, 15, 0, 3, 0, 4, 0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 0, 0];

/// How many brokers the broker on `port` knows of; `None` while it does not answer.
pub(super) async fn brokers_seen_by(port: u16) -> Option<i32> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(&REQUEST).await.ok()?;
    let _size = stream.read_i32().await.ok()?;
    let _correlation = stream.read_i32().await.ok()?;
    let _throttle_ms = stream.read_i32().await.ok()?;
    stream.read_i32().await.ok()
}

/// Whether ZooKeeper on `port` serves requests: `srvr` is the one four-letter word allowed by default.
pub(super) async fn zookeeper_serves(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else { return false };
    let mut answer = String::new();
    stream.write_all(b"srvr").await.is_ok()
        && stream.read_to_string(&mut answer).await.is_ok()
        && answer.contains("Mode:")
}
