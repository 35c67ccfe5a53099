//! Signatures of webhook calls, and of acknowledgements that come back.
//!
//! `X-Msk-Kraft-Signature: v1=<hex>` holds the HMAC-SHA256 (RFC 2104) of the timestamp in `X-Msk-Kraft-Timestamp` (seconds
//! since 1970), a dot, and the body as it was sent. The timestamp bounds how long a recorded call can be played back.

use std::fmt;

use ring::hmac;

/// The header with the time of a call, in seconds since 1970.
pub(crate) const TIMESTAMP: &str = "x-msk-kraft-timestamp";
/// The header with the signature.
pub(crate) const SIGNATURE: &str = "x-msk-kraft-signature";
/// How far the timestamp of an acknowledgement may be from the function's clock, in seconds.
pub(crate) const TOLERANCE: i64 = 300;
/// What every signature begins with.
const VERSION: &str = "v1=";

/// A key. Nothing shows it.
pub(crate) struct SigningKey(hmac::Key);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// The key with these bytes.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The signature of `body`, sent at `timestamp`.
    pub(crate) fn sign(&self, timestamp: i64, body: &[u8]) -> String {
        let tag = hmac::sign(&self.0, &signed(&timestamp.to_string(), body));
        format!("{VERSION}{}", hex::encode(tag))
    }

    /// Whether `signature` is that of `body` and `timestamp`, as they came. Takes the same time wherever they differ.
    pub(crate) fn verifies(&self, timestamp: &str, body: &[u8], signature: &str) -> bool {
        let tag = signature.strip_prefix(VERSION).and_then(|digits| hex::decode(digits).ok());
        tag.is_some_and(|tag| hmac::verify(&self.0, &signed(timestamp, body), &tag).is_ok())
    }
}

fn signed(timestamp: &str, body: &[u8]) -> Vec<u8> {
    [timestamp.as_bytes(), b".", body].concat()
}

/// Whether a call with this timestamp, made by a clock that is right, came at `now` and not much earlier or later.
pub(crate) fn is_recent(timestamp: &str, now: i64) -> bool {
    timestamp.parse::<i64>().is_ok_and(|at| now.abs_diff(at) <= TOLERANCE.unsigned_abs())
}

#[cfg(test)]
pub(crate) mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    /// HMAC-SHA256 as RFC 2104 writes it down, apart from the one that is used.
    pub(crate) fn by_the_book(key: &[u8], text: &[u8]) -> String {
        let mut block = [0; 64];
        let key = if key.len() > 64 { Sha256::digest(key).to_vec() } else { key.to_vec() };
        block[..key.len()].copy_from_slice(&key);
        let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
        let outer = Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize();
        hex::encode(outer)
    }

    #[test]
    fn signatures_are_those_of_another_implementation() {
        // RFC 4231, test case 2.
        let known = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(by_the_book(b"Jefe", b"what do ya want for nothing?"), known);
        for key in [&b"0123456789abcdef"[..], &[0xaa; 131]] {
            let signature = SigningKey::new(key).sign(1_795_234_723, br#"{"action":"freeze"}"#);
            let text = br#"1795234723.{"action":"freeze"}"#;
            assert_eq!(signature, format!("v1={}", by_the_book(key, text)));
        }
    }

    #[test]
    fn nothing_but_the_signed_call_verifies() {
        let key = SigningKey::new(b"0123456789abcdef");
        let good = key.sign(7, b"body");
        assert!(
            key.verifies("7", b"body", &good) && key.verifies("7", b"body", &good.to_uppercase().replace('V', "v"))
        );
        let other = SigningKey::new(b"0123456789abcdeg").sign(7, b"body");
        let short = &good[..good.len() - 2];
        for (timestamp, body, signature) in [
            ("8", &b"body"[..], good.as_str()),
            ("07", b"body", &good),
            ("7", b"bodY", &good),
            ("7", b"body", &other),
            ("7", b"body", short),
            ("7", b"body", &good["v1=".len()..]),
            ("7", b"body", "v1="),
            ("7", b"body", "v1=zz"),
            ("7", b"body", ""),
        ] {
            assert!(!key.verifies(timestamp, body, signature), "{timestamp} {signature}");
        }
        assert_eq!(format!("{key:?}"), "SigningKey");
    }

    #[test]
    fn a_timestamp_counts_for_five_minutes_either_way() {
        for (timestamp, counts) in [
            ("1000", true),
            ("700", true),
            ("1300", true),
            ("699", false),
            ("1301", false),
            ("", false),
            ("now", false),
            ("9223372036854775807", false),
            ("-9223372036854775808", false),
        ] {
            assert_eq!(is_recent(timestamp, 1000), counts, "{timestamp}");
        }
    }
}
