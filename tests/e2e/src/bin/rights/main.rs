//! `make test-rights`: takes statements of the deployed policies away, one at a time, and sees each migration stop, say what it
//! lacks, and go on when it is given back.

#![expect(clippy::print_stdout, reason = "this program's output is what it is for")]

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use e2e::Deployment;
use e2e::rights::removal;
use e2e::rights::{self, Statement};
use stack::Options;

/// Takes statements of the deployed policies away, one at a time.
#[derive(Debug, Parser)]
struct Args {
    /// Names of statements, as in infra/description.json; all of them when none is given.
    sids: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = stack::unless_interrupted(Box::pin(all(&args))).await;
    stack::exit_code("rights", outcome, "everything was stopped")
}

async fn all(args: &Args) -> anyhow::Result<()> {
    let options = Options { name: "rights".to_owned(), discard: true, ..Options::default() };
    let deployment = Deployment::start(options).await?;
    let statements = rights::statements(&deployment).await?;
    let unknown = args.sids.iter().find(|sid| !statements.iter().any(|statement| statement.sid == **sid));
    if let Some(unknown) = unknown {
        let known: Vec<_> = statements.iter().map(|statement| statement.sid.as_str()).collect();
        anyhow::bail!("no deployed statement is called {unknown}; there are {}", known.join(", "));
    }
    let wanted = |statement: &&Statement| args.sids.is_empty() || args.sids.contains(&statement.sid);
    let mut failed = 0;
    for (number, statement) in statements.iter().filter(wanted).enumerate() {
        if let Some(why) = removal::silent(&statement.sid) {
            println!("{:44} is not missed: {why}", statement.sid);
            continue;
        }
        let began = Instant::now();
        let outcome = removal::migrate_without(&deployment, statement, &format!("right-{number}")).await;
        let took = began.elapsed().as_secs_f64();
        match outcome {
            Ok(refusal) => {
                println!("{:44} {:5.1} s  {} refused: {}", statement.sid, took, refusal.verb, refusal.action);
            }
            Err(error) => {
                failed += 1;
                println!("{:44} {took:5.1} s  NOT AS IT SHOULD BE: {error:#}", statement.sid);
            }
        }
    }
    deployment.stack.stop().await?;
    anyhow::ensure!(failed == 0, "{failed} statements were not missed as they should be");
    Ok(())
}
