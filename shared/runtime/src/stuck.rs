//! Why a Map got nowhere: what its functions ended with, as they have recorded it.
//!
//! A reconcile sees that nothing was done and not why, since the Map tells nothing of its children.

use chrono::{DateTime, Utc};
use journal::{Heartbeat, LastError};
use migration::{BatchId, Error, Result};
use serde_json::json;

use crate::run::Run;

/// The fact that says when a Map got nowhere and nobody had recorded why.
const STOOD_STILL: &str = "stood_still";

/// The error that says `what` makes no progress, with the cause that the functions of `batches` recorded last: of several one
/// that does not pass by itself, and its kind. Transient when none was recorded. Causes from before `since` do not count.
///
/// # Errors
/// Those of the journal.
pub async fn no_progress(
    run: &Run<'_>,
    batches: impl IntoIterator<Item = BatchId>,
    since: Option<DateTime<Utc>>,
    what: &str,
) -> Result<Error> {
    let heartbeats = run.journal.heartbeats(batches).await?;
    let Some((batch, LastError { kind, message, .. })) = cause(heartbeats, since) else {
        // Whoever may not write the journal cannot leave there why it ended; trying to tells.
        run.journal.set_fact(STOOD_STILL, &json!(run.journal.now())).await?;
        return Ok(Error::transient(what));
    };
    Ok(Error::new(kind, format_args!("{what}; batch {batch}: {message}")))
}

fn cause(heartbeats: Vec<(BatchId, Option<Heartbeat>)>, since: Option<DateTime<Utc>>) -> Option<(BatchId, LastError)> {
    let recorded = heartbeats.into_iter().filter_map(|(batch, beat)| Some((batch, beat?.error?)));
    let counts = |(_, error): &(BatchId, LastError)| since.is_none_or(|since| error.at >= since);
    // The first of the least: batches are in order, and what does not pass comes first.
    recorded.filter(counts).min_by_key(|(_, error)| error.kind.is_retryable())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use migration::ErrorKind;

    use super::*;

    fn beat(kind: ErrorKind, at: DateTime<Utc>) -> Option<Heartbeat> {
        let error = LastError { kind, message: format!("{kind:?}"), at };
        Some(Heartbeat { at: None, epoch: 0, owner: String::new(), work: None, error: Some(error), refused: None })
    }

    #[test]
    fn what_does_not_pass_by_itself_is_the_cause() {
        let now = DateTime::from_timestamp(1_777_097_707, 0).unwrap();
        let before = now - TimeDelta::minutes(1);
        let beats = vec![
            (BatchId(0), None),
            (BatchId(1), beat(ErrorKind::Transient, now)),
            (BatchId(2), beat(ErrorKind::Blocked, now)),
            (BatchId(3), beat(ErrorKind::Unsafe, before)),
        ];
        let of = |since| cause(beats.clone(), since).map(|(batch, error)| (batch.0, error.kind));
        assert_eq!(of(None), Some((2, ErrorKind::Blocked)));
        assert_eq!(cause(beats[..2].to_vec(), Some(now)).unwrap().1.kind, ErrorKind::Transient);
        assert_eq!(cause(beats[3..].to_vec(), Some(now)), None);
        assert_eq!(cause(beats[..1].to_vec(), None), None);
    }
}
