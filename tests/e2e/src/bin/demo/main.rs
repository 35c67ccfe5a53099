//! `make demo`: a whole migration on this machine, with live producers and consumers, from an empty target to signed
//! evidence.

#![expect(clippy::print_stdout, reason = "this program's output is what it is for")]

mod summary;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use e2e::{Live, Rehearsal};
use stack::Options;

/// Name of the stack, and of the migration on it.
const NAME: &str = "demo";

/// A whole migration on this machine.
#[derive(Debug, Parser)]
struct Args {
    /// Go on with the migration that an earlier, interrupted demonstration left behind.
    #[arg(long)]
    resume: bool,
    /// Size of the source; 1 is about 80 MB.
    #[arg(long, default_value = "1")]
    scale: String,
    /// Kafka version of the source.
    #[arg(long, default_value = stack::setup::DEFAULT_VERSION)]
    source_version: String,
    /// Kafka version of the target.
    #[arg(long, default_value = stack::setup::DEFAULT_VERSION)]
    target_version: String,
    /// Brokers per side: 1 or 3.
    #[arg(long, default_value_t = 1)]
    brokers: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let left = "everything was stopped and its data kept. Go on with: make demo-resume";
    stack::exit_code("demo", interruptible(&args).await, left)
}

/// Runs the demonstration; none when it was interrupted.
async fn interruptible(args: &Args) -> anyhow::Result<Option<()>> {
    let asked_to_stop = stack::asked_to_stop()?;
    tokio::pin!(asked_to_stop);
    let options = Options {
        name: NAME.to_owned(),
        keep: args.resume,
        source_version: args.source_version.clone(),
        target_version: args.target_version.clone(),
        brokers: args.brokers,
        ..Options::default()
    };
    heading("The stack: Kafka in ZooKeeper mode, Kafka as KRaft, a stand-in for AWS, the Lambda functions");
    // Dropping a start that is under way stops what it had started.
    let rehearsal = tokio::select! {
        rehearsal = Rehearsal::start(options, NAME) => rehearsal?,
        () = &mut asked_to_stop => return Ok(None),
    };
    let outcome = tokio::select! {
        outcome = demonstrate(&rehearsal, args) => Some(outcome),
        () = &mut asked_to_stop => None,
    };
    rehearsal.stack.stop().await?;
    outcome.transpose()
}

async fn demonstrate(rehearsal: &Rehearsal, args: &Args) -> anyhow::Result<()> {
    let began = Instant::now();
    let cli = rehearsal.cli.clone().shown();
    let live = if args.resume {
        heading("Live producers and consumers");
        let live = Live::start(&rehearsal.stack, &rehearsal.java).await?;
        heading("msk-kraft resume");
        let resumed = cli.run("resume", &[]).await?;
        anyhow::ensure!(matches!(resumed.code, 0 | 10), "msk-kraft resume ended with exit code {}", resumed.code);
        live
    } else {
        heading("A realistic source: 36 topics, 306 partitions, every codec, transactions, compaction holes");
        let loaded = rehearsal.java.load_source(1, &args.scale).await?;
        println!("loaded in {} s", loaded["seconds"]);
        heading("Live producers and consumers");
        let live = Live::start(&rehearsal.stack, &rehearsal.java).await?;
        heading("msk-kraft plan");
        print!("{}", cli.ask("plan", &["--format", "summary"]).await?.ok()?.stdout);
        heading("msk-kraft precheck");
        print!("{}", cli.ask("precheck", &[]).await?.ok()?.stdout);
        heading("msk-kraft execute");
        cli.run("execute", &[]).await?.ok()?;
        live
    };
    heading("msk-kraft status");
    print!("{}", cli.run("status", &[]).await?.ok()?.stdout);
    heading("msk-kraft cutover, cutover-ack, finalize, with clients that switch");
    rehearsal.cut_over(&cli, &live).await?;
    heading("Independent judges: Kafka's own clients on every record, the live clients' logs, openssl");
    let verdict = rehearsal.judge(live, !args.resume).await?;
    summary::print(rehearsal, &verdict, began.elapsed()).await
}

fn heading(text: &str) {
    println!("\n── {text}");
}
