use journal::{Announced, GateName};
use migration::Phase;
use serde_json::json;

use super::bench::Bench;

/// What was announced of the migration, by the journal.
async fn announced(bench: &Bench) -> Announced {
    let found = bench.journal.registered().await.unwrap();
    found.into_iter().find(|registered| registered.run == bench.id).unwrap().announced
}

#[tokio::test]
async fn transitions_and_gates_are_announced_once() {
    let Some(bench) = Bench::new(Phase::Tail, json!({})).await else { return };
    assert_eq!(bench.invoke("pulse", json!({})).await.unwrap(), json!({"migrations": 0}), "nobody has entered it");
    bench.invoke("enter", json!({"config": null})).await.unwrap();
    assert_eq!(bench.invoke("pulse", json!({})).await.unwrap(), json!({"migrations": 1}));
    let first = announced(&bench).await;
    assert_eq!(first.event, bench.journal.meta().await.unwrap().version);
    assert!(!first.over && first.gate.is_empty() && first.created_at.is_some());

    bench.journal.transition(Phase::DrainReady, "").await.unwrap();
    bench.open(GateName::Cutover).await.unwrap();
    bench.invoke("pulse", json!({})).await.unwrap();
    let second = announced(&bench).await;
    assert_eq!((second.event, second.gate.as_str()), (first.event + 1, "cutover/1"));
    bench.open(GateName::Cutover).await.unwrap();
    bench.invoke("pulse", json!({})).await.unwrap();
    assert_eq!(announced(&bench).await.gate, "cutover/2", "a gate that is armed again waits again");
}

#[tokio::test]
async fn a_migration_that_is_over_is_announced_and_then_left_alone() {
    let Some(bench) = Bench::new(Phase::Tail, json!({})).await else { return };
    bench.invoke("enter", json!({"config": null})).await.unwrap();
    bench.invoke("rollback", json!({"reason": "enough"})).await.unwrap();
    bench.invoke("pulse", json!({})).await.unwrap();
    assert!(announced(&bench).await.over);
    assert_eq!(bench.invoke("pulse", json!({})).await.unwrap(), json!({"migrations": 0}));
}
