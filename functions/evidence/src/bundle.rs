//! Everything that is known of a migration, as one JSON document.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use documents::{CutoverPlan, Document, late, late_append, rehearsal};
use journal::{Acceptance, FreezePeriod, Gate, GateName};
use migration::config::AuthMode;
use migration::progress::{Gaps, PartitionProgress, ReencodedCounts};
use migration::{Error, Result};
use runtime::{Run, Store};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::{clusters, redact};
use evidence::KeyKind;

/// Version of the bundle's form.
const SCHEMA: u32 = 2;

/// Variable in which a deployment says what it is made of: a summary of the packages' `manifest.json`.
const PACKAGE: &str = "MSK_KRAFT_PACKAGE";

/// Reports that the phases stored, by their names in the bundle.
const REPORTS: [(&str, &str); 5] = [
    ("precheck", "precheck/report.json"),
    ("topology", "topology/report.json"),
    ("topology_diff", "topology/diff.json"),
    ("changes", "topology/changes.json"),
    ("cutover", "cutover/report.json"),
];

/// The IAM policies that stand for the source's ACLs, where the target wants them.
const ACCESS_MAP: &str = "topology/access-map.json";

/// The fields of the bundle. What was stored stays as it was, to the byte, and needs no memory for a tree.
#[derive(Default, Serialize)]
#[serde(transparent)]
struct Bundle(BTreeMap<&'static str, Box<RawValue>>);

impl Bundle {
    fn put<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
        let value = to_raw_value(value).map_err(|error| unusable(name, &error))?;
        self.0.insert(name, value);
        Ok(())
    }

    fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| unusable("the bundle", &error))
    }
}

fn unusable(what: &str, error: &serde_json::Error) -> Error {
    Error::internal(format_args!("{what} cannot be written into the evidence: {error}"))
}

/// The cutover's plan as the bundle holds it: its groups have a field of their own.
#[derive(Debug, Serialize, Deserialize)]
struct Plan<'a> {
    #[serde(default, skip_serializing)]
    schema: Option<u32>,
    made_at: String,
    rehearsal: String,
    #[serde(borrow)]
    ends: &'a RawValue,
    #[serde(borrow, skip_serializing)]
    groups: &'a RawValue,
    #[serde(borrow)]
    settings: &'a RawValue,
    #[serde(borrow)]
    warnings: &'a RawValue,
}

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
    /// Source offsets that were deleted before they were copied.
    gaps: Gaps,
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
            gaps: progress.gaps.clone(),
            stopped: progress.stopped.clone(),
        }
    }
}

/// The program, with the version, the commit and the hashes of the functions' packages where the deployment says them.
fn tool(package: Option<&str>) -> Value {
    let package: Option<Value> = package.and_then(|package| serde_json::from_str(package).ok());
    json!({"name": "msk-kraft", "version": env!("CARGO_PKG_VERSION"), "package": package})
}

/// Collects the bundle's text, with `validation` as the validation report. It is made once, since the signature is over
/// exactly these bytes.
///
/// # Errors
/// Transient when AWS could not be asked; Blocked when it refused, other than to describe a cluster.
pub(crate) async fn collect(
    run: &Run<'_>,
    validation: &RawValue,
    acceptances: &[Acceptance],
    attempt: u32,
    key: KeyKind,
) -> Result<String> {
    let now = run.journal.now();
    let freeze = run.journal.freeze_state().await?;
    let freezes: Vec<_> = freeze.iter().flat_map(|freeze| freeze.periods()).map(|period| frozen(period, now)).collect();
    let mut bundle = Bundle::default();
    bundle.put("schema", &SCHEMA)?;
    bundle.put("tool", &tool(std::env::var(PACKAGE).ok().as_deref()))?;
    bundle.put("migration_id", &run.id)?;
    bundle.put("attempt", &attempt)?;
    bundle.put("created_at", &text(now))?;
    bundle.put("started_at", &text(run.meta.created_at))?;
    bundle.put("signing_key", &key)?;
    if key == KeyKind::Demo {
        let note = "signed with the public demonstration key: this proves nothing about who signed";
        bundle.put("signing_key_note", &note)?;
    }
    bundle.put("config", &redact::config(&run.config))?;
    bundle.put("fingerprint", &run.meta.fingerprint)?;
    bundle.put("clusters", &clusters::both(&run.host().aws, &run.config).await?)?;
    bundle.put("journal", &run.journal.events().await?)?;
    bundle.put("gates", &gates(run).await?)?;
    bundle.put("freezes", &freezes)?;
    if let Some(stored) = run.journal.write_fence().await? {
        bundle.put("write_fence", &stored.fence)?;
    }
    bundle.put("copy", &copy(&run.all_partitions().await?))?;
    bundle.put("validation", validation)?;
    bundle.put("acceptances", acceptances)?;
    let mut missing = Vec::new();
    for (name, object) in REPORTS {
        put_report(&mut bundle, &run.store, name, object, &mut missing).await?;
    }
    put_plan(&mut bundle, run, &mut missing).await?;
    // There is one only when somebody has looked behind the fence.
    bundle.put("late", &report(&run.store, late::KEY).await?)?;
    bundle.put("late_appends", &late_append::all(&run.store).await?)?;
    if run.config.target.auth.mode == AuthMode::Iam {
        put_report(&mut bundle, &run.store, "access_map", ACCESS_MAP, &mut missing).await?;
    }
    bundle.put("missing_reports", &missing)?;
    bundle.text()
}

/// The plan that the cutover carried out, its groups, and the rehearsal that was approved for it.
async fn put_plan(bundle: &mut Bundle, run: &Run<'_>, missing: &mut Vec<String>) -> Result<()> {
    let key = run.meta.plan.as_deref().unwrap_or_default();
    let plan = if key.is_empty() { None } else { report(&run.store, key).await? };
    let Some(plan) = plan else {
        for name in ["cutover_plan", "groups", "rehearsal"] {
            bundle.put(name, &Value::Null)?;
        }
        missing.push(CutoverPlan::NAME.to_owned());
        return Ok(());
    };
    let unreadable = |error| Error::internal(format_args!("{} cannot be read: {error}", run.store.url(key)));
    let plan: Plan<'_> = serde_json::from_str(plan.get()).map_err(unreadable)?;
    if plan.schema.is_some_and(|schema| schema > CutoverPlan::VERSION) {
        let url = run.store.url(key);
        return Err(Error::invalid(format_args!("{url} was written by a newer version of msk-kraft: go on with that")));
    }
    bundle.put("cutover_plan", &plan)?;
    bundle.put("groups", plan.groups)?;
    put_report(bundle, &run.store, "rehearsal", &rehearsal::key(&plan.rehearsal), missing).await
}

/// Puts a report in as it was stored; null when there is none, which `missing` then says.
async fn put_report(
    bundle: &mut Bundle,
    store: &Store,
    name: &'static str,
    object: &str,
    missing: &mut Vec<String>,
) -> Result<()> {
    let report = report(store, object).await?;
    if report.is_none() {
        tracing::warn!(object = store.url(object), "the evidence lacks a report");
        missing.push(object.to_owned());
    }
    bundle.put(name, &report)
}

/// A report as it was stored.
async fn report(store: &Store, name: &str) -> Result<Option<Box<RawValue>>> {
    let Some(object) = store.get(name).await? else { return Ok(None) };
    let report = serde_json::from_slice(&object.body);
    report.map(Some).map_err(|error| Error::internal(format_args!("{} cannot be read: {error}", store.url(name))))
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
        "gap_offsets_total": partitions.iter().map(|progress| progress.gaps.offsets).sum::<i64>(),
        "partitions": partitions.iter().map(Copied::from).collect::<Vec<_>>(),
    })
}

fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_packages_are_named_where_the_deployment_says_them() {
        let tool = super::tool(Some(r#"{"version":"0.1.0+abc","functions":{"gate":"00ff"}}"#));
        assert_eq!(tool["package"]["functions"]["gate"], "00ff");
        assert!(super::tool(None)["package"].is_null());
    }

    use super::*;
    use documents::cutover_plan::GroupPlan;
    use documents::settings::Settings;
    use journal::{FreezeHow, Side};
    use migration::TopicPartition;
    use migration::progress::Gap;

    #[test]
    fn partitions_state_both_ranges_and_add_up() {
        let mut progress = PartitionProgress::new(TopicPartition::new("orders", 3), 100, 150);
        (progress.source_next, progress.target_next, progress.bytes) = (160, 55, 4096);
        progress.reencoded.add("holes", 2);
        progress.gaps.add(&Gap { from: 110, to: 117, at: "then".to_owned() }, 110);
        let other = PartitionProgress::new(TopicPartition::new("orders", 4), 0, 0);
        let copy = copy(&[progress, other]);
        assert_eq!((&copy["records_total"], &copy["partitions_total"]), (&55.into(), &2.into()));
        let first = &copy["partitions"][0];
        assert_eq!((&first["source_start"], &first["source_end"]), (&100.into(), &160.into()));
        assert_eq!((&first["target_start"], &first["target_end"]), (&0.into(), &55.into()));
        assert_eq!((&first["batches_reencoded"], &first["stopped"]), (&json!({"holes": 2}), &Value::Null));
        assert_eq!(copy["batches_reencoded_total"], json!({"holes": 2}));
        let gap = json!({"from": 110, "to": 117, "at": "then"});
        assert_eq!(first["gaps"], json!({"offsets": 7, "count": 1, "last": [gap]}));
        assert_eq!((&copy["gap_offsets_total"], &copy["partitions"][1]["gaps"]["offsets"]), (&7.into(), &0.into()));
    }

    #[test]
    fn what_was_stored_stays_as_it_was_and_the_fields_are_in_order() {
        let mut bundle = Bundle::default();
        let stored: Box<RawValue> = serde_json::from_str("{ \"b\": 1.50,\n \"a\": \"\\u00e4\" }").unwrap();
        bundle.put("z", &stored).unwrap();
        bundle.put("a", &Option::<Box<RawValue>>::None).unwrap();
        assert_eq!(bundle.text().unwrap(), "{\"a\":null,\"z\":{ \"b\": 1.50,\n \"a\": \"\\u00e4\" }}");
    }

    #[test]
    fn a_plan_is_read_as_the_cutover_stores_it() {
        let plan = CutoverPlan {
            made_at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            rehearsal: "r-7".to_owned(),
            ends: Vec::new(),
            groups: vec![GroupPlan::skipped("g", "why")],
            settings: Settings::default(),
            warnings: vec!["w".to_owned()],
        };
        let stored = documents::document::encode(&plan).unwrap();
        let read: Plan<'_> = serde_json::from_slice(&stored).unwrap();
        assert_eq!((read.schema, read.rehearsal.as_str()), (Some(CutoverPlan::VERSION), "r-7"));
        let groups: Value = serde_json::from_str(read.groups.get()).unwrap();
        assert_eq!(groups[0]["group"], "g");
        let json = serde_json::to_value(&read).unwrap();
        assert_eq!((&json["warnings"], json.get("groups")), (&json!(["w"]), None));
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
            by_hand: None,
        };
        let value = frozen(&period, at(9999));
        assert_eq!((&value["length_ms"], &value["towards"]), (&42_000.into(), &"target".into()));
    }
}
