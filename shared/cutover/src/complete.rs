//! Everything behind the point of no return: what the plan says is carried out, by whichever invocation, until it is done.

use documents::commits::CommittedChunk;
use documents::cutover_plan::{CutoverPlan, PartitionEnd};
use documents::cutover_report::{self, CutoverReport, ReportedEnd};
use journal::CutoverLease;
use migration::Result;

use crate::Outcome;
use crate::ports::{Applied, BehindTheMark, Ledger, Target};
use crate::steps::Steps;
use crate::{commit, groups};

/// Carries out the plan under the key `key` and moves on. Repeating it changes nothing.
///
/// # Errors
/// Transient when a cluster or AWS cannot be reached, Fenced when another invocation took over.
pub(crate) async fn carry_out(
    ports: &impl BehindTheMark,
    lease: &CutoverLease,
    key: &str,
    steps: &Steps,
) -> Result<Outcome> {
    // The tail is told to stop, and not waited for.
    ports.ledger().stop_tail().await?;
    let plan: CutoverPlan = documents::read(ports.objects(), key).await?;
    let work = commit::commit(ports, lease, key, &plan.groups, steps);
    let committed = steps.time("commit and read back", work).await?;
    let applied = steps.time("configs, quotas and ACLs", apply(ports, &plan)).await?;
    let report = report(ports, key, plan, committed, applied, steps).await?;
    documents::write(ports.objects(), cutover_report::KEY, &report).await?;
    let CutoverReport { groups_translated, offsets_committed, freeze_ms, warnings, .. } = report;
    let reason = format!(
        "READY_FOR_CLIENT_SWITCH: groups_translated={groups_translated} offsets_committed={offsets_committed} warnings={}",
        warnings.len()
    );
    ports.ledger().ready(&reason).await?;
    Ok(Outcome::Ready { groups_translated, offsets_committed, freeze_ms })
}

/// Puts the settings in place. What cannot be done is a warning, unless another try may do it.
async fn apply(ports: &impl BehindTheMark, plan: &CutoverPlan) -> Result<Applied> {
    match ports.target().apply(&plan.settings).await {
        Err(error) if !error.kind.is_retryable() => Ok(Applied {
            warnings: vec![format!("configs, quotas and ACLs were not put in place: {error}")],
            ..Applied::default()
        }),
        outcome => outcome,
    }
}

async fn report(
    ports: &impl BehindTheMark,
    key: &str,
    plan: CutoverPlan,
    committed: CommittedChunk,
    applied: Applied,
    steps: &Steps,
) -> Result<CutoverReport> {
    let frozen_at = ports.ledger().frozen_since().await?;
    let ready_at = ports.now();
    let freeze_ms = frozen_at.map_or(0, |at| (ready_at - at).num_milliseconds().max(0).unsigned_abs());
    let of_groups = plan.groups.iter().filter_map(groups::warning);
    let warnings = of_groups.chain(committed.warnings).chain(plan.warnings).chain(applied.warnings).collect();
    let end =
        |PartitionEnd { partition, source_end, target_end, .. }| ReportedEnd { partition, source_end, target_end };
    Ok(CutoverReport {
        groups_translated: committed.groups,
        offsets_committed: committed.offsets,
        not_committed: committed.not_committed,
        topics_reconfigured: applied.configs,
        quotas_set: applied.quotas,
        acls_created: applied.acls,
        warnings,
        plan: key.to_owned(),
        frozen_at,
        ready_at,
        freeze_ms,
        steps: steps.times(),
        ends: plan.ends.into_iter().map(end).collect(),
    })
}
