//! The IAM policies: one for each function, one for the state machine, one for the operator.
//!
//! Each function gets what it calls and nothing else: `calls` holds the tables, and its tests read the functions' sources.
//! Actions on Kafka are there for clusters that are signed in to with IAM; elsewhere the brokers' own ACLs decide.

mod calls;
mod secrets;
mod statement;

use std::collections::BTreeMap;

use migration::Config;
use migration::config::{AuthMode, ClusterConfig, WriteFence};
use serde_json::json;

use self::calls::{Function, Grant, Network};
use self::statement::{Policy, Statement};
use super::deployment::{Deployment, FUNCTIONS};

/// Name of the file with the concrete policies, which `aws-cli.sh` reads.
pub(super) const CONCRETE: &str = "iam-policy-concrete.json";

/// Role of the state machine, beside those of the functions.
const STATE_MACHINE: &str = "state-machine";
/// Role of the person who runs this program.
const OPERATOR: &str = "operator";

/// Owners of the secrets that last as long as a question (`crate::sealing`).
const QUESTIONS: &str = "question-*";

/// Policies by the role that they are for.
pub(super) type Policies = BTreeMap<&'static str, Policy>;

/// The policies for the migration `id` of `config`, where msk-kraft is deployed as `deployment`.
pub(super) fn policies(id: &str, config: &Config, deployment: &Deployment) -> Policies {
    let names = Names { id, config, deployment };
    let mut policies: Policies =
        calls::FUNCTIONS.iter().map(|function| (function.name, names.function(function))).collect();
    policies.insert(STATE_MACHINE, names.state_machine());
    policies.insert(OPERATOR, names.operator());
    policies
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
        "evidence": {"s3_bucket": "<EVIDENCE_BUCKET>", "s3_prefix": "<EVIDENCE_PREFIX>", "retention": "1y"},
        "cutover": {
            "producer_freeze_webhook": "https://example.com/freeze",
            "client_switch_webhook": "https://example.com/switch",
            "webhook_secret_arn": "arn:<PARTITION>:secretsmanager:<REGION>:<ACCOUNT>:secret:<WEBHOOK_SECRET>",
        },
    });
    let deployment = Deployment {
        partition: "<PARTITION>".to_owned(),
        region: "<REGION>".to_owned(),
        account: "<ACCOUNT>".to_owned(),
        table: "<TABLE>".to_owned(),
        prefix: "<FUNCTION_PREFIX>".to_owned(),
        state_machine: "<STATE_MACHINE>".to_owned(),
    };
    // Placeholders are no ARNs, so it is only read and not checked; a test holds it to the fields.
    serde_json::from_value(config).map(|config| policies("<MIGRATION_ID>", &config, &deployment)).unwrap_or_default()
}

/// What the statements' resources are called.
struct Names<'a> {
    /// The migration's id.
    id: &'a str,
    config: &'a Config,
    deployment: &'a Deployment,
}

impl Names<'_> {
    fn function(&self, function: &Function) -> Policy {
        let mut statements = vec![self.logs(function)];
        let joins = match function.network {
            Network::Brokers => true,
            Network::Webhook => self.has_webhook() || self.is_fenced(),
            Network::None => false,
        };
        if joins {
            statements.push(network());
        }
        statements.extend(function.grants.iter().flat_map(|grant| self.grant(*grant)));
        statements.extend(self.kafka("Source", &self.config.source, function.source));
        statements.extend(self.kafka("Target", &self.config.target, function.target));
        Policy::new(function.name, statements)
    }

    /// Whether any webhook is called.
    fn has_webhook(&self) -> bool {
        let cutover = &self.config.cutover;
        cutover.producer_freeze_webhook.is_some() || cutover.client_switch_webhook.is_some()
    }

    /// Whether the gate function lifts a write fence.
    fn is_fenced(&self) -> bool {
        self.config.cutover.write_fence == WriteFence::Acl
    }

    fn logs(&self, function: &Function) -> Statement {
        let group = format!("log-group:/aws/lambda/{}:*", self.deployment.function(function.name));
        let actions = ["logs:CreateLogStream", "logs:PutLogEvents"];
        Statement::allow("WriteItsLog", actions, [self.deployment.arn("logs", &group)])
    }

    /// The statements of `grant`, none where the configuration does not need it.
    fn grant(&self, grant: Grant) -> Vec<Statement> {
        let Config { source, target, backup, evidence, .. } = self.config;
        let table = || [self.deployment.arn("dynamodb", &format!("table/{}", self.deployment.table))];
        let bucket = |name: &str| [self.deployment.s3_arn(name)];
        let objects = |bucket: &str, prefix: &str| [self.deployment.s3_arn(&format!("{bucket}/{prefix}*"))];
        let of_backup = || objects(&backup.s3_bucket, &backup.s3_prefix);
        let of_evidence = || objects(&evidence.s3_bucket, &evidence.s3_prefix);
        let allow = |sid, resources: Vec<String>| match resources.is_empty() {
            true => Vec::new(),
            false => vec![Statement::allow(sid, grant.actions().iter().copied(), resources)],
        };
        match grant {
            Grant::ReadJournal => allow("ReadTheJournal", table().into()),
            Grant::ReadEvents => allow("ReadTheJournalsEvents", table().into()),
            Grant::WriteJournal => allow("WriteTheJournal", table().into()),
            Grant::RemoveJournal => allow("RemoveFromTheJournal", table().into()),
            Grant::SetThrottle => allow("SetTheThrottle", table().into()),
            Grant::ReachBackup => allow("ReachTheBackupBucket", bucket(&backup.s3_bucket).into()),
            Grant::ReadBackup => allow("ReadTheBackup", of_backup().into()),
            Grant::WriteBackup => allow("WriteTheBackup", of_backup().into()),
            Grant::RemoveBackup => allow("RemoveFromTheBackup", of_backup().into()),
            Grant::ReachEvidence => allow("ReachTheEvidenceBucket", bucket(&evidence.s3_bucket).into()),
            Grant::ReadEvidence => allow("ReadTheEvidence", of_evidence().into()),
            Grant::WriteEvidence => allow("WriteTheEvidence", of_evidence().into()),
            Grant::LookAtLock => {
                let buckets = [&backup.s3_bucket, &evidence.s3_bucket];
                allow("LookAtTheBucketsLocks", buckets.map(|bucket| self.deployment.s3_arn(bucket)).into())
            }
            Grant::ListScramSecrets => allow("ListTheScramSecrets", vec![source.cluster_arn.clone()]),
            Grant::LockEvidence if evidence.retention.is_some() => allow("LockTheEvidence", of_evidence().into()),
            Grant::EncryptBackup | Grant::DecryptBackup => self.key(grant).into_iter().collect(),
            Grant::DescribeClusters => {
                allow("DescribeBothClusters", vec![source.cluster_arn.clone(), target.cluster_arn.clone()])
            }
            Grant::FindBrokers => {
                let asked = [source, target].into_iter().filter(|cluster| cluster.bootstrap_servers.is_none());
                allow("FindTheBrokers", asked.map(|cluster| cluster.cluster_arn.clone()).collect())
            }
            Grant::FindBrokersForWebhook if self.has_webhook() => self.grant(Grant::FindBrokers),
            Grant::FindBrokersForFence if self.is_fenced() && !self.has_webhook() => self.grant(Grant::FindBrokers),
            Grant::ReadSecretsForFence if self.is_fenced() => {
                allow("ReadTheSecretsOfTheSource", [self.of_sides(), self.given_to(&source.auth)].concat())
            }
            Grant::DecryptSecretsForFence if self.is_fenced() => {
                let given = self.given_to(&source.auth);
                secrets::keys(grant, "DecryptTheSecretsOfTheSource", &given).into_iter().collect()
            }
            Grant::LockEvidence
            | Grant::FindBrokersForWebhook
            | Grant::FindBrokersForFence
            | Grant::ReadSecretsForFence
            | Grant::DecryptSecretsForFence => Vec::new(),
            Grant::AnswerGates => allow("AnswerTheGates", vec![self.deployment.state_machine_arn()]),
            Grant::ReadSecrets => allow("ReadTheSecrets", [self.of_sides(), self.given()].concat()),
            Grant::ReadWebhook => allow("ReadTheWebhook", self.of_webhooks()),
            Grant::ReadWebhookKey => allow("ReadTheWebhookKey", self.webhook_key()),
            Grant::DecryptSecrets => secrets::keys(grant, "DecryptTheSecrets", &self.given()).into_iter().collect(),
            Grant::DecryptWebhookKey => {
                secrets::keys(grant, "DecryptTheWebhookKey", &self.webhook_key()).into_iter().collect()
            }
            Grant::StoreSecrets => allow("StoreTheSecretsOfARun", self.of_the_run()),
            Grant::ForgetSecrets => allow("ForgetTheSecretsOfARun", self.of_the_run()),
            Grant::ReadQuestions => allow("ReadTheSecretsOfAQuestion", self.of_questions()),
            Grant::StoreQuestions => allow("StoreTheSecretsOfAQuestion", self.of_questions()),
            Grant::ForgetQuestions => allow("ForgetTheSecretsOfAQuestion", self.of_questions()),
        }
    }

    /// The backup bucket's key, which only S3 may use on somebody's behalf.
    fn key(&self, grant: Grant) -> Option<Statement> {
        let key = self.config.backup.kms_key_arn.clone()?;
        let sid = if grant == Grant::EncryptBackup { "EncryptTheBackup" } else { "DecryptTheBackup" };
        let through_s3 =
            json!({"StringEquals": {"kms:ViaService": format!("s3.{}.amazonaws.com", self.deployment.region)}});
        Some(Statement::allow(sid, grant.actions().iter().copied(), [key]).only_if(through_s3))
    }

    /// Actions on a cluster with IAM, a statement for each type of resource.
    fn kafka(&self, side: &str, cluster: &ClusterConfig, actions: &[&'static str]) -> Vec<Statement> {
        if cluster.auth.mode != AuthMode::Iam {
            return Vec::new();
        }
        let statement = |(kind, what): (&str, &str)| {
            let actions: Vec<_> =
                actions.iter().copied().filter(|action| calls::resource_type(action) == kind).collect();
            let resource = match kind {
                "cluster" => cluster.cluster_arn.clone(),
                kind => cluster.cluster_arn.replacen(":cluster/", &format!(":{kind}/"), 1) + "/*",
            };
            (!actions.is_empty()).then(|| Statement::allow(&format!("{what}{side}"), actions, [resource]))
        };
        let kinds = [
            ("cluster", "SignInToThe"),
            ("topic", "TopicsOfThe"),
            ("group", "GroupsOfThe"),
            ("transactional-id", "TransactionsOfThe"),
        ];
        kinds.into_iter().filter_map(statement).collect()
    }

    fn state_machine(&self) -> Policy {
        let deployment = self.deployment;
        let functions =
            FUNCTIONS.map(|name| deployment.arn("lambda", &format!("function:{}", deployment.function(name))));
        let backup = &self.config.backup;
        let manifest = format!("{}/{}*/manifests/batches.json", backup.s3_bucket, backup.s3_prefix);
        let mut statements = vec![
            Statement::allow("InvokeTheFunctions", ["lambda:InvokeFunction"], functions),
            Statement::allow("ReadTheManifest", ["s3:GetObject"], [deployment.s3_arn(&manifest)]),
            Statement::allow("StartItsMaps", ["states:StartExecution"], [deployment.state_machine_arn()]),
            Statement::allow("WatchItsMaps", ["states:DescribeExecution", "states:StopExecution"], self.map_runs()),
        ];
        statements.extend(self.grant(Grant::DecryptBackup));
        Policy::new(STATE_MACHINE, statements)
    }

    fn operator(&self) -> Policy {
        let deployment = self.deployment;
        let asked = ["precheck", "tail-batch", "gate", "topology-copy", "cutover", "evidence", "validate"]
            .map(|name| deployment.arn("lambda", &format!("function:{}", deployment.function(name))));
        let mut statements = vec![
            Statement::allow("AskTheFunctions", ["lambda:InvokeFunction"], asked),
            Statement::allow(
                "StartMigrations",
                ["states:StartExecution", "states:ListExecutions"],
                [deployment.state_machine_arn()],
            ),
            Statement::allow(
                "WatchAndStopMigrations",
                ["states:DescribeExecution", "states:StopExecution"],
                self.executions(),
            ),
        ];
        statements.extend(calls::OPERATOR.iter().flat_map(|grant| self.grant(*grant)));
        Policy::new(OPERATOR, statements)
    }

    /// Executions of the state machine.
    fn executions(&self) -> [String; 1] {
        [self.deployment.arn("states", &format!("execution:{}:*", self.deployment.state_machine))]
    }

    /// Executions of its distributed maps, whose names begin with the map's label.
    fn map_runs(&self) -> [String; 1] {
        [self.deployment.arn("states", &format!("execution:{}/*", self.deployment.state_machine))]
    }
}

/// What Lambda needs to put a function into a VPC
/// (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html>). These actions know no resources.
fn network() -> Statement {
    let actions = [
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
    ];
    Statement::allow("JoinTheNetwork", actions, ["*".to_owned()])
}

#[cfg(test)]
mod tests;
