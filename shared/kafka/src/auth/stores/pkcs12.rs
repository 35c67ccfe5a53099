//! PKCS#12 (RFC 7292), the default of `keytool` since Java 9.

use p12_keystore::error::Error;
use p12_keystore::{KeyStore, KeyStoreEntry, Pkcs12ImportPolicy};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{Content, Identity, StoreError};

/// Reads every key with its chain, and every certificate that is marked as trusted; in a store without keys every one:
/// OpenSSL does not mark certificates, as Java does, and what is in a trust store is meant to be trusted.
pub(super) fn read(store: &[u8], password: Option<&str>) -> Result<Content, StoreError> {
    let open = |policy| {
        // A store can be made with an empty password.
        open(store, password.unwrap_or_default(), policy).map_err(|error| match (error, password) {
            (StoreError::Password, None) => StoreError::NeedsPassword,
            (error, _) => error,
        })
    };
    let content = content(&open(Pkcs12ImportPolicy::Strict)?);
    if !content.identities.is_empty() {
        return Ok(content);
    }
    Ok(self::content(&open(Pkcs12ImportPolicy::Raw)?))
}

fn content(store: &KeyStore) -> Content {
    let mut content = Content::default();
    for (_, entry) in store.entries() {
        match entry {
            KeyStoreEntry::PrivateKeyChain(chain) => {
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(chain.key().as_der().to_vec()));
                let chain = chain.certs().iter().map(|certificate| der(certificate.as_der())).collect();
                content.identities.push(Identity { chain, key });
            }
            KeyStoreEntry::Certificate(certificate) => content.trusted.push(der(certificate.as_der())),
            KeyStoreEntry::Secret(_) => {}
        }
    }
    content
}

fn open(store: &[u8], password: &str, policy: Pkcs12ImportPolicy) -> Result<KeyStore, StoreError> {
    KeyStore::from_pkcs12(store, password, policy).map_err(|error| match error {
        // A wrong password shows as a wrong checksum, or as padding that is none.
        Error::MacError(_) | Error::UnpadError => StoreError::Password,
        other => StoreError::Damaged(other.to_string()),
    })
}

fn der(certificate: &[u8]) -> CertificateDer<'static> {
    CertificateDer::from(certificate.to_vec())
}
