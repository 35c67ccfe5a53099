//! What may be repeated is repeated, nothing else is, and no failure gets lost.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use migration::ErrorKind;
use serde_json::{Value, json};
use statemachine::definition;
use statemachine::errors::{self, DONE, RAISED, Retry};
use statemachine::walk::{Place, Scope, State, scopes, states};

/// Lambda ends a function after 15 minutes, so a task that waits longer for it waits for nothing.
const LAMBDA_LIMIT_SECONDS: u64 = 900;

#[test]
fn every_task_but_a_gate_has_the_one_retry_block() {
    let block = errors::retry_block();
    for state in states(&definition().unwrap()) {
        let expected = (state.kind() == "Task" && !state.is_gate()).then_some(&block);
        // A retried gate would wait with a token that was already used.
        assert_eq!(state.value.get("Retry"), expected, "{}", state.name);
    }
}

#[test]
fn the_retry_block_backs_off_with_jitter_and_names_what_is_never_repeated() {
    let block = errors::retry_block();
    let [never, passing, unknown] = block.as_array().unwrap().as_slice() else { panic!("{block}") };
    assert_eq!(never["MaxAttempts"], 0);
    for kind in ErrorKind::ALL {
        let listed = |retrier: &Value| retrier["ErrorEquals"].as_array().unwrap().contains(&json!(kind.name()));
        assert_eq!(listed(never), errors::retry(kind) == Retry::Never, "{kind}");
        assert_eq!(listed(passing), errors::retry(kind) == Retry::Backoff, "{kind}");
    }
    assert_eq!(unknown["ErrorEquals"], json!(["States.ALL"]));
    for retrier in [passing, unknown] {
        assert_eq!(retrier["JitterStrategy"], "FULL");
        assert!(retrier["BackoffRate"].as_f64().unwrap() > 1.0 && retrier["MaxAttempts"].as_u64().unwrap() > 0);
        assert!(retrier["MaxDelaySeconds"].as_u64().unwrap() > retrier["IntervalSeconds"].as_u64().unwrap());
    }
}

#[test]
fn every_error_name_is_in_the_table() {
    for state in states(&definition().unwrap()) {
        let retries = state.value["Retry"].as_array().into_iter().flatten();
        for clause in retries.chain(state.catches()) {
            let names = clause["ErrorEquals"].as_array().unwrap();
            assert!(!names.is_empty(), "{}", state.name);
            for name in names {
                assert!(errors::is_known(name.as_str().unwrap()), "{}: {name}", state.name);
            }
        }
        if state.kind() == "Fail" {
            let name = state.value["Error"].as_str().unwrap();
            assert!(errors::is_known(name) && !name.starts_with("States."), "{}: {name}", state.name);
            let why = ["Cause", "CausePath"].map(|field| state.value.get(field).is_some());
            assert_eq!(why.into_iter().filter(|has| *has).count(), 1, "{} says why it fails", state.name);
        }
    }
}

#[test]
fn states_all_is_last_and_alone() {
    for state in states(&definition().unwrap()) {
        let clauses: Vec<_> = state.catches().collect();
        for (index, clause) in clauses.iter().enumerate() {
            let names = clause["ErrorEquals"].as_array().unwrap();
            let all = names.contains(&json!("States.ALL"));
            assert!(!all || index + 1 == clauses.len(), "{}", state.name);
            assert!(!all || names.len() == 1, "{}", state.name);
        }
    }
}

/// An error named `States.*` that leaves a branch fails the whole execution on some engines, past the Parallel's own
/// `Catch`; so every branch renames what it cannot handle.
#[test]
fn a_branch_fails_under_a_name_of_its_own() {
    let machine = definition().unwrap();
    let scopes = scopes(&machine);
    let branches = scopes.iter().filter(|scope| scope.place == Place::Branch && !accompanies(scope));
    for (scope, state) in branches.flat_map(|scope| scope.states.values().map(move |state| (scope, state))) {
        if state.can_fail() {
            let last = state.catches().last().unwrap_or_else(|| panic!("{} catches nothing", state.name));
            assert_eq!((&last["ErrorEquals"], &last["ResultPath"]), (&json!(["States.ALL"]), &json!("$.caught")));
            // The tail's Map asks the journal first.
            let next = scope.states[last["Next"].as_str().unwrap()];
            assert!(renames(&next) || next.name == "TailMapFailed", "{}", state.name);
        }
        if state.kind() == "Fail" && state.value.get("CausePath").is_some() {
            assert!(renames(state), "{}", state.name);
        }
    }
}

/// What only accompanies the cutover or the operator must not end them because it cannot ask: it pauses and asks again.
#[test]
fn a_branch_that_accompanies_another_never_fails_by_what_it_calls() {
    let machine = definition().unwrap();
    let scopes = scopes(&machine);
    let mut seen = Vec::new();
    for scope in scopes.iter().filter(|scope| accompanies(scope)) {
        for state in scope.states.values().filter(|state| state.can_fail()) {
            let [clause] = state.catches().collect::<Vec<_>>()[..] else { panic!("{}", state.name) };
            assert_eq!((&clause["ErrorEquals"], &clause["ResultPath"]), (&json!(["States.ALL"]), &Value::Null));
            let pause = scope.states[clause["Next"].as_str().unwrap()];
            assert_eq!(pause.kind(), "Wait", "{}", state.name);
            assert!(scope.reachable(pause.name, State::onward).contains(state.name), "{}", state.name);
        }
        let fails = scope.states.values().filter(|state| state.kind() == "Fail").map(|state| state.name);
        seen.push((scope.start_at, fails.collect::<Vec<_>>()));
    }
    assert_eq!(seen, [("StartWatch", vec![]), ("FreezeLimit", vec!["FreezeTooLong"])]);
}

/// A Parallel that succeeds waits for all of its branches, so the branch that counts ends it by an error in name only.
#[test]
fn a_branch_that_is_done_ends_the_one_that_accompanies_it() {
    let machine = definition().unwrap();
    let scopes = scopes(&machine);
    let mut done = Vec::new();
    for scope in scopes.iter().filter(|scope| scope.place == Place::Branch) {
        for fail in scope.states.values().filter(|state| DONE.iter().any(|name| state.value["Error"] == *name)) {
            let parallel = states(&machine).into_iter().find(|state| Some(state.name) == scope.owner).unwrap();
            let clause = parallel.catches().next().unwrap();
            let next = parallel.value["Next"].as_str();
            assert_eq!(clause, &json!({"ErrorEquals": [fail.value["Error"]], "ResultPath": null, "Next": next}));
            let beside = scopes.iter().filter(|other| other.owner == scope.owner && other.start_at != scope.start_at);
            assert!(beside.clone().count() == 1 && beside.clone().all(accompanies), "{}", fail.name);
            // Nothing else ends that branch well.
            assert!(scope.states.values().all(|state| !state.is_end() || state.kind() == "Fail"), "{}", scope.start_at);
            done.push(fail.value["Error"].as_str().unwrap());
        }
    }
    done.sort_unstable();
    assert_eq!(done, DONE);
}

#[test]
fn every_failure_after_entering_is_recorded() {
    let machine = definition().unwrap();
    let top = &scopes(&machine)[0];
    for state in top.states.values().filter(|state| state.can_fail()) {
        let last = state.catches().last();
        if matches!(state.name, "Enter" | "RecordFailure") {
            // Before there is a run nothing can be recorded; a record that fails has nowhere to go.
            assert_eq!(last, None, "{}", state.name);
            continue;
        }
        let recorded = json!({"ErrorEquals": ["States.ALL"], "ResultPath": "$.caught", "Next": "RecordFailure"});
        assert_eq!(last, Some(&recorded), "{}", state.name);
    }
    assert_eq!(top.states["RecordFailure"].targets(), ["Failed"]);
    assert_eq!(top.states["Failed"].kind(), "Fail");
}

/// A child reports nothing by failing: the journal does, through the reconcile step. So it fails, or pauses and does the
/// same again; a `Catch` must not call a failure a success.
#[test]
fn a_child_of_a_map_fails_or_tries_again() {
    let machine = definition().unwrap();
    for scope in scopes(&machine).iter().filter(|scope| scope.place == Place::Processor) {
        for state in scope.states.values() {
            for clause in state.catches() {
                let next = scope.states[clause["Next"].as_str().unwrap()];
                let again = || scope.reachable(next.name, State::onward).contains(state.name);
                assert!(renames(&next) || (next.kind() == "Wait" && again()), "{}", state.name);
            }
        }
    }
}

/// While the operator is waited for nothing else would notice that a batch has no function: a crash among others, which
/// has no name in the table.
#[test]
fn a_batch_of_the_tail_is_taken_up_again_unless_its_function_refuses_it() {
    let machine = definition().unwrap();
    let states = states(&machine);
    let tail = states.iter().find(|state| state.name == "TailBatch").unwrap();
    let refused: Vec<_> = errors::kinds(Retry::Never).into_iter().filter(|kind| *kind != "Fenced").collect();
    let expected = [
        json!({"ErrorEquals": refused, "ResultPath": "$.caught", "Next": "TailBatchFailed"}),
        json!({"ErrorEquals": ["States.ALL"], "ResultPath": null, "Next": "TailBatchPause"}),
    ];
    assert_eq!(tail.catches().cloned().collect::<Vec<_>>(), expected);
}

/// The tail was told to stop, or it was not: that is asked until it is answered, whatever its children and their Map did.
#[test]
fn what_passes_does_not_keep_the_journal_from_being_asked_about_the_tail() {
    let machine = definition().unwrap();
    let scopes = scopes(&machine);
    let tail = scopes.iter().find(|scope| scope.start_at == "StartTail").unwrap();
    let passing: Vec<_> = ["Fenced"].into_iter().chain(errors::passing()).chain(["States.Timeout"]).collect();
    for name in ["TailReconcile", "TailMapFailed"] {
        let clause = tail.states[name].catches().next().unwrap();
        assert_eq!((&clause["ErrorEquals"], &clause["ResultPath"]), (&json!(passing), &Value::Null));
        let pause = tail.states[clause["Next"].as_str().unwrap()];
        assert_eq!(pause.kind(), "Wait");
        assert!(tail.reachable(pause.name, State::onward).contains(name), "{name}");
    }
    let map = tail.states["TailMap"];
    let targets = map.targets();
    assert_eq!(targets, ["TailReconcile", "TailMapFailed"]);
    for target in targets {
        assert_eq!(tail.states[target].payload().unwrap()["op"], "reconcile");
        let choice = tail.states[tail.states[target].value["Next"].as_str().unwrap()];
        let stopped = json!([{"Variable": "$.reconciled.complete", "BooleanEquals": true, "Next": "TailStopped"}]);
        assert_eq!(choice.value["Choices"], stopped, "{target}");
    }
}

#[test]
fn every_task_has_a_time_limit() {
    for state in states(&definition().unwrap()).into_iter().filter(|state| state.kind() == "Task") {
        let seconds = state.value["TimeoutSeconds"].as_u64();
        if state.is_gate() {
            let path = state.value["TimeoutSecondsPath"].as_str();
            assert!(seconds.is_some() != path.is_some(), "{}", state.name);
        } else {
            assert!(seconds.is_some_and(|limit| (1..=LAMBDA_LIMIT_SECONDS).contains(&limit)), "{}", state.name);
        }
        // A stand-in's heartbeat does not extend a time limit, and functions send none.
        assert_eq!(state.value.get("HeartbeatSeconds"), None, "{}", state.name);
    }
}

/// Whether a branch is there for the sake of the one beside it: a watchdog, a watch.
fn accompanies(scope: &Scope<'_>) -> bool {
    matches!(scope.start_at, "FreezeLimit" | "StartWatch")
}

/// Whether a state gives an error a name of its own. The error itself goes on in the cause, where the journal finds it.
fn renames(state: &State<'_>) -> bool {
    let fails = state.kind() == "Fail" && state.value["Error"] == RAISED[0];
    fails && state.value["CausePath"] == "States.JsonToString($.caught)"
}
