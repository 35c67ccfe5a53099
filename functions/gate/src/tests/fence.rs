use documents::{FenceRules, fence_rules};
use journal::{FreezeState, GateName, GateState, Side, WriteFence};
use migration::{ErrorKind, Phase};
use serde_json::json;

use super::bench::Bench;
use super::hook::Hook;

/// Puts a fence of the cutover that goes on on record, whose rules stand on a source that nobody reaches.
async fn fence(bench: &Bench) {
    fence_of(bench, bench.journal.meta().await.unwrap().version).await;
}

/// The same of the cutover that began with the run's `version`.
async fn fence_of(bench: &Bench, version: u64) {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let rules = FenceRules { denied: names(&["orders"]), allowed: names(&["orders"]), foreign: names(&[]) };
    let key = fence_rules::key(7, 1, 1, 0);
    let run = bench.host.load(&bench.id).await.unwrap();
    documents::write(&run.store, &key, &rules).await.unwrap();
    let now = bench.journal.now();
    let fence = WriteFence {
        version,
        since: now,
        rules: key,
        topics: 1,
        own: 2,
        foreign: 0,
        setters: Vec::new(),
        set_at: Some(now),
        proven_at: Some(now),
        lifted_at: None,
        lifted_by: None,
    };
    assert!(bench.journal.put_write_fence(None, &fence).await.unwrap());
}

/// Somebody has removed the rules.
async fn is_lifted(bench: &Bench) {
    let stored = bench.journal.write_fence().await.unwrap().unwrap();
    let fence = WriteFence { lifted_at: Some(bench.journal.now()), ..stored.fence };
    assert!(bench.journal.put_write_fence(Some(stored.edition), &fence).await.unwrap());
}

/// A source whose port nobody listens on: it is refused at once.
fn unreachable() -> serde_json::Value {
    json!({"write_fence": "acl", "max_producer_freeze": "30s"})
}

#[tokio::test]
async fn producers_stay_frozen_until_the_fence_is_lifted() {
    let hook = Hook::answering(&["200 OK"]).await;
    let mut cutover = unreachable();
    cutover["producer_freeze_webhook"] = json!(hook.url);
    let Some(bench) = Bench::new(Phase::Cutover, cutover).await else { return };
    bench.freeze().await;
    fence(&bench).await;
    let error = bench.invoke("expire", json!({})).await.unwrap_err();
    for says in [
        "the write fence could NOT be lifted",
        "kafka-acls.sh --bootstrap-server old:9092 --remove --force --deny-principal 'User:*' --deny-host '*' --operation \
         Write --topic orders` then",
        "--allow-principal 'User:*' --allow-host '*' --operation All --topic orders`",
    ] {
        assert!(error.message.contains(says), "{says}: {error}");
    }
    assert_eq!((bench.phase().await, bench.freezes().await.state()), (Phase::Failed, FreezeState::Frozen));
    assert!(hook.calls().is_empty(), "nobody is let go into a fence");

    is_lifted(&bench).await;
    bench.invoke("rollback", json!({"reason": "another day"})).await.unwrap();
    assert_eq!((hook.actions(), bench.towards().await), (vec!["unfreeze".to_owned()], Some(Side::Source)));
}

#[tokio::test]
async fn another_execution_lifts_it_before_it_enters() {
    let Some(bench) = Bench::new(Phase::Cutover, unreachable()).await else { return };
    bench.freeze().await;
    fence(&bench).await;
    let error = bench.invoke("enter", json!({"config": null})).await.unwrap_err();
    assert!(error.message.contains("could NOT be lifted"), "{error}");
    assert_eq!(bench.freezes().await.state(), FreezeState::Frozen);
    is_lifted(&bench).await;
    bench.invoke("enter", json!({"config": null})).await.unwrap();
    assert_eq!((bench.phase().await, bench.towards().await), (Phase::Tail, Some(Side::Source)));
}

#[tokio::test]
async fn behind_the_mark_it_stays_until_somebody_asks() {
    let Some(bench) = Bench::new(Phase::Cutover, unreachable()).await else { return };
    bench.freeze().await;
    fence(&bench).await;
    let early = bench.invoke("unfence", json!({"by": "ada"})).await.unwrap_err();
    assert!(early.kind == ErrorKind::Blocked && early.message.contains("belongs to the cutover"), "{early}");
    bench.commit().await;
    bench.invoke("fail", json!({"cause": {"Error": "Blocked", "Cause": "group g has members"}})).await.unwrap();
    assert!(bench.journal.write_fence().await.unwrap().unwrap().fence.stands());
    bench.invoke("enter", json!({"config": null})).await.unwrap();
    let early = bench.invoke("unfence", json!({"by": "ada"})).await.unwrap_err();
    assert!(early.message.contains("in phase cutover: offsets are committed on the target"), "{early}");
    assert!(!early.message.contains("before its point of no return"), "{early}");
    bench.journal.transition(Phase::AwaitingClientSwitch, "").await.unwrap();
    let asked = bench.invoke("unfence", json!({"by": "ada"})).await.unwrap_err();
    assert!(asked.message.contains("could NOT be lifted: the source goes on refusing every write"), "{asked}");
    assert!(asked.message.contains("then `msk-kraft unfence --by-hand --migration-id m1`"), "{asked}");
    assert!(!asked.message.contains("frozen"), "clients may be switched, and producers go on there: {asked}");
    is_lifted(&bench).await;
    assert_eq!(
        bench.invoke("unfence", json!({"by": "ada"})).await.unwrap(),
        json!({"rules": 0}),
        "there is nothing left"
    );
}

#[tokio::test]
async fn a_cutover_is_not_approved_when_its_fence_could_not_be_lifted() {
    let Some(bench) = Bench::new(Phase::DrainReady, unreachable()).await else { return };
    bench.open(GateName::Cutover).await.unwrap();
    bench.rehearse("r1", chrono::TimeDelta::zero(), 0).await;
    let error = bench.decide(GateName::Cutover, "approve", "").await.unwrap_err();
    assert!(error.message.contains("the gate function lifts the fence, and it cannot ask the source"), "{error}");
    assert_eq!(bench.gate(GateName::Cutover).await.state, GateState::Open);
    // Without one it has not to be reached.
    bench.reconfigure(json!({})).await;
    bench.decide(GateName::Cutover, "approve", "").await.unwrap();
}

#[tokio::test]
async fn the_end_of_a_cutover_does_not_lift_the_fence_of_the_next() {
    let hook = Hook::answering(&["200 OK"]).await;
    let mut cutover = unreachable();
    cutover["producer_freeze_webhook"] = json!(hook.url);
    let Some(bench) = Bench::new(Phase::Cutover, cutover).await else { return };
    bench.freeze().await;
    fence_of(&bench, bench.journal.meta().await.unwrap().version + 5).await;
    let error = bench.invoke("expire", json!({})).await.unwrap_err();
    assert!(error.kind == ErrorKind::Fenced && error.message.contains("another cutover has begun"), "{error}");
    assert!(bench.journal.write_fence().await.unwrap().unwrap().fence.stands());
    assert!(hook.calls().is_empty(), "nobody lets go whom the next cutover has frozen");
}

#[tokio::test]
async fn what_was_undone_by_hand_is_on_record_with_a_name_and_nobody_is_asked() {
    let hook = Hook::answering(&["503 Unavailable"]).await;
    let mut cutover = unreachable();
    cutover["producer_freeze_webhook"] = json!(hook.url);
    let Some(bench) = Bench::new(Phase::Cutover, cutover).await else { return };
    bench.freeze().await;
    fence(&bench).await;
    bench.invoke("expire", json!({})).await.unwrap_err();
    let error = bench.invoke("rollback", json!({"reason": "another day"})).await.unwrap_err();
    assert!(error.message.contains("then `msk-kraft rollback --by-hand --migration-id m1`"), "{error}");
    assert_eq!((bench.phase().await, bench.freezes().await.state()), (Phase::RolledBack, FreezeState::Frozen));
    for by in ["ada", "grace"] {
        bench.invoke("rollback", json!({"reason": "by hand", "by_hand": {"by": by}})).await.unwrap();
    }
    assert_eq!(bench.towards().await, Some(Side::Source));
    assert_eq!(bench.freezes().await.current().by_hand.as_deref(), Some("ada"), "the first word stands");
    let fence = bench.journal.write_fence().await.unwrap().unwrap().fence;
    assert_eq!((fence.may_hold(), fence.lifted_by.as_deref()), (false, Some("ada, by hand")));
    assert!(hook.calls().is_empty());
}

#[tokio::test]
async fn a_webhook_that_is_gone_for_good_keeps_no_migration_from_its_rollback() {
    let hook = Hook::answering(&["503 Unavailable"; 4]).await;
    let Some(bench) = Bench::new(Phase::Cutover, json!({"producer_freeze_webhook": hook.url})).await else { return };
    bench.freeze().await;
    let error = bench.invoke("expire", json!({})).await.unwrap_err();
    assert!(error.message.contains("`msk-kraft rollback --by-hand --migration-id m1`"), "{error}");
    bench.invoke("rollback", json!({"reason": "gone", "by_hand": {"by": "ada"}})).await.unwrap();
    assert_eq!((bench.phase().await, bench.towards().await), (Phase::RolledBack, Some(Side::Source)));
    assert_eq!(hook.calls().len(), 4);
}

#[tokio::test]
async fn nothing_is_rolled_back_by_hand_behind_the_mark_and_a_fence_is_lifted_so() {
    let Some(bench) = Bench::new(Phase::Cutover, unreachable()).await else { return };
    bench.freeze().await;
    fence(&bench).await;
    bench.commit().await;
    let error = bench.invoke("rollback", json!({"reason": "x", "by_hand": {"by": "ada"}})).await.unwrap_err();
    assert_eq!((error.kind, bench.freezes().await.state()), (ErrorKind::Blocked, FreezeState::Frozen));
    assert!(bench.invoke("unfence", json!({"by": "ada", "by_hand": true})).await.is_err());
    bench.journal.transition(Phase::AwaitingClientSwitch, "").await.unwrap();
    bench.invoke("unfence", json!({"by": "ada", "by_hand": true})).await.unwrap();
    let fence = bench.journal.write_fence().await.unwrap().unwrap().fence;
    assert_eq!((fence.may_hold(), fence.lifted_by.as_deref()), (false, Some("ada, by hand")));
}
