//! The journal against a stand-in for DynamoDB, whose endpoint is in `MSK_KRAFT_TEST_AWS`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "journal/support.rs"]
mod support;

#[path = "journal/gates.rs"]
mod gates;
#[path = "journal/progress.rs"]
mod progress;
#[path = "journal/runs.rs"]
mod runs;
