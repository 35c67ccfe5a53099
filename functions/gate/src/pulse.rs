//! Once a minute, whatever else runs: announces what became of every migration, and measures what only shows when nothing
//! happens.
//!
//! A schedule invokes it, so that a migration whose functions have all died is noticed like any other. What is announced
//! comes from the journal and is remembered there: nothing is lost when an announcement fails, and nothing of it stands in a
//! migration's way. After a crash between both an announcement may come twice.

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use chrono::{DateTime, Utc};
use deployment::notice;
use journal::{Announced, Event, Gate, GateName, GateState, Heartbeat, Meta, Registered, TailWanted};
use migration::{Error, Phase, Result};
use runtime::aws::sdk_error;
use runtime::{Host, Run};
use serde_json::{Value, json};
use telemetry::metrics;

/// Most entries of a call (<https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>).
const ENTRIES: usize = 10;

/// Goes through all migrations that are not over. One that cannot be read or announced does not keep the others from it.
///
/// # Errors
/// Those of the journal when it cannot be listed; otherwise, when all were tried, the first one's.
pub(crate) async fn pulse(host: &Host) -> Result<Value> {
    let any = "pulse".parse()?;
    let registered = host.journal(&any).registered().await.map_err(|mut error| {
        error.context.run = None;
        error
    })?;
    let (mut looked_at, mut failed) = (0, None);
    for registered in registered.into_iter().filter(|registered| !registered.announced.over) {
        looked_at += 1;
        let id = registered.run.clone();
        if let Err(error) = look(host, registered).await {
            tracing::warn!(migration = %id, kind = error.kind.name(), "not announced: {}", error.message);
            failed.get_or_insert(error.in_run(&id));
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(json!({"migrations": looked_at})),
    }
}

async fn look(host: &Host, registered: Registered) -> Result<()> {
    let run = host.load(&registered.run).await?;
    let announced = registered.announced.of(&run.meta);
    let events = run.journal.events().await?;
    let gate = waiting(&run).await?;
    measure(&run, events.last()).await?;
    let gate_name = gate.as_ref().map(|gate| format!("{}/{}", gate.name, gate.attempt)).unwrap_or_default();
    let new: Vec<_> = events.iter().filter(|event| event.number > announced.event).collect();
    let mut entries: Vec<_> = new.iter().map(|event| (notice::PHASE_CHANGED, changed(&run, event))).collect();
    if let Some(gate) = gate.filter(|_| gate_name != announced.gate) {
        entries.push((notice::WAITS, waits(&run, &gate)));
    }
    announce(host, &entries).await?;
    let now = Announced {
        event: events.last().map_or(0, |event| event.number),
        gate: gate_name,
        over: run.meta.phase.is_terminal(),
        ..announced.clone()
    };
    if now != announced || !entries.is_empty() {
        run.journal.set_announced(&now).await?;
    }
    Ok(())
}

/// The gate that the migration waits at.
async fn waiting(run: &Run<'_>) -> Result<Option<Gate>> {
    let Some(name) = GateName::ALL.into_iter().find(|gate| gate.phase() == run.meta.phase) else { return Ok(None) };
    Ok(run.journal.gate(name).await?.filter(|gate| gate.state == GateState::Open))
}

/// What shows only when nothing happens: how long the migration has been in its phase, and how old the oldest sign of life is.
async fn measure(run: &Run<'_>, last: Option<&Event>) -> Result<()> {
    let now = run.journal.now();
    let mut values = Vec::new();
    if let Some(event) = last.filter(|_| !run.meta.phase.is_terminal()) {
        values.push((metrics::PHASE_AGE, seconds(now, event.at)));
    }
    if let Some(oldest) = oldest_beat(run).await? {
        values.push((metrics::HEARTBEAT_AGE, seconds(now, oldest)));
    }
    if !values.is_empty() {
        metrics::emit(run.meta.phase.name(), run.id.as_str(), &values);
    }
    Ok(())
}

/// When the batch that was not heard of for longest was last heard of, while functions should be copying. A batch that never
/// was counts from the creation of the run.
async fn oldest_beat(run: &Run<'_>) -> Result<Option<DateTime<Utc>>> {
    let Meta { phase, facts, created_at, .. } = &run.meta;
    let copies = matches!(phase, Phase::Tail | Phase::DrainReady) && facts.contains_key("batches");
    if !copies || run.journal.tail_wanted().await? == TailWanted::Stop {
        return Ok(None);
    }
    let beats = run.journal.heartbeats(run.batches()?).await?;
    let last = |beat: Option<Heartbeat>| beat.and_then(|beat| beat.at).unwrap_or(*created_at);
    Ok(beats.into_iter().map(|(_, beat)| last(beat)).min())
}

fn seconds(now: DateTime<Utc>, then: DateTime<Utc>) -> f64 {
    (now - then).num_milliseconds().max(0) as f64 / 1_000.0
}

fn changed(run: &Run<'_>, event: &Event) -> Value {
    json!({
        "deployment": metrics::deployment(),
        "migration_id": run.id,
        "number": event.number,
        "from": event.from,
        "to": event.to,
        "at": journal::timestamp(event.at),
        "reason": event.reason,
    })
}

fn waits(run: &Run<'_>, gate: &Gate) -> Value {
    json!({
        "deployment": metrics::deployment(),
        "migration_id": run.id,
        "phase": run.meta.phase,
        "gate": gate.name,
        "attempt": gate.attempt,
        "since": journal::timestamp(gate.opened_at),
        "command": format!("msk-kraft {} --migration-id {}", command(gate.name), run.id),
    })
}

/// The verb by which an operator lets the migration through.
const fn command(gate: GateName) -> &'static str {
    match gate {
        GateName::Cutover => "cutover",
        GateName::Freeze => "ack freeze",
        GateName::ClientSwitch => "cutover-ack",
        GateName::Finalize => "finalize",
    }
}

/// Puts events on the account's default bus.
async fn announce(host: &Host, entries: &[(&str, Value)]) -> Result<()> {
    let client = aws_sdk_eventbridge::Client::new(host.aws.config());
    for some in entries.chunks(ENTRIES) {
        let some = some.iter().map(|(kind, detail)| {
            PutEventsRequestEntry::builder()
                .source(notice::SOURCE)
                .detail_type(*kind)
                .detail(detail.to_string())
                .build()
        });
        let answer = client.put_events().set_entries(Some(some.collect())).send().await;
        let answer = answer.map_err(|error| sdk_error("announce what became of a migration", &error))?;
        if answer.failed_entry_count > 0 {
            let code = answer.entries().iter().find_map(|entry| entry.error_code()).unwrap_or("unknown");
            return Err(Error::transient(format_args!(
                "EventBridge did not take {} events: {code}",
                answer.failed_entry_count
            )));
        }
    }
    Ok(())
}
