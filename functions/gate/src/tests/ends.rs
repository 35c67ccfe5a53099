use journal::{FreezeState, GateName, Side, TailWanted};
use migration::{ErrorKind, Phase};
use serde_json::json;

use super::bench::Bench;
use super::hook::Hook;

#[tokio::test]
async fn the_watchdog_ends_a_cutover_before_its_mark_and_says_what_kept_it() {
    let hook = Hook::answering(&["200 OK"]).await;
    let cutover = json!({"producer_freeze_webhook": hook.url, "max_producer_freeze": "30s"});
    let Some(bench) = Bench::new(Phase::Cutover, cutover).await else { return };
    bench.freeze().await;
    let at = journal::timestamp(bench.journal.now());
    let attempt = json!({"at": at, "step": "drain", "error": "Transient: target b-2 is down"});
    bench.journal.set_fact("cutover_attempt", &attempt).await.unwrap();
    let (lease, _) = bench.journal.claim_cutover().await.unwrap();
    for _ in 0..2 {
        assert_eq!(bench.invoke("expire", json!({})).await.unwrap(), json!({"expired": true}), "also repeated");
    }
    let reason = bench.reason().await;
    assert!(
        reason.starts_with("Deadline: producers were frozen for") && reason.contains("max_producer_freeze is 30s"),
        "{reason}"
    );
    assert!(reason.ends_with("Transient: target b-2 is down"), "{reason}");
    assert_eq!((bench.phase().await, bench.towards().await), (Phase::Failed, Some(Side::Source)));
    assert_eq!(
        (hook.actions(), bench.journal.tail_wanted().await.unwrap()),
        (vec!["unfreeze".to_owned()], TailWanted::Stop)
    );
    let late = bench.journal.mark_committed(&lease, "cutover/plans/1.json").await.unwrap_err();
    assert_eq!(late.kind, ErrorKind::Blocked, "a cutover function that still runs cannot commit any more");
}

#[tokio::test]
async fn the_watchdog_leaves_alone_what_it_is_not_about() {
    for phase in [Phase::DrainReady, Phase::AwaitingClientSwitch, Phase::Finalized] {
        let Some(bench) = Bench::new(phase, json!({})).await else { return };
        assert_eq!(bench.invoke("expire", json!({})).await.unwrap(), json!({"expired": false}), "{phase}");
        assert_eq!(bench.phase().await, phase);
    }
    let Some(bench) = Bench::new(Phase::Cutover, json!({})).await else { return };
    bench.freeze().await;
    bench.commit().await;
    assert_eq!(bench.invoke("expire", json!({})).await.unwrap(), json!({"expired": false}));
    assert_eq!((bench.phase().await, bench.freezes().await.state()), (Phase::Cutover, FreezeState::Frozen));
}

#[tokio::test]
async fn a_cutover_can_be_given_up_at_any_moment_before_its_mark() {
    for confirmed in [false, true] {
        let Some(bench) = Bench::new(Phase::DrainReady, json!({})).await else { return };
        bench.open(GateName::Freeze).await.unwrap();
        if confirmed {
            bench.decide(GateName::Freeze, "approve", "").await.unwrap();
        }
        for _ in 0..2 {
            let given_up = bench.invoke("give_up", json!({"by": "ada", "reason": "too slow"})).await.unwrap();
            assert_eq!(given_up, json!({"given_up": true}), "also repeated");
        }
        assert_eq!(bench.reason().await, "the cutover was given up by ada: too slow");
        assert_eq!((bench.phase().await, bench.towards().await), (Phase::Failed, Some(Side::Source)));
        // Then the way back is open.
        bench.invoke("rollback", json!({"reason": "another day"})).await.unwrap();
        assert_eq!(bench.phase().await, Phase::RolledBack);
    }
}

#[tokio::test]
async fn there_is_nothing_to_give_up_where_no_cutover_is_or_behind_its_mark() {
    for (phase, says) in
        [(Phase::Tail, "in phase tail"), (Phase::AwaitingClientSwitch, "in phase awaiting_client_switch")]
    {
        let Some(bench) = Bench::new(phase, json!({})).await else { return };
        let error = bench.invoke("give_up", json!({"by": "ada"})).await.unwrap_err();
        assert!(error.kind == ErrorKind::Blocked && error.message.contains(says), "{error}");
    }
    let Some(bench) = Bench::new(Phase::Cutover, json!({})).await else { return };
    bench.freeze().await;
    bench.commit().await;
    let error = bench.invoke("give_up", json!({"by": "ada"})).await.unwrap_err();
    assert!(error.kind == ErrorKind::Blocked && error.message.contains("it goes forward"), "{error}");
    assert_eq!((bench.phase().await, bench.freezes().await.state()), (Phase::Cutover, FreezeState::Frozen));
}

#[tokio::test]
async fn producers_that_cannot_be_let_go_are_said_and_tried_again() {
    let hook =
        Hook::answering(&["503 Unavailable", "503 Unavailable", "503 Unavailable", "503 Unavailable", "200 OK"]).await;
    let Some(bench) = Bench::new(Phase::Cutover, json!({"producer_freeze_webhook": hook.url})).await else { return };
    bench.freeze().await;
    let error = bench.invoke("expire", json!({})).await.unwrap_err();
    assert!(
        error.message.contains("could NOT be unfrozen, do it by hand: producer freeze webhook returned HTTP 503"),
        "{error}"
    );
    assert_eq!((bench.phase().await, bench.freezes().await.state()), (Phase::Failed, FreezeState::Frozen));
    // The state machine records the failure, and its first reason stands.
    let reason = bench.reason().await;
    bench.invoke("fail", json!({"cause": {"Error": "Blocked", "Cause": error.message}})).await.unwrap();
    assert_eq!((bench.towards().await, bench.reason().await), (Some(Side::Source), reason));
    assert_eq!(hook.calls().len(), 5);
    let asked: std::collections::BTreeSet<_> =
        hook.calls()[..4].iter().map(|call| call.json()["asked_at"].to_string()).collect();
    assert_eq!(asked.len(), 1, "the tries of one unfreeze are one call");
}

#[tokio::test]
async fn a_failure_behind_the_mark_lets_nobody_go() {
    let hook = Hook::answering(&["200 OK"]).await;
    let Some(bench) = Bench::new(Phase::Cutover, json!({"producer_freeze_webhook": hook.url})).await else { return };
    bench.freeze().await;
    bench.commit().await;
    bench.invoke("fail", json!({"cause": {"Error": "Blocked", "Cause": "group g has members"}})).await.unwrap();
    assert_eq!((bench.phase().await, bench.freezes().await.state()), (Phase::Failed, FreezeState::Frozen));
    assert!(hook.calls().is_empty());
}
