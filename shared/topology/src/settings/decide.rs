//! Decides what the target gets, while everything can still be given up. Neither cluster is changed.

mod acls;
mod configs;
mod quotas;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use documents::rehearsal::{Finding, Weight};
use documents::{Settings, SettingsFound};
use kafka::{AclOperation, Cluster, Code};
use migration::config::AuthMode;
use migration::{Config, Result};
use runtime::Run;
use runtime::clusters::bootstrap_servers;

use super::found::{Source, copied};
use crate::access_map::{self, AccessMap};
use crate::inventory::{Topics, existing};
use crate::lockout::{self, Permitted};
use crate::manifest::{DealtTopic, Manifest};
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

/// What a decision follows from, besides what both clusters say.
#[derive(Debug, Clone)]
pub struct Basis<'a> {
    /// The migration's configuration.
    pub config: &'a Config,
    /// The topics that are copied.
    pub topics: BTreeSet<Arc<str>>,
    /// Topics and their configs when the topology was copied, which said then what is not brought over.
    pub beginning: BTreeMap<&'a Arc<str>, &'a DealtTopic>,
    /// What the target had before the migration touched it.
    pub before: &'a TargetState,
    /// The principal of the migration on the target, such as `User:alice`, where it is known.
    pub principal: Option<String>,
    /// Bootstrap servers of the target, for commands.
    pub servers: String,
}

/// What both clusters said, for the parts of the decision.
struct Context<'a> {
    basis: &'a Basis<'a>,
    source: &'a Cluster,
    target: &'a Cluster,
    /// What the source has.
    asked: &'a Source,
    /// The counterparts of its topics that the target lists.
    there: &'a Topics,
    /// What the principal may do on the target; nothing is known of clients that sign in with IAM, who have no ACLs.
    permitted: Option<&'a Permitted>,
}

/// Decides what the target gets: the final configs of each copied topic, the client quotas to set and the ACLs to add, and
/// asks the target whether it would take them. Everything is read now; what appears on the source afterwards is not part of it.
/// For a target that signs clients in with IAM the access map is stored anew.
///
/// # Errors
/// Transient when a cluster, the MSK API or S3 does not answer, or the source does not list a topic that was copied; Blocked
/// when one of them must not be asked at all. What would be refused is no error.
pub async fn decide(run: &Run<'_>, source: &Cluster, target: &Cluster) -> Result<Decision> {
    let (manifest, before) = tokio::try_join!(Manifest::load(run), TargetState::before(run))?;
    let user = run.host().clusters.user(&run.config.target).await;
    let basis = Basis {
        config: &run.config,
        topics: copied(run, &manifest),
        beginning: manifest.beginning(),
        before: &before,
        principal: user.map(|user| format!("User:{user}")),
        servers: bootstrap_servers(&run.host().aws, &run.config.target).await?,
    };
    let decision = decide_from(&basis, source, target).await?;
    if let (AuthMode::Iam, Some(rules)) = (run.config.target.auth.mode, &decision.found.acls) {
        run.store.put_json(access_map::STORED, &AccessMap::of(rules, &run.config.target.cluster_arn)).await?;
    }
    Ok(decision)
}

/// The same from a basis; nothing is stored.
///
/// # Errors
/// As [`decide`].
pub async fn decide_from(basis: &Basis<'_>, source: &Cluster, target: &Cluster) -> Result<Decision> {
    let asked = Source::read(source, &basis.topics).await?;
    asked.refuse_missing(&basis.topics)?;
    let names = Vec::from_iter(basis.topics.iter().cloned());
    let there = existing(target, |topic| basis.topics.contains(topic)).await?;
    let permitted = match basis.config.target.auth.mode {
        AuthMode::Iam => None,
        _ => Some(Permitted::ask(target, &names).await?),
    };
    let permitted = permitted.as_ref();
    let context = Context { basis, source, target, asked: &asked, there: &there, permitted };
    let mut decision = Decision { found: asked.found(), ..Decision::default() };
    configs::decide(&context, &mut decision).await?;
    quotas::decide(&context, &mut decision).await?;
    acls::decide(&context, &mut decision).await?;
    // Behind the ACLs: whether any are to be added decides what is needed on the cluster.
    let besides: &[AclOperation] = if decision.settings.acls.is_empty() { &[] } else { &[AclOperation::Alter] };
    decision.refusals.extend(permitted.and_then(|permitted| lacking(&permitted.denied(besides))));
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
