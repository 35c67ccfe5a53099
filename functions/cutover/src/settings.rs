//! What the target gets besides offsets, decided while everything can still be given up: the topics' own configs, the client
//! quotas, and ACLs that were added to the source meanwhile.
//!
//! It is stored before the point of no return and put in place behind it, so that a source that is gone by then, or says
//! something else, holds nobody up.

use std::sync::Arc;

use kafka::Cluster;
use migration::config::AuthMode;
use migration::{Error, Result};
use runtime::Run;
use serde::{Deserialize, Serialize};
use topology::access_map::{self, AccessMap};
use topology::own_configs::NotCopied;
use topology::refusal::unless_refused;
use topology::{KnownConfigs, Manifest, OwnConfigs, Quotas, Replication, TargetState, Topics, acl_copy};

/// Where the document is in the run's store; configs have one of their own, see [`OwnConfigs`].
const STORED: &str = "cutover/settings.json";

/// What was decided.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// What becomes of the client quotas.
    pub(crate) quotas: Quotas,
    /// ACLs that were added.
    pub(crate) acls_created: usize,
    /// What is not brought over as it is, and why.
    pub(crate) warnings: Vec<String>,
}

/// Decides everything, asks the target whether it would take it, and stores it. ACLs are created at once: whether they lock
/// this principal out shows only then.
///
/// # Errors
/// Blocked, naming the topic and what the target objects to; otherwise when a cluster cannot be asked.
pub(crate) async fn decide(run: &Run<'_>, source: &Cluster, target: &Cluster) -> Result<()> {
    let manifest = Manifest::load(run).await?;
    let topics = copied(run, source, &manifest).await?;
    let before = TargetState::before(run).await?;
    let configs = own(run, target, &topics, &before).await?;
    configs.check(target).await.map_err(|mut error| {
        error.message.push_str("; nothing was committed");
        error
    })?;
    let quotas = Quotas::compare(source, target, run.config.topology.on_config_drift).await?;
    let mut warnings = quotas.lines();
    warnings.extend(unlike_the_source(target, &manifest, &topics, &configs).await?);
    let acls_created = add_acls(run, source, target, &before).await?.unwrap_or_else(|reason| {
        warnings.push(format!("ACLs that were added to the source meanwhile are not copied: {reason}"));
        0
    });
    configs.record(run).await?;
    run.store.put_json(STORED, &Settings { quotas, acls_created, warnings }).await
}

impl Settings {
    /// Those that were stored.
    ///
    /// # Errors
    /// What S3 gives.
    pub(crate) async fn on_record(run: &Run<'_>) -> Result<Self> {
        run.store.get_json(STORED).await
    }
}

/// The source's topics that were copied.
///
/// # Errors
/// Transient, naming the topic, when the source does not list one: deleted ones were settled before.
async fn copied(run: &Run<'_>, source: &Cluster, manifest: &Manifest) -> Result<Topics> {
    let (copied, left_out) = (manifest.topics(), run.left_out());
    let is_copied = |topic: &Arc<str>| copied.contains_key(topic) && !left_out.contains(&**topic);
    let topics = topology::existing(source, is_copied).await?;
    match copied.keys().find(|topic| is_copied(topic) && !topics.contains_key(**topic)) {
        None => Ok(topics),
        Some(missing) => Err(Error::transient("the source does not list the topic").at_topic(missing)),
    }
}

/// The configs that the target's counterparts of `topics` are to have.
async fn own(run: &Run<'_>, target: &Cluster, topics: &Topics, before: &TargetState) -> Result<OwnConfigs> {
    let known = match topics.keys().next() {
        Some(topic) => KnownConfigs::ask(target, topic).await?,
        None => KnownConfigs::default(),
    };
    Ok(OwnConfigs::of(topics, &known, run.config.topology.on_config_drift, before))
}

/// Lines about what is not as on the source and could not be told when the topology was copied: configs that were altered
/// since, and topics that were picked up.
async fn unlike_the_source(
    target: &Cluster,
    manifest: &Manifest,
    topics: &Topics,
    configs: &OwnConfigs,
) -> Result<Vec<String>> {
    let beginning = manifest.beginning();
    let picked_up = topics.iter().filter(|(name, _)| !beginning.contains_key(name));
    let picked_up: Topics = picked_up.map(|(name, topic)| (name.clone(), topic.clone())).collect();
    let there = topology::existing(target, |topic| picked_up.contains_key(topic)).await?;
    let there = there.iter().map(|(name, topic)| (name.clone(), topic.into())).collect();
    let configs = configs.not_copied_since(&beginning);
    Ok(configs.iter().map(NotCopied::line).chain(Replication::between(&picked_up, &there).line()).collect())
}

/// Adds the ACLs that the target lacks now, and writes anew what they are in IAM. Returns how many, or why they cannot be.
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
    if config.target.auth.mode == AuthMode::Iam {
        let map = AccessMap::of(rules.as_deref().unwrap_or_default(), &config.target.cluster_arn);
        run.store.put_json(access_map::STORED, &map).await?;
    }
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
