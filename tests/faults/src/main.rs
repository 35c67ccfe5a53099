//! `make test-faults`: migrations under faults, one after the other, until the time is up.

#![expect(clippy::print_stdout, reason = "this program's output is what it is for")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use faults::{Account, Plan};

/// Whole migrations on real brokers while brokers, networks, functions and AWS fail.
#[derive(Debug, Parser)]
struct Args {
    /// How long to go on: a further migration begins only when one like the longest so far fits in.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Seed of the first migration's data and faults; the next has the next number. The faults are the same each time,
    /// the timing on real brokers is not.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Brokers per side: 1 or 3.
    #[arg(long, default_value_t = 3)]
    brokers: usize,
    /// Size of the source; 1 is about 80 MB when it is whole.
    #[arg(long, default_value = "0.5")]
    scale: String,
    /// The whole source, 36 topics with 306 partitions, and not 9 with 67.
    #[arg(long)]
    whole: bool,
    /// Seconds of faults in each migration.
    #[arg(long, default_value_t = 120)]
    faults: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    stack::exit_code("faults", stack::unless_interrupted(rounds(&args)).await, "everything was stopped")
}

async fn rounds(args: &Args) -> anyhow::Result<()> {
    let (began, limit) = (Instant::now(), Duration::from_secs(args.minutes * 60));
    let mut longest = Duration::ZERO;
    for seed in args.seed.. {
        let round = Instant::now();
        let plan = Plan {
            name: "faults".to_owned(),
            seed,
            brokers: args.brokers,
            scale: args.scale.clone(),
            whole: args.whole,
            faults_for: Duration::from_secs(args.faults),
            kinds: 0,
        };
        print(seed, &faults::run(&plan).await?);
        longest = longest.max(round.elapsed());
        if began.elapsed() + longest > limit {
            break;
        }
    }
    Ok(())
}

fn print(seed: u64, account: &Account) {
    let records = &account.verdict.judge["records"];
    println!("seed {seed}: 0 records lost, doubled, altered or out of order; judge: {records}");
    println!("seed {seed}: {} calls of AWS went wrong; {:?}", account.troubled_calls, account.counts);
}
