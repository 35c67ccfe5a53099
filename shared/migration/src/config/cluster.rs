//! One side of the migration: which cluster, and how to sign in.

use std::fmt;

use serde::{Deserialize, Serialize};

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

/// How to sign in to a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// The mechanism.
    pub mode: AuthMode,
    /// SCRAM user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// SCRAM password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// JKS or PKCS#12 file with the client's key and certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keystore: Option<String>,
    /// Password of `keystore`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keystore_password: Option<SecretRef>,
    /// JKS or PKCS#12 file with the certificates to trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truststore: Option<String>,
    /// Password of `truststore`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truststore_password: Option<SecretRef>,
}

/// The mechanisms MSK offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthMode {
    /// IAM over SASL/OAUTHBEARER.
    Iam,
    /// User and password over SASL/SCRAM-SHA-512.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
    /// TLS with a client certificate.
    Mtls,
    /// Neither encryption nor authentication.
    Plaintext,
}

impl fmt::Display for AuthMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Iam => "iam",
            Self::ScramSha512 => "scram-sha-512",
            Self::Mtls => "mtls",
            Self::Plaintext => "plaintext",
        })
    }
}

/// A reference `${NAME}` to a secret, never the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretRef(String);

impl TryFrom<String> for SecretRef {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        match name {
            Some(name) if !name.is_empty() && !name.contains(['$', '{', '}']) => Ok(Self(text)),
            // The text may be a password: it must not be repeated.
            _ => Err("a password is written as a reference, ${NAME}, to an environment variable that holds it"),
        }
    }
}

impl From<SecretRef> for String {
    fn from(secret: SecretRef) -> Self {
        secret.0
    }
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
        let auth = &self.auth;
        let mut need = |given: bool, field: &str| {
            if !given {
                problems.push(format!("{side}.auth.{field} is needed with mode {}", auth.mode));
            }
        };
        match auth.mode {
            AuthMode::ScramSha512 => {
                need(auth.username.is_some(), "username");
                need(auth.password.is_some(), "password");
            }
            AuthMode::Mtls => {
                need(auth.keystore.is_some(), "keystore");
                need(auth.keystore_password.is_some(), "keystore_password");
            }
            AuthMode::Iam | AuthMode::Plaintext => {}
        }
        problems
    }
}
