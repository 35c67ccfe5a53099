//! Puts on the target what was decided, behind the point of no return: it goes forward, and what the target refuses is said
//! with the command that repairs it.

mod acls;
mod configs;
mod port;
mod quotas;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use documents::Settings;
use kafka::Cluster;
use migration::{Phase, Result};
use runtime::Run;
use runtime::clusters::bootstrap_servers;
use serde_json::json;

use super::commands::Commands;
use crate::configs::TopicConfigs;
use crate::diff::Diff;
use crate::target_state::TargetState;

/// How often the target is looked at until it shows what it took, and the pause in between: brokers get to know a change
/// behind the controller's answer.
const LOOKS: u32 = 100;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The journal's fact about when topics were given their final configs.
const RESTORED_AT: &str = "configs_restored_at";

/// What became of the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Topics of which configs were changed.
    pub configs: usize,
    /// Limits of client quotas that were set.
    pub quotas: usize,
    /// ACLs that were added.
    pub acls: usize,
    /// What the target refused or shows otherwise, each with its subject and the command that repairs it.
    pub warnings: Vec<String>,
}

/// Gives `target` the topics' final configs, then the client quotas, then the ACLs, which may close the target to whoever
/// adds them; and records how the target differs from what was found. What is as wanted already is left alone, so repeating it
/// changes nothing. Passing failures are repeated as [`Cluster`] does; what still fails then, and what the target refuses or
/// stores otherwise, is a warning.
///
/// # Errors
/// Those of a target that does not even list its topics; nothing was tried then.
pub async fn apply(run: &Run<'_>, target: &Cluster, settings: &Settings) -> Result<Applied> {
    let servers = bootstrap_servers(&run.host().aws, &run.config.target).await;
    let mut applied = put(target, settings, servers.as_deref().unwrap_or("<target bootstrap servers>")).await?;
    // Status says until then that topics keep everything.
    if let Err(error) = run.journal.set_fact(RESTORED_AT, &json!(run.journal.now())).await {
        applied.warnings.push(format!("that configs are in place could not be noted in the journal: {error}"));
    }
    if let Err(error) = record_diff(run, target, &settings.configs).await {
        applied.warnings.push(format!(
            "how the target differs from what was found there could not be recorded in {}, which is as the topology copy left \
             it: {error}",
            crate::diff::STORED
        ));
    }
    tracing::info!(
        topics = applied.configs,
        quotas = applied.quotas,
        acls = applied.acls,
        warnings = applied.warnings.len(),
        "put in place what the target gets"
    );
    Ok(applied)
}

/// The same without a run: nothing is recorded. `servers` are the target's bootstrap servers, for commands.
///
/// # Errors
/// As [`apply`].
pub async fn put(target: &Cluster, settings: &Settings, servers: &str) -> Result<Applied> {
    let (commands, mut applied) = (Commands::of(servers), Applied::default());
    configs::put(target, &settings.configs, &commands, &mut applied).await?;
    quotas::put(target, &settings.quotas, &commands, &mut applied).await;
    acls::put(target, &settings.acls, &commands, &mut applied).await;
    Ok(applied)
}

async fn record_diff(run: &Run<'_>, target: &Cluster, topics: &BTreeMap<Arc<str>, TopicConfigs>) -> Result<()> {
    let after = TargetState::read(target, |topic| topics.contains_key(topic)).await?;
    Diff::between(&TargetState::before(run).await?, &after).record(run, Phase::Cutover).await
}
