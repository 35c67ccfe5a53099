//! What the target gets besides offsets, once everything is copied and committed: the topics' own configs, and the client
//! quotas, which would have slowed the copy.

use kafka::Cluster;
use migration::{Phase, Result};
use runtime::Run;
use serde_json::json;
use topology::{Diff, Manifest, OwnConfigs, TargetState};

use crate::settings::Settings;

/// What was done.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Topics that got other configs.
    pub(crate) topics_reconfigured: usize,
    /// Client quotas that were set.
    pub(crate) quotas_set: usize,
    /// ACLs that were added.
    pub(crate) acls_created: usize,
    /// What was not set or added, and why.
    pub(crate) warnings: Vec<String>,
}

/// Gives `target` the topics' own configs and the client quotas that were decided, and records how it differs from what was
/// found. Repeating it changes nothing.
///
/// # Errors
/// When the target cannot be changed. A quota that it does not take is a warning.
pub(crate) async fn finish(run: &Run<'_>, target: &Cluster) -> Result<Finished> {
    let topics_reconfigured = OwnConfigs::on_record(run).await?.put_in_place(target).await?;
    run.journal.set_fact("configs_restored_at", &json!(run.journal.now())).await?;
    let Settings { quotas, acls_created, mut warnings } = Settings::on_record(run).await?;
    let set = quotas.put_in_place(target).await?;
    warnings.extend(set.refused);
    let manifest = Manifest::load(run).await?;
    let copied = manifest.topics();
    let after = TargetState::read(target, |topic| copied.contains_key(topic)).await?;
    Diff::between(&TargetState::before(run).await?, &after).record(run, Phase::Cutover).await?;
    Ok(Finished { topics_reconfigured, quotas_set: set.limits, acls_created, warnings })
}
