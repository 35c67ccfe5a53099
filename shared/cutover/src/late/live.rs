//! Late records of a migration: found on its source, listed, and appended to its target.

mod sight;
mod source;
mod target;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use documents::CutoverPlan;
use documents::late::{self as document, Late};
use documents::late_append::{self, Append};
use journal::LateLease;
use kafka::Cluster;
use migration::{Error, Phase, Result};
use runtime::{Budget, Run, Store};
use serde::{Deserialize, Serialize};

use super::append::{Report, append};
use super::count::count;
use super::findings::Configs;
use super::look::look;
use super::ports::{CopyEnd, Ledger, Ports};
use crate::{is_done, watch};
use source::LiveSource;
use target::LiveTarget;

/// Under which a claim of a batch is known that keeps a tail that was left over from going on.
const OWNER: &str = "late-records";

/// What there is to know about the late records of a migration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// What was found just now, and is not on the target.
    pub late: Late,
    /// What an operator should know before it is appended, a line each.
    pub notices: Vec<String>,
    /// What was appended so far.
    pub appends: Vec<Append>,
}

/// Everything an append needs from outside.
struct Live<'a> {
    run: &'a Run<'a>,
    source: LiveSource<'a>,
    target: LiveTarget,
    budget: Budget,
}

impl<'a> Ports for Live<'a> {
    type Source = LiveSource<'a>;
    type Target = LiveTarget;
    type Ledger = Self;
    type Objects = Store;

    fn source(&self) -> &LiveSource<'a> {
        &self.source
    }

    fn target(&self) -> &LiveTarget {
        &self.target
    }

    fn ledger(&self) -> &Self {
        self
    }

    fn objects(&self) -> &Store {
        &self.run.store
    }

    fn now(&self) -> DateTime<Utc> {
        self.run.journal.now()
    }

    fn is_out_of_time(&self) -> bool {
        self.budget.is_spent()
    }
}

impl Ledger for Live<'_> {
    async fn phase(&self) -> Result<Phase> {
        let meta = self.run.journal.meta().await?;
        Ok(meta.failed_in.unwrap_or(meta.phase))
    }

    async fn claim(&self) -> Result<LateLease> {
        self.run.journal.claim_late().await
    }

    async fn check(&self, lease: &LateLease) -> Result<()> {
        self.run.journal.check_late(lease).await
    }

    async fn copied(&self) -> Result<(Vec<CopyEnd>, i64)> {
        let producer = self.run.meta.producer.ok_or_else(|| Error::internal("the migration has no producer id"))?;
        let mut ends = Vec::new();
        for batch in self.run.batches()? {
            // Fences a tail of which nobody knows: its records would be late and copied.
            let claimed = self.run.journal.claim(batch, OWNER).await?;
            let partitions = self.run.without_left_out(claimed.partitions);
            ends.extend(partitions.into_iter().map(CopyEnd::from));
        }
        Ok((ends, producer.id))
    }
}

/// Looks at the source for records that are neither copied nor appended; commits are not among them.
///
/// # Errors
/// Those of the source, the journal and the bucket.
pub(crate) async fn found(run: &Run<'_>, source: &Cluster, before: &Late, now: DateTime<Utc>) -> Result<Late> {
    let copied: Vec<_> = run.all_partitions().await?.into_iter().map(CopyEnd::from).collect();
    let appends = late_append::all(&run.store).await?;
    let look = look(&LiveSource::new(run, source).await?, &copied, &appends).await?;
    let known: BTreeMap<_, _> = before.records.iter().map(|late| (&late.partition, late.first_seen)).collect();
    let mut records = Vec::new();
    for stretch in &look.stretches {
        let first_seen = known.get(&stretch.partition).copied().unwrap_or(now);
        records.extend(count(source, stretch, first_seen).await?);
    }
    let unreadable = look.unreadable.into_iter().map(|(partition, why)| (partition.to_string(), why)).collect();
    Ok(Late { records, removed: look.removed, unreadable, ..Late::default() })
}

/// Lists the late records of `run`, looked at just now, and puts them on record.
///
/// # Errors
/// Blocked before the cutover is complete; those of the clusters, the journal and the bucket.
pub async fn list(run: &Run<'_>) -> Result<Listing> {
    let phase = run.meta.failed_in.unwrap_or(run.meta.phase);
    let plan = run.meta.plan.as_deref().filter(|_| is_done(phase)).ok_or_else(|| {
        Error::blocked(format_args!(
            "the migration is in phase {phase}: records can be late, and be appended, once the cutover is complete"
        ))
    })?;
    let plan: CutoverPlan = documents::read(&run.store, plan).await?;
    let before: Late = documents::read_if_there(&run.store, document::KEY).await?.unwrap_or_default();
    let late = watch::look(run, &plan, &before, run.journal.now()).await?;
    watch::record(run, phase, &before, &late).await?;
    let notices = notices(run, &late).await?;
    Ok(Listing { late, notices, appends: late_append::all(&run.store).await? })
}

/// What the target's configs mean for records that are appended now.
async fn notices(run: &Run<'_>, late: &Late) -> Result<Vec<String>> {
    if late.records.is_empty() {
        return Ok(Vec::new());
    }
    let topics: BTreeSet<_> = late.records.iter().map(|late| late.partition.topic.clone()).collect();
    let topics: Vec<_> = topics.into_iter().collect();
    let target = run.target().await?;
    let configs = target.topic_configs(&topics).await;
    let configs: BTreeMap<_, _> = configs.into_iter().filter_map(|(topic, found)| Some((topic, found.ok()?))).collect();
    let now = run.journal.now().timestamp_millis();
    let of = |late: &document::LateRecords| {
        let Some(found) = configs.get(&late.partition.topic) else {
            return vec![format!("{} cannot be appended: the target does not show its topic", late.partition)];
        };
        let newest = late.newest.map(|newest| newest.timestamp_millis());
        let refused = Configs(found).replaces_timestamps();
        let refused = refused.map(|why| format!("{} cannot be appended: {why}", late.partition));
        refused.into_iter().chain(Configs(found).notices(&late.partition, newest, now)).collect()
    };
    Ok(late.records.iter().flat_map(of).collect())
}

/// Appends the late records of `run` for `by`, see [`append`], and looks at the source again.
///
/// # Errors
/// Those of [`append`].
pub async fn append_for(run: &Run<'_>, by: &str, budget: Budget) -> Result<Report> {
    let (source, target) = tokio::try_join!(run.source(), run.target())?;
    let live =
        Live { run, source: LiveSource::new(run, &source).await?, target: LiveTarget { cluster: target }, budget };
    let report = append(&live, by).await?;
    if report.number.is_some() && !report.again {
        list(run).await?;
    }
    Ok(report)
}
