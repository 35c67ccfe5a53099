//! Connections kept open, a separate one for every purpose.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::connection::Connection;
use crate::error::{Error, Result};
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

type Slot = Arc<tokio::sync::Mutex<Latest>>;

/// What came of the latest attempt to connect.
#[derive(Debug, Default)]
enum Latest {
    /// There was none.
    #[default]
    Nothing,
    /// A connection, which may be closed by now.
    Open(Arc<Connection>),
    /// To this address it failed, at this time.
    Failed(String, Instant, Error),
}

/// The connections to one cluster.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    slots: Mutex<HashMap<Key, Slot>>,
}

impl Pool {
    /// The connection for `key`, made now unless there is a usable one to `address`. Callers that want the same one wait
    /// for one attempt together, and share its outcome also when it fails.
    pub(crate) async fn get(&self, key: Key, address: &str, settings: &Settings) -> Result<Arc<Connection>> {
        let slot = self.slots.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
        let asked = Instant::now();
        let mut slot = slot.lock().await;
        match &*slot {
            Latest::Open(open) if !open.is_closed() && open.address() == address => return Ok(open.clone()),
            Latest::Failed(to, at, error) if to == address && *at >= asked => return Err(error.clone()),
            _ => {}
        }
        // Requests in flight on a connection that is replaced still hold it, and end in their own time.
        *slot = Latest::Nothing;
        match Connection::open(address, settings).await {
            Ok(opened) => {
                let opened = Arc::new(opened);
                *slot = Latest::Open(opened.clone());
                Ok(opened)
            }
            Err(error) => {
                *slot = Latest::Failed(address.to_owned(), Instant::now(), error.clone());
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::join_all;
    use std::time::Duration;
    use tokio::net::TcpListener;

    const KEY: Key = Key { broker: 1, purpose: Purpose::Admin, lane: 0 };

    #[tokio::test]
    async fn those_who_wait_for_an_attempt_share_its_failure() {
        // It takes connections and never answers, like a security group that drops what comes.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap().to_string();
        let mut settings = Settings::parse(&address);
        settings.connect_timeout = Duration::from_millis(50);
        let pool = Pool::default();
        let outcomes = join_all((0..100).map(|_| pool.get(KEY, &address, &settings))).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(Error::Timeout { .. }))));
        // Whoever comes later tries again.
        pool.get(KEY, &address, &settings).await.unwrap_err();
        let mut attempts = 0;
        while tokio::time::timeout(Duration::from_millis(20), silent.accept()).await.is_ok() {
            attempts += 1;
        }
        assert_eq!(attempts, 2);
    }
}
