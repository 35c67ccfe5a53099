//! Maps are judged by the journal, and gates wait for the operator.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use journal::{GateName, Verdict};
use serde_json::{Value, json};
use statemachine::errors;
use statemachine::walk::{Place, Scope, State, scopes, states};
use statemachine::{ASL, definition};

#[test]
fn every_map_over_a_manifest_is_followed_by_a_reconcile() {
    let machine = definition().unwrap();
    let scopes = scopes(&machine);
    let mut maps = 0;
    for scope in &scopes {
        for map in scope.states.values().filter(|state| state.is_over_the_manifest()) {
            let reconcile = &scope.states[map.value["Next"].as_str().unwrap()];
            let payload = reconcile.payload().unwrap_or_else(|| panic!("{} is not a Task", reconcile.name));
            assert_eq!(payload["op"], "reconcile", "{}", map.name);
            let children = scopes.iter().find(|inner| inner.owner == Some(map.name)).unwrap();
            assert_eq!(reconcile.function(), work(children).function(), "{}", map.name);
            let choice = &scope.states[reconcile.value["Next"].as_str().unwrap()];
            let back = scope.states[choice.value["Default"].as_str().unwrap()];
            let start = if back.kind() == "Wait" { back.name } else { map.name };
            assert!(start == map.name || back.value["Next"] == map.name, "{}", back.name);
            assert_loops(choice, "$.reconciled.complete", true, start);
            maps += 1;
        }
    }
    assert_eq!(maps, 3);
}

/// A function's answer is not the end of its work, only of its time.
#[test]
fn every_child_repeats_until_there_is_nothing_left() {
    let machine = definition().unwrap();
    for scope in scopes(&machine).iter().filter(|scope| over_the_manifest(scope)) {
        let work = work(scope);
        assert_eq!(work.name, scope.start_at);
        let choice = &scope.states[work.value["Next"].as_str().unwrap()];
        let again = json!([{"Variable": "$.result.again", "BooleanEquals": true, "Next": work.name}]);
        assert_eq!(choice.value["Choices"], again, "{}", choice.name);
        let default = choice.value["Default"].as_str().unwrap();
        assert_eq!(scope.states[default].kind(), "Succeed");
    }
}

/// The manifest grows while the tail runs. A function that was started for an earlier one has to know it, so that it returns
/// and the Map ends and reads the manifest again; seed and validation have all the time one manifest.
#[test]
fn the_tail_alone_knows_which_manifest_it_follows() {
    let machine = definition().unwrap();
    for scope in scopes(&machine).iter().filter(|scope| over_the_manifest(scope)) {
        let work = work(scope);
        let generation = work.payload().unwrap().get("generation.$");
        let expected = (work.function() == Some("TailBatch")).then(|| json!("$.generation"));
        assert_eq!(generation, expected.as_ref(), "{}", work.name);
    }
}

#[test]
fn every_map_is_distributed_and_tolerates_its_children() {
    for map in states(&definition().unwrap()).into_iter().filter(|state| state.kind() == "Map") {
        let reader = json!({
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSON"},
            "Parameters": {"Bucket.$": "$.bucket", "Key.$": "$.manifest"},
        });
        assert!(map.name == "WatchMap" || map.value["ItemReader"] == reader, "{}", map.name);
        let config = json!({"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"});
        assert_eq!(map.value["ItemProcessor"]["ProcessorConfig"], config, "{}", map.name);
        // One child that fails must not stop the others; the reconcile step decides.
        assert_eq!(map.value["ToleratedFailurePercentage"], 100.0, "{}", map.name);
        let bounds = ["MaxConcurrency", "MaxConcurrencyPath"].map(|field| map.value.get(field).is_some());
        assert!(bounds[0] != bounds[1], "{} is bounded once", map.name);
    }
}

/// A stand-in's parser refuses `100`; parsed JSON does not show the difference.
#[test]
fn tolerated_failures_are_written_with_a_decimal_point() {
    let values: Vec<_> = ASL.split(r#""ToleratedFailurePercentage""#).skip(1).collect();
    assert_eq!(values.len(), 4);
    for rest in values {
        let number: String = rest.chars().skip_while(|c| matches!(c, ':' | ' ')).take_while(|c| *c != ',').collect();
        assert!(number.contains('.') && number.parse::<f64>().is_ok(), "{number:?}");
    }
}

/// The client switch has two: within the cutover, and for an execution that begins behind it.
#[test]
fn every_gate_of_the_journal_has_its_states() {
    let machine = definition().unwrap();
    let mut waiting: Vec<_> = gates(&machine).into_iter().map(|(gate, state)| (gate, state.name)).collect();
    waiting.sort_unstable();
    let expected = [
        (GateName::ClientSwitch, "WaitForClientSwitch"),
        (GateName::ClientSwitch, "WaitForClientSwitchResumed"),
        (GateName::Cutover, "WaitForCutover"),
        (GateName::Finalize, "WaitForFinalize"),
        (GateName::Freeze, "WaitForFreeze"),
    ];
    assert_eq!(waiting, expected.map(|(gate, state)| (gate.name(), state)));
    assert!(GateName::ALL.iter().all(|gate| expected.iter().any(|(other, _)| other == gate)));
}

#[test]
fn a_gate_opens_with_its_token_and_takes_the_verdict() {
    let machine = definition().unwrap();
    for (gate, state) in gates(&machine) {
        let payload = json!({
            "op": "open", "migration_id.$": "$.migration_id", "gate": gate, "token.$": "$$.Task.Token",
        });
        assert_eq!(state.payload(), Some(&payload), "{}", state.name);
        assert_eq!(state.value["ResultPath"], "$.gate", "{}", state.name);
        assert_eq!(state.value["ResultSelector"], json!({"verdict.$": "$.verdict"}), "{}", state.name);
    }
}

/// A gate waits as long as the operator wants: one whose time is up opens again, with a token of its own, and so does one
/// that could not be opened. Not by way of itself: an engine takes that for success. The freeze has a deadline.
#[test]
fn a_gate_that_times_out_or_was_not_opened_opens_again() {
    let machine = definition().unwrap();
    let timeouts = ["States.Timeout", "States.HeartbeatTimeout"];
    let again: Vec<_> = timeouts.into_iter().chain(errors::passing()).collect();
    for (gate, state) in gates(&machine).into_iter().filter(|(gate, _)| *gate != GateName::Freeze.name()) {
        let clause = state.catches().next().unwrap();
        assert_eq!((&clause["ErrorEquals"], &clause["ResultPath"]), (&json!(again), &Value::Null), "{gate}");
        let pause = named(&machine, clause["Next"].as_str().unwrap());
        assert_eq!((pause.kind(), pause.onward()), ("Wait", vec![state.name]), "{gate}");
        assert!(pause.value["Seconds"].as_u64().unwrap() > 0, "{gate}");
    }
}

#[test]
fn no_state_catches_its_way_back_to_itself() {
    for state in states(&definition().unwrap()) {
        assert!(state.catches().all(|clause| clause["Next"] != state.name), "{}", state.name);
    }
}

/// Only an approval lets a gate pass that can still be refused. The journal refuses to reject the others: offsets are
/// committed by then.
#[test]
fn only_an_approval_goes_on() {
    let machine = definition().unwrap();
    for (gate, on) in [(GateName::Cutover, "Rehearse"), (GateName::Freeze, "CutoverWithinLimit")] {
        let (_, state) = gates(&machine).into_iter().find(|(name, _)| *name == gate.name()).unwrap();
        let choice = named(&machine, state.value["Next"].as_str().unwrap());
        let approved = json!([{"Variable": "$.gate.verdict", "StringEquals": Verdict::Approve.name(), "Next": on}]);
        assert_eq!(choice.value["Choices"], approved, "{gate}");
        assert_ne!(choice.value["Default"], on, "{gate}");
    }
}

/// The gates' names and states.
fn gates(machine: &Value) -> Vec<(&str, State<'_>)> {
    let gates = states(machine).into_iter().filter(State::is_gate);
    gates.map(|state| (state.payload().unwrap()["gate"].as_str().unwrap(), state)).collect()
}

fn named<'a>(machine: &'a Value, name: &str) -> State<'a> {
    states(machine).into_iter().find(|state| state.name == name).unwrap()
}

/// Whether these are the children of a Map over a manifest.
fn over_the_manifest(children: &Scope<'_>) -> bool {
    children.place == Place::Processor && children.owner != Some("WatchMap")
}

/// The task in a Map's processor that works on a batch.
fn work<'a>(children: &Scope<'a>) -> State<'a> {
    let works = |state: &&State<'_>| state.payload().is_some_and(|payload| payload["op"] == "work");
    *children.states.values().find(works).unwrap()
}

/// `choice` goes back to `start`, unless `variable` is `done`.
fn assert_loops(choice: &State<'_>, variable: &str, done: bool, start: &str) {
    let [clause] = choice.value["Choices"].as_array().unwrap().as_slice() else { panic!("{}", choice.name) };
    assert_eq!((&clause["Variable"], &clause["BooleanEquals"]), (&json!(variable), &json!(done)), "{}", choice.name);
    assert_eq!(choice.value["Default"], start, "{}", choice.name);
    assert_ne!(clause["Next"], start, "{}", choice.name);
}
