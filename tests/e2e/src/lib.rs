//! A rehearsal of a whole migration on the local stack: a realistic source, live clients, the operator's CLI, and a judge
//! that shares no code with the project. The demonstration and the end-to-end tests are made of these.

pub mod cli;
pub mod config;
pub mod deployment;
pub mod evidence;
pub mod holding;
pub mod java;
pub mod leaders;
pub mod live;
pub mod readers;
pub mod records;
pub mod rehearsal;
pub mod rights;
pub mod small;
pub mod transaction;

pub use cli::{Cli, Output};
pub use deployment::{Deployment, SignIn};
pub use holding::Holding;
pub use java::Java;
pub use live::Live;
pub use rehearsal::{Rehearsal, Verdict};
