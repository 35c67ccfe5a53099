//! The read-only MSK calls a migration makes, for the two local clusters.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Json, Router,
    extract::{FromRef, Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use super::{ArnPath, request_id};
use crate::kafka::Side;

/// ARN of the source, a cluster in ZooKeeper mode.
pub const SOURCE_ARN: &str =
    "arn:aws:kafka:us-east-1:123456789012:cluster/local-zk/5b1d5c55-4f5c-4c7c-9c39-6e2a0f1f4d01-1";
/// ARN of the target, a KRaft cluster.
pub const TARGET_ARN: &str =
    "arn:aws:kafka:us-east-1:123456789012:cluster/local-kraft/8f0e7a3a-0a53-4b1e-8f0a-2c9d3b7e5a02-2";

const INSTANCE_TYPE: &str = "kafka.m5.large";
const CREATED: &str = "2026-01-01T00:00:00.000Z";

/// A local cluster as MSK would show it.
#[derive(Debug, Clone)]
pub(crate) struct MskCluster {
    /// Source or target.
    pub side: Side,
    /// Its ARN.
    pub arn: String,
    /// Apache Kafka's version, `3.9.1` for example.
    pub version: String,
    /// Bootstrap brokers without TLS.
    pub bootstrap: String,
    /// Those with SASL/SCRAM.
    pub bootstrap_scram: Option<String>,
    /// Those with TLS.
    pub bootstrap_tls: Option<String>,
    /// Those with IAM.
    pub bootstrap_iam: Option<String>,
    /// ZooKeeper's address, for a cluster that has one.
    pub zookeeper: Option<String>,
    /// Number of brokers.
    pub brokers: usize,
}

/// The clusters that the MSK API knows.
#[derive(Debug, Clone)]
pub(crate) struct Msk(Arc<Vec<(MskCluster, Mutex<Value>)>>);

impl Msk {
    pub(crate) fn new(clusters: [MskCluster; 2]) -> Self {
        Self(Arc::new(clusters.map(|cluster| (cluster, Mutex::new(json!({})))).into()))
    }

    /// From now on a side is described with `instead` merged into its `clusterInfo` (RFC 7386), in place of what was merged
    /// before.
    pub(crate) fn describe_with(&self, side: Side, instead: Value) {
        for (_, merged) in self.0.iter().filter(|(cluster, _)| cluster.side == side) {
            *merged.lock().unwrap_or_else(PoisonError::into_inner) = instead.clone();
        }
    }

    fn described(&self, arn: &str) -> Option<Value> {
        let (cluster, merged) = self.0.iter().find(|(cluster, _)| cluster.arn == arn)?;
        let mut described = cluster.describe();
        json_patch::merge(&mut described["clusterInfo"], &merged.lock().unwrap_or_else(PoisonError::into_inner));
        Some(described)
    }

    fn of(&self, arn: &str) -> Option<&MskCluster> {
        self.0.iter().map(|(cluster, _)| cluster).find(|cluster| cluster.arn == arn)
    }
}

impl MskCluster {
    /// MSK names patch lines (`3.9.x`) from 3.7 on, and marks KRaft by a suffix.
    fn msk_version(&self) -> String {
        let mut parts = self.version.split('.').filter_map(|part| part.parse::<u32>().ok());
        let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        let line = if (major, minor) >= (3, 7) { format!("{major}.{minor}.x") } else { self.version.clone() };
        match self.side {
            Side::Source => line,
            Side::Target => line + ".kraft",
        }
    }

    const fn client_broker(&self) -> &'static str {
        if self.bootstrap_tls.is_some() { "TLS_PLAINTEXT" } else { "PLAINTEXT" }
    }

    fn bootstrap_brokers(&self) -> Value {
        let mut brokers = json!({"bootstrapBrokerString": self.bootstrap});
        for (field, servers) in [
            ("bootstrapBrokerStringSaslScram", &self.bootstrap_scram),
            ("bootstrapBrokerStringTls", &self.bootstrap_tls),
            ("bootstrapBrokerStringSaslIam", &self.bootstrap_iam),
        ] {
            if let Some(servers) = servers {
                brokers[field] = json!(servers);
            }
        }
        brokers
    }

    fn name(&self) -> &str {
        self.arn.split('/').nth(1).unwrap_or_default()
    }

    fn describe(&self) -> Value {
        let mut provisioned = json!({
            "brokerNodeGroupInfo": {
                "brokerAZDistribution": "DEFAULT",
                "clientSubnets": ["subnet-local"],
                "instanceType": INSTANCE_TYPE,
                "securityGroups": ["sg-local"],
                "storageInfo": {"ebsStorageInfo": {"volumeSize": 100}},
            },
            "clientAuthentication": {
                "sasl": {
                    "iam": {"enabled": self.bootstrap_iam.is_some()},
                    "scram": {"enabled": self.bootstrap_scram.is_some()},
                },
                "tls": {"enabled": self.bootstrap_tls.is_some(), "certificateAuthorityArnList": []},
                "unauthenticated": {"enabled": true},
            },
            "currentBrokerSoftwareInfo": {"kafkaVersion": self.msk_version()},
            "encryptionInfo": {"encryptionInTransit": {"clientBroker": self.client_broker(), "inCluster": false}},
            "enhancedMonitoring": "DEFAULT",
            "numberOfBrokerNodes": self.brokers,
            "storageMode": "LOCAL",
        });
        if let Some(zookeeper) = &self.zookeeper {
            provisioned["zookeeperConnectString"] = json!(zookeeper);
        }
        json!({"clusterInfo": {
            "clusterArn": self.arn,
            "clusterName": self.name(),
            "clusterType": "PROVISIONED",
            "creationTime": CREATED,
            "currentVersion": "K1LOCAL",
            "provisioned": provisioned,
            "state": "ACTIVE",
            "tags": {},
        }})
    }

    fn nodes(&self) -> Value {
        let node = |(index, address): (usize, &str)| {
            let host = address.split(':').next().unwrap_or_default();
            json!({
                "addedToClusterTime": CREATED,
                "brokerNodeInfo": {
                    "attachedENIId": format!("eni-local-{}", index + 1),
                    "brokerId": index as f64 + 1.0,
                    "clientSubnet": "subnet-local",
                    "clientVpcIpAddress": host,
                    "currentBrokerSoftwareInfo": {"kafkaVersion": self.msk_version()},
                    "endpoints": [host],
                },
                "instanceType": INSTANCE_TYPE,
                "nodeARN": format!("{}/broker-{}", self.arn.replacen(":cluster/", ":broker/", 1), index + 1),
                "nodeType": "BROKER",
            })
        };
        json!({"nodeInfoList": self.bootstrap.split(',').enumerate().map(node).collect::<Vec<_>>()})
    }
}

/// The calls, for a server that has the clusters.
pub(crate) fn routes<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    Msk: FromRef<S>,
{
    Router::new()
        .route("/api/v2/clusters/{arn}", get(describe_cluster_v2))
        .route("/v1/clusters/{arn}/bootstrap-brokers", get(bootstrap_brokers))
        .route("/v1/clusters/{arn}/nodes", get(nodes))
}

async fn describe_cluster_v2(State(msk): State<Msk>, Path(arn): ArnPath) -> Response {
    answer(msk.described(&arn))
}

async fn bootstrap_brokers(State(msk): State<Msk>, Path(arn): ArnPath) -> Response {
    answer(msk.of(&arn).map(MskCluster::bootstrap_brokers))
}

async fn nodes(State(msk): State<Msk>, Path(arn): ArnPath) -> Response {
    answer(msk.of(&arn).map(MskCluster::nodes))
}

fn answer(body: Option<Value>) -> Response {
    let id = [("x-amzn-requestid", request_id())];
    match body {
        Some(body) => (id, Json(body)).into_response(),
        None => {
            let kind = [("x-amzn-errortype", "NotFoundException")];
            let body = json!({"invalidParameter": "clusterArn", "message": "One or more of the parameters are not valid. Cluster not found."});
            (StatusCode::NOT_FOUND, id, kind, Json(body)).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(side: Side, version: &str) -> MskCluster {
        MskCluster {
            side,
            arn: SOURCE_ARN.to_owned(),
            version: version.to_owned(),
            bootstrap: "127.0.0.1:1,127.0.0.1:2".to_owned(),
            bootstrap_scram: None,
            bootstrap_tls: None,
            bootstrap_iam: None,
            zookeeper: None,
            brokers: 2,
        }
    }

    #[test]
    fn versions_are_named_as_msk_names_them() {
        for (side, version, name) in [
            (Side::Source, "2.8.2", "2.8.2"),
            (Side::Source, "3.9.1", "3.9.x"),
            (Side::Target, "3.9.1", "3.9.x.kraft"),
            (Side::Target, "4.3.1", "4.3.x.kraft"),
        ] {
            assert_eq!(cluster(side, version).msk_version(), name);
        }
    }

    #[test]
    fn a_cluster_can_be_described_as_another() {
        let msk = Msk::new([cluster(Side::Source, "3.9.1"), cluster(Side::Target, "4.3.1")]);
        msk.describe_with(Side::Source, json!({"state": "HEALING", "provisioned": {"storageMode": null}}));
        let described = msk.described(SOURCE_ARN).unwrap();
        let info = &described["clusterInfo"];
        assert_eq!((&info["state"], &info["provisioned"]["storageMode"]), (&json!("HEALING"), &Value::Null));
        assert_eq!(info["provisioned"]["numberOfBrokerNodes"], 2);
        msk.describe_with(Side::Source, json!({}));
        assert_eq!(msk.described(SOURCE_ARN).unwrap()["clusterInfo"]["state"], "ACTIVE");
        assert_eq!(msk.described("arn"), None);
    }

    #[test]
    fn nodes_are_numbered_from_one() {
        let nodes = cluster(Side::Source, "3.9.1").nodes();
        assert_eq!(nodes["nodeInfoList"][1]["brokerNodeInfo"]["brokerId"], 2.0);
        assert_eq!(nodes["nodeInfoList"].as_array().unwrap().len(), 2);
    }
}
