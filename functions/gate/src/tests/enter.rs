use journal::{FreezeHow, FreezeState, Side};
use migration::Phase;
use serde_json::{Value, json};

use super::bench::Bench;
use super::hook::{Hook, closed};

async fn enter(bench: &Bench) -> migration::Result<Value> {
    bench.invoke("enter", json!({"config": null})).await
}

#[tokio::test]
async fn both_limits_go_to_the_state_machine() {
    let cutover = json!({"freeze_reaction_timeout": "5m", "max_producer_freeze": "90s"});
    let Some(bench) = Bench::new(Phase::Seed, cutover).await else { return };
    let entered = enter(&bench).await.unwrap();
    assert_eq!((&entered["freeze_reaction_seconds"], &entered["freeze_limit_seconds"]), (&json!(300), &json!(90)));
    assert_eq!((&entered["phase"], entered.get("freeze_timeout_seconds")), (&json!("seed"), None));
}

#[tokio::test]
async fn producers_are_not_forgotten_when_the_webhook_cannot_let_them_go() {
    for (was, confirmed) in [(Phase::Cutover, true), (Phase::Cutover, false), (Phase::Tail, true)] {
        let dead = closed().await;
        let Some(bench) = Bench::new(was, json!({"producer_freeze_webhook": dead})).await else { return };
        bench.journal.ask_freeze(bench.journal.now(), FreezeHow::Webhook, "webhook").await.unwrap();
        if confirmed {
            bench.freeze().await;
        }
        let state = bench.freezes().await.state();
        for _ in 0..2 {
            let error = enter(&bench).await.unwrap_err();
            assert!(
                error.message.contains("still FROZEN") && error.message.contains("refused the connection"),
                "{error}"
            );
            assert_eq!((bench.phase().await, bench.freezes().await.state()), (Phase::Failed, state), "{was}");
            assert!(bench.reason().await.contains("still FROZEN"), "status says it, too");
        }
        // With a webhook that answers, the next one cures it.
        let hook = Hook::answering(&["200 OK"]).await;
        let config = bench.config(json!({"producer_freeze_webhook": hook.url}));
        let entered = bench.invoke("enter", json!({"config": config})).await.unwrap();
        assert_eq!((&entered["phase"], bench.phase().await), (&json!("tail"), Phase::Tail));
        assert_eq!((bench.towards().await, hook.actions()), (Some(Side::Source), vec!["unfreeze".to_owned()]));
    }
}

#[tokio::test]
async fn a_failed_migration_stays_failed_until_producers_are_let_go() {
    let Some(bench) = Bench::new(Phase::Cutover, json!({"producer_freeze_webhook": closed().await})).await else {
        return;
    };
    bench.freeze().await;
    bench.journal.fail("Unsafe: a producer ignores the freeze").await.unwrap();
    enter(&bench).await.unwrap_err();
    assert_eq!(
        (bench.phase().await, bench.reason().await.as_str()),
        (Phase::Failed, "Unsafe: a producer ignores the freeze")
    );
    bench.reconfigure(json!({})).await;
    assert_eq!(enter(&bench).await.unwrap()["phase"], "tail");
    assert_eq!(bench.freezes().await.state(), FreezeState::Unfrozen { towards: Side::Source });
}

#[tokio::test]
async fn the_phase_is_left_before_producers_are_let_go() {
    let hook = Hook::answering(&["200 OK"]).await;
    let Some(bench) = Bench::new(Phase::Cutover, json!({"producer_freeze_webhook": hook.url})).await else { return };
    bench.freeze().await;
    let (lease, _) = bench.journal.claim_cutover().await.unwrap();
    enter(&bench).await.unwrap();
    bench.journal.mark_committed(&lease, "plan").await.unwrap_err();
    let reasons: Vec<_> = bench.journal.events().await.unwrap().into_iter().map(|event| event.reason).collect();
    assert_eq!(reasons.last().map(String::as_str), Some("resumed from cutover"), "without a detour: {reasons:?}");
}

#[tokio::test]
async fn behind_the_mark_producers_stay_frozen() {
    let hook = Hook::answering(&["200 OK"]).await;
    let Some(bench) = Bench::new(Phase::Cutover, json!({"producer_freeze_webhook": hook.url})).await else { return };
    bench.freeze().await;
    bench.commit().await;
    bench.journal.fail("Blocked: group g").await.unwrap();
    assert_eq!(enter(&bench).await.unwrap()["phase"], "cutover");
    assert_eq!((bench.freezes().await.state(), hook.calls().len()), (FreezeState::Frozen, 0));
}
