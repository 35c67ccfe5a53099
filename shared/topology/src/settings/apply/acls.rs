//! ACLs, last of all: they may close the target to whoever adds them.

use std::collections::BTreeSet;

use kafka::AclBinding;

use super::port::Target;
use super::{Applied, LOOK_EVERY, LOOKS};
use crate::settings::commands::Commands;

/// Adds those of the `wanted` ACLs that `target` does not have.
pub(super) async fn put(target: &impl Target, wanted: &[AclBinding], commands: &Commands, applied: &mut Applied) {
    if wanted.is_empty() {
        return;
    }
    // What is there already may be added again.
    let there: BTreeSet<_> = target.acls().await.ok().flatten().unwrap_or_default().into_iter().collect();
    let missing: Vec<_> = wanted.iter().filter(|acl| !there.contains(acl)).cloned().collect();
    let mut taken = Vec::new();
    for (acl, outcome) in target.create(&missing).await {
        match outcome {
            Ok(()) => taken.push(acl),
            Err(error) => applied
                .warnings
                .push(format!("ACL is not added: {acl}: {error}; to add it: {}", commands.add_acl(&acl))),
        }
    }
    applied.acls += taken.len();
    let unshown = unshown(target, &taken).await;
    applied.warnings.extend(unshown.iter().map(|acl| {
        format!("ACL was added and the target does not show it: {acl}; to add it again: {}", commands.add_acl(acl))
    }));
}

/// Those of `taken` that `target` does not show after a limited number of looks. One that does not describe its ACLs any more
/// shows by that alone that they are in force.
async fn unshown(target: &impl Target, taken: &[AclBinding]) -> Vec<AclBinding> {
    let mut left: Vec<AclBinding> = Vec::new();
    for look in 0..if taken.is_empty() { 0 } else { LOOKS } {
        if look > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let Ok(there) = target.acls().await else { return Vec::new() };
        let there: BTreeSet<_> = there.unwrap_or_default().into_iter().collect();
        left = taken.iter().filter(|acl| !there.contains(acl)).cloned().collect();
        if left.is_empty() {
            break;
        }
    }
    left
}
