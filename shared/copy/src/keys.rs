//! Compares by key what both sides of a compacted partition hold.
//!
//! A source forgets that a key was deleted `delete.retention.ms` after its cleaner has passed over the tombstone (`LogCleaner`,
//! KIP-534). A copy that had the value before, and comes to that place only then, never learns of the deletion: the key lives on
//! on the target. This finds such keys: those whose newest record on the target is a value, and of which the source has no record.
//!
//! The target is read first, then the source, then what came to the target meanwhile, so that whatever is written during the
//! comparison is not taken for one. Keys are held as hashes of 16 bytes; where they are too many they are compared share by
//! share, each with another reading of both logs.

mod compare;
mod found;
mod read;
mod review;
mod share;
#[cfg(test)]
mod tests;

pub use found::{compacted, found, not_compared};
pub(crate) use review::KeyReview;
