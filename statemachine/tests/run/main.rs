//! The state machine on the local stack's interpreter, with functions that answer what a scenario says.
//!
//! Its pauses and backoffs are shortened before it is created, and a scenario changes limits by name; states, ways and
//! errors stay as they are. The interpreter comes from the package registry once, as for the stack.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod cutover;
mod engine;
mod finalize;
mod tail;
mod world;

use std::collections::BTreeMap;

use engine::Engine;
use tokio::task::JoinSet;

/// All at once, since they mostly wait, and the interpreter starts once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scenario_ends_as_it_should() {
    let engine = Engine::start().await;
    let mut running = JoinSet::new();
    let mut names = BTreeMap::new();
    macro_rules! scenarios {
        ($($scenario:path),* $(,)?) => {
            $(names.insert(running.spawn($scenario(engine.clone())).id(), stringify!($scenario));)*
        };
    }
    scenarios![
        cutover::a_migration_without_trouble,
        cutover::a_rehearsal_that_does_not_hold_goes_back_to_the_operator,
        cutover::a_rehearsal_that_fails_goes_back_to_the_operator,
        cutover::a_rehearsal_that_is_broken_fails_the_migration,
        cutover::the_operator_rolls_back,
        cutover::a_freeze_that_nobody_confirms_ends,
        cutover::a_freeze_that_is_refused_ends,
        cutover::gates_that_were_throttled_open_again,
        cutover::a_freeze_gate_that_never_opens_says_why,
        cutover::gates_that_time_out_open_again,
        cutover::a_cutover_that_hangs_is_stopped_at_the_limit,
        cutover::a_cutover_that_is_repeated_is_stopped_at_the_limit,
        cutover::a_watchdog_that_cannot_ask_asks_again,
        cutover::clients_switch_later_than_the_freeze_limit,
        cutover::a_cutover_that_fails_ends_its_watchdog,
        cutover::executions_go_on_behind_the_mark,
        tail::clients_switch_while_the_tail_still_ends,
        tail::a_tail_that_was_told_to_stop_cannot_fail,
        tail::a_map_that_fails_behind_the_stop_does_no_harm,
        tail::a_tail_that_must_go_on_fails_the_migration,
        tail::a_batch_whose_function_crashes_is_taken_up_again,
        finalize::the_watch_ends_with_the_migration,
        finalize::a_watch_that_fails_does_no_harm,
        finalize::a_watch_that_hangs_does_not_keep_a_finalized_migration,
        finalize::a_watch_goes_on_in_another_child,
        finalize::a_validation_that_fails_fails_the_migration,
    ];
    let mut failed = Vec::new();
    while let Some(ended) = running.join_next_with_id().await {
        if let Err(error) = ended {
            failed.push(names[&error.id()]);
        }
    }
    assert_eq!(failed, [""; 0], "failed; what they said is above");
}
