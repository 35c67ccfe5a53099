//! What topics inherit on the source their copies have on the target, whatever its brokers would give them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use e2e::{Rehearsal, evidence, small};
use kafka::batch::{Codec, Record, Stamp, encode};
use kafka::{Cluster, OffsetSpec, TopicPartition, all_ok};
use serde_json::Value;
use stack::{Options, SEGMENTS_BUCKET, Side};

const DAY: i64 = 86_400_000;
const RECORDS: i64 = 1_000;
const TIMEOUT: Duration = Duration::from_secs(10);
/// More than the target's brokers need to look for expired segments.
const EXPIRED: Duration = Duration::from_secs(10);

/// Report 27: kept for ever by a cluster-wide dynamic config of the source, for 7 days by what is built into the target.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_source_keeps_by_default_is_not_deleted_on_the_target() {
    let target_config = [("log.retention.check.interval.ms", "1000"), ("log.initial.task.delay.ms", "1000")];
    let target_config = target_config.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let name = "e2e-inherited".to_owned();
    let options = Options { name, discard: true, quiet: true, target_config, ..Options::default() };
    let rehearsal = Rehearsal::start(options, "inherited").await.unwrap();
    let source = small::connect(&rehearsal.stack, Side::Source).await.unwrap();
    let target = small::connect(&rehearsal.stack, Side::Target).await.unwrap();
    let server = rehearsal.stack.cluster(Side::Source).bootstrap();
    let mut args = vec!["--bootstrap-server", &server];
    args.extend("--alter --entity-type brokers --entity-default --add-config log.retention.ms=-1".split(' '));
    rehearsal.stack.kafka_tool(Side::Source, "ConfigCommand", &args).await.unwrap();
    small::create(&source, "orders", 1, &[]).await.unwrap();
    fill_old(&source, "orders").await;

    rehearsal.cli.run_all(&["execute"]).await.unwrap();
    let stored = rehearsal.stack.get_object(SEGMENTS_BUCKET, "zk-to-kraft/inherited/topology/report.json").await;
    let report: Value = serde_json::from_slice(&stored.unwrap()).unwrap();
    let drift = report["defaults"].as_array().unwrap().iter().find(|drift| drift["config"] == "retention.ms");
    let drift = drift.unwrap_or_else(|| panic!("{report:#}"));
    assert!(drift["source"] == "-1" && drift["target"] == "604800000" && drift["carried_over"] == true, "{drift:#}");
    rehearsal.cli.run_all(&["cutover"]).await.unwrap();
    tokio::time::sleep(EXPIRED).await;
    let partition = [TopicPartition::new("orders", 0)];
    let start = all_ok(target.list_offsets(&partition, OffsetSpec::Earliest).await).unwrap();
    assert_eq!(start[&partition[0]], 0, "nothing is deleted because of the move");
    rehearsal.cli.run_all(&["cutover-ack", "finalize"]).await.unwrap();
    let bundle = evidence::verify(&rehearsal.stack, rehearsal.id(), &rehearsal.dir.join("evidence")).await.unwrap();
    assert_eq!(bundle["validation"]["overall"], "PASSED", "{:#}", bundle["validation"]);
    rehearsal.stack.stop().await.unwrap();
}

/// Records that are 30 days old.
async fn fill_old(cluster: &Cluster, topic: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let record = |offset: i64| Record {
        offset,
        timestamp: now - 30 * DAY,
        key: None,
        value: Some(Bytes::from(format!("{topic} {offset}"))),
        headers: Vec::new(),
    };
    let records: Vec<_> = (0..RECORDS).map(record).collect();
    let batch = encode(&records, Codec::None, Stamp::NONE, 0).unwrap().to_produce();
    all_ok(cluster.produce_retrying(&[(TopicPartition::new(topic, 0), batch)], TIMEOUT).await).unwrap();
}
