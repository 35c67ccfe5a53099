//! The topics' own configs, put in place of the copy-time ones once everything is copied.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kafka::{Cluster, ConfigChange};
use migration::config::ConfigDrift;
use migration::{Error, ErrorKind, Result};
use runtime::Run;
use topology::Topic;
use topology::configs::{KEPT_CONFIGS, KeptConfigs};

/// Pause between two looks at the configs, and how many there are.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOOKS: u32 = 100;

/// Gives every topic of `target` exactly the configs it has on `source`, or the ones it had before where it is to keep
/// them, and checks that they are in place. Returns how many topics were changed.
///
/// # Errors
/// When a topic's configs cannot be changed, naming it; Transient when they are not in place afterwards.
pub(crate) async fn restore(run: &Run<'_>, source: &Cluster, target: &Cluster) -> Result<usize> {
    let wanted = wanted(run, source).await?;
    let changes = changes(&wanted, target).await?;
    for (topic, outcome) in target.alter_topic_configs(&changes).await {
        outcome.map_err(|error| Error::from(error).at_topic(&topic))?;
    }
    in_place(&wanted, target).await?;
    Ok(changes.len())
}

/// Asks the target whether it would take the topics' own configs, while everything can still be given up.
///
/// # Errors
/// Blocked, naming the topic and what the target objects to.
pub(crate) async fn check(run: &Run<'_>, source: &Cluster, target: &Cluster) -> Result<()> {
    let changes = changes(&wanted(run, source).await?, target).await?;
    for (topic, outcome) in target.check_topic_configs(&changes).await {
        outcome.map_err(|error| {
            let error = Error::from(error);
            let kind = if error.kind.is_retryable() { error.kind } else { ErrorKind::Blocked };
            let message = format!(
                "the target refuses the topic's configs: {}; nothing was committed. Change them on the source, then resume",
                error.message
            );
            Error::new(kind, message).at_topic(&topic)
        })?;
    }
    Ok(())
}

/// The topics of the source with the configs that the target's are to have.
async fn wanted(run: &Run<'_>, source: &Cluster) -> Result<BTreeMap<Arc<str>, Topic>> {
    let (mut wanted, _) = topology::topics(source).await?;
    if run.config.topology.on_config_drift == ConfigDrift::KeepTarget {
        let kept: KeptConfigs = run.store.get_json(KEPT_CONFIGS).await?;
        for (name, configs) in kept {
            wanted.entry(name).and_modify(|topic| topic.configs = configs);
        }
    }
    Ok(wanted)
}

/// Waits until brokers show the new configs: a change reaches them behind the controller's answer.
async fn in_place(wanted: &BTreeMap<Arc<str>, Topic>, target: &Cluster) -> Result<()> {
    for _ in 0..LOOKS {
        if changes(wanted, target).await?.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    match changes(wanted, target).await?.first() {
        None => Ok(()),
        Some(change) => {
            let message = format!("{} configs were set but are not in place", change.ops.len());
            Err(Error::transient(message).at_topic(&change.topic))
        }
    }
}

async fn changes(wanted: &BTreeMap<Arc<str>, Topic>, target: &Cluster) -> Result<Vec<ConfigChange>> {
    let (there, _) = topology::topics(target).await?;
    let change = |(name, topic): (&Arc<str>, &Topic)| {
        let ops = topology::restore(&topic.configs, &there.get(name)?.configs);
        (!ops.is_empty()).then(|| ConfigChange { topic: name.clone(), ops })
    };
    Ok(wanted.iter().filter_map(change).collect())
}
