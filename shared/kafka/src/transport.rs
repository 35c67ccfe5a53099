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
        return match advice(tls) {
            Some(advice) => Error::Tls { broker, message: format!("{tls}; {advice}") },
            None => Error::Io {
                broker,
                message: format!("TLS: {tls}; if it stays so, check that the port fits auth.mode, and auth.keystore"),
            },
        };
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

/// What there is to do about an error of TLS that stays: certificates that one side does not accept, or two sides that do not
/// speak the same. Nothing for what a broker also says when it starts, stops, or has trouble of its own.
fn advice(error: &rustls::Error) -> Option<&'static str> {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            Some("check auth.truststore, and that the broker's name is the one in its certificate")
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
        ) => Some(
            "the broker does not accept the client's certificate, or misses one: check auth.mode and auth.keystore",
        ),
        // Java's TLS 1.3 sends an alert about the client's certificate under keys that are out of use by then.
        rustls::Error::DecryptError => Some(
            "most likely the broker does not accept the client's certificate, or misses one: check auth.mode and auth.keystore",
        ),
        rustls::Error::InvalidMessage(_) => {
            Some("the listener may be one without TLS: check that the port fits auth.mode")
        }
        rustls::Error::PeerIncompatible(_)
        | rustls::Error::AlertReceived(AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity) => {
            Some("broker and client have no version or cipher of TLS in common")
        }
        _ => None,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use migration::ErrorKind;
    use rustls::CertificateError;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[test]
    fn only_certificates_and_listeners_that_do_not_fit_stay_as_they_are() {
        let kind =
            |error: rustls::Error| failure(&"b:9094".into(), &io::Error::new(io::ErrorKind::InvalidData, error)).kind();
        for lasting in [
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer),
            rustls::Error::AlertReceived(AlertDescription::BadCertificate),
            rustls::Error::AlertReceived(AlertDescription::ProtocolVersion),
            rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType),
            rustls::Error::DecryptError,
        ] {
            assert_eq!(kind(lasting.clone()), ErrorKind::Blocked, "{lasting}");
        }
        for passing in [
            rustls::Error::AlertReceived(AlertDescription::InternalError),
            rustls::Error::AlertReceived(AlertDescription::HandshakeFailure),
            rustls::Error::General("trouble".to_owned()),
        ] {
            assert_eq!(kind(passing.clone()), ErrorKind::Transient, "{passing}");
        }
    }

    /// A server that answers a handshake with a fatal alert (RFC 8446, 6).
    async fn alerting(description: u8) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut hello = [0; 4096];
                let _ = socket.read(&mut hello).await;
                let _ = socket.write_all(&[21, 3, 3, 0, 2, 2, description]).await;
                // Until the client has closed: a reset could overtake the alert.
                let _ = socket.read(&mut hello).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn a_server_in_trouble_is_passed_over_and_one_that_refuses_certificates_is_not() {
        const INTERNAL_ERROR: u8 = 80;
        const BAD_CERTIFICATE: u8 = 42;
        let (first, last) = (alerting(INTERNAL_ERROR).await, alerting(BAD_CERTIFICATE).await);
        let auth = Auth::Tls(Tls::new(Some(Vec::new()), None).unwrap());
        let settings = crate::Settings { auth, ..crate::fake::hasty(&[first, last.clone()]) };
        let error = crate::Cluster::connect(settings).await.unwrap_err();
        assert!(matches!(&error, Error::Tls { broker, .. } if **broker == *last), "{error}");
    }
}
