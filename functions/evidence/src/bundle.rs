//! Everything that is known of a migration, as one JSON document.

use chrono::{DateTime, SecondsFormat, Utc};
use journal::{FreezePeriod, Gate, GateName};
use migration::Result;
use migration::config::AuthMode;
use migration::progress::{PartitionProgress, ReencodedCounts};
use runtime::{Run, Store};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{clusters, redact};
use evidence::KeyKind;

/// Version of the bundle's form.
const SCHEMA: u32 = 1;

/// Reports that the phases stored, by their names in the bundle.
const REPORTS: [(&str, &str); 6] = [
    ("precheck", "precheck/report.json"),
    ("topology", "topology/report.json"),
    ("topology_diff", "topology/diff.json"),
    ("changes", "topology/changes.json"),
    ("cutover", "cutover/report.json"),
    ("groups", "cutover/groups.json"),
];

/// The IAM policies that stand for the source's ACLs, where the target wants them.
const ACCESS_MAP: &str = "topology/access-map.json";

/// What was copied of one partition: the records of `[source_start, source_end)` that count are `[0, target_end)` on the
/// target.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Copied {
    topic: String,
    partition: i32,
    source_start: i64,
    source_end: i64,
    target_start: i64,
    target_end: i64,
    records: i64,
    bytes: i64,
    /// By reason.
    batches_reencoded: ReencodedCounts,
    stopped: Option<String>,
}

impl From<&PartitionProgress> for Copied {
    fn from(progress: &PartitionProgress) -> Self {
        Self {
            topic: progress.partition.topic.to_string(),
            partition: progress.partition.partition,
            source_start: progress.source_start,
            source_end: progress.source_next,
            target_start: 0,
            target_end: progress.target_next,
            records: progress.target_next,
            bytes: progress.bytes,
            batches_reencoded: progress.reencoded.clone(),
            stopped: progress.stopped.clone(),
        }
    }
}

/// Collects the bundle's text, with `validation` as the validation report. It is made once, since the signature is over
/// exactly these bytes.
///
/// # Errors
/// Transient when AWS could not be asked; Blocked when it refused, other than to describe a cluster.
pub(crate) async fn collect(run: &Run<'_>, validation: &Value, attempt: u32, key: KeyKind) -> Result<String> {
    let now = run.journal.now();
    let freeze = run.journal.freeze_state().await?;
    let copied = run.all_partitions().await?;
    let mut bundle = json!({
        "schema": SCHEMA,
        "tool": {"name": "msk-kraft", "version": env!("CARGO_PKG_VERSION")},
        "migration_id": run.id,
        "attempt": attempt,
        "created_at": text(now),
        "started_at": text(run.meta.created_at),
        "signing_key": key,
        "config": redact::config(&run.config),
        "fingerprint": run.meta.fingerprint,
        "clusters": clusters::both(&run.host().aws, &run.config).await?,
        "journal": run.journal.events().await?,
        "gates": gates(run).await?,
        "freezes": freeze.iter().flat_map(|freeze| freeze.periods()).map(|period| frozen(period, now)).collect::<Vec<_>>(),
        "copy": copy(&copied),
        "validation": validation,
    });
    if key == KeyKind::Demo {
        bundle["signing_key_note"] =
            json!("signed with the public demonstration key: this proves nothing about who signed");
    }
    let mut missing = Vec::new();
    for (name, object) in REPORTS {
        let report = report(&run.store, object).await?;
        if report.is_null() {
            missing.push(object);
        }
        bundle[name] = report;
    }
    bundle["missing_reports"] = json!(missing);
    if run.config.target.auth.mode == AuthMode::Iam {
        bundle["access_map"] = report(&run.store, ACCESS_MAP).await?;
    }
    Ok(bundle.to_string())
}

/// A report as it was stored; null when there is none, which the bundle says.
async fn report(store: &Store, name: &str) -> Result<Value> {
    let Some(object) = store.get(name).await? else {
        tracing::warn!(object = store.url(name), "the evidence lacks a report");
        return Ok(Value::Null);
    };
    serde_json::from_slice(&object.body)
        .map_err(|error| migration::Error::internal(format_args!("{} cannot be read: {error}", store.url(name))))
}

/// Who decided what, and when.
async fn gates(run: &Run<'_>) -> Result<Vec<Gate>> {
    let mut gates = Vec::new();
    for name in GateName::ALL {
        gates.extend(run.journal.gate(name).await?);
    }
    Ok(gates)
}

fn frozen(period: &FreezePeriod, now: DateTime<Utc>) -> Value {
    let mut value = json!(period);
    value["length_ms"] = json!(u64::try_from(period.length(now).as_millis()).unwrap_or(u64::MAX));
    value
}

fn copy(partitions: &[PartitionProgress]) -> Value {
    json!({
        "partitions_total": partitions.len(),
        "records_total": partitions.iter().map(|progress| progress.target_next).sum::<i64>(),
        "bytes_total": partitions.iter().map(|progress| progress.bytes).sum::<i64>(),
        "batches_reencoded_total": partitions.iter().map(|progress| &progress.reencoded).collect::<ReencodedCounts>(),
        "partitions": partitions.iter().map(Copied::from).collect::<Vec<_>>(),
    })
}

fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use journal::{FreezeHow, Side};
    use migration::TopicPartition;

    #[test]
    fn partitions_state_both_ranges_and_add_up() {
        let mut progress = PartitionProgress::new(TopicPartition::new("orders", 3), 100, 150);
        (progress.source_next, progress.target_next, progress.bytes) = (160, 55, 4096);
        progress.reencoded.add("holes", 2);
        let other = PartitionProgress::new(TopicPartition::new("orders", 4), 0, 0);
        let copy = copy(&[progress, other]);
        assert_eq!((&copy["records_total"], &copy["partitions_total"]), (&55.into(), &2.into()));
        let first = &copy["partitions"][0];
        assert_eq!((&first["source_start"], &first["source_end"]), (&100.into(), &160.into()));
        assert_eq!((&first["target_start"], &first["target_end"]), (&0.into(), &55.into()));
        assert_eq!((&first["batches_reencoded"], &first["stopped"]), (&json!({"holes": 2}), &Value::Null));
        assert_eq!(copy["batches_reencoded_total"], json!({"holes": 2}));
    }

    #[test]
    fn a_freeze_states_its_length() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let period = FreezePeriod {
            asked_at: at(40),
            reached: true,
            frozen_at: Some(at(100)),
            how: FreezeHow::Webhook,
            by: "ada".into(),
            unfrozen_at: Some(at(142)),
            towards: Some(Side::Target),
        };
        let value = frozen(&period, at(9999));
        assert_eq!((&value["length_ms"], &value["towards"]), (&42_000.into(), &"target".into()));
    }
}
