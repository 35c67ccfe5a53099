//! The cutover as a protocol: rehearsed while producers go on, bounded while they stand still, leased to one invocation, and
//! carried out by one plan that is stored before its point of no return.
//!
//! ```text
//!   claim the lease ─► [set the write fence] ─► prove the fence ─► place sentinels ─► drain ─► translate ─► prove the fence again ─► store the plan
//!                                                                                                                                      │
//!   ready ◄─ configs, quotas, ACLs ◄─ commit by chunks, read back ◄─ MARK: phase, epoch and the plan's key in one write ◄──────────────┘
//! ```
//! Left of the mark everything can be given up and is repeated from the start; right of it everything is completed from the
//! plan, however often that takes, and what the target refuses is a warning with its repair.
//!
//! - [`rehearse`]: everything that can fail, tried before producers stop;
//! - [`watch`]: what reaches the source behind the fence;
//! - [`late`]: the same, listed and appended to the target;
//! - [`ports`]: what a cutover needs from outside;
//! - [`live`]: the clusters, the journal and the bucket of a migration as ports.

mod acl_fence;
mod commit;
mod complete;
mod drain;
mod fence;
pub mod groups;
pub mod late;
mod limit;
pub mod live;
mod metadata;
pub mod ports;
mod prepare;
mod proofs;
pub mod rehearse;
mod steps;
#[cfg(test)]
mod test_rehearsal;
mod translate;
pub mod watch;

use migration::config::{Cutover, Topology};
use migration::{BatchId, Error, ErrorKind, Phase, Result};
use serde::Serialize;

use ports::{BehindTheMark, Ledger, Ports};
use steps::Steps;

/// What is to be cut over, and how.
#[derive(Debug, Clone)]
pub struct Job {
    /// The cutover's settings.
    pub limits: Cutover,
    /// The topics of this wave.
    pub selection: Topology,
    /// The batches that its partitions are assigned to.
    pub batches: Vec<BatchId>,
    /// Id of the rehearsal that was approved.
    pub rehearsal: String,
}

/// What became of a cutover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Offsets are on the target, and clients can be switched.
    Ready {
        /// Groups with at least one offset on the target.
        groups_translated: usize,
        /// Offsets on the target.
        offsets_committed: usize,
        /// From the confirmed freeze to now, in milliseconds.
        freeze_ms: u64,
    },
    /// Another invocation had completed it.
    Already,
}

/// Cuts over, or completes what was begun. Several invocations may do so at once: the newest wins.
///
/// # Errors
/// Before the point of no return those of which nothing remains: Deadline when the freeze would last too long, Unsafe when a
/// producer goes on writing or the target lost records, Blocked when producers are not frozen or something cannot be brought
/// over. After it only what another invocation cures: Transient, and Fenced when one has taken over.
pub async fn cut_over(ports: &impl Ports, job: &Job) -> Result<Outcome> {
    unless_done(ports, claim_and_work(ports, job)).await
}

/// Completes a cutover that has passed its point of no return. The source is not asked for anything.
///
/// # Errors
/// As [`cut_over`] behind its point of no return; Blocked when there is nothing to complete.
pub async fn complete(ports: &impl BehindTheMark) -> Result<Outcome> {
    unless_done(ports, claim_and_complete(ports)).await
}

/// Does `work` unless the migration is cut over.
async fn unless_done(ports: &impl BehindTheMark, work: impl Future<Output = Result<Outcome>>) -> Result<Outcome> {
    match ports.ledger().phase().await? {
        Phase::Cutover => {}
        phase if is_done(phase) => return Ok(Outcome::Already),
        other => return Err(Error::blocked(format_args!("the migration is in phase {other}, not in cutover"))),
    }
    match work.await {
        // Another invocation may have completed it since.
        Err(error) if matches!(error.kind, ErrorKind::Fenced | ErrorKind::Blocked) => {
            if is_done(ports.ledger().phase().await?) { Ok(Outcome::Already) } else { Err(error) }
        }
        outcome => outcome,
    }
}

/// Whether a migration in `phase` is cut over.
const fn is_done(phase: Phase) -> bool {
    matches!(phase, Phase::AwaitingClientSwitch | Phase::Validating | Phase::Finalized)
}

async fn claim_and_work(ports: &impl Ports, job: &Job) -> Result<Outcome> {
    let steps = Steps::default();
    let (lease, plan) = ports.ledger().claim().await?;
    let plan = match plan {
        Some(plan) => plan,
        None => prepare::decide(ports, job, &lease, &steps).await?,
    };
    Box::pin(complete::carry_out(ports, &lease, &plan, &steps)).await
}

async fn claim_and_complete(ports: &impl BehindTheMark) -> Result<Outcome> {
    let (lease, plan) = ports.ledger().claim().await?;
    let plan = plan.ok_or_else(|| Error::blocked("the cutover has not passed its point of no return"))?;
    complete::carry_out(ports, &lease, &plan, &Steps::default()).await
}
