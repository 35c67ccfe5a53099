//! The journal against a stand-in for DynamoDB, whose endpoint is in `MSK_KRAFT_TEST_AWS`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "the rules' exceptions for tests miss a test's helpers")]

#[path = "journal/support.rs"]
mod support;

#[path = "journal/acceptances.rs"]
mod acceptances;
#[path = "journal/batches.rs"]
mod batches;
#[path = "journal/freezes.rs"]
mod freezes;
#[path = "journal/gates.rs"]
mod gates;
#[path = "journal/heartbeats.rs"]
mod heartbeats;
#[path = "journal/owners.rs"]
mod owners;
#[path = "journal/restarts.rs"]
mod restarts;
#[path = "journal/runs.rs"]
mod runs;
