//! This client against real brokers, those of the stack that `scripts/test` keeps up: one program, since each one is compiled with
//! all of the client.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "the rules' exceptions for tests miss a test's helpers")]

mod access;
mod auth;
mod cluster;
mod common;
mod coordinators;
mod markers;
mod raw;
mod write_fence;
