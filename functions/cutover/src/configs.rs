//! The topics' own configs, put in place of the copy-time ones once everything is copied.

use kafka::Cluster;
use migration::Result;
use runtime::Run;
use topology::{KnownConfigs, Manifest, OwnConfigs, TargetState};

/// The configs that the target's topics are to have, for every topic that was copied.
///
/// # Errors
/// When a cluster cannot be asked.
pub(crate) async fn own(run: &Run<'_>, source: &Cluster, target: &Cluster) -> Result<OwnConfigs> {
    let manifest = Manifest::load(run).await?;
    let (copied, left_out) = (manifest.topics(), run.left_out());
    let is_copied = |topic: &std::sync::Arc<str>| copied.contains_key(topic) && !left_out.contains(&**topic);
    let topics = topology::existing(source, is_copied).await?;
    let known = match topics.keys().next() {
        Some(topic) => KnownConfigs::ask(target, topic).await?,
        None => KnownConfigs::default(),
    };
    Ok(OwnConfigs::of(&topics, &known, run.config.topology.on_config_drift, &TargetState::before(run).await?))
}

/// Asks the target whether it would take them, while everything can still be given up.
///
/// # Errors
/// Blocked, naming the topic and what the target objects to.
pub(crate) async fn check(run: &Run<'_>, source: &Cluster, target: &Cluster) -> Result<()> {
    own(run, source, target).await?.check(target).await.map_err(|mut error| {
        error.message.push_str("; nothing was committed");
        error
    })
}
