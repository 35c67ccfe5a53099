//! The CDK app of this repository, deployed into the stand-in by the CDK's own command.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;

use super::aws::Caller;
use crate::{
    aws::{ACCOUNT, REGION},
    layout::{Layout, workspace},
    process::{Process, Spec, describe},
    progress::Progress,
    setup,
};

const LIMIT: Duration = Duration::from_secs(300);

/// The app, and where its one configuration is.
#[derive(Debug)]
pub(super) struct App {
    config: PathBuf,
    output: PathBuf,
    logs: PathBuf,
    env: Vec<(String, String)>,
}

impl App {
    /// The app, whose packages come from npm when they are not there.
    ///
    /// # Errors
    /// When npm fails.
    pub(super) async fn new(
        layout: &Layout,
        root: &Caller,
        endpoint: &str,
        certificate: &Path,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        setup::node_modules(&folder(), progress).await?;
        let mut env = root.env();
        for (name, value) in [
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("CDK_DISABLE_VERSION_CHECK", "1"),
            // The CDK takes either; where the machine sets the first, Node.js's own is not looked at.
            ("AWS_CA_BUNDLE", &certificate.display().to_string()),
            ("NODE_EXTRA_CA_CERTS", &certificate.display().to_string()),
        ] {
            env.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self {
            config: layout.conf().join("deployment.yaml"),
            output: layout.conf().join("cdk.out"),
            logs: layout.logs(),
            env,
        })
    }

    /// `cdk bootstrap` and `cdk deploy` of all stacks, with the configuration `text`.
    ///
    /// # Errors
    /// When the configuration cannot be written; with the end of what the CDK printed.
    pub(super) async fn deploy(&self, text: &str, progress: &Progress) -> anyhow::Result<()> {
        std::fs::write(&self.config, text).with_context(|| format!("writing {}", self.config.display()))?;
        let environment = format!("aws://{ACCOUNT}/{REGION}");
        self.run("bootstrap", &[&environment], progress).await?;
        self.run("deploy", &["--all", "--require-approval", "never"], progress).await
    }

    /// `cdk deploy` once more, with `more` in the configuration.
    ///
    /// # Errors
    /// As of [`App::deploy`].
    pub(super) async fn deploy_again(&self, more: &str, progress: &Progress) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(&self.config)?;
        self.deploy(&format!("{text}{more}\n"), progress).await
    }

    /// `cdk destroy` of all stacks.
    ///
    /// # Errors
    /// With the end of what the CDK printed.
    pub(super) async fn destroy(&self, progress: &Progress) -> anyhow::Result<()> {
        self.run("destroy", &["--all", "--force"], progress).await
    }

    async fn run(&self, verb: &str, args: &[&str], progress: &Progress) -> anyhow::Result<()> {
        let step = progress.step(&format!("cdk {verb}"));
        let (config, output) = (format!("config={}", self.config.display()), self.output.display().to_string());
        let common = ["node_modules/aws-cdk/bin/cdk", verb, "--output", &output, "--no-notices", "-c", &config];
        let all = [&common, args, &["--progress", "events", "--ci"][..]].concat();
        let args = if verb == "deploy" { all } else { [&common, args].concat() };
        let process = Process::spawn(Spec {
            name: format!("cdk {verb}"),
            program: "node".into(),
            args: args.into_iter().map(str::to_owned).collect(),
            env: self.env.clone(),
            clean_env: false,
            log: self.logs.join(format!("cdk-{verb}.log")),
            dir: folder(),
        })?;
        let status = tokio::time::timeout(LIMIT, process.on_exit()).await;
        let status = status.with_context(|| format!("cdk {verb} did not end within {LIMIT:?}. {}", process.tail()))?;
        let status = status.context("the end of the CDK was missed")?;
        anyhow::ensure!(status.success(), "cdk {verb} failed ({}). {}", describe(status), process.tail());
        step.done();
        Ok(())
    }
}

/// The app's folder.
fn folder() -> PathBuf {
    workspace().join("infra/cdk")
}
