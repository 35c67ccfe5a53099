//! From what was gathered to findings: pure functions, one for each concern.
//!
//! Codes are stable: `B` blocks, `W` warns, `I` informs. A number is never used again for something else.
//! `docs/PRECHECK_CODES.md` lists them.

mod authorizer;
mod broker_types;
mod buckets;
mod clients;
mod clusters;
mod defaults;
mod differences;
mod expiry;
mod finding;
mod in_place;
mod lockout;
mod permissions;
mod protocol;
mod quotas;
mod records;
mod replicas;
mod security;
mod sizes;
mod storage;
mod topics;
mod transactions;
mod unread;

use migration::report::{Estimate, Finding, PrecheckReport};

use crate::estimate::{self, Side};
use crate::facts::Facts;

pub(crate) use buckets::cannot_store;
pub(crate) use clients::sink_groups;
pub(crate) use finding::{count, few};
pub(crate) use sizes::too_small;

/// Judges what was gathered.
pub(crate) fn judge(facts: &Facts) -> PrecheckReport {
    const RULES: [fn(&Facts) -> Vec<Finding>; 21] = [
        clusters::judge,
        buckets::judge,
        sizes::judge,
        differences::judge,
        protocol::judge,
        topics::judge,
        expiry::judge,
        replicas::judge,
        defaults::judge,
        records::judge,
        clients::judge,
        transactions::judge,
        quotas::judge,
        permissions::judge,
        lockout::judge,
        authorizer::judge,
        broker_types::judge,
        storage::judge,
        security::judge,
        in_place::judge,
        unread::judge,
    ];
    PrecheckReport::new(RULES.iter().flat_map(|rule| rule(facts)).collect())
}

/// How long the seed would take, when the clusters and their sizes are known.
fn estimated(facts: &Facts) -> Option<Estimate> {
    let (source, target) = (facts.source.reached.as_ref().ok()?, facts.target.reached.as_ref().ok()?);
    let sizes = facts.leaving.as_ref()?.sizes.as_ref().ok()?;
    let work = estimate::Work::new(&facts.config, &source.partitions(sizes));
    Some(estimate::seed(&facts.config, &Side::of(&facts.source, source), &Side::of(&facts.target, target), &work))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_healthy_pair_of_clusters_has_no_finding() {
        assert_eq!(judge(&sample::facts()), PrecheckReport::default());
    }

    #[test]
    fn blockers_come_first_then_codes_then_subjects() {
        let mut facts = sample::facts();
        facts.config.cutover.reverse_replication_enabled = true;
        facts.target.described = Err(migration::Error::blocked("denied"));
        facts.source.described = Err(migration::Error::blocked("denied"));
        facts.config.target.cluster_arn = facts.config.source.cluster_arn.clone();
        let report = judge(&facts);
        let order: Vec<_> =
            report.findings.iter().map(|finding| (finding.code.as_str(), finding.subject.as_str())).collect();
        assert_eq!(order, [("B05", "source and target"), ("B13", "cutover"), ("W13", "source"), ("W13", "target")]);
    }
}
