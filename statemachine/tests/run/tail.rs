//! The tail beside the cutover.

use migration::Phase;

use crate::engine::{Ended, Engine};
use crate::world::{Answer, World};

/// The outage must not last as long as the slowest child.
pub(crate) async fn clients_switch_while_the_tail_still_ends(engine: Engine) {
    let world = World::new("slow-tail").in_phase(Phase::Tail).always("tail-batch work", Answer::Hangs);
    let run = engine.run(world).await;
    run.approve("cutover").await;
    run.approve("freeze").await;
    run.approve("client-switch").await;
    run.called("gate switched", 1).await;
    assert_eq!(run.world.count("tail-batch reconcile"), 0);
    run.world.set("tail-batch work", Answer::Well);
    run.approve("finalize").await;
    assert_eq!(run.ended().await, Ended::Succeeded("Finalized".to_owned()));
}

pub(crate) async fn a_tail_that_was_told_to_stop_cannot_fail(engine: Engine) {
    // More than the retries of one state: the reconcile is also asked anew.
    let world = World::new("tail-fails")
        .in_phase(Phase::Tail)
        .next("tail-batch reconcile", vec![Answer::Fails("Transient"); 11]);
    let run = engine.run(world).await;
    run.approve("cutover").await;
    run.approve("freeze").await;
    run.called("gate open client-switch", 1).await;
    run.world.set("tail-batch work", Answer::Fails("Unsafe"));
    run.approve("client-switch").await;
    run.approve("finalize").await;
    assert_eq!(run.ended().await, Ended::Succeeded("Finalized".to_owned()));
    assert!(run.world.count("tail-batch reconcile") > 11);
}

pub(crate) async fn a_map_that_fails_behind_the_stop_does_no_harm(engine: Engine) {
    let world = World::new("no-manifest-stopped").in_phase(Phase::Tail).stopped().without_manifest();
    let run = engine.run(world.next("tail-batch reconcile", vec![Answer::Throttled; 10])).await;
    for gate in ["cutover", "freeze", "client-switch"] {
        run.approve(gate).await;
    }
    run.world.find_manifest();
    run.approve("finalize").await;
    assert_eq!(run.ended().await, Ended::Succeeded("Finalized".to_owned()));
    assert_eq!(run.world.count("tail-batch work"), 0);
    assert!(run.entered().await.contains(&"TailMapFailed".to_owned()));
}

pub(crate) async fn a_tail_that_must_go_on_fails_the_migration(engine: Engine) {
    let lost = engine.run(World::new("no-manifest").in_phase(Phase::Tail).without_manifest()).await;
    let Ended::Failed(why) = lost.ended().await else { panic!("the tail went on without a manifest") };
    assert!(why.contains("NoSuchKey"), "{why}");
    let world =
        World::new("stopped-partition").in_phase(Phase::Tail).always("tail-batch work", Answer::Fails("Unsafe"));
    let stopped = engine.run(world.always("tail-batch reconcile", Answer::Fails("Unsafe"))).await;
    assert_eq!(stopped.ended().await, Ended::Failed("Unsafe: tail-batch was to fail".to_owned()));
    assert_eq!(stopped.world.count("tail-batch reconcile"), 1);
}

/// Nobody would notice while the operator is waited for: the batch's records would be missing at the cutover.
pub(crate) async fn a_batch_whose_function_crashes_is_taken_up_again(engine: Engine) {
    // More than the retries of one state.
    let crashes = vec![Answer::Fails("Runtime.ExitError"); 6];
    let run = engine.run(World::new("crashes").in_phase(Phase::Tail).next("tail-batch work", crashes)).await;
    run.called("tail-batch work", 8).await;
    assert_eq!(run.world.count("tail-batch reconcile"), 0);
    for gate in ["cutover", "freeze", "client-switch", "finalize"] {
        run.approve(gate).await;
    }
    assert_eq!(run.ended().await, Ended::Succeeded("Finalized".to_owned()));
}
