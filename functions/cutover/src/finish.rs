//! What the target gets besides offsets, once everything is copied and committed: the topics' own configs and the client
//! quotas, which would have slowed the copy.

use kafka::Cluster;
use migration::{Phase, Result};
use runtime::Run;
use serde_json::json;
use topology::{Diff, Manifest, Quotas, TargetState};

use crate::configs;

/// What was done.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Topics that got other configs.
    pub(crate) topics_reconfigured: usize,
    /// Client quotas that were set.
    pub(crate) quotas_set: usize,
    /// Why client quotas were not set, and those that differ.
    pub(crate) warnings: Vec<String>,
}

/// Gives `target` the topics' own configs and the client quotas, and records how it differs from what was found. Repeating
/// it changes nothing.
///
/// # Errors
/// When the target cannot be changed. One that does not let quotas be set is a warning.
pub(crate) async fn finish(run: &Run<'_>, source: &Cluster, target: &Cluster) -> Result<Finished> {
    let topics_reconfigured = configs::own(run, source, target).await?.put_in_place(target).await?;
    run.journal.set_fact("configs_restored_at", &json!(run.journal.now())).await?;
    let quotas = Quotas::compare(source, target, run.config.topology.on_config_drift).await?;
    let mut warnings = quotas.lines();
    let quotas_set = quotas.put_in_place(target).await?.unwrap_or_else(|reason| {
        warnings.push(format!("{} client quotas are not set: the target refuses: {reason}", quotas.to_set.len()));
        0
    });
    let manifest = Manifest::load(run).await?;
    let copied = manifest.topics();
    let after = TargetState::read(target, |topic| copied.contains_key(topic)).await?;
    Diff::between(&TargetState::before(run).await?, &after).record(run, Phase::Cutover).await?;
    Ok(Finished { topics_reconfigured, quotas_set, warnings })
}
