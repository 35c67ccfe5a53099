//! Stores made by `keytool` and OpenSSL, see `fixtures/make.sh`.

use super::*;

const PASSWORD: &str = "password";
const JKS_PASSWORD: &str = "pässword";

const CLIENT_JKS: &[u8] = include_bytes!("fixtures/client.jks");
const CLIENT_P12: &[u8] = include_bytes!("fixtures/client.p12");
const CLIENT_LEGACY: &[u8] = include_bytes!("fixtures/client-legacy.p12");
const CLIENT_PEM: &[u8] = include_bytes!("fixtures/client.pem");
const TRUSTED_JKS: &[u8] = include_bytes!("fixtures/trusted.jks");
const TRUSTED_P12: &[u8] = include_bytes!("fixtures/trusted.p12");
const TRUSTED_OPENSSL: &[u8] = include_bytes!("fixtures/trusted-openssl.p12");
const TRUSTED_PEM: &[u8] = include_bytes!("fixtures/ca.pem");
const ENCRYPTED_PEM: &[u8] = include_bytes!("fixtures/encrypted.pem");

fn authority() -> Vec<CertificateDer<'static>> {
    trusted(TRUSTED_PEM, None).unwrap()
}

#[test]
fn a_key_comes_with_the_chain_to_its_authority_from_every_format() {
    let stores = [
        (CLIENT_JKS, Some(JKS_PASSWORD)),
        (CLIENT_P12, Some(PASSWORD)),
        (CLIENT_LEGACY, Some(PASSWORD)),
        (CLIENT_PEM, None),
    ];
    for (index, (store, password)) in stores.into_iter().enumerate() {
        let found = identity(store, password).unwrap();
        assert_eq!(found.chain.len(), 2, "store {index}");
        assert_eq!(found.chain[1], authority()[0], "store {index}");
        // rustls compares the key with the certificate.
        crate::Tls::new(Some(authority()), Some(found)).unwrap();
    }
}

#[test]
fn certificates_to_trust_come_from_every_format() {
    let stores = [
        (TRUSTED_JKS, Some(JKS_PASSWORD)),
        (TRUSTED_JKS, None),
        (TRUSTED_P12, Some(PASSWORD)),
        (TRUSTED_OPENSSL, Some(PASSWORD)),
        (TRUSTED_PEM, None),
    ];
    for (index, (store, password)) in stores.into_iter().enumerate() {
        assert_eq!(trusted(store, password).unwrap(), authority(), "store {index}");
    }
}

#[test]
fn a_wrong_password_is_called_one() {
    for store in [CLIENT_JKS, CLIENT_P12, CLIENT_LEGACY] {
        assert_eq!(identity(store, Some("other")).unwrap_err(), StoreError::Password);
    }
    for store in [TRUSTED_JKS, TRUSTED_P12, TRUSTED_OPENSSL] {
        assert_eq!(trusted(store, Some("other")).unwrap_err(), StoreError::Password);
    }
}

#[test]
fn a_missing_password_is_not_called_a_wrong_one() {
    for store in [CLIENT_JKS, CLIENT_P12, CLIENT_LEGACY] {
        assert_eq!(identity(store, None).unwrap_err(), StoreError::NeedsPassword);
    }
    for store in [TRUSTED_P12, TRUSTED_OPENSSL] {
        assert_eq!(trusted(store, None).unwrap_err(), StoreError::NeedsPassword);
    }
    assert_eq!(identity(TRUSTED_JKS, None).unwrap_err(), StoreError::NoKey);
}

#[test]
fn a_store_without_what_is_sought_says_so() {
    assert_eq!(identity(TRUSTED_P12, Some(PASSWORD)).unwrap_err(), StoreError::NoKey);
    assert_eq!(identity(TRUSTED_PEM, None).unwrap_err(), StoreError::NoKey);
    assert_eq!(trusted(CLIENT_JKS, None).unwrap_err(), StoreError::NoCertificate);
    assert_eq!(trusted(b"hello", None).unwrap_err(), StoreError::Format);
    let two = [CLIENT_PEM, CLIENT_PEM].concat();
    assert_eq!(identity(&two, None).unwrap_err(), StoreError::ManyKeys(2));
    let encrypted = identity(ENCRYPTED_PEM, Some(PASSWORD)).unwrap_err();
    assert!(encrypted.to_string().contains("encrypted"), "{encrypted}");
}

#[test]
fn a_store_that_was_cut_or_changed_is_refused_wherever_it_was() {
    for end in 4..CLIENT_JKS.len() {
        assert!(identity(&CLIENT_JKS[..end], Some(JKS_PASSWORD)).is_err(), "{end}");
        // Without a password nothing but the format itself protects against reading too far.
        assert!(identity(&CLIENT_JKS[..end], None).is_err(), "{end}");
    }
    for at in 4..CLIENT_JKS.len() {
        let mut changed = CLIENT_JKS.to_vec();
        changed[at] ^= 0x41;
        assert_eq!(identity(&changed, Some(JKS_PASSWORD)).unwrap_err(), StoreError::Password, "{at}");
    }
}

#[test]
fn what_a_store_holds_is_never_printed() {
    let printed = format!("{:?}", identity(CLIENT_PEM, None).unwrap());
    assert_eq!(printed, "Identity { certificates: 2, .. }");
}

#[test]
fn a_certificate_says_when_it_expires() {
    let found = identity(CLIENT_PEM, None).unwrap();
    // As `openssl x509 -enddate` says.
    assert_eq!(found.expires().unwrap().to_rfc3339(), "2126-10-28T09:38:28+00:00");
    assert_eq!(crate::Tls::new(Some(authority()), Some(found)).unwrap().expires().unwrap().timestamp(), 4_948_853_908);
    assert_eq!(crate::Tls::new(Some(authority()), None).unwrap().expires(), None);
}
