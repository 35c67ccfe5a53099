//! The MSK API's answer about a cluster.

use aws_sdk_kafka::types::{
    BrokerNodeGroupInfo, Cluster, ClusterState, ClusterType, EbsStorageInfo, OpenMonitoringInfo,
};
use kafka::MetadataMode;
use migration::Result;
use migration::config::ClusterConfig;
use runtime::Aws;

use crate::facts::Described;

/// Asks the MSK API about a cluster.
///
/// # Errors
/// Blocked when the cluster is unknown or must not be described.
pub(crate) async fn describe(aws: &Aws, config: &ClusterConfig) -> Result<Described> {
    runtime::clusters::describe(aws, config).await.map(|cluster| Described::from(&cluster))
}

impl From<&Cluster> for Described {
    fn from(cluster: &Cluster) -> Self {
        let provisioned = cluster.provisioned.as_ref();
        let software = provisioned.and_then(|provisioned| provisioned.current_broker_software_info.as_ref());
        let version = software.and_then(|software| software.kafka_version.clone());
        let zookeeper = provisioned.is_some_and(|provisioned| {
            let strings = [&provisioned.zookeeper_connect_string, &provisioned.zookeeper_connect_string_tls];
            strings.into_iter().flatten().any(|string| !string.is_empty())
        });
        let nodes = provisioned.and_then(|provisioned| provisioned.broker_node_group_info.as_ref());
        let brokers = provisioned.and_then(|provisioned| provisioned.number_of_broker_nodes);
        Self {
            serverless: cluster.serverless.is_some() || cluster.cluster_type == Some(ClusterType::Serverless),
            active: cluster.state == Some(ClusterState::Active),
            mode: mode(zookeeper, version.as_deref()),
            version,
            brokers: brokers.and_then(|brokers| brokers.try_into().ok()),
            zones: nodes.map(zones).unwrap_or_default(),
            current_version: cluster.current_version.clone(),
            instance_type: nodes.and_then(|nodes| nodes.instance_type.clone()),
            provisioned_mib_per_second: nodes.and_then(provisioned_throughput),
            volume_gib: nodes.and_then(disk).and_then(|disk| disk.volume_size),
            public: nodes.is_some_and(is_public),
            open_monitoring: provisioned.and_then(|one| one.open_monitoring.as_ref()).is_some_and(is_open),
        }
    }
}

fn disk(nodes: &BrokerNodeGroupInfo) -> Option<&EbsStorageInfo> {
    nodes.storage_info.as_ref()?.ebs_storage_info.as_ref()
}

fn provisioned_throughput(nodes: &BrokerNodeGroupInfo) -> Option<i32> {
    let throughput = disk(nodes)?.provisioned_throughput.as_ref()?;
    throughput.volume_throughput.filter(|_| throughput.enabled == Some(true))
}

/// A cluster has one subnet in each of its zones.
fn zones(nodes: &BrokerNodeGroupInfo) -> usize {
    nodes.zone_ids().len().max(nodes.client_subnets().len())
}

fn is_public(nodes: &BrokerNodeGroupInfo) -> bool {
    let access = nodes.connectivity_info.as_ref().and_then(|connectivity| connectivity.public_access.as_ref());
    access.and_then(|access| access.r#type.as_deref()).is_some_and(|kind| kind != "DISABLED")
}

fn is_open(monitoring: &OpenMonitoringInfo) -> bool {
    let Some(prometheus) = &monitoring.prometheus else { return false };
    let jmx = prometheus.jmx_exporter.as_ref().and_then(|exporter| exporter.enabled_in_broker);
    let node = prometheus.node_exporter.as_ref().and_then(|exporter| exporter.enabled_in_broker);
    jmx == Some(true) || node == Some(true)
}

/// MSK has no field for the mode: a KRaft cluster's version ends in `.kraft`, a ZooKeeper one has connect strings.
fn mode(zookeeper: bool, version: Option<&str>) -> Option<MetadataMode> {
    match (version.is_some_and(|version| version.ends_with(".kraft")), zookeeper) {
        (true, _) => Some(MetadataMode::KRaft),
        (false, true) => Some(MetadataMode::ZooKeeper),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_kafka::types::{
        BrokerSoftwareInfo, ConnectivityInfo, JmxExporterInfo, PrometheusInfo, Provisioned, PublicAccess, Serverless,
        StorageInfo,
    };

    fn provisioned(version: &str, zookeeper: Option<&str>) -> Described {
        let software = BrokerSoftwareInfo::builder().kafka_version(version).build();
        let provisioned = Provisioned::builder()
            .current_broker_software_info(software)
            .number_of_broker_nodes(3)
            .set_zookeeper_connect_string(zookeeper.map(str::to_owned))
            .build();
        let cluster = Cluster::builder().cluster_type(ClusterType::Provisioned).current_version("K1");
        Described::from(&cluster.provisioned(provisioned).build())
    }

    #[test]
    fn the_mode_is_told_by_the_version_or_by_zookeeper() {
        assert_eq!(provisioned("3.9.x.kraft", None).mode, Some(MetadataMode::KRaft));
        assert_eq!(provisioned("3.9.x", Some("z-1:2181")).mode, Some(MetadataMode::ZooKeeper));
        assert_eq!(provisioned("3.9.x", Some("")).mode, None);
    }

    #[test]
    fn brokers_and_versions_are_taken_over() {
        let described = provisioned("3.9.x.kraft", None);
        assert_eq!((described.brokers, described.serverless), (Some(3), false));
        assert_eq!(described.version.as_deref(), Some("3.9.x.kraft"));
        assert_eq!(described.current_version.as_deref(), Some("K1"));
    }

    #[test]
    fn the_size_of_the_disks_is_taken_over() {
        let disk = EbsStorageInfo::builder().volume_size(750).build();
        let storage = StorageInfo::builder().ebs_storage_info(disk).build();
        let nodes = BrokerNodeGroupInfo::builder().storage_info(storage).build();
        let provisioned = Provisioned::builder().broker_node_group_info(nodes).build();
        assert_eq!(Described::from(&Cluster::builder().provisioned(provisioned).build()).volume_gib, Some(750));
    }

    #[test]
    fn serverless_is_told_by_its_type() {
        assert!(Described::from(&Cluster::builder().cluster_type(ClusterType::Serverless).build()).serverless);
        let described = Described::from(&Cluster::builder().serverless(Serverless::builder().build()).build());
        assert!(described.serverless && described.mode.is_none());
    }

    #[test]
    fn what_keeps_a_cluster_from_being_upgraded_in_place_is_taken_over() {
        let access = |kind: &str| {
            let access = PublicAccess::builder().r#type(kind).build();
            ConnectivityInfo::builder().public_access(access).build()
        };
        let nodes = |kind: &str| {
            let subnets = ["a", "b", "c"].map(str::to_owned).into();
            let nodes =
                BrokerNodeGroupInfo::builder().set_client_subnets(Some(subnets)).instance_type("kafka.m5.large");
            nodes.connectivity_info(access(kind)).build()
        };
        let jmx = JmxExporterInfo::builder().enabled_in_broker(true).build();
        let prometheus = PrometheusInfo::builder().jmx_exporter(jmx).build();
        let monitoring = OpenMonitoringInfo::builder().prometheus(prometheus).build();
        let provisioned = |kind| Provisioned::builder().broker_node_group_info(nodes(kind));
        let describe = |provisioned: Provisioned| {
            Described::from(&Cluster::builder().state(ClusterState::Active).provisioned(provisioned).build())
        };
        let private = describe(provisioned("DISABLED").build());
        assert!(private.active && !private.public && !private.open_monitoring && private.zones == 3);
        let public = describe(provisioned("SERVICE_PROVIDED_EIPS").open_monitoring(monitoring).build());
        assert!(public.public && public.open_monitoring);
    }
}
