//! Who the client is to a cluster, and how its connections are protected: the four listeners that MSK offers.

mod msk_iam;
mod scram;
pub mod stores;
mod tls;

use std::fmt;

pub use msk_iam::{MskIam, TOKEN_LIFETIME, TokenError};
pub(crate) use scram::{Scram, ScramError};
pub use tls::Tls;

/// How the client proves who it is and how the connection is protected.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    /// No encryption and no identity (Kafka's `PLAINTEXT`).
    #[default]
    Plaintext,
    /// Encryption; the client is known by its certificate if it has one (Kafka's `SSL`).
    Tls(Tls),
    /// Encryption, and an identity that the client proves over SASL (Kafka's `SASL_SSL`).
    Sasl(Tls, Sasl),
}

impl Auth {
    /// The TLS part, if connections are encrypted.
    pub const fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Plaintext => None,
            Self::Tls(tls) | Self::Sasl(tls, _) => Some(tls),
        }
    }

    /// The SASL part, if there is one.
    pub const fn sasl(&self) -> Option<&Sasl> {
        match self {
            Self::Plaintext | Self::Tls(_) => None,
            Self::Sasl(_, sasl) => Some(sasl),
        }
    }
}

/// A SASL mechanism with what it needs.
#[derive(Debug, Clone)]
pub enum Sasl {
    /// User and password, SCRAM-SHA-512 (RFC 5802 with SHA-512; KIP-84).
    ScramSha512 {
        /// Name of the user.
        username: String,
        /// The user's password.
        password: Secret,
    },
    /// IAM on MSK: OAUTHBEARER (KIP-255) with tokens that are signed for MSK.
    MskIam(MskIam),
}

impl Sasl {
    /// The mechanism's registered name.
    pub const fn mechanism(&self) -> &'static str {
        match self {
            Self::ScramSha512 { .. } => "SCRAM-SHA-512",
            Self::MskIam(_) => "OAUTHBEARER",
        }
    }
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let sasl = Sasl::ScramSha512 { username: "alice".into(), password: "hunter2".to_owned().into() };
        let auth = Auth::Sasl(Tls::new(Some(Vec::new()), None).unwrap(), sasl);
        let printed = format!("{auth:?}");
        assert!(printed.contains("alice") && !printed.contains("hunter2"), "{printed}");
    }
}
