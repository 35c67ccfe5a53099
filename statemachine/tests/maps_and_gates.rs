//! Maps are judged by the journal, and gates wait for the operator.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::{BTreeMap, BTreeSet};

use journal::{GateName, Verdict};
use serde_json::{Value, json};
use statemachine::errors::{self, Retry};
use statemachine::walk::{Place, Scope, State, scopes, states};
use statemachine::{ASL, definition};

#[test]
fn every_map_over_a_manifest_is_followed_by_a_reconcile() {
    let machine = definition().unwrap();
    let scopes = scopes(&machine);
    let mut maps = 0;
    for scope in &scopes {
        for map in scope.states.values().filter(|state| state.kind() == "Map") {
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
    for scope in scopes(&machine).iter().filter(|scope| scope.place == Place::Processor) {
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
    for scope in scopes(&machine).iter().filter(|scope| scope.place == Place::Processor) {
        let work = work(scope);
        let generation = work.payload().unwrap().get("generation.$");
        let expected = (work.function() == Some("TailBatch")).then(|| json!("$.generation"));
        assert_eq!(generation, expected.as_ref(), "{}", work.name);
    }
}

#[test]
fn every_map_is_distributed_over_the_manifest_and_tolerates_its_children() {
    for map in states(&definition().unwrap()).into_iter().filter(|state| state.kind() == "Map") {
        let reader = json!({
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSON"},
            "Parameters": {"Bucket.$": "$.bucket", "Key.$": "$.manifest"},
        });
        assert_eq!(map.value["ItemReader"], reader, "{}", map.name);
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
    assert_eq!(values.len(), 3);
    for rest in values {
        let number: String = rest.chars().skip_while(|c| matches!(c, ':' | ' ')).take_while(|c| *c != ',').collect();
        assert!(number.contains('.') && number.parse::<f64>().is_ok(), "{number:?}");
    }
}

#[test]
fn every_gate_of_the_journal_has_one_state() {
    let machine = definition().unwrap();
    let gates = gates(&machine);
    assert_eq!(gates.into_keys().collect::<BTreeSet<_>>(), GateName::ALL.map(GateName::name).into_iter().collect());
}

#[test]
fn a_gate_opens_with_its_token_and_takes_the_verdict() {
    let machine = definition().unwrap();
    for (gate, state) in gates(&machine) {
        let payload = json!({
            "op": "open", "migration_id.$": "$.migration_id", "gate": gate, "token.$": "$$.Task.Token",
        });
        assert_eq!(state.payload(), Some(&payload), "{gate}");
        assert_eq!(state.value["ResultPath"], "$.gate", "{gate}");
        assert_eq!(state.value["ResultSelector"], json!({"verdict.$": "$.verdict"}), "{gate}");
    }
}

/// The freeze has a deadline. The other gates wait as long as the operator wants: one that times out opens again, with a
/// token of its own.
#[test]
fn a_gate_that_times_out_opens_again() {
    let machine = definition().unwrap();
    for (gate, state) in gates(&machine) {
        let timeout = state.catches().find(|clause| clause["ErrorEquals"] != json!(["States.ALL"]));
        if gate == GateName::Freeze.name() {
            assert_eq!((timeout, &state.value["TimeoutSecondsPath"]), (None, &json!("$.freeze_reaction_seconds")));
            continue;
        }
        let again = json!({
            "ErrorEquals": ["States.Timeout", "States.HeartbeatTimeout"], "ResultPath": null, "Next": state.name,
        });
        assert_eq!(timeout, Some(&again), "{gate}");
    }
}

/// Opened anew and not retried, for a token of its own; after a pause, since nothing else bounds the attempts.
#[test]
fn a_gate_that_could_not_be_opened_tries_again() {
    let machine = definition().unwrap();
    let scopes = scopes(&machine);
    let passing: Vec<_> = errors::kinds(Retry::Backoff).into_iter().chain(errors::LAMBDA).collect();
    for (gate, state) in gates(&machine).into_iter().filter(|(gate, _)| *gate != GateName::Freeze.name()) {
        let clause = state.catches().find(|clause| clause["ErrorEquals"] == json!(passing)).unwrap();
        assert_eq!(clause["ResultPath"], Value::Null, "{gate}");
        let mut beside = scopes.iter().flat_map(|scope| scope.states.values());
        let pause = beside.find(|other| clause["Next"] == other.name).unwrap();
        assert_eq!((pause.kind(), pause.onward()), ("Wait", vec![state.name]), "{gate}");
        assert!(pause.value["Seconds"].as_u64().unwrap() > 0, "{gate}");
    }
}

/// Only an approval lets a gate pass that can still be refused. The journal refuses to reject the others: offsets are
/// committed by then.
#[test]
fn only_an_approval_goes_on() {
    let machine = definition().unwrap();
    let scopes = scopes(&machine);
    let all = || scopes.iter().flat_map(|scope| scope.states.values());
    for (gate, on) in [(GateName::Cutover, "WaitForFreeze"), (GateName::Freeze, "Cutover")] {
        let state = gates(&machine)[gate.name()];
        let choice = all().find(|other| state.value["Next"] == other.name).unwrap();
        let approved = json!([{"Variable": "$.gate.verdict", "StringEquals": Verdict::Approve.name(), "Next": on}]);
        assert_eq!(choice.value["Choices"], approved, "{gate}");
        assert_ne!(choice.value["Default"], on, "{gate}");
    }
}

/// The gates' states by the gate's name.
fn gates(machine: &Value) -> BTreeMap<&str, State<'_>> {
    let gates = states(machine).into_iter().filter(State::is_gate);
    let named: Vec<_> = gates.map(|state| (state.payload().unwrap()["gate"].as_str().unwrap(), state)).collect();
    let count = named.len();
    let gates: BTreeMap<_, _> = named.into_iter().collect();
    assert_eq!(gates.len(), count, "two states wait at one gate");
    gates
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
