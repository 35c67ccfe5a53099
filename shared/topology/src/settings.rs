//! What the target gets besides records and offsets: the topics' final configs, client quotas and ACLs.
//!
//! It is decided while producers go on ([`decide`], read-only), approved with the rehearsal, and put in place behind the
//! point of no return ([`apply`]), where nothing that the target refuses may hold anybody up. What somebody changes on the
//! source in between is named ([`appeared`]) and not carried over: it may be what stops the clients.

mod appeared;
mod apply;
mod commands;
mod decide;
mod found;

pub use appeared::appeared;
pub use apply::{Applied, apply, put};
pub use decide::{Basis, Decision, Refusal, code, decide, decide_from};
pub use found::{find, find_of};
