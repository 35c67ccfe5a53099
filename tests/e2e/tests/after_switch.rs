//! What clients and owners do after the switch does not keep a migration from its end, and what is lost is named until somebody
//! accepts it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use e2e::{Output, Rehearsal, evidence};
use kafka::batch::{Codec, Record, Stamp, encode};
use kafka::{Cluster, ConfigChange, ConfigOp, NewOffset, NewTopic, Settings, TopicPartition, all_ok};
use serde_json::Value;
use stack::{Options, Side};

const TIMEOUT: Duration = Duration::from_secs(10);
/// Records of each partition.
const RECORDS: i64 = 50;
/// Where each group stands.
const COMMITTED: i64 = 20;

async fn create(source: &Cluster, name: &str, partitions: i32, configs: &[(&str, &str)]) {
    let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let topic = NewTopic { name: name.into(), partitions, replication_factor: 1, configs };
    all_ok(source.create_topics(&[topic]).await).unwrap();
}

async fn fill(cluster: &Cluster, partition: &TopicPartition, count: i64) {
    let timestamp = chrono::Utc::now().timestamp_millis();
    let record = |at: i64| Record {
        offset: at,
        timestamp,
        key: Some(Bytes::from(format!("k{at}"))),
        value: Some(Bytes::from(format!("{partition} {at}"))),
        headers: Vec::new(),
    };
    let batch = encode(&(0..count).map(record).collect::<Vec<_>>(), Codec::Lz4, Stamp::NONE, 0).unwrap().to_produce();
    all_ok(cluster.produce_retrying(&[(partition.clone(), batch)], TIMEOUT).await).unwrap();
}

async fn commit(cluster: &Cluster, group: &str, offset: i64) {
    let partition = TopicPartition::new("orders", 0);
    all_ok(cluster.commit_offsets(group, &[NewOffset { partition, offset, metadata: String::new() }]).await).unwrap();
}

/// What a Kafka Streams application, an operator of consumer groups and the owners of topics do on their new cluster, and on the
/// old one.
async fn live_on(rehearsal: &Rehearsal, source: &Cluster, target: &Cluster) {
    let repartition = TopicPartition::new("app-x-repartition", 0);
    let end = all_ok(target.list_offsets(std::slice::from_ref(&repartition), kafka::OffsetSpec::Latest).await).unwrap();
    all_ok(target.delete_records(&[(repartition.clone(), end[&repartition])]).await).unwrap();
    let server = rehearsal.stack.target_bootstrap();
    let delete = ["--bootstrap-server", &server, "--delete", "--group", "deleted"];
    rehearsal.stack.kafka_tool(Side::Target, "ConsumerGroupCommand", &delete).await.unwrap();
    commit(target, "reset", 0).await;
    commit(target, "ahead", RECORDS).await;
    all_ok(target.delete_topics(&["dropped-on-target".into()]).await).unwrap();
    all_ok(source.delete_topics(&["dropped-on-source".into()]).await).unwrap();
    all_ok(target.create_partitions(&[("grown".into(), 3)]).await).unwrap();
    let set = ConfigOp::Set { name: "retention.ms".to_owned(), value: "86400000".to_owned() };
    all_ok(target.alter_topic_configs(&[ConfigChange { topic: "altered".into(), ops: vec![set] }]).await).unwrap();
}

/// The places of a check's problems, by outcome.
fn places(validation: &Value, check: &str) -> BTreeMap<String, Vec<String>> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for problem in validation[check]["problems"].as_array().unwrap() {
        let text = |field: &str| problem[field].as_str().unwrap().to_owned();
        places.entry(text("outcome")).or_default().push(text("place"));
    }
    places.values_mut().for_each(|places| places.sort());
    places
}

fn expected(outcomes: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
    let places = |places: &[&str]| places.iter().map(|place| (*place).to_owned()).collect();
    outcomes.iter().map(|(outcome, found)| ((*outcome).to_owned(), places(found))).collect()
}

async fn bundle(rehearsal: &Rehearsal, name: &str) -> Value {
    evidence::verify(&rehearsal.stack, rehearsal.id(), &rehearsal.dir.join(name)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_ends_whatever_clients_do_and_a_late_record_is_accepted_by_name() {
    let options = Options { name: "e2e-after-switch".to_owned(), discard: true, quiet: true, ..Options::default() };
    let rehearsal = Rehearsal::start(options, "after").await.unwrap();
    let source = Cluster::connect(Settings::parse(&rehearsal.stack.source_bootstrap())).await.unwrap();
    let forever = [("cleanup.policy", "delete"), ("retention.ms", "-1")];
    for (topic, partitions, configs) in [
        ("app-x-repartition", 1, forever.as_slice()),
        ("orders", 2, &[]),
        ("dropped-on-target", 1, &[]),
        ("dropped-on-source", 1, &[]),
        ("grown", 2, &[]),
        ("altered", 1, &[]),
    ] {
        create(&source, topic, partitions, configs).await;
        for partition in 0..partitions {
            fill(&source, &TopicPartition::new(topic, partition), RECORDS).await;
        }
    }
    for group in ["deleted", "reset", "ahead", "idle"] {
        commit(&source, group, COMMITTED).await;
    }
    for verb in ["execute", "cutover", "cutover-ack"] {
        rehearsal.cli.run(verb, &[]).await.unwrap().ok().unwrap();
    }

    let target = Cluster::connect(Settings::parse(&rehearsal.stack.target_bootstrap())).await.unwrap();
    live_on(&rehearsal, &source, &target).await;
    fill(&source, &TopicPartition::new("orders", 1), 2).await;

    // The late records fail, and they alone.
    let Output { code, stdout, stderr } = rehearsal.cli.run("finalize", &[]).await.unwrap();
    assert_eq!(code, 1, "{stdout}\n{stderr}");
    for part in ["2 late record(s)", "--accept counts_and_offsets:orders/1 --reason", "accepting repairs nothing"] {
        assert!(stderr.contains(part), "{part} is missing in:\n{stderr}");
    }
    let failed = bundle(&rehearsal, "failed").await;
    let validation = &failed["validation"];
    assert_eq!(validation["overall"], "FAILED", "{validation:#}");
    let groups = expected(&[("WARNING", &["deleted", "reset"])]);
    assert_eq!(places(validation, "consumer_group_reconciliation"), groups, "{validation:#}");
    assert_eq!(validation["consumer_group_reconciliation"]["offsets_ahead"], 1);
    let counts = places(validation, "counts_and_offsets");
    let removed = ["app-x-repartition/0", "dropped-on-source/0", "dropped-on-target/0"];
    assert_eq!(counts, expected(&[("FAILED", &["orders/1"]), ("WARNING", &removed)]), "{validation:#}");
    let topics = ["altered", "dropped-on-source", "dropped-on-target", "grown"];
    assert_eq!(places(validation, "topic_parity"), expected(&[("WARNING", &topics)]), "{validation:#}");
    for check in ["spot_check_records", "sentinel_presence"] {
        assert_ne!(validation[check]["outcome"], "FAILED", "{validation:#}");
    }

    // What is not accepted by its name keeps failing.
    let reason = ["--reason", "two heartbeats of a monitor"];
    let other = [["--accept", "counts_and_offsets:orders/0"], reason].concat();
    let Output { code, stderr, .. } = rehearsal.cli.run("finalize", &other).await.unwrap();
    assert!(code == 1 && stderr.contains("counts_and_offsets:orders/1"), "{stderr}");
    let accept = [["--accept", "counts_and_offsets:orders/1"], reason].concat();
    let output = rehearsal.cli.run("finalize", &accept).await.unwrap().ok().unwrap();
    assert!(output.stderr.contains("counts_and_offsets:orders/0 matches nothing"), "{}", output.stderr);

    let bundle = bundle(&rehearsal, "accepted").await;
    let validation = &bundle["validation"];
    assert_eq!(validation["overall"], "PASSED_WITH_EXCEPTIONS", "{validation:#}");
    let exceptions = validation["counts_and_offsets"]["exceptions"].as_array().unwrap();
    assert_eq!(exceptions.len(), 1, "{exceptions:#?}");
    assert_eq!((&exceptions[0]["place"], &exceptions[0]["reason"]), (&"orders/1".into(), &reason[1].into()));
    assert!(exceptions[0]["message"].as_str().unwrap().contains("2 late record(s)"), "{exceptions:#?}");
    let late = &validation["counts_and_offsets"]["late"][0];
    assert_eq!((&late["topic"], &late["partition"], &late["records"]), (&"orders".into(), &1.into(), &2.into()));
    assert_eq!(bundle["acceptances"].as_array().unwrap().len(), 2);
    assert_eq!(bundle["missing_reports"], serde_json::json!([]), "the plan and the rehearsal are part of the evidence");
    rehearsal.stack.stop().await.unwrap();
}
