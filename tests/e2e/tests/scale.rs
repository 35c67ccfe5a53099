//! A source of 2,000 topics and 10,000 partitions: what precheck and plan take for it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]
#![allow(clippy::print_stdout, reason = "what it took is for people to read")]

use std::collections::BTreeMap;
use std::time::Instant;

use e2e::{Output, Rehearsal};
use kafka::{Cluster, NewTopic, Settings};
use procfs::process::Process;
use serde_json::json;
use stack::{Options, Side};

const TOPICS: usize = 2_000;
const PARTITIONS: i32 = 5;
/// Topics to create in one request.
const AT_ONCE: usize = 50;
/// Memory that the function may take, in KiB.
const MEMORY_KIB: u64 = 512 * 1024;

fn topic(number: usize) -> NewTopic {
    // Small indexes: a broker maps two of them for each partition. Nothing expires, and every tenth topic is compacted.
    let policy = if number.is_multiple_of(10) { "compact" } else { "delete" };
    let configs = [("segment.index.bytes", "4096"), ("retention.ms", "-1"), ("cleanup.policy", policy)];
    let configs: BTreeMap<_, _> = configs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    NewTopic { name: format!("topic-{number:04}").into(), partitions: PARTITIONS, replication_factor: 1, configs }
}

async fn fill(source: &Cluster) {
    let begun = Instant::now();
    let topics: Vec<_> = (0..TOPICS).map(topic).collect();
    for some in topics.chunks(AT_ONCE) {
        for (_, outcome) in source.create_topics(some).await {
            // The answer of a busy controller may come too late, and the repeat finds what it had created.
            let repeated = |error: &kafka::Error| error.code() == Some(kafka::Code::TopicAlreadyExists);
            assert!(outcome.as_ref().err().is_none_or(repeated), "{outcome:?}");
        }
    }
    println!("created {TOPICS} topics with {} partitions in {:.1?}", TOPICS * PARTITIONS as usize, begun.elapsed());
}

/// Runs a verb and prints what it took.
async fn measured(rehearsal: &Rehearsal, verb: &str, flags: &[&str]) -> Output {
    // A cold start counts.
    rehearsal.stack.retire_idle_instances();
    let begun = Instant::now();
    let output = rehearsal.cli.ask(verb, flags).await.unwrap();
    let took = begun.elapsed();
    let processes = rehearsal.stack.processes();
    let (_, pid) = processes.iter().find(|(name, _)| name.starts_with("precheck")).unwrap();
    let status = Process::new(i32::try_from(*pid).unwrap()).unwrap().status().unwrap();
    let peak = status.vmhwm.unwrap();
    println!("{verb}: {took:.1?}, peak of the function's memory {} MiB", peak / 1024);
    assert!(peak < MEMORY_KIB, "{verb} took {peak} KiB");
    output
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_topics_are_prechecked_and_planned() {
    let name = "e2e-scale".to_owned();
    let options = Options { name, discard: true, broker_heap_mib: 1536, ..Options::default() };
    let rehearsal = Rehearsal::start(options, "unused").await.unwrap();
    let source = Cluster::connect(Settings::parse(&rehearsal.stack.source_bootstrap())).await.unwrap();
    fill(&source).await;

    let output = measured(&rehearsal, "precheck", &["--output", "json"]).await;
    let report = output.json().unwrap();
    let codes: Vec<_> = report["findings"].as_array().unwrap().iter().map(|finding| &finding["code"]).collect();
    // The local target is one kafka.m5.large by name, which is not made for 10,000 partitions.
    assert_eq!(codes, ["W07", "W19"], "{report:#}");
    assert!(report["findings"][0]["message"].as_str().unwrap().contains("200 topics of the source"), "{report:#}");

    let express = json!({"provisioned": {"brokerNodeGroupInfo": {"instanceType": "express.m7g.large"}}});
    rehearsal.stack.describe_with(Side::Target, express);
    let report = measured(&rehearsal, "precheck", &["--output", "json"]).await.json().unwrap();
    assert_eq!(report["findings"][0]["code"], "B20", "{report:#}");
    rehearsal.stack.describe_with(Side::Target, json!({}));

    let plan = measured(&rehearsal, "plan", &["--format", "json"]).await.ok().unwrap().json().unwrap();
    assert_eq!(plan["topics"].as_array().unwrap().len(), TOPICS);
    assert_eq!(plan["partitions_to_create"], TOPICS * PARTITIONS as usize);
    rehearsal.stack.stop().await.unwrap();
}
