//! Somebody else writes to the target or deletes from the source while it is copied: that is noticed, and named.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use e2e::{Rehearsal, records};
use stack::{Options, Side, Weather};

use common::{load, numbered, partition};

fn options(name: &str) -> Options {
    Options { name: name.to_owned(), discard: true, quiet: true, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_record_or_a_loss_after_the_seed_stops_the_partition_and_the_cutover() {
    let rehearsal = Rehearsal::start(options("faults-unsafe-tail"), "unsafe-tail").await.unwrap();
    load(&rehearsal, &["ledger", "quiet"], 50).await;
    rehearsal.cli.run("execute", &[]).await.unwrap().ok().unwrap();
    a_foreign_record_stops_its_partition(&rehearsal).await;

    let refused = rehearsal.cli.run("cutover", &[]).await.unwrap();
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("ledger/0"), "{}", refused.stderr);
    let resumed = rehearsal.cli.run("resume", &[]).await.unwrap();
    assert!(resumed.code == 1 && resumed.stderr.contains("ledger/0"), "tried again:\n{}", resumed.stderr);

    a_loss_on_the_source_stops_its_partition(&rehearsal).await;
    rehearsal.stack.stop().await.unwrap();
}

async fn a_foreign_record_stops_its_partition(rehearsal: &Rehearsal) {
    let stack = &rehearsal.stack;
    records::write(stack, Side::Target, "ledger", ["from elsewhere".to_owned()].into_iter()).await.unwrap();
    for topic in ["ledger", "quiet"] {
        records::write(stack, Side::Source, topic, numbered(50..60)).await.unwrap();
    }
    let stopped = partition(rehearsal, "ledger", |ledger| ledger["stopped"].is_string()).await;
    let reason = stopped["stopped"].as_str().unwrap();
    assert!(reason.contains("somebody else writes to it") && reason.contains("ledger/0"), "{reason}");
    let quiet = partition(rehearsal, "quiet", |quiet| quiet["copied"] == 60).await;
    assert_eq!(quiet["stopped"], serde_json::Value::Null, "the others go on");
}

/// The migration has failed, so that nothing is copied until it is resumed.
async fn a_loss_on_the_source_stops_its_partition(rehearsal: &Rehearsal) {
    let stack = &rehearsal.stack;
    records::write(stack, Side::Source, "quiet", numbered(60..70)).await.unwrap();
    records::delete_before(stack, Side::Source, "quiet", 65).await.unwrap();
    let resumed = rehearsal.cli.run("resume", &[]).await.unwrap();
    assert_eq!(resumed.code, 1, "{}", resumed.stderr);
    let quiet = partition(rehearsal, "quiet", |quiet| quiet["stopped"].is_string()).await;
    let reason = quiet["stopped"].as_str().unwrap();
    assert!(reason.contains("offsets 60 to 65 are gone") && reason.contains("quiet/0"), "{reason}");
    assert_eq!(quiet["copied"], 60, "nothing behind the loss is copied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_record_during_the_seed_ends_the_migration() {
    let options = Options { linked: true, ..options("faults-unsafe-seed") };
    let rehearsal = Rehearsal::start(options, "foreign-seed").await.unwrap();
    let stack = &rehearsal.stack;
    load(&rehearsal, &["ledger"], 0).await;
    // Each longer than a batch: hundreds of requests, one after the other.
    let long = (0..400).map(|number| format!("{number} {}", "x".repeat(20_000)));
    records::write(stack, Side::Source, "ledger", long).await.unwrap();

    let narrow = Weather { bytes_per_second: Some(200_000), ..Weather::default() };
    let link = stack.cluster(Side::Target).link(1).unwrap();
    link.set(narrow);
    let cli = rehearsal.cli.clone();
    let executed = tokio::spawn(async move { cli.run("execute", &[]).await });
    // The topic is created first; records arrive in the seed.
    while records::end(stack, Side::Target, "ledger").await.unwrap_or(0) == 0 {}
    records::write(stack, Side::Target, "ledger", ["from elsewhere".to_owned()].into_iter()).await.unwrap();
    let end = records::end(stack, Side::Target, "ledger").await.unwrap();
    assert!(end < 400, "the seed was over before the foreign record: {end}");
    link.set(Weather::default());

    let executed = executed.await.unwrap().unwrap();
    assert_eq!(executed.code, 1, "{}\n{}", executed.stdout, executed.stderr);
    let said = format!("{}{}", executed.stdout, executed.stderr);
    assert!(said.contains("ledger/0") && said.contains("somebody else"), "{said}");
    rehearsal.stack.stop().await.unwrap();
}
