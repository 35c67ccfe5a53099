//! `stack`: the local stack from a terminal.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use stack::{
    Configured, Deployed, Ground, Listener, Options, SCRAM_PASSWORD, SCRAM_USER, Side, Stack, layout::workspace,
    progress::Progress, setup,
};

/// Real Kafka on both sides and a stand-in for AWS, on this machine.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the stack and keep it up until Ctrl-C.
    Up(Up),
    /// Only fetch what the stack needs.
    Setup(Versions),
}

#[derive(Debug, Args)]
struct Versions {
    /// Kafka version of the source (ZooKeeper mode): 3.9.1 or 2.8.2.
    #[arg(long, default_value = setup::DEFAULT_VERSION)]
    source_version: String,
    /// Kafka version of the target (KRaft): 3.9.1 or 4.3.1.
    #[arg(long, default_value = setup::DEFAULT_VERSION)]
    target_version: String,
    /// Show no progress.
    #[arg(long)]
    quiet: bool,
}

#[derive(Debug, Args)]
struct Up {
    #[command(flatten)]
    versions: Versions,
    /// Brokers per side: 1 or 3.
    #[arg(long, default_value_t = 1)]
    brokers: usize,
    /// Name of the stack: its files are in target/stack/<name>.
    #[arg(long, default_value = "local")]
    name: String,
    /// Go on with the data of the last stack of this name.
    #[arg(long)]
    keep: bool,
    /// Give brokers listeners for SCRAM, client certificates, TLS and IAM too.
    #[arg(long)]
    auth: bool,
    /// Deploy the CDK app into ministack, which enforces IAM, in place of moto. Nothing of the AWS side is kept.
    #[arg(long, conflicts_with = "keep")]
    deployed: bool,
    /// Folder of the functions' binaries.
    #[arg(long, default_value_os_t = workspace().join("target/debug"))]
    bin_dir: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter()).init();
    match execute(Cli::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is closed there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "stack: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn execute(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Setup(versions) => {
            let progress = Progress::new(versions.quiet);
            setup::ensure(&[&versions.source_version, &versions.target_version], &progress).await.map(drop)
        }
        Command::Up(up) => run(up).await,
    }
}

fn filter() -> tracing_subscriber::EnvFilter {
    tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into())
}

async fn run(up: Up) -> anyhow::Result<()> {
    let asked_to_stop = stack::asked_to_stop()?;
    tokio::pin!(asked_to_stop);
    let options = Options {
        name: up.name,
        source_version: up.versions.source_version,
        target_version: up.versions.target_version,
        brokers: up.brokers,
        auth_listeners: up.auth,
        keep: up.keep,
        quiet: up.versions.quiet,
        bin_dir: up.bin_dir,
        ..Options::default()
    };
    // Dropping a start that is under way stops what it had started.
    let interrupted = || anyhow::anyhow!("interrupted while starting; everything was stopped");
    if up.deployed {
        let plaintext = || "auth: plaintext".to_owned();
        let configured = Configured { source: plaintext(), target: plaintext(), more: String::new() };
        let stack = tokio::select! {
            stack = Deployed::start(options, &[], |_| configured) => stack?,
            () = &mut asked_to_stop => return Err(interrupted()),
        };
        let env = stack.env(&stack.session("operator").await?);
        print(&stack, &env)?;
        asked_to_stop.await;
        return stack.stop().await;
    }
    let stack = tokio::select! {
        stack = Stack::start(options) => stack?,
        () = &mut asked_to_stop => return Err(interrupted()),
    };
    print(&stack, &stack.env())?;
    asked_to_stop.await;
    stack.stop().await
}

/// The listeners that want to know who a client is, and what they accept.
fn print_auth(out: &mut impl Write, stack: &Ground) -> anyhow::Result<()> {
    let Some(certificates) = stack.certificates() else { return Ok(()) };
    for (side, name) in [(Side::Source, "SOURCE"), (Side::Target, "TARGET")] {
        for (listener, suffix) in
            [(Listener::Scram, "SCRAM"), (Listener::Mtls, "MTLS"), (Listener::Tls, "TLS"), (Listener::Iam, "IAM")]
        {
            let servers = stack.cluster(side).bootstrap_of(listener).unwrap_or_default();
            writeln!(out, "export {name}_BOOTSTRAP_{suffix}={servers}")?;
        }
    }
    writeln!(out, "export STACK_SCRAM_USER={SCRAM_USER}")?;
    writeln!(out, "export STACK_SCRAM_PASSWORD='{SCRAM_PASSWORD}'")?;
    writeln!(out, "export STACK_AUTHORITY={}", certificates.authority().display())?;
    writeln!(out, "export STACK_CLIENT={}", certificates.client().display())?;
    writeln!(out, "export STACK_CLIENT_P12={}", certificates.client_p12().display())?;
    writeln!(out, "export STACK_APPLICATION={}", certificates.application().display())?;
    writeln!(out, "export STACK_STRANGER={}", certificates.stranger().display())?;
    Ok(())
}

/// What a shell needs, on standard output: the file can be sourced.
fn print(stack: &Ground, env: &[(String, String)]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "# source  {}  {}", stack.source_bootstrap(), stack.cluster_arn(Side::Source))?;
    writeln!(out, "# target  {}  {}", stack.target_bootstrap(), stack.cluster_arn(Side::Target))?;
    writeln!(out, "# freeze webhook  {}  producers watch {}", stack.webhook_url(), stack.webhook().dir().display())?;
    writeln!(out, "# logs  {}", stack.logs().display())?;
    writeln!(out, "# Ctrl-C stops it; with moto, start again with --keep to go on")?;
    writeln!(out, "export SOURCE_BOOTSTRAP={}", stack.source_bootstrap())?;
    writeln!(out, "export TARGET_BOOTSTRAP={}", stack.target_bootstrap())?;
    print_auth(&mut out, stack)?;
    writeln!(out, "export FREEZE_WEBHOOK={}", stack.webhook_url())?;
    for (name, value) in env {
        writeln!(out, "export {name}='{value}'")?;
    }
    Ok(out.flush()?)
}
