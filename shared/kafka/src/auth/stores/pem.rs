//! PEM (RFC 7468): a private key and certificates in one text.

use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};

use super::{Content, Identity, StoreError};

/// How every section of a PEM text begins.
pub(super) const BEGIN: &[u8] = b"-----BEGIN ";

/// Reads every key and certificate. The certificates are the chain of a key that is there, the client's own first, and
/// otherwise they are to be trusted.
pub(super) fn read(store: &[u8]) -> Result<Content, StoreError> {
    if store.windows(9).any(|window| window == b"ENCRYPTED") {
        return Err(StoreError::Unusable(
            "its private key is encrypted, which is not supported in PEM; use PKCS#12, or decrypt it".to_owned(),
        ));
    }
    let (mut keys, mut certificates) = (Vec::new(), Vec::new());
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(store) {
        let (kind, der) = section.map_err(|error| StoreError::Damaged(error.to_string()))?;
        match kind {
            SectionKind::Certificate => certificates.push(CertificateDer::from(der)),
            SectionKind::PrivateKey => keys.push(PrivateKeyDer::from(PrivatePkcs8KeyDer::from(der))),
            SectionKind::RsaPrivateKey => keys.push(PrivateKeyDer::from(PrivatePkcs1KeyDer::from(der))),
            SectionKind::EcPrivateKey => keys.push(PrivateKeyDer::from(PrivateSec1KeyDer::from(der))),
            _ => {}
        }
    }
    Ok(match keys.is_empty() {
        true => Content { trusted: certificates, ..Content::default() },
        false => {
            let identities = keys.into_iter().map(|key| Identity { chain: certificates.clone(), key }).collect();
            Content { identities, trusted: certificates, ..Content::default() }
        }
    })
}
