//! ACLs on the target.

use std::collections::BTreeSet;

use kafka::Cluster;
use migration::config::AclDrift;
use migration::{Error, Result};
use runtime::Run;
use serde::Serialize;
use topology::acls::is_internal;

/// What happened to the ACLs.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Acls {
    /// Bindings on the source that are not the cluster's own.
    pub(crate) on_source: usize,
    /// Bindings of the cluster itself, left out.
    pub(crate) internal: usize,
    /// Bindings that were added to the target.
    pub(crate) created: usize,
    /// Why nothing was added, when nothing could be.
    pub(crate) skipped: Option<String>,
}

/// Adds the source's ACLs that the target does not have, as `acl.on_drift` says.
///
/// # Errors
/// Blocked with `acl.on_drift: fail` when the target has bindings that the source does not have.
pub(crate) async fn copy(run: &Run<'_>, source: &Cluster, target: &Cluster) -> Result<Acls> {
    let Some(all) = source.describe_acls().await? else {
        return Ok(Acls { skipped: Some("the source has no authorizer".to_owned()), ..Acls::default() });
    };
    let (internal, own): (Vec<_>, Vec<_>) = all.into_iter().partition(is_internal);
    let mut acls = Acls { on_source: own.len(), internal: internal.len(), ..Acls::default() };
    let Some(there) = target.describe_acls().await? else {
        acls.skipped = (!own.is_empty()).then(|| "the target has no authorizer".to_owned());
        return Ok(acls);
    };
    let own: BTreeSet<_> = own.into_iter().collect();
    let there: BTreeSet<_> = there.into_iter().filter(|binding| !is_internal(binding)).collect();
    match run.config.acl.on_drift {
        AclDrift::KeepTarget if !there.is_empty() => {
            acls.skipped = Some("the target has ACLs of its own and acl.on_drift is keep_target".to_owned());
            return Ok(acls);
        }
        AclDrift::Fail if !there.is_subset(&own) => {
            let extra = there.difference(&own).count();
            let message = format!(
                "the target has {extra} ACLs that the source does not have and acl.on_drift is fail; \
                 remove them or set acl.on_drift to merge"
            );
            return Err(Error::blocked(message));
        }
        AclDrift::Merge | AclDrift::KeepTarget | AclDrift::Fail => {}
    }
    let missing: Vec<_> = own.difference(&there).cloned().collect();
    for (binding, outcome) in target.create_acls(&missing).await {
        outcome.map_err(|error| {
            let mut error = Error::from(error);
            error.message =
                format!("ACL of {} on {:?} {}: {}", binding.principal, binding.resource, binding.name, error.message);
            error
        })?;
    }
    acls.created = missing.len();
    Ok(acls)
}
