//! What the target gets besides offsets, once everything is copied and committed: the topics' own configs, the client quotas,
//! which would have slowed the copy, and ACLs that were added to the source meanwhile.

use kafka::Cluster;
use migration::{Phase, Result};
use runtime::Run;
use serde_json::json;
use topology::refusal::unless_refused;
use topology::{Diff, Manifest, Quotas, TargetState, acl_copy};

use crate::configs;

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

/// Gives `target` the topics' own configs and the client quotas, and records how it differs from what was found. Repeating
/// it changes nothing.
///
/// # Errors
/// When the target cannot be changed. A quota that it does not take is a warning.
pub(crate) async fn finish(run: &Run<'_>, source: &Cluster, target: &Cluster) -> Result<Finished> {
    let topics_reconfigured = configs::own(run, source, target).await?.put_in_place(target).await?;
    run.journal.set_fact("configs_restored_at", &json!(run.journal.now())).await?;
    let quotas = Quotas::compare(source, target, run.config.topology.on_config_drift).await?;
    let mut warnings = quotas.lines();
    let set = quotas.put_in_place(target).await?;
    warnings.extend(set.refused);
    let before = TargetState::before(run).await?;
    let acls_created = add_acls(run, source, target, &before).await?.unwrap_or_else(|reason| {
        warnings.push(format!("ACLs that were added to the source meanwhile are not copied: {reason}"));
        0
    });
    let manifest = Manifest::load(run).await?;
    let copied = manifest.topics();
    let after = TargetState::read(target, |topic| copied.contains_key(topic)).await?;
    Diff::between(&before, &after).record(run, Phase::Cutover).await?;
    Ok(Finished { topics_reconfigured, quotas_set: set.limits, acls_created, warnings })
}

/// Adds the ACLs that the target lacks now. Returns how many, or why they cannot be: that must not hold a cutover up which
/// nobody can give up any more.
async fn add_acls(
    run: &Run<'_>,
    source: &Cluster,
    target: &Cluster,
    before: &TargetState,
) -> Result<std::result::Result<usize, String>> {
    let config = &run.config;
    let rules = match unless_refused(source.describe_acls().await)? {
        Ok(rules) => rules,
        Err(reason) => return Ok(Err(reason)),
    };
    let mut acls = match acl_copy::decide(rules, before, config.acl.on_drift, &config.topology) {
        Ok(acls) => acls,
        // Allowed when the topology was copied: the source lost ACLs since.
        Err(drift) => return Ok(Err(drift.message)),
    };
    match acls.create(target).await {
        Ok(()) => Ok(Ok(acls.created)),
        Err(error) if error.kind.is_retryable() => Err(error),
        Err(error) => Ok(Err(error.message)),
    }
}
