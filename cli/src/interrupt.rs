//! Signals that end this program before its time.

use futures::future::{pending, select_all};
use tokio::signal::unix::{SignalKind, signal};

use crate::session::UNDER_WAY;

/// Waits for Ctrl-C, a request to end, or the loss of the terminal. Returns the exit code as shells know it: 128 and the
/// signal's number.
pub(crate) async fn received() -> i32 {
    let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate()];
    if !ignores_hangups() {
        kinds.push(SignalKind::hangup());
    }
    select_all(kinds.into_iter().map(|kind| Box::pin(one(kind)))).await.0
}

async fn one(kind: SignalKind) -> i32 {
    let Ok(mut signals) = signal(kind) else { return pending().await };
    if signals.recv().await.is_none() {
        return pending().await;
    }
    128 + kind.as_raw_value()
}

/// Whether hangups were ignored when this program was started, as `nohup` does it: then they stay so. Where there is no
/// `/proc` they are not.
fn ignores_hangups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    ignored >> (SignalKind::hangup().as_raw_value() - 1) & 1 == 1
}

/// What there is to know after an interrupt.
pub(crate) fn explained() -> String {
    match UNDER_WAY.get() {
        Some(line) => format!(
            "\ninterrupted: the migration {} goes on in AWS\n  look at it: {}\n  follow it:  {}",
            line.migration_id,
            line.command("status"),
            line.command("resume")
        ),
        None => "\ninterrupted".to_owned(),
    }
}
