//! The closed table of error names, and what a task does about each.

use migration::ErrorKind;
use serde_json::{Value, json};

/// What a task does when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Repeats, with backoff.
    Backoff,
    /// Leaves it to `Catch`: repeating cannot help, or could do harm.
    Never,
}

/// Faults of Lambda's service and of the way to it; the function may or may not have run, which its journal makes safe.
pub const LAMBDA: [&str; 5] = [
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
];

/// Names that Step Functions itself gives. `States.ALL` stands for every name that is not in the table too: the crash of
/// a function, its own time limit, the time limit of a state.
pub const STATES: [&str; 3] = ["States.ALL", "States.Timeout", "States.HeartbeatTimeout"];

/// Names given by a `Fail` state. A `States.*` error must not leave a branch of a Parallel, so a branch ends in one of
/// these.
pub const RAISED: [&str; 2] = ["BranchFailed", "MigrationFailed"];

/// Errors in name only: a branch that is done ends its Parallel with one, since the branch beside it only accompanies it and
/// a Parallel that succeeds waits for all of its branches.
pub const DONE: [&str; 2] = ["CutOver", "Finalized"];

/// What a task does when its function failed with `kind`. A kind that is missing here does not compile.
pub const fn retry(kind: ErrorKind) -> Retry {
    match kind {
        ErrorKind::Transient => Retry::Backoff,
        ErrorKind::Fenced
        | ErrorKind::Invalid
        | ErrorKind::Blocked
        | ErrorKind::Unsafe
        | ErrorKind::Deadline
        | ErrorKind::Internal => Retry::Never,
    }
}

/// The kinds' names with this answer, in the order of [`ErrorKind::ALL`].
pub fn kinds(answer: Retry) -> Vec<&'static str> {
    ErrorKind::ALL.into_iter().filter(|kind| retry(*kind) == answer).map(ErrorKind::name).collect()
}

/// The names of what may pass by itself: faults of Lambda's service, and kinds that are retried.
pub fn passing() -> Vec<&'static str> {
    kinds(Retry::Backoff).into_iter().chain(LAMBDA).collect()
}

/// Whether the table has this name.
pub fn is_known(name: &str) -> bool {
    let kinds = ErrorKind::ALL.map(ErrorKind::name);
    [&kinds[..], &LAMBDA, &STATES, &RAISED, &DONE].into_iter().flatten().any(|known| *known == name)
}

/// The one `Retry` block that every task has, gates excepted. Delays are in seconds and drawn between zero and the
/// backoff (full jitter), so that the children of a Map do not come back together.
pub fn retry_block() -> Value {
    json!([
        {"ErrorEquals": kinds(Retry::Never), "MaxAttempts": 0},
        backoff(&passing(), 8),
        // Whatever has no name of its own; Step Functions wants it last and alone.
        backoff(&["States.ALL"], 3),
    ])
}

fn backoff(names: &[&str], attempts: u32) -> Value {
    json!({
        "ErrorEquals": names,
        "IntervalSeconds": 1,
        "BackoffRate": 2,
        "MaxDelaySeconds": 30,
        "MaxAttempts": attempts,
        "JitterStrategy": "FULL",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_agrees_with_the_kinds_themselves() {
        for kind in ErrorKind::ALL {
            assert_eq!(kind.is_retryable(), retry(kind) == Retry::Backoff, "{kind}");
            assert!(is_known(kind.name()));
        }
        assert!(!is_known("Runtime.ExitError") && !is_known("transient"));
    }
}
