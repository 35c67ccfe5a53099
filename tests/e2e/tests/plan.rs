//! A plan of real clusters: what it says is so, and it says it in the same bytes every time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use e2e::Rehearsal;
use serde_json::Value;
use stack::{Options, Side};

/// Creates `topic` on the source.
async fn create(rehearsal: &Rehearsal, topic: &str, partitions: &str, config: Option<&str>) {
    let server = rehearsal.stack.source_bootstrap();
    let mut args = vec!["--bootstrap-server", &server, "--create", "--topic", topic, "--partitions", partitions];
    args.extend(config.iter().flat_map(|config| ["--config", *config]));
    rehearsal.stack.kafka_tool(Side::Source, "TopicCommand", &args).await.unwrap();
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())).collect()
}

async fn planned(rehearsal: &Rehearsal, name: &str) -> BTreeMap<String, Vec<u8>> {
    let dir = rehearsal.dir.join(name);
    let args = ["--format", "all", "--migration-id", "m1", "--force", "--out-dir", dir.to_str().unwrap()];
    rehearsal.cli.ask("plan", &args).await.unwrap().ok().unwrap();
    files(&dir)
}

fn outlooks(plan: &Value) -> BTreeMap<&str, &str> {
    let topics = plan["topics"].as_array().unwrap().iter();
    topics.map(|topic| (topic["name"].as_str().unwrap(), topic["offsets"]["outlook"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_real_clusters_is_true_and_repeatable() {
    // Narrower than the source's brokers.
    let target_config = [("message.max.bytes".to_owned(), "1048588".to_owned())].into();
    let name = "e2e-plan".to_owned();
    let options = Options { name, discard: true, quiet: true, target_config, ..Options::default() };
    let rehearsal = Rehearsal::start(options, "m1").await.unwrap();
    create(&rehearsal, "plain", "2", None).await;
    create(&rehearsal, "compacted", "1", Some("cleanup.policy=compact")).await;
    create(&rehearsal, "large", "1", Some("max.message.bytes=5000000")).await;

    let files = planned(&rehearsal, "one").await;
    assert_eq!(files, planned(&rehearsal, "two").await);
    let plan: Value = serde_json::from_slice(&files["plan.json"]).unwrap();
    assert_eq!((&plan["source"]["metadata"], &plan["target"]["metadata"]), (&"ZOOKEEPER".into(), &"KRAFT".into()));
    assert_eq!((&plan["partitions"], &plan["partitions_to_create"]), (&4.into(), &4.into()));
    let expected = BTreeMap::from([("plain", "identity"), ("compacted", "unknown"), ("large", "identity")]);
    assert_eq!(outlooks(&plan), expected);
    assert_eq!(plan["limits_to_raise"][0]["name"], "message.max.bytes");
    assert_eq!(plan["unread"], Value::Array(Vec::new()));

    // The plan of a source with trimmed logs and transactions knows less.
    rehearsal.java.load_source(7, "0.05").await.unwrap();
    let plan = planned(&rehearsal, "three").await;
    let plan: Value = serde_json::from_slice(&plan["plan.json"]).unwrap();
    let outlooks = outlooks(&plan);
    assert_eq!((outlooks["geo.positions"], outlooks["plain"]), ("translated", "unknown"));
    assert!(plan["estimated_seed_bytes"].as_i64() > Some(0) && !plan["critical_path"].is_null(), "{plan:#}");
    rehearsal.stack.stop().await.unwrap();
}
