//! `make bench`: our copy beside MirrorMaker 2, a bare relay and Kafka's own tools, on the same brokers and the same data.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this program's output is what it is for")]

mod caps;
mod copying;
mod data;
mod freeze;
mod ground;
mod measuring;
mod mirrormaker;
mod ours;
mod plan;
mod relay;
mod report;
mod rivals;
mod s3;
mod tables;
mod targets;
mod tools;
mod topics;
mod usage;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use stack::progress::Progress;
use stack::setup;

use crate::ours::Tuning;
use crate::report::{Contender, Report};

/// Measures the copy side by side with others.
#[derive(Debug, Parser)]
#[command(max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// How long producers stand still in a cutover, step by step, on clusters of several sizes
    Freeze(freeze::FreezeArgs),
    /// The bare relay (started by the bench)
    #[command(hide = true)]
    Relay(relay::RelayArgs),
    /// The S3 stand-in (started by the bench)
    #[command(hide = true)]
    S3 {
        /// Port of this machine
        #[arg(long)]
        port: u16,
    },
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Only these data sets, by their names; `spread` is the series of partitions
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these contenders
    #[arg(long, value_delimiter = ',')]
    contenders: Vec<Contender>,
    /// A fraction of the data, for a look
    #[arg(long)]
    quick: bool,
    /// Multiplies the sizes of the data sets
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Times that msk-kraft and the bare relay copy each data set, by turns
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Percent of a processor that each broker may use when msk-kraft and the bare relay are measured once more, with slow
    /// brokers; 0 leaves that out
    #[arg(long, default_value_t = 50)]
    broker_percent: u32,
    /// Pairs of connections of the bare relay
    #[arg(long, default_value_t = 2)]
    relay_lanes: u8,
    /// Settings of our migration
    #[command(flatten)]
    tuning: Tuning,
}

fn names() -> String {
    let sets = data::sets().into_iter().chain(data::series()).map(|set| set.name);
    sets.collect::<Vec<_>>().join(", ")
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "error".into());
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
    let cli = Cli::parse();
    let outcome = match &cli.command {
        Some(Command::Relay(args)) => relay::run(args).await,
        Some(Command::Freeze(args)) => freeze::run(args).await,
        Some(Command::S3 { port }) => s3::serve(*port).await,
        None => bench(cli.run).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures everything; what was measured before an interruption or a fault is shown and kept.
async fn bench(mut args: RunArgs) -> anyhow::Result<()> {
    // Functions start in a folder of their own.
    let built = args.tuning.bin_dir.canonicalize();
    args.tuning.bin_dir = built.with_context(|| format!("{} is not built", args.tuning.bin_dir.display()))?;
    let plan = args.plan();
    anyhow::ensure!(!plan.is_empty(), "no data set is called {}; there are {}", args.only.join(" or "), names());
    let jars = mirrormaker::jars(&Progress::new(false)).await?;
    let mut report = Report::new(setup::DEFAULT_VERSION, args.scale());
    let outcome = stack::unless_interrupted(measuring::all(&args, &plan, &jars, &mut report)).await;
    println!("{}", tables::all(&report));
    if !report.copies.is_empty() {
        println!("kept in {}", report.save()?.display());
    }
    outcome?.context("interrupted; everything was stopped")
}
