//! The task token of Step Functions: whoever holds it decides the gate, so it is treated as a credential.

use std::fmt;

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// A task token. It is printed as `***` and deliberately cannot be serialised.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// Takes the token as Step Functions passed it.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token itself, for the call that answers the task and for nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Digest by which a token is recognised after it has been forgotten.
    pub(crate) fn digest(&self) -> String {
        hex::encode(Sha256::digest(self.0.as_bytes()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_printed() {
        let token: Token = serde_json::from_str("\"AQCgAAAAKgAAAAMAAAAAAAAAAb\"").unwrap();
        assert_eq!(format!("{token} {token:?} {:?}", Some(&token)), "*** *** Some(***)");
        assert_eq!(token.expose(), "AQCgAAAAKgAAAAMAAAAAAAAAAb");
        assert!(!token.digest().contains("AQCg"));
    }
}
