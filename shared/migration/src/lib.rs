//! What a migration is, without any I/O: its identifiers, configuration, phases, error kinds and the messages that the
//! state machine passes between its functions.

pub mod config;
pub mod error;
pub mod ids;
pub mod message;
pub mod phase;
pub mod progress;
pub mod report;
pub mod restart;
pub mod scope;

pub use config::Config;
pub use error::{Context, Error, ErrorKind, Result};
pub use ids::{BatchId, MigrationId, TopicPartition};
pub use phase::Phase;
