//! `make bench`: our copy beside MirrorMaker 2, a bare relay and Kafka's own tools, on the same brokers and the same data.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this program's output is what it is for")]

mod copying;
mod data;
mod ground;
mod mirrormaker;
mod ours;
mod relay;
mod report;
mod rivals;
mod s3;
mod tables;
mod targets;
mod tools;
mod topics;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use stack::progress::Progress;
use stack::setup;

use crate::data::DataSet;
use crate::ground::Ground;
use crate::ours::Tuning;
use crate::report::{Contender, Figures, Measurement, Report};
use crate::topics::Loaded;

/// The part of the full sizes that `--quick` takes.
const QUICK: f64 = 0.15;

/// Most copies of each data set before the first one that is measured.
const MOST_WARMING_COPIES: usize = 10;

/// Seconds that the brokers' compilers may take in a second of a copy that is measured.
const COMPILED: f64 = 0.05;

/// Contenders who are compared with each other so closely that chance must not decide.
const CLOSE: [Contender; 2] = [Contender::Ours, Contender::Relay];

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
    /// Pairs of connections of the bare relay
    #[arg(long, default_value_t = 2)]
    relay_lanes: u8,
    /// Settings of our migration
    #[command(flatten)]
    tuning: Tuning,
}

impl RunArgs {
    fn scale(&self) -> f64 {
        if self.quick { self.scale * QUICK } else { self.scale }
    }

    /// The data sets to copy, each with its contenders.
    fn plan(&self) -> Vec<(DataSet, Vec<Contender>)> {
        use Contender::{ConsumerPerf, Mirrormaker, Ours, ProducerPerf, Relay};
        let wanted = |set: &DataSet| {
            let is_named = |name: &String| set.name == *name || set.name.split('-').next() == Some(name.as_str());
            self.only.is_empty() || self.only.iter().any(is_named)
        };
        let of = |sets: Vec<DataSet>, contenders: &[Contender]| {
            let contenders: Vec<_> = contenders.to_vec();
            sets.into_iter().map(move |set| (set, contenders.clone())).collect::<Vec<_>>()
        };
        let mut plan = of(data::sets(), &[Ours, Relay, ProducerPerf, ConsumerPerf, Mirrormaker]);
        plan.extend(of(data::series(), &[Ours]));
        plan.retain(|(set, _)| wanted(set));
        for (set, contenders) in &mut plan {
            contenders.retain(|contender| self.contenders.is_empty() || self.contenders.contains(contender));
            let close: Vec<_> = contenders.extract_if(.., |contender| CLOSE.contains(contender)).collect();
            contenders.splice(0..0, close.repeat(self.rounds));
            set.total_bytes = (set.total_bytes as f64 * self.scale()) as u64;
            set.burst_bytes = (set.burst_bytes as f64 * self.scale()) as u64;
        }
        plan
    }
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
    let asked_to_stop = stack::asked_to_stop()?;
    // Dropping what is under way stops what it had started.
    let outcome = tokio::select! {
        outcome = measure(&args, &plan, jars, &mut report) => outcome,
        () = asked_to_stop => Err(anyhow::anyhow!("interrupted; everything was stopped")),
    };
    println!("{}", tables::all(&report));
    if !report.copies.is_empty() {
        println!("kept in {}", report.save()?.display());
    }
    outcome
}

async fn measure(
    args: &RunArgs,
    plan: &[(DataSet, Vec<Contender>)],
    jars: PathBuf,
    report: &mut Report,
) -> anyhow::Result<()> {
    let ground = Ground::start(&args.tuning.bin_dir).await?;
    for (set, contenders) in plan {
        let mut loaded = None;
        warm(args, &ground, set, &mut loaded).await?;
        for contender in contenders {
            let outcome = prepared(&ground, set, &mut loaded).await;
            let outcome = match outcome {
                Ok(loaded) => copy(args, &ground, set, loaded, *contender, &jars, report).await,
                Err(error) => Err(error),
            };
            let failure = outcome.as_ref().err().map(|error| format!("{error:#}"));
            let copy = Measurement { set: set.clone(), contender: *contender, failure, figures: outcome.ok() };
            println!("{}", tables::line(&copy));
            report.copies.push(copy);
            report.save()?;
        }
    }
    ground.stop().await
}

/// Has the relay copy `set` until the brokers' code is compiled: whoever came first would pay for it.
async fn warm(args: &RunArgs, ground: &Ground, set: &DataSet, loaded: &mut Option<Loaded>) -> anyhow::Result<()> {
    for _ in 0..MOST_WARMING_COPIES {
        let warming = prepared(ground, set, loaded).await?;
        let figures = rivals::relay(ground, set, warming, args.relay_lanes).await?;
        if figures.cpu.compilers < COMPILED * figures.seconds {
            break;
        }
    }
    Ok(())
}

/// An empty target, and a source that holds `set`.
async fn prepared(ground: &Ground, set: &DataSet, loaded: &mut Option<Loaded>) -> anyhow::Result<Loaded> {
    ground.clear_target().await?;
    match loaded {
        Some(loaded) if set.burst_bytes == 0 => Ok(*loaded),
        // What a burst added is not for the next.
        _ => Ok(*loaded.insert(ground.fill_source(set).await?)),
    }
}

async fn copy(
    args: &RunArgs,
    ground: &Ground,
    set: &DataSet,
    loaded: Loaded,
    contender: Contender,
    jars: &std::path::Path,
    report: &mut Report,
) -> anyhow::Result<Figures> {
    match contender {
        Contender::Ours => ours::run(ground, set, loaded, &args.tuning).await,
        Contender::Relay => rivals::relay(ground, set, loaded, args.relay_lanes).await,
        Contender::ProducerPerf => tools::producer_perf(ground, set, loaded).await,
        Contender::ConsumerPerf => tools::consumer_perf(ground, set, loaded).await,
        Contender::Mirrormaker => {
            let servers = [ground.stack.source_bootstrap(), ground.stack.target_bootstrap()];
            let properties = mirrormaker::properties(set, &servers[0], &servers[1]);
            report.mirrormaker.push(properties.clone());
            rivals::mirrormaker(ground, set, loaded, jars, &properties).await
        }
    }
}
