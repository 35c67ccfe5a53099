//! One side of the migration: which cluster, and how to sign in.

use serde::{Deserialize, Serialize};

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
        self.cluster_arn.split(':').nth(3).unwrap_or_default()
    }

    /// Everything unusable about this side, each with the field's path under `side`.
    pub(super) fn problems(&self, side: &str) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.cluster_arn.starts_with("arn:") || !self.cluster_arn.contains(":kafka:") {
            problems.push(format!(
                "{side}.cluster_arn {:?} is not the ARN of an MSK cluster (arn:aws:kafka:REGION:ACCOUNT:cluster/NAME/UUID)",
                self.cluster_arn
            ));
        }
        problems.extend(self.auth.problems(&format!("{side}.auth")));
        problems
    }
}
