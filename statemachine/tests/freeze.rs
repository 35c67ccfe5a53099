//! Producers are asked to stop only behind a rehearsal, and stand still no longer than the limit, whatever hangs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use migration::ErrorKind;
use serde_json::{Value, json};
use statemachine::definition;
use statemachine::errors;
use statemachine::walk::{Scope, State, scopes};

#[test]
fn nothing_leads_to_the_freeze_but_a_rehearsal_that_holds() {
    let machine = definition().unwrap();
    let cutover = scope(&machine, "WaitForDrain");
    let past = |state: &State<'_>| state.name == "RehearsalHolds";
    let around = cutover.reachable("WaitForDrain", |state| if past(state) { vec![] } else { state.targets() });
    assert!(around.contains("RehearsalHolds") && !around.contains("WaitForFreeze"), "{around:?}");
    let choice = cutover.states["RehearsalHolds"];
    let holds = json!([{"Variable": "$.rehearsed.go", "BooleanEquals": true, "Next": "StartFreeze"}]);
    assert_eq!((&choice.value["Choices"], &choice.value["Default"]), (&holds, &json!("WaitForCutover")));
    // Asked of the journal at that moment, not remembered.
    let payload = json!({"op": "rehearse", "migration_id.$": "$.migration_id", "approved": true});
    assert_eq!(cutover.states["Rehearse"].payload(), Some(&payload));
}

/// Producers run and the tail copies, so what the rehearsal refuses is the operator's to look at. A fault of the program is not.
#[test]
fn a_rehearsal_that_fails_goes_back_to_the_operator() {
    let machine = definition().unwrap();
    let cutover = scope(&machine, "WaitForDrain");
    let rehearse = cutover.states["Rehearse"];
    let next = |name: &str| {
        let clause = rehearse.catches().find(|clause| {
            let names = clause["ErrorEquals"].as_array().unwrap();
            names.contains(&json!(name)) || names.contains(&json!("States.ALL"))
        });
        clause.unwrap()["Next"].as_str().unwrap()
    };
    for kind in ErrorKind::ALL {
        let expected = if kind == ErrorKind::Internal { "CutoverFailed" } else { "RehearsePause" };
        assert_eq!(next(kind.name()), expected, "{kind}");
    }
    for name in errors::LAMBDA.into_iter().chain(["States.Timeout"]) {
        assert_eq!(next(name), "RehearsePause", "{name}");
    }
    assert_eq!(next("Runtime.ExitError"), "CutoverFailed");
    let pause = cutover.states["RehearsePause"];
    assert_eq!((pause.kind(), pause.onward()), ("Wait", vec!["WaitForCutover"]));
}

/// How long people may take to stop producers is not how long producers may stand still.
#[test]
fn the_freeze_gate_has_the_limit_for_people() {
    let machine = definition().unwrap();
    let cutover = scope(&machine, "WaitForDrain");
    let gate = cutover.states["WaitForFreeze"];
    assert_eq!(gate.value["TimeoutSecondsPath"], "$.freeze_reaction_seconds");
    let [late, passing, rest] = gate.catches().collect::<Vec<_>>()[..] else { panic!("{}", gate.name) };
    assert_eq!(late["ErrorEquals"], json!(["States.Timeout", "States.HeartbeatTimeout"]));
    assert_deadline(&cutover.states[late["Next"].as_str().unwrap()], "cutover.freeze_reaction_timeout");
    assert_eq!(rest["ErrorEquals"], json!(["States.ALL"]));
    // Each opening starts the time anew, so openings are counted; what kept the last one from opening is the cause.
    assert_eq!((&passing["ErrorEquals"], &passing["ResultPath"]), (&json!(errors::passing()), &json!("$.caught")));
    let count = cutover.states[passing["Next"].as_str().unwrap()];
    assert_eq!(count.value["Parameters"], json!({"openings.$": "States.MathAdd($.freeze.openings, 1)"}));
    let choice = cutover.states[count.value["Next"].as_str().unwrap()];
    assert_eq!(choice.value["Default"], "CutoverFailed");
    let [again] = choice.value["Choices"].as_array().unwrap().as_slice() else { panic!("{}", choice.name) };
    assert_eq!(again["Variable"], "$.freeze.openings");
    let pause = cutover.states[again["Next"].as_str().unwrap()];
    assert_eq!((pause.value["Seconds"].as_u64(), pause.onward()), (Some(1), vec!["WaitForFreeze"]));
    // A minute of throttling is outlasted, an hour is not.
    assert!((60..=120).contains(&again["NumericLessThan"].as_u64().unwrap()));
}

/// Every function that works while producers stand still does so beside the watchdog, which fails all of it.
#[test]
fn nothing_between_the_freeze_and_the_switch_can_outlast_the_watchdog() {
    let machine = definition().unwrap();
    let outer = scope(&machine, "WaitForDrain");
    let bounded = outer.states["CutoverWithinLimit"];
    let decided = outer.states["FreezeDecided"];
    assert_eq!(decided.value["Choices"][0]["Next"], bounded.name);
    assert_eq!((bounded.kind(), bounded.value.get("Retry")), ("Parallel", None));
    let beside: Vec<_> =
        scopes(&machine).iter().filter(|scope| scope.owner == Some(bounded.name)).map(|scope| scope.start_at).collect();
    assert_eq!(beside, ["Cutover", "FreezeLimit"]);
    // Up to the switch, which lets producers go.
    let cutover = scope(&machine, "Cutover");
    let way = ["Cutover", "WaitForClientSwitch", "ClientsSwitched", "SwitchDone"];
    for pair in way.windows(2) {
        assert_eq!(cutover.states[pair[0]].value["Next"], pair[1]);
    }
    // Nothing else in the branch can be reached from the freeze, and nothing follows it but its outcome.
    let after = outer.reachable(bounded.name, State::targets);
    assert_eq!(after.into_iter().collect::<Vec<_>>(), ["CutOver", "CutoverFailed", "CutoverWithinLimit"]);
}

#[test]
fn the_watchdog_asks_the_journal_when_the_limit_is_reached() {
    let machine = definition().unwrap();
    let watchdog = scope(&machine, "FreezeLimit");
    let limit = watchdog.states[watchdog.start_at];
    let expected = (Some("$.freeze_limit_seconds"), vec!["ExpireFreeze"]);
    assert_eq!((limit.value["SecondsPath"].as_str(), limit.onward()), expected);
    let expire = watchdog.states["ExpireFreeze"];
    assert_eq!(expire.payload(), Some(&json!({"op": "expire", "migration_id.$": "$.migration_id"})));
    let choice = watchdog.states[expire.value["Next"].as_str().unwrap()];
    let [expired] = choice.value["Choices"].as_array().unwrap().as_slice() else { panic!("{}", choice.name) };
    assert_eq!((&expired["Variable"], &expired["BooleanEquals"]), (&json!("$.limit.expired"), &json!(true)));
    assert_deadline(&watchdog.states[expired["Next"].as_str().unwrap()], "cutover.max_producer_freeze");
    // Behind the mark there is nothing to end: clients take as long as they take.
    assert_eq!(watchdog.states[choice.value["Default"].as_str().unwrap()].kind(), "Succeed");
    // At once when the function says so: a pause follows only what it did not say.
    let pauses: Vec<_> =
        watchdog.states.values().filter(|state| state.kind() == "Wait" && state.name != limit.name).collect();
    assert!(pauses.len() == 1 && pauses[0].value["Seconds"].as_u64().unwrap() <= 10);
}

fn assert_deadline(state: &State<'_>, setting: &str) {
    assert_eq!((state.kind(), &state.value["Error"]), ("Fail", &json!(ErrorKind::Deadline.name())), "{}", state.name);
    assert!(state.value["Cause"].as_str().unwrap().contains(setting), "{}", state.name);
}

/// The states that begin with `start`.
fn scope<'a>(machine: &'a Value, start: &str) -> Scope<'a> {
    scopes(machine).into_iter().find(|scope| scope.start_at == start).unwrap()
}
