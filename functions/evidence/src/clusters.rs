//! A cluster as the MSK API describes it, for the bundle.

use aws_sdk_kafka::types::Cluster as MskCluster;
use migration::config::ClusterConfig;
use migration::{Config, Result};
use runtime::{Aws, clusters};
use serde::Serialize;
use serde_json::{Value, json};

/// One side of the migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ClusterFacts {
    name: String,
    arn: String,
    /// `ZOOKEEPER`, `KRAFT` or `UNKNOWN`.
    metadata_mode: &'static str,
    /// Kafka version as the API gives it, such as `3.9.x.kraft`.
    version: Option<String>,
}

/// What the MSK API says of both clusters: null for one that it does not know or must not describe, which may be no cluster
/// of MSK; `not_described` says why.
///
/// # Errors
/// Transient when the API could not be asked.
pub(crate) async fn both(aws: &Aws, config: &Config) -> Result<Value> {
    let mut both = json!({});
    for (side, cluster) in [("source", &config.source), ("target", &config.target)] {
        enter(&mut both, side, cluster, clusters::describe(aws, cluster).await)?;
    }
    Ok(both)
}

/// Enters what was answered about one side.
///
/// # Errors
/// That of `described` if it passes.
fn enter(both: &mut Value, side: &str, config: &ClusterConfig, described: Result<MskCluster>) -> Result<()> {
    match described {
        Ok(cluster) => both[side] = json!(facts(config, cluster)),
        Err(error) if error.kind.is_retryable() => return Err(error),
        Err(error) => {
            both[side] = Value::Null;
            both["not_described"][side] = json!(error.message);
        }
    }
    Ok(())
}

fn facts(config: &ClusterConfig, cluster: MskCluster) -> ClusterFacts {
    let name = cluster.cluster_name.unwrap_or_else(|| config.name().to_owned());
    let provisioned = cluster.provisioned;
    let version = provisioned.as_ref().and_then(|provisioned| {
        provisioned.current_broker_software_info.as_ref().and_then(|software| software.kafka_version.clone())
    });
    let zookeeper = provisioned.as_ref().and_then(|provisioned| provisioned.zookeeper_connect_string.as_deref());
    // The API has no field for it: a KRaft cluster's version says so, a ZooKeeper one names its ZooKeeper.
    let metadata_mode = if version.as_deref().is_some_and(|version| version.ends_with(".kraft")) {
        "KRAFT"
    } else if zookeeper.is_some_and(|servers| !servers.is_empty()) {
        "ZOOKEEPER"
    } else {
        "UNKNOWN"
    };
    ClusterFacts { name, arn: config.cluster_arn.clone(), metadata_mode, version }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_kafka::types::{BrokerSoftwareInfo, Provisioned};
    use migration::Error;

    fn mode(version: &str, zookeeper: Option<&str>) -> &'static str {
        let software = BrokerSoftwareInfo::builder().kafka_version(version).build();
        let provisioned = Provisioned::builder().current_broker_software_info(software);
        let provisioned = provisioned.set_zookeeper_connect_string(zookeeper.map(str::to_owned)).build();
        let config = Config::from_yaml(crate::redact::tests::CONFIG, |_| None).unwrap();
        let facts = facts(&config.source, MskCluster::builder().provisioned(provisioned).build());
        assert_eq!((facts.name.as_str(), facts.version.as_deref()), ("old", Some(version)));
        facts.metadata_mode
    }

    #[test]
    fn the_mode_is_told_by_version_or_connect_string() {
        assert_eq!(mode("3.9.x.kraft", None), "KRAFT");
        assert_eq!(mode("3.9.x", Some("z-1:2181")), "ZOOKEEPER");
        assert_eq!(mode("3.9.x", None), "UNKNOWN");
    }

    #[test]
    fn a_cluster_that_msk_does_not_know_is_null_with_the_reason() {
        let config = Config::from_yaml(crate::redact::tests::CONFIG, |_| None).unwrap();
        let mut both = json!({});
        let unknown = Error::blocked("describe arn: NotFoundException (HTTP 404): there is none");
        enter(&mut both, "source", &config.source, Err(unknown)).unwrap();
        enter(&mut both, "target", &config.target, Ok(MskCluster::builder().build())).unwrap();
        assert_eq!((&both["source"], &both["target"]["name"]), (&Value::Null, &json!("new")));
        let reason = "describe arn: NotFoundException (HTTP 404): there is none";
        assert_eq!(both["not_described"], json!({"source": reason}));
        let passing = enter(&mut both, "source", &config.source, Err(Error::transient("throttled")));
        assert!(passing.unwrap_err().kind.is_retryable());
    }
}
