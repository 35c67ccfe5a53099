//! Changes of the journal's record that nobody else comes in between.

use journal::{StoredFence, WriteFence};
use migration::{Error, Result};

use crate::ports::Record;

/// Changes that are tried before others are left to theirs.
pub(crate) const ATTEMPTS: u32 = 10;

/// Others changed the record each time.
pub(crate) fn lost_races() -> Error {
    Error::transient("cannot record the write fence: others changed the journal each time; repeat it")
}

/// Changes the record of a fence that is there; nothing where there is none, or where `with` changes nothing. Returns it as it
/// stands.
///
/// # Errors
/// Those of the journal.
pub(crate) async fn update(record: &impl Record, with: impl Fn(&mut WriteFence)) -> Result<Option<WriteFence>> {
    for _ in 0..ATTEMPTS {
        let Some(StoredFence { edition, fence: was }) = record.load().await? else { return Ok(None) };
        let mut fence = was.clone();
        with(&mut fence);
        if fence == was || record.store(Some(edition), &fence).await? {
            return Ok(Some(fence));
        }
    }
    Err(lost_races())
}
