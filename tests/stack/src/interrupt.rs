//! Ctrl-C, and being told to stop.

use tokio::signal::unix::{SignalKind, signal};

/// Ends when this process is interrupted (SIGINT) or told to stop (SIGTERM). Both are caught from the call on, so that
/// whoever waits for it can stop what it started.
///
/// # Errors
/// When signals cannot be caught.
pub fn asked_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
