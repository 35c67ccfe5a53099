//! The IAM policies of one migration: one for each function, one for the state machine, one for the operator.
//!
//! What they grant is said in the crate `deployment`; here are the names that one configuration gives to it. Actions on Kafka
//! are there for clusters that are signed in to with IAM; elsewhere the brokers' own ACLs decide.

mod secrets;

use std::collections::{BTreeMap, BTreeSet};

use deployment::{ASKED_FUNCTIONS, Condition, FUNCTIONS, Names, Network, Policy, Resolve, Resource, Role};
use migration::Config;
use migration::config::{AuthMode, ClusterConfig, WriteFence};
use serde_json::{Value, json};

/// Name of the file with the concrete policies, which `aws-cli.sh` reads.
pub(super) const CONCRETE: &str = "iam-policy-concrete.json";

/// Owners of the secrets that last as long as a question (`crate::sealing`).
const QUESTIONS: &str = "question-*";

/// Policies by the role that they are for.
pub(super) type Policies = BTreeMap<&'static str, Policy>;

/// The policies for the migration `id` of `config`, where msk-kraft is deployed under `names`.
pub(super) fn policies(id: &str, config: &Config, names: &Names) -> Policies {
    let scope = Scope { id, config, names };
    let functions =
        FUNCTIONS.iter().map(|function| (function.name, Policy::new(function.name, function.all_grants(), &scope)));
    let roles = [Role::StateMachine, Role::Operator]
        .map(|role| (role.name(), Policy::new(role.name(), role.grants().iter().copied(), &scope)));
    functions.chain(roles).collect()
}

/// The policies with placeholders such as `<SOURCE_REGION>`, and with everything that depends on the configuration.
pub(super) fn templated() -> Policies {
    let cluster = |side: &str| {
        let arn = format!("arn:<PARTITION>:kafka:<{side}_REGION>:<{side}_ACCOUNT>:cluster/<{side}_NAME>/<{side}_UUID>");
        let secret = format!("arn:<PARTITION>:secretsmanager:<{side}_REGION>:<{side}_ACCOUNT>:secret:<{side}_SECRET>");
        let auth = json!({"mode": "iam", "truststore": secret, "truststore_password": "${TRUSTSTORE_PASSWORD}"});
        json!({"cluster_arn": arn, "auth": auth})
    };
    let config = json!({
        "source": cluster("SOURCE"),
        "target": cluster("TARGET"),
        "backup": {"s3_bucket": "<BACKUP_BUCKET>", "s3_prefix": "<BACKUP_PREFIX>", "kms_key_arn": "<KEY_ARN>"},
        "evidence": {"s3_bucket": "<EVIDENCE_BUCKET>", "s3_prefix": "<EVIDENCE_PREFIX>", "retention": "1y", "signing_key_arn": "arn:<PARTITION>:secretsmanager:<REGION>:<ACCOUNT>:secret:<SIGNING_KEY>"},
        "cutover": {
            "producer_freeze_webhook": "https://example.com/freeze",
            "client_switch_webhook": "https://example.com/switch",
            "webhook_secret_arn": "arn:<PARTITION>:secretsmanager:<REGION>:<ACCOUNT>:secret:<WEBHOOK_SECRET>",
        },
    });
    let names = Names {
        partition: "<PARTITION>".to_owned(),
        region: "<REGION>".to_owned(),
        account: "<ACCOUNT>".to_owned(),
        deployment: Some("<DEPLOYMENT>".to_owned()),
        table: "<TABLE>".to_owned(),
        prefix: "<FUNCTION_PREFIX>".to_owned(),
        qualifier: Some("<QUALIFIER>".to_owned()),
        state_machine: "<STATE_MACHINE>".to_owned(),
    };
    // Placeholders are no ARNs, so it is only read and not checked; a test holds it to the fields.
    serde_json::from_value(config).map(|config| policies("<MIGRATION_ID>", &config, &names)).unwrap_or_default()
}

/// What resources are called for one migration.
struct Scope<'a> {
    /// The migration's id.
    id: &'a str,
    config: &'a Config,
    names: &'a Names,
}

impl Resolve for Scope<'_> {
    fn arns(&self, role: &str, resource: Resource) -> Vec<String> {
        let Self { config, names, .. } = self;
        let Config { source, target, backup, evidence, .. } = config;
        let both = [source, target];
        match resource {
            Resource::LogStreams => {
                vec![names.arn("logs", &format!("log-group:/aws/lambda/{}:*", names.function(role)))]
            }
            Resource::Network => self.network(role),
            Resource::Everything => vec!["*".to_owned()],
            Resource::Journal => vec![names.arn("dynamodb", &format!("table/{}", names.table))],
            Resource::BackupBucket => vec![names.s3_arn(&backup.s3_bucket)],
            Resource::BackupObjects => vec![names.s3_arn(&format!("{}/{}*", backup.s3_bucket, backup.s3_prefix))],
            Resource::Manifest => {
                let manifest = format!("{}/{}*/manifests/batches.json", backup.s3_bucket, backup.s3_prefix);
                vec![names.s3_arn(&manifest)]
            }
            Resource::EvidenceBucket => vec![names.s3_arn(&evidence.s3_bucket)],
            Resource::EvidenceObjects => {
                vec![names.s3_arn(&format!("{}/{}*", evidence.s3_bucket, evidence.s3_prefix))]
            }
            Resource::LockedEvidence if evidence.retention.is_none() => Vec::new(),
            Resource::LockedEvidence => self.arns(role, Resource::EvidenceObjects),
            Resource::BothBuckets => [&backup.s3_bucket, &evidence.s3_bucket].map(|bucket| names.s3_arn(bucket)).into(),
            Resource::BackupKey => backup.kms_key_arn.iter().cloned().collect(),
            Resource::SourceCluster => own(&[source]),
            Resource::Clusters => own(&both),
            // The action knows no resources.
            Resource::LookedUpClusters => {
                let asked = both.into_iter().any(|side| side.bootstrap_servers.is_none() && side.role_arn.is_none());
                if asked { vec!["*".to_owned()] } else { Vec::new() }
            }
            Resource::ClusterRoles => {
                let roles: BTreeSet<_> = both.into_iter().filter_map(|cluster| cluster.role_arn.clone()).collect();
                roles.into_iter().collect()
            }
            Resource::ClusterRolesForGate if !self.has_webhook() && !self.is_fenced() => Vec::new(),
            Resource::ClusterRolesForGate => self.arns(role, Resource::ClusterRoles),
            Resource::LookedUpClustersForGate if !self.has_webhook() && !self.is_fenced() => Vec::new(),
            Resource::LookedUpClustersForGate => self.arns(role, Resource::LookedUpClusters),
            Resource::StateMachine => vec![names.state_machine_arn()],
            Resource::Executions => vec![names.arn("states", &format!("execution:{}:*", names.state_machine))],
            // Their names begin with the map's label.
            Resource::MapRuns => vec![names.arn("states", &format!("execution:{}/*", names.state_machine))],
            Resource::Functions => FUNCTIONS.iter().map(|function| names.all_versions_arn(function.name)).collect(),
            Resource::AskedFunctions => ASKED_FUNCTIONS.map(|name| names.function_arn(name)).into(),
            Resource::EventBus => vec![names.arn("events", "event-bus/default")],
            Resource::DeploymentParameter => names.parameter_arn().into_iter().collect(),
            Resource::SourceKafkaCluster => of_kafka(source, "cluster"),
            Resource::SourceKafkaTopics => of_kafka(source, "topic"),
            Resource::SourceKafkaGroups => of_kafka(source, "group"),
            Resource::SourceKafkaTransactionalIds => of_kafka(source, "transactional-id"),
            Resource::TargetKafkaCluster => of_kafka(target, "cluster"),
            Resource::TargetKafkaTopics => of_kafka(target, "topic"),
            Resource::TargetKafkaGroups => of_kafka(target, "group"),
            Resource::SignInSecrets
            | Resource::SignInKeys
            | Resource::SourceSignInSecrets
            | Resource::SourceSignInKeys
            | Resource::WebhookUrls
            | Resource::WebhookKey
            | Resource::WebhookKeyKeys
            | Resource::SigningKey
            | Resource::SigningKeyKeys
            | Resource::RunSecrets
            | Resource::QuestionSecrets => self.secrets(resource),
        }
    }

    fn condition(&self, condition: Condition) -> Option<Value> {
        match condition {
            Condition::None => None,
            Condition::ThroughS3 => {
                let service = format!("s3.{}.amazonaws.com", self.names.region);
                Some(json!({"StringEquals": {"kms:ViaService": service}}))
            }
            Condition::For(secrets) => Some(secrets::through_secrets_manager(&self.named(secrets))),
        }
    }
}

impl Scope<'_> {
    /// Whether any webhook is called.
    fn has_webhook(&self) -> bool {
        let cutover = &self.config.cutover;
        cutover.producer_freeze_webhook.is_some() || cutover.client_switch_webhook.is_some()
    }

    /// Whether the gate function lifts a write fence.
    fn is_fenced(&self) -> bool {
        self.config.cutover.write_fence == WriteFence::Acl
    }

    /// `*` for a function that joins the VPC.
    fn network(&self, role: &str) -> Vec<String> {
        let joins = FUNCTIONS.iter().any(|function| {
            function.name == role
                && match function.network {
                    Network::Brokers => true,
                    Network::Webhook => self.has_webhook() || self.is_fenced(),
                    Network::None => false,
                }
        });
        if joins { vec!["*".to_owned()] } else { Vec::new() }
    }
}

/// ARNs of those that the functions ask about under their own roles.
fn own(clusters: &[&ClusterConfig]) -> Vec<String> {
    clusters.iter().filter(|cluster| cluster.role_arn.is_none()).map(|cluster| cluster.cluster_arn.clone()).collect()
}

/// Resources of `kind` of a cluster, when it is signed in to with IAM.
fn of_kafka(cluster: &ClusterConfig, kind: &str) -> Vec<String> {
    if cluster.auth.mode != AuthMode::Iam || cluster.role_arn.is_some() {
        return Vec::new();
    }
    vec![match kind {
        "cluster" => cluster.cluster_arn.clone(),
        kind => cluster.cluster_arn.replacen(":cluster/", &format!(":{kind}/"), 1) + "/*",
    }]
}

#[cfg(test)]
mod tests;
