//! Which topics a migration made on the target, on record before they are made there: whoever takes them away again must not
//! depend on how far the invocation came that made them.
//!
//! Each announcement is one object that nobody can replace, numbered from 0.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use documents::PutOnce;
use migration::{Error, Result};
use runtime::Store;

/// Folder of the announcements in the run's store.
pub const FOLDER: &str = "topology/made/";

/// Puts on record that topics of these names are about to be created on the target. Names that are there already are not
/// repeated.
///
/// # Errors
/// What S3 gives.
pub async fn announce(store: &Store, names: impl IntoIterator<Item = Arc<str>>) -> Result<()> {
    let mut new: BTreeSet<Arc<str>> = names.into_iter().collect();
    let mut number = 0;
    while !new.is_empty() {
        let name = format!("{FOLDER}{number:04}.json");
        match store.get(&name).await? {
            Some(object) => {
                let known: BTreeSet<Arc<str>> = serde_json::from_slice(&object.body)
                    .map_err(|error| Error::internal(format_args!("{} cannot be read: {error}", store.url(&name))))?;
                new.retain(|name| !known.contains(name));
                number += 1;
            }
            None => {
                let body =
                    serde_json::to_vec(&new).map_err(|error| Error::internal(format_args!("{name}: {error}")))?;
                // Another invocation that was faster may have announced others.
                if store.put_once(&name, body.into(), HashMap::new()).await? == PutOnce::Stored {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
