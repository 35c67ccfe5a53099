//! Transactions: empty ones of our own, whose markers no application sees, and those of others.

mod describe;
mod find;
mod markers;
mod pending;

pub use describe::{OpenTransaction, TransactionDescription};
pub use markers::Markers;
