//! Connections kept open, a separate one for every purpose.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::connection::Connection;
use crate::error::Result;
use crate::settings::Settings;

/// What a connection is used for. A broker works on one request of a connection at a time, so that a fetch which waits
/// for records would hold up everything behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// Fetch requests, which may wait.
    Fetch,
    /// Produce requests.
    Produce,
    /// Everything else.
    Admin,
}

/// Which of the connections to a broker is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) broker: i32,
    pub(crate) purpose: Purpose,
    pub(crate) lane: u8,
}

type Slot = Arc<tokio::sync::Mutex<Option<Arc<Connection>>>>;

/// The connections to one cluster.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    slots: Mutex<HashMap<Key, Slot>>,
}

impl Pool {
    /// The connection for `key`, made now unless there is a usable one to `address`. Callers that want the same one wait
    /// for each other instead of connecting twice.
    pub(crate) async fn get(&self, key: Key, address: &str, settings: &Settings) -> Result<Arc<Connection>> {
        let slot = self.slots.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
        let mut slot = slot.lock().await;
        if let Some(open) = slot.as_ref().filter(|open| !open.is_closed() && open.address() == address) {
            return Ok(open.clone());
        }
        // Requests in flight on a connection that is replaced still hold it, and end in their own time.
        *slot = None;
        let opened = Arc::new(Connection::open(address, settings).await?);
        *slot = Some(opened.clone());
        Ok(opened)
    }
}
