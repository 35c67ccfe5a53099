//! Late records: what a forgotten producer writes to the source behind the fence. They are listed, and appended to the target exactly
//! once when an operator says so.
//!
//! ```text
//!   claim ─► look at the source ─► read ─► findings ─► STORE the batches ─► STORE the plan, under the next number
//!                                                                                  │
//!   done ◄─ STORE what became of it ◄─ produce what is missing ◄─ scan the target for the append's producer id
//! ```
//! An append has a producer id of its own, and its sequence numbers are in the stored batches: whoever carries it out, however often,
//! sends the same bytes. What the target has of it is known by scanning from where the target ended when the append began, since
//! clients write there meanwhile. The number of an append can be taken once, and the next one begins when the one before is done.
//!
//! - [`mod@append`]: one append, from the claim to its outcome;
//! - [`ports`]: what an append needs from outside;
//! - [`live`]: the same of a migration, and the list of what was found.

pub mod append;
mod begin;
mod count;
mod findings;
pub mod live;
mod look;
pub mod ports;
mod produce;
mod reading;
mod sending;
mod uncertain;
mod walk;

pub use append::{Report, append};
