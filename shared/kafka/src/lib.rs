//! A small Kafka client for moving record batches between clusters as they are.
//!
//! It speaks the protocol's messages from `kafka-protocol` over connections of its own, to brokers from 2.8 to 4.x. What
//! it has beyond other clients: raw batches in and out ([`Cluster::fetch`], [`Cluster::produce`]), configs, ACLs and
//! groups of a cluster, and an outcome for every single item of a request ([`Each`]). What it is not: a consumer or a
//! producer. It joins no groups, picks no partitions and batches nothing.
//!
//! Everything goes through [`Cluster`]. All methods but `fetch` and `produce` repeat what fails for a passing reason, up
//! to the deadline in [`RetryPolicy`]; what an error means to the caller is in [`Error::kind`].

pub mod auth;
pub mod batch;

mod admin;
mod api;
mod cluster;
mod codec;
mod connection;
mod coordinators;
mod error;
#[cfg(test)]
mod fake;
mod fetch;
mod frame;
mod groups;
mod metadata;
mod pool;
mod probe;
mod produce;
mod produce_request;
mod session;
mod settings;
mod spread;
mod transactions;
mod transport;
mod written;

pub use admin::{
    AclBinding, AclOperation, AclPermission, AclResource, ClientQuota, ConfigChange, ConfigEntry, ConfigOp,
    ConfigSource, NewTopic, OffsetSpec, Operations, PatternType, ProducerState, QuotaChange, QuotaEntity, Reassignment,
    ScramUser, ServedVersions, Transaction, defaults_of_topics,
};
pub use auth::{Auth, Sasl, Tls};
pub use batch::AbortedTransaction;
pub use clock::RetryPolicy;
pub use cluster::Cluster;
pub use codec::CLIENT_ID;
pub use error::{Each, Error, Place, Result, all_ok};
pub use fetch::{FetchOptions, FetchPosition, Fetched, Isolation};
pub use groups::{
    CommitLimits, CommittedOffset, CoordinatorLimits, GroupDescription, GroupListing, GroupMember, GroupState,
    GroupType, NewOffset, Stability,
};
pub use kafka_protocol::ResponseError as Code;
pub use kafka_protocol::messages::ApiKey as Api;
pub use metadata::{Broker, MetadataMode, PartitionInfo, TopicInfo};
pub use migration::TopicPartition;
pub use probe::WriteProbe;
pub use produce::{Produced, ProducerIdentity};
pub use settings::Settings;
pub use transactions::{Markers, OpenTransaction, TransactionDescription};
pub use written::WrittenBatch;
