//! What the tests with small topics need.

use std::time::{Duration, Instant};

use e2e::{Rehearsal, records};
use serde_json::Value;
use stack::Side;

const PATIENCE: Duration = Duration::from_secs(120);

/// Numbered records.
pub(crate) fn numbered(range: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    range.map(|number| format!("entry {number}"))
}

/// Creates topics on the source, each with `count` records.
pub(crate) async fn load(rehearsal: &Rehearsal, topics: &[&str], count: u32) {
    for topic in topics {
        records::create(&rehearsal.stack, Side::Source, topic).await.unwrap();
        records::write(&rehearsal.stack, Side::Source, topic, numbered(0..count)).await.unwrap();
    }
}

/// What `status` says of partition 0 of a topic, once `holds` is true of it.
pub(crate) async fn partition(rehearsal: &Rehearsal, topic: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let output = rehearsal.cli.run("status", &["--output", "json"]).await.unwrap();
        let status = output.json().unwrap_or_default();
        let partitions = status["partitions"].as_array().into_iter().flatten();
        let found = partitions.into_iter().find(|partition| partition["topic"] == topic).cloned().unwrap_or_default();
        if holds(&found) {
            return found;
        }
        assert!(Instant::now() < until, "{topic} stays at {found}: {status:#}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
