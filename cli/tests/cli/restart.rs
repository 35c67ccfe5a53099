//! `--force-restart`: what is said, asked, stopped and started around the function that removes.

use aws_sdk_dynamodb::types::AttributeValue;
use journal::Journal;
use migration::Phase;
use serde_json::{Value, json};

use crate::support::{Bench, finding};

/// What the function answers: a topic and its records go.
fn answer(done: bool) -> Value {
    json!({
        "removal": {
            "migration_id": "m1",
            "phase": "seed",
            "target": "arn:aws:kafka:us-east-1:123456789012:cluster/new/def-2",
            "topics": [{"topic": "orders", "id": "x", "partitions": 3, "records": 1204}],
            "kept": [{"topic": "old", "why": "it was there before"}],
            "working_data": "s3://segments/runs/m1/",
            "objects": 12,
            "journal_items": 9,
            "interrupted": false,
            "notes": [],
        },
        "done": done,
    })
}

/// Removes the run, as the function does.
pub(crate) async fn remove(journal: &Journal) {
    let remains = journal.remains().await.unwrap();
    let lease = journal.claim_restart(remains.as_ref(), "restarts/1.json", "begins again").await.unwrap();
    journal.remove_run(&lease, 0, "s3://segments/runs/m1/restarts/1.json").await.unwrap();
}

async fn phase(bench: &Bench) -> Phase {
    bench.journal.meta().await.unwrap().phase
}

#[tokio::test]
async fn it_says_what_goes_and_without_a_terminal_wants_a_flag() {
    let Some(bench) = Bench::new(Phase::Seed).await else { return };
    bench.answer("restart", answer(false));
    bench.start(1).await;
    let run = bench.run(&["resume", "--migration-id", "m1", "--force-restart"]).await;
    run.exits(1).says("orders: 3 partitions, 1204 records").says("12 objects below s3://segments/runs/m1/");
    run.says("old: it was there before").says("m1-1 is running; it will be stopped").says("add --yes");
    assert_eq!(phase(&bench).await, Phase::Seed);
    assert_eq!(bench.executions().await, [("m1-1".to_owned(), "RUNNING".to_owned())]);
    let args = ["execute", "--config", "CONFIG", "--migration-id", "m1", "--force-restart", "--output", "json"];
    let run = bench.run(&args).await;
    let said: Value = serde_json::from_str(run.exits(1).stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&said["migration_id"], &said["removal"]["topics"][0]["records"]), (&json!("m1"), &json!(1204)));
}

#[tokio::test]
async fn at_a_terminal_it_wants_the_id() {
    let Some(bench) = Bench::new(Phase::Seed).await else { return };
    bench.answer("restart", answer(true));
    let args = ["resume", "--migration-id", "m1", "--force-restart"];
    let run = bench.on_terminal(&args, "to go on:", "yes\n").await.unwrap();
    run.exits(1).prints("nothing was changed");
    assert_eq!((phase(&bench).await, bench.executions().await.len()), (Phase::Seed, 0));
    let run = bench.on_terminal(&args, "to go on:", "m1\n");
    bench.wait_for_execution("m1-1").await;
    bench.create().await;
    bench.go(Phase::DrainReady).await;
    let run = run.await.unwrap();
    run.exits(0).prints("removed").prints("null -> planned").prints("tail -> drain_ready");
}

#[tokio::test]
async fn a_running_execution_is_stopped_and_names_go_on() {
    let Some(bench) = Bench::new(Phase::Tail).await else { return };
    bench.answer("restart", answer(true));
    bench.start(1).await;
    bench.edit_config("segments", "elsewhere");
    let refused = bench.run(&["execute", "--config", "CONFIG", "--migration-id", "m1"]).await;
    refused.exits(1).says("resume fingerprint mismatch").says("backup.s3_bucket").says("--force-restart");
    let args = ["execute", "--config", "CONFIG", "--migration-id", "m1", "--force-restart", "--yes"];
    let run = bench.spawn(&args);
    bench.wait_for_execution("m1-2").await;
    bench.create().await;
    bench.go(Phase::DrainReady).await;
    run.await.unwrap().exits(0).says("stopping arn:aws:states").prints("planned | resume_fp=");
    let mut executions = bench.executions().await;
    executions.sort();
    let status = |name: &str, status: &str| (name.to_owned(), status.to_owned());
    assert_eq!(executions, [status("m1-1", "ABORTED"), status("m1-2", "RUNNING")]);
    let config = bench.journal.meta().await.unwrap().config;
    assert_eq!(config["backup"]["s3_bucket"], "elsewhere");
}

#[tokio::test]
async fn what_the_function_refuses_stops_nothing() {
    let Some(bench) = Bench::new(Phase::Seed).await else { return };
    let message = "1 partitions of the target hold records: orders/3. Nothing was removed (orders/3)";
    bench.fail("restart", json!({"errorType": "Unsafe", "errorMessage": message}));
    bench.start(1).await;
    let run = bench.run(&["resume", "--migration-id", "m1", "--force-restart", "--yes"]).await;
    run.exits(1).says(message);
    assert_eq!(phase(&bench).await, Phase::Seed);
    assert_eq!(bench.executions().await, [("m1-1".to_owned(), "RUNNING".to_owned())]);
}

#[tokio::test]
async fn a_blocker_is_found_before_anything_is_removed() {
    let Some(bench) = Bench::new(Phase::Seed).await else { return };
    bench.answer("restart", answer(true));
    let mut records = finding("B14", "blocker");
    records["resources"] = json!(["orders"]);
    bench.answer("report", json!({"findings": [records, finding("B07", "blocker")]}));
    let args = ["execute", "--config", "CONFIG", "--migration-id", "m1", "--force-restart", "--yes"];
    let run = bench.run(&args).await;
    run.exits(1).says("B07").says("nothing was removed");
    assert!(!run.stderr.contains("found B14"), "these records go: {}", run.stderr);
    assert_eq!(phase(&bench).await, Phase::Seed);
}

#[tokio::test]
async fn a_run_that_cannot_be_read_begins_again() {
    let Some(bench) = Bench::new(Phase::Seed).await else { return };
    bench.answer("restart", answer(true));
    bench.damage("phase").await;
    bench.run(&["status", "--migration-id", "m1"]).await.exits(1).says("cannot be read");
    let run = bench.spawn(&["resume", "--migration-id", "m1", "--force-restart", "--yes"]);
    bench.wait_for_execution("m1-1").await;
    bench.create().await;
    bench.go(Phase::DrainReady).await;
    run.await.unwrap().exits(0).prints("tail -> drain_ready");

    bench.damage("config").await;
    let run = bench.run(&["resume", "--migration-id", "m1", "--force-restart", "--yes"]).await;
    run.exits(1).says("give it with --config");
}

#[tokio::test]
async fn an_interrupted_removal_is_named_by_every_verb_and_repeated() {
    let Some(bench) = Bench::new(Phase::Seed).await else { return };
    bench.answer("restart", answer(true));
    let remains = bench.journal.remains().await.unwrap();
    bench.journal.claim_restart(remains.as_ref(), "restarts/1.json", "begins again").await.unwrap();
    for verb in ["status", "resume", "rollback", "finalize"] {
        bench.run(&[verb, "--migration-id", "m1"]).await.exits(1).says("is being removed").says("--force-restart");
    }
    let run = bench.spawn(&["resume", "--migration-id", "m1", "--force-restart", "--yes"]);
    bench.wait_for_execution("m1-1").await;
    bench.create().await;
    bench.go(Phase::DrainReady).await;
    run.await.unwrap().exits(0);
}

#[tokio::test]
async fn after_the_removal_only_the_start_is_left() {
    let Some(bench) = Bench::new(Phase::Seed).await else { return };
    let nothing = json!({"topics": [], "kept": [], "objects": 0, "journal_items": 0, "phase": null});
    let mut said = answer(true);
    said["removal"].as_object_mut().unwrap().extend(nothing.as_object().unwrap().clone());
    bench.answer("restart", said);
    bench.start(1).await;
    bench.stop("m1-1").await;
    remove(&bench.journal).await;
    // Without --config: the removed run left its own. Nobody is asked, and nothing is removed.
    let run = bench.spawn(&["resume", "--migration-id", "m1", "--force-restart"]);
    bench.wait_for_execution("m1-2").await;
    bench.create().await;
    bench.go(Phase::DrainReady).await;
    run.await.unwrap().exits(0).says("nothing of it is left").says("m1-2");
}

impl Bench {
    /// Makes an attribute of the run's own item unreadable.
    async fn damage(&self, attribute: &str) {
        let client = self.dynamodb();
        let key = |text: &str| AttributeValue::S(text.to_owned());
        let update =
            client.update_item().table_name(self.journal.table()).key("pk", key("run#m1")).key("sk", key("meta"));
        let update = update.update_expression("SET #a = :v").expression_attribute_names("#a", attribute);
        update.expression_attribute_values(":v", key("{half")).send().await.unwrap();
    }
}
