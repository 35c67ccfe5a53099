//! Creates on the target what the source has: topics, ACLs, and the manifest of partition batches to copy.

use journal::ProducerId;
use kafka::{AclBinding, Cluster};
use migration::{Error, Phase, Result};
use runtime::{Budget, Host, Run};
use serde_json::{Value, json};
use topology::defaults::TargetDefaults;
use topology::final_configs::OfTarget;
use topology::{
    Acls, Diff, FinalConfigs, Inventory, KnownConfigs, Manifest, Quotas, TargetState, Topics, acl_copy, create,
    existing, lockout,
};

use crate::input::{Input, Op};
use crate::report::{Brought, Report};
use crate::{drift, restart};

/// Answers one invocation. Running it again changes nothing that is there.
///
/// # Errors
/// Blocked when the target has something else under a topic's name; otherwise what the clusters and AWS give.
pub(crate) async fn handle(host: &Host, input: Input, budget: Budget) -> Result<Value> {
    let Input { migration_id: id, op, config, apply } = input;
    match op {
        Op::Copy => copy_topology(host, &id).await.map_err(|error| error.in_run(&id).in_phase(Phase::TopologyCopy)),
        Op::Restart => {
            let answer = restart::restart(host, &id, config.as_ref(), apply, budget).await;
            Ok(json!(answer.map_err(|error| error.in_run(&id))?))
        }
    }
}

async fn copy_topology(host: &Host, id: &migration::MigrationId) -> Result<Value> {
    let run = host.load(id).await?;
    if run.meta.phase == Phase::Seed {
        // The answer of an invocation that went through was lost.
        return Ok(json!({"already": "copied"}));
    }
    run.journal.transition(Phase::TopologyCopy, "").await?;
    let (source, target) = tokio::try_join!(run.source(), run.target())?;
    let wanted = topology::to_be_copied(&source, &run.config.topology).await?;
    let brought = bring_over(&run, &source, &target, wanted).await?;
    adopt_producer(&run, &target).await?;
    let topics = &brought.wanted.topics;
    let batches = Manifest::begin(&run, &source, topics).await?.publish(&run).await?;
    let (count, partitions) = (topics.len(), topics.values().map(|topic| topic.info.partitions.len()).sum::<usize>());
    let report = Report::of(brought, &run, &source, &target).await?;
    report.record(&run).await?;
    let reason = format!(
        "topology copied: topics_created={} topics_existing={} partitions={partitions} acls_created={} batches={batches}",
        report.created.len(),
        report.existing.len(),
        report.acls.created
    );
    run.journal.transition(Phase::Seed, &reason).await?;
    Ok(json!({"topics": count, "partitions": partitions, "batches": batches}))
}

/// Brings topics and ACLs to the target. What it has otherwise than the source is refused before anything there is touched;
/// what only shows afterwards, configs that it does not take and ACLs that lock this principal out, is refused before anything
/// is copied.
async fn bring_over(run: &Run<'_>, source: &Cluster, target: &Cluster, wanted: Inventory) -> Result<Brought> {
    let topics = &wanted.topics;
    let first = topics.keys().next().ok_or_else(|| {
        Error::blocked(
            "the source has no topics to migrate; look at topology.include and topology.exclude, if they are set",
        )
    })?;
    // What an earlier invocation brought here may have locked this one out.
    lockout::refuse(run, target, topics.keys()).await?;
    let there = existing(target, |topic| topics.contains_key(topic)).await?;
    create::check_existing(run, target, topics, &there).await?;
    let drift = run.config.topology.on_config_drift;
    let mut quotas = Quotas::compare(source, target, drift).await?;
    quotas.check(target).await?;
    let rules = source.describe_acls().await?;
    let before = settle(run, target, topics, rules.clone(), &quotas).await?;
    let mut acls = decide(run, rules.clone(), &before)?;

    create::create(run, target, topics, &there).await?;
    acls.create(target).await?;
    lockout::refuse(run, target, topics.keys()).await?;
    let after = TargetState::read_with(target, topics).await?;
    let known = KnownConfigs::ask(target, first).await?;
    let replicas = after.topics.iter().map(|(name, topic)| (name.clone(), topic.replication_factor)).collect();
    let defaults = TargetDefaults::ask(target, replicas).await?;
    let of_target = OfTarget { known: &known, defaults: &defaults, before: &before };
    let configs = FinalConfigs::of(topics, of_target, &run.config.topology);
    configs.refuse_defaults(&run.config.topology)?;
    configs.check(target).await?;
    Diff::between(&before, &after).record(run, Phase::TopologyCopy).await?;
    Ok(Brought { wanted, before, after, configs, rules: rules.unwrap_or_default(), acls, quotas })
}

/// What the target had before the migration touched it. Put on record once: a second run finds topics that the first one
/// created, and copy-time configs on those that were there.
async fn settle(
    run: &Run<'_>,
    target: &Cluster,
    wanted: &Topics,
    rules: Option<Vec<AclBinding>>,
    quotas: &Quotas,
) -> Result<TargetState> {
    if !TargetState::is_on_record(run).await? {
        let mut found = TargetState::read(target, |topic| wanted.contains_key(topic)).await?;
        found.remember(&topology::restart::configs_before(run).await?);
        let refused = refuse_drift(run, target, wanted, rules, quotas, &found).await;
        // Unless another invocation went ahead and changed what was there.
        if !TargetState::is_on_record(run).await? {
            refused?;
            found.record(run).await?;
        }
    }
    TargetState::before(run).await
}

/// Refuses what the target has otherwise than the source, where a policy says `fail`.
async fn refuse_drift(
    run: &Run<'_>,
    target: &Cluster,
    wanted: &Topics,
    rules: Option<Vec<AclBinding>>,
    quotas: &Quotas,
    found: &TargetState,
) -> Result<()> {
    let policy = run.config.topology.on_config_drift;
    if let Some(topic) = found.topics.keys().next() {
        drift::refuse(policy, wanted, found, &KnownConfigs::ask(target, topic).await?)?;
    }
    quotas.refuse_drift(policy)?;
    decide(run, rules, found).map(drop)
}

fn decide(run: &Run<'_>, rules: Option<Vec<AclBinding>>, before: &TargetState) -> Result<Acls> {
    acl_copy::decide(rules, before, run.config.acl.on_drift, &run.config.topology)
}

/// One producer id for the whole migration, on record before anything is written with it.
async fn adopt_producer(run: &Run<'_>, target: &Cluster) -> Result<()> {
    if run.meta.producer.is_none() {
        let identity = target.init_producer_id().await?;
        run.journal.set_producer(ProducerId { id: identity.id, epoch: identity.epoch }).await?;
    }
    Ok(())
}
