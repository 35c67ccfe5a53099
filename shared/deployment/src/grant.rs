//! What a role is granted: actions of one service on one set of resources.

use crate::resource::Resource;

/// Under which condition a statement holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    None,
    /// Only when S3 of the deployment's region asks, for a key.
    ThroughS3,
    /// Only when Secrets Manager asks for one of these secrets, for a key.
    For(Resource),
}

impl Condition {
    /// Its name in `infra/description.json`.
    pub fn name(self) -> Option<String> {
        match self {
            Self::None => None,
            Self::ThroughS3 => Some("through-s3".to_owned()),
            Self::For(secrets) => Some(format!("for-{}", secrets.symbol())),
        }
    }
}

/// A statement before it is about a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// What it is for, in camel case. The role's name is put in front.
    pub purpose: &'static str,
    /// The IAM actions, all of one service.
    pub actions: &'static [&'static str],
    /// What they may be done to.
    pub on: Resource,
    /// When.
    pub condition: Condition,
}

impl Grant {
    const fn new(purpose: &'static str, actions: &'static [&'static str], on: Resource) -> Self {
        Self { purpose, actions, on, condition: Condition::None }
    }

    const fn only(self, condition: Condition) -> Self {
        Self { condition, ..self }
    }
}

/// The function's log.
pub const WRITE_LOG: Grant =
    Grant::new("WriteItsLog", &["logs:CreateLogStream", "logs:PutLogEvents"], Resource::LogStreams);
/// What Lambda needs to put a function into a VPC
/// (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html>).
pub const JOIN_NETWORK: Grant = Grant::new(
    "JoinTheNetwork",
    &[
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
    ],
    Resource::Network,
);
/// Items of the journal, one at a time.
pub const READ_JOURNAL: Grant = Grant::new("ReadTheJournal", &["dynamodb:GetItem"], Resource::Journal);
/// The transitions of a migration.
pub const READ_EVENTS: Grant = Grant::new("ReadTheJournalsEvents", &["dynamodb:Query"], Resource::Journal);
/// Changes of items, and transactions of them.
pub const WRITE_JOURNAL: Grant =
    Grant::new("WriteTheJournal", &["dynamodb:PutItem", "dynamodb:UpdateItem"], Resource::Journal);
/// The end of items, when a migration begins again.
pub const REMOVE_JOURNAL: Grant =
    Grant::new("RemoveFromTheJournal", &["dynamodb:ConditionCheckItem", "dynamodb:DeleteItem"], Resource::Journal);
/// The one change that the operator's program makes itself: how fast to copy.
pub const SET_THROTTLE: Grant = Grant::new("SetTheThrottle", &["dynamodb:UpdateItem"], Resource::Journal);
/// That the backup bucket is there. Without it S3 answers a missing object with 403 instead of 404
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>), so whoever reads needs it.
pub const REACH_BACKUP: Grant = Grant::new("ReachTheBackupBucket", &["s3:ListBucket"], Resource::BackupBucket);
/// Objects of the backup.
pub const READ_BACKUP: Grant = Grant::new("ReadTheBackup", &["s3:GetObject"], Resource::BackupObjects);
/// New objects of the backup.
pub const WRITE_BACKUP: Grant = Grant::new("WriteTheBackup", &["s3:PutObject"], Resource::BackupObjects);
/// The end of objects, when a migration begins again.
pub const REMOVE_BACKUP: Grant = Grant::new("RemoveFromTheBackup", &["s3:DeleteObject"], Resource::BackupObjects);
/// As for the backup.
pub const REACH_EVIDENCE: Grant = Grant::new("ReachTheEvidenceBucket", &["s3:ListBucket"], Resource::EvidenceBucket);
/// Objects of the evidence.
pub const READ_EVIDENCE: Grant = Grant::new("ReadTheEvidence", &["s3:GetObject"], Resource::EvidenceObjects);
/// New objects of the evidence.
pub const WRITE_EVIDENCE: Grant = Grant::new("WriteTheEvidence", &["s3:PutObject"], Resource::EvidenceObjects);
/// Versions of the evidence and how long they are kept, for an auditor.
pub const AUDIT_EVIDENCE: Grant = Grant::new(
    "AuditTheEvidence",
    &["s3:GetObject", "s3:GetObjectLegalHold", "s3:GetObjectRetention", "s3:GetObjectVersion"],
    Resource::EvidenceObjects,
);
/// Which versions of the evidence there are, and how its bucket locks them.
pub const LIST_EVIDENCE: Grant = Grant::new(
    "ListTheEvidence",
    &["s3:GetBucketObjectLockConfiguration", "s3:GetBucketVersioning", "s3:ListBucket", "s3:ListBucketVersions"],
    Resource::EvidenceBucket,
);
/// Whether objects of both buckets are locked and keep their versions, and how they are encrypted.
pub const LOOK_AT_LOCK: Grant = Grant::new(
    "LookAtTheBucketsLocks",
    &["s3:GetBucketObjectLockConfiguration", "s3:GetBucketVersioning", "s3:GetEncryptionConfiguration"],
    Resource::BothBuckets,
);
/// Retention of objects of the evidence, when something is to be kept.
pub const LOCK_EVIDENCE: Grant = Grant::new("LockTheEvidence", &["s3:PutObjectRetention"], Resource::LockedEvidence);
/// The backup's key, to write.
pub const ENCRYPT_BACKUP: Grant =
    Grant::new("EncryptTheBackup", &["kms:GenerateDataKey", "kms:Decrypt"], Resource::BackupKey)
        .only(Condition::ThroughS3);
/// The backup's key, to read.
pub const DECRYPT_BACKUP: Grant =
    Grant::new("DecryptTheBackup", &["kms:Decrypt"], Resource::BackupKey).only(Condition::ThroughS3);
/// What the MSK API says of both clusters.
pub const DESCRIBE_CLUSTERS: Grant =
    Grant::new("DescribeBothClusters", &["kafka:DescribeClusterV2"], Resource::Clusters);
/// Which secrets of SCRAM users the source knows.
pub const LIST_SCRAM_SECRETS: Grant =
    Grant::new("ListTheScramSecrets", &["kafka:ListScramSecrets"], Resource::SourceCluster);
/// Bootstrap servers of clusters for which the configuration names none.
pub const FIND_BROKERS: Grant =
    Grant::new("FindTheBrokers", &["kafka:GetBootstrapBrokers"], Resource::LookedUpClusters);
/// The same for the gate: webhooks are told them, and a write fence is lifted at them.
pub const FIND_BROKERS_FOR_GATE: Grant =
    Grant::new("FindTheBrokers", &["kafka:GetBootstrapBrokers"], Resource::LookedUpClustersForGate);
/// Answers to states that wait with a task token.
pub const ANSWER_GATES: Grant = Grant::new("AnswerTheGates", &["states:SendTaskSuccess"], Resource::StateMachine);
/// What a cluster is signed in to with: the secrets of a run, and those of the configuration.
pub const READ_SECRETS: Grant =
    Grant::new("ReadTheSecrets", &["secretsmanager:GetSecretValue"], Resource::SignInSecrets);
/// The keys of the configuration's secrets.
pub const DECRYPT_SECRETS: Grant = Grant::new("DecryptTheSecrets", &["kms:Decrypt"], Resource::SignInKeys)
    .only(Condition::For(Resource::SignInSecrets));
/// What the source is signed in to with, to lift a write fence.
pub const READ_SECRETS_FOR_FENCE: Grant =
    Grant::new("ReadTheSecretsOfTheSource", &["secretsmanager:GetSecretValue"], Resource::SourceSignInSecrets);
/// The keys of those secrets.
pub const DECRYPT_SECRETS_FOR_FENCE: Grant =
    Grant::new("DecryptTheSecretsOfTheSource", &["kms:Decrypt"], Resource::SourceSignInKeys)
        .only(Condition::For(Resource::SourceSignInSecrets));
/// The roles of clusters of other accounts.
pub const ASSUME_ROLES: Grant = Grant::new("AssumeTheRolesOfClusters", &["sts:AssumeRole"], Resource::ClusterRoles);
/// The same for the gate: webhooks are told the brokers, and a write fence is lifted at them.
pub const ASSUME_ROLES_FOR_GATE: Grant =
    Grant::new("AssumeTheRolesOfClusters", &["sts:AssumeRole"], Resource::ClusterRolesForGate);
/// The key that signs the evidence, when it is in a secret.
pub const READ_SIGNING_KEY: Grant =
    Grant::new("ReadTheSigningKey", &["secretsmanager:GetSecretValue"], Resource::SigningKey);
/// The key of that secret.
pub const DECRYPT_SIGNING_KEY: Grant = Grant::new("DecryptTheSigningKey", &["kms:Decrypt"], Resource::SigningKeyKeys)
    .only(Condition::For(Resource::SigningKey));
/// The webhooks' URLs.
pub const READ_WEBHOOK: Grant = Grant::new("ReadTheWebhook", &["secretsmanager:GetSecretValue"], Resource::WebhookUrls);
/// The key that calls of the webhooks are signed with.
pub const READ_WEBHOOK_KEY: Grant =
    Grant::new("ReadTheWebhookKey", &["secretsmanager:GetSecretValue"], Resource::WebhookKey);
/// The key of that secret.
pub const DECRYPT_WEBHOOK_KEY: Grant = Grant::new("DecryptTheWebhookKey", &["kms:Decrypt"], Resource::WebhookKeyKeys)
    .only(Condition::For(Resource::WebhookKey));
/// The secrets of a run, at its beginning. Secrets are created with a tag.
pub const STORE_SECRETS: Grant = Grant::new("StoreTheSecretsOfARun", STORE, Resource::RunSecrets);
/// The same, at its end.
pub const FORGET_SECRETS: Grant =
    Grant::new("ForgetTheSecretsOfARun", &["secretsmanager:DeleteSecret"], Resource::RunSecrets);
/// The secrets of a question to a function, when it answers.
pub const READ_QUESTIONS: Grant =
    Grant::new("ReadTheSecretsOfAQuestion", &["secretsmanager:GetSecretValue"], Resource::QuestionSecrets);
/// The same, before it is asked.
pub const STORE_QUESTIONS: Grant = Grant::new("StoreTheSecretsOfAQuestion", STORE, Resource::QuestionSecrets);
/// The same, after it has answered.
pub const FORGET_QUESTIONS: Grant =
    Grant::new("ForgetTheSecretsOfAQuestion", &["secretsmanager:DeleteSecret"], Resource::QuestionSecrets);
/// Every function, which the state machine invokes.
pub const INVOKE_FUNCTIONS: Grant = Grant::new("InvokeTheFunctions", &["lambda:InvokeFunction"], Resource::Functions);
/// The batches that a Distributed Map reads.
pub const READ_MANIFEST: Grant = Grant::new("ReadTheManifest", &["s3:GetObject"], Resource::Manifest);
/// Distributed Maps: child executions of the state machine itself
/// (<https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html>).
pub const START_MAPS: Grant = Grant::new("StartItsMaps", &["states:StartExecution"], Resource::StateMachine);
/// The same, while they run.
pub const WATCH_MAPS: Grant =
    Grant::new("WatchItsMaps", &["states:DescribeExecution", "states:StopExecution"], Resource::MapRuns);
/// The functions that the operator's program asks directly.
pub const ASK_FUNCTIONS: Grant = Grant::new("AskTheFunctions", &["lambda:InvokeFunction"], Resource::AskedFunctions);
/// Executions: to begin and to find them.
pub const START_MIGRATIONS: Grant =
    Grant::new("StartMigrations", &["states:StartExecution", "states:ListExecutions"], Resource::StateMachine);
/// Executions: to look at and to end them.
pub const WATCH_MIGRATIONS: Grant =
    Grant::new("WatchAndStopMigrations", &["states:DescribeExecution", "states:StopExecution"], Resource::Executions);
/// Executions and what they did, for an auditor. Task tokens are in no history: payloads of gates are not logged.
pub const AUDIT_MIGRATIONS: Grant = Grant::new("AuditMigrations", &["states:DescribeExecution"], Resource::Executions);
/// Where the deployment is.
pub const FIND_DEPLOYMENT: Grant =
    Grant::new("FindTheDeployment", &["ssm:GetParameter"], Resource::DeploymentParameter);

const STORE: &[&str] = &["secretsmanager:CreateSecret", "secretsmanager:PutSecretValue", "secretsmanager:TagResource"];
/// What became of migrations, for whoever wants to be told.
pub const ANNOUNCE: Grant = Grant::new("AnnounceMigrations", &["events:PutEvents"], Resource::EventBus);
/// The logs of executions. The actions of log delivery know no resources
/// (<https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html>).
pub const LOG_EXECUTIONS: Grant = Grant::new(
    "LogItsExecutions",
    &[
        "logs:CreateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:DescribeLogGroups",
        "logs:DescribeResourcePolicies",
        "logs:GetLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutResourcePolicy",
        "logs:UpdateLogDelivery",
    ],
    Resource::Everything,
);
/// The traces of executions, which know no resources
/// (<https://docs.aws.amazon.com/step-functions/latest/dg/concepts-xray-tracing.html>).
pub const TRACE_EXECUTIONS: Grant = Grant::new(
    "TraceItsExecutions",
    &["xray:GetSamplingRules", "xray:GetSamplingTargets", "xray:PutTelemetryRecords", "xray:PutTraceSegments"],
    Resource::Everything,
);
