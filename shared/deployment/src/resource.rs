//! What statements are about, by symbol: whoever writes a policy puts the ARNs of its deployment in.

/// One of the two clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The cluster in ZooKeeper mode.
    Source,
    /// The cluster in KRaft mode.
    Target,
}

macro_rules! resources {
    ($($variant:ident = $name:literal, $meaning:literal;)*) => {
        /// A set of AWS resources. A set that is empty in a deployment makes a statement that is left out.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Resource {
            $(#[doc = $meaning] $variant,)*
        }

        impl Resource {
            /// Every set.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its symbol in `infra/description.json`.
            pub const fn symbol(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it stands for.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

resources! {
    LogStreams = "log-streams", "The streams of the function's own log group.";
    Network = "network", "`*` for a function in the VPC: the actions of a network interface know no resources. Empty for the others.";
    Journal = "journal", "The journal's table.";
    BackupBucket = "backup-bucket", "The bucket of the working data.";
    BackupObjects = "backup-objects", "The objects below the prefix of the working data.";
    Manifest = "manifest", "The manifests that the state machine's maps read, among the working data.";
    EvidenceBucket = "evidence-bucket", "The bucket of the evidence.";
    EvidenceObjects = "evidence-objects", "The objects below the prefix of the evidence.";
    LockedEvidence = "locked-evidence", "The same objects when evidence is kept by Object Lock, else empty.";
    BothBuckets = "both-buckets", "The buckets of the working data and of the evidence.";
    BackupKey = "backup-key", "The KMS key of the working data's bucket. Empty when it is encrypted by S3's own keys.";
    ClusterRoles = "cluster-roles", "The roles that are assumed for clusters of other accounts. Empty without any.";
    ClusterRolesForGate = "cluster-roles-for-gate", "The same when the gate calls webhooks or lifts a write fence, else empty.";
    SourceCluster = "source-cluster", "The source clusters, but for those that a role is assumed for.";
    Clusters = "clusters", "The source and target clusters, but for those that a role is assumed for.";
    LookedUpClusters = "looked-up-clusters", "`*` when the MSK API is asked for the brokers of any cluster, since the action knows no resources. Empty when bootstrap servers are configured, or a role is assumed, for all.";
    LookedUpClustersForGate = "looked-up-clusters-for-gate", "The same when the gate calls webhooks or lifts a write fence, else empty.";
    SignInSecrets = "sign-in-secrets", "The secrets that brokers are signed in to with: those that a migration stores, and those that a configuration names.";
    SignInKeys = "sign-in-keys", "The KMS keys of the secrets that a configuration names.";
    SourceSignInSecrets = "source-sign-in-secrets", "The secrets of the source alone when the gate lifts a write fence, else empty.";
    SourceSignInKeys = "source-sign-in-keys", "The KMS keys of those that a configuration names.";
    SigningKey = "signing-key", "The secret with the key that signs the evidence. Empty without one.";
    SigningKeyKeys = "signing-key-keys", "The KMS keys of that secret.";
    WebhookUrls = "webhook-urls", "The secrets with the webhooks' URLs. Empty without webhooks.";
    WebhookKey = "webhook-key", "The secret with the key that webhooks' calls are signed with. Empty without one.";
    WebhookKeyKeys = "webhook-key-keys", "The KMS keys of that secret.";
    RunSecrets = "run-secrets", "The secrets that a migration stores. Empty when it stores none.";
    QuestionSecrets = "question-secrets", "The secrets that last as long as a question to a function. Empty when a migration stores none.";
    StateMachine = "state-machine", "The state machine.";
    Executions = "executions", "Its executions.";
    MapRuns = "map-runs", "The executions of its Distributed Maps.";
    Functions = "functions", "All versions of all functions.";
    AskedFunctions = "asked-functions", "The functions that the CLI invokes, by the alias.";
    DeploymentParameter = "deployment-parameter", "The SSM parameter by which the CLI finds the deployment.";
    EventBus = "event-bus", "The account's default event bus.";
    Everything = "everything", "`*`: these actions know no resources.";
    SourceKafkaCluster = "source-kafka-cluster", "The source clusters when they are signed in to with IAM and no role is assumed for it, else empty.";
    SourceKafkaTopics = "source-kafka-topics", "Their topics.";
    SourceKafkaGroups = "source-kafka-groups", "Their consumer groups.";
    SourceKafkaTransactionalIds = "source-kafka-transactional-ids", "Their transactional ids.";
    TargetKafkaCluster = "target-kafka-cluster", "The target clusters when they are signed in to with IAM and no role is assumed for it, else empty.";
    TargetKafkaTopics = "target-kafka-topics", "Their topics.";
    TargetKafkaGroups = "target-kafka-groups", "Their consumer groups.";
}
