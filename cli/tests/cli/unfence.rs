//! `unfence`: what is asked before the fence goes, where it is refused, and what `status` says.

use journal::WriteFence;
use migration::Phase;
use serde_json::json;

use crate::support::Bench;

const COMMAND: [&str; 3] = ["unfence", "--migration-id", "m1"];

async fn fence(bench: &Bench) {
    let now = bench.journal.now();
    let fence = WriteFence {
        version: 7,
        since: now,
        rules: "cutover/fences/1.json".to_owned(),
        topics: 3,
        own: 4,
        foreign: 0,
        setters: Vec::new(),
        set_at: Some(now),
        proven_at: Some(now),
        lifted_at: None,
        lifted_by: None,
    };
    assert!(bench.journal.put_write_fence(None, &fence).await.unwrap());
}

/// A migration behind its point of no return, in `phase`.
async fn cut_over(bench: &Bench, phase: Phase) {
    let (lease, _) = bench.journal.claim_cutover().await.unwrap();
    bench.journal.mark_committed(&lease, "cutover/plans/1.json").await.unwrap();
    bench.journal.transition(phase, "").await.unwrap();
}

#[tokio::test]
async fn a_fence_is_lifted_when_somebody_says_so() {
    let Some(bench) = Bench::new(Phase::Cutover).await else { return };
    fence(&bench).await;
    bench.run(&COMMAND).await.exits(1).says("unfence is for a migration that is cut over").says("resume");
    cut_over(&bench, Phase::AwaitingClientSwitch).await;
    let status = bench.run(&["status", "--migration-id", "m1"]).await;
    status.exits(0).prints("fence      on 3 topics of the source, proven at").prints("`msk-kraft unfence` removes it");
    bench.run(&COMMAND).await.exits(1).says("add --yes");
    let asked = bench.on_terminal(&COMMAND, "to remove its 4 ACLs:", "no\n").await.unwrap();
    asked.exits(1);
    bench.answer("unfence", json!({"rules": 4}));
    let run = bench.run(&[COMMAND.as_slice(), &["--yes", "--output", "json"]].concat()).await;
    run.exits(0).says("4 ACLs of the write fence removed");
    assert_eq!(run.json(), json!({"migration_id": "m1", "rules_removed": 4}));
}

#[tokio::test]
async fn a_fence_that_somebody_removed_himself_is_recorded_when_he_says_so() {
    let Some(bench) = Bench::new(Phase::Cutover).await else { return };
    fence(&bench).await;
    let (lease, _) = bench.journal.claim_cutover().await.unwrap();
    bench.journal.mark_committed(&lease, "cutover/plans/1.json").await.unwrap();
    let early = bench.run(&[COMMAND.as_slice(), &["--by-hand", "--yes"]].concat()).await;
    early.exits(1).says("Offsets are committed on the target");
    bench.journal.transition(Phase::AwaitingClientSwitch, "").await.unwrap();
    let by_hand = [COMMAND.as_slice(), &["--by-hand"]].concat();
    bench.on_terminal(&by_hand, "the journal will say that it was you", "no\n").await.unwrap().exits(1);
    bench.answer("unfence", json!({"rules": 0}));
    let run = bench.run(&[by_hand.as_slice(), &["--yes"]].concat()).await;
    run.exits(0).says("recorded: the write fence was removed by hand");
}

#[tokio::test]
async fn without_a_fence_nobody_is_asked() {
    let Some(bench) = Bench::new(Phase::Cutover).await else { return };
    cut_over(&bench, Phase::AwaitingClientSwitch).await;
    bench.run(&COMMAND).await.exits(0).says("no write fence stands");
}
