//! `finalize`: the key before anything else, and what a person accepts.

use journal::{GateName, Verdict};
use migration::Phase;
use migration::report::validation::{self, Check, Problem};
use migration::report::{Outcome, Overall, ValidationReport};
use serde_json::json;

use crate::support::Bench;

/// A report of validation `attempt` in which one partition failed.
fn failed(attempt: u32) -> ValidationReport {
    let counts = Check {
        outcome: Outcome::Failed,
        checked: 2,
        failed: 1,
        problems_total: 1,
        problems: vec![Problem::failed("orders/3", "2 late record(s)")],
        ..Check::default()
    };
    ValidationReport {
        migration_id: "m1".parse().unwrap(),
        attempt,
        overall: Overall::Failed,
        topic_parity: Check::default(),
        counts_and_offsets: counts,
        spot_check_records: Check::default(),
        sentinel_presence: Check::default(),
        consumer_group_reconciliation: Check::default(),
        acceptances: Vec::new(),
    }
}

const ACCEPT: [&str; 9] = [
    "finalize",
    "--migration-id",
    "m1",
    "--accept",
    "counts_and_offsets:orders/3",
    "--accept",
    "topic_parity",
    "--reason",
    "two heartbeats",
];

#[tokio::test]
async fn a_key_that_cannot_be_read_is_known_before_anything_is_validated() {
    let Some(bench) = Bench::new(Phase::Validating).await else { return };
    bench.start(1).await;
    bench.arm(GateName::Finalize).await;
    let message = "signing key /opt/keys/evidence.pem cannot be read";
    bench.fail("check", json!({"errorType": "Blocked", "errorMessage": message}));
    bench.run(&ACCEPT).await.exits(1).says(message);
    let gate = bench.journal.gate(GateName::Finalize).await.unwrap().unwrap();
    assert_eq!(gate.decision, None);
    assert!(bench.journal.acceptances().await.unwrap().is_empty(), "nothing was begun");
}

#[tokio::test]
async fn what_is_accepted_is_on_record_before_the_validation_begins() {
    let Some(bench) = Bench::new(Phase::Validating).await else { return };
    bench.answer("check", json!({"key": "demo", "public_key": "-----BEGIN PUBLIC KEY-----"}));
    bench.start(1).await;
    bench.arm(GateName::Finalize).await;
    let run = bench.spawn(&ACCEPT);
    bench.wait_for_decision(GateName::Finalize, Verdict::Approve).await;
    let accepted = bench.journal.acceptances().await.unwrap();
    let what: Vec<_> = accepted.iter().map(|acceptance| acceptance.what().to_string()).collect();
    assert_eq!(what, ["counts_and_offsets:orders/3", "topic_parity"]);
    assert_eq!(accepted[0].reason, "two heartbeats");
    assert!(accepted[0].by.contains('@'), "{}", accepted[0].by);
    bench.journal.transition(Phase::Finalized, "evidence at s3://evidence/runs/m1/evidence.json").await.unwrap();
    let ran = run.await.unwrap();
    ran.exits(0).says("accepted by").says("counts_and_offsets:orders/3").says("demonstration key");
    bench.run(&ACCEPT).await.exits(0).says("nothing can be accepted any more");
}

#[tokio::test]
async fn a_failed_finalize_shows_the_command_that_accepts_what_failed() {
    let Some(bench) = Bench::new(Phase::Planned).await else { return };
    let store = bench.with_bucket(Phase::Validating).await;
    bench.start(1).await;
    bench.arm(GateName::Finalize).await;
    // What an earlier validation found says nothing about this one.
    store.put_json(validation::NAME, &failed(7)).await.unwrap();
    let run = bench.spawn(&["finalize", "--migration-id", "m1"]);
    bench.wait_for_decision(GateName::Finalize, Verdict::Approve).await;
    bench.journal.fail("Transient: no broker answers").await.unwrap();
    let ran = run.await.unwrap();
    assert!(!ran.exits(1).stderr.contains("--accept"), "{ran:#?}");

    store.put_json(validation::NAME, &failed(2)).await.unwrap();
    bench.stop("m1-1").await;
    let run = bench.spawn(&["finalize", "--migration-id", "m1"]);
    bench.wait_for_execution("m1-2").await;
    bench.journal.resume_from_failed().await.unwrap();
    bench.arm(GateName::Finalize).await;
    bench.wait_for_decision(GateName::Finalize, Verdict::Approve).await;
    bench.journal.fail("Unsafe: validation failed: counts_and_offsets: 1 of 2 partitions").await.unwrap();
    run.await
        .unwrap()
        .exits(1)
        .says("msk-kraft finalize --migration-id m1 --accept counts_and_offsets:orders/3 --reason 'WHY IT MAY STAY'")
        .says("accepting repairs nothing")
        .says("signed as PASSED_WITH_EXCEPTIONS");
}

#[tokio::test]
async fn a_finalized_migration_says_what_was_validated() {
    let Some(bench) = Bench::new(Phase::Planned).await else { return };
    let store = bench.with_bucket(Phase::Validating).await;
    bench.answer("check", json!({"key": "demo", "public_key": "-----BEGIN PUBLIC KEY-----"}));
    bench.start(1).await;
    bench.arm(GateName::Finalize).await;
    let run = bench.spawn(&["finalize", "--migration-id", "m1"]);
    bench.wait_for_decision(GateName::Finalize, Verdict::Approve).await;
    let passed = ValidationReport { overall: Overall::PassedWithWarnings, ..failed(1) };
    let mut passed = serde_json::to_value(passed).unwrap();
    passed["counts_and_offsets"]["records_expected"] = json!(1204);
    store.put_json(validation::NAME, &passed).await.unwrap();
    bench.journal.transition(Phase::Finalized, "evidence at s3://evidence/runs/m1/evidence.json").await.unwrap();
    run.await
        .unwrap()
        .exits(0)
        .says("2 partitions, 1,204 copied records (not counted on the target), 0 records")
        .says("PASSED_WITH_WARNINGS");
}
