//! The two Kafka clusters: processes, their readiness, and Kafka's own command line tools.

mod auth;
mod cluster;
mod config;
mod link;
mod probe;
mod tools;

pub(crate) use auth::AuthFiles;
pub use auth::{Listener, SCRAM_PASSWORD, SCRAM_USER};
pub use cluster::Cluster;
pub(crate) use cluster::ClusterSpec;
pub use link::{Link, Weather};
pub use tools::main_class;

/// One of the two clusters of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// Kafka in ZooKeeper mode.
    Source,
    /// Kafka in KRaft mode.
    Target,
}

impl Side {
    /// `source` or `target`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}
