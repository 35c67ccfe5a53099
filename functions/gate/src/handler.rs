//! Keeps the doors of a migration: lets executions in, arms and decides gates, and closes when one fails or is given up.

use journal::{Decision, Freeze, FreezeHow, GateName, Side, TailWanted, Verdict};
use migration::message::Caught;
use migration::{Error, MigrationId, Phase, Result, TopicPartition};
use runtime::gates::{self, Answered};
use runtime::{Budget, Host, Run, secrets};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::enter;
use crate::input::GateInput;
use crate::producers;

/// Answers one invocation.
///
/// # Errors
/// Invalid for a configuration that does not fit the run; Blocked for a door that is not there to be opened.
pub(crate) async fn handle(host: &Host, input: GateInput, _: Budget) -> Result<Value> {
    let id = input.migration_id().clone();
    let answer = match input {
        GateInput::Enter { migration_id, config } => enter::enter(host, &migration_id, config).await,
        GateInput::Open { migration_id, gate: GateName::Freeze, token } => {
            let begun = Instant::now();
            let run = host.load(&migration_id).await?;
            // A cutover would be refused; better before producers stop than after.
            runtime::run::refuse_stopped(&run.all_partitions().await?)?;
            run.journal.transition(Phase::Cutover, "the operator started the cutover").await?;
            run.journal.open(GateName::Freeze, &token, None).await?;
            freeze(&run, begun).await
        }
        GateInput::Open { migration_id, gate, token } => {
            host.journal(&migration_id).open(gate, &token, None).await?;
            Ok(json!({}))
        }
        GateInput::Decide { migration_id, gate, verdict, by, reason } => {
            let journal = host.journal(&migration_id);
            let Answered { gate, heard } =
                gates::decide(&host.aws, &journal, gate, &Decision { verdict, reason }, &by).await?;
            Ok(json!({"gate": gate.name, "attempt": gate.attempt, "heard": heard}))
        }
        GateInput::Switched { migration_id } => switched(&host.load(&migration_id).await?).await,
        GateInput::Rollback { migration_id, reason } => rollback(&host.load(&migration_id).await?, reason).await,
        GateInput::Fail { migration_id, cause } => fail(&host.load(&migration_id).await?, &cause).await,
    };
    answer.map_err(|error| error.in_run(&id))
}

/// Asks the webhook to freeze the producers and opens the gate when it says they are. Without a webhook, and when it
/// promises to acknowledge later, somebody else decides the gate.
async fn freeze(run: &Run<'_>, begun: Instant) -> Result<Value> {
    let Some(webhook) = secrets::webhook(&run.host().aws, &run.config.cutover).await? else {
        return Ok(json!({"frozen": "by operator"}));
    };
    // Producers may stop from the moment they are asked, so the freeze is measured from here.
    let last = run.journal.freeze_state().await?;
    let asked = producers::asked_at(run.journal.now(), last.as_ref().map(Freeze::current));
    run.journal.set_frozen(asked, FreezeHow::Webhook, "webhook").await?;
    let answer = producers::freeze(run, &webhook, asked, begun).await?;
    if answer == producers::Answer::Done {
        let decision = Decision { verdict: Verdict::Approve, reason: "the webhook froze the producers".to_owned() };
        gates::decide(&run.host().aws, &run.journal, GateName::Freeze, &decision, "webhook").await?;
    }
    Ok(json!({"frozen": "by webhook", "answer": answer.name()}))
}

/// Clients run against the target: producers may write there, and validation may begin.
async fn switched(run: &Run<'_>) -> Result<Value> {
    producers::unfreeze(run, Side::Target).await?;
    run.journal.transition(Phase::Validating, "operator confirmed client cutover").await?;
    Ok(json!({}))
}

/// Gives up: the target keeps what was copied, the source goes on as before. Repeated, it lets producers go that it could
/// not let go before.
async fn rollback(run: &Run<'_>, reason: Option<String>) -> Result<Value> {
    let reason = match reason {
        Some(reason) => reason,
        None => rejection(run).await?,
    };
    run.journal.transition(Phase::RolledBack, &reason).await?;
    run.journal.set_tail_wanted(TailWanted::Stop).await?;
    producers::unfreeze(run, Side::Source).await.map_err(|error| {
        by_hand(
            "the migration is rolled back, but producers are still FROZEN: roll back again, or let them go by hand",
            error,
        )
    })?;
    secrets::forget_at_end(&run.host().aws, &run.config).await;
    let evidence = run.host().evidence(&run.config, &run.id);
    let events = run.journal.events().await?;
    let given_up = events.iter().rfind(|event| event.to == Phase::RolledBack);
    let report = json!({
        "migration_id": run.id,
        "reason": given_up.map(|event| &event.reason),
        "rolled_back_from": given_up.map(|event| event.from),
        "left_on_target": "topics under their copy-time configs (no retention, no compaction), ACLs and records copied so \
                           far; delete them by hand",
        "stopped": stopped(run).await?,
        "changes": run.meta.facts.get(runtime::run::CHANGES),
        "journal": events,
    });
    evidence.put_json("rollback.json", &report).await?;
    Ok(json!({"report": evidence.url("rollback.json")}))
}

/// Why the operator rejected the cutover, as said there.
async fn rejection(run: &Run<'_>) -> Result<String> {
    let gate = run.journal.gate(GateName::Cutover).await?;
    let said = gate.and_then(|gate| gate.decision).filter(|decision| decision.verdict == Verdict::Reject);
    let said = said.map(|decision| decision.reason).filter(|reason| !reason.is_empty());
    Ok(said.unwrap_or_else(|| "rolled back by the operator".to_owned()))
}

/// The execution failed. Before the first commit on the target the source is still the truth, so producers go on there;
/// after it they stay frozen until somebody decides.
///
/// The phase changes first. A cutover function may still run although its state has failed, and once the migration is not
/// in cutover it can no longer pass the point of no return. The other way round it could commit offsets on the target while
/// producers, let go, write records to the source that nobody copies.
async fn fail(run: &Run<'_>, cause: &Caught) -> Result<Value> {
    run.journal.set_tail_wanted(TailWanted::Stop).await?;
    run.journal.fail(&cause.reason()).await?;
    // Read behind the change of phase, which fixes it.
    if !run.journal.meta().await?.committed {
        let unfrozen = producers::unfreeze(run, Side::Source).await;
        unfrozen.map_err(|error| by_hand("producers could NOT be unfrozen, do it by hand", error))?;
    }
    report_failure(run, cause).await.inspect_err(|error| tracing::warn!(%error, "no report of the failure"))
}

/// `error`, with what an operator has to know first.
fn by_hand(what: &str, error: Error) -> Error {
    Error { message: format!("{what}: {}", error.message), ..error }
}

/// Stores what is known of a failure beside the evidence, which only a finished migration has.
async fn report_failure(run: &Run<'_>, cause: &Caught) -> Result<Value> {
    let evidence = run.host().evidence(&run.config, &run.id);
    let report = json!({
        "migration_id": run.id,
        "failed_in": run.meta.phase,
        "at": run.journal.now(),
        "reason": cause.reason(),
        "stopped": stopped(run).await?,
        "changes": run.meta.facts.get(runtime::run::CHANGES),
    });
    evidence.put_json("failure.json", &report).await?;
    Ok(json!({"report": evidence.url("failure.json")}))
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

/// Names the migration for the errors of a door.
pub(crate) fn fingerprint_mismatch(id: &MigrationId, stored: &str, given: &str) -> Error {
    Error::invalid(format_args!(
        "resume fingerprint mismatch: migration {id} was started with fingerprint {stored}, this configuration has {given}. \
         The clusters, buckets and selected topics of a migration cannot change; use the configuration it was started with, or another id"
    ))
}
