//! The lease of an append of late records.
//!
//! As with a cutover, the newest of several invocations wins at once: it counts the run's late epoch up, and the others find that
//! before they produce on.

use migration::{Error, Result};

use crate::Journal;

/// The right to append late records, until the next claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LateLease {
    /// Every claim of the run has a higher one than those before it.
    pub epoch: u64,
}

impl Journal {
    /// Claims the late records of the run, and fences every claim before.
    ///
    /// # Errors
    /// [`ErrorKind::Blocked`](migration::ErrorKind::Blocked) before the point of no return, from which on records are late,
    /// [`ErrorKind::Invalid`](migration::ErrorKind::Invalid) when the run does not exist.
    pub async fn claim_late(&self) -> Result<LateLease> {
        let write = self.to_meta().add("late_epoch", 1).if_equal("committed", true);
        let Some(item) = self.update("claim the late records", write).await? else {
            let phase = self.meta().await?.phase;
            return Err(Error::blocked(format_args!(
                "the migration is in phase {phase}, before the point of no return: what is written to the source is copied"
            ))
            .in_run(&self.run));
        };
        let epoch = self.meta_item(item)?.late_epoch;
        tracing::info!(run = %self.run, epoch, "late records claimed");
        Ok(LateLease { epoch })
    }

    /// Checks that no newer claim was made.
    ///
    /// # Errors
    /// [`ErrorKind::Fenced`](migration::ErrorKind::Fenced) when another invocation claimed them.
    pub async fn check_late(&self, lease: &LateLease) -> Result<()> {
        let found = self.meta().await?.late_epoch;
        if found == lease.epoch {
            return Ok(());
        }
        Err(Error::fenced(format_args!(
            "another invocation appends the late records now (epoch {found}, this one has {})",
            lease.epoch
        ))
        .in_run(&self.run))
    }
}
