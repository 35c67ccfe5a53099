//! The function against a stand-in for AWS (moto) at `MSK_KRAFT_TEST_AWS` and webhooks of its own; without the variable every
//! test that needs it says that it is skipped.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "the rules' exceptions for tests miss a test's helpers")]

mod acknowledge;
mod bench;
mod decide;
mod ends;
mod enter;
mod fence;
mod freeze;
pub(crate) mod hook;
mod pulse;
mod switch;
