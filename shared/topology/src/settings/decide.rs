//! Decides what the target gets, while everything can still be given up. Neither cluster is changed.

mod acls;
mod configs;
mod quotas;

use std::sync::Arc;

use documents::rehearsal::{Finding, Weight};
use documents::{Settings, SettingsFound};
use kafka::{AclOperation, Cluster, Code};
use migration::Result;
use migration::config::AuthMode;
use runtime::Run;
use runtime::clusters::bootstrap_servers;

use super::commands::Commands;
use super::found::Source;
use crate::inventory::{Topics, existing};
use crate::lockout::{self, Permitted};
use crate::manifest::Manifest;
use crate::target_state::TargetState;

/// Stable codes of refusals.
pub mod code {
    /// The target would not take a topic's configs.
    pub const CONFIG_REFUSED: &str = "cutover.config_refused";
    /// The target would not take a client quota.
    pub const QUOTA_REFUSED: &str = "cutover.quota_refused";
    /// The target does not have a topic that was copied.
    pub const TOPIC_MISSING: &str = "cutover.topic_missing";
    /// The target had ACLs that the source does not have, and `acl.on_drift` is `fail`.
    pub const ACL_DRIFT: &str = "cutover.acl_drift";
    /// ACLs that the target is to get would close it to the migration itself.
    pub const ACL_LOCKOUT: &str = "cutover.acl_lockout";
    /// The migration's principal may not do on the target what the cutover has to.
    pub const PERMISSION_MISSING: &str = "cutover.permission_missing";
}

/// Something that the target would refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// [`Weight::Blocker`] when the cutover must not begin; [`Weight::Warning`] when it goes on without this.
    pub weight: Weight,
    /// One of [`code`].
    pub code: &'static str,
    /// What it is about.
    pub subject: String,
    /// What would be refused, and why.
    pub message: String,
    /// What to do about it before the next rehearsal.
    pub way_out: String,
}

impl From<Refusal> for Finding {
    fn from(refusal: Refusal) -> Self {
        let Refusal { weight, code, subject, message, way_out } = refusal;
        Self { weight, code: code.to_owned(), subject, message, way_out }
    }
}

/// What was decided.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// What the target is to get.
    pub settings: Settings,
    /// What the source had when it was decided, see [`super::appeared`].
    pub found: SettingsFound,
    /// One line for each thing that is not brought over as it is, or that somebody should look at.
    pub warnings: Vec<String>,
    /// What the target would refuse.
    pub refusals: Vec<Refusal>,
}

/// What both clusters said, for the parts of the decision.
struct Context<'a> {
    run: &'a Run<'a>,
    source: &'a Cluster,
    target: &'a Cluster,
    manifest: &'a Manifest,
    /// What the source has.
    asked: &'a Source,
    /// The counterparts of its topics that the target lists.
    there: &'a Topics,
    /// What the target had before the migration touched it.
    before: &'a TargetState,
    /// What the principal may do on the target; nothing is known of clients that sign in with IAM, who have no ACLs.
    permitted: Option<&'a Permitted>,
    /// Commands for the target.
    commands: &'a Commands,
}

/// Decides what the target gets: the final configs of each copied topic, the client quotas to set and the ACLs to add, and
/// asks the target whether it would take them. Everything is read now; what appears on the source afterwards is not part of it.
///
/// # Errors
/// Transient when a cluster, the MSK API or S3 does not answer, or the source does not list a topic that was copied; Blocked
/// when one of them must not be asked at all. What would be refused is no error.
pub async fn decide(run: &Run<'_>, source: &Cluster, target: &Cluster) -> Result<Decision> {
    let (manifest, before) = tokio::try_join!(Manifest::load(run), TargetState::before(run))?;
    let asked = Source::read(run, source, &manifest).await?;
    asked.refuse_missing(run, &manifest)?;
    let names: Vec<Arc<str>> = asked.topics.keys().cloned().collect();
    let there = existing(target, |topic| asked.topics.contains_key(topic)).await?;
    let permitted = match run.config.target.auth.mode {
        AuthMode::Iam => None,
        _ => Some(Permitted::ask(target, &names).await?),
    };
    let commands = Commands::of(bootstrap_servers(&run.host().aws, &run.config.target).await?);
    let context = Context {
        run,
        source,
        target,
        manifest: &manifest,
        asked: &asked,
        there: &there,
        before: &before,
        permitted: permitted.as_ref(),
        commands: &commands,
    };
    let mut decision = Decision { found: asked.found(), ..Decision::default() };
    configs::decide(&context, &mut decision).await?;
    quotas::decide(&context, &mut decision).await?;
    acls::decide(&context, &mut decision).await?;
    // Behind the ACLs: whether any are to be added decides what is needed on the cluster.
    let besides: &[AclOperation] = if decision.settings.acls.is_empty() { &[] } else { &[AclOperation::Alter] };
    decision.refusals.extend(permitted.as_ref().and_then(|permitted| lacking(&permitted.denied(besides))));
    tracing::info!(
        topics = decision.settings.configs.len(),
        quotas = decision.settings.quotas.len(),
        acls = decision.settings.acls.len(),
        refusals = decision.refusals.len(),
        "decided what the target gets"
    );
    Ok(decision)
}

/// Whether a broker refused for lack of permission.
fn is_denial(error: &kafka::Error) -> bool {
    matches!(error.code(), Some(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed))
}

/// Permissions that the brokers say are lacking.
fn lacking(denied: &[String]) -> Option<Refusal> {
    (!denied.is_empty()).then(|| Refusal {
        weight: Weight::Blocker,
        code: code::PERMISSION_MISSING,
        subject: "target".to_owned(),
        message: lockout::problem(denied),
        way_out: lockout::way_out(lockout::ON_EVERYTHING),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lacking_permissions_are_one_blocker_with_the_acls_to_add() {
        assert_eq!(lacking(&[]), None);
        let refusal =
            lacking(&["Alter on the cluster".to_owned(), "Write on 1 topics, first orders".to_owned()]).unwrap();
        assert_eq!((refusal.weight, refusal.code), (Weight::Blocker, "cutover.permission_missing"));
        assert!(refusal.message.contains("Alter on the cluster; Write on 1 topics, first orders"), "{refusal:?}");
        assert!(refusal.way_out.starts_with("add ACLs on the target that allow this principal"), "{refusal:?}");
        assert_eq!(Finding::from(refusal.clone()).message, refusal.message);
    }
}
