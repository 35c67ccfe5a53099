//! A partition of the target that is not to be had holds up no other.

use cutover::late::Report;
use migration::{ErrorKind, Result};

use crate::invocation::invoke_for;
use crate::logs::Absent;
use crate::world::{Shared, World};

/// A calm world with late records in three partitions.
fn world() -> Shared {
    let shared =
        (0..).map(|seed| World::new(seed, false)).find(|world| world.lock().unwrap().targets.len() == 3).unwrap();
    {
        let world = &mut *shared.lock().unwrap();
        world.calm_down();
        (0..3).for_each(|number| world.write_late(number));
    }
    shared
}

/// Invokes once, with followers that have everything at once.
fn call(prepare: impl FnOnce(&mut World)) -> (Shared, Result<Report>) {
    run(async {
        let shared = world();
        prepare(&mut shared.lock().unwrap());
        let outcome = watched(&shared, u32::MAX).await;
        (shared, outcome)
    })
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(work)
}

async fn watched(shared: &Shared, requests: u32) -> Result<Report> {
    let invocation = invoke_for(shared, requests);
    while !invocation.is_finished() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        shared.lock().unwrap().targets.iter_mut().for_each(|log| log.replicated = log.entries.len());
    }
    invocation.await.unwrap()
}

/// How many late records the target has of each partition, of how many.
fn arrived(shared: &Shared) -> Vec<(usize, usize)> {
    let world = shared.lock().unwrap();
    let of = |number: usize| {
        let ids = world.targets[number].entries.iter().filter(|entry| entry.producer >= 0).flat_map(|entry| &entry.ids);
        (ids.count(), world.sources[number].history.len())
    };
    (0..world.targets.len()).map(of).collect()
}

fn assert_others_arrived(shared: &Shared) {
    let arrived = arrived(shared);
    assert_eq!(arrived[0].0, 0, "{arrived:?}");
    assert!(arrived[1..].iter().all(|(found, written)| found == written), "{arrived:?}");
}

#[test]
fn a_partition_without_a_leader_holds_up_no_other_and_is_named() {
    let (shared, outcome) = call(|world| world.targets[0].absent_later = Some(Absent::NoLeader));
    let error = outcome.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient);
    assert!(error.message.contains("append 1 of late records is not complete"), "{error}");
    assert!(error.message.contains("t0") && !error.message.contains("t1"), "{error}");
    assert_others_arrived(&shared);
}

#[test]
fn a_topic_that_was_deleted_behind_the_plan_is_an_outcome_of_the_same_invocation() {
    let (shared, outcome) = call(|world| world.targets[0].absent_later = Some(Absent::Deleted));
    let report = outcome.unwrap();
    assert_eq!((report.number, report.problems.len(), report.again), (Some(1), 1, false), "{report:?}");
    assert!(report.problems[0].starts_with("t0/0: the topic was deleted on the target"), "{report:?}");
    assert_others_arrived(&shared);
}

#[test]
fn an_append_is_begun_without_the_partitions_that_the_target_does_not_show() {
    for absent in [Absent::NoLeader, Absent::Deleted] {
        let (shared, outcome) = call(|world| world.targets[0].absent = Some(absent));
        let report = outcome.unwrap();
        assert_eq!((report.number, report.partitions, report.left_out.len()), (Some(1), 2, 1), "{report:?}");
        assert!(report.left_out[0].starts_with("t0/0: "), "{report:?}");
        assert_others_arrived(&shared);
    }
}

#[test]
fn an_append_is_begun_without_a_topic_that_was_created_anew() {
    let (shared, outcome) = call(|world| {
        world.copied[0] = 1_000;
        let behind = world.sources[0].end;
        world.sources[0] = crate::logs::SourceLog::starting_at(1_000.max(behind));
        world.write_late(0);
    });
    let report = outcome.unwrap();
    assert_eq!((report.number, report.partitions, report.left_out.len()), (Some(1), 2, 1), "{report:?}");
    assert!(report.left_out[0].contains("t0/0: the target does not show it"), "{report:?}");
    assert_others_arrived(&shared);
}

#[test]
fn what_clients_wrote_since_the_switch_is_looked_through_by_several_invocations() {
    run(async {
        let shared = world();
        {
            let world = &mut *shared.lock().unwrap();
            for _ in 0..3_000 {
                let id = world.next_id();
                world.targets[0].client_writes(vec![id]);
            }
            world.targets[0].replicated = world.targets[0].entries.len();
        }
        let mut calls = Vec::new();
        while calls.last().is_none_or(|report: &Report| report.again) {
            assert!(calls.len() < 40, "{calls:?}");
            calls.push(watched(&shared, 60).await.unwrap());
        }
        assert!(calls.len() > 3, "one look takes more than one invocation has time for: {calls:?}");
        assert!(calls.iter().all(|report| report.left_out.is_empty() && report.problems.is_empty()), "{calls:?}");
        let arrived = arrived(&shared);
        assert!(arrived.iter().all(|(found, written)| found == written), "{arrived:?}");
    });
}
