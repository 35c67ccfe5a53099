//! The signed evidence of a migration: how a bundle is signed, and how anybody can verify it later.
//!
//! The bundle is one JSON text. Exactly its bytes are signed with Ed25519 (RFC 8032), and it travels as a string inside
//! `evidence.json`, so that nothing between writer and verifier can reformat it. The same bytes, the raw signature and
//! the public key are stored beside it for tools that know nothing of this format, OpenSSL 3.0 for one:
//!
//! ```text
//! openssl pkeyutl -verify -pubin -inkey public_key.pem -rawin -in bundle.json -sigfile bundle.sig
//! ```
//!
//! `bundle_sha256` is over the same bytes, so that the string has to be taken out without a line feed behind it:
//! `jq -j .bundle_json evidence.json | sha256sum`.

mod envelope;
mod key;

pub use envelope::{ALGORITHM, Envelope, Verified, VerifyError, verify, verify_with};
pub use key::{Key, KeyKind};
