//! A connection on which requests wait for each other: a broker takes the next one of a connection when it has answered
//! the one before (`SocketServer` mutes the channel).

use tokio::sync::{Mutex, MutexGuard, watch};

/// A connection to one broker.
#[derive(Debug)]
pub(crate) struct Link {
    queue: Mutex<()>,
    broken: watch::Sender<bool>,
}

impl Link {
    pub(crate) fn new() -> Self {
        Self { queue: Mutex::new(()), broken: watch::Sender::new(false) }
    }

    /// Waits until everything sent before has been answered.
    pub(crate) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.queue.lock().await
    }

    pub(crate) fn break_now(&self) {
        self.broken.send_replace(true);
    }

    pub(crate) fn is_broken(&self) -> bool {
        *self.broken.borrow()
    }

    /// Waits until it breaks.
    pub(crate) async fn broken(&self) {
        // The sender lives as long as this does.
        let _ = self.broken.subscribe().wait_for(|broken| *broken).await;
    }
}
