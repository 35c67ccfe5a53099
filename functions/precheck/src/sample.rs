//! A healthy pair of clusters, from which each test departs in one point.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka::{AclBinding, AclOperation, AclPermission, AclResource, MetadataMode, Operations, PatternType};
use migration::report::Finding;
use migration::{Config, TopicPartition};
use serde_json::json;

use crate::facts::{
    Arriving, BrokerConfig, Bucket, Cluster, Described, Facts, Leaving, Partly, Permitted, Probe, Reached, Replication,
    Setting, TimestampBounds, Topic, TopicConfig,
};

/// The largest batch that a topic and a broker take unless they are told otherwise, in bytes.
pub(crate) const DEFAULT_MESSAGE_BYTES: i64 = 1_048_588;

/// Source `old` and target `new`, three brokers each, one topic `orders` that the target does not have yet.
pub(crate) fn facts() -> Facts {
    Facts {
        config: config(),
        copying: false,
        source: cluster(MetadataMode::ZooKeeper, "3.6.0", "source-id", &["orders"]),
        target: cluster(MetadataMode::KRaft, "3.9.x.kraft", "target-id", &[]),
        leaving: Some(Leaving {
            inherited: BTreeMap::new(),
            configs: Partly { known: BTreeMap::from([("orders".into(), topic_config())]), missing: None },
            brokers: Ok((1..=3).map(broker_config).collect()),
            groups: Ok(Vec::new()),
            static_members: Partly::default(),
            acls: Ok(Some(Vec::new())),
            transactions: None,
            sizes: Ok(sizes(&[("orders", 700)])),
            logs: Partly::default(),
            sample: Partly::default(),
            quotas: Ok(Vec::new()),
            permitted: permitted(&["orders"]),
        }),
        arriving: Some(Arriving {
            brokers: Ok((1..=3).map(broker_config).collect()),
            ends: Partly::default(),
            active_groups: Ok(BTreeSet::new()),
            acls: Ok(Some(Vec::new())),
            quotas: Ok(Vec::new()),
            permitted: permitted(&[]),
            refused: BTreeMap::new(),
        }),
        backup: bucket(Some(Probe { key: None })),
        evidence: bucket(None),
    }
}

/// A bucket without Object Lock in the region of both clusters.
fn bucket(probe: Option<Probe>) -> Bucket {
    let region = Some("us-east-1".to_owned());
    Bucket { reachable: Ok(()), region, versioned: Ok(true), lock: Ok(None), default_key: Ok(None), probe }
}

/// Everything, on the cluster and on `topics`.
pub(crate) fn permitted(topics: &[&str]) -> Permitted {
    let everything: Vec<_> = (0..16).map(AclOperation::from).collect();
    let everything = Operations::of(&everything);
    Permitted {
        cluster: Ok(Some(everything)),
        topics: Ok(topics.iter().map(|topic| ((*topic).into(), everything)).collect()),
        groups: Partly::default(),
    }
}

pub(crate) fn config() -> Config {
    let cluster = |name: &str| {
        let arn = format!("arn:aws:kafka:us-east-1:123456789012:cluster/{name}/uuid-1");
        json!({"cluster_arn": arn, "auth": {"mode": "plaintext"}})
    };
    let bucket = |name: &str| json!({"s3_bucket": name, "s3_prefix": "p/"});
    Config::from_json(&json!({
        "source": cluster("old"), "target": cluster("new"), "backup": bucket("segments"), "evidence": bucket("proofs"),
    }))
    .unwrap()
}

fn cluster(mode: MetadataMode, version: &str, id: &str, topics: &[&str]) -> Cluster {
    Cluster {
        described: Ok(Described {
            serverless: false,
            active: true,
            mode: Some(mode),
            version: Some(version.to_owned()),
            brokers: Some(3),
            zones: 3,
            current_version: Some("K1".to_owned()),
            instance_type: Some("kafka.m5.large".to_owned()),
            provisioned_mib_per_second: None,
            volume_gib: None,
            public: false,
            open_monitoring: false,
        }),
        reached: Ok(Reached {
            id: Some(id.to_owned()),
            mode,
            user: Some("ANONYMOUS".to_owned()),
            brokers: vec![1, 2, 3],
            topics: topics.iter().map(|name| ((*name).into(), topic(2))).collect(),
            left_out: 0,
            hidden: Ok(BTreeSet::new()),
            internal: BTreeSet::from(["__consumer_offsets".into()]),
            replicas: 0,
            leaderless: BTreeSet::new(),
            replication: Replication::sound(),
            certificate_valid_for: None,
            served: Ok((1..=3).map(|broker| (broker, BTreeMap::from([(0, 0..=9), (1, 0..=13)]))).collect()),
        }),
    }
}

/// A topic of `partitions` with three replicas each.
pub(crate) fn topic(partitions: usize) -> Topic {
    Topic { partitions, replication_factor: 3 }
}

/// Configs of a topic that is neither compacted nor ever shortened.
pub(crate) fn topic_config() -> TopicConfig {
    TopicConfig {
        max_message_bytes: Some(DEFAULT_MESSAGE_BYTES),
        cleanup_policy: "delete".to_owned(),
        retention_ms: None,
        retention_bytes: None,
        delete_retention_ms: Some(86_400_000),
        timestamps: Some(UNBOUNDED),
        min_in_sync: Some(2),
        tiered: false,
        own: BTreeMap::new(),
    }
}

/// No bounds of timestamps.
const UNBOUNDED: TimestampBounds = TimestampBounds { before_ms: i64::MAX, after_ms: i64::MAX };

/// Defaults of Kafka 3.9.
fn broker_config(broker: i32) -> BrokerConfig {
    BrokerConfig {
        broker,
        message_max_bytes: Some(DEFAULT_MESSAGE_BYTES),
        replica_fetch_max_bytes: Some(1_048_576),
        socket_request_max_bytes: Some(104_857_600),
        timestamps: Some(UNBOUNDED),
        bounds_either_side: true,
        max_connections: Some(i64::from(i32::MAX)),
        topics: BTreeMap::new(),
        super_users: true,
        threads: Some(11),
        readdressed: false,
        settings: SETTINGS.map(|(name, value)| (name.to_owned(), setting(value, false))).into(),
    }
}

/// Some of what a broker tells.
const SETTINGS: [(&str, &str); 6] = [
    ("transaction.max.timeout.ms", "900000"),
    ("group.max.session.timeout.ms", "1800000"),
    ("group.min.session.timeout.ms", "6000"),
    ("auto.create.topics.enable", "true"),
    ("connections.max.idle.ms", "600000"),
    ("log.retention.hours", "168"),
];

/// A config with this value, which somebody has set or not.
pub(crate) fn setting(value: &str, is_set: bool) -> Setting {
    Setting { value: Some(value.to_owned()), is_set }
}

/// Sets a config of all of `brokers`.
pub(crate) fn set(brokers: &mut migration::Result<Vec<BrokerConfig>>, name: &str, value: &str) {
    for broker in brokers.as_mut().unwrap() {
        broker.settings.insert(name.to_owned(), setting(value, true));
    }
}

/// Lets `principal` read the topic `name`.
pub(crate) fn acl(principal: &str, name: &str) -> AclBinding {
    AclBinding {
        resource: AclResource::Topic,
        name: name.to_owned(),
        pattern: PatternType::Literal,
        principal: principal.to_owned(),
        host: "*".to_owned(),
        operation: AclOperation::Read,
        permission: AclPermission::Allow,
    }
}

/// What only matters of the source.
pub(crate) fn leaving(facts: &mut Facts) -> &mut Leaving {
    facts.leaving.as_mut().unwrap()
}

/// What only matters of the target.
pub(crate) fn arriving(facts: &mut Facts) -> &mut Arriving {
    facts.arriving.as_mut().unwrap()
}

/// The brokers' own account of the source.
pub(crate) fn source(facts: &mut Facts) -> &mut Reached {
    facts.source.reached.as_mut().unwrap()
}

/// The brokers' own account of the target.
pub(crate) fn target(facts: &mut Facts) -> &mut Reached {
    facts.target.reached.as_mut().unwrap()
}

/// These bytes in the first partition of each topic.
pub(crate) fn sizes(topics: &[(&str, i64)]) -> BTreeMap<TopicPartition, i64> {
    topics.iter().map(|(topic, bytes)| (TopicPartition::new(*topic, 0), *bytes)).collect()
}

/// Replaces the source's topics and their configs.
pub(crate) fn with_configs(facts: &mut Facts, configs: &[(&str, TopicConfig)]) {
    let named = configs.iter().map(|(name, config)| (Arc::from(*name), config.clone()));
    leaving(facts).configs.known = named.collect();
    source(facts).topics = configs.iter().map(|(name, _)| ((*name).into(), topic(2))).collect();
}

/// The codes of `findings` in their order.
pub(crate) fn codes(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.code.as_str()).collect()
}

/// The only one of `findings`, which has to have this code.
pub(crate) fn one(findings: Vec<Finding>, code: &str) -> Finding {
    assert_eq!(codes(&findings), [code], "{findings:?}");
    findings.into_iter().next().unwrap()
}
