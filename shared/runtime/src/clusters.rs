//! The clusters of a configuration: what the MSK API says of them, and connections kept for the life of the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_kafka::types::Cluster as MskCluster;
use migration::config::{AuthMode, ClusterConfig};
use migration::{Error, Result};

use crate::aws::{Aws, sdk_error};
use crate::credentials;
use crate::secrets::{RunSecret, Version};

/// Connected clusters by ARN.
#[derive(Debug, Default)]
pub struct Clusters {
    slots: Mutex<HashMap<String, Slot>>,
}

/// Locked while its cluster is being connected, so that others are not held up.
type Slot = Arc<tokio::sync::Mutex<Option<Connected>>>;

/// A cluster, and what it was connected with.
#[derive(Debug)]
struct Connected {
    bootstrap: String,
    mode: AuthMode,
    secret: RunSecret,
    cluster: kafka::Cluster,
}

impl Clusters {
    /// The cluster of `config`, connected at most once per process as long as nothing about it changes. Secrets are read
    /// each time: they may have been rotated since.
    ///
    /// # Errors
    /// Blocked when its bootstrap servers or the credentials cannot be found or are refused; otherwise what connecting
    /// gives.
    pub async fn connect(&self, aws: &Aws, config: &ClusterConfig) -> Result<kafka::Cluster> {
        let bootstrap = bootstrap_servers(aws, config).await?;
        let (mode, secret) = (config.auth.mode, credentials::read(aws, config, Version::Current).await?);
        let slot = self.slot(&config.cluster_arn);
        let mut slot = slot.lock().await;
        if let Some(found) = slot.as_ref()
            && (&found.bootstrap, found.mode, &found.secret) == (&bootstrap, mode, &secret)
        {
            return Ok(found.cluster.clone());
        }
        let (secret, cluster) = sign_in(aws, config, &bootstrap, secret).await?;
        *slot = Some(Connected { bootstrap, mode, secret, cluster: cluster.clone() });
        Ok(cluster)
    }

    /// The user that the functions are to the cluster of `config` since it was connected: Kafka's name of those who do not
    /// sign in, or the SCRAM user. With IAM and with client certificates the name is the cluster's affair.
    pub async fn user(&self, config: &ClusterConfig) -> Option<String> {
        match config.auth.mode {
            AuthMode::Plaintext | AuthMode::Tls => Some("ANONYMOUS".to_owned()),
            AuthMode::ScramSha512 => {
                let slot = self.slot(&config.cluster_arn);
                slot.lock().await.as_ref()?.secret.username.clone()
            }
            AuthMode::Iam | AuthMode::Mtls => None,
        }
    }

    fn slot(&self, cluster_arn: &str) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(cluster_arn.to_owned()).or_default().clone()
    }
}

/// Connects with `newest`, or with what the secret of the user was before, when the brokers refuse it: they learn of a
/// rotated password some time after it is in Secrets Manager. Returns what they took.
async fn sign_in(
    aws: &Aws,
    config: &ClusterConfig,
    bootstrap: &str,
    newest: RunSecret,
) -> Result<(RunSecret, kafka::Cluster)> {
    let refusal = match open(aws, config, bootstrap, &newest).await? {
        Ok(cluster) => return Ok((newest, cluster)),
        Err(refusal) => refusal,
    };
    if matches!(refusal, kafka::Error::Authentication { .. }) && config.auth.secret_arn.is_some() {
        match credentials::read(aws, config, Version::Previous).await {
            Ok(previous) => {
                if let Ok(cluster) = open(aws, config, bootstrap, &previous).await? {
                    tracing::warn!(cluster = config.name(), "the brokers do not take the rotated password yet");
                    return Ok((previous, cluster));
                }
            }
            Err(error) if error.kind.is_retryable() => return Err(error),
            // It was never rotated; the refusal says more.
            Err(_) => {}
        }
    }
    let mut error = Error::from(refusal);
    error.message = format!("cannot reach {} at {bootstrap}: {}", config.name(), error.message);
    Err(error)
}

/// What comes of connecting with `secret`.
///
/// # Errors
/// Those of [`credentials::auth`].
async fn open(
    aws: &Aws,
    config: &ClusterConfig,
    bootstrap: &str,
    secret: &RunSecret,
) -> Result<kafka::Result<kafka::Cluster>> {
    let auth = credentials::auth(&aws.acting_for(config).await?, config, secret)?;
    let settings = kafka::Settings { auth, ..kafka::Settings::parse(bootstrap) };
    Ok(kafka::Cluster::connect(settings).await)
}

/// `host:port` list of a cluster for its way of signing in: the configured one, else the MSK API's. Of those, the ones
/// within the VPC are taken, never the public ones or those of multi-VPC connectivity.
///
/// # Errors
/// Blocked when the API knows none.
pub async fn bootstrap_servers(aws: &Aws, config: &ClusterConfig) -> Result<String> {
    if let Some(servers) = &config.bootstrap_servers {
        return Ok(servers.clone());
    }
    let aws = aws.acting_for(config).await?;
    let request = aws.msk(config.region()).get_bootstrap_brokers().cluster_arn(&config.cluster_arn);
    let what = format!("get the bootstrap brokers of {}", config.cluster_arn);
    let brokers = request.send().await.map_err(|error| sdk_error(&what, &error))?;
    let mode = config.auth.mode;
    let servers = match mode {
        AuthMode::Iam => brokers.bootstrap_broker_string_sasl_iam,
        AuthMode::ScramSha512 => brokers.bootstrap_broker_string_sasl_scram,
        AuthMode::Mtls | AuthMode::Tls => brokers.bootstrap_broker_string_tls,
        AuthMode::Plaintext => brokers.bootstrap_broker_string,
    };
    servers.filter(|servers| !servers.is_empty()).ok_or_else(|| {
        Error::blocked(format_args!(
            "{} offers no listener for auth.mode {mode}: allow it there, choose another mode, or name bootstrap_servers",
            config.name()
        ))
    })
}

/// What the MSK API says of a cluster.
///
/// # Errors
/// Blocked when the cluster is unknown or must not be described.
pub async fn describe(aws: &Aws, config: &ClusterConfig) -> Result<MskCluster> {
    let aws = aws.acting_for(config).await?;
    let request = aws.msk(config.region()).describe_cluster_v2().cluster_arn(&config.cluster_arn);
    let what = format!("describe {}", config.cluster_arn);
    let output = request.send().await.map_err(|error| sdk_error(&what, &error))?;
    output.cluster_info.ok_or_else(|| Error::blocked(format_args!("{what}: the answer is empty")))
}
