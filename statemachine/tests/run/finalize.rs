//! The watch beside validation and evidence.

use migration::Phase;
use serde_json::json;

use crate::engine::{Ended, Engine, Run, state};
use crate::world::{Answer, World};

pub(crate) async fn the_watch_ends_with_the_migration(engine: Engine) {
    let run = engine.run(validating("watched")).await;
    run.called("cutover watch", 3).await;
    finalize(&run).await;
    let seen = run.world.count("cutover watch");
    assert_eq!(run.entered().await.iter().filter(|name| *name == "WatchMap").count(), 1, "after {seen} looks");
}

pub(crate) async fn a_watch_that_fails_does_no_harm(engine: Engine) {
    let kinds = ["Internal", "Unsafe", "Runtime.ExitError", "Transient", "Blocked"].map(Answer::Fails);
    let run = engine.run(validating("blind").next("cutover watch", kinds)).await;
    run.called("cutover watch", 8).await;
    run.world.set("cutover watch", Answer::Fails("Internal"));
    let seen = run.world.count("cutover watch");
    run.called("cutover watch", seen + 2).await;
    finalize(&run).await;
}

pub(crate) async fn a_watch_that_hangs_does_not_keep_a_finalized_migration(engine: Engine) {
    let run = engine.run(validating("stuck").always("cutover watch", Answer::Hangs)).await;
    run.called("cutover watch", 1).await;
    finalize(&run).await;
    run.world.set("cutover watch", Answer::Well);
}

/// For the sake of its history; a last child ends the watch for that of the migration.
pub(crate) async fn a_watch_goes_on_in_another_child(engine: Engine) {
    let few = |machine: &mut serde_json::Value| {
        state(machine, "LookedEnough")["Choices"][0]["NumericLessThan"] = json!(3);
        state(machine, "WatchedEnough")["Choices"][0]["NumericLessThan"] = json!(2);
    };
    let run = engine.run_changed(validating("long"), few).await;
    // Two children with three looks each, and one look behind each of them.
    run.called("cutover watch", 8).await;
    finalize(&run).await;
    assert_eq!(run.world.count("cutover watch"), 8);
    assert!(run.entered().await.contains(&"WatchEnded".to_owned()));
}

pub(crate) async fn a_validation_that_fails_fails_the_migration(engine: Engine) {
    let run = engine.run(validating("not-passed").always("evidence", Answer::Fails("Unsafe"))).await;
    run.approve("finalize").await;
    assert_eq!(run.ended().await, Ended::Failed("Unsafe: evidence was to fail".to_owned()));
}

fn validating(id: &str) -> World {
    World::new(id).in_phase(Phase::Validating)
}

async fn finalize(run: &Run) {
    run.approve("finalize").await;
    assert_eq!(run.ended().await, Ended::Succeeded("Finalized".to_owned()));
}
