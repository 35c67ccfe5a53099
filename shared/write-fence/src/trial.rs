//! Whether a fence would hold, tried on a topic that does not exist: a rule there harms nobody, and brokers say what it permits all
//! the same.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kafka::AclOperation;
use migration::{Error, ErrorKind, MigrationId, Result, scope};
use tokio::time::sleep;

use crate::ports::Acls;
use crate::rules::deny;

/// How often a broker is asked whether it knows the rule, and the pause in between.
const LOOKS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(250);

/// What a trial came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trial {
    /// A rule that denies Write binds the migration itself, so that its own refused write proves a fence.
    Binds,
    /// It does not: the migration signs in as a super user.
    DoesNotBind,
    /// The source has no authorizer.
    NoAuthorizer,
    /// The source does not let this principal describe or alter its ACLs, by this reason.
    Refused(String),
}

/// Sets a rule on a topic that does not exist, looks whether it binds, and removes it.
///
/// # Errors
/// When the source cannot be asked, and when the rule cannot be removed again.
pub async fn try_out(acls: &impl Acls, id: &MigrationId) -> Result<Trial> {
    match acls.rules().await {
        Ok(Some(_)) => {}
        Ok(None) => return Ok(Trial::NoAuthorizer),
        Err(error) => return refused(error),
    }
    let topic: Arc<str> = format!("{}{id}", scope::TRIAL_TOPIC).into();
    let rule = deny(&topic);
    let bound = match acls.add(std::slice::from_ref(&rule)).await {
        Ok(()) => binds(acls, &topic).await,
        Err(error) => return refused(error),
    };
    removed(acls, &rule).await?;
    Ok(if bound? { Trial::Binds } else { Trial::DoesNotBind })
}

/// Those of `topics` on which the migration may not write now, though no rule denies it to everybody: that it is refused under a fence
/// would not show that the fence is in force.
///
/// # Errors
/// When the source cannot be asked.
pub async fn unprovable(acls: &impl Acls, topics: &BTreeSet<Arc<str>>) -> Result<Vec<Arc<str>>> {
    let all: Vec<_> = topics.iter().cloned().collect();
    let may = acls.permitted(&all, AclOperation::Write).await?;
    if may.len() == all.len() {
        return Ok(Vec::new());
    }
    let denied: BTreeSet<_> = acls.rules().await?.into_iter().flatten().collect();
    Ok(all.into_iter().filter(|topic| !may.contains(topic) && !denied.contains(&deny(topic))).collect())
}

/// What is refused is an answer.
fn refused(error: Error) -> Result<Trial> {
    match error.kind {
        ErrorKind::Blocked => Ok(Trial::Refused(error.message)),
        _ => Err(error),
    }
}

/// Whether brokers come to deny the migration to write to `topic`.
async fn binds(acls: &impl Acls, topic: &Arc<str>) -> Result<bool> {
    for _ in 0..LOOKS {
        if acls.permitted(std::slice::from_ref(topic), AclOperation::Write).await?.is_empty() {
            return Ok(true);
        }
        sleep(PAUSE).await;
    }
    Ok(false)
}

/// Removes the rule, and waits until brokers do not show it any more: what is decided next must not find it.
async fn removed(acls: &impl Acls, rule: &kafka::AclBinding) -> Result<()> {
    for _ in 0..LOOKS {
        acls.remove(std::slice::from_ref(rule)).await?;
        if !acls.rules().await?.unwrap_or_default().contains(rule) {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
    Err(Error::transient(format_args!("the source still shows the rule of the write fence's trial: {rule}")))
}
