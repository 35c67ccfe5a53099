//! Records in formats before Kafka 0.11, and in batches that unpack to hundreds of megabytes, arrive like any other, from the oldest
//! source on the newest target.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use e2e::{Rehearsal, small};
use kafka::batch::{Codec, Record, Stamp, encode};
use kafka::{Cluster, TopicPartition, all_ok};
use serde_json::Value;
use stack::{Options, Side};

/// What the target cannot be told: it stores the format of today alone.
const RETIRED: &str = "message.format.version";

#[tokio::test(flavor = "multi_thread")]
async fn records_of_every_format_and_codec_arrive_equal() {
    let options = Options {
        name: "e2e-old-formats".to_owned(),
        source_version: "2.8.2".to_owned(),
        target_version: "4.3.1".to_owned(),
        discard: true,
        quiet: true,
        ..Options::default()
    };
    let rehearsal = Rehearsal::start(options, "old").await.unwrap();
    let loaded = rehearsal.java.load_old_formats(11).await.unwrap();
    assert_eq!(loaded["batches_with_holes"].as_object().unwrap().len(), 2, "{loaded:#}");
    let source = small::connect(&rehearsal.stack, Side::Source).await.unwrap();
    fill_with_what_unpacks(&source, "unpacks", &[], 300).await;
    fill_with_what_unpacks(&source, "unpacks-dated", &[("message.timestamp.type", "LogAppendTime")], 60).await;
    let cli = &rehearsal.cli;
    segments_are_made_as_large_as_kafka_4_wants(&rehearsal).await;
    cli.run("execute", &[]).await.unwrap().ok().unwrap();
    let waiting = cli.run("resume", &[]).await.unwrap();
    assert_eq!(waiting.code, 10, "{}", waiting.stderr);
    for verb in ["cutover", "cutover-ack", "finalize"] {
        cli.run(verb, &[]).await.unwrap().ok().unwrap();
    }

    // Three hundred megabytes are too many for the judge; finalize looks at some of its records.
    let judged = ["--ignore-configs", RETIRED, "--topics", "(?!unpacks$).*"];
    let (verdict, equal) = rehearsal.java.judge(&judged).await.unwrap();
    assert!(equal, "{verdict:#}");
    let stored = |what: &str| verdict["source_batches"][what].as_i64().unwrap_or(0);
    for what in ["magic_0", "magic_1", "magic_2", "codec_gzip", "codec_snappy", "codec_lz4", "codec_none"] {
        assert!(stored(what) > 0, "the source has no {what}: {verdict:#}");
    }

    let status = cli.run("status", &["--output", "json"]).await.unwrap().ok().unwrap().json().unwrap();
    assert_eq!(status["phase"], "finalized");
    // Sentinels are messages of the old formats too, so each of them that the judge counts was encoded again.
    assert_eq!(reencoded(&status["totals"], "old-format"), stored("magic_0") + stored("magic_1"), "{status:#}");
    assert_eq!(reencoded(&status["totals"], "log-append-time"), 1, "{status:#}");
    let text = cli.run("status", &[]).await.unwrap().ok().unwrap().stdout;
    assert!(text.contains("old-format"), "{text}");
    rehearsal.stack.stop().await.unwrap();
}

/// Report 30: one batch of `records` megabytes before compression, and some kilobytes behind it.
async fn fill_with_what_unpacks(source: &Cluster, topic: &str, configs: &[(&str, &str)], records: usize) {
    small::create(source, topic, 1, configs).await.unwrap();
    let timestamp = chrono::Utc::now().timestamp_millis();
    let record = Record { timestamp, value: Some(vec![0; 1 << 20].into()), ..Record::default() };
    let batch = encode(&vec![record; records], Codec::Zstd, Stamp::NONE, 0).unwrap();
    assert!(batch.bytes().len() < 64 * 1024);
    let sent = [(TopicPartition::new(topic, 0), batch.to_produce())];
    all_ok(source.produce_retrying(&sent, Duration::from_secs(30)).await).unwrap();
}

/// What 2.8 takes and 4.x does not (KIP-1030) is a finding, and is put in order as it says.
async fn segments_are_made_as_large_as_kafka_4_wants(rehearsal: &Rehearsal) {
    const SMALL: [&str; 2] = ["old.state.0.10.0", "old.state.0.9.0"];
    let report = rehearsal.cli.ask("precheck", &["--output", "json"]).await.unwrap();
    assert_eq!(report.code, 1);
    let report = report.json().unwrap();
    let (code, message) = (&report["findings"][0]["code"], report["findings"][0]["message"].as_str().unwrap());
    assert!(code == "B19" && SMALL.iter().all(|topic| message.contains(topic)), "{report:#}");
    assert!(message.contains("32768 for configuration segment.bytes"), "{report:#}");
    let server = rehearsal.stack.source_bootstrap();
    for topic in SMALL {
        let args = ["--bootstrap-server", &server, "--alter", "--entity-type", "topics", "--entity-name", topic];
        let larger = ["--add-config", "segment.bytes=1048576"];
        rehearsal.stack.kafka_tool(Side::Source, "ConfigCommand", &[&args[..], &larger].concat()).await.unwrap();
    }
}

fn reencoded(totals: &Value, reason: &str) -> i64 {
    totals["reencoded"][reason].as_i64().unwrap_or(0)
}
