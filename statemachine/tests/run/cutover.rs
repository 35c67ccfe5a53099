//! From the drain to clients that are switched.

use std::time::Duration;

use migration::Phase;
use serde_json::json;

use crate::engine::{Ended, Engine, Run, state};
use crate::world::{Answer, World};

const THROTTLED: &str = "Lambda.TooManyRequestsException";

pub(crate) async fn a_migration_without_trouble(engine: Engine) {
    let run = engine.run(World::new("straight")).await;
    run.approve("cutover").await;
    run.approve("freeze").await;
    run.approve("client-switch").await;
    run.called("cutover watch", 2).await;
    run.approve("finalize").await;
    assert_eq!(run.ended().await, Ended::Succeeded("Finalized".to_owned()));
    let calls = run.world.calls();
    let order = [
        "gate enter",
        "precheck check",
        "topology-copy",
        "seed-partition work",
        "seed-partition reconcile",
        "tail-batch drain",
        "gate open cutover",
        "cutover rehearse",
        "gate open freeze",
        "cutover cut_over",
        "gate open client-switch",
        "gate switched",
        "gate open finalize",
        "validate work",
        "validate reconcile",
        "evidence",
    ];
    let positions = order.map(|call| calls.iter().position(|made| made == call).unwrap_or_else(|| panic!("no {call}")));
    assert!(positions.is_sorted(), "{calls:?}");
    // The watchdog ended with the cutover, not at its limit, which is an hour away.
    assert_eq!((run.world.count("gate expire"), run.world.count("gate fail")), (0, 0));
}

pub(crate) async fn a_rehearsal_that_does_not_hold_goes_back_to_the_operator(engine: Engine) {
    let changed = Answer::Returns(json!({"go": false, "rehearsal": "r-2"}));
    let run = engine.run(World::new("changed").next("cutover rehearse", [changed.clone(), changed])).await;
    for _ in 0..3 {
        assert_eq!(run.world.count("gate open freeze"), 0);
        run.approve("cutover").await;
    }
    finish(&run).await;
    assert_eq!(run.world.count("cutover rehearse"), 3);
    assert_eq!(run.world.count("gate open freeze"), 1);
}

pub(crate) async fn a_rehearsal_that_fails_goes_back_to_the_operator(engine: Engine) {
    let refused = ["Blocked", "Unsafe", "Invalid", "Deadline", "Fenced"].map(Answer::Fails);
    // More than the retries of one state.
    let passing = [vec![Answer::Fails("Transient"); 5], vec![Answer::Throttled; 4]].concat();
    let answers = refused.into_iter().chain(passing);
    let run = engine.run(World::new("refused").next("cutover rehearse", answers)).await;
    for _ in 0..7 {
        assert_eq!(run.world.count("gate open freeze"), 0);
        run.approve("cutover").await;
    }
    finish(&run).await;
}

pub(crate) async fn a_rehearsal_that_is_broken_fails_the_migration(engine: Engine) {
    let run = engine.run(World::new("broken").always("cutover rehearse", Answer::Fails("Internal"))).await;
    run.approve("cutover").await;
    assert_eq!(run.ended().await, failed("Internal: cutover was to fail"));
    assert_eq!((run.world.count("cutover rehearse"), run.world.count("gate open freeze")), (1, 0));
}

pub(crate) async fn the_operator_rolls_back(engine: Engine) {
    let run = engine.run(World::new("rolled-back")).await;
    run.decide("cutover", "reject").await;
    assert_eq!(run.ended().await, Ended::Succeeded("RolledBack".to_owned()));
    assert_eq!((run.world.count("gate rollback"), run.world.count("cutover rehearse")), (1, 0));
}

pub(crate) async fn a_freeze_that_nobody_confirms_ends(engine: Engine) {
    let run = engine.run(World::new("not-confirmed").limits(1, 3600)).await;
    run.approve("cutover").await;
    let why = "Deadline: producers were not confirmed to be frozen within cutover.freeze_reaction_timeout";
    assert_eq!(run.ended().await, failed(why));
    assert_eq!((run.world.count("gate open freeze"), run.world.count("cutover cut_over")), (1, 0));
}

pub(crate) async fn a_freeze_that_is_refused_ends(engine: Engine) {
    let run = engine.run(World::new("freeze-refused")).await;
    run.approve("cutover").await;
    run.decide("freeze", "reject").await;
    assert_eq!(run.ended().await, failed("Blocked: producers were not frozen"));
    assert_eq!(run.world.count("cutover cut_over"), 0);
}

pub(crate) async fn gates_that_were_throttled_open_again(engine: Engine) {
    let twice = || [Answer::Throttled, Answer::Fails("Transient")];
    let gates = ["cutover", "freeze", "client-switch", "finalize"];
    let world =
        gates.iter().fold(World::new("throttled"), |world, gate| world.next(&format!("gate open {gate}"), twice()));
    let run = engine.run(world).await;
    run.approve("cutover").await;
    finish(&run).await;
    for gate in gates {
        assert_eq!(run.world.count(&format!("gate open {gate}")), 3, "{gate}");
    }
}

/// Producers may stand still behind it, so that it does not try for ever.
pub(crate) async fn a_freeze_gate_that_never_opens_says_why(engine: Engine) {
    let world = World::new("never-opens").always("gate open freeze", Answer::Throttled);
    let few =
        |machine: &mut serde_json::Value| state(machine, "OpenFreezeAgain")["Choices"][0]["NumericLessThan"] = json!(4);
    let run = engine.run_changed(world, few).await;
    run.approve("cutover").await;
    let Ended::Failed(why) = run.ended().await else { panic!("it opened") };
    assert!(why.starts_with(THROTTLED), "{why}");
    assert_eq!(run.world.count("gate open freeze"), 4);
}

pub(crate) async fn gates_that_time_out_open_again(engine: Engine) {
    let gates = [
        ("cutover", "WaitForCutover", "cutover rehearse"),
        ("client-switch", "WaitForClientSwitch", "gate switched"),
        ("finalize", "WaitForFinalize", "validate work"),
    ];
    let short = |machine: &mut serde_json::Value| {
        gates.iter().for_each(|(_, gate, _)| state(machine, gate)["TimeoutSeconds"] = json!(2));
    };
    let run = engine.run_changed(World::new("timed-out"), short).await;
    for (gate, _, then) in gates {
        run.called(&format!("gate open {gate}"), 2).await;
        // Again when the time is up just then: the interpreter takes an answer that comes too late.
        while run.world.count(then) == 0 {
            run.approve(gate).await;
            run.called_or_opened(then, gate).await;
        }
        if gate == "cutover" {
            run.approve("freeze").await;
        }
    }
    assert_eq!(run.ended().await, Ended::Succeeded("Finalized".to_owned()));
}

pub(crate) async fn a_cutover_that_hangs_is_stopped_at_the_limit(engine: Engine) {
    let run = engine.run(World::new("hangs").limits(3600, 2).always("cutover cut_over", Answer::Hangs)).await;
    run.approve("cutover").await;
    run.approve("freeze").await;
    assert_eq!(run.ended().await, too_long());
    assert_eq!((run.world.count("cutover cut_over"), run.world.count("gate expire")), (1, 1));
    assert_eq!(run.world.count("gate open client-switch"), 0);
    run.world.set("cutover cut_over", Answer::Well);
}

pub(crate) async fn a_cutover_that_is_repeated_is_stopped_at_the_limit(engine: Engine) {
    let world = World::new("repeated").limits(3600, 1).always("cutover cut_over", Answer::Fails("Transient"));
    let run = engine.run(world).await;
    run.approve("cutover").await;
    run.approve("freeze").await;
    assert_eq!(run.ended().await, too_long());
    assert!(run.world.count("cutover cut_over") < 9, "all retries were over before the limit");
}

/// Neither does it let the cutover go on, nor does it end one that may be committed.
pub(crate) async fn a_watchdog_that_cannot_ask_asks_again(engine: Engine) {
    let unanswered = [Answer::Fails("Blocked"), Answer::Fails("Internal"), Answer::Throttled];
    let world = World::new("cannot-ask").limits(3600, 1).next("gate expire", unanswered);
    let run = engine.run(world.always("cutover cut_over", Answer::Hangs)).await;
    run.approve("cutover").await;
    run.approve("freeze").await;
    assert_eq!(run.ended().await, too_long());
    assert_eq!(run.world.count("gate expire"), 4);
    run.world.set("cutover cut_over", Answer::Well);
}

pub(crate) async fn clients_switch_later_than_the_freeze_limit(engine: Engine) {
    let unanswered = [Answer::Fails("Blocked"), Answer::Fails("Transient")];
    let run = engine.run(World::new("later").limits(3600, 1).next("gate expire", unanswered)).await;
    run.approve("cutover").await;
    run.approve("freeze").await;
    run.called("gate open client-switch", 1).await;
    run.called("gate expire", 3).await;
    run.approve("client-switch").await;
    run.approve("finalize").await;
    assert_eq!(run.ended().await, Ended::Succeeded("Finalized".to_owned()));
}

/// Which would otherwise end the cutover of a later execution.
pub(crate) async fn a_cutover_that_fails_ends_its_watchdog(engine: Engine) {
    let limit = 10;
    let world = World::new("unsafe").limits(3600, limit).always("cutover cut_over", Answer::Fails("Unsafe"));
    let run = engine.run(world).await;
    run.approve("cutover").await;
    run.approve("freeze").await;
    assert_eq!(run.ended().await, failed("Unsafe: cutover was to fail"));
    tokio::time::sleep(Duration::from_secs(limit + 5)).await;
    assert_eq!((run.world.count("cutover cut_over"), run.world.count("gate expire")), (1, 0));
}

pub(crate) async fn executions_go_on_behind_the_mark(engine: Engine) {
    let opened = |run: &Run| ["client-switch", "finalize"].map(|gate| run.world.count(&format!("gate open {gate}")));
    for (id, phase, cutovers, gates) in [
        ("from-cutover", Phase::Cutover, 1, [1, 1]),
        ("from-switch", Phase::AwaitingClientSwitch, 0, [1, 1]),
        ("from-validating", Phase::Validating, 0, [0, 1]),
    ] {
        let run = engine.run(World::new(id).in_phase(phase)).await;
        if gates[0] > 0 {
            run.approve("client-switch").await;
        }
        run.approve("finalize").await;
        assert_eq!(run.ended().await, Ended::Succeeded("Finalized".to_owned()), "{id}");
        let world = &run.world;
        assert_eq!((world.count("cutover cut_over"), opened(&run)), (cutovers, gates), "{id}");
        assert_eq!((world.count("cutover rehearse"), world.count("tail-batch work")), (0, 0), "{id}");
        assert!(world.count("cutover watch") > 0, "{id}");
    }
}

/// From the freeze to the end, without trouble.
async fn finish(run: &Run) {
    for gate in ["freeze", "client-switch", "finalize"] {
        run.approve(gate).await;
    }
    assert_eq!(run.ended().await, Ended::Succeeded("Finalized".to_owned()));
}

fn failed(why: &str) -> Ended {
    Ended::Failed(why.to_owned())
}

fn too_long() -> Ended {
    failed(
        "Deadline: the freeze lasted cutover.max_producer_freeze without coming to the point of no return; producers were \
         let go",
    )
}
