//! `status` says what is, since when that is known, and from where.

use journal::{Beat, CopyWork, GateName, Health};
use migration::{BatchId, Error, Phase};
use serde_json::json;

use crate::support::Bench;

/// What `tail-batch` answers: the second partition is 5,003 behind, and nothing follows the only batch.
fn measured(phase: Phase) -> serde_json::Value {
    json!({
        "at": "2026-04-25T06:27:10.000000Z",
        "phase": phase,
        "totals": {"partitions": 2, "max_lag": 5003, "total_lag": 5003},
        "topics": [{"topic": "orders", "partitions": [[0, 0, 10, 10], [1, 0, 7, 5010]]}],
        "omitted": 0,
        "unmeasured": null,
        "stopped": {"count": 0, "first": []},
        "tails": {
            "batches": 1, "live": 0, "failing": 0, "refused": 0,
            "troubled": [{
                "batch": 0, "trouble": "no_tail", "last_beat": "2026-04-25T06:25:10.000000Z",
                "error": {"kind": "Transient", "message": "no broker can be reached", "at": "2026-04-25T06:25:12.000000Z"},
                "refused": null,
            }],
        },
    })
}

#[tokio::test]
async fn the_lag_is_that_of_now_and_the_tails_trouble_is_said() {
    let Some(bench) = Bench::new(Phase::DrainReady).await else { return };
    bench.progress().await;
    bench.start(1).await;
    bench.arm(GateName::Cutover).await;
    bench.answer("measure", measured(Phase::DrainReady));
    let run = bench.run(&["status", "--migration-id", "m1"]).await;
    run.exits(0).prints("lag        max 5003, total 5003 at the source, asked at 2026-04-25T06:27:10Z");
    run.prints("note       no function follows 1 of 1 batch: 0000 (last heard of 2 min ago, Transient at");
    run.prints("no broker can be reached")
        .prints("do not start the cutover yet")
        .prints("runs       execution m1-1 since");
    let status = bench.run(&["status", "--migration-id", "m1", "--output", "json"]).await.json();
    assert_eq!(status["lag"]["source"], "source");
    assert_eq!((&status["partitions"][1]["source_end"], &status["totals"]["max_lag"]), (&json!(5010), &json!(5003)));
    assert_eq!((&status["tails"]["live"], &status["running"]["state"]), (&json!(0), &json!("running")));
    assert_eq!(status["next"]["command"], "msk-kraft status --migration-id m1");
}

#[tokio::test]
async fn where_the_source_cannot_be_asked_the_journals_figures_have_their_age() {
    let Some(bench) = Bench::new(Phase::Tail).await else { return };
    bench.progress().await;
    bench.start(1).await;
    bench.fail("measure", json!({"errorType": "Blocked", "errorMessage": "the source refuses SCRAM"}));
    let lease = bench.journal.claim(BatchId(0), "one").await.unwrap().lease;
    let health = Health::Failing(Error::transient("no leader"));
    bench.journal.beat(&lease, &Beat { work: CopyWork::Tail, health, refused: Vec::new() }).await.unwrap();
    let run = bench.run(&["status", "--migration-id", "m1"]).await;
    run.exits(0).prints("max 7, total 7 as the copy saw it last, as of 2").prints("s ago)");
    run.prints("the source could not be asked: the source refuses SCRAM");
    run.prints("note       the copy of 1 of 1 batch cannot go on at the moment: 0000 (Transient at")
        .prints("no leader");
    let status = bench.run(&["status", "--migration-id", "m1", "--output", "json"]).await.json();
    assert_eq!((&status["lag"]["source"], &status["partitions"][0]["source"]), (&json!("journal"), &json!("journal")));
    assert_eq!((&status["tails"]["failing"], &status["tails"]["live"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn that_nothing_runs_is_said_first() {
    let Some(bench) = Bench::new(Phase::DrainReady).await else { return };
    bench.progress().await;
    bench.answer("measure", measured(Phase::DrainReady));
    let run = bench.run(&["status", "--migration-id", "m1"]).await;
    run.exits(0).prints("runs       no execution").prints("note       no execution of this migration runs");
    run.prints("start it again").prints("msk-kraft resume --migration-id m1");
    bench.start(1).await;
    bench.stop("m1-1").await;
    let status = bench.run(&["status", "--migration-id", "m1", "--output", "json"]).await.json();
    assert_eq!(status["running"], json!({"state": "nothing"}));
    assert_eq!(status["next"]["command"], "msk-kraft resume --migration-id m1");
}

#[tokio::test]
async fn a_configuration_that_was_changed_is_said() {
    let Some(bench) = Bench::with(Phase::DrainReady, true).await else { return };
    bench.start(1).await;
    bench.edit_config("http://localhost/freeze", "http://other/freeze");
    let run = bench.run(&["status", "--migration-id", "m1", "--config", "CONFIG", "--output", "json"]).await;
    run.exits(0).says("cutover.producer_freeze_webhook differs. That counts from the next execution on");
    assert_eq!(run.json()["config_changes"], json!(["cutover.producer_freeze_webhook"]));
    bench.edit_config("http://other/freeze", "http://localhost/freeze");
    let run = bench.run(&["status", "--migration-id", "m1", "--config", "CONFIG", "--output", "json"]).await;
    assert_eq!(run.exits(0).json()["config_changes"], json!([]));
}
