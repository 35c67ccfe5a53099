//! The byte stream under a connection.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::settings::Auth;

/// A duplex byte stream: a TCP socket, and whatever may be wrapped around one.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to `address` (`host:port`) and completes what `auth` demands before the first request.
pub(crate) async fn open(address: &str, auth: &Auth) -> io::Result<Box<dyn Stream>> {
    let socket = TcpStream::connect(address).await?;
    // Requests are written whole, so waiting for more to send only costs time.
    socket.set_nodelay(true)?;
    match auth {
        Auth::Plaintext => Ok(Box::new(socket)),
    }
}
