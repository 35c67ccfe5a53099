//! The binary against a stand-in for DynamoDB and Step Functions (moto) at `MSK_KRAFT_TEST_AWS`, and a stand-in for
//! Lambda in the test; without the variable every test says that it is skipped.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "the rules' exceptions for tests miss a test's helpers")]

#[path = "cli/finalize.rs"]
mod finalize;
#[path = "cli/late_records.rs"]
mod late_records;
#[path = "cli/offsets.rs"]
mod offsets;
#[path = "cli/phases.rs"]
mod phases;
#[path = "cli/plan.rs"]
mod plan;
#[path = "cli/restart.rs"]
mod restart;
#[path = "cli/sealing.rs"]
mod sealing;
#[path = "cli/status.rs"]
mod status;
#[path = "cli/support.rs"]
mod support;
#[path = "cli/unfence.rs"]
mod unfence;

use journal::{Decision, FreezeHow, FreezeState, Gate, GateName, GateState, Side, Token, Verdict};
use migration::Phase;
use serde_json::json;

use support::{Bench, finding};

#[tokio::test]
async fn a_precheck_with_a_blocker_fails_and_shows_it() {
    let Some(bench) = Bench::new(Phase::Planned).await else { return };
    let run = bench.run(&["precheck", "--config", "CONFIG"]).await;
    run.exits(0).prints("blockers=0 warnings=1 infos=0").prints("W04");
    bench.answer("report", json!({"findings": [finding("B03", "blocker")]}));
    bench.run(&["precheck", "--config", "CONFIG"]).await.exits(1).prints("blockers=1").prints("what to do about B03");
    let run = bench.run(&["precheck", "--config", "CONFIG", "--output", "json"]).await;
    assert_eq!(run.json()["findings"][0]["code"], "B03");
}

#[tokio::test]
async fn the_access_map_is_printed_whole_or_for_one_principal() {
    let Some(bench) = Bench::new(Phase::Planned).await else { return };
    let store = bench.with_bucket(Phase::Seed).await;
    let command = ["access-map", "--migration-id", "m1"];
    bench.run(&command).await.exits(1).says("there is no s3://").says("do not sign in with IAM");
    let access = |name: &str| json!({"principal": name, "policies": [{"Version": "2012-10-17", "Statement": []}]});
    let map = json!({
        "cluster_arn": "arn", "principals": [access("User:a"), access("User:b")], "not_expressible": [],
    });
    store.put_json("topology/access-map.json", &map).await.unwrap();
    let run = bench.run(&command).await;
    run.exits(0);
    assert_eq!(run.json(), map);
    let run = bench.run(&[command.as_slice(), &["--principal", "User:b"]].concat()).await;
    run.exits(0);
    assert_eq!(run.json()["principals"], json!([access("User:b")]));
    bench.run(&[command.as_slice(), &["--principal", "b"]].concat()).await.exits(1).says("User:a, User:b");
}

#[tokio::test]
async fn a_functions_error_is_readable() {
    let Some(bench) = Bench::new(Phase::Planned).await else { return };
    bench.fail("plan", json!({"errorType": "Blocked", "errorMessage": "the source has no such cluster"}));
    bench.run(&["plan", "--config", "CONFIG"]).await.exits(1).says("error: the source has no such cluster");
    bench.fail("plan", json!({"errorType": "Runtime.ExitError", "errorMessage": "exit status 101"}));
    bench.run(&["plan", "--config", "CONFIG"]).await.exits(1).says("Runtime.ExitError: exit status 101");
}

#[tokio::test]
async fn execute_starts_nothing_when_there_is_a_blocker() {
    let Some(bench) = Bench::new(Phase::Planned).await else { return };
    bench.answer("report", json!({"findings": [finding("B04", "blocker")]}));
    let run = bench.run(&["execute", "--config", "CONFIG", "--migration-id", "blocked"]).await;
    run.exits(1).says("nothing was started").says("B04");
    assert!(bench.executions().await.is_empty());
}

#[tokio::test]
async fn execute_follows_a_new_migration_to_drain_ready() {
    let Some(bench) = Bench::new(Phase::Planned).await else { return };
    let args = ["execute", "--config", "CONFIG", "--migration-id", "m1", "--journal-dir", "DIR/j"];
    let run = bench.spawn(&args);
    bench.wait_for_execution("m1-1").await;
    bench.create().await;
    bench.go(Phase::DrainReady).await;
    let run = run.await.unwrap();
    run.exits(0).prints("null -> planned planned | resume_fp=").prints("tail -> drain_ready");
    run.says("next_command: msk-kraft cutover --migration-id m1 --config ");
    let mirrored = std::fs::read_to_string(bench.dir().join("j/m1/journal.jsonl")).unwrap();
    assert_eq!(mirrored.lines().count(), 6);
}

#[tokio::test]
async fn execute_says_why_a_migration_failed() {
    let Some(bench) = Bench::new(Phase::Planned).await else { return };
    let run = bench.spawn(&["execute", "--config", "CONFIG", "--migration-id", "m1", "--output", "json"]);
    bench.wait_for_execution("m1-1").await;
    bench.create().await;
    bench.go(Phase::Seed).await;
    bench.journal.fail("Blocked: AccessDenied").await.unwrap();
    let run = run.await.unwrap();
    run.exits(1).says("failed in seed: Blocked: AccessDenied").says("next_command: msk-kraft resume");
    let last: serde_json::Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&last["phase"], &last["migration_id"]), (&json!("failed"), &json!("m1")));
}

#[tokio::test]
async fn an_execution_that_ends_without_a_word_is_noticed() {
    let Some(bench) = Bench::new(Phase::Planned).await else { return };
    let run = bench.spawn(&["execute", "--config", "CONFIG", "--migration-id", "m1"]);
    bench.wait_for_execution("m1-1").await;
    bench.stop("m1-1").await;
    run.await.unwrap().exits(1).says("before it had a journal").says("ABORTED");
}

#[tokio::test]
async fn resume_tells_that_the_operator_is_waited_for() {
    let Some(bench) = Bench::new(Phase::DrainReady).await else { return };
    bench.start(1).await;
    bench.arm(GateName::Cutover).await;
    let run = bench.run(&["resume", "--migration-id", "m1"]).await;
    run.exits(10).says("next_command: msk-kraft cutover --migration-id m1");
}

#[tokio::test]
async fn resume_starts_what_has_stopped_and_does_not_believe_an_old_gate() {
    let Some(bench) = Bench::new(Phase::DrainReady).await else { return };
    bench.arm(GateName::Cutover).await;
    bench.journal.fail("Deadline: too late").await.unwrap();
    let run = bench.spawn(&["resume", "--migration-id", "m1", "--config", "CONFIG"]);
    bench.wait_for_execution("m1-1").await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    bench.journal.resume_from_failed().await.unwrap();
    bench.journal.transition(Phase::DrainReady, "again").await.unwrap();
    let run = run.await.unwrap();
    run.exits(0).prints("failed -> tail resumed from drain_ready").prints("tail -> drain_ready again");
    assert_eq!(run.stdout.lines().count(), 2, "only what is new: {}", run.stdout);
}

#[tokio::test]
async fn another_configuration_is_refused() {
    let Some(bench) = Bench::new(Phase::Seed).await else { return };
    bench.edit_config("segments", "elsewhere");
    let run = bench.run(&["resume", "--migration-id", "m1", "--config", "CONFIG"]).await;
    run.exits(1).says("resume fingerprint mismatch").says("backup.s3_bucket");
}

#[tokio::test]
async fn cutover_approves_and_tells_where_clients_go() {
    let Some(bench) = Bench::with(Phase::DrainReady, true).await else { return };
    bench.start(1).await;
    bench.arm(GateName::Cutover).await;
    let run = bench.spawn(&["cutover", "--migration-id", "m1"]);
    bench.wait_for_decision(GateName::Cutover, Verdict::Approve).await;
    bench.journal.transition(Phase::Cutover, "").await.unwrap();
    bench
        .journal
        .transition(Phase::AwaitingClientSwitch, "READY_FOR_CLIENT_SWITCH: groups_translated=2")
        .await
        .unwrap();
    let run = run.await.unwrap();
    run.exits(0).prints("READY_FOR_CLIENT_SWITCH: groups_translated=2").says("target:9092").says("cutover-ack");
}

#[tokio::test]
async fn a_cutover_that_fails_tells_about_producers() {
    let Some(bench) = Bench::with(Phase::DrainReady, true).await else { return };
    bench.start(1).await;
    bench.arm(GateName::Cutover).await;
    let run = bench.spawn(&["cutover", "--migration-id", "m1"]);
    bench.wait_for_decision(GateName::Cutover, Verdict::Approve).await;
    bench.journal.transition(Phase::Cutover, "").await.unwrap();
    let now = bench.journal.now();
    let freeze = bench.journal.ask_freeze(now, FreezeHow::Webhook, "hook").await.unwrap().freeze;
    bench.journal.fail("Deadline: freeze").await.unwrap();
    // As the function does it: behind the failure.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    bench.journal.set_unfrozen(&freeze, Side::Source, now).await.unwrap();
    run.await.unwrap().exits(1).says("failed in cutover: Deadline: freeze").says("unfrozen, they write to the source");
}

#[tokio::test]
async fn cutover_asks_at_the_terminal_whether_producers_are_frozen() {
    for (typed, verdict) in [("frozen\n", Verdict::Approve), ("no\n", Verdict::Reject)] {
        let Some(bench) = Bench::new(Phase::DrainReady).await else { return };
        bench.start(1).await;
        bench.arm(GateName::Cutover).await;
        let run = bench.on_terminal(&["cutover", "--migration-id", "m1"], "gives the cutover up:", typed);
        bench.wait_for_decision(GateName::Cutover, Verdict::Approve).await;
        bench.journal.transition(Phase::Cutover, "").await.unwrap();
        bench.arm(GateName::Freeze).await;
        bench.wait_for_decision(GateName::Freeze, verdict).await;
        if verdict == Verdict::Approve {
            bench.journal.transition(Phase::AwaitingClientSwitch, "READY_FOR_CLIENT_SWITCH").await.unwrap();
            run.await.unwrap().exits(0).prints("clients can be switched now: READY_FOR_CLIENT_SWITCH");
        } else {
            bench.journal.fail("Blocked: producers were not frozen").await.unwrap();
            run.await.unwrap().exits(1).prints("producers were not frozen").prints("next_command: msk-kraft resume");
        }
    }
}

#[tokio::test]
async fn an_interrupt_says_that_the_migration_goes_on() {
    let Some(bench) = Bench::new(Phase::Seed).await else { return };
    bench.progress().await;
    bench.start(1).await;
    let run = bench.on_terminal(&["resume", "--migration-id", "m1"], "1/2 partitions", "\u{3}").await.unwrap();
    run.exits(130).prints("goes on in AWS").prints("msk-kraft status --migration-id m1");
    assert_eq!(bench.executions().await, [("m1-1".to_owned(), "RUNNING".to_owned())]);
}

#[tokio::test]
async fn rollback_at_a_terminal_wants_the_word() {
    let Some(bench) = Bench::new(Phase::Seed).await else { return };
    let args = ["rollback", "--migration-id", "m1"];
    bench.on_terminal(&args, "to go on:", "yes\n").await.unwrap().exits(1).prints("nothing was changed");
    bench.on_terminal(&args, "to go on:", "rollback\n").await.unwrap().exits(0).prints("seed -> rolled_back");
}

#[tokio::test]
async fn progress_is_lines_where_there_is_no_terminal() {
    let Some(bench) = Bench::new(Phase::Seed).await else { return };
    bench.progress().await;
    bench.start(1).await;
    let run = bench.spawn(&["resume", "--migration-id", "m1"]);
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    bench.journal.transition(Phase::Tail, "").await.unwrap();
    bench.journal.transition(Phase::DrainReady, "").await.unwrap();
    run.await.unwrap().exits(0).says("progress phase=seed partitions_seeded=1/2 records=13 bytes=0");
}

#[tokio::test]
async fn cutover_without_webhook_or_terminal_approves_nothing() {
    let Some(bench) = Bench::new(Phase::DrainReady).await else { return };
    bench.start(1).await;
    bench.arm(GateName::Cutover).await;
    bench.run(&["cutover", "--migration-id", "m1"]).await.exits(1).says("stdin is not a TTY").says("ack freeze");
    let gate = bench.journal.gate(GateName::Cutover).await.unwrap().unwrap();
    assert_eq!(gate.state, GateState::Open);
}

#[tokio::test]
async fn a_verb_in_the_wrong_phase_names_the_right_one() {
    let Some(bench) = Bench::new(Phase::DrainReady).await else { return };
    for verb in ["finalize", "cutover-ack"] {
        let run = bench.run(&[verb, "--migration-id", "m1"]).await;
        run.exits(1).says("is in drain_ready").says("next_command: msk-kraft cutover");
    }
}

#[tokio::test]
async fn a_gate_is_not_answered_while_nothing_runs() {
    let Some(bench) = Bench::with(Phase::DrainReady, true).await else { return };
    bench.arm(GateName::Cutover).await;
    let run = bench.run(&["cutover", "--migration-id", "m1"]).await;
    run.exits(1).says("no execution of it is running").says("next_command: msk-kraft resume");
}

#[tokio::test]
async fn finalize_approves_and_shows_the_evidence() {
    let Some(bench) = Bench::new(Phase::Validating).await else { return };
    bench.start(1).await;
    bench.arm(GateName::Finalize).await;
    let run = bench.spawn(&["finalize", "--migration-id", "m1"]);
    bench.wait_for_decision(GateName::Finalize, Verdict::Approve).await;
    bench
        .journal
        .transition(Phase::Finalized, "evidence at s3://evidence/runs/m1/evidence.json (PASSED)")
        .await
        .unwrap();
    run.await.unwrap().exits(0).says("evidence: s3://evidence/runs/m1/evidence.json");
}

#[tokio::test]
async fn finalize_after_a_failed_validation_starts_again() {
    let Some(bench) = Bench::new(Phase::Validating).await else { return };
    bench.journal.fail("Blocked: counts differ").await.unwrap();
    let run = bench.spawn(&["finalize", "--migration-id", "m1"]);
    bench.wait_for_execution("m1-1").await;
    bench.journal.resume_from_failed().await.unwrap();
    bench.arm(GateName::Finalize).await;
    bench.wait_for_decision(GateName::Finalize, Verdict::Approve).await;
    bench.journal.fail("Blocked: counts still differ").await.unwrap();
    run.await.unwrap().exits(1).says("counts still differ").says("next_command: msk-kraft finalize");
}

#[tokio::test]
async fn rollback_stops_the_execution_and_asks_the_function() {
    let Some(bench) = Bench::new(Phase::Seed).await else { return };
    bench.start(1).await;
    bench.run(&["rollback", "--migration-id", "m1"]).await.exits(1).says("--yes");
    let run = bench.run(&["rollback", "--migration-id", "m1", "--yes", "--reason", "not today"]).await;
    run.exits(0).prints("seed -> rolled_back not today").says("stay");
    assert_eq!(bench.executions().await, [("m1-1".to_owned(), "ABORTED".to_owned())]);
}

#[tokio::test]
async fn rollback_again_lets_producers_go_that_are_still_frozen() {
    let Some(bench) = Bench::new(Phase::DrainReady).await else { return };
    let now = bench.journal.now();
    bench.journal.set_frozen(now, FreezeHow::Webhook, "hook").await.unwrap();
    bench.journal.transition(Phase::RolledBack, "given up").await.unwrap();
    let args = ["rollback", "--migration-id", "m1", "--yes"];
    bench.run(&args).await.exits(0).says("rolled back already").says("still FROZEN");
    let freeze = bench.journal.freeze_state().await.unwrap().unwrap();
    assert_eq!(freeze.state(), FreezeState::Unfrozen { towards: Side::Source });
    let again = bench.run(&args).await;
    assert!(!again.exits(0).stderr.contains("FROZEN"));
}

#[tokio::test]
async fn what_was_undone_by_hand_is_asked_for_and_recorded() {
    let Some(bench) = Bench::new(Phase::DrainReady).await else { return };
    let now = bench.journal.now();
    bench.journal.set_frozen(now, FreezeHow::Webhook, "hook").await.unwrap();
    bench.journal.transition(Phase::RolledBack, "given up").await.unwrap();
    let args = ["rollback", "--migration-id", "m1", "--by-hand"];
    bench.run(&args).await.exits(1).says("add --yes");
    let asked = bench.on_terminal(&args, "the journal will say that it was you", "no\n").await.unwrap();
    asked.exits(1).says("nothing was changed");
    assert!(bench.journal.freeze_state().await.unwrap().unwrap().may_hold_producers());
    bench.run(&[args.as_slice(), &["--yes"]].concat()).await.exits(0).says("you let them go by hand");
    let freeze = bench.journal.freeze_state().await.unwrap().unwrap();
    assert_eq!(freeze.state(), FreezeState::Unfrozen { towards: Side::Source });
    assert!(freeze.current().by_hand.is_some());
}

#[tokio::test]
async fn a_cutover_under_way_is_not_rolled_back_by_hand() {
    let Some(bench) = Bench::with(Phase::Cutover, true).await else { return };
    let run = bench.run(&["rollback", "--migration-id", "m1", "--by-hand", "--yes"]).await;
    run.exits(1).says("a cutover is under way").says("msk-kraft rollback --migration-id m1");
    assert_eq!(bench.journal.meta().await.unwrap().phase, Phase::Cutover);
}

#[tokio::test]
async fn rollback_during_a_cutover_gives_it_up_first_and_waits_for_nothing() {
    let Some(bench) = Bench::with(Phase::Cutover, true).await else { return };
    bench.start(1).await;
    bench.journal.set_frozen(bench.journal.now(), FreezeHow::Webhook, "hook").await.unwrap();
    let run = bench.run(&["rollback", "--migration-id", "m1", "--yes", "--reason", "too late"]).await;
    run.exits(0).says("giving the cutover up first").says("unfrozen, they write to the source");
    run.prints("cutover -> failed given up by ").prints("failed -> rolled_back too late");
    assert_eq!(bench.executions().await, [("m1-1".to_owned(), "ABORTED".to_owned())]);
}

#[tokio::test]
async fn a_cutover_that_cannot_be_given_up_any_more_is_not_rolled_back() {
    let Some(bench) = Bench::with(Phase::Cutover, true).await else { return };
    bench.start(1).await;
    // The function sees the point of no return, which came a moment after this program looked.
    bench.fail("give_up", json!({"errorType": "Blocked", "errorMessage": "offsets are committed on the target"}));
    let run = bench.run(&["rollback", "--migration-id", "m1", "--yes"]).await;
    run.exits(1).says("offsets are committed on the target");
    assert_eq!(bench.executions().await, [("m1-1".to_owned(), "RUNNING".to_owned())]);
    assert_eq!(bench.journal.meta().await.unwrap().phase, Phase::Cutover);
}

#[tokio::test]
async fn gates_are_decided_by_the_function_and_its_refusals_are_told() {
    let Some(bench) = Bench::new(Phase::DrainReady).await else { return };
    bench.start(1).await;
    bench.arm(GateName::Cutover).await;
    bench.fail(
        "decide",
        json!({"errorType": "Blocked", "errorMessage": "the cutover is not approved: it was not rehearsed"}),
    );
    let run = bench.run(&["ack", "cutover", "--migration-id", "m1"]).await;
    run.exits(1).says("it was not rehearsed");
    let gate = bench.journal.gate(GateName::Cutover).await.unwrap().unwrap();
    assert_eq!(gate.state, GateState::Open, "nothing is decided here");
    let gate = Gate {
        decision: Some(Decision::approve("")),
        decided_by: Some("webhook".to_owned()),
        name: GateName::Freeze,
        ..gate
    };
    bench.answer("decide", json!({"gate": gate, "heard": true, "given_up": true}));
    let run =
        bench.run(&["ack", "freeze", "--migration-id", "m1", "--by", "ada", "--reject", "--reason", "stop"]).await;
    run.exits(0).says("approved by webhook already, so ada gave the cutover up");
    bench.answer("decide", json!({"gate": gate, "heard": true, "given_up": false}));
    let run = bench.run(&["ack", "freeze", "--migration-id", "m1"]).await;
    run.exits(0).says("gate freeze: approve by webhook").says("the cutover has 1m (cutover.max_producer_freeze)");
}

#[tokio::test]
async fn a_cutover_approves_the_rehearsal_that_was_the_newest_when_it_was_called() {
    let Some(bench) = Bench::with(Phase::DrainReady, true).await else { return };
    bench.start(1).await;
    bench.arm(GateName::Cutover).await;
    let run = bench.spawn(&["cutover", "--migration-id", "m1"]);
    bench.wait_for_decision(GateName::Cutover, Verdict::Approve).await;
    let gate = bench.journal.gate(GateName::Cutover).await.unwrap().unwrap();
    assert_eq!(gate.decision.unwrap().rehearsal.as_deref(), Some("r7"));
    bench.journal.transition(Phase::Cutover, "").await.unwrap();
    bench.journal.fail("Blocked: no").await.unwrap();
    bench.stop("m1-1").await;
    run.await.unwrap().exits(1);
}

#[tokio::test]
async fn execute_on_a_migration_that_has_ended_starts_nothing_and_fails() {
    for (phase, name) in [(Phase::Finalized, "finalized"), (Phase::RolledBack, "rolled_back")] {
        let before = if phase == Phase::RolledBack { Phase::Seed } else { phase };
        let Some(bench) = Bench::new(before).await else { return };
        bench.journal.transition(phase, "").await.unwrap();
        let run = bench.run(&["execute", "--config", "CONFIG", "--migration-id", "m1"]).await;
        run.exits(1).says(&format!("m1 is {name} since")).says("--migration-id");
        assert!(bench.executions().await.is_empty());
    }
}

#[tokio::test]
async fn rollback_at_drain_ready_is_a_rejected_cutover() {
    let Some(bench) = Bench::new(Phase::DrainReady).await else { return };
    bench.start(1).await;
    bench.arm(GateName::Cutover).await;
    let run = bench.spawn(&["rollback", "--migration-id", "m1", "--yes"]);
    bench.wait_for_decision(GateName::Cutover, Verdict::Reject).await;
    bench.journal.transition(Phase::RolledBack, "rejected").await.unwrap();
    run.await.unwrap().exits(0).prints("drain_ready -> rolled_back rejected");
}

#[tokio::test]
async fn rollback_is_refused_after_the_cutover() {
    let Some(bench) = Bench::new(Phase::AwaitingClientSwitch).await else { return };
    let run = bench.run(&["rollback", "--migration-id", "m1", "--yes"]).await;
    run.exits(1).says("rollback is not available");
}

#[tokio::test]
async fn status_journal_input_and_ack_need_no_state_machine() {
    let Some(bench) = Bench::new(Phase::Planned).await else { return };
    bench.edit_config("segments", "nowhere");
    bench.create().await;
    bench.go(Phase::DrainReady).await;
    let run = bench.run(&["status", "--migration-id", "m1"]).await;
    run.exits(0).prints("note       the progress of partitions cannot be read").prints("NoSuchBucket");
    bench.progress().await;
    let run = bench.run(&["status", "--migration-id", "m1"]).await;
    run.exits(0).prints("phase      drain_ready").prints("orders/1").prints("msk-kraft resume --migration-id m1");
    let status = bench.run(&["status", "--migration-id", "m1", "--output", "json"]).await.json();
    assert_eq!((&status["totals"]["max_lag"], &status["partitions"][1]["lag"]), (&json!(7), &json!(7)));
    bench.run(&["journal", "--migration-id", "m1"]).await.exits(0).prints("tail -> drain_ready");
    let input = bench.run(&["input", "--config", "CONFIG", "--migration-id", "m1"]).await.json();
    assert_eq!((&input["migration_id"], &input["config"]["backup"]["s3_bucket"]), (&json!("m1"), &json!("nowhere")));
    bench.run(&["ack", "cutover", "--migration-id", "m1", "--by", "ada"]).await.exits(1).says("not armed");
    bench.arm(GateName::Cutover).await;
    bench.run(&["ack", "cutover", "--migration-id", "m1", "--by", "ada"]).await.exits(0).says("approve by ada");
    bench.run(&["ack", "cutover", "--migration-id", "m1", "--reject"]).await.exits(1).says("answered already");
    bench.run(&["status", "--migration-id", "nobody"]).await.exits(1).says("does not exist");
}

#[tokio::test]
async fn a_failed_answer_is_sent_by_the_next_command() {
    let Some(bench) = Bench::with(Phase::AwaitingClientSwitch, true).await else { return };
    bench.start(1).await;
    let token = Token::new("lost-terminal".to_owned());
    bench.journal.open(GateName::ClientSwitch, &token, None).await.unwrap();
    bench.journal.decide(GateName::ClientSwitch, &Decision::approve(""), "ada").await.unwrap();
    let run = bench.spawn(&["cutover-ack", "--migration-id", "m1"]);
    bench.wait_for_decision(GateName::ClientSwitch, Verdict::Approve).await;
    bench.journal.transition(Phase::Validating, "operator confirmed").await.unwrap();
    run.await.unwrap().exits(0).prints("awaiting_client_switch -> validating").says("next_command: msk-kraft finalize");
}
