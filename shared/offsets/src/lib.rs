//! Which offset of the source became which offset of the target.
//!
//! - [`runs`]: stretches of records that are dense on both sides, and the one rule of translation;
//! - [`store`]: where the runs of a partition are kept, and lookups that need memory for a part of them only.

mod leb128;
pub mod runs;
pub mod store;

pub use runs::{OffsetRun, OffsetRuns};
pub use store::{OffsetMap, Place};
