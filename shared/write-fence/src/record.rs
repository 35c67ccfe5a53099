//! Changes of the journal's record that nobody else comes in between.

use journal::WriteFence;
use migration::{Error, Result};

use crate::ports::Record;

/// Changes that are tried before others are left to theirs.
const ATTEMPTS: u32 = 10;

/// Changes the record by `change`, which says what it is to be, or nothing to leave it as it is. Returns it as it stands.
///
/// # Errors
/// Those of the journal, and of `change`.
pub(crate) async fn change(
    record: &impl Record,
    change: impl Fn(Option<WriteFence>) -> Result<Option<WriteFence>>,
) -> Result<Option<WriteFence>> {
    for _ in 0..ATTEMPTS {
        let stored = record.load().await?;
        let edition = stored.as_ref().map(|stored| stored.edition);
        let was = stored.map(|stored| stored.fence);
        let Some(fence) = change(was.clone())? else { return Ok(was) };
        if record.store(edition, &fence).await? {
            return Ok(Some(fence));
        }
    }
    Err(Error::transient("cannot record the write fence: others changed the journal each time; repeat it"))
}

/// The same for a fence that is there; nothing changes where there is none.
///
/// # Errors
/// Those of the journal.
pub(crate) async fn update(record: &impl Record, with: impl Fn(&mut WriteFence)) -> Result<Option<WriteFence>> {
    change(record, |fence| {
        Ok(fence.and_then(|was| {
            let mut fence = was.clone();
            with(&mut fence);
            (fence != was).then_some(fence)
        }))
    })
    .await
}
