//! The lease of a cutover, and its point of no return.
//!
//! Of several invocations that work on one cutover the newest wins at once: it counts the run's cutover epoch up, and what the
//! others would decide is conditional on the epoch of their claim. The point of no return is one conditional write that sets
//! the mark and names the plan, so that whoever completes the cutover carries out that plan and no other.

use migration::{Error, Phase, Result};

use crate::Journal;
use crate::run::Meta;

/// The right to work on a cutover, until the next claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutoverLease {
    /// [`Meta::version`](crate::Meta::version) with which this cutover began: another cutover has another.
    pub version: u64,
    /// Every claim has a higher one than those before it, in other cutovers of the run too.
    pub epoch: u64,
}

impl Journal {
    /// Claims the cutover that is under way, and fences every claim before. Returns the run as it stands, with the claim.
    ///
    /// # Errors
    /// [`ErrorKind::Blocked`](migration::ErrorKind::Blocked) when the run is not in `cutover`,
    /// [`ErrorKind::Invalid`](migration::ErrorKind::Invalid) when it does not exist.
    pub async fn claim_cutover(&self) -> Result<(CutoverLease, Meta)> {
        let write = self.to_meta().add("cutover_epoch", 1).if_equal("phase", Phase::Cutover.name());
        let Some(item) = self.update("claim the cutover", write).await? else {
            return Err(self.not_in_cutover(&self.meta().await?));
        };
        let meta = self.meta_item(item)?;
        tracing::info!(run = %self.run, epoch = meta.cutover_epoch, "cutover claimed");
        Ok((CutoverLease { version: meta.version, epoch: meta.cutover_epoch }, meta))
    }

    /// Checks that no newer claim was made and that the cutover was not given up.
    ///
    /// # Errors
    /// [`ErrorKind::Fenced`](migration::ErrorKind::Fenced) when another invocation claimed it,
    /// [`ErrorKind::Blocked`](migration::ErrorKind::Blocked) when the run is in another phase, or in another cutover.
    pub async fn check_cutover(&self, lease: &CutoverLease) -> Result<()> {
        let meta = self.meta().await?;
        self.why_not(lease, &meta).map_or(Ok(()), Err)
    }

    /// Marks the point of no return, from which on the plan under the key `plan` is carried out. To be called before the first
    /// offset is committed on the target, so that a crash in between errs on the safe side. Repeating it with the same plan is
    /// fine, in a later phase too.
    ///
    /// # Errors
    /// As [`Journal::check_cutover`]; Fenced too when another plan is marked already.
    pub async fn mark_committed(&self, lease: &CutoverLease, plan: &str) -> Result<()> {
        let write = self
            .to_meta()
            .set("committed", true)
            .set("plan", plan)
            .if_equal("phase", Phase::Cutover.name())
            .if_equal("version", lease.version)
            .if_equal("cutover_epoch", lease.epoch)
            .if_equal("committed", false);
        if self.update("mark the point of no return", write).await?.is_some() {
            tracing::info!(run = %self.run, plan, "point of no return");
            return Ok(());
        }
        let meta = self.meta().await?;
        match &meta.plan {
            Some(marked) if marked == plan => Ok(()),
            Some(marked) => Err(Error::fenced(format_args!(
                "another invocation passed the point of no return with {marked}: it completes the cutover"
            ))
            .in_run(&self.run)),
            None => Err(self.why_not(lease, &meta).unwrap_or_else(|| self.lost_races("mark the point of no return"))),
        }
    }

    /// What keeps the holder of `lease` from going on.
    fn why_not(&self, lease: &CutoverLease, meta: &Meta) -> Option<Error> {
        if meta.phase != Phase::Cutover {
            return Some(self.not_in_cutover(meta));
        }
        let error = if meta.version != lease.version {
            Error::blocked("this cutover was given up and another one began")
        } else if meta.cutover_epoch != lease.epoch {
            Error::fenced(format_args!(
                "another invocation took the cutover over (epoch {}, this one has {})",
                meta.cutover_epoch, lease.epoch
            ))
        } else {
            return None;
        };
        Some(error.in_run(&self.run))
    }

    fn not_in_cutover(&self, meta: &Meta) -> Error {
        Error::blocked(format_args!("the migration is in phase {}, not in cutover", meta.phase)).in_run(&self.run)
    }
}
