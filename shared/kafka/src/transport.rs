//! The byte stream under a connection.

use std::io;
use std::sync::Arc;

use rustls::AlertDescription;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::auth::{Auth, Tls};
use crate::error::{Error, Result};

/// A duplex byte stream: a TCP socket, and whatever may be wrapped around one.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to `broker` (`host:port`), over TLS if `auth` wants it.
///
/// # Errors
/// [`Error::Tls`] when broker and client do not accept each other, [`Error::Io`] for everything that may pass.
pub(crate) async fn open(broker: &Arc<str>, auth: &Auth) -> Result<Box<dyn Stream>> {
    let socket = TcpStream::connect(&**broker).await.map_err(|error| failure(broker, &error))?;
    // Requests are written whole, so waiting for more to send only costs time.
    socket.set_nodelay(true).map_err(|error| failure(broker, &error))?;
    match auth.tls() {
        Some(tls) => secure(broker, tls, socket).await,
        None => Ok(Box::new(socket)),
    }
}

async fn secure(broker: &Arc<str>, tls: &Tls, socket: TcpStream) -> Result<Box<dyn Stream>> {
    let host = broker.rsplit_once(':').map_or(&**broker, |(host, _)| host);
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
    let name = name.map_err(|error| Error::Usage { message: format!("{broker}: {error}") })?;
    let connecting = TlsConnector::from(tls.client_config()).connect(name, socket);
    let stream = connecting.await.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            let message = "closed during the TLS handshake: a listener without TLS does that, check that the port fits \
                           auth.mode";
            Error::Io { broker: broker.clone(), message: message.to_owned() }
        }
        _ => failure(broker, &error),
    })?;
    Ok(Box::new(stream))
}

/// The meaning of an error of a stream.
pub(crate) fn failure(broker: &Arc<str>, error: &io::Error) -> Error {
    let broker = broker.clone();
    let inside = error.get_ref();
    if let Some(tls) = inside.and_then(|inside| inside.downcast_ref::<rustls::Error>()) {
        return Error::Tls { broker, message: explained(tls) };
    }
    if inside.is_some_and(|inside| inside.is::<UnexpectedTls>()) {
        return Error::Tls { broker, message: UnexpectedTls.to_string() };
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::Closed { broker },
        io::ErrorKind::InvalidData => Error::Protocol { broker, message: error.to_string() },
        _ => Error::Io { broker, message: error.to_string() },
    }
}

/// What there is to do about an error of TLS.
fn explained(error: &rustls::Error) -> String {
    let advice = match error {
        rustls::Error::InvalidCertificate(_) => {
            "check auth.truststore, and that the broker's name is the one in its certificate"
        }
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => "the broker does not accept the client's certificate, or misses one: check auth.mode and auth.keystore",
        // Java's TLS 1.3 sends an alert about the client's certificate under keys that are out of use by then.
        rustls::Error::DecryptError => {
            "most likely the broker does not accept the client's certificate, or misses one: check auth.mode and auth.keystore"
        }
        rustls::Error::InvalidMessage(_) => "the listener may be one without TLS: check that the port fits auth.mode",
        _ => "check that the port fits auth.mode",
    };
    format!("{error}; {advice}")
}

/// What a broker sent is an alert of TLS, in place of an answer.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the listener speaks TLS, and this client does not: check that the port fits auth.mode")]
pub(crate) struct UnexpectedTls;

impl UnexpectedTls {
    /// Whether `header` begins an alert (RFC 8446, 5.1) and not an answer, which would have 352 megabytes.
    pub(crate) const fn is_in(header: [u8; 4]) -> bool {
        matches!(header, [21, 3, 0..=4, _])
    }
}
