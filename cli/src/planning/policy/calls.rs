//! Which function calls what.

/// Something a role is allowed, on the resources of one configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grant {
    /// Items of the journal, one at a time.
    ReadJournal,
    /// The transitions of a migration.
    ReadEvents,
    /// Changes of items, and transactions of them.
    WriteJournal,
    /// The end of items, when a migration begins again.
    RemoveJournal,
    /// The one change that the operator's program makes itself: how fast to copy.
    SetThrottle,
    /// That the backup bucket is there. Without it S3 answers a missing object with 403 instead of 404
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>), so whoever reads needs it.
    ReachBackup,
    /// Objects of the backup.
    ReadBackup,
    /// New objects of the backup.
    WriteBackup,
    /// The end of objects, when a migration begins again.
    RemoveBackup,
    /// As for the backup.
    ReachEvidence,
    /// Objects of the evidence.
    ReadEvidence,
    /// New objects of the evidence.
    WriteEvidence,
    /// Whether objects of both buckets are locked and keep their versions, and how they are encrypted.
    LookAtLock,
    /// Retention of objects of the evidence, when something is to be kept.
    LockEvidence,
    /// The backup's key, when there is one, to write.
    EncryptBackup,
    /// The backup's key, when there is one, to read.
    DecryptBackup,
    /// What the MSK API says of both clusters.
    DescribeClusters,
    /// Which secrets of SCRAM users the source knows.
    ListScramSecrets,
    /// Bootstrap servers of clusters for which the configuration names none.
    FindBrokers,
    /// The same, when there is a webhook that is told them.
    FindBrokersForWebhook,
    /// The same, when it lifts a write fence too.
    FindBrokersForFence,
    /// What the source is signed in to with, to lift a write fence.
    ReadSecretsForFence,
    /// The keys of those secrets.
    DecryptSecretsForFence,
    /// Answers to states that wait with a task token.
    AnswerGates,
    /// What a cluster is signed in to with: the secrets of a run, and those of the configuration.
    ReadSecrets,
    /// The keys of the configuration's secrets.
    DecryptSecrets,
    /// The webhooks' URLs, when they are kept in secrets.
    ReadWebhook,
    /// The key that calls of the webhooks are signed with, when there is one.
    ReadWebhookKey,
    /// The key of that secret.
    DecryptWebhookKey,
    /// The secrets of a run, at its beginning.
    StoreSecrets,
    /// The same, at its end.
    ForgetSecrets,
    /// The secrets of a question to the precheck function, when it answers.
    ReadQuestions,
    /// The same, before it is asked.
    StoreQuestions,
    /// The same, after it has answered.
    ForgetQuestions,
}

impl Grant {
    /// The IAM actions.
    pub(super) const fn actions(self) -> &'static [&'static str] {
        match self {
            Self::ReadJournal => &["dynamodb:GetItem"],
            Self::ReadEvents => &["dynamodb:Query"],
            Self::WriteJournal => &["dynamodb:PutItem", "dynamodb:UpdateItem"],
            Self::RemoveJournal => &["dynamodb:ConditionCheckItem", "dynamodb:DeleteItem"],
            Self::SetThrottle => &["dynamodb:UpdateItem"],
            Self::ReachBackup | Self::ReachEvidence => &["s3:ListBucket"],
            Self::ReadBackup | Self::ReadEvidence => &["s3:GetObject"],
            Self::WriteBackup | Self::WriteEvidence => &["s3:PutObject"],
            Self::RemoveBackup => &["s3:DeleteObject"],
            Self::LookAtLock => {
                &["s3:GetBucketObjectLockConfiguration", "s3:GetBucketVersioning", "s3:GetEncryptionConfiguration"]
            }
            Self::ListScramSecrets => &["kafka:ListScramSecrets"],
            Self::LockEvidence => &["s3:PutObjectRetention"],
            Self::EncryptBackup => &["kms:GenerateDataKey", "kms:Decrypt"],
            Self::DecryptBackup | Self::DecryptSecrets | Self::DecryptSecretsForFence | Self::DecryptWebhookKey => {
                &["kms:Decrypt"]
            }
            Self::DescribeClusters => &["kafka:DescribeClusterV2"],
            Self::FindBrokers | Self::FindBrokersForWebhook | Self::FindBrokersForFence => {
                &["kafka:GetBootstrapBrokers"]
            }
            Self::AnswerGates => &["states:SendTaskSuccess"],
            Self::ReadSecrets
            | Self::ReadSecretsForFence
            | Self::ReadWebhook
            | Self::ReadWebhookKey
            | Self::ReadQuestions => &["secretsmanager:GetSecretValue"],
            // Secrets are created with a tag.
            Self::StoreSecrets | Self::StoreQuestions => {
                &["secretsmanager:CreateSecret", "secretsmanager:PutSecretValue", "secretsmanager:TagResource"]
            }
            Self::ForgetSecrets | Self::ForgetQuestions => &["secretsmanager:DeleteSecret"],
        }
    }
}

/// What a function talks to that may only be reached from inside of the VPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    /// The brokers.
    Brokers,
    /// The webhooks, when there are any: they may be internal ones; and the source's brokers, when it lifts a write fence.
    Webhook,
    /// Nothing: it calls AWS alone.
    None,
}

/// What one function calls.
#[derive(Debug)]
pub(super) struct Function {
    /// Name of its crate.
    pub(super) name: &'static str,
    /// What it talks to in the VPC.
    pub(super) network: Network,
    /// Its grants on AWS.
    pub(super) grants: &'static [Grant],
    /// Its `kafka-cluster` actions on the source.
    pub(super) source: &'static [&'static str],
    /// Its `kafka-cluster` actions on the target.
    pub(super) target: &'static [&'static str],
}

/// What copying needs of S3, the journal and MSK.
const COPYING: &[Grant] = &[
    Grant::ReadJournal,
    Grant::WriteJournal,
    Grant::ReachBackup,
    Grant::ReadBackup,
    Grant::WriteBackup,
    Grant::EncryptBackup,
    Grant::FindBrokers,
    Grant::ReadSecrets,
    Grant::DecryptSecrets,
];

/// What each function calls, found in its source. Actions on Kafka by the API they are for:
/// <https://docs.aws.amazon.com/msk/latest/developerguide/kafka-actions.html>.
pub(super) const FUNCTIONS: [Function; 8] = [
    Function {
        name: "precheck",
        network: Network::Brokers,
        grants: &[
            Grant::ReadJournal,
            Grant::WriteJournal,
            Grant::ReachBackup,
            Grant::ReadBackup,
            Grant::WriteBackup,
            Grant::EncryptBackup,
            Grant::ReachEvidence,
            Grant::ReadEvidence,
            Grant::WriteEvidence,
            Grant::LookAtLock,
            Grant::DescribeClusters,
            Grant::FindBrokers,
            Grant::ReadSecrets,
            Grant::DecryptSecrets,
            Grant::ReadQuestions,
        ],
        source: &[
            "kafka-cluster:Connect",
            "kafka-cluster:DescribeCluster",
            "kafka-cluster:DescribeClusterDynamicConfiguration",
            "kafka-cluster:DescribeTopic",
            "kafka-cluster:DescribeTopicDynamicConfiguration",
            "kafka-cluster:ReadData",
            "kafka-cluster:DescribeGroup",
            "kafka-cluster:DescribeTransactionalId",
        ],
        // It asks whether topics would be created, and creates none.
        target: &[
            "kafka-cluster:Connect",
            "kafka-cluster:DescribeCluster",
            "kafka-cluster:DescribeClusterDynamicConfiguration",
            "kafka-cluster:CreateTopic",
            "kafka-cluster:DescribeTopic",
            "kafka-cluster:DescribeGroup",
        ],
    },
    Function {
        name: "topology-copy",
        network: Network::Brokers,
        // It also removes what a migration made that is to begin again.
        grants: &[
            Grant::ReadJournal,
            Grant::ReadEvents,
            Grant::WriteJournal,
            Grant::RemoveJournal,
            Grant::ReachBackup,
            Grant::ReadBackup,
            Grant::WriteBackup,
            Grant::RemoveBackup,
            Grant::EncryptBackup,
            Grant::FindBrokers,
            Grant::ReadSecrets,
            Grant::DecryptSecrets,
            Grant::ReadQuestions,
            Grant::ListScramSecrets,
        ],
        source: &[
            "kafka-cluster:Connect",
            "kafka-cluster:DescribeCluster",
            "kafka-cluster:DescribeClusterDynamicConfiguration",
            "kafka-cluster:DescribeTopic",
            "kafka-cluster:DescribeTopicDynamicConfiguration",
        ],
        target: &[
            "kafka-cluster:Connect",
            "kafka-cluster:DescribeCluster",
            "kafka-cluster:DescribeClusterDynamicConfiguration",
            "kafka-cluster:AlterCluster",
            // It asks whether client quotas would be taken, and sets none.
            "kafka-cluster:AlterClusterDynamicConfiguration",
            "kafka-cluster:WriteDataIdempotently",
            "kafka-cluster:CreateTopic",
            "kafka-cluster:DeleteTopic",
            "kafka-cluster:DescribeTopic",
            "kafka-cluster:DescribeTopicDynamicConfiguration",
            "kafka-cluster:AlterTopicDynamicConfiguration",
            "kafka-cluster:ReadData",
        ],
    },
    Function {
        name: "seed-partition",
        network: Network::Brokers,
        grants: COPYING,
        source: &[
            "kafka-cluster:Connect",
            "kafka-cluster:DescribeTopic",
            "kafka-cluster:DescribeTopicDynamicConfiguration",
            "kafka-cluster:ReadData",
        ],
        target: &[
            "kafka-cluster:Connect",
            "kafka-cluster:WriteDataIdempotently",
            "kafka-cluster:DescribeTopic",
            "kafka-cluster:DescribeTopicDynamicConfiguration",
            "kafka-cluster:ReadData",
            "kafka-cluster:WriteData",
        ],
    },
    Function {
        name: "tail-batch",
        network: Network::Brokers,
        grants: &[
            Grant::ReadJournal,
            Grant::ReadEvents,
            Grant::WriteJournal,
            Grant::ReachBackup,
            Grant::ReadBackup,
            Grant::WriteBackup,
            Grant::EncryptBackup,
            Grant::FindBrokers,
            Grant::ReadSecrets,
            Grant::DecryptSecrets,
        ],
        source: &[
            "kafka-cluster:Connect",
            "kafka-cluster:DescribeCluster",
            "kafka-cluster:DescribeClusterDynamicConfiguration",
            "kafka-cluster:DescribeTopic",
            "kafka-cluster:DescribeTopicDynamicConfiguration",
            "kafka-cluster:ReadData",
            "kafka-cluster:DescribeTransactionalId",
        ],
        target: &[
            "kafka-cluster:Connect",
            "kafka-cluster:WriteDataIdempotently",
            "kafka-cluster:CreateTopic",
            "kafka-cluster:AlterTopic",
            "kafka-cluster:DescribeTopic",
            "kafka-cluster:DescribeTopicDynamicConfiguration",
            "kafka-cluster:AlterTopicDynamicConfiguration",
            "kafka-cluster:ReadData",
            "kafka-cluster:WriteData",
        ],
    },
    Function {
        name: "cutover",
        network: Network::Brokers,
        grants: COPYING,
        // The one that writes to the source: a marker in each partition.
        source: &[
            "kafka-cluster:Connect",
            "kafka-cluster:DescribeCluster",
            "kafka-cluster:DescribeClusterDynamicConfiguration",
            "kafka-cluster:DescribeTopic",
            "kafka-cluster:DescribeTopicDynamicConfiguration",
            "kafka-cluster:ReadData",
            "kafka-cluster:WriteData",
            "kafka-cluster:DescribeGroup",
            "kafka-cluster:DescribeTransactionalId",
            "kafka-cluster:AlterTransactionalId",
        ],
        target: &[
            "kafka-cluster:Connect",
            "kafka-cluster:DescribeCluster",
            "kafka-cluster:AlterCluster",
            "kafka-cluster:DescribeClusterDynamicConfiguration",
            "kafka-cluster:AlterClusterDynamicConfiguration",
            "kafka-cluster:DescribeTopic",
            "kafka-cluster:DescribeTopicDynamicConfiguration",
            "kafka-cluster:AlterTopicDynamicConfiguration",
            "kafka-cluster:ReadData",
            // Late records, when an operator has them appended.
            "kafka-cluster:WriteData",
            "kafka-cluster:WriteDataIdempotently",
            "kafka-cluster:DescribeGroup",
            "kafka-cluster:AlterGroup",
        ],
    },
    Function {
        name: "validate",
        network: Network::Brokers,
        grants: &[
            Grant::ReadJournal,
            Grant::ReadEvents,
            Grant::WriteJournal,
            Grant::ReachBackup,
            Grant::ReadBackup,
            Grant::WriteBackup,
            Grant::EncryptBackup,
            Grant::FindBrokers,
            Grant::ReadSecrets,
            Grant::DecryptSecrets,
        ],
        source: &[
            "kafka-cluster:Connect",
            "kafka-cluster:DescribeTopic",
            "kafka-cluster:DescribeTopicDynamicConfiguration",
            "kafka-cluster:ReadData",
        ],
        target: &[
            "kafka-cluster:Connect",
            "kafka-cluster:DescribeTopic",
            "kafka-cluster:DescribeTopicDynamicConfiguration",
            "kafka-cluster:ReadData",
            "kafka-cluster:DescribeGroup",
        ],
    },
    Function {
        name: "evidence",
        network: Network::None,
        grants: &[
            Grant::ReadJournal,
            Grant::ReadEvents,
            Grant::WriteJournal,
            Grant::ReachBackup,
            Grant::ReadBackup,
            Grant::DecryptBackup,
            Grant::ReachEvidence,
            Grant::ReadEvidence,
            Grant::WriteEvidence,
            Grant::LockEvidence,
            Grant::DescribeClusters,
            Grant::ForgetSecrets,
        ],
        source: &[],
        target: &[],
    },
    Function {
        name: "gate",
        network: Network::Webhook,
        grants: &[
            Grant::ReadJournal,
            Grant::ReadEvents,
            Grant::WriteJournal,
            // Rehearsals.
            Grant::ReachBackup,
            Grant::ReadBackup,
            Grant::DecryptBackup,
            Grant::WriteEvidence,
            Grant::FindBrokersForWebhook,
            Grant::FindBrokersForFence,
            Grant::ReadSecretsForFence,
            Grant::DecryptSecretsForFence,
            Grant::ReadWebhook,
            Grant::ReadWebhookKey,
            Grant::DecryptWebhookKey,
            Grant::AnswerGates,
            Grant::ForgetSecrets,
        ],
        source: &[],
        target: &[],
    },
];

/// What this program calls itself, beside functions and state machine, and what the runbook has its operator copy. Gates are
/// decided by the gate function: task tokens are nothing that an operator answers.
pub(super) const OPERATOR: &[Grant] = &[
    Grant::ReadJournal,
    Grant::ReadEvents,
    Grant::SetThrottle,
    Grant::ReachBackup,
    Grant::ReadBackup,
    Grant::DecryptBackup,
    Grant::ReachEvidence,
    Grant::ReadEvidence,
    Grant::FindBrokers,
    Grant::StoreSecrets,
    Grant::ForgetSecrets,
    Grant::StoreQuestions,
    Grant::ForgetQuestions,
];

/// The type of resource that a `kafka-cluster` action is about.
pub(super) fn resource_type(action: &str) -> &'static str {
    match action.trim_start_matches("kafka-cluster:") {
        "Connect" | "WriteDataIdempotently" => "cluster",
        action if action.contains("Cluster") => "cluster",
        action if action.ends_with("Group") => "group",
        action if action.ends_with("TransactionalId") => "transactional-id",
        _ => "topic",
    }
}

#[cfg(test)]
mod tests;
