//! Which function calls what, found in its source.
//!
//! Actions on Kafka by the API they are for: <https://docs.aws.amazon.com/msk/latest/developerguide/kafka-actions.html>.

use super::{Function, Network, Operations};
use crate::grant::{self, Grant};

/// What copying needs of S3, the journal and MSK.
const COPYING: &[Grant] = &[
    grant::READ_JOURNAL,
    grant::WRITE_JOURNAL,
    grant::REACH_BACKUP,
    grant::READ_BACKUP,
    grant::WRITE_BACKUP,
    grant::ENCRYPT_BACKUP,
    grant::FIND_BROKERS,
    grant::ASSUME_ROLES,
    grant::READ_SECRETS,
    grant::DECRYPT_SECRETS,
];

/// [`COPYING`], by what the journal's events say.
const COPYING_BY_EVENTS: &[Grant] = &[
    grant::READ_JOURNAL,
    grant::READ_EVENTS,
    grant::WRITE_JOURNAL,
    grant::REACH_BACKUP,
    grant::READ_BACKUP,
    grant::WRITE_BACKUP,
    grant::ENCRYPT_BACKUP,
    grant::FIND_BROKERS,
    grant::ASSUME_ROLES,
    grant::READ_SECRETS,
    grant::DECRYPT_SECRETS,
];

/// To sign in to a cluster.
const CONNECT: &[&str] = &["kafka-cluster:Connect"];

/// To read what a cluster is and how it is configured.
const LOOK: &[&str] =
    &["kafka-cluster:Connect", "kafka-cluster:DescribeCluster", "kafka-cluster:DescribeClusterDynamicConfiguration"];

/// To write batches with producer ids.
const PRODUCE: &[&str] = &["kafka-cluster:Connect", "kafka-cluster:WriteDataIdempotently"];

/// To read topics: their configs and their records.
const READ: &[&str] =
    &["kafka-cluster:DescribeTopic", "kafka-cluster:DescribeTopicDynamicConfiguration", "kafka-cluster:ReadData"];

/// The functions.
pub const FUNCTIONS: [Function; 8] = [
    Function {
        name: "precheck",
        description: "Checks both clusters and AWS, and plans",
        memory_mb: 1024,
        network: Network::Brokers,
        grants: &[
            grant::READ_JOURNAL,
            grant::WRITE_JOURNAL,
            grant::REACH_BACKUP,
            grant::READ_BACKUP,
            grant::WRITE_BACKUP,
            grant::ENCRYPT_BACKUP,
            grant::REACH_EVIDENCE,
            grant::READ_EVIDENCE,
            grant::WRITE_EVIDENCE,
            grant::LOOK_AT_LOCK,
            grant::DESCRIBE_CLUSTERS,
            grant::FIND_BROKERS,
            grant::ASSUME_ROLES,
            grant::READ_SECRETS,
            grant::DECRYPT_SECRETS,
            grant::READ_QUESTIONS,
        ],
        source: Operations {
            cluster: LOOK,
            topics: READ,
            groups: &["kafka-cluster:DescribeGroup"],
            transactional_ids: &["kafka-cluster:DescribeTransactionalId"],
        },
        // It asks whether topics would be created, and creates none.
        target: Operations {
            cluster: LOOK,
            topics: &["kafka-cluster:CreateTopic", "kafka-cluster:DescribeTopic"],
            groups: &["kafka-cluster:DescribeGroup"],
            transactional_ids: &[],
        },
    },
    Function {
        name: "topology-copy",
        description: "Creates topics, configs, ACLs and quotas on the target",
        memory_mb: 1024,
        network: Network::Brokers,
        // It also removes what a migration made that is to begin again.
        grants: &[
            grant::READ_JOURNAL,
            grant::READ_EVENTS,
            grant::WRITE_JOURNAL,
            grant::REMOVE_JOURNAL,
            grant::REACH_BACKUP,
            grant::READ_BACKUP,
            grant::WRITE_BACKUP,
            grant::REMOVE_BACKUP,
            grant::ENCRYPT_BACKUP,
            grant::FIND_BROKERS,
            grant::ASSUME_ROLES,
            grant::READ_SECRETS,
            grant::DECRYPT_SECRETS,
            grant::READ_QUESTIONS,
            grant::LIST_SCRAM_SECRETS,
        ],
        source: Operations {
            cluster: LOOK,
            topics: &["kafka-cluster:DescribeTopic", "kafka-cluster:DescribeTopicDynamicConfiguration"],
            groups: &[],
            transactional_ids: &[],
        },
        target: Operations {
            cluster: &[
                "kafka-cluster:Connect",
                "kafka-cluster:DescribeCluster",
                "kafka-cluster:DescribeClusterDynamicConfiguration",
                "kafka-cluster:AlterCluster",
                // It asks whether client quotas would be taken, and sets none.
                "kafka-cluster:AlterClusterDynamicConfiguration",
                "kafka-cluster:WriteDataIdempotently",
            ],
            topics: &[
                "kafka-cluster:CreateTopic",
                "kafka-cluster:DeleteTopic",
                "kafka-cluster:DescribeTopic",
                "kafka-cluster:DescribeTopicDynamicConfiguration",
                "kafka-cluster:AlterTopicDynamicConfiguration",
                "kafka-cluster:ReadData",
            ],
            groups: &[],
            transactional_ids: &[],
        },
    },
    Function {
        name: "seed-partition",
        description: "Copies what the source holds",
        memory_mb: 1769,
        network: Network::Brokers,
        grants: COPYING,
        source: Operations { cluster: CONNECT, topics: READ, groups: &[], transactional_ids: &[] },
        target: Operations {
            cluster: PRODUCE,
            topics: &[
                "kafka-cluster:DescribeTopic",
                "kafka-cluster:DescribeTopicDynamicConfiguration",
                "kafka-cluster:ReadData",
                "kafka-cluster:WriteData",
            ],
            groups: &[],
            transactional_ids: &[],
        },
    },
    Function {
        name: "tail-batch",
        description: "Copies what the source is written, until the cutover",
        memory_mb: 1769,
        network: Network::Brokers,
        grants: COPYING_BY_EVENTS,
        source: Operations {
            cluster: LOOK,
            topics: READ,
            groups: &[],
            transactional_ids: &["kafka-cluster:DescribeTransactionalId"],
        },
        target: Operations {
            cluster: PRODUCE,
            topics: &[
                "kafka-cluster:CreateTopic",
                "kafka-cluster:AlterTopic",
                "kafka-cluster:DescribeTopic",
                "kafka-cluster:DescribeTopicDynamicConfiguration",
                "kafka-cluster:AlterTopicDynamicConfiguration",
                "kafka-cluster:ReadData",
                "kafka-cluster:WriteData",
            ],
            groups: &[],
            transactional_ids: &[],
        },
    },
    Function {
        name: "cutover",
        description: "Rehearses the cutover, carries it out and watches its fence",
        memory_mb: 1769,
        network: Network::Brokers,
        grants: COPYING,
        // The one that writes to the source: a marker in each partition.
        source: Operations {
            cluster: LOOK,
            topics: &[
                "kafka-cluster:DescribeTopic",
                "kafka-cluster:DescribeTopicDynamicConfiguration",
                "kafka-cluster:ReadData",
                "kafka-cluster:WriteData",
            ],
            groups: &["kafka-cluster:DescribeGroup"],
            transactional_ids: &["kafka-cluster:DescribeTransactionalId", "kafka-cluster:AlterTransactionalId"],
        },
        target: Operations {
            cluster: &[
                "kafka-cluster:Connect",
                "kafka-cluster:DescribeCluster",
                "kafka-cluster:AlterCluster",
                "kafka-cluster:DescribeClusterDynamicConfiguration",
                "kafka-cluster:AlterClusterDynamicConfiguration",
                "kafka-cluster:WriteDataIdempotently",
            ],
            topics: &[
                "kafka-cluster:DescribeTopic",
                "kafka-cluster:DescribeTopicDynamicConfiguration",
                "kafka-cluster:AlterTopicDynamicConfiguration",
                "kafka-cluster:ReadData",
                // Late records, when an operator has them appended.
                "kafka-cluster:WriteData",
            ],
            groups: &["kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"],
            transactional_ids: &[],
        },
    },
    Function {
        name: "validate",
        description: "Compares the target with the source",
        memory_mb: 1769,
        network: Network::Brokers,
        grants: COPYING_BY_EVENTS,
        source: Operations { cluster: CONNECT, topics: READ, groups: &[], transactional_ids: &[] },
        target: Operations {
            cluster: CONNECT,
            topics: READ,
            groups: &["kafka-cluster:DescribeGroup"],
            transactional_ids: &[],
        },
    },
    Function {
        name: "evidence",
        description: "Signs and stores the evidence",
        memory_mb: 512,
        network: Network::None,
        grants: &[
            grant::READ_JOURNAL,
            grant::READ_EVENTS,
            grant::WRITE_JOURNAL,
            grant::REACH_BACKUP,
            grant::READ_BACKUP,
            grant::DECRYPT_BACKUP,
            grant::REACH_EVIDENCE,
            grant::READ_EVIDENCE,
            grant::WRITE_EVIDENCE,
            grant::LOCK_EVIDENCE,
            grant::DESCRIBE_CLUSTERS,
            grant::ASSUME_ROLES,
            grant::READ_SIGNING_KEY,
            grant::DECRYPT_SIGNING_KEY,
            grant::FORGET_SECRETS,
        ],
        source: Operations::NONE,
        target: Operations::NONE,
    },
    Function {
        name: "gate",
        description: "Waits for the operator, calls webhooks, records the end of executions",
        memory_mb: 512,
        network: Network::Webhook,
        grants: &[
            grant::READ_JOURNAL,
            grant::READ_EVENTS,
            grant::WRITE_JOURNAL,
            // Rehearsals.
            grant::REACH_BACKUP,
            grant::READ_BACKUP,
            grant::DECRYPT_BACKUP,
            grant::WRITE_EVIDENCE,
            grant::FIND_BROKERS_FOR_GATE,
            grant::ASSUME_ROLES_FOR_GATE,
            grant::READ_SECRETS_FOR_FENCE,
            grant::DECRYPT_SECRETS_FOR_FENCE,
            grant::READ_WEBHOOK,
            grant::READ_WEBHOOK_KEY,
            grant::DECRYPT_WEBHOOK_KEY,
            grant::ANSWER_GATES,
            grant::ANNOUNCE,
            grant::FORGET_SECRETS,
        ],
        source: Operations::NONE,
        target: Operations::NONE,
    },
];
