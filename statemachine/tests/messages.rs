//! What states send to functions, what they take from their answers, and what they may read of their own input.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use journal::GateName;
use migration::message::{
    BatchInput, BatchOutput, Caught, Drained, Entered, Expired, PhaseInput, PrecheckInput, Reconciled, Rehearsed,
    Watched,
};
use migration::{MigrationId, Phase};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use statemachine::walk::{State, states};
use statemachine::{ASL, definition};

#[test]
fn every_placeholder_is_a_function_and_every_function_is_called() {
    let machine = definition().unwrap();
    let placeholders = ASL.split("${").skip(1).map(|rest| rest.split('}').next().unwrap());
    let placeholders: BTreeSet<_> = placeholders.map(|name| name.strip_suffix("FunctionArn").unwrap()).collect();
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions").read_dir().unwrap();
    let functions = folders.map(|folder| pascal_case(folder.unwrap().file_name().to_str().unwrap()));
    let functions: BTreeSet<_> = functions.collect();
    assert_eq!(functions.len(), 8);
    assert_eq!(placeholders.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), functions);
    for state in states(&machine).into_iter().filter(|state| state.kind() == "Task") {
        assert!(state.function().is_some(), "{}", state.name);
        let resource = state.value["Resource"].as_str().unwrap();
        assert_eq!(resource.trim_end_matches(".waitForTaskToken"), "arn:aws:states:::lambda:invoke", "{}", state.name);
    }
}

#[test]
fn every_payload_is_what_its_function_takes() {
    for state in states(&definition().unwrap()).into_iter().filter(|state| state.kind() == "Task") {
        let payload = filled_in(state.payload().unwrap());
        let understood = match state.function().unwrap() {
            "Precheck" => read_back::<PrecheckInput>(&payload),
            "TopologyCopy" | "Evidence" => read_back::<PhaseInput>(&payload),
            "SeedPartition" | "TailBatch" | "Validate" => read_back::<BatchInput>(&payload),
            "Gate" | "Cutover" => operation(state.function().unwrap(), &payload),
            other => panic!("{}: nothing is known of what {other} takes", state.name),
        };
        // Equal, since a field that the function does not know would be dropped without a word.
        assert_eq!(understood, payload, "{}", state.name);
        assert!(payload["op"] != "drain" || state.function() == Some("TailBatch"), "{}", state.name);
    }
}

#[test]
fn every_selected_field_is_one_that_the_function_returns() {
    for state in states(&definition().unwrap()).into_iter().filter(|state| state.kind() == "Task") {
        let Some(selector) = state.value.get("ResultSelector") else {
            // The answer is dropped; otherwise all of it would travel on, with what Lambda says about the invocation.
            assert_eq!(state.value.get("ResultPath"), Some(&Value::Null), "{}", state.name);
            continue;
        };
        let (prefix, answer) = if state.is_gate() {
            ("$.", json!({"verdict": "approve"}))
        } else {
            ("$.Payload.", answer(&state).unwrap_or_else(|| panic!("{} returns nothing", state.name)))
        };
        let expected: Map<_, _> = answer.as_object().unwrap().keys().map(|key| selected(key, prefix)).collect();
        assert_eq!(selector.as_object().unwrap(), &expected, "{}", state.name);
    }
}

#[test]
fn a_loop_starts_with_what_a_reconcile_returns() {
    let machine = definition().unwrap();
    let starts: Vec<_> =
        states(&machine).into_iter().filter(|state| state.value["ResultPath"] == "$.reconciled").collect();
    assert_eq!(starts.iter().filter(|state| state.kind() == "Pass").count(), 3);
    for start in starts.iter().filter(|state| state.kind() == "Pass") {
        let result: Reconciled = serde_json::from_value(start.value["Result"].clone()).unwrap();
        assert!(!result.complete && result.progress < 0, "{}: no progress is also a measure", start.name);
    }
}

/// But the one item of the watch.
#[test]
fn no_state_passes_a_list() {
    for state in states(&definition().unwrap()) {
        for field in ["Parameters", "ItemSelector", "ItemReader", "ResultSelector", "Result"] {
            let mut value = state.value[field].clone();
            if state.name == "StartWatch" && field == "Parameters" {
                let items = value["items"].take();
                assert_eq!(items.as_array().map(Vec::len), Some(1));
            }
            let value = &value;
            assert!(!has_list(value), "{}: {field}", state.name);
            for text in texts(value) {
                let makes = ["States.Array", "States.StringSplit", "States.StringToJson", "[*]", "..", ":"];
                let path = text.starts_with('$') || text.starts_with("States.");
                assert!(!path || !makes.iter().any(|what| text.contains(what)), "{}: {text}", state.name);
            }
        }
        let result = (state.value.get("ResultPath"), state.value.get("ResultSelector").is_some());
        match state.kind() {
            "Map" => assert_eq!(result, (Some(&Value::Null), false), "{} returns its children", state.name),
            "Parallel" => {
                assert!(result.1 || result.0 == Some(&Value::Null), "{} returns its branches", state.name);
            }
            _ => {}
        }
    }
    for answer in answers().into_values() {
        assert!(answer.as_object().unwrap().values().all(|value| !value.is_array() && !value.is_object()), "{answer}");
    }
}

/// The kebab-case name of a folder as placeholders write it.
fn pascal_case(kebab: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    kebab.split('-').map(word).collect()
}

/// The payload with every path replaced by a value of the type that is found there.
fn filled_in(payload: &Value) -> Value {
    let fill = |(key, value): (&String, &Value)| match (key.strip_suffix(".$"), value.as_str()) {
        (Some(key), Some(path)) => (key.to_owned(), sample(path)),
        _ => (key.clone(), value.clone()),
    };
    Value::Object(payload.as_object().unwrap().iter().map(fill).collect())
}

fn sample(path: &str) -> Value {
    match path {
        "$.migration_id" => json!("prod-to-kraft"),
        "$.batch" => json!(7),
        "$.generation" => json!(2),
        "$.config" => json!({"source": {}}),
        "$.reconciled.progress" => json!(-1),
        "$.caught" => json!({"Error": "Unsafe", "Cause": "foreign record"}),
        "$$.Task.Token" => json!("AQC8"),
        other => panic!("nothing is known of {other}"),
    }
}

fn read_back<T: Serialize + DeserializeOwned>(payload: &Value) -> Value {
    json!(serde_json::from_value::<T>(payload.clone()).unwrap_or_else(|error| panic!("{payload}: {error}")))
}

/// The inputs of `gate` and `cutover`, whose types are their own: fields by operation.
fn operation(function: &str, payload: &Value) -> Value {
    let fields: &[&str] = match (function, payload["op"].as_str().unwrap()) {
        ("Gate", "enter") => &["config"],
        ("Gate", "open") => &["gate", "token"],
        ("Gate", "switched" | "rollback" | "expire") | ("Cutover", "cut_over" | "watch") => &[],
        ("Gate", "fail") => &["cause"],
        ("Cutover", "rehearse") => &["approved"],
        (_, other) => panic!("{function} has no operation {other}"),
    };
    if let Some(gate) = payload.get("gate") {
        serde_json::from_value::<GateName>(gate.clone()).unwrap();
    }
    if let Some(cause) = payload.get("cause") {
        assert_eq!(serde_json::from_value::<Caught>(cause.clone()).unwrap().reason(), "Unsafe: foreign record");
    }
    let known = ["op", "migration_id"].iter().chain(fields).map(|field| ((*field).to_owned(), payload[*field].clone()));
    Value::Object(known.collect())
}

/// What functions return, by operation.
fn answers() -> BTreeMap<&'static str, Value> {
    let entered = Entered {
        migration_id: "prod-to-kraft".parse::<MigrationId>().unwrap(),
        phase: Phase::Precheck,
        bucket: "bucket".to_owned(),
        manifest: "manifests/batches.json".to_owned(),
        copy_functions: 1,
        freeze_reaction_seconds: 600,
        freeze_limit_seconds: 60,
    };
    BTreeMap::from([
        ("enter", json!(entered)),
        ("work", json!(BatchOutput { again: true })),
        ("reconcile", json!(Reconciled { complete: true, progress: 1 })),
        ("drain", json!(Drained { ready: true })),
        ("rehearse", json!(Rehearsed { go: true })),
        ("expire", json!(Expired { expired: true })),
        ("watch", json!(Watched { again: true, wait_seconds: 60 })),
    ])
}

fn answer(state: &State<'_>) -> Option<Value> {
    answers().remove(state.payload()?["op"].as_str()?)
}

fn selected(key: &str, prefix: &str) -> (String, Value) {
    (format!("{key}.$"), json!(format!("{prefix}{key}")))
}

fn has_list(value: &Value) -> bool {
    match value {
        Value::Array(_) => true,
        Value::Object(fields) => fields.values().any(has_list),
        _ => false,
    }
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        _ => vec![],
    }
}
