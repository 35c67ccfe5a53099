//! What several unit tests start from.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use journal::{Event, Meta};
use migration::progress::PartitionProgress;
use migration::{Config, Phase, TopicPartition};

/// A configuration without a freeze webhook.
pub(crate) fn config() -> Config {
    let text = "
enterprise:
  msk_kraft_migration:
    source: {cluster_arn: 'arn:aws:kafka:us-east-1:123456789012:cluster/old/abc-1', auth: {mode: plaintext}}
    target: {cluster_arn: 'arn:aws:kafka:us-east-1:123456789012:cluster/new/def-2', auth: {mode: plaintext}}
    backup: {s3_bucket: segments, s3_prefix: runs/}
    evidence: {s3_bucket: evidence, s3_prefix: runs/}
";
    Config::from_yaml(text, |_| None).unwrap()
}

/// When the test migrations begin.
pub(crate) fn start() -> DateTime<Utc> {
    "2026-04-25T06:15:06.445707Z".parse().unwrap()
}

/// The events of a migration without trouble up to `phase`, one each second.
pub(crate) fn way(phase: Phase) -> Vec<Event> {
    let phases = Phase::ALL.into_iter().take_while(|passed| *passed <= phase).enumerate();
    let event = |(n, to): (usize, Phase)| Event {
        number: n as u64 + 1,
        from: n.checked_sub(1).map(|before| Phase::ALL[before]),
        to,
        at: start() + TimeDelta::seconds(n as i64),
        reason: String::new(),
    };
    phases.map(event).collect()
}

/// A run in `phase`.
pub(crate) fn meta(phase: Phase) -> Meta {
    Meta {
        phase,
        version: 1,
        config: config().to_json(),
        fingerprint: config().fingerprint(),
        created_at: start(),
        producer: None,
        failed_in: None,
        committed: false,
        plan: None,
        cutover_epoch: 0,
        late_epoch: 0,
        executions: 1,
        facts: BTreeMap::new(),
    }
}

/// Partition `partition` of `topic`, copied up to `next` of `end` records.
pub(crate) fn partition(topic: &str, partition: i32, next: i64, end: i64) -> PartitionProgress {
    let mut progress = PartitionProgress::new(TopicPartition::new(topic, partition), 0, end);
    (progress.source_next, progress.target_next, progress.bytes) = (next, next, next * 100);
    progress
}
