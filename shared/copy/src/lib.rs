//! The copy of partitions: source leader → raw batches → S3 → target leader → journal.
//!
//! What is produced is decided once, when a stretch of batches is stored in S3 under a name nobody can take again; from
//! then on every attempt, by whichever invocation, produces the same bytes with the same sequence numbers. Together with
//! the broker's duplicate detection (KIP-98) that makes a copy exactly once across crashes, retries and duplicate
//! invocations.
//!
//! - [`slice`](mod@slice): a stretch of one partition, made from a fetched record set;
//! - [`reader`]: fetches slices from the source;
//! - [`objects`]: the S3 objects that hold slices;
//! - [`writer`]: produces slices to the target, resending identical bytes;
//! - [`engine`]: reads, stores, writes and checkpoints at the same time;
//! - [`pace`]: holds a copy back;
//! - [`ports`]: what a copy needs from outside;
//! - [`pulse`]: how its work goes, told to the journal while it lasts;
//! - [`live`]: a copy in production;
//! - [`keys`]: compares compacted partitions by key;
//! - [`recount`]: counts what lies on the target, by reading it again;
//! - [`measure`]: how far a copy is behind now;
//! - [`batches`]: which partitions one invocation copies.

pub mod batches;
pub mod engine;
pub mod keys;
pub mod live;
pub mod measure;
pub mod objects;
pub mod pace;
pub mod ports;
pub mod pulse;
pub mod reader;
pub mod recount;
#[cfg(test)]
mod refusing;
pub mod slice;
pub mod writer;

pub use engine::{Outcome, Work};
pub use live::copy_batch;
pub use slice::Slice;
