//! A small plan with something of everything, for tests.

use migration::report::{
    Binding, CriticalPath, Estimate, LimitToRaise, Meaning, Outlook, PhaseEstimate, Plan, PlannedCluster,
    PlannedOffsets, PlannedTopic,
};
use migration::{Config, Phase};
use serde_json::json;

use super::{Planning, Prices};
use crate::command_line::CommandLine;
use crate::deployed::Deployed;

/// Three topics from a cluster in ZooKeeper mode to one in KRaft mode, with IAM on both sides.
pub(crate) fn planning() -> Planning {
    let config = config();
    let deployment = super::names(&config, None, "msk-kraft", &Deployed::default());
    let line = CommandLine {
        migration_id: "orders-to-kraft".parse().unwrap(),
        config: Some("migration.yaml".into()),
        journal_dir: None,
    };
    Planning { line, config, deployment, plan: Some(plan()), prices: Prices::built_in().unwrap() }
}

fn config() -> Config {
    let cluster = |name: &str, uuid: &str| {
        let arn = format!("arn:aws:kafka:us-east-1:123456789012:cluster/{name}/{uuid}");
        json!({"cluster_arn": arn, "auth": {"mode": "iam"}})
    };
    let key = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-0000-4000-8000-000000000003";
    Config::from_json(&json!({
        "source": cluster("orders", "0a1b2c3d-1"),
        "target": cluster("orders-kraft", "0a1b2c3d-2"),
        "backup": {"s3_bucket": "orders-segments", "s3_prefix": "zk-to-kraft/", "kms_key_arn": key},
        "evidence": {"s3_bucket": "orders-evidence", "s3_prefix": "migrations/", "retention": "7y"},
    }))
    .unwrap()
}

/// What the function would answer.
pub(crate) fn plan() -> Plan {
    let topics = vec![
        topic("audit", 1, 5_000_000, Outlook::Translated, "1 of 1 partitions begin above offset 0"),
        topic("orders", 12, 240_000_000_000, Outlook::Identity, "every partition begins at 0"),
        topic("prices", 6, 1_500_000_000, Outlook::Unknown, "it is compacted: only reading it shows holes"),
    ];
    Plan {
        source: cluster("orders", "0a1b2c3d-1", "ZOOKEEPER", "3.6.0"),
        target: cluster("orders-kraft", "0a1b2c3d-2", "KRAFT", "3.9.x.kraft"),
        topics_left_out: 0,
        skipped_internal: vec!["__amazon_msk_canary".to_owned(), "__consumer_offsets".to_owned()],
        sink_groups: Vec::new(),
        partitions: 19,
        partitions_to_create: 18,
        batches: 1,
        estimated_seed_bytes: topics.iter().map(|topic| topic.bytes).sum(),
        estimated_seed: Estimate {
            seconds: 9_661,
            bytes_per_second: 25_000_000,
            bound_by: Binding::Functions,
            functions: 1,
        },
        critical_path: Some(CriticalPath {
            partition: "orders/3".to_owned(),
            bytes: 60_000_000_000,
            seconds: 2_400,
            batch_partitions: 19,
            batch_seconds: 9_661,
        }),
        phases: vec![
            phase(Phase::Precheck, 15, Meaning::Estimated),
            phase(Phase::TopologyCopy, 61, Meaning::Estimated),
            phase(Phase::Seed, 9_721, Meaning::Estimated),
            phase(Phase::Tail, 30, Meaning::AtLeast),
            phase(Phase::Cutover, 60, Meaning::AtMost),
            phase(Phase::Validating, 62, Meaning::Estimated),
        ],
        limits_to_raise: vec![LimitToRaise {
            name: "message.max.bytes".to_owned(),
            smallest: 1_048_588,
            needed: 8_388_608,
        }],
        unread: vec!["configs of 1 topics: TOPIC_AUTHORIZATION_FAILED".to_owned()],
        topics,
    }
}

fn topic(name: &str, partitions: usize, bytes: i64, outlook: Outlook, why: &str) -> PlannedTopic {
    PlannedTopic {
        name: name.to_owned(),
        partitions,
        replication_factor: 3,
        bytes,
        largest_partition_bytes: bytes / 4,
        on_target: name == "audit",
        offsets: PlannedOffsets { outlook, why: why.to_owned() },
    }
}

fn cluster(name: &str, uuid: &str, metadata: &str, kafka: &str) -> PlannedCluster {
    PlannedCluster {
        name: name.to_owned(),
        arn: format!("arn:aws:kafka:us-east-1:123456789012:cluster/{name}/{uuid}"),
        metadata: metadata.to_owned(),
        kafka: kafka.to_owned(),
        brokers: 3,
        instance_type: Some("kafka.m5.large".to_owned()),
    }
}

fn phase(phase: Phase, seconds: u64, meaning: Meaning) -> PhaseEstimate {
    PhaseEstimate {
        phase,
        seconds,
        meaning,
        bound_by: format!("what binds {phase}"),
        why: format!("why {phase} takes that long"),
    }
}
