//! Key and trust stores: JKS, PKCS#12 and PEM, told apart by their content.

mod der;
mod ec;
mod jks;
mod pem;
mod pkcs12;

use std::fmt;

use chrono::{DateTime, Utc};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A private key with its certificate, which is the first of the chain.
pub struct Identity {
    /// The certificate and those that lead to its authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key.
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// When the certificate expires (`notAfter`, RFC 5280); `None` when that cannot be read. Those that lead to its authority do not
    /// count: a broker may know another way there.
    pub fn expires(&self) -> Option<DateTime<Utc>> {
        let (_, own) = x509_parser::parse_x509_certificate(self.chain.first()?.as_ref()).ok()?;
        DateTime::from_timestamp(own.validity().not_after.timestamp(), 0)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

/// Why a store cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Neither JKS, nor PKCS#12, nor PEM.
    #[error("it is neither a JKS nor a PKCS#12 store, and not PEM")]
    Format,
    /// The password does not open it, or somebody changed it.
    #[error("its password is wrong, or it is damaged")]
    Password,
    /// It is encrypted, or what is sought in it is, and no password was given.
    #[error("it needs its password, and none is given")]
    NeedsPassword,
    /// It ends early, or is against the rules of its format.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// It has no private key with a certificate.
    #[error("it has no private key with a certificate")]
    NoKey,
    /// It has more than one private key, and nothing says which is meant.
    #[error("it has {0} private keys; keep the one to sign in with")]
    ManyKeys(usize),
    /// It has no certificate to trust.
    #[error("it has no certificate to trust")]
    NoCertificate,
    /// What it holds is of no use for TLS.
    #[error("{0}")]
    Unusable(String),
}

/// What a store holds.
#[derive(Debug, Default)]
struct Content {
    identities: Vec<Identity>,
    trusted: Vec<CertificateDer<'static>>,
    /// Whether there are keys that were not read for want of a password.
    has_locked_keys: bool,
}

/// The private key of a key store, with its certificates. `password` opens the store and the key.
///
/// # Errors
/// [`StoreError`]; [`StoreError::ManyKeys`] when it is not clear which key is meant.
pub fn identity(store: &[u8], password: Option<&str>) -> Result<Identity, StoreError> {
    let Content { mut identities, has_locked_keys, .. } = read(store, password)?;
    if has_locked_keys {
        return Err(StoreError::NeedsPassword);
    }
    if identities.len() > 1 {
        return Err(StoreError::ManyKeys(identities.len()));
    }
    let Identity { chain, key } = identities.pop().ok_or(StoreError::NoKey)?;
    let own = chain.first().ok_or(StoreError::NoKey)?;
    Ok(Identity { key: ec::completed(&key, own).unwrap_or(key), chain })
}

/// The certificates of a trust store. Without `password`, a JKS store is read and its integrity not checked, as Java does.
///
/// # Errors
/// [`StoreError`].
pub fn trusted(store: &[u8], password: Option<&str>) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let trusted = read(store, password)?.trusted;
    if trusted.is_empty() { Err(StoreError::NoCertificate) } else { Ok(trusted) }
}

fn read(store: &[u8], password: Option<&str>) -> Result<Content, StoreError> {
    if store.starts_with(&jks::MAGIC) {
        jks::read(store, password)
    } else if store.first() == Some(&der::SEQUENCE) {
        pkcs12::read(store, password)
    } else if store.windows(pem::BEGIN.len()).any(|window| window == pem::BEGIN) {
        pem::read(store)
    } else {
        Err(StoreError::Format)
    }
}

#[cfg(test)]
mod tests;
