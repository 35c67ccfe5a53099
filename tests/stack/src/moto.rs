//! moto, which stands for S3, DynamoDB and Step Functions, with atomic conditional writes.

use std::{path::Path, time::Duration};

use crate::{
    http,
    layout::{Layout, crate_dir},
    process::{Process, Spec},
    progress::Progress,
};

const START_LIMIT: Duration = Duration::from_secs(60);

/// Starts moto on `port` and switches its Step Functions engine on. The engine calls Lambda and S3 at `front_port`.
///
/// # Errors
/// When it ends early, is not ready in time, or refuses the switch.
pub async fn start(
    venv: &Path,
    layout: &Layout,
    port: u16,
    front_port: u16,
    progress: &Progress,
) -> anyhow::Result<Process> {
    let step = progress.step("moto (S3, DynamoDB, Step Functions)");
    let program = crate_dir().join("python/atomic_moto.py").display().to_string();
    let args = [&program, "-H", "127.0.0.1", "-p", &port.to_string()].map(str::to_owned);
    let front_port = front_port.to_string();
    let env = [
        ("MOTO_PORT", front_port.as_str()),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("PYTHONUNBUFFERED", "1"),
    ];
    let process = Process::spawn(Spec {
        name: "moto".to_owned(),
        program: venv.join("bin/python"),
        args: args.into(),
        env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        clean_env: false,
        log: layout.logs().join("moto.log"),
        dir: layout.home().to_owned(),
    })?;
    let url = format!("http://127.0.0.1:{port}/moto-api/config");
    process.ready(START_LIMIT, || async { switch_engine_on(&url).await.is_ok() }).await?;
    step.done();
    Ok(process)
}

async fn switch_engine_on(url: &str) -> anyhow::Result<()> {
    let body = r#"{"stepfunctions":{"execute_state_machine":true}}"#;
    let (status, answer) = http::post(url, &[("content-type", "application/json")], body.into()).await?;
    anyhow::ensure!(status.is_success(), "moto refused its configuration: {}", String::from_utf8_lossy(&answer));
    Ok(())
}
