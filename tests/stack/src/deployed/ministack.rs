//! ministack, which stands for AWS with IAM enforced.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::aws::Caller;
use crate::{
    aws::{ACCOUNT, REGION},
    layout::{Layout, crate_dir},
    process::{Process, Spec},
    progress::Progress,
};

const START_LIMIT: Duration = Duration::from_secs(60);

/// Where it listens and what it writes.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Its port.
    pub port: u16,
    /// Its folder for what it makes itself, its certificate among it.
    pub temporary: PathBuf,
    /// The record of IAM's decisions.
    pub decisions: PathBuf,
    /// The record of what executions invoke.
    pub invocations: PathBuf,
}

impl Place {
    pub(super) fn new(layout: &Layout, port: u16) -> Self {
        let home = layout.aws();
        let (decisions, invocations) = (home.join("decisions.jsonl"), home.join("invocations.jsonl"));
        Self { port, temporary: home.join("tmp"), decisions, invocations }
    }

    pub(super) fn endpoint(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    pub(super) fn certificate(&self) -> PathBuf {
        self.temporary.join("ministack-tls/server.crt")
    }
}

/// Starts ministack, and waits until it answers. `env` is for the functions, which inherit its environment.
///
/// # Errors
/// When it ends early or is not ready in time, with the end of its log.
pub(super) async fn start(
    venv: &Path,
    layout: &Layout,
    place: &Place,
    env: &[(String, String)],
    progress: &Progress,
) -> anyhow::Result<(Process, Caller)> {
    let step = progress.step("ministack (AWS with IAM enforced)");
    std::fs::create_dir_all(&place.temporary)?;
    for record in [&place.decisions, &place.invocations] {
        std::fs::write(record, "")?;
    }
    let certificate = place.certificate();
    let text = |path: &Path| path.display().to_string();
    let own = [
        ("AUTH", "true".to_owned()),
        ("USE_SSL", "1".to_owned()),
        ("BIND_HOST", "127.0.0.1".to_owned()),
        ("GATEWAY_PORT", place.port.to_string()),
        ("IOT_MTLS_ENABLED", "0".to_owned()),
        ("MINISTACK_ACCOUNT_ID", ACCOUNT.to_owned()),
        ("MINISTACK_REGION", REGION.to_owned()),
        ("MSK_KRAFT_DECISIONS", text(&place.decisions)),
        ("MSK_KRAFT_INVOCATIONS", text(&place.invocations)),
        ("PYTHONUNBUFFERED", "1".to_owned()),
        ("TMPDIR", text(&place.temporary)),
        // These the functions get too.
        ("AWS_ENDPOINT_URL", place.endpoint()),
        ("SSL_CERT_FILE", text(&certificate)),
        // The root's, which each function has replaced by those of its role.
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
    ];
    let inherited = ["PATH", "HOME"].into_iter().filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)));
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    let process = Process::spawn(Spec {
        name: "ministack".to_owned(),
        program: venv.join("bin/python"),
        args: vec![text(&crate_dir().join("python/recorded_ministack"))],
        env: inherited.chain(own).chain(env.iter().cloned()).collect(),
        clean_env: true,
        log: layout.logs().join("ministack.log"),
        dir: layout.home().to_owned(),
    })?;
    let answers = || async {
        match Caller::root(&place.endpoint(), &certificate) {
            Ok(root) => root.healthy().await,
            // It has not made its certificate yet.
            Err(_) => false,
        }
    };
    process.ready(START_LIMIT, answers).await?;
    step.done();
    Ok((process, Caller::root(&place.endpoint(), &certificate)?))
}
