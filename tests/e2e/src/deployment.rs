//! Migrations on a deployed stack, by the CLI under the operator's role.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use stack::{Configured, Deployed, Options, SCRAM_PASSWORD, SCRAM_USER, Secret, Side};

use crate::{Cli, Java, config, evidence, small};

/// The operator's own secret with the SCRAM user, as MSK keeps them.
const SECRET: &str = "AmazonMSK_migrator";
/// Variable of the operator's machine with the user's password.
const PASSWORD: &str = "KAFKA_PASSWORD";
/// Variable with a token in the webhook's URL, which makes the URL a secret.
const HOOK_TOKEN: &str = "HOOK_TOKEN";

/// How a migration signs in to both clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignIn {
    /// Without a sign-in.
    Plaintext,
    /// SCRAM: on the source by the operator's secret, on the target by a variable of the operator's machine.
    Scram,
}

/// A deployed stack, the programs that judge, and the operator.
#[derive(Debug)]
pub struct Deployment {
    /// The running stack.
    pub stack: Deployed,
    /// The programs that load, work and judge.
    pub java: Java,
    /// Folder of configurations, mirrored journals and fetched evidence.
    pub dir: PathBuf,
    env: Vec<(String, String)>,
}

impl Deployment {
    /// Starts Kafka and what stands for AWS, deploys the app for every way of signing in that migrations here take, and signs
    /// the operator in.
    ///
    /// # Errors
    /// When the stack does not come up or the app cannot be deployed.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let options = Options { auth_listeners: true, ..options };
        let user = json!({"username": SCRAM_USER, "password": SCRAM_PASSWORD}).to_string();
        let secrets = [Secret { name: SECRET.to_owned(), content: user }];
        let stack = Deployed::start(options, &secrets, |arns| Configured {
            source: format!("auth: scram-sha-512\nsecret_arns:\n  - {}", arns[0]),
            target: "auth: scram-sha-512".to_owned(),
            more: "webhooks:\n  enabled: true".to_owned(),
        })
        .await?;
        let java = Java::ready(&stack).await?;
        let dir = stack.logs().parent().context("the stack's logs have a folder")?.join("rehearsal");
        let mut env = stack.env(&stack.session("operator").await?);
        env.push((PASSWORD.to_owned(), SCRAM_PASSWORD.to_owned()));
        env.push((HOOK_TOKEN.to_owned(), "hook-hunter2".to_owned()));
        Ok(Self { stack, java, dir, env })
    }

    /// The operator's CLI for the migration `id` of the topics that match `include`, or of all.
    ///
    /// # Errors
    /// When the configuration cannot be written.
    pub fn operator(&self, id: &str, include: Option<&str>, sign_in: SignIn) -> anyhow::Result<Cli> {
        let yaml = self.yaml(include, sign_in)?;
        let path = config::write(&self.dir, &format!("{id}.yaml"), &yaml)?;
        Ok(Cli::with_env_of(self.env.clone(), &path, id, &self.dir.join("journal")))
    }

    /// The evidence of a finalized migration, its signature verified by openssl.
    ///
    /// # Errors
    /// When a file is missing, or openssl does not accept the signature.
    pub async fn evidence(&self, id: &str) -> anyhow::Result<Value> {
        let bucket = self.stack.found("evidence_bucket")?;
        let fetch = async |key: String| self.stack.root().object(bucket, &key).await;
        evidence::verify_with(fetch, id, &self.dir.join("evidence").join(id)).await
    }

    /// Creates `topic` with `partitions` partitions of `records` records each, and the group `topic-readers` that has read
    /// the first two of partition 0.
    ///
    /// # Errors
    /// When the source refuses it.
    pub async fn fill(&self, topic: &str, partitions: i32, records: i64) -> anyhow::Result<()> {
        let source = small::connect(&self.stack, Side::Source).await?;
        small::create(&source, topic, partitions, &[]).await?;
        for partition in 0..partitions {
            small::fill(&source, topic, partition, records).await?;
        }
        small::commit(&source, &readers(topic), topic, 2, "").await
    }

    /// Whether what [`Deployment::fill`] made is on the target, as the judge sees it, with the group at the record that it
    /// would have read next.
    ///
    /// # Errors
    /// With what is otherwise.
    pub async fn arrived(&self, topic: &str) -> anyhow::Result<()> {
        let options = ["--topics", topic, "--live-on-target", "--skip", "groups,acls"];
        let (verdict, equal) = self.java.judge(&options).await?;
        ensure!(equal && verdict["records"]["partitions"] != 0, "the judge found differences: {verdict:#}");
        let target = small::connect(&self.stack, Side::Target).await?;
        let committed = small::committed(&target, &readers(topic), topic).await?;
        ensure!(committed == Some(2), "the group of {topic} is at {committed:?}");
        Ok(())
    }

    fn yaml(&self, include: Option<&str>, sign_in: SignIn) -> anyhow::Result<String> {
        let stack = &self.stack;
        let yaml = config::yaml_with(stack, stack.found("backup_bucket")?, stack.found("evidence_bucket")?);
        let topology = include.map(|pattern| format!("    topology:\n      include: ['{pattern}']\n"));
        let yaml = yaml + &topology.unwrap_or_default();
        if sign_in == SignIn::Plaintext {
            return Ok(yaml);
        }
        let authority = stack.certificates().context("the brokers have certificates")?.authority();
        let auth = |lines: &[&str]| {
            let lines = lines.iter().map(|line| format!("\n        {line}")).collect::<String>();
            format!("      auth:\n        mode: scram-sha-512{lines}\n        truststore: {}", authority.display())
        };
        let secret = format!("secret_arn: {}", stack.secrets()[0]);
        let (user, password) = (format!("username: {SCRAM_USER}"), format!("password: ${{{PASSWORD}}}"));
        let plaintext = "      auth:\n        mode: plaintext";
        let yaml = yaml.replacen(plaintext, &auth(&[&secret]), 1).replacen(plaintext, &auth(&[&user, &password]), 1);
        let webhook = stack.webhook_url();
        Ok(yaml.replacen(&webhook, &format!("{webhook}?token=${{{HOOK_TOKEN}}}"), 1))
    }
}

/// The group that reads a topic.
fn readers(topic: &str) -> String {
    format!("{topic}-readers")
}

/// Goes on with a migration, wherever it stands, until it is finalized.
///
/// # Errors
/// With what a verb printed when it failed.
pub async fn finish(cli: &Cli) -> anyhow::Result<()> {
    for _ in 0..8 {
        let status = cli.status().await?;
        let phase = status["phase"].as_str().unwrap_or_default().to_owned();
        let verb = match phase.as_str() {
            "finalized" => return Ok(()),
            "drain_ready" => "cutover",
            "awaiting_client_switch" => "cutover-ack",
            "validating" => "finalize",
            _ => "resume",
        };
        let output = cli.run(verb, &[]).await?;
        ensure!(matches!(output.code, 0 | 10), "{verb} in phase {phase} failed:\n{}\n{}", output.stdout, output.stderr);
    }
    anyhow::bail!("the migration does not come to its end")
}
