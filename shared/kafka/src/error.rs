//! What can go wrong between this client and a broker, and what the caller does about it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::protocol::VersionRange;
use migration::{ErrorKind, TopicPartition};

use crate::{Api, Code};

/// Result of a request to a cluster.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One outcome for each item of a request, in the order in which the items were given.
pub type Each<K, T> = Vec<(K, Result<T>)>;

/// All outcomes by item, or the first error among them.
pub fn all_ok<K: Ord, T>(each: Each<K, T>) -> Result<std::collections::BTreeMap<K, T>> {
    each.into_iter().map(|(key, outcome)| Ok((key, outcome?))).collect()
}

/// What an error of a broker is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The cluster as a whole.
    Cluster,
    /// One broker.
    Broker(i32),
    /// One topic.
    Topic(Arc<str>),
    /// One partition.
    Partition(TopicPartition),
    /// One consumer group.
    Group(String),
    /// What one consumer group has committed for one partition.
    Offset {
        /// The group.
        group: String,
        /// The partition.
        partition: TopicPartition,
    },
    /// One transactional id.
    TransactionalId(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("the cluster"),
            Self::Broker(id) => write!(f, "broker {id}"),
            Self::Topic(topic) => write!(f, "topic {topic}"),
            Self::Partition(partition) => write!(f, "partition {partition}"),
            Self::Group(group) => write!(f, "group {group}"),
            Self::Offset { group, partition } => write!(f, "partition {partition} of group {group}"),
            Self::TransactionalId(id) => write!(f, "transactional id {id}"),
        }
    }
}

/// An error of a request. Cheap enough to clone, because one lost connection fails many partitions at once.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The connection could not be made, or broke.
    #[error("connection to {broker}: {message}")]
    Io {
        /// Address of the broker.
        broker: Arc<str>,
        /// What the operating system said.
        message: String,
    },
    /// The broker did not answer in time. Whether it did the work is not known.
    #[error("{broker} did not answer {api:?} within {} ms", after.as_millis())]
    Timeout {
        /// Address of the broker.
        broker: Arc<str>,
        /// The request.
        api: Api,
        /// How long it was waited for.
        after: Duration,
    },
    /// The connection was closed before the answer came. Whether the broker did the work is not known.
    #[error("{broker} closed the connection")]
    Closed {
        /// Address of the broker.
        broker: Arc<str>,
    },
    /// The broker sent something that is no answer to the request, or the request could not be encoded.
    #[error("{broker}: {message}")]
    Protocol {
        /// Address of the broker.
        broker: Arc<str>,
        /// What was wrong with it.
        message: String,
    },
    /// Broker and client do not accept each other's certificates, or do not speak the same TLS, or one of them none.
    #[error("TLS to {broker}: {message}")]
    Tls {
        /// Address of the broker.
        broker: Arc<str>,
        /// What is wrong, and what to check.
        message: String,
    },
    /// The broker does not accept who the client says it is.
    #[error("{broker} refuses {mechanism}: {message}")]
    Authentication {
        /// Address of the broker.
        broker: Arc<str>,
        /// The SASL mechanism.
        mechanism: &'static str,
        /// What the broker said, and what to check.
        message: String,
    },
    /// The broker does not have an API that the work needs, in any version known here.
    #[error("{broker} cannot do {api:?}: it offers {}, needed is {needed}", offer(offered))]
    UnsupportedApi {
        /// The request.
        api: Api,
        /// Address of the broker.
        broker: Arc<str>,
        /// The versions it has, if any.
        offered: Option<VersionRange>,
        /// The versions this client knows.
        needed: VersionRange,
    },
    /// The broker answered with an error code.
    #[error("{api:?} of {place}: {code}{}", detail(message))]
    Broker {
        /// The request.
        api: Api,
        /// The code it answered with.
        code: Code,
        /// What the code is about.
        place: Place,
        /// What the broker said about it in words.
        message: Option<String>,
    },
    /// The partition has no leader, or does not exist (yet).
    #[error("partition {partition} has no leader")]
    NoLeader {
        /// The partition.
        partition: TopicPartition,
    },
    /// None of the brokers could be asked.
    #[error("no broker can be reached: {message}")]
    Unreachable {
        /// The address and the error of every broker tried.
        message: String,
    },
    /// The caller broke a rule of this crate; nothing was sent.
    #[error("{message}")]
    Usage {
        /// The rule.
        message: String,
    },
}

fn offer(offered: &Option<VersionRange>) -> String {
    offered.map_or_else(|| "no version of it".to_owned(), |range| format!("versions {range}"))
}

fn detail(message: &Option<String>) -> String {
    message.as_deref().filter(|text| !text.is_empty()).map(|text| format!(": {text}")).unwrap_or_default()
}

impl Error {
    /// What the caller does about it. Only [`ErrorKind::Transient`] is worth repeating.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::Timeout { .. } | Self::Closed { .. } => ErrorKind::Transient,
            Self::NoLeader { .. } | Self::Unreachable { .. } => ErrorKind::Transient,
            Self::UnsupportedApi { .. } | Self::Tls { .. } | Self::Authentication { .. } => ErrorKind::Blocked,
            Self::Protocol { .. } | Self::Usage { .. } => ErrorKind::Internal,
            // What a broker up to 2.8 says of a config that it does not accept.
            Self::Broker { api: Api::IncrementalAlterConfigs, code: Code::InvalidRequest, .. } => ErrorKind::Invalid,
            // Another client has begun with the same transactional id.
            Self::Broker {
                api: Api::InitProducerId | Api::AddPartitionsToTxn | Api::EndTxn,
                code: Code::ProducerFenced | Code::InvalidProducerEpoch,
                ..
            } => ErrorKind::Fenced,
            Self::Broker { code, .. } => kind_of(*code),
        }
    }

    /// Whether the same request can succeed when it is repeated.
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }

    /// Whether client and broker do not accept each other. It is about every partition of the broker, and about none.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Tls { .. } | Self::Authentication { .. })
    }

    /// The same with what it probably means, if the connection was closed.
    pub(crate) fn if_closed(self, hint: &str) -> Self {
        match self {
            Self::Closed { broker } => Self::Io { broker, message: format!("closed by the broker; {hint}") },
            other => other,
        }
    }

    /// The error code, if a broker answered with one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Broker { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// The partition it is about, if it is about one.
    pub fn partition(&self) -> Option<&TopicPartition> {
        match self {
            Self::NoLeader { partition }
            | Self::Broker { place: Place::Partition(partition) | Place::Offset { partition, .. }, .. } => {
                Some(partition)
            }
            _ => None,
        }
    }

    /// The group it is about, if it is about one.
    pub fn group(&self) -> Option<&str> {
        match self {
            Self::Broker { place: Place::Group(group) | Place::Offset { group, .. }, .. } => Some(group),
            _ => None,
        }
    }

    /// Whether what is known about the cluster may be out of date: the next request has to ask for it again.
    pub(crate) fn doubts_metadata(&self) -> bool {
        match self {
            Self::Io { .. } | Self::Timeout { .. } | Self::Closed { .. } => true,
            Self::NoLeader { .. } | Self::Unreachable { .. } => true,
            Self::Broker { code, .. } => matches!(
                code,
                Code::NotLeaderOrFollower
                    | Code::LeaderNotAvailable
                    | Code::UnknownTopicOrPartition
                    | Code::ReplicaNotAvailable
                    | Code::KafkaStorageError
                    | Code::NotController
                    | Code::ListenerNotFound
                    | Code::FencedLeaderEpoch
                    | Code::UnknownLeaderEpoch
            ),
            _ => false,
        }
    }
}

/// The closed table of what an error code means to a migration.
fn kind_of(code: Code) -> ErrorKind {
    match code {
        // The bytes that arrived are not the bytes that were sent, or the log is damaged. Kafka calls this retriable.
        Code::CorruptMessage => ErrorKind::Unsafe,
        // Records vanished between two requests, or somebody else writes with our producer id.
        Code::OffsetOutOfRange
        | Code::OutOfOrderSequenceNumber
        | Code::DuplicateSequenceNumber
        | Code::UnknownProducerId
        | Code::InvalidProducerEpoch
        | Code::ProducerFenced => ErrorKind::Unsafe,
        code if code.is_retriable() => ErrorKind::Transient,
        // Kafka does not call these retriable, but a broker says them while it starts, stops or changes its controller.
        Code::UnknownServerError
        | Code::BrokerNotAvailable
        | Code::StaleControllerEpoch
        | Code::OperationNotAttempted
        | Code::ConcurrentTransactions => ErrorKind::Transient,
        Code::InvalidTopicException
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidReplicaAssignment
        | Code::InvalidConfig
        | Code::InvalidGroupId => ErrorKind::Invalid,
        Code::InvalidRequest | Code::InvalidRequiredAcks | Code::InvalidFetchSize => ErrorKind::Internal,
        // Not permitted, an active group, a policy or a limit of the cluster: somebody has to change the cluster.
        _ => ErrorKind::Blocked,
    }
}

impl From<Error> for migration::Error {
    fn from(error: Error) -> Self {
        let out = Self::new(error.kind(), &error);
        match &error {
            Error::Broker { place: Place::Topic(topic), .. } => out.at_topic(topic),
            _ => match error.partition() {
                Some(partition) => out.at(partition),
                None => out,
            },
        }
    }
}

/// Builds the outcome of one item from the code in an answer.
pub(crate) fn check(api: Api, code: i16, place: impl FnOnce() -> Place, message: Option<&str>) -> Result<()> {
    match Code::try_from_code(code) {
        None => Ok(()),
        Some(code) => Err(Error::Broker { api, code, place: place(), message: message.map(str::to_owned) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(code: Code) -> Error {
        let place = Place::Partition(TopicPartition::new("orders", 3));
        Error::Broker { api: Api::Produce, code, place, message: Some("because".into()) }
    }

    #[test]
    fn codes_have_the_kind_that_a_migration_needs() {
        let table = [
            (Code::NotLeaderOrFollower, ErrorKind::Transient),
            (Code::NotController, ErrorKind::Transient),
            (Code::CoordinatorLoadInProgress, ErrorKind::Transient),
            (Code::UnstableOffsetCommit, ErrorKind::Transient),
            (Code::ThrottlingQuotaExceeded, ErrorKind::Transient),
            (Code::UnknownServerError, ErrorKind::Transient),
            (Code::OffsetOutOfRange, ErrorKind::Unsafe),
            (Code::CorruptMessage, ErrorKind::Unsafe),
            (Code::OutOfOrderSequenceNumber, ErrorKind::Unsafe),
            (Code::TopicAuthorizationFailed, ErrorKind::Blocked),
            (Code::SaslAuthenticationFailed, ErrorKind::Blocked),
            (Code::UnknownMemberId, ErrorKind::Blocked),
            (Code::TopicAlreadyExists, ErrorKind::Blocked),
            (Code::InvalidConfig, ErrorKind::Invalid),
            (Code::InvalidRequest, ErrorKind::Internal),
            (Code::Unknown(4711), ErrorKind::Blocked),
        ];
        for (code, kind) in table {
            assert_eq!(broker(code).kind(), kind, "{code}");
        }
    }

    #[test]
    fn a_transaction_that_another_client_took_over_is_fenced() {
        let error = |api| Error::Broker { api, code: Code::InvalidProducerEpoch, place: Place::Cluster, message: None };
        assert_eq!(error(Api::EndTxn).kind(), ErrorKind::Fenced);
        assert_eq!(error(Api::Produce).kind(), ErrorKind::Unsafe);
    }

    #[test]
    fn a_migration_error_names_the_partition() {
        let error = migration::Error::from(broker(Code::NotLeaderOrFollower));
        assert_eq!(error.context.topic.as_deref(), Some("orders"));
        assert_eq!(error.context.partition, Some(3));
        assert_eq!(error.to_string(), "Produce of partition orders/3: NotLeaderOrFollower: because (orders/3)");
    }

    #[test]
    fn the_first_failure_of_many_is_reported() {
        let each = vec![(1, Ok('a')), (2, Err(broker(Code::OffsetOutOfRange))), (3, Ok('b'))];
        assert_eq!(all_ok(each).unwrap_err().code(), Some(Code::OffsetOutOfRange));
        assert_eq!(all_ok(vec![(2, Ok('b')), (1, Ok('a'))]).unwrap().into_values().collect::<String>(), "ab");
    }
}
