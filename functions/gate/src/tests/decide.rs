use chrono::TimeDelta;
use journal::{FreezeState, GateName, GateState, Side, Verdict};
use migration::{ErrorKind, Phase};
use runtime::gates::Answered;
use serde_json::json;

use super::bench::Bench;

#[tokio::test]
async fn a_cutover_is_approved_by_its_newest_rehearsal_alone() {
    let Some(bench) = Bench::new(Phase::DrainReady, json!({"rehearsal_max_age": "10m"})).await else { return };
    let approve = |rehearsal: Option<&'static str>| {
        let fields =
            json!({"gate": "cutover", "verdict": "approve", "by": "ada", "reason": "", "rehearsal": rehearsal});
        bench.invoke("decide", fields)
    };
    let error = approve(None).await.unwrap_err();
    assert!(error.message.contains("has not armed the gate yet"), "{error}");
    bench.open(GateName::Cutover).await.unwrap();
    let mut refused = vec![(approve(None).await, "it was not rehearsed")];
    bench.rehearse("r1", TimeDelta::minutes(11), 0).await;
    refused.push((approve(None).await, "old, and cutover.rehearsal_max_age is 10m"));
    bench.rehearse("r2", TimeDelta::zero(), 1).await;
    refused.push((approve(None).await, "group g0: is alive (stop it)"));
    bench.rehearse("r3", TimeDelta::minutes(9), 0).await;
    refused.push((approve(Some("r2")).await, "r2 is not the newest any more, r3 is"));
    bench.journal.set_fact(documents::rehearsal::NEWEST, &json!("gone")).await.unwrap();
    refused.push((approve(None).await, "the rehearsal is missing"));
    for (outcome, says) in refused {
        let error = outcome.unwrap_err();
        assert!(error.kind == ErrorKind::Blocked && error.message.contains(says), "{says}: {error}");
        assert!(
            error.message.contains("msk-kraft cutover --rehearse --migration-id m1") || says.contains("missing"),
            "{error}"
        );
        assert_eq!(bench.gate(GateName::Cutover).await.state, GateState::Open);
    }
    bench.rehearse("r3", TimeDelta::minutes(9), 0).await;
    let answered: Answered = serde_json::from_value(approve(None).await.unwrap()).unwrap();
    assert_eq!(answered.gate.decision.unwrap().rehearsal.as_deref(), Some("r3"), "the one that was approved is named");
    assert_eq!(bench.gate(GateName::Cutover).await.decision.unwrap().rehearsal.as_deref(), Some("r3"));
    // What is decided is not asked about again, however old its rehearsal is by now.
    bench.rehearse("r4", TimeDelta::minutes(60), 3).await;
    let again: Answered = serde_json::from_value(approve(Some("r1")).await.unwrap()).unwrap();
    assert_eq!(again.gate.decision.unwrap().rehearsal.as_deref(), Some("r3"));
}

#[tokio::test]
async fn a_cutover_is_rejected_without_any_rehearsal() {
    let Some(bench) = Bench::new(Phase::DrainReady, json!({})).await else { return };
    bench.open(GateName::Cutover).await.unwrap();
    bench.decide(GateName::Cutover, "reject", "not today").await.unwrap();
    let decision = bench.gate(GateName::Cutover).await.decision.unwrap();
    assert_eq!((decision.verdict, decision.reason.as_str(), decision.rehearsal), (Verdict::Reject, "not today", None));
}

#[tokio::test]
async fn behind_the_point_of_no_return_a_gate_can_only_be_approved() {
    for (phase, gate) in
        [(Phase::AwaitingClientSwitch, GateName::ClientSwitch), (Phase::Validating, GateName::Finalize)]
    {
        let Some(bench) = Bench::new(phase, json!({})).await else { return };
        bench.open(gate).await.unwrap();
        let error = bench.decide(gate, "reject", "").await.unwrap_err();
        assert!(error.kind == ErrorKind::Invalid && error.message.contains("leave it open"), "{error}");
        bench.decide(gate, "approve", "").await.unwrap();
        assert_eq!(bench.gate(gate).await.state, GateState::Sent);
    }
}

#[tokio::test]
async fn the_outage_counts_from_the_moment_the_function_hears_that_producers_are_frozen() {
    let Some(bench) = Bench::new(Phase::DrainReady, json!({})).await else { return };
    let before = bench.journal.now();
    bench.open(GateName::Freeze).await.unwrap();
    let asked = bench.freezes().await;
    assert_eq!(
        (asked.state(), asked.frozen_since(), asked.current().by.as_str()),
        (FreezeState::Asked, None, "operator")
    );
    assert!(asked.current().asked_at >= before);
    let before = bench.journal.now();
    bench.decide(GateName::Freeze, "approve", "all stopped").await.unwrap();
    let frozen = bench.freezes().await;
    assert!(frozen.frozen_since().unwrap() >= before && frozen.current().asked_at == asked.current().asked_at);
    assert_eq!(frozen.current().by, "ada");
    bench.decide(GateName::Freeze, "approve", "again").await.unwrap();
    assert_eq!(bench.freezes().await, frozen, "a repeat changes nothing");
}

#[tokio::test]
async fn rejecting_a_freeze_that_is_confirmed_gives_the_cutover_up() {
    let Some(bench) = Bench::new(Phase::DrainReady, json!({})).await else { return };
    bench.open(GateName::Freeze).await.unwrap();
    bench.decide(GateName::Freeze, "approve", "").await.unwrap();
    for _ in 0..2 {
        let answered = bench.decide(GateName::Freeze, "reject", "the batch job did not stop").await;
        // Repeated, it finds the migration failed, and says by what.
        let Ok(answered) = answered else {
            assert!(answered.unwrap_err().message.contains("it failed: resume it first"));
            continue;
        };
        assert_eq!(answered["given_up"], true);
    }
    assert_eq!(bench.phase().await, Phase::Failed);
    assert_eq!(bench.reason().await, "the cutover was given up by ada: the batch job did not stop");
    assert_eq!(bench.towards().await, Some(Side::Source));
}

#[tokio::test]
async fn rejecting_a_freeze_behind_the_point_of_no_return_is_refused() {
    let Some(bench) = Bench::new(Phase::DrainReady, json!({})).await else { return };
    bench.open(GateName::Freeze).await.unwrap();
    bench.decide(GateName::Freeze, "approve", "").await.unwrap();
    bench.commit().await;
    let error = bench.decide(GateName::Freeze, "reject", "").await.unwrap_err();
    assert!(error.kind == ErrorKind::Blocked && error.message.contains("it goes forward"), "{error}");
    assert_eq!((bench.phase().await, bench.freezes().await.state()), (Phase::Cutover, FreezeState::Frozen));
}

#[tokio::test]
async fn a_rejected_freeze_leaves_its_reason_in_the_journal() {
    let Some(bench) = Bench::new(Phase::DrainReady, json!({})).await else { return };
    bench.open(GateName::Freeze).await.unwrap();
    bench.decide(GateName::Freeze, "reject", "two teams are away").await.unwrap();
    // As the state machine says it.
    let cause = json!({"Error": "Blocked", "Cause": "producers were not frozen"});
    bench.invoke("fail", json!({"cause": cause})).await.unwrap();
    assert_eq!(bench.reason().await, "Blocked: producers were not frozen; rejected by ada: two teams are away");
    assert_eq!(bench.towards().await, Some(Side::Source), "some may have been stopped");
}
