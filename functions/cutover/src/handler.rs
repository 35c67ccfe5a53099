//! The cutover, while producers are frozen.
//!
//! Everything up to [`Journal::mark_committed`](journal::Journal::mark_committed) can be given up and is repeated from
//! the start; everything behind it is completed from what was stored, however often that takes.

use std::collections::BTreeSet;

use futures::TryFutureExt as _;
use journal::TailWanted;
use kafka::Cluster;
use migration::message::PhaseInput;
use migration::{Error, MigrationId, Phase, Result};
use runtime::{Budget, Host, Run};
use serde_json::{Value, json};
use telemetry::metrics;
use topology::{Manifest, changes, gone, lockout, transactions};

use crate::clock::{FreezeClock, Steps};
use crate::{commit, drain, fence, finish, groups, sentinels, settings};

/// Where the cutover's account is kept in the run's store.
const REPORT: &str = "cutover/report.json";

/// Answers one invocation.
///
/// # Errors
/// Deadline when the freeze would last too long, Unsafe when a producer goes on writing or the target lost records,
/// Blocked when the freeze is not on record. Before the first commit nothing on the target has changed.
pub(crate) async fn handle(host: &Host, input: PhaseInput, _: Budget) -> Result<Value> {
    let id = input.migration_id;
    cutover(host, &id).await.map_err(|error| error.in_run(&id).in_phase(Phase::Cutover))
}

async fn cutover(host: &Host, id: &MigrationId) -> Result<Value> {
    let run = host.load(id).await?;
    if run.meta.phase == Phase::AwaitingClientSwitch {
        return Ok(json!({"already": "cut over"}));
    }
    if run.meta.phase != Phase::Cutover {
        return Err(Error::blocked(format_args!("the migration is in phase {}, not in cutover", run.meta.phase)));
    }
    let mut steps = Steps::default();
    if !run.meta.committed {
        let (lease, _) = run.journal.claim_cutover().await?;
        prepare(&run, &mut steps).await?;
        // The point of no return.
        run.journal.mark_committed(&lease, groups::STORED).await?;
    }
    complete(&run, steps).await
}

/// Everything that can still be given up: proves the fence, drains to the sentinels and translates every offset.
async fn prepare(run: &Run<'_>, steps: &mut Steps) -> Result<()> {
    let clock = FreezeClock::start(run).await?;
    let (source, target) = tokio::try_join!(run.source(), run.target())?;
    let partitions = run.all_partitions().await?;
    runtime::run::refuse_stopped(&partitions)?;
    topology::refuse_uncopied(&source, &run.config.topology, &partitions).await?;
    steps.time("look for changes", look_for_changes(run, &source)).await?;
    let names: Vec<_> = partitions.iter().map(|progress| progress.partition.clone()).collect();
    // Listed again when they stand still. That they can be listed is known before anything is written.
    steps.time("list groups", source.list_groups().map_err(Error::from)).await?;

    steps.time("decide configs, quotas and ACLs", settings::decide(run, &source, &target)).await?;
    let topics: BTreeSet<_> = names.iter().map(|partition| &partition.topic).collect();
    steps.time("check permissions", lockout::refuse(run, &target, topics.into_iter())).await?;
    steps.time("prove the fence", fence::prove(&source, &names, &clock)).await?;
    let sentinels = steps.time("publish sentinels", sentinels::publish(run, &source, &names)).await?;
    let drained = steps.time("drain", drain::to_sentinels(run, &sentinels, &clock)).await?;
    // The tail copies on, so that a repeat of all this finds its own sentinels copied too.
    steps.time("fence still holds", fence::holds(&source, &sentinels)).await?;
    steps.time("log start guard", drain::log_start_guard(&target, &drained)).await?;
    let groups = steps.time("translate groups", groups::translate(run, &source, &target, &drained)).await?;
    clock.check("the first commit on the target")?;
    if is_overtaken(run).await? {
        return Ok(());
    }
    run.store.put_json(sentinels::STORED, &sentinels).await?;
    run.store.put_json(groups::STORED, &groups).await
}

/// Whether another invocation passed the point of no return, or another cutover began: then what that one stored counts.
async fn is_overtaken(run: &Run<'_>) -> Result<bool> {
    let now = run.journal.meta().await?;
    Ok(now.committed || now.version != run.meta.version)
}

/// Records what changed on the source up to now, and refuses what the drain would have waited for.
async fn look_for_changes(run: &Run<'_>, source: &Cluster) -> Result<()> {
    let manifest = Manifest::load(run).await?;
    gone::refuse(run, source, &manifest).await?;
    let found = changes::survey(run, source, &manifest, &run.dealt_partitions().await?).await?;
    found.record(run).await?;
    transactions::refuse_hanging(&found.transactions, &found.source)
}

/// Commits what was translated, reads it back, and gives the topics their own configs.
async fn complete(run: &Run<'_>, mut steps: Steps) -> Result<Value> {
    run.journal.set_tail_wanted(TailWanted::Stop).await?;
    let target = run.target().await?;
    let groups: Vec<groups::Group> = run.store.get_json(groups::STORED).await?;
    let committed = steps.time("commit and read back", commit::commit(&target, &groups)).await?;
    let finished = steps.time("configs and quotas", finish::finish(run, &target)).await?;

    let ready_at = run.journal.now();
    let frozen_at = run.journal.freeze_state().await?.and_then(|freeze| freeze.current().frozen_at);
    let freeze_ms = frozen_at.map_or(0, |at| (ready_at - at).num_milliseconds().max(0));
    let warnings: Vec<_> = groups.iter().filter_map(groups::Group::warning).chain(finished.warnings.clone()).collect();
    let partitions = run.all_partitions().await?;
    let ends: Vec<_> = partitions
        .iter()
        .map(|p| {
            json!({
                "topic": p.partition.topic,
                "partition": p.partition.partition,
                "source_end": p.source_next,
                "target_end": p.target_next,
            })
        })
        .collect();
    let report = json!({
        "groups_translated": committed.groups,
        "offsets_committed": committed.offsets,
        "topics_reconfigured": finished.topics_reconfigured,
        "quotas_set": finished.quotas_set,
        "acls_created": finished.acls_created,
        "warnings": warnings,
        "frozen_at": frozen_at,
        "ready_at": ready_at,
        "freeze_ms": freeze_ms,
        "steps": steps,
        "ends": ends,
    });
    run.store.put_json(REPORT, &report).await?;
    metrics::emit(Phase::Cutover.name(), run.id.as_str(), &[(metrics::FREEZE_MILLIS, freeze_ms as f64)]);
    let reason = format!(
        "READY_FOR_CLIENT_SWITCH: groups_translated={} offsets_committed={} warnings={}",
        committed.groups,
        committed.offsets,
        warnings.len()
    );
    run.journal.transition(Phase::AwaitingClientSwitch, &reason).await?;
    Ok(json!({"groups_translated": committed.groups, "offsets_committed": committed.offsets, "freeze_ms": freeze_ms}))
}
