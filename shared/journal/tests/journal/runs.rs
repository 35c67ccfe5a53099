//! Creating a run and taking it through its phases.

use std::num::NonZeroU64;

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::join_all;
use journal::{Created, Event, Journal, NewRun, ProducerId, TailWanted, Transition};
use migration::config::Throttle;
use migration::{ErrorKind, Phase};
use serde_json::json;

use crate::support::{Bench, WAY, client, new_run};

#[tokio::test]
async fn a_run_is_created_once_with_its_first_event() {
    let Some(bench) = Bench::empty().await else { return };
    let Created::New(meta) = bench.journal.create(&new_run()).await.unwrap() else { panic!("it is new") };
    assert_eq!((meta.phase, meta.version, meta.executions, meta.committed), (Phase::Planned, 1, 0, false));
    assert_eq!(meta.config, new_run().config, "numbers keep their digits");
    bench.wait(5);
    let other = NewRun { fingerprint: "other".into(), ..new_run() };
    assert_eq!(bench.journal.create(&other).await.unwrap(), Created::Exists(meta.clone()));
    assert_eq!(bench.journal.meta().await.unwrap(), meta);
    let lines: Vec<_> = bench.journal.events().await.unwrap().iter().map(Event::to_string).collect();
    assert_eq!(lines, ["2026-04-25T06:15:07.512121Z null -> planned planned | resume_fp=c27b080b829c382a"]);
}

#[tokio::test]
async fn of_concurrent_creations_one_is_new() {
    let Some(bench) = Bench::empty().await else { return };
    let created = join_all((0..8).map(|_| async { bench.journal.create(&new_run()).await.unwrap() })).await;
    assert_eq!(created.iter().filter(|created| matches!(created, Created::New(_))).count(), 1);
    assert_eq!(bench.journal.events().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_run_that_does_not_exist_is_named() {
    let Some(bench) = Bench::empty().await else { return };
    for error in [
        bench.journal.meta().await.unwrap_err(),
        bench.journal.transition(Phase::Seed, "").await.unwrap_err(),
        bench.journal.begin_execution().await.unwrap_err(),
        bench.journal.set_fact("a", &json!(1)).await.unwrap_err(),
        bench.journal.set_producer(ProducerId { id: 1, epoch: 0 }).await.unwrap_err(),
        bench.journal.claim_cutover().await.unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.message.contains("prod-1") && error.message.contains(bench.journal.table()), "{error}");
        assert_eq!(error.context.run.as_ref(), Some(bench.journal.run()));
    }
    assert!(bench.raw("meta").await.is_empty(), "nothing was created on the side");
    assert!(bench.journal.events().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_whole_way_is_recorded_and_repeating_a_step_changes_nothing() {
    let Some(bench) = Bench::in_phase(Phase::Planned).await else { return };
    for (index, to) in WAY.into_iter().enumerate().skip(1) {
        bench.wait(1);
        let Transition::Done(event) = bench.journal.transition(to, &format!("to {to}")).await.unwrap() else {
            panic!("{to} is new")
        };
        assert_eq!((event.number, event.from, event.to), (index as u64 + 1, Some(WAY[index - 1]), to));
        assert_eq!(bench.journal.transition(to, "again").await.unwrap(), Transition::Already(to));
    }
    let events = bench.journal.events().await.unwrap();
    assert_eq!(events.len(), WAY.len());
    assert!(events.iter().zip(1..).all(|(event, number)| event.number == number));
    assert_eq!(events[9].to_string(), "2026-04-25T06:15:16.512121Z validating -> finalized to finalized");
    let error = bench.journal.fail("too late").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Blocked);
}

#[tokio::test]
async fn of_concurrent_transitions_one_happens_and_the_others_are_checked_again() {
    let Some(bench) = Bench::in_phase(Phase::DrainReady).await else { return };
    let (cutover, rollback) =
        tokio::join!(bench.journal.transition(Phase::Cutover, "go"), bench.journal.transition(Phase::RolledBack, "no"));
    let phase = bench.journal.meta().await.unwrap().phase;
    let (winner, loser) = if phase == Phase::Cutover { (cutover, rollback) } else { (rollback, cutover) };
    assert!(matches!(winner.unwrap(), Transition::Done(event) if event.to == phase));
    assert_eq!(loser.unwrap_err().kind, ErrorKind::Blocked);
    assert_eq!(bench.journal.events().await.unwrap().len(), 7);
}

#[tokio::test]
async fn of_equal_concurrent_transitions_one_is_recorded() {
    let Some(bench) = Bench::in_phase(Phase::Seed).await else { return };
    let done = join_all((0..6).map(|_| async { bench.journal.transition(Phase::Tail, "").await.unwrap() })).await;
    assert_eq!(done.iter().filter(|done| matches!(done, Transition::Done(_))).count(), 1);
    assert_eq!(bench.journal.events().await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_failed_run_is_resumed_where_it_failed() {
    let Some(bench) = Bench::in_phase(Phase::Seed).await else { return };
    let nothing = bench.journal.resume_from_failed().await.unwrap();
    assert_eq!(nothing, Transition::Already(Phase::Seed));
    bench.journal.fail("S3 PutObject AccessDenied").await.unwrap();
    assert_eq!(bench.journal.fail("again").await.unwrap(), Transition::Already(Phase::Failed));
    assert_eq!(bench.journal.meta().await.unwrap().failed_in, Some(Phase::Seed));
    let Transition::Done(event) = bench.journal.resume_from_failed().await.unwrap() else { panic!("it failed") };
    let line = serde_json::to_value(&event).unwrap();
    assert_eq!(
        line,
        json!({"from": "failed", "to": "seed", "at": "2026-04-25T06:15:07.512121Z", "reason": "resumed from seed"})
    );
    assert_eq!(bench.journal.meta().await.unwrap().failed_in, None);
}

#[tokio::test]
async fn after_the_point_of_no_return_there_is_no_way_back() {
    let Some(bench) = Bench::in_phase(Phase::DrainReady).await else { return };
    assert_eq!(mark(&bench).await.unwrap_err().kind, ErrorKind::Blocked);
    bench.journal.transition(Phase::Cutover, "").await.unwrap();
    mark(&bench).await.unwrap();
    mark(&bench).await.unwrap();
    assert_eq!(bench.journal.transition(Phase::Tail, "").await.unwrap_err().kind, ErrorKind::Blocked);
    bench.journal.fail("lost a broker").await.unwrap();
    let error = bench.journal.transition(Phase::RolledBack, "").await.unwrap_err();
    assert!(error.message.contains("committed on the target"), "{error}");
    assert_eq!(bench.journal.resume_from_failed().await.unwrap().phase(), Phase::Cutover);
    bench.journal.transition(Phase::AwaitingClientSwitch, "").await.unwrap();
    assert_eq!(bench.journal.claim_cutover().await.unwrap_err().kind, ErrorKind::Blocked);
    let meta = bench.journal.meta().await.unwrap();
    assert_eq!((meta.committed, meta.plan.as_deref()), (true, Some(PLAN)));
}

/// The key of a plan.
const PLAN: &str = "cutover/plans/1.json";

/// Marks the point of no return in the cutover as it is.
async fn mark(bench: &Bench) -> migration::Result<()> {
    let (lease, _) = bench.journal.claim_cutover().await?;
    bench.journal.mark_committed(&lease, PLAN).await
}

#[tokio::test]
async fn a_cutover_that_was_given_up_cannot_commit_in_the_next_one() {
    let Some(bench) = Bench::in_phase(Phase::Cutover).await else { return };
    let (first, _) = bench.journal.claim_cutover().await.unwrap();
    bench.journal.fail("too slow").await.unwrap();
    assert_eq!(bench.journal.mark_committed(&first, PLAN).await.unwrap_err().kind, ErrorKind::Blocked);
    bench.journal.resume_from_failed().await.unwrap();
    bench.journal.transition(Phase::DrainReady, "").await.unwrap();
    bench.journal.transition(Phase::Cutover, "").await.unwrap();
    let error = bench.journal.mark_committed(&first, PLAN).await.unwrap_err();
    assert!(error.message.contains("another one began"), "{error}");
    assert!(!bench.journal.meta().await.unwrap().committed);
    mark(&bench).await.unwrap();
}

#[tokio::test]
async fn of_two_invocations_of_a_cutover_the_newest_passes_with_one_plan() {
    let Some(bench) = Bench::in_phase(Phase::Cutover).await else { return };
    let (old, _) = bench.journal.claim_cutover().await.unwrap();
    let (new, meta) = bench.journal.claim_cutover().await.unwrap();
    assert_eq!((new.epoch, new.version, meta.plan), (old.epoch + 1, old.version, None));
    for error in [
        bench.journal.check_cutover(&old).await.unwrap_err(),
        bench.journal.mark_committed(&old, "theirs").await.unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
    }
    assert!(!bench.journal.meta().await.unwrap().committed);
    bench.journal.mark_committed(&new, PLAN).await.unwrap();
    bench.journal.mark_committed(&new, PLAN).await.expect("a repeat whose answer was lost");
    let error = bench.journal.mark_committed(&new, "another").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Fenced);
    assert!(error.message.contains(PLAN), "{error}");
    // Whoever completes it finds the plan.
    let (_, meta) = bench.journal.claim_cutover().await.unwrap();
    assert_eq!((meta.committed, meta.plan.as_deref()), (true, Some(PLAN)));
    assert_eq!(bench.journal.check_cutover(&new).await.unwrap_err().kind, ErrorKind::Fenced);
}

#[tokio::test]
async fn late_records_are_claimed_behind_the_point_of_no_return_and_by_the_newest() {
    let Some(bench) = Bench::in_phase(Phase::Cutover).await else { return };
    let error = bench.journal.claim_late().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Blocked);
    assert!(error.message.contains("phase cutover, before the point of no return"), "{error}");
    mark(&bench).await.unwrap();
    let old = bench.journal.claim_late().await.unwrap();
    bench.journal.check_late(&old).await.unwrap();
    let new = bench.journal.claim_late().await.unwrap();
    assert_eq!(new.epoch, old.epoch + 1);
    bench.journal.check_late(&new).await.unwrap();
    assert_eq!(bench.journal.check_late(&old).await.unwrap_err().kind, ErrorKind::Fenced);
}

#[tokio::test]
async fn the_point_of_no_return_and_the_way_back_exclude_each_other() {
    for round in 0..5 {
        let Some(bench) = Bench::in_phase(Phase::Cutover).await else { return };
        let back = async {
            tokio::time::sleep(std::time::Duration::from_millis(round * 2)).await;
            bench.journal.transition(Phase::Tail, "not drained").await
        };
        let (committed, back) = tokio::join!(mark(&bench), back);
        let meta = bench.journal.meta().await.unwrap();
        let expected = if meta.committed { Phase::Cutover } else { Phase::Tail };
        assert_eq!(meta.phase, expected);
        assert_ne!(committed.is_ok(), back.is_ok());
    }
}

#[tokio::test]
async fn what_changes_between_reading_and_writing_a_transition_is_noticed() {
    let Some(bench) = Bench::in_phase(Phase::Cutover).await else { return };
    let late = bench.with_interruption(|journal| async move {
        let (lease, _) = journal.claim_cutover().await.unwrap();
        journal.mark_committed(&lease, PLAN).await.unwrap();
    });
    assert_eq!(late.transition(Phase::Tail, "not drained").await.unwrap_err().kind, ErrorKind::Blocked);
    let late = bench.with_interruption(|journal| async move {
        journal.transition(Phase::AwaitingClientSwitch, "").await.unwrap();
    });
    let Transition::Done(event) = late.fail("a race").await.unwrap() else { panic!("it was not failed") };
    assert_eq!((event.number, event.from), (9, Some(Phase::AwaitingClientSwitch)));
    assert_eq!(bench.journal.meta().await.unwrap().failed_in, Some(Phase::AwaitingClientSwitch));
}

#[tokio::test]
async fn the_first_producer_id_stands() {
    let Some(bench) = Bench::in_phase(Phase::TopologyCopy).await else { return };
    let journal = &bench.journal;
    let offers = (0..6).map(|id| ProducerId { id: 4_000_000_000 + id, epoch: 0 });
    let stand = join_all(offers.map(|offer| async move { journal.set_producer(offer).await.unwrap() })).await;
    assert!(stand.iter().all(|id| *id == stand[0]), "{stand:?}");
    assert_eq!(bench.journal.meta().await.unwrap().producer, Some(stand[0]));
}

#[tokio::test]
async fn executions_are_counted_and_facts_are_kept() {
    let Some(bench) = Bench::in_phase(Phase::Planned).await else { return };
    assert_eq!(bench.journal.begin_execution().await.unwrap(), 1);
    assert_eq!(bench.journal.begin_execution().await.unwrap(), 2);
    bench.journal.set_fact("batches", &json!(3)).await.unwrap();
    bench.journal.set_fact("a name: with \"#\"", &json!({"max": i64::MAX})).await.unwrap();
    bench.journal.set_fact("batches", &json!(4)).await.unwrap();
    let meta = bench.journal.meta().await.unwrap();
    assert_eq!(meta.facts["batches"], 4);
    assert_eq!(meta.facts["a name: with \"#\""]["max"], i64::MAX);
    assert_eq!((meta.executions, meta.version), (2, 1));
}

#[tokio::test]
async fn a_run_of_an_unknown_schema_version_is_refused() {
    let Some(bench) = Bench::in_phase(Phase::Seed).await else { return };
    bench.overwrite("meta", "schema", AttributeValue::N("2".into())).await;
    bench.overwrite("meta", "phase", AttributeValue::S("hovering".into())).await;
    let error = bench.journal.create(&new_run()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("schema 2, this build knows 1"), "{error}");
    assert!(bench.journal.transition(Phase::Tail, "").await.is_err());
    assert!(bench.journal.set_fact("a", &json!(1)).await.is_err());
}

#[tokio::test]
async fn an_unknown_phase_is_refused() {
    let Some(bench) = Bench::in_phase(Phase::Seed).await else { return };
    bench.overwrite("meta", "phase", AttributeValue::S("hovering".into())).await;
    assert_eq!(bench.journal.meta().await.unwrap_err().kind, ErrorKind::Internal);
}

#[tokio::test]
async fn a_missing_table_and_a_missing_server_are_told_apart() {
    let Some(bench) = Bench::empty().await else { return };
    let run = bench.journal.run().clone();
    let error = Journal::new(bench.client.clone(), "nowhere", run.clone()).meta().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Blocked);
    assert!(error.message.contains("DynamoDB table nowhere does not exist"), "{error}");
    let nobody = Journal::new(client("http://127.0.0.1:9"), "nowhere", run);
    let error = nobody.transition(Phase::Seed, "").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient, "{error}");
    assert_eq!(error.context.run.as_ref(), Some(bench.journal.run()));
}

#[tokio::test]
async fn a_throttle_stands_until_the_next_one() {
    let Some(bench) = Bench::in_phase(Phase::Seed).await else { return };
    assert_eq!(bench.journal.copy_control().await.unwrap().throttle, None);
    let mut throttle = Throttle { bytes_per_second: NonZeroU64::new(u64::MAX), bytes_per_second_per_broker: None };
    for _ in 0..2 {
        bench.journal.set_throttle(&throttle).await.unwrap();
        let control = bench.journal.copy_control().await.unwrap();
        assert_eq!((control.throttle, control.wanted), (Some(throttle), TailWanted::Run));
        throttle = Throttle::default();
    }
}

#[tokio::test]
async fn the_tail_runs_until_it_is_told_to_stop() {
    let Some(bench) = Bench::empty().await else { return };
    assert_eq!(bench.journal.tail_wanted().await.unwrap(), TailWanted::Run);
    for (wanted, execution) in [(TailWanted::Stop, 1), (TailWanted::Stop, 1), (TailWanted::Run, 2)] {
        bench.journal.set_tail_wanted(wanted, execution).await.unwrap();
        assert_eq!(bench.journal.tail_wanted().await.unwrap(), wanted);
    }
    bench.journal.set_tail_wanted(TailWanted::Stop, 1).await.unwrap();
    assert_eq!(bench.journal.tail_wanted().await.unwrap(), TailWanted::Run, "whoever ended the first one was slow");
    assert_eq!(bench.journal.copy_control().await.unwrap().generation, 0);
    bench.journal.set_tail_generation(3).await.unwrap();
    let control = bench.journal.copy_control().await.unwrap();
    assert_eq!((control.wanted, control.generation), (bench.journal.tail_wanted().await.unwrap(), 3));
}
