//! Removing a run, so that its migration begins again.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use journal::{
    Beat, CopyWork, Created, Decision, FreezeHow, GateName, Health, Journal, ProducerId, Remains, RestartLease, Token,
    Transition,
};
use migration::progress::PartitionProgress;
use migration::{BatchId, ErrorKind, Phase, TopicPartition};
use serde_json::json;

use crate::support::{Bench, new_run};

const DOCUMENT: &str = "restarts/1.json";
const BATCHES: u32 = 60;

/// A run in `phase` with an item of every kind, and batches that were claimed once.
async fn full(phase: Phase) -> Option<Bench> {
    let bench = Bench::in_phase(phase).await?;
    let journal = &bench.journal;
    journal.begin_execution().await.unwrap();
    journal.set_producer(ProducerId { id: 7, epoch: 1 }).await.unwrap();
    journal.set_fact("batches", &json!(BATCHES)).await.unwrap();
    journal.set_tail_generation(2).await.unwrap();
    journal.open(GateName::Cutover, &Token::new("secret-token"), None).await.unwrap();
    let freeze = journal.set_frozen(journal.now(), FreezeHow::Operator, "ada").await.unwrap();
    journal.set_unfrozen(&freeze, journal::Side::Source, journal.now()).await.unwrap();
    for batch in (0..BATCHES).map(BatchId) {
        let partition = TopicPartition::new("orders", batch.0 as i32);
        journal.init_partitions(batch, &[PartitionProgress::new(partition, 0, 9)]).await.unwrap();
        let lease = journal.claim(batch, "old").await.unwrap().lease;
        let beat = Beat { work: CopyWork::Seed, health: Health::Well, refused: Vec::new() };
        journal.beat(&lease, &beat).await.unwrap();
    }
    Some(bench)
}

/// Keys of everything in the table.
async fn keys(bench: &Bench) -> BTreeSet<(String, String)> {
    let scanned = bench.client.scan().table_name(bench.journal.table()).send().await.unwrap();
    let text = |value: &AttributeValue| value.as_s().unwrap().clone();
    scanned.items().iter().map(|item| (text(&item["pk"]), text(&item["sk"]))).collect()
}

async fn claimed(journal: &Journal) -> RestartLease {
    let remains = journal.remains().await.unwrap();
    journal.claim_restart(remains.as_ref(), DOCUMENT, "begins again").await.unwrap()
}

#[tokio::test]
async fn a_run_is_removed_whole_and_begins_again() {
    let Some(bench) = full(Phase::Seed).await else { return };
    let journal = &bench.journal;
    let (old, _) = (journal.clone().bound_to(&journal.meta().await.unwrap()), bench.wait(5));
    let mut stale = journal.claim(BatchId(3), "stale").await.unwrap().lease;
    // meta, 4 events, gate, freeze, tail, and batches with their heartbeats.
    assert_eq!(journal.count_items(BATCHES).await.unwrap(), 8 + 2 * BATCHES as usize);

    let lease = claimed(journal).await;
    for error in [
        journal.meta().await.unwrap_err(),
        journal.create(&new_run()).await.unwrap_err(),
        journal.resume_from_failed().await.unwrap_err(),
        old.transition(Phase::Tail, "").await.unwrap_err(),
        journal.begin_execution().await.unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Blocked, "{error}");
        assert!(error.message.contains("--force-restart"), "{error}");
    }
    let last = journal.events().await.unwrap().pop().unwrap();
    assert_eq!((last.from, last.to, last.reason.as_str()), (Some(Phase::Seed), Phase::Failed, "begins again"));

    journal.fence_batches(&lease, BATCHES).await.unwrap();
    let error = journal.checkpoint(&mut stale, &[], 0).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
    let at = journal.note_topics_gone(&lease).await.unwrap();
    bench.wait(9);
    assert_eq!(journal.note_topics_gone(&lease).await.unwrap(), at, "the first record stands");
    let removed = journal.remove_run(&lease, BATCHES, "s3://b/restarts/1.json").await.unwrap();
    assert_eq!(removed.items, 9 + 2 * BATCHES as usize);

    let left = keys(&bench).await;
    let batch = |number: u32| (format!("run#prod-1#batch#{number:04}"), "batch".to_owned());
    let expected = (0..BATCHES).map(batch).chain([("run#prod-1".to_owned(), "restarted".to_owned())]).collect();
    assert_eq!(left, expected);
    let restarted = journal.restarted().await.unwrap().unwrap();
    assert_eq!((restarted.executions, restarted.config), (1, Some(new_run().config)));
    assert_eq!(restarted.document, "s3://b/restarts/1.json");

    let Created::New(meta) = journal.create(&new_run()).await.unwrap() else { panic!("it is new") };
    assert_eq!((meta.phase, meta.version, meta.executions, meta.producer), (Phase::Planned, 1, 1, None));
    assert_eq!(journal.restarted().await.unwrap().unwrap().config, None, "it was followed by another run");
    assert_eq!(journal.events().await.unwrap().len(), 1);
    assert!(
        journal.partitions(BatchId(3)).await.unwrap().is_empty() && journal.freeze_state().await.unwrap().is_none()
    );
    assert_eq!(journal.check_restart(&lease).await.unwrap_err().kind, ErrorKind::Fenced);
}

#[tokio::test]
async fn what_belongs_to_the_removed_run_cannot_change_the_next_one() {
    let Some(bench) = full(Phase::Cutover).await else { return };
    let journal = &bench.journal;
    let old = journal.clone().bound_to(&journal.meta().await.unwrap());
    let (cutover, _) = old.claim_cutover().await.unwrap();
    bench.wait(1);
    let lease = claimed(journal).await;
    journal.fence_batches(&lease, BATCHES).await.unwrap();
    // It had asked for the phase before the mark was set, and claims behind the fence.
    let mut copy = old.claim(BatchId(0), "old").await.unwrap().lease;
    journal.remove_run(&lease, BATCHES, "x").await.unwrap();
    // The next run comes as far, with the same version and as many claims of its cutover.
    journal.create(&new_run()).await.unwrap();
    for to in crate::support::WAY.into_iter().skip(1).take_while(|to| *to <= Phase::Cutover) {
        journal.transition(to, "").await.unwrap();
    }
    let (new, _) = journal.claim_cutover().await.unwrap();
    assert_eq!(new, cutover, "nothing but the run itself tells them apart");
    let progress = [PartitionProgress::new(TopicPartition::new("orders", 0), 0, 9)];
    journal.init_partitions(BatchId(0), &progress).await.unwrap();
    for error in [
        old.meta().await.unwrap_err(),
        old.mark_committed(&cutover, "old plan").await.unwrap_err(),
        old.claim_cutover().await.unwrap_err(),
        old.transition(Phase::AwaitingClientSwitch, "").await.unwrap_err(),
        old.fail("too late").await.unwrap_err(),
        old.set_fact("batches", &json!(1)).await.unwrap_err(),
        old.set_producer(ProducerId { id: 8, epoch: 0 }).await.unwrap_err(),
        old.checkpoint(&mut copy, &[], 0).await.unwrap_err(),
        old.check_lease(&copy).await.unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
    }
    let meta = journal.meta().await.unwrap();
    assert_eq!((meta.phase, meta.committed, meta.producer, meta.facts.len()), (Phase::Cutover, false, None, 0));
    let claimed = journal.claim(BatchId(0), "new").await.unwrap();
    assert_eq!(claimed.partitions, progress);
    assert!(claimed.lease.epoch > copy.epoch);
    journal.mark_committed(&new, "new plan").await.unwrap();
}

#[tokio::test]
async fn of_two_removals_the_newest_wins_and_ends_it() {
    let Some(bench) = full(Phase::Tail).await else { return };
    let journal = &bench.journal;
    let first = claimed(journal).await;
    let second = claimed(journal).await;
    assert_eq!(first.document, second.document, "the first document stands");
    for error in [
        journal.check_restart(&first).await.unwrap_err(),
        journal.fence_batches(&first, BATCHES).await.unwrap_err(),
        journal.note_topics_gone(&first).await.unwrap_err(),
        journal.remove_run(&first, BATCHES, "x").await.unwrap_err(),
        journal.abandon_restart(&first).await.unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
    }
    // One more event than before: the run failed.
    assert_eq!(journal.count_items(BATCHES).await.unwrap(), 10 + 2 * BATCHES as usize, "nothing was removed");
    journal.remove_run(&second, BATCHES, "x").await.unwrap();
    journal.create(&new_run()).await.unwrap();
    let error = journal.remove_run(&second, BATCHES, "x").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Fenced, "the next run is nobody's to remove: {error}");
    assert_eq!(journal.events().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_removal_that_was_interrupted_anywhere_can_be_repeated() {
    let Some(bench) = full(Phase::Seed).await else { return };
    let journal = &bench.journal;
    claimed(journal).await;
    // As after a crash between two steps: some items are gone, the run's own is there.
    for sk in ["event#00000001", "freeze"] {
        let key = |value: &str| AttributeValue::S(value.to_owned());
        let delete = bench.client.delete_item().table_name(journal.table()).key("pk", key("run#prod-1"));
        delete.key("sk", key(sk)).send().await.unwrap();
    }
    let remains = journal.remains().await.unwrap().unwrap();
    assert_eq!(remains.restarting.as_deref(), Some(DOCUMENT));
    let again = journal.claim_restart(Some(&remains), "restarts/2.json", "again").await.unwrap();
    assert_eq!(again.document, DOCUMENT);
    journal.remove_run(&again, BATCHES, "x").await.unwrap();
    assert_eq!(journal.remains().await.unwrap(), None);
    assert!(matches!(journal.create(&new_run()).await.unwrap(), Created::New(_)));
}

#[tokio::test]
async fn a_mark_can_be_taken_back_and_the_run_is_resumed() {
    let Some(bench) = full(Phase::Seed).await else { return };
    let journal = &bench.journal;
    let lease = claimed(journal).await;
    journal.fence_batches(&lease, BATCHES).await.unwrap();
    journal.abandon_restart(&lease).await.unwrap();
    let meta = journal.meta().await.unwrap();
    assert_eq!((meta.phase, meta.failed_in), (Phase::Failed, Some(Phase::Seed)));
    assert!(matches!(journal.resume_from_failed().await.unwrap(), Transition::Done(event) if event.to == Phase::Seed));
    assert_eq!(journal.partitions(BatchId(1)).await.unwrap().len(), 1);
    assert_eq!(journal.claim(BatchId(1), "new").await.unwrap().lease.epoch, 3);
}

#[tokio::test]
async fn behind_the_point_of_no_return_nothing_is_removed() {
    let Some(bench) = full(Phase::Cutover).await else { return };
    let journal = &bench.journal;
    let before = journal.remains().await.unwrap();
    let (lease, _) = journal.claim_cutover().await.unwrap();
    journal.mark_committed(&lease, "plan").await.unwrap();
    // One that had looked before the mark was set, and one that looks now.
    for (found, kind) in [(before, ErrorKind::Transient), (journal.remains().await.unwrap(), ErrorKind::Blocked)] {
        let error = journal.claim_restart(found.as_ref(), DOCUMENT, "").await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
    }
    assert_eq!(journal.meta().await.unwrap().phase, Phase::Cutover);
}

#[tokio::test]
async fn a_damaged_run_is_removed_too() {
    let Some(bench) = full(Phase::Seed).await else { return };
    let journal = &bench.journal;
    bench.overwrite("meta", "phase", AttributeValue::S("hovering".into())).await;
    bench.overwrite("meta", "facts", AttributeValue::S("nothing".into())).await;
    assert_eq!(journal.meta().await.unwrap_err().kind, ErrorKind::Internal);
    let remains = journal.remains().await.unwrap().unwrap();
    let expected = (None, Some(false), Some(ProducerId { id: 7, epoch: 1 }), 0);
    assert_eq!((remains.phase, remains.committed, remains.producer, remains.batches), expected);
    let lease = journal.claim_restart(Some(&remains), DOCUMENT, "").await.unwrap();
    // Nothing says how many batches there are: they are found one behind the other.
    journal.remove_run(&lease, 0, "x").await.unwrap();
    assert_eq!(keys(&bench).await.len(), 1 + BATCHES as usize);
    assert!(matches!(journal.create(&new_run()).await.unwrap(), Created::New(_)));
}

#[tokio::test]
async fn a_run_without_its_own_item_is_removed_too() {
    let Some(bench) = full(Phase::Seed).await else { return };
    let journal = &bench.journal;
    let key = |value: &str| AttributeValue::S(value.to_owned());
    let delete = bench.client.delete_item().table_name(journal.table()).key("pk", key("run#prod-1"));
    delete.key("sk", key("meta")).send().await.unwrap();
    assert_eq!(journal.remains().await.unwrap(), None);
    let lease = claimed(journal).await;
    assert_eq!(journal.create(&new_run()).await.unwrap_err().kind, ErrorKind::Blocked, "not while it is removed");
    journal.remove_run(&lease, 0, "x").await.unwrap();
    assert!(matches!(journal.create(&new_run()).await.unwrap(), Created::New(_)));
    assert_eq!(journal.events().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_rolled_back_run_is_removed_without_another_transition() {
    let Some(bench) = full(Phase::Seed).await else { return };
    let journal = &bench.journal;
    journal.transition(Phase::RolledBack, "given up").await.unwrap();
    let events = journal.events().await.unwrap();
    let lease = claimed(journal).await;
    assert_eq!(journal.events().await.unwrap(), events);
    assert_eq!(journal.remains().await.unwrap().unwrap().phase, Some(Phase::RolledBack));
    journal.abandon_restart(&lease).await.unwrap();
    assert_eq!(journal.meta().await.unwrap().phase, Phase::RolledBack);
}

#[tokio::test]
async fn the_last_claim_tells_whether_somebody_may_still_copy() {
    let Some(bench) = Bench::in_phase(Phase::Seed).await else { return };
    let journal = &bench.journal;
    assert_eq!(journal.last_claim(0).await.unwrap(), None);
    journal.claim(BatchId(0), "one").await.unwrap();
    bench.wait(60);
    let newest = journal.now();
    journal.claim(BatchId(1), "two").await.unwrap();
    bench.wait(60);
    let lease = claimed(journal).await;
    journal.fence_batches(&lease, 2).await.unwrap();
    assert_eq!(journal.last_claim(2).await.unwrap(), Some(newest), "fencing is no claim");
}

#[tokio::test]
async fn a_run_of_another_release_is_left_to_it() {
    let Some(bench) = full(Phase::Seed).await else { return };
    bench.overwrite("meta", "schema", AttributeValue::N("2".into())).await;
    assert_eq!(bench.journal.remains().await.unwrap_err().kind, ErrorKind::Invalid);
    let nothing: Option<Remains> = None;
    let error = bench.journal.claim_restart(nothing.as_ref(), DOCUMENT, "").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient, "there is a run: {error}");
}

#[tokio::test]
async fn a_decision_about_a_removed_run_is_refused() {
    let Some(bench) = full(Phase::DrainReady).await else { return };
    claimed(&bench.journal).await;
    let error = bench.journal.decide(GateName::Cutover, &Decision::approve(""), "ada").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Blocked, "{error}");
}
