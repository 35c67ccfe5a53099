//! One side of the migration: which cluster, and how to sign in.

use serde::{Deserialize, Serialize};

use super::arn::{self, Arn};
use super::auth::AuthConfig;

/// A cluster and the way to reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterConfig {
    /// ARN of the MSK cluster; the MSK API gives its mode, version and bootstrap servers.
    pub cluster_arn: String,
    /// `host:port` of brokers, separated by commas. Overrides what the MSK API says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap_servers: Option<String>,
    /// Role to assume for this cluster: to ask the MSK API about it, to sign in with IAM, and to read the secrets that `auth`
    /// names. For a cluster of another account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// How to sign in.
    pub auth: AuthConfig,
}

impl ClusterConfig {
    /// What tells this cluster from every other one.
    pub fn identity(&self) -> &str {
        &self.cluster_arn
    }

    /// The cluster's name out of its ARN, for people.
    pub fn name(&self) -> &str {
        self.cluster_arn.split('/').nth(1).unwrap_or(&self.cluster_arn)
    }

    /// The region out of the ARN.
    pub fn region(&self) -> &str {
        Arn::parse(&self.cluster_arn).map_or("", |arn| arn.region)
    }

    /// Everything unusable about this side, each with the field's path under `side`.
    pub(super) fn problems(&self, side: &str) -> Vec<String> {
        let mut problems = Vec::new();
        if !arn::is_cluster(&self.cluster_arn) {
            problems.push(format!(
                "{side}.cluster_arn {:?} is not the ARN of an MSK cluster (arn:aws:kafka:REGION:ACCOUNT:cluster/NAME/UUID)",
                self.cluster_arn
            ));
        }
        let servers = self.bootstrap_servers.iter().flat_map(|servers| servers.split(',').map(str::trim));
        problems.extend(servers.filter(|server| !is_address(server)).map(|server| {
            format!("{side}.bootstrap_servers {server:?} is not host:port; brokers are separated by commas")
        }));
        if let Some(role) = self.role_arn.as_deref().filter(|role| !arn::is_role(role)) {
            problems
                .push(format!("{side}.role_arn {role:?} is not the ARN of a role (arn:aws:iam::ACCOUNT:role/NAME)"));
        }
        problems.extend(self.auth.problems(&format!("{side}.auth")));
        problems
    }
}

/// Whether `text` is `host:port`; an IPv6 address stands in brackets.
fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let plain = !host.contains([':', '/']) || (host.starts_with('[') && host.ends_with(']'));
        let port = Some(port).filter(|port| port.chars().all(|c| c.is_ascii_digit()));
        let port = port.and_then(|port| port.parse::<u16>().ok());
        !host.is_empty() && !host.contains(char::is_whitespace) && plain && port.is_some_and(|port| port > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for good in ["b-1.orders.example.com:9092", "127.0.0.1:1", "[::1]:9092"] {
            assert!(is_address(good), "{good}");
        }
        for bad in
            ["", "b-1", "b-1:", ":9092", "b-1:0", "b-1:65536", "b-1:+9", "http://b-1:9092", "b 1:9092", "::1:9092"]
        {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
