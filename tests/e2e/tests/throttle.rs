//! How fast a migration copies, changed while it runs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::time::{Duration, Instant};

use e2e::{Cli, Rehearsal, config};
use serde_json::Value;
use stack::Options;

/// Bytes a second at which the copy would take hours.
const SLOW: &str = "100";
/// How long an unlimited seed of the same topic would have been over.
const LONG_ENOUGH: Duration = Duration::from_secs(5);
/// How long to wait for the seed to begin.
const PATIENCE: Duration = Duration::from_secs(60);

async fn status(cli: &Cli) -> Option<Value> {
    let status = cli.run("status", &["--output", "json"]).await.unwrap();
    // Before the first entry of the journal there is no such migration.
    (status.code == 0).then(|| status.json().unwrap())
}

async fn is_seeding(cli: &Cli) -> bool {
    status(cli).await.is_some_and(|status| status["phase"] == "seed")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttle_holds_the_copy_until_it_is_lifted() {
    let options = Options { name: "e2e-throttle".to_owned(), discard: true, quiet: true, ..Options::default() };
    let rehearsal = Rehearsal::start(options, "throttled").await.unwrap();
    rehearsal.java.load_topics(3, "0.3", &["orders"]).await.unwrap();
    let yaml = config::yaml(&rehearsal.stack) + &format!("    throttle:\n      bytes_per_second: {SLOW}\n");
    let path = config::write(&rehearsal.dir, "throttled.yaml", &yaml).unwrap();
    let cli = rehearsal.cli.clone().with(&path, "throttled");

    let execute = {
        let cli = cli.clone();
        tokio::spawn(async move { cli.run("execute", &[]).await })
    };
    let give_up = Instant::now() + PATIENCE;
    while !is_seeding(&cli).await {
        assert!(Instant::now() < give_up && !execute.is_finished(), "the seed did not begin");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(LONG_ENOUGH).await;
    assert!(is_seeding(&cli).await, "the throttle of the configuration does not hold");

    // Another limit of the same kind still holds it; no limit ends the wait, which is hours long by then.
    let changed = cli.run("throttle", &["--bytes-per-second", "200B"]).await.unwrap().ok().unwrap();
    assert!(changed.stdout.contains("200 B/s in all"), "{changed:?}");
    tokio::time::sleep(LONG_ENOUGH).await;
    assert!(is_seeding(&cli).await, "the changed throttle does not hold");
    let lifted = cli.run("throttle", &["--off"]).await.unwrap().ok().unwrap();
    assert!(lifted.stdout.contains("no limit"), "{lifted:?}");
    execute.await.unwrap().unwrap().ok().unwrap();

    for verb in ["cutover", "cutover-ack", "finalize"] {
        cli.run(verb, &[]).await.unwrap().ok().unwrap();
    }
    let (verdict, equal) = rehearsal.java.judge(&[]).await.unwrap();
    assert!(equal, "{verdict:#}");
    rehearsal.stack.stop().await.unwrap();
}
