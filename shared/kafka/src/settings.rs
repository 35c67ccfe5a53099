//! How a cluster is reached.

use std::time::Duration;

use clock::RetryPolicy;

use crate::auth::Auth;

/// Largest answer accepted unless the settings say otherwise, in bytes.
const MAX_RESPONSE_BYTES: usize = 128 << 20;

/// How a cluster is reached, and how patient the client is with it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Addresses as `host:port` of which at least one must answer.
    pub bootstrap: Vec<String>,
    /// Identity and encryption.
    pub auth: Auth,
    /// Longest wait for a connection, including the first exchange on it.
    pub connect_timeout: Duration,
    /// Longest wait for an answer, on top of what the request itself lets the broker wait.
    pub request_timeout: Duration,
    /// How requests that failed are repeated.
    pub retry: RetryPolicy,
    /// Largest answer that is accepted, in bytes; a larger one closes the connection.
    pub max_response_bytes: usize,
}

impl Settings {
    /// The default patience with the cluster behind `bootstrap`.
    pub fn new<S: Into<String>>(bootstrap: impl IntoIterator<Item = S>) -> Self {
        Self {
            bootstrap: bootstrap.into_iter().map(Into::into).collect(),
            auth: Auth::default(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            retry: RetryPolicy::default(),
            max_response_bytes: MAX_RESPONSE_BYTES,
        }
    }

    /// The same from a list as Kafka's `bootstrap.servers` has it, separated by commas.
    pub fn parse(bootstrap: &str) -> Self {
        Self::new(bootstrap.split(',').map(str::trim).filter(|server| !server.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrap_list_may_have_blanks_and_a_trailing_comma() {
        assert_eq!(Settings::parse(" a:1, b:2,").bootstrap, ["a:1", "b:2"]);
    }
}
