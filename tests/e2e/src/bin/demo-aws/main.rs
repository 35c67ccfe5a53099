//! `make demo-aws`: the CDK app of this repository deployed into a stand-in for AWS that enforces IAM, on this machine, and a
//! whole migration through it by an operator who may do nothing but what the operator's policy says.

#![expect(clippy::print_stdout, reason = "this program's output is what it is for")]

mod report;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use e2e::rights::removal;
use e2e::{Deployment, Live, SignIn, live, rehearsal, rights};
use stack::Options;

/// Name of the stack, and of the migration on it.
const NAME: &str = "demo-aws";
/// A right without which a migration is shown to stop.
const TAKEN: &str = "SeedPartitionWriteTheBackup";

/// Deploys into a stand-in for AWS on this machine, and migrates.
#[derive(Debug, Parser)]
struct Args {
    /// Size of the source's four topics; 1 is about 20 MB.
    #[arg(long, default_value = "0.5")]
    scale: String,
    /// Kafka version of the source.
    #[arg(long, default_value = stack::setup::DEFAULT_VERSION)]
    source_version: String,
    /// Kafka version of the target.
    #[arg(long, default_value = stack::setup::DEFAULT_VERSION)]
    target_version: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = stack::unless_interrupted(Box::pin(demonstrate(&args))).await;
    let left = "everything was stopped. Nothing of the AWS side is kept: make demo-aws begins anew";
    stack::exit_code("demo-aws", outcome, left)
}

async fn demonstrate(args: &Args) -> anyhow::Result<()> {
    let mut steps = Steps::default();
    steps.begin("Kafka on both sides, ministack with IAM enforced, cdk bootstrap, cdk deploy of infra/cdk");
    let options = Options {
        name: NAME.to_owned(),
        source_version: args.source_version.clone(),
        target_version: args.target_version.clone(),
        discard: true,
        ..Options::default()
    };
    let deployment = Deployment::start(options).await?;
    let granted = rights::statements(&deployment).await?;
    report::deployed(&deployment, &granted)?;
    let mark = deployment.stack.decisions().mark()?;

    steps.begin("A source with transactions, compression and consumer groups; live producers and consumers");
    let topics: Vec<_> = live::TOPICS.split(',').collect();
    deployment.java.load_topics(5, &args.scale, &topics).await?;
    let clients = Live::start(&deployment.stack, &deployment.java).await?;

    let cli = deployment.operator(NAME, None, SignIn::Plaintext)?.shown();
    steps.begin("msk-kraft precheck, under the operator's role");
    print!("{}", cli.ask("precheck", &[]).await?.ok()?.stdout);
    steps.begin("msk-kraft execute");
    cli.run("execute", &[]).await?.ok()?;
    steps.begin("msk-kraft cutover, cutover-ack, finalize, with clients that switch");
    rehearsal::cut_over(&cli, &clients).await?;

    steps.begin("Independent judges: Kafka's own clients on every record, the live clients' logs, openssl");
    let logs = clients.dir().to_owned();
    clients.finish().await?;
    report::judged(&deployment, NAME, &logs).await?;

    steps.begin(&format!("A second migration, signed in with SCRAM, without {TAKEN}"));
    let taken = granted.iter().find(|statement| statement.sid == TAKEN);
    let taken = taken.ok_or_else(|| anyhow::anyhow!("nothing is granted by {TAKEN}"))?;
    let refusal = removal::migrate_without(&deployment, taken, "without-a-right").await?;
    println!("{} stopped: {}", refusal.verb, refusal.said);
    println!("with the right given back, msk-kraft resume went on, and the migration was finalized");

    steps.begin("What the roles were granted, and what they asked for");
    report::asked(&deployment, mark)?;
    report::not_enforced();

    steps.begin("cdk destroy of all stacks, which keeps the evidence");
    deployment.stack.uninstall().await?;
    report::kept(&deployment, NAME).await?;
    steps.end();
    deployment.stack.stop().await
}

/// Headings, and the time that each step took.
#[derive(Debug, Default)]
struct Steps {
    done: Vec<(String, f64)>,
    under_way: Option<(String, Instant)>,
}

impl Steps {
    fn begin(&mut self, what: &str) {
        self.close();
        println!("\n── {what}");
        self.under_way = Some((what.to_owned(), Instant::now()));
    }

    fn close(&mut self) {
        if let Some((what, since)) = self.under_way.take() {
            let took = since.elapsed().as_secs_f64();
            println!("   ({took:.1} s)");
            self.done.push((what, took));
        }
    }

    fn end(mut self) {
        self.close();
        println!("\n── Time");
        for (what, took) in &self.done {
            println!("{took:7.1} s  {what}");
        }
        println!("{:7.1} s  in all; the stack stops now", self.done.iter().map(|(_, took)| took).sum::<f64>());
    }
}
