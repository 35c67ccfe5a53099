//! Every command in every phase, without an execution that runs and without a gate that is open: what each says and how it
//! exits. The table is kept beside this file, so that a change of any cell is seen.

use std::fmt::Write as _;
use std::time::Duration;

use futures::StreamExt;
use migration::Phase;

use crate::support::{Bench, Ran};

/// Where a migration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// In a phase.
    In(Phase),
    /// Failed in a phase.
    FailedIn(Phase),
    /// Failed in the cutover, behind the point of no return.
    FailedBehindTheMark,
}

const STANDS: [Stands; 16] = [
    Stands::In(Phase::Precheck),
    Stands::In(Phase::TopologyCopy),
    Stands::In(Phase::Seed),
    Stands::In(Phase::Tail),
    Stands::In(Phase::DrainReady),
    Stands::In(Phase::Cutover),
    Stands::In(Phase::AwaitingClientSwitch),
    Stands::In(Phase::Validating),
    Stands::In(Phase::Finalized),
    Stands::In(Phase::RolledBack),
    Stands::FailedIn(Phase::Precheck),
    Stands::FailedIn(Phase::Seed),
    Stands::FailedIn(Phase::Tail),
    Stands::FailedIn(Phase::Cutover),
    Stands::FailedBehindTheMark,
    Stands::FailedIn(Phase::Validating),
];

const COMMANDS: [&[&str]; 15] = [
    &["status"],
    &["journal"],
    &["resume"],
    &["execute", "--config", "CONFIG"],
    &["cutover"],
    &["cutover-ack"],
    &["rollback", "--yes"],
    &["finalize"],
    &["finalize", "--accept", "counts_and_offsets", "--reason", "known"],
    &["ack", "cutover"],
    &["ack", "freeze"],
    &["ack", "freeze", "--reject", "--reason", "no"],
    &["ack", "client-switch"],
    &["ack", "finalize"],
    &["throttle"],
];

/// Pause between two looks for an execution that a command has begun, and follows.
const LOOK: Duration = Duration::from_millis(300);
/// Commands at the same time.
const AT_ONCE: usize = 8;

async fn bench(stands: Stands) -> Option<Bench> {
    let phase = match stands {
        Stands::In(Phase::RolledBack) => Phase::Tail,
        Stands::In(phase) | Stands::FailedIn(phase) => phase,
        Stands::FailedBehindTheMark => Phase::Cutover,
    };
    let bench = Bench::new(phase).await?;
    let journal = &bench.journal;
    if stands == Stands::FailedBehindTheMark {
        let (lease, _) = journal.claim_cutover().await.unwrap();
        journal.mark_committed(&lease, "cutover/plan.json").await.unwrap();
    }
    match stands {
        Stands::In(Phase::RolledBack) => _ = journal.transition(Phase::RolledBack, "given up").await.unwrap(),
        Stands::In(_) => {}
        Stands::FailedIn(_) | Stands::FailedBehindTheMark => _ = journal.fail("Blocked: why").await.unwrap(),
    }
    Some(bench)
}

/// How a command ended, in one line.
async fn outcome(bench: &Bench, command: &[&str]) -> String {
    let args = [command, &["--migration-id", "m1"]].concat();
    let mut run = bench.spawn(&args);
    let begun = async {
        while !bench.executions().await.iter().any(|(_, status)| status == "RUNNING") {
            tokio::time::sleep(LOOK).await;
        }
    };
    let outcome = tokio::select! {
        ran = &mut run => said(&ran.unwrap()),
        () = begun => "begins an execution".to_owned(),
    };
    run.abort();
    outcome
}

fn said(ran: &Ran) -> String {
    let code = ran.code.unwrap();
    let lines = || ran.stderr.lines().chain(ran.stdout.lines()).map(str::trim);
    let told: Vec<_> = match code {
        0 => vec!["done"],
        _ => lines().filter(|line| line.starts_with("error: ") || line.starts_with("next: ")).collect(),
    };
    format!("{code} {}", told.join(" | ").split(' ').map(without_time).collect::<Vec<_>>().join(" "))
}

fn without_time(word: &str) -> &str {
    let is_time = word.trim_end_matches(':').parse::<chrono::DateTime<chrono::Utc>>().is_ok();
    if is_time { "TIME" } else { word }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_in_every_phase() {
    let cells = COMMANDS.iter().flat_map(|command| STANDS.map(|stands| (*command, stands)));
    let outcomes = futures::stream::iter(cells).map(|(command, stands)| async move {
        let bench = bench(stands).await?;
        Some((command, stands, outcome(&bench, command).await))
    });
    let outcomes: Vec<_> = outcomes.buffered(AT_ONCE).collect().await;
    let Some(outcomes) = outcomes.into_iter().collect::<Option<Vec<_>>>() else { return };
    let mut table = String::new();
    for of_command in outcomes.chunks(STANDS.len()) {
        writeln!(table, "msk-kraft {}", of_command[0].0.join(" ")).unwrap();
        for (_, stands, outcome) in of_command {
            writeln!(table, "  {:<30} {outcome}", format!("{stands:?}")).unwrap();
        }
    }
    insta::assert_snapshot!(table);
}
