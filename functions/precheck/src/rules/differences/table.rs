//! What a broker's configs are to clients and data, and how two values of one are compared.

/// How values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A limit: less on the target is worse, more is harmless. The number stands for no limit, where there is one that does.
    AtLeast(Option<i64>),
    /// A lower bound: more on the target is worse.
    AtMost,
    /// Numbers, words and booleans: any other value is another behaviour.
    Same,
    /// A list: what the target lacks is worse.
    Includes,
}

/// What a difference does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Clients are refused, throttled or disconnected.
    Refused,
    /// The cluster forgets, or loses, what clients left there earlier.
    Forgotten,
    /// Topics that appear after the migration are others.
    NewTopics,
}

/// A config of which a difference is reported.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) name: &'static str,
    pub(super) meaning: Meaning,
    pub(super) class: Class,
    /// What is seen of it when the target has the worse value.
    pub(super) seen: &'static str,
}

const fn limit(name: &'static str, seen: &'static str) -> Judged {
    Judged { name, meaning: Meaning::AtLeast(None), class: Class::Refused, seen }
}

const fn kept(name: &'static str, seen: &'static str) -> Judged {
    Judged { name, meaning: Meaning::AtLeast(None), class: Class::Forgotten, seen }
}

const fn created(name: &'static str, meaning: Meaning, seen: &'static str) -> Judged {
    Judged { name, meaning, class: Class::NewTopics, seen }
}

const REFUSED: Class = Class::Refused;

/// The configs that decide for clients or data and that nothing else compares (<https://kafka.apache.org/documentation/#brokerconfigs>;
/// the errors are `org.apache.kafka.common.protocol.Errors`).
pub(super) const JUDGED: [Judged; 37] = [
    limit(
        "transaction.max.timeout.ms",
        "initTransactions() of producers with a longer transaction.timeout.ms fails with INVALID_TRANSACTION_TIMEOUT",
    ),
    limit(
        "group.max.session.timeout.ms",
        "consumers with a longer session.timeout.ms (45000 is Java's default) cannot join: INVALID_SESSION_TIMEOUT",
    ),
    Judged {
        name: "group.min.session.timeout.ms",
        meaning: Meaning::AtMost,
        class: REFUSED,
        seen: "consumers with a shorter session.timeout.ms cannot join: INVALID_SESSION_TIMEOUT",
    },
    limit("group.max.size", "members of larger groups are refused with GROUP_MAX_SIZE_REACHED"),
    limit("group.consumer.max.size", "members of larger groups (KIP-848) are refused with GROUP_MAX_SIZE_REACHED"),
    limit(
        "group.consumer.session.timeout.ms",
        "members of consumer groups (KIP-848) that pause are taken for dead sooner",
    ),
    Judged {
        name: "group.consumer.heartbeat.interval.ms",
        meaning: Meaning::Same,
        class: REFUSED,
        seen: "members of consumer groups (KIP-848) send heartbeats at another pace",
    },
    Judged {
        name: "group.consumer.assignors",
        meaning: Meaning::Includes,
        class: REFUSED,
        seen: "consumers that ask for an assignor which is not there are refused with UNSUPPORTED_ASSIGNOR",
    },
    Judged {
        name: "group.coordinator.rebalance.protocols",
        meaning: Meaning::Includes,
        class: REFUSED,
        seen: "consumers with a group.protocol that is not there are refused with UNSUPPORTED_VERSION",
    },
    limit("offset.metadata.max.bytes", "commits with longer metadata fail with OFFSET_METADATA_TOO_LARGE"),
    limit("socket.request.max.bytes", "a larger request closes its connection"),
    limit("max.connections", "connections beyond it wait or are closed"),
    limit("max.connections.per.ip", "further connections from one address are closed"),
    Judged {
        name: "max.connections.per.ip.overrides",
        meaning: Meaning::Same,
        class: REFUSED,
        seen: "addresses have other limits of connections",
    },
    limit("max.connection.creation.rate", "clients that connect all at once, as at the switch, wait"),
    Judged {
        name: "connections.max.idle.ms",
        meaning: Meaning::AtLeast(Some(-1)),
        class: REFUSED,
        seen: "clients that are idle for longer are disconnected, and see it in their next request",
    },
    Judged {
        name: "connections.max.reauth.ms",
        meaning: Meaning::AtLeast(Some(0)),
        class: REFUSED,
        seen: "clients that cannot sign in again on a connection (KIP-368) are disconnected",
    },
    limit(
        "max.incremental.fetch.session.cache.slots",
        "consumers beyond it fetch without a session (KIP-227), with more load for the brokers",
    ),
    limit("max.request.partition.size.limit", "requests about more partitions are answered in part"),
    limit("quota.producer.default", "producers without a quota of their own are throttled"),
    limit("quota.consumer.default", "consumers without a quota of their own are throttled"),
    Judged {
        name: "client.quota.callback.class",
        meaning: Meaning::Same,
        class: REFUSED,
        seen: "quotas are decided by other code",
    },
    limit("delegation.token.max.lifetime.ms", "delegation tokens cannot be renewed for as long"),
    kept(
        "offsets.retention.minutes",
        "committed offsets of groups without members are removed sooner, and their consumers begin where auto.offset.reset says",
    ),
    kept("transactional.id.expiration.ms", "producers that were idle for longer fail with INVALID_PRODUCER_ID_MAPPING"),
    kept("producer.id.expiration.ms", "duplicates of producers that were idle for longer are not noticed"),
    kept("offsets.topic.replication.factor", "committed offsets survive the loss of fewer brokers"),
    kept("transaction.state.log.replication.factor", "transactions survive the loss of fewer brokers"),
    kept("transaction.state.log.min.isr", "transactions are acknowledged by fewer brokers"),
    created(
        "auto.create.topics.enable",
        Meaning::Same,
        "true creates a topic for each name that a client asks for (also of those that were left behind), false refuses with \
         UNKNOWN_TOPIC_OR_PARTITION",
    ),
    created("num.partitions", Meaning::Same, "topics that are created without a number of partitions have another"),
    created(
        "default.replication.factor",
        Meaning::AtLeast(None),
        "topics that are created without a number of replicas have fewer",
    ),
    created("delete.topic.enable", Meaning::Same, "deleting a topic works on one side only: TOPIC_DELETION_DISABLED"),
    created(
        "message.max.bytes",
        Meaning::AtLeast(None),
        "new topics take smaller batches only: RECORD_TOO_LARGE (for topics that are there already: B11)",
    ),
    created("log.message.timestamp.type", Meaning::Same, "new topics date their records otherwise"),
    created("create.topic.policy.class.name", Meaning::Same, "another policy decides which topics may be created"),
    created("alter.config.policy.class.name", Meaning::Same, "another policy decides which configs may be set"),
];

/// Configs that are each cluster's own business, or that something else compares: what topics inherit is compared before the
/// cutover (`topology::defaults`), bounds of timestamps by `W14`, `replica.fetch.max.bytes` by `B12`, threads by `W16`,
/// authorizers by `W27`. A name that ends in a dot, or in a letter that a longer name goes on behind, stands for all that begin
/// with it.
const ELSEWHERE: [&str; 46] = [
    // Addresses, identities and ways of signing in.
    "zookeeper.",
    "controller.",
    "listener",
    "advertised.",
    "broker.",
    "node.id",
    "process.roles",
    "inter.broker.",
    "control.plane.listener.name",
    "early.start.listeners",
    "host.name",
    "port",
    "ssl.",
    "sasl.",
    "security.",
    "principal.builder.class",
    "authorizer.class.name",
    "super.users",
    "allow.everyone.if.no.acl.found",
    "password.encoder.",
    "delegation.token.master.key",
    "delegation.token.secret.key",
    // How a broker works inside.
    "metadata.",
    "initial.broker.registration.timeout.ms",
    "reserved.broker.max.id",
    "replica.",
    "socket.",
    "num.",
    "queued.",
    "background.threads",
    "request.timeout.ms",
    "controlled.shutdown.",
    "leader.",
    "follower.replication.",
    "auto.leader.rebalance.enable",
    "unclean.leader.election.",
    "metric",
    "auto.include.jmx.reporter",
    "kafka.metrics.",
    "remote.log.",
    "offsets.",
    "transaction.",
    "group.initial.rebalance.delay.ms",
    // What topics inherit.
    "log.",
    "min.insync.replicas",
    "compression.",
];

/// What is known of the config `name`.
pub(super) fn known(name: &str) -> Known {
    match JUDGED.iter().find(|judged| judged.name == name) {
        Some(judged) => Known::Judged(judged),
        None if ELSEWHERE.iter().any(|prefix| name.starts_with(prefix)) => Known::Elsewhere,
        None => Known::Nothing,
    }
}

/// What is known of a config.
#[derive(Debug)]
pub(super) enum Known {
    /// A difference is reported.
    Judged(&'static Judged),
    /// A difference says nothing, or is reported elsewhere.
    Elsewhere,
    /// Nobody has thought about it.
    Nothing,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_judged_once_and_before_what_its_beginning_stands_for() {
        let names: BTreeSet<_> = JUDGED.iter().map(|judged| judged.name).collect();
        assert_eq!(names.len(), JUDGED.len());
        assert!(matches!(known("log.message.timestamp.type"), Known::Judged(_)));
        assert!(matches!(known("num.partitions"), Known::Judged(_)));
        assert!(matches!(known("num.io.threads"), Known::Elsewhere));
        assert!(matches!(known("log.retention.ms"), Known::Elsewhere));
        assert!(matches!(known("some.new.config"), Known::Nothing));
    }
}
