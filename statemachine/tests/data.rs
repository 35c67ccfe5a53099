//! No state reads what may not be there: a path that is missing is an error of the engine, in the middle of a migration.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use statemachine::definition;
use statemachine::walk::{Place, Scope, State, scopes};

/// Paths that are there for certain.
type Known = BTreeSet<String>;

#[test]
fn every_path_that_is_read_was_written_on_every_way_there() {
    let machine = definition().unwrap();
    let scopes = scopes(&machine);
    let mut inputs = BTreeMap::new();
    for scope in &scopes {
        let start = match (scope.place, scope.owner) {
            (Place::Top, _) => known(["$.migration_id", "$.config"]),
            (Place::Processor, owner) => item(&machine, owner.unwrap()),
            (Place::Branch, owner) => Known::clone(&inputs[owner.unwrap()]),
        };
        let found = inputs_of(scope, start);
        for (name, known) in &found {
            for path in reads(scope.states[name].value) {
                assert!(known.contains(&path), "{name} reads {path}; there is only {known:?}");
            }
        }
        inputs.extend(found);
    }
}

#[test]
fn what_a_parallel_selects_is_written_by_every_end_of_the_branch() {
    let machine = definition().unwrap();
    let scopes = scopes(&machine);
    let mut outcomes = BTreeSet::new();
    for parallel in scopes.iter().flat_map(|scope| scope.states.values()).filter(|state| state.kind() == "Parallel") {
        let branches: Vec<_> = scopes.iter().filter(|scope| scope.owner == Some(parallel.name)).collect();
        for path in parallel.value["ResultSelector"].as_object().into_iter().flatten().map(|(_, path)| path) {
            // Engines disagree about whether a field of one element is a list.
            let index = path.as_str().unwrap().strip_prefix("$[").unwrap().strip_suffix(']').unwrap();
            let branch = branches[index.parse::<usize>().unwrap()];
            for end in branch.states.values().filter(|state| state.is_end() && state.kind() != "Fail") {
                let output = (end.kind(), end.value.get("ResultPath"), end.value["Result"].is_string());
                assert_eq!(output, ("Pass", None, true), "{} leaves something else", end.name);
                outcomes.insert(end.value["Result"].as_str().unwrap());
            }
        }
    }
    assert_eq!(outcomes, BTreeSet::from(["cut_over", "rolled_back"]));
}

#[test]
fn what_a_map_reads_is_the_manifest_or_a_list_that_was_made_for_it() {
    let machine = definition().unwrap();
    for state in scopes(&machine).iter().flat_map(|scope| scope.states.values()) {
        let unused = ["ItemSelector", "ItemBatcher", "InputPath", "OutputPath", "Assign", "Arguments"];
        for field in unused {
            assert_eq!(state.value.get(field), None, "{}: {field} is not followed by these tests", state.name);
        }
        let sources = ["ItemReader", "ItemsPath"].map(|field| state.value.get(field).is_some());
        assert_eq!(sources[0] != sources[1], state.kind() == "Map", "{}", state.name);
    }
}

/// What a child of the Map called `owner` begins with.
fn item(machine: &Value, owner: &str) -> Known {
    let scopes = scopes(machine);
    let mut all = scopes.iter().flat_map(|scope| scope.states.values());
    let map = all.clone().find(|state| state.name == owner).unwrap();
    let Some(path) = map.value["ItemsPath"].as_str() else {
        return known(["$.migration_id", "$.batch", "$.generation"]);
    };
    let (whole, field) = path.rsplit_once('.').unwrap();
    let made = all.find(|state| state.onward() == [owner] && state.value["ResultPath"] == whole).unwrap();
    let [item] = made.value["Parameters"][field].as_array().unwrap().as_slice() else { panic!("{}", made.name) };
    leaves("$", item)
}

/// The paths of everything in `value`, which is at `path`.
fn leaves(path: &str, value: &Value) -> Known {
    let fields = value.as_object().into_iter().flatten();
    let below = fields.flat_map(|(key, value)| leaves(&format!("{path}.{}", key.trim_end_matches(".$")), value));
    below.chain([path.to_owned()]).collect()
}

/// What each state finds for certain, whichever way led to it.
fn inputs_of<'a>(scope: &Scope<'a>, start: Known) -> BTreeMap<&'a str, Known> {
    let mut inputs = BTreeMap::from([(scope.start_at, start)]);
    let mut open = vec![scope.start_at];
    while let Some(name) = open.pop() {
        let state = scope.states[name];
        for (target, found) in ways(&state, &inputs[name]) {
            let common = inputs.get(target).map_or_else(|| found.clone(), |other| other & &found);
            if inputs.get(target) != Some(&common) {
                inputs.insert(target, common);
                open.push(target);
            }
        }
    }
    inputs
}

/// The states that may follow, with what they find.
fn ways<'a>(state: &State<'a>, input: &Known) -> Vec<(&'a str, Known)> {
    let caught = state.catches().map(|clause| (&clause["Next"], write(input, clause.get("ResultPath"), &[])));
    let caught = caught.map(|(next, found)| (next.as_str().unwrap(), found));
    let onward = state.onward().into_iter().map(|target| (target, after(state, input)));
    caught.chain(onward).collect()
}

/// What is there after `state` did its work.
fn after(state: &State<'_>, input: &Known) -> Known {
    if !matches!(state.kind(), "Task" | "Map" | "Parallel" | "Pass") {
        return input.clone();
    }
    let made = if state.kind() == "Pass" { "Parameters" } else { "ResultSelector" };
    let result = state.value.get(made).or_else(|| state.value.get("Result"));
    let fields = result.and_then(Value::as_object).into_iter().flatten();
    let fields: Vec<_> = fields.map(|(key, _)| key.trim_end_matches(".$")).collect();
    write(input, state.value.get("ResultPath"), &fields)
}

/// `input` with an object of `fields` at `path`; no path means that the object replaces everything.
fn write(input: &Known, path: Option<&Value>, fields: &[&str]) -> Known {
    let path = match path {
        Some(Value::Null) => return input.clone(),
        Some(path) => path.as_str().unwrap(),
        None => "$",
    };
    let below = format!("{path}.");
    let mut known = input.clone();
    known.retain(|other| other != path && !other.starts_with(&below));
    known.extend(fields.iter().map(|field| format!("{below}{field}")));
    known.insert(path.to_owned());
    known
}

/// The paths into its input that a state reads.
fn reads(value: &Value) -> Known {
    let skipped = ["Comment", "ResultSelector", "ResultPath", "Result", "Retry", "Catch", "ItemProcessor", "Branches"];
    match value {
        Value::String(text) => paths(text).collect(),
        Value::Array(values) => values.iter().flat_map(reads).collect(),
        Value::Object(fields) => fields
            .iter()
            .filter(|(key, _)| !skipped.contains(&key.as_str()))
            .flat_map(|(_, value)| reads(value))
            .collect(),
        _ => Known::new(),
    }
}

/// The paths in a text, also inside an intrinsic function; `$$.` reads the context and `${` is a placeholder.
fn paths(text: &str) -> impl Iterator<Item = String> + '_ {
    let starts = text.match_indices("$.").filter(|(at, _)| !text[..*at].ends_with('$'));
    starts.map(|(at, _)| {
        let rest = &text[at + 2..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.'))).unwrap_or(rest.len());
        format!("$.{}", &rest[..end])
    })
}

fn known<const N: usize>(paths: [&str; N]) -> Known {
    paths.map(str::to_owned).into()
}
