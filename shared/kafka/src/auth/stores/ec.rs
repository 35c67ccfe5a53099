//! Elliptic-curve keys as Java stores them: without the public key, which ring insists on. The certificate has it.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ParsedCertificate;

use super::der::{BIT_STRING, INTEGER, OCTET_STRING, SEQUENCE, element, encoded};

/// 1.2.840.10045.2.1, an elliptic-curve key, in DER.
const EC_PUBLIC_KEY: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// The tag of the public key in a private one (RFC 5915).
const PUBLIC_KEY: u8 = 0xa1;

/// `key` with the public key of `certificate` in it; nothing when it is of another kind, or not in PKCS#8.
pub(super) fn completed(key: &PrivateKeyDer<'_>, certificate: &CertificateDer<'_>) -> Option<PrivateKeyDer<'static>> {
    let PrivateKeyDer::Pkcs8(key) = key else { return None };
    let certificate = ParsedCertificate::try_from(certificate).ok()?;
    let public = certificate.subject_public_key_info();
    let (algorithm, rest) = element(SEQUENCE, element(SEQUENCE, &public).ok()?.0).ok()?;
    if !algorithm.starts_with(EC_PUBLIC_KEY) {
        return None;
    }
    let (point, _) = element(BIT_STRING, rest).ok()?;
    // PrivateKeyInfo (RFC 5208): version, algorithm and, as an octet string, the ECPrivateKey (RFC 5915): version, number.
    let (_, rest) = element(INTEGER, element(SEQUENCE, key.secret_pkcs8_der()).ok()?.0).ok()?;
    let (private, _) = element(OCTET_STRING, element(SEQUENCE, rest).ok()?.1).ok()?;
    let (_, rest) = element(INTEGER, element(SEQUENCE, private).ok()?.0).ok()?;
    let (number, _) = element(OCTET_STRING, rest).ok()?;

    let point = encoded(PUBLIC_KEY, &[&encoded(BIT_STRING, &[point])]);
    let private = encoded(SEQUENCE, &[&encoded(INTEGER, &[&[1]]), &encoded(OCTET_STRING, &[number]), &point]);
    let algorithm = encoded(SEQUENCE, &[algorithm]);
    let whole = encoded(SEQUENCE, &[&encoded(INTEGER, &[&[0]]), &algorithm, &encoded(OCTET_STRING, &[&private])]);
    Some(PrivatePkcs8KeyDer::from(whole).into())
}
