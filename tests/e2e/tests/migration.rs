//! The whole migration with live clients, judged by tools that share no code with it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use e2e::{Live, Rehearsal};
use migration::Phase;
use serde_json::Value;
use stack::{Options, Side};

fn options(name: &str) -> Options {
    Options { name: name.to_owned(), discard: true, quiet: true, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_cluster_is_migrated_and_every_judge_agrees() {
    let rehearsal = Rehearsal::start(options("e2e-migration"), "e2e").await.unwrap();
    rehearsal.java.load_source(7, "0.3").await.unwrap();
    let live = Live::start(&rehearsal.stack, &rehearsal.java).await.unwrap();
    let cli = &rehearsal.cli;

    let plan = cli.ask("plan", &["--format", "json"]).await.unwrap().ok().unwrap().json().unwrap();
    assert_eq!(plan["topics"].as_array().unwrap().len(), 36);
    assert_eq!(plan["partitions_to_create"], 306);
    cli.ask("precheck", &[]).await.unwrap().ok().unwrap();
    cli.run("execute", &[]).await.unwrap().ok().unwrap();

    // The operator is awaited, and the tail goes on meanwhile.
    let waiting = cli.run("resume", &[]).await.unwrap();
    assert_eq!(waiting.code, 10, "{}", waiting.stderr);
    assert!(waiting.stderr.contains("next_command: msk-kraft cutover"), "{}", waiting.stderr);
    let early = cli.run("finalize", &[]).await.unwrap();
    assert_eq!(early.code, 1, "{}", early.stderr);

    rehearsal.cut_over(cli, &live).await.unwrap();
    let status = cli.run("status", &["--output", "json"]).await.unwrap().ok().unwrap().json().unwrap();
    assert_eq!(status["phase"], "finalized");
    group_is_where_kafkas_own_tool_sees_it(&rehearsal).await;

    let verdict = rehearsal.judge(live, true).await.unwrap();
    assert_eq!(verdict.bundle["validation"]["overall"].as_str().unwrap().split('_').next(), Some("PASSED"));
    let journal = &verdict.bundle["journal"];
    let expected: Vec<_> = Phase::ALL[..phases(journal).len()].iter().map(|phase| phase.name()).collect();
    assert_eq!(phases(journal), expected);
    mirrored_journal_has_the_documented_lines(&rehearsal);
    every_offset_is_translated_as_both_clusters_show(&rehearsal).await;
    rehearsal.stack.stop().await.unwrap();
}

fn phases(journal: &Value) -> Vec<&str> {
    journal.as_array().unwrap().iter().map(|event| event["to"].as_str().unwrap()).collect()
}

/// Kafka's own command line tool reads the group on the target.
async fn group_is_where_kafkas_own_tool_sees_it(rehearsal: &Rehearsal) {
    let target = rehearsal.stack.target_bootstrap();
    let args = ["--bootstrap-server", &target, "--describe", "--group", e2e::live::GROUP];
    let described = rehearsal.stack.kafka_tool(Side::Target, "ConsumerGroupCommand", &args).await.unwrap();
    assert!(described.contains(" orders "), "{described}");
}

/// The downloaded maps hold for every source offset: gaps of transactions and compaction, trimmed logs, sentinels.
async fn every_offset_is_translated_as_both_clusters_show(rehearsal: &Rehearsal) {
    let maps = rehearsal.dir.join("offsets");
    rehearsal.cli.run("offsets", &["--out-dir", maps.to_str().unwrap()]).await.unwrap().ok().unwrap();
    let (judged, right) = rehearsal.java.judge_offsets(&maps).await.unwrap();
    assert!(right, "{judged:#}");
    assert_eq!(judged["partitions"], 306);
    for kind in ["offsets_without_a_record", "partitions_with_a_log_start"] {
        assert!(judged[kind].as_u64().unwrap() > 0, "the source has nothing to prove with: {judged:#}");
    }
    let damaged = one_run_moved(&maps);
    let (judged, right) = rehearsal.java.judge_offsets(&damaged).await.unwrap();
    assert!(!right, "a wrong map passes: {judged:#}");
}

/// The map with most runs, one of which begins an offset later than it does; in a folder of its own.
fn one_run_moved(maps: &Path) -> PathBuf {
    let files = std::fs::read_dir(maps).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let map = files.max_by_key(|map| map.lines().count()).unwrap();
    let mut lines: Vec<String> = map.lines().map(str::to_owned).collect();
    let middle = lines.len() / 2;
    let mut fields: Vec<&str> = lines[middle].split(',').collect();
    let moved = (fields[2].parse::<i64>().unwrap() + 1).to_string();
    fields[2] = &moved;
    lines[middle] = fields.join(",");
    let folder = maps.with_extension("damaged");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("map.csv"), lines.join("\n")).unwrap();
    folder
}

fn mirrored_journal_has_the_documented_lines(rehearsal: &Rehearsal) {
    let path = rehearsal.dir.join("journal").join(rehearsal.id()).join("journal.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["from"], Value::Null);
    assert_eq!(lines.last().unwrap()["to"], "finalized");
    assert!(lines.iter().all(|line| line["at"].is_string() && line["reason"].is_string()));
}
