//! One append of late records, from the claim to its outcome.

use documents::late_append::{self, Append};
use migration::{Error, Result};
use serde::{Deserialize, Serialize};

use super::ports::{Ledger, Ports};
use super::{begin, produce};
use crate::is_done;

/// What one invocation did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The append that it worked on; none when there was nothing to append.
    pub number: Option<u32>,
    /// How many records that append brings over.
    pub records: i64,
    /// Of how many partitions.
    pub partitions: usize,
    /// What cannot be appended, and why, a line each.
    pub left_out: Vec<String>,
    /// Partitions of which it is not known whether everything arrived, a line each.
    pub problems: Vec<String>,
    /// Whether to call again: the append is not done, or there may be more.
    pub again: bool,
}

impl Report {
    fn of(number: u32, plan: &documents::LateAppend) -> Self {
        let records = plan.partitions.iter().map(|range| range.records).sum();
        Self { number: Some(number), records, partitions: plan.partitions.len(), ..Self::default() }
    }
}

/// Appends late records to the target for `by`: completes the append that is under way, or begins the next one. Repeating it after
/// a crash, or at the same time, appends nothing twice.
///
/// # Errors
/// Blocked before the cutover is complete, and when the target refuses records, naming what to do; Fenced when another
/// invocation has taken over; Unsafe when somebody else uses the append's producer id or the target replaced timestamps;
/// Transient when a cluster or AWS cannot be reached.
pub async fn append(ports: &impl Ports, by: &str) -> Result<Report> {
    let phase = ports.ledger().phase().await?;
    if !is_done(phase) {
        return Err(Error::blocked(format_args!(
            "the migration is in phase {phase}: records can be late, and be appended, once the cutover is complete"
        )));
    }
    let lease = ports.ledger().claim().await?;
    let appends = late_append::all(ports.objects()).await?;
    if let Some(Append { number, plan, done: None }) = appends.last() {
        let landed = produce::carry_out(ports, &lease, *number, plan).await?;
        // What came since is for a further append.
        return Ok(Report { again: true, problems: problems(landed), ..Report::of(*number, plan) });
    }
    let number = appends.last().map_or(1, |last| last.number + 1);
    let begun = begin::begin(ports, &lease, number, by, &appends).await?;
    let Some(plan) = begun.plan else {
        return Ok(Report { left_out: begun.left_out, again: begun.more, ..Report::default() });
    };
    let landed = produce::carry_out(ports, &lease, number, &plan).await?;
    let again = landed.is_none() || begun.more;
    Ok(Report { again, problems: problems(landed), left_out: begun.left_out, ..Report::of(number, &plan) })
}

fn problems(landed: Option<documents::late_append::LateAppended>) -> Vec<String> {
    let landed = landed.into_iter().flat_map(|landed| landed.partitions);
    landed.filter_map(|landed| Some(format!("{}: {}", landed.partition, landed.problem?))).collect()
}
