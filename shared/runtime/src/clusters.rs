//! The clusters of a configuration: what the MSK API says of them, and connections kept for the life of the process.

use std::collections::HashMap;

use aws_sdk_kafka::types::Cluster as MskCluster;
use migration::config::{AuthMode, ClusterConfig};
use migration::{Error, Result};
use tokio::sync::Mutex;

use crate::aws::{Aws, sdk_error};

/// Connected clusters by ARN.
#[derive(Debug, Default)]
pub struct Clusters {
    connected: Mutex<HashMap<String, (String, kafka::Cluster)>>,
}

impl Clusters {
    /// The cluster of `config`, connected at most once per process.
    ///
    /// # Errors
    /// Blocked when its bootstrap servers cannot be found or its way of signing in is not supported; otherwise what
    /// connecting gives.
    pub async fn connect(&self, aws: &Aws, config: &ClusterConfig) -> Result<kafka::Cluster> {
        let bootstrap = bootstrap_servers(aws, config).await?;
        let mut connected = self.connected.lock().await;
        if let Some((servers, cluster)) = connected.get(&config.cluster_arn)
            && *servers == bootstrap
        {
            return Ok(cluster.clone());
        }
        let servers: Vec<_> = bootstrap.split(',').map(|server| server.trim().to_owned()).collect();
        let cluster = kafka::Cluster::connect(kafka::Settings::new(servers)).await.map_err(|error| {
            let mut error = Error::from(error);
            error.message = format!("cannot reach {} at {bootstrap}: {}", config.name(), error.message);
            error
        })?;
        connected.insert(config.cluster_arn.clone(), (bootstrap, cluster.clone()));
        Ok(cluster)
    }
}

/// `host:port` list of a cluster for its way of signing in: the configured one, else the MSK API's.
///
/// # Errors
/// Blocked when the API knows none, or when the way of signing in is not supported yet.
pub async fn bootstrap_servers(aws: &Aws, config: &ClusterConfig) -> Result<String> {
    if config.auth.mode != AuthMode::Plaintext {
        return Err(Error::blocked(format_args!(
            "auth.mode {} of {} is not supported by this version yet; use plaintext",
            config.auth.mode,
            config.name()
        )));
    }
    if let Some(servers) = &config.bootstrap_servers {
        return Ok(servers.clone());
    }
    let request = aws.msk(config.region()).get_bootstrap_brokers().cluster_arn(&config.cluster_arn);
    let what = format!("get the bootstrap brokers of {}", config.cluster_arn);
    let brokers = request.send().await.map_err(|error| sdk_error(&what, &error))?;
    brokers.bootstrap_broker_string.ok_or_else(|| {
        Error::blocked(format_args!(
            "{} offers no plaintext listener; allow plaintext traffic, or name bootstrap_servers",
            config.name()
        ))
    })
}

/// What the MSK API says of a cluster.
///
/// # Errors
/// Blocked when the cluster is unknown or must not be described.
pub async fn describe(aws: &Aws, config: &ClusterConfig) -> Result<MskCluster> {
    let request = aws.msk(config.region()).describe_cluster_v2().cluster_arn(&config.cluster_arn);
    let what = format!("describe {}", config.cluster_arn);
    let output = request.send().await.map_err(|error| sdk_error(&what, &error))?;
    output.cluster_info.ok_or_else(|| Error::blocked(format_args!("{what}: the answer is empty")))
}
