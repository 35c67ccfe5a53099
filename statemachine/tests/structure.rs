//! Every state can be reached, leads somewhere and comes to an end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use migration::Phase;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use statemachine::walk::{Place, Scope, State, scopes, states};
use statemachine::{ASL, definition};

#[test]
fn every_target_exists() {
    let machine = definition().unwrap();
    for scope in scopes(&machine) {
        assert!(scope.states.contains_key(scope.start_at), "{:?} starts at {:?}", scope.owner, scope.start_at);
        for state in scope.states.values() {
            for target in state.targets() {
                assert!(scope.states.contains_key(target), "{} goes to {target:?}, which is not beside it", state.name);
            }
        }
    }
}

#[test]
fn every_state_is_reachable() {
    let machine = definition().unwrap();
    for scope in scopes(&machine) {
        let all: BTreeSet<_> = scope.states.keys().copied().collect();
        let lost: Vec<_> = all.difference(&scope.reachable(scope.start_at, State::targets)).copied().collect();
        assert_eq!(lost, [""; 0], "nothing leads there, in {:?}", scope.owner);
    }
}

/// Without counting on a failure: a loop that only an error leaves has no end.
#[test]
fn every_state_has_a_way_to_an_end() {
    let machine = definition().unwrap();
    for scope in scopes(&machine) {
        for name in scope.states.keys() {
            let ends = scope.reachable(name, State::onward).into_iter().any(|reached| scope.states[reached].is_end());
            assert!(ends, "{name} never ends");
        }
    }
}

#[test]
fn every_state_has_exactly_one_way_on() {
    for state in states(&definition().unwrap()) {
        let field = |name: &str| state.value.get(name).is_some();
        let ways = [field("Next"), field("End"), field("Default"), matches!(state.kind(), "Succeed" | "Fail")];
        assert_eq!(ways.into_iter().filter(|way| *way).count(), 1, "{}", state.name);
        // A Choice without a default ends in States.NoChoiceMatched, which nothing can catch.
        assert_eq!(state.kind() == "Choice", field("Default"), "{}", state.name);
    }
}

#[test]
fn only_known_kinds_of_states_are_used() {
    for state in states(&definition().unwrap()) {
        let known = ["Task", "Map", "Parallel", "Choice", "Pass", "Wait", "Succeed", "Fail"];
        assert!(known.contains(&state.kind()), "{}: {:?}", state.name, state.kind());
    }
}

#[test]
fn names_are_unique_in_the_whole_machine() {
    let machine = definition().unwrap();
    let mut seen = BTreeMap::new();
    for scope in scopes(&machine) {
        for name in scope.states.keys() {
            assert!(name.len() <= 80, "{name}: Step Functions allows 80 characters");
            assert_eq!(seen.insert(*name, scope.owner), None, "{name} exists twice");
        }
    }
}

#[test]
fn the_readme_names_every_state() {
    let readme = include_str!("../README.md");
    let missing: Vec<_> = states(&definition().unwrap())
        .into_iter()
        .map(|state| state.name.to_owned())
        .filter(|name| !readme.contains(&format!("`{name}`")))
        .collect();
    assert_eq!(missing, [""; 0]);
}

/// A parser keeps the last of two equal keys and says nothing, so that a state could vanish.
#[test]
fn no_key_is_written_twice() {
    serde_json::from_str::<DistinctKeys>(ASL).unwrap();
    assert!(serde_json::from_str::<DistinctKeys>(r#"[{"a": {"b": 1, "b": 2}}]"#).is_err());
}

#[test]
fn every_phase_that_can_be_resumed_is_routed_and_no_other() {
    let machine = definition().unwrap();
    let top = top(&machine);
    let choices = top.states["Route"].value["Choices"].as_array().unwrap();
    let mut routed = BTreeMap::new();
    for choice in choices {
        assert_eq!(choice["Variable"], "$.phase");
        let phase: Phase = serde_json::from_value(choice["StringEquals"].clone()).unwrap();
        assert_eq!(routed.insert(phase, choice["Next"].as_str().unwrap()), None, "{phase} is routed twice");
    }
    // A failed run resumes where it failed, which is one of the others.
    let others = Phase::ALL.into_iter().filter(|phase| *phase != Phase::Failed);
    let resumed: BTreeSet<_> = others.flat_map(|phase| [phase.resumes_at(false), phase.resumes_at(true)]).collect();
    assert_eq!(routed.keys().copied().collect::<BTreeSet<_>>(), resumed);
    for (phase, target) in routed {
        let succeeds = top.states[target].kind() == "Succeed";
        assert_eq!(phase.is_terminal(), succeeds, "{phase} goes to {target}");
    }
    let default = top.states["Route"].value["Default"].as_str().unwrap();
    assert_eq!(top.states[default].kind(), "Fail");
}

/// What comes first when a migration begins anew is also the way of one without trouble.
#[test]
fn the_phases_follow_each_other() {
    let machine = definition().unwrap();
    let top = top(&machine);
    assert_eq!((top.start_at, top.states["Enter"].targets()), ("Enter", vec!["Route"]));
    let choices = top.states["Route"].value["Choices"].as_array().unwrap();
    let first = |phase: Phase| choices.iter().find(|choice| choice["StringEquals"] == phase.name());
    let first = |phase| first(phase).and_then(|choice| choice["Next"].as_str()).unwrap();
    let begun = [Phase::Precheck, Phase::TopologyCopy, Phase::Seed, Phase::Tail];
    let behind = [Phase::Cutover, Phase::AwaitingClientSwitch];
    let end = [Phase::Validating, Phase::Finalized];
    for way in [&begun[..], &behind].map(|way| way.iter().chain(&end).copied().map(first).collect::<Vec<_>>()) {
        for pair in way.windows(2) {
            assert!(
                top.reachable(pair[0], State::onward).contains(pair[1]),
                "{} does not lead to {}",
                pair[0],
                pair[1]
            );
            assert!(!top.reachable(pair[1], State::onward).contains(pair[0]), "{} leads back to {}", pair[1], pair[0]);
        }
    }
}

fn top(machine: &Value) -> Scope<'_> {
    let top = scopes(machine).into_iter().next().unwrap();
    assert_eq!(top.place, Place::Top);
    top
}

/// Any JSON whose objects have no key twice.
struct DistinctKeys;

impl<'de> Deserialize<'de> for DistinctKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for DistinctKeys {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without a key that is written twice")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut keys = BTreeSet::new();
        while let Some((key, Self)) = map.next_entry::<String, Self>()? {
            if !keys.insert(key.clone()) {
                return Err(A::Error::custom(format_args!("{key:?} is written twice")));
            }
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while let Some(Self) = seq.next_element()? {}
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
}
