//! TLS to brokers: rustls with ring, trusting the system's authorities or those of a trust store.

use std::fmt;
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::stores::{Identity, StoreError};

/// How connections are encrypted, and which certificates are shown and accepted. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    expires: Option<DateTime<Utc>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("client_certificate", &self.config.client_auth_cert_resolver.has_certs()).finish()
    }
}

impl Tls {
    /// Accepts brokers whose certificates lead to one of `trusted`, or to an authority of the system when it is none.
    /// Shows the certificate of `identity` to brokers that ask for one.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when a trusted certificate is none, when the system has no authorities, or when key and
    /// certificate do not belong together.
    pub fn new(trusted: Option<Vec<CertificateDer<'static>>>, identity: Option<Identity>) -> Result<Self, StoreError> {
        let roots = match trusted {
            Some(certificates) => Arc::new(roots(certificates)?),
            None => system_roots()?,
        };
        let unusable = |error: rustls::Error| StoreError::Unusable(error.to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().map_err(unusable)?.with_root_certificates(roots);
        let expires = identity.as_ref().and_then(Identity::expires);
        let config = match identity {
            Some(Identity { chain, key }) => builder.with_client_auth_cert(chain, key).map_err(unusable)?,
            None => builder.with_no_client_auth(),
        };
        Ok(Self { config: Arc::new(config), expires })
    }

    /// The same for other clients on rustls.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }

    /// When the certificate that is shown to brokers expires.
    pub const fn expires(&self) -> Option<DateTime<Utc>> {
        self.expires
    }
}

fn roots(certificates: Vec<CertificateDer<'static>>) -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| StoreError::Unusable(format!("a trusted certificate: {error}")))?;
    }
    Ok(roots)
}

/// The system's authorities, read once: there are more than a hundred.
fn system_roots() -> Result<Arc<RootCertStore>, StoreError> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        // Systems carry certificates that are malformed or of unknown kinds; the rest is what counts.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    match roots.is_empty() {
        true => Err(StoreError::Unusable("this system has no certificate authorities; name a trust store".to_owned())),
        false => Ok(roots.clone()),
    }
}
