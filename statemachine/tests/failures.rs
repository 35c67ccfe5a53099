//! What may be repeated is repeated, nothing else is, and no failure gets lost.

use migration::ErrorKind;
use serde_json::{Value, json};
use statemachine::definition;
use statemachine::errors::{self, RAISED, Retry};
use statemachine::walk::{Place, scopes, states};

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
    let mut seen = 0;
    for scope in scopes(&machine).iter().filter(|scope| scope.place == Place::Branch) {
        for state in scope.states.values().filter(|state| state.can_fail()) {
            let last = state.catches().last().unwrap_or_else(|| panic!("{} catches nothing", state.name));
            assert_eq!((&last["ErrorEquals"], &last["ResultPath"]), (&json!(["States.ALL"]), &json!("$.caught")));
            let fail = &scope.states[last["Next"].as_str().unwrap()];
            assert_eq!((fail.kind(), &fail.value["Error"]), ("Fail", &json!(RAISED[0])), "{}", state.name);
            // The error itself goes on in the cause, where the journal finds it.
            assert_eq!(fail.value["CausePath"], "States.JsonToString($.caught)");
            seen += 1;
        }
    }
    assert!(seen > 0);
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

/// A child reports nothing by failing: the journal does, through the reconcile step. So it fails as it is, or pauses and
/// does the same again; a `Catch` must not call a failure a success.
#[test]
fn a_child_of_a_map_fails_as_it_is_or_tries_again() {
    let machine = definition().unwrap();
    for scope in scopes(&machine).iter().filter(|scope| scope.place == Place::Processor) {
        for state in scope.states.values() {
            for clause in state.catches() {
                let pause = scope.states[clause["Next"].as_str().unwrap()];
                assert_eq!((pause.kind(), &pause.value["Next"]), ("Wait", &json!(state.name)), "{}", state.name);
            }
        }
    }
}

/// While the operator is waited for nothing else would notice that a batch has no function.
#[test]
fn a_batch_of_the_tail_is_taken_up_again_after_what_passes() {
    let machine = definition().unwrap();
    let states = states(&machine);
    let tail = states.iter().find(|state| state.name == "TailBatch").unwrap();
    let caught: Vec<_> = tail.catches().flat_map(|clause| clause["ErrorEquals"].as_array().unwrap()).collect();
    for name in ["Fenced", "Transient", "Lambda.TooManyRequestsException", "States.Timeout"] {
        assert!(caught.contains(&&json!(name)), "{name}");
    }
    assert!(!caught.contains(&&json!("Unsafe")));
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
