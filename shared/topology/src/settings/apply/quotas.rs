//! Client quotas.

use std::collections::BTreeMap;

use kafka::{ClientQuota, QuotaChange};

use super::port::Target;
use super::{Applied, LOOK_EVERY, LOOKS};
use crate::quotas::{by_limit, is_same};
use crate::settings::commands::Commands;

/// Sets the `wanted` limits that `target` does not have.
pub(super) async fn put(target: &impl Target, wanted: &[ClientQuota], commands: &Commands, applied: &mut Applied) {
    if wanted.is_empty() {
        return;
    }
    // One that does not describe its quotas may still take some.
    let there = target.quotas().await.unwrap_or_default();
    let changes = lacking(wanted, &there);
    let mut taken = Vec::new();
    for (change, (entity, outcome)) in changes.iter().zip(target.alter_quotas(&changes).await) {
        match outcome {
            Ok(()) => taken.push(change.clone()),
            Err(error) => applied.warnings.push(format!(
                "client quota of {entity} is not set: {error}; to set it: {}",
                commands.alter_quota(&entity, &change.limits)
            )),
        }
    }
    applied.quotas += taken.iter().map(|change| change.limits.len()).sum::<usize>();
    applied.warnings.extend(unshown(target, &taken, commands).await);
}

/// The limits of `wanted` that are not `there`, by entity.
fn lacking(wanted: &[ClientQuota], there: &[ClientQuota]) -> Vec<QuotaChange> {
    let there = by_limit(there);
    let change = |quota: &ClientQuota| {
        let is_lacking = |name: &str, limit: f64| {
            let found = there.get(&(&quota.entity, name)).copied();
            !is_same(found, Some(limit))
        };
        let limits = quota.limits.iter().filter(|(name, limit)| is_lacking(name, **limit));
        let limits: BTreeMap<_, _> = limits.map(|(name, limit)| (name.clone(), Some(*limit))).collect();
        (!limits.is_empty()).then(|| QuotaChange { entity: quota.entity.clone(), limits })
    };
    wanted.iter().filter_map(change).collect()
}

/// Looks for a limited number of times until `target` shows what it took; gives a line about each limit that it does not.
async fn unshown(target: &impl Target, taken: &[QuotaChange], commands: &Commands) -> Vec<String> {
    let set: Vec<_> = taken
        .iter()
        .map(|change| ClientQuota {
            entity: change.entity.clone(),
            limits: change.limits.iter().filter_map(|(name, limit)| Some((name.clone(), (*limit)?))).collect(),
        })
        .collect();
    let mut left = Vec::new();
    let mut shown = Vec::new();
    for look in 0..if set.is_empty() { 0 } else { LOOKS } {
        if look > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        // That it took them is known; what it shows is not where it does not describe them.
        let Ok(there) = target.quotas().await else { return Vec::new() };
        left = lacking(&set, &there);
        shown = there;
        if left.is_empty() {
            return Vec::new();
        }
    }
    let shown = by_limit(&shown);
    let line = |change: &QuotaChange| {
        let limit = |(name, limit): (&String, &Option<f64>)| {
            let found = shown.get(&(&change.entity, name.as_str()));
            let found = found.map_or_else(|| "not set".to_owned(), ToString::to_string);
            format!("{name} is {found} instead of {}", limit.unwrap_or_default())
        };
        let limits: Vec<_> = change.limits.iter().map(limit).collect();
        format!(
            "client quota of {}: the target took it and shows something else: {}; to set it: {}",
            change.entity,
            limits.join(", "),
            commands.alter_quota(&change.entity, &change.limits)
        )
    };
    left.iter().map(line).collect()
}
