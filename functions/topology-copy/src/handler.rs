//! Creates on the target what the source has: topics, ACLs, and the manifest of partition batches to copy.

use std::collections::BTreeMap;

use journal::ProducerId;
use migration::message::PhaseInput;
use migration::{Phase, Result};
use runtime::{Budget, Host, Run};
use serde_json::{Value, json};
use topology::{Manifest, create};

use crate::acls;

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
    run.journal.transition(Phase::TopologyCopy, "").await?;
    let (source, target) = tokio::try_join!(run.source(), run.target())?;
    let (wanted, skipped_internal) = topology::topics(&source).await?;
    let topics = create::create(&run, &target, &wanted).await?;
    let acls = acls::copy(&run, &source, &target).await?;
    adopt_producer(&run, &target).await?;
    let batches = Manifest::begin(&run, &source, &wanted).await?.publish(&run).await?;
    let configs: BTreeMap<_, _> = wanted.iter().map(|(name, topic)| (name.to_string(), &topic.configs)).collect();
    let report = json!({
        "created": topics.created,
        "existing": topics.existing,
        "skipped_internal": skipped_internal,
        "acls": acls,
        "configs": configs,
    });
    run.store.put_json("topology/report.json", &report).await?;
    let partitions: usize = wanted.values().map(|topic| topic.info.partitions.len()).sum();
    let reason = format!(
        "topology copied: topics_created={} topics_existing={} partitions={partitions} acls_created={} batches={batches}",
        topics.created.len(),
        topics.existing.len(),
        acls.created
    );
    run.journal.transition(Phase::Seed, &reason).await?;
    Ok(json!({"topics": wanted.len(), "partitions": partitions, "batches": batches}))
}

/// One producer id for the whole migration, on record before anything is written with it.
async fn adopt_producer(run: &Run<'_>, target: &kafka::Cluster) -> Result<()> {
    if run.meta.producer.is_none() {
        let identity = target.init_producer_id().await?;
        run.journal.set_producer(ProducerId { id: identity.id, epoch: identity.epoch }).await?;
    }
    Ok(())
}
