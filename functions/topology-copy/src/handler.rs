//! Creates on the target what the source has: topics, ACLs, and the manifest of partition batches to copy.

use journal::ProducerId;
use kafka::Cluster;
use migration::config::AuthMode;
use migration::message::PhaseInput;
use migration::{Error, Phase, Result};
use runtime::{Budget, Host, Run};
use serde_json::{Value, json};
use topology::access_map::AccessMap;
use topology::{
    Acls, Diff, Inventory, KnownConfigs, Manifest, OwnConfigs, Quotas, TargetState, acl_copy, create, defaults,
    existing,
};

use crate::report::{self, Report};
use crate::{drift, scram};

/// Answers one invocation. Running it again changes nothing that is there.
///
/// # Errors
/// Blocked when the target has something else under a topic's name; otherwise what the clusters and AWS give.
pub(crate) async fn handle(host: &Host, input: PhaseInput, _: Budget) -> Result<Value> {
    let id = input.migration_id;
    copy_topology(host, &id).await.map_err(|error| error.in_run(&id).in_phase(Phase::TopologyCopy))
}

async fn copy_topology(host: &Host, id: &migration::MigrationId) -> Result<Value> {
    let run = host.load(id).await?;
    if run.meta.phase == Phase::Seed {
        // The answer of an invocation that went through was lost.
        return Ok(json!({"already": "copied"}));
    }
    run.journal.transition(Phase::TopologyCopy, "").await?;
    let (source, target) = tokio::try_join!(run.source(), run.target())?;
    let wanted = topology::inventory(&source, &run.config.topology).await?;
    let report = bring_over(&run, &source, &target, &wanted).await?;
    adopt_producer(&run, &target).await?;
    let batches = Manifest::begin(&run, &source, &wanted.topics).await?.publish(&run).await?;
    report.record(&run).await?;
    let partitions: usize = wanted.topics.values().map(|topic| topic.info.partitions.len()).sum();
    let reason = format!(
        "topology copied: topics_created={} topics_existing={} partitions={partitions} acls_created={} batches={batches}",
        report.created.len(),
        report.existing.len(),
        report.acls.created
    );
    run.journal.transition(Phase::Seed, &reason).await?;
    Ok(json!({"topics": wanted.topics.len(), "partitions": partitions, "batches": batches}))
}

/// Brings topics and ACLs to the target. Everything that can be refused is, before anything there is touched.
async fn bring_over(run: &Run<'_>, source: &Cluster, target: &Cluster, wanted: &Inventory) -> Result<Report> {
    let topics = &wanted.topics;
    if topics.is_empty() {
        return Err(Error::blocked(
            "the source has no topics to migrate; look at topology.include and topology.exclude, if they are set",
        ));
    }
    let there = existing(target, |topic| topics.contains_key(topic)).await?;
    create::check_existing(run, target, topics, &there).await?;
    let quotas = Quotas::compare(source, target, run.config.topology.on_config_drift).await?;
    let rules = source.describe_acls().await?;
    let access_map = match run.config.target.auth.mode {
        AuthMode::Iam => Some(AccessMap::of(rules.as_deref().unwrap_or_default(), &run.config.target.cluster_arn)),
        _ => None,
    };
    let (before, mut acls) = settle(run, target, wanted, rules, &quotas).await?;

    create::create(target, topics, &there).await?;
    acls.create(target).await?;
    let after = TargetState::read_with(target, topics).await?;
    let configs = own_configs(run, target, wanted, &before).await?;
    configs.own.check(target).await?;
    Diff::between(&before, &after).record(run, Phase::TopologyCopy).await?;
    let (existing, created): (Vec<_>, Vec<_>) = topics.keys().partition(|topic| before.topics.contains_key(*topic));
    let names = |topics: Vec<&std::sync::Arc<str>>| topics.into_iter().map(ToString::to_string).collect();
    Ok(Report {
        created: names(created),
        existing: names(existing),
        skipped_internal: wanted.internal.clone(),
        outside: wanted.outside.clone(),
        replication: report::replication(wanted, &after),
        configs_not_copied: configs.own.not_copied().to_vec(),
        defaults: default_drift(source, target, wanted, &configs.known).await?,
        configs: topics.iter().map(|(name, topic)| (name.clone(), topic.configs.clone())).collect(),
        acls,
        quotas,
        scram: scram::list(source, target, &run.host().aws, &run.config).await?,
        access_map,
    })
}

/// What the target had before the migration touched it, and which ACLs it gets. Decided once: a second run finds topics
/// that the first one created, and copy-time configs on those that were there.
async fn settle(
    run: &Run<'_>,
    target: &Cluster,
    wanted: &Inventory,
    rules: Option<Vec<kafka::AclBinding>>,
    quotas: &Quotas,
) -> Result<(TargetState, Acls)> {
    let config = &run.config;
    let decide = |rules, before: &TargetState| acl_copy::decide(rules, before, config.acl.on_drift, &config.topology);
    if !TargetState::is_on_record(run).await? {
        let found = TargetState::read(target, |topic| wanted.topics.contains_key(topic)).await?;
        if let Some(topic) = found.topics.keys().next() {
            let known = KnownConfigs::ask(target, topic).await?;
            drift::refuse(config.topology.on_config_drift, &wanted.topics, &found, &known)?;
        }
        quotas.refuse_drift(config.topology.on_config_drift)?;
        decide(rules.clone(), &found)?;
        found.record(run).await?;
    }
    // Whoever was first, what is on record counts.
    let before = TargetState::before(run).await?;
    let acls = decide(rules, &before)?;
    Ok((before, acls))
}

/// The configs that topics get in the end, and what the target knows.
struct Configs {
    own: OwnConfigs,
    known: KnownConfigs,
}

async fn own_configs(run: &Run<'_>, target: &Cluster, wanted: &Inventory, before: &TargetState) -> Result<Configs> {
    let first = wanted.topics.keys().next().ok_or_else(|| Error::internal("there is no topic"))?;
    let known = KnownConfigs::ask(target, first).await?;
    Ok(Configs { own: OwnConfigs::of(&wanted.topics, &known, run.config.topology.on_config_drift, before), known })
}

async fn default_drift(
    source: &Cluster,
    target: &Cluster,
    wanted: &Inventory,
    known: &KnownConfigs,
) -> Result<Vec<defaults::DefaultDrift>> {
    let Some(topic) = wanted.topics.keys().next() else { return Ok(Vec::new()) };
    let (from, to) = tokio::try_join!(source.inherited_topic_configs(topic), target.inherited_topic_configs(topic))?;
    Ok(defaults::drift(&from, &to, &wanted.topics, known))
}

/// One producer id for the whole migration, on record before anything is written with it.
async fn adopt_producer(run: &Run<'_>, target: &Cluster) -> Result<()> {
    if run.meta.producer.is_none() {
        let identity = target.init_producer_id().await?;
        run.journal.set_producer(ProducerId { id: identity.id, epoch: identity.epoch }).await?;
    }
    Ok(())
}
