//! The key that signs.

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePublicKey};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use migration::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What the demonstration key is made of. It is public, so its signature shows how verification works and no more.
const DEMO_SEED: &str = "msk-kraft demonstration key: anybody can sign with it";

/// Where a key came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// `evidence.signing_key_path` or `evidence.signing_key_arn`.
    Configured,
    /// Built in and public: its signature proves nothing about who signed.
    Demo,
}

/// A signing key. Its debug form shows the kind only.
pub struct Key {
    key: SigningKey,
    kind: KeyKind,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Key {
    /// The key in the file `path` (Ed25519, PKCS#8 PEM, not encrypted), or the demonstration key without one.
    ///
    /// # Errors
    /// Blocked, naming the path, when the file cannot be read or holds no such key.
    pub fn load(path: Option<&str>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::demo()) };
        let pem = std::fs::read_to_string(path).map_err(|error| {
            Error::blocked(format_args!(
                "signing key {path} cannot be read: {error}; put the Ed25519 key there, or remove \
                 evidence.signing_key_path to sign with the demonstration key"
            ))
        })?;
        Self::from_pem(&pem, path)
    }

    /// The key in `pem`, which is called `name` in errors.
    ///
    /// # Errors
    /// Blocked when it is no such key.
    pub fn from_pem(pem: &str, name: &str) -> Result<Self> {
        // The cause is left out: it could quote what it could not read.
        let key = SigningKey::from_pkcs8_pem(pem).map_err(|_| {
            Error::blocked(format_args!(
                "signing key {name} is not an Ed25519 private key in unencrypted PKCS#8 PEM; openssl genpkey -algorithm \
                 ed25519 makes one"
            ))
        })?;
        Ok(Self { key, kind: KeyKind::Configured })
    }

    /// The demonstration key.
    pub fn demo() -> Self {
        let key = SigningKey::from_bytes(&Sha256::digest(DEMO_SEED).into());
        Self { key, kind: KeyKind::Demo }
    }

    /// Where it came from.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The raw signature of `message`, 64 bytes.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    /// Whether `public` belongs to this key.
    pub(crate) fn is_public_key(&self, public: &VerifyingKey) -> bool {
        self.key.verifying_key() == *public
    }

    /// The public key as SubjectPublicKeyInfo PEM.
    ///
    /// # Errors
    /// Internal when it cannot be encoded.
    pub fn public_key_pem(&self) -> Result<String> {
        let pem = self.key.verifying_key().to_public_key_pem(LineEnding::LF);
        pem.map_err(|error| Error::internal(format_args!("encode the public key: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use migration::ErrorKind;

    #[test]
    fn a_missing_or_unusable_file_blocks_and_is_named() {
        let error = Key::load(Some("/nonexistent/evidence.key")).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Blocked);
        assert!(error.message.contains("/nonexistent/evidence.key"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("evidence.key");
        std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n").unwrap();
        let error = Key::load(path.to_str()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Blocked);
        assert!(error.message.contains("evidence.key") && !error.message.contains("secret"), "{error}");
    }

    #[test]
    fn the_demonstration_key_never_changes_and_is_marked() {
        assert_eq!(Key::load(None).unwrap().kind(), KeyKind::Demo);
        assert_eq!(Key::demo().public_key_pem().unwrap(), Key::demo().public_key_pem().unwrap());
        assert_eq!(serde_json::to_value(KeyKind::Demo).unwrap(), "demo");
    }

    #[test]
    fn a_key_does_not_print_itself() {
        assert_eq!(format!("{:?}", Key::demo()), "Key { kind: Demo, .. }");
    }
}
