//! `evidence.json`: a bundle with its signature, and the verification of both.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::pkcs8::DecodePublicKey;
use ed25519_dalek::{Signature, VerifyingKey};
use migration::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::key::{Key, KeyKind};

/// The only signature algorithm there is.
pub const ALGORITHM: &str = "Ed25519";

/// A bundle and what proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The bundle as it was signed, to the byte.
    pub bundle_json: String,
    /// SHA-256 of `bundle_json`, hexadecimal; for people, the signature covers the text itself.
    pub bundle_sha256: String,
    /// Signature of the bytes of `bundle_json`.
    pub signature_base64: String,
    /// Public key of the signature, SubjectPublicKeyInfo PEM.
    pub public_key_pem: String,
    /// Whose key it is.
    pub signing_key: KeyKind,
    /// [`ALGORITHM`].
    pub algorithm: String,
}

/// A bundle whose signature holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// The bundle.
    pub bundle: serde_json::Value,
    /// SHA-256 of the bundle's text, hexadecimal.
    pub sha256: String,
    /// Whose key signed: the demonstration key is recognised, whatever the file calls it.
    pub signing_key: KeyKind,
    /// The key that the signature was checked with.
    pub public_key_pem: String,
}

/// Why evidence does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It is no evidence file at all.
    #[error("this is not an evidence file: {0}")]
    Malformed(String),
    /// It is signed in a way that is not known here.
    #[error("the signature algorithm {0:?} is not known")]
    Algorithm(String),
    /// The bundle is not the one whose digest is given.
    #[error("the bundle was altered: its SHA-256 is {computed}, not {stated}")]
    Digest {
        /// What the file says.
        stated: String,
        /// What the bundle has.
        computed: String,
    },
    /// The signature does not belong to this bundle and key.
    #[error("the signature does not belong to this bundle and key")]
    Signature,
    /// The signature was made with another key than the one that was expected.
    #[error("the evidence was signed with another key than the expected one")]
    OtherKey,
}

impl Envelope {
    /// Signs `bundle_json`.
    ///
    /// # Errors
    /// Internal when the public key cannot be encoded.
    pub fn seal(bundle_json: String, key: &Key) -> Result<Self> {
        Ok(Self {
            bundle_sha256: hex::encode(Sha256::digest(&bundle_json)),
            signature_base64: STANDARD.encode(key.sign(bundle_json.as_bytes())),
            public_key_pem: key.public_key_pem()?,
            signing_key: key.kind(),
            algorithm: ALGORITHM.to_owned(),
            bundle_json,
        })
    }

    /// The file's content.
    ///
    /// # Errors
    /// Internal when it cannot be encoded.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self).map_err(|error| Error::internal(format_args!("encode the evidence: {error}")))
    }

    /// The raw signature, 64 bytes, as OpenSSL wants it.
    ///
    /// # Errors
    /// Malformed when the text is no such signature.
    pub fn signature(&self) -> Result<[u8; 64], VerifyError> {
        let malformed = || VerifyError::Malformed("the signature is not 64 bytes in base64".to_owned());
        STANDARD.decode(&self.signature_base64).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(malformed)
    }
}

/// Verifies the content of an `evidence.json` with the public key inside it. That shows that nothing was altered since
/// it was signed; who signed is shown by [`verify_with`] only.
///
/// # Errors
/// The first thing that does not hold.
pub fn verify(evidence: &[u8]) -> Result<Verified, VerifyError> {
    let envelope: Envelope =
        serde_json::from_slice(evidence).map_err(|error| VerifyError::Malformed(error.to_string()))?;
    if envelope.algorithm != ALGORITHM {
        return Err(VerifyError::Algorithm(envelope.algorithm));
    }
    let computed = hex::encode(Sha256::digest(&envelope.bundle_json));
    if computed != envelope.bundle_sha256 {
        return Err(VerifyError::Digest { stated: envelope.bundle_sha256, computed });
    }
    let signature = Signature::from_bytes(&envelope.signature()?);
    let key = public_key(&envelope.public_key_pem)?;
    // Strict: keys and signatures that several messages could share are refused.
    key.verify_strict(envelope.bundle_json.as_bytes(), &signature).map_err(|_| VerifyError::Signature)?;
    let bundle = serde_json::from_str(&envelope.bundle_json);
    let bundle = bundle.map_err(|error| VerifyError::Malformed(format!("the bundle is not JSON: {error}")))?;
    let signing_key = match Key::demo().is_public_key(&key) {
        true => KeyKind::Demo,
        false => KeyKind::Configured,
    };
    Ok(Verified { bundle, sha256: computed, signing_key, public_key_pem: envelope.public_key_pem })
}

/// Verifies the content of an `evidence.json` and that it was signed with the key `trusted_pem`, known from elsewhere.
///
/// # Errors
/// Those of [`verify`]; OtherKey when the keys differ.
pub fn verify_with(evidence: &[u8], trusted_pem: &str) -> Result<Verified, VerifyError> {
    let verified = verify(evidence)?;
    match public_key(&verified.public_key_pem)? == public_key(trusted_pem)? {
        true => Ok(verified),
        false => Err(VerifyError::OtherKey),
    }
}

fn public_key(pem: &str) -> Result<VerifyingKey, VerifyError> {
    VerifyingKey::from_public_key_pem(pem)
        .map_err(|error| VerifyError::Malformed(format!("the public key cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BUNDLE: &str = r#"{"migration_id":"m-1","validation":{"overall":"PASSED"},"text":"ä\n\"x\""}"#;

    fn sealed() -> Envelope {
        Envelope::seal(BUNDLE.to_owned(), &Key::demo()).unwrap()
    }

    #[test]
    fn what_was_sealed_verifies_to_the_byte() {
        let verified = verify(&sealed().to_json().unwrap()).unwrap();
        assert_eq!(verified.bundle["validation"]["overall"], "PASSED");
        assert_eq!(verified.signing_key, KeyKind::Demo);
        let read: Envelope = serde_json::from_slice(&sealed().to_json().unwrap()).unwrap();
        assert_eq!(read.bundle_json, BUNDLE);
    }

    #[test]
    fn an_altered_bundle_fails_even_with_a_fitting_digest() {
        let mut envelope = sealed();
        envelope.bundle_json = BUNDLE.replace("PASSED", "FAILED");
        assert!(matches!(verify(&envelope.to_json().unwrap()), Err(VerifyError::Digest { .. })));
        envelope.bundle_sha256 = hex::encode(Sha256::digest(&envelope.bundle_json));
        assert_eq!(verify(&envelope.to_json().unwrap()), Err(VerifyError::Signature));
    }

    #[test]
    fn the_demonstration_key_cannot_pass_for_another() {
        let dressed = Envelope { signing_key: KeyKind::Configured, ..sealed() };
        assert_eq!(verify(&dressed.to_json().unwrap()).unwrap().signing_key, KeyKind::Demo);
    }

    #[test]
    fn another_keys_signature_is_told() {
        let other = Key::demo().public_key_pem().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        // PKCS#8 of the key 0x42 x 32: a fixed prefix, then the key.
        let der = [hex::decode("302e020100300506032b657004220420").unwrap(), vec![0x42; 32]].concat();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der));
        std::fs::write(&path, pem).unwrap();
        let key = Key::load(path.to_str()).unwrap();
        assert_eq!(key.kind(), KeyKind::Configured);
        let evidence = Envelope::seal(BUNDLE.to_owned(), &key).unwrap().to_json().unwrap();
        assert!(verify_with(&evidence, &key.public_key_pem().unwrap()).is_ok());
        assert_eq!(verify_with(&evidence, &other), Err(VerifyError::OtherKey));
        let mut swapped = sealed();
        swapped.public_key_pem = key.public_key_pem().unwrap();
        assert_eq!(verify(&swapped.to_json().unwrap()), Err(VerifyError::Signature));
    }

    proptest! {
        #[test]
        fn no_changed_byte_goes_unnoticed(at in any::<prop::sample::Index>(), flip in 1_u8..) {
            let mut evidence = sealed().to_json().unwrap();
            let at = at.index(evidence.len());
            evidence[at] ^= flip;
            // A change of white space around the fields, or of what is not covered, must leave the bundle as it was.
            if let Ok(verified) = verify(&evidence) {
                prop_assert_eq!(verified.bundle, serde_json::from_str::<serde_json::Value>(BUNDLE).unwrap());
            }
        }
    }
}
