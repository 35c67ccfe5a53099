//! What is stored of a migration that did not come to its end, beside the evidence that only a finished one has.

use journal::{Event, WebhookCalls};
use migration::{Phase, Result, TopicPartition};
use runtime::Run;
use serde_json::{Value, json};

/// Stores what is known of a failure, and returns where.
///
/// # Errors
/// Those of the journal and of the bucket.
pub(crate) async fn failure(run: &Run<'_>, reason: &str) -> Result<Value> {
    let evidence = run.host().evidence(&run.config, &run.id);
    let report = json!({
        "migration_id": run.id,
        "failed_in": run.meta.phase,
        "at": run.journal.now(),
        "reason": reason,
        "stopped": stopped(run).await?,
        "changes": run.meta.facts.get(runtime::run::CHANGES),
        "webhooks": calls(run).await?,
    });
    evidence.put_json("failure.json", &report).await?;
    Ok(json!({"report": evidence.url("failure.json")}))
}

/// Stores what is known of a migration that was given up, and returns where.
///
/// # Errors
/// Those of the journal and of the bucket.
pub(crate) async fn rollback(run: &Run<'_>) -> Result<Value> {
    let evidence = run.host().evidence(&run.config, &run.id);
    let events = run.journal.events().await?;
    let given_up: Option<&Event> = events.iter().rfind(|event| event.to == Phase::RolledBack);
    let report = json!({
        "migration_id": run.id,
        "reason": given_up.map(|event| &event.reason),
        "rolled_back_from": given_up.map(|event| event.from),
        "left_on_target": "topics under their copy-time configs (no retention, no compaction), ACLs and records copied so \
                           far; delete them by hand",
        "stopped": stopped(run).await?,
        "changes": run.meta.facts.get(runtime::run::CHANGES),
        "webhooks": calls(run).await?,
        "journal": events,
    });
    evidence.put_json("rollback.json", &report).await?;
    Ok(json!({"report": evidence.url("rollback.json")}))
}

/// The calls of webhooks; nothing when none was made.
async fn calls(run: &Run<'_>) -> Result<Option<WebhookCalls>> {
    Ok(Some(run.journal.webhook_calls().await?).filter(|calls| !calls.calls.is_empty()))
}

/// Partitions that stopped, with the source offset up to which they are copied and the reason.
async fn stopped(run: &Run<'_>) -> Result<Vec<Value>> {
    if !run.meta.facts.contains_key("batches") {
        return Ok(Vec::new());
    }
    let stopped = run.all_partitions().await?.into_iter().filter_map(|progress| {
        let reason = progress.stopped?;
        let TopicPartition { topic, partition } = progress.partition;
        Some(json!({"topic": topic, "partition": partition, "offset": progress.source_next, "reason": reason}))
    });
    Ok(stopped.collect())
}
