//! A deployed stack: the CDK app in a stand-in for AWS that enforces IAM, between real Kafka on both sides. Every function
//! runs under its own role, and so does the operator.

mod aws;
mod cdk;
mod iam;
mod ministack;
mod msk;
mod notices;
mod packages;
mod record;

use std::{ops::Deref, time::Duration};

use anyhow::Context;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

pub use self::{
    aws::Caller,
    iam::Role,
    notices::Notices,
    record::{Decision, Invocation, Record},
};
use self::{cdk::App, ministack::Place};
use crate::{
    aws::{ACCOUNT, REGION},
    front::Msk,
    ground::Ground,
    options::Options,
    ports::Ports,
    process::{self, Process},
    progress::Progress,
    setup,
};

const STOP_GRACE: Duration = Duration::from_secs(5);

/// The name of the deployment.
pub const DEPLOYMENT: &str = "local";

/// What a deployment is configured with, beside what every local one is.
#[derive(Debug, Clone)]
pub struct Secret {
    /// Its name in Secrets Manager.
    pub name: String,
    /// Its content.
    pub content: String,
}

/// A running stack on which the app is deployed. Dropping it stops every process; nothing of the AWS side is kept.
#[derive(Debug)]
pub struct Deployed {
    ground: Ground,
    ministack: Process,
    place: Place,
    msk: JoinHandle<()>,
    msk_url: String,
    root: Caller,
    app: App,
    progress: Progress,
    found: Value,
    secrets: Vec<String>,
    grace: Duration,
    stopped: bool,
}

impl Deployed {
    /// Starts Kafka and ministack, stores `secrets` and deploys. `configure` gets the secrets' ARNs and says what the
    /// deployment's configuration holds beside name, account, region, packages and the clusters' ARNs.
    ///
    /// # Errors
    /// When the machine lacks a program, a process does not come up or the CDK fails. Whatever had started is stopped.
    pub async fn start(
        options: Options,
        secrets: &[Secret],
        configure: impl FnOnce(&[String]) -> Configured,
    ) -> anyhow::Result<Self> {
        let progress = Progress::new(options.quiet);
        let venv = setup::ministack(&progress).await?;
        let (layout, tools) = Ground::prepare(&options, &progress).await?;
        let mut ports = Ports::load(&layout.ports())?;
        let ground = Ground::plan(&options, &layout, &tools, &mut ports).await?;
        let [port, msk_port] = [ports.get("ministack")?, ports.get("msk")?];
        ports.save(&layout.ports())?;
        let place = Place::new(&layout, port);
        let msk_url = format!("http://127.0.0.1:{msk_port}");
        let env = [("AWS_ENDPOINT_URL_KAFKA".to_owned(), msk_url.clone())];
        let (started, (ministack, root), packages) = tokio::join!(
            ground.start(&progress),
            async {
                ministack::start(&venv, &layout, &place, &env, &progress)
                    .await
                    .map_or_else(|error| (Err(error), None), |(process, root)| (Ok(process), Some(root)))
            },
            packages::pack(&options.bin_dir, &options.functions, &progress),
        );
        started?;
        let (ministack, root) = (ministack?, root.context("ministack started without its root")?);
        let listener = TcpListener::bind(("127.0.0.1", msk_port)).await?;
        let client = aws::client(&place.certificate())?;
        let msk = tokio::spawn(msk::serve(Msk::new(ground.as_msk()), client, place.endpoint(), listener));
        let grace = if options.discard { Duration::ZERO } else { STOP_GRACE };
        let certificate = place.certificate();
        let app = App::new(&layout, &root, &place.endpoint(), &certificate, &progress).await?;
        let mut stack = Self {
            ground,
            ministack,
            place,
            msk,
            msk_url,
            root,
            app,
            progress,
            found: Value::Null,
            secrets: Vec::new(),
            grace,
            stopped: false,
        };
        for secret in secrets {
            stack.secrets.push(stack.store(secret).await?);
        }
        let text = configuration(&stack.ground, &packages?, &configure(&stack.secrets));
        stack.app.deploy(&text, &stack.progress).await?;
        stack.found = stack.find().await?;
        stack.lock_evidence().await?;
        Ok(stack)
    }

    /// ARNs of the secrets, in the order in which they were given.
    pub fn secrets(&self) -> &[String] {
        &self.secrets
    }

    /// The account's root.
    pub fn root(&self) -> &Caller {
        &self.root
    }

    /// What the deployment wrote down about itself: where the CLI looks.
    pub fn found(&self, field: &str) -> anyhow::Result<&str> {
        self.found[field].as_str().with_context(|| format!("the deployment's parameter has no {field}"))
    }

    /// What IAM decided.
    pub fn decisions(&self) -> Record<Decision> {
        Record::new(&self.place.decisions)
    }

    /// What executions of the state machine invoked.
    pub fn invocations(&self) -> Record<Invocation> {
        Record::new(&self.place.invocations)
    }

    /// The name of a function's role, or of `operator`, `auditor` or `state-machine`.
    pub fn role_name(&self, who: &str) -> String {
        format!("{DEPLOYMENT}-{REGION}-{who}")
    }

    /// The role of a function, or of `operator`, as it is deployed.
    ///
    /// # Errors
    /// When there is none.
    pub async fn role(&self, who: &str) -> anyhow::Result<Role> {
        Role::read(&self.root, &self.role_name(who)).await
    }

    /// Begins to listen to the deployment's notices.
    ///
    /// # Errors
    /// When there is no topic.
    pub async fn notices(&self) -> anyhow::Result<Notices> {
        Notices::listen(&self.root, &format!("arn:aws:sns:{REGION}:{ACCOUNT}:{DEPLOYMENT}-notices")).await
    }

    /// Takes the statement `sid` away from a role.
    ///
    /// # Errors
    /// When it has no such statement.
    pub async fn take_away(&self, role: &Role, sid: &str) -> anyhow::Result<()> {
        role.without(&self.root, sid).await
    }

    /// Gives a role back what was deployed.
    ///
    /// # Errors
    /// When IAM refuses.
    pub async fn give_back(&self, role: &Role) -> anyhow::Result<()> {
        role.restore(&self.root).await
    }

    /// A session of a role that people may take, `operator` for example.
    ///
    /// # Errors
    /// When it lets nobody in.
    pub async fn session(&self, who: &str) -> anyhow::Result<Caller> {
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/{}", self.role_name(who));
        iam::assume(&self.root, &arn, "somebody").await
    }

    /// Environment for the CLI of `caller`, which finds everything else by the deployment's name.
    pub fn env(&self, caller: &Caller) -> Vec<(String, String)> {
        let mut env = caller.env();
        let certificate = self.place.certificate().display().to_string();
        for (name, value) in [
            ("AWS_ENDPOINT_URL", self.place.endpoint().as_str()),
            ("AWS_ENDPOINT_URL_KAFKA", &self.msk_url),
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("SSL_CERT_FILE", &certificate),
            ("MSK_KRAFT_DEPLOYMENT", DEPLOYMENT),
        ] {
            env.push((name.to_owned(), value.to_owned()));
        }
        env
    }

    /// Deploys again with `more` in the configuration, over what is there.
    ///
    /// # Errors
    /// When the CDK fails.
    pub async fn upgrade(&self, more: &str) -> anyhow::Result<()> {
        self.app.deploy_again(more, &self.progress).await
    }

    /// Uninstalls as docs/DEPLOY.md says: all stacks go, and journal and evidence stay.
    ///
    /// # Errors
    /// When the CDK fails, or the deployment can still be found.
    pub async fn uninstall(&self) -> anyhow::Result<()> {
        self.app.destroy(&self.progress).await?;
        let found = self.find().await;
        anyhow::ensure!(found.is_err(), "the deployment can still be found: {found:?}");
        Ok(())
    }

    /// Stops everything.
    ///
    /// # Errors
    /// When the thread that stops it panics.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        Ok(tokio::task::spawn_blocking(move || self.shut_down()).await?)
    }

    async fn store(&self, secret: &Secret) -> anyhow::Result<String> {
        let body = json!({"Name": secret.name, "SecretString": secret.content});
        let stored = self.root.json("secretsmanager", "secretsmanager.CreateSecret", &body).await?;
        Ok(stored["ARN"].as_str().context("a secret without an ARN")?.to_owned())
    }

    async fn find(&self) -> anyhow::Result<Value> {
        let body = json!({"Name": format!("/msk-kraft/{DEPLOYMENT}")});
        let answer = self.root.json("ssm", "AmazonSSM.GetParameter", &body).await?;
        let text = answer["Parameter"]["Value"].as_str().context("a parameter without a value")?;
        serde_json::from_str(text).context("the deployment's parameter is not JSON")
    }

    /// What ministack's CloudFormation leaves out of a bucket.
    async fn lock_evidence(&self) -> anyhow::Result<()> {
        let lock = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>";
        self.root.put_bucket(self.found("evidence_bucket")?, "object-lock", lock).await
    }

    fn shut_down(&mut self) {
        if std::mem::replace(&mut self.stopped, true) {
            return;
        }
        self.msk.abort();
        std::thread::scope(|scope| {
            scope.spawn(|| process::terminate_all([&self.ministack], self.grace));
            scope.spawn(|| self.ground.shut_down());
        });
        // The functions are in its group, and end when it does; one that hangs does not outlive it.
        self.ministack.kill();
    }
}

/// A deployed stack is its ground with a deployment on it.
impl Deref for Deployed {
    type Target = Ground;

    fn deref(&self) -> &Ground {
        &self.ground
    }
}

impl Drop for Deployed {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// What a test decides about a deployment; each text is YAML, indented as in the file.
#[derive(Debug, Clone, Default)]
pub struct Configured {
    /// What the source has beside its ARN, `auth: plaintext` at least.
    pub source: String,
    /// The same for the target.
    pub target: String,
    /// Further sections.
    pub more: String,
}

fn configuration(ground: &Ground, packages: &std::path::Path, configured: &Configured) -> String {
    use crate::kafka::Side;
    let side = |name: &str, side: Side, more: &str| {
        let lines = more.lines().map(|line| format!("  {line}\n")).collect::<String>();
        format!("{name}:\n  cluster_arns:\n    - {}\n{lines}", ground.cluster_arn(side))
    };
    format!(
        "name: {DEPLOYMENT}\naccount: \"{ACCOUNT}\"\nregion: {REGION}\nlocal: true\ntermination_protection: false\n\
         encryption_key: none\npackages:\n  directory: {}\n  architecture: x86_64\n{}{}\
         access:\n  operator_principal_arns:\n    - arn:aws:iam::{ACCOUNT}:root\n{}\n",
        packages.display(),
        side("source", Side::Source, &configured.source),
        side("target", Side::Target, &configured.target),
        configured.more,
    )
}
