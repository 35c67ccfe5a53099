//! A walk over every state, those inside the branches of a Parallel and the processor of a Map too.
//!
//! What a definition lacks is empty here (no name, no targets): the walk judges nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Where a set of states belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The state machine itself.
    Top,
    /// A branch of a Parallel: an error that nobody catches there fails the Parallel.
    Branch,
    /// The processor of a Map: an error that nobody catches there fails one child.
    Processor,
}

/// States that can reach each other by name.
#[derive(Debug)]
pub struct Scope<'a> {
    /// Where it belongs.
    pub place: Place,
    /// The Map or Parallel around it.
    pub owner: Option<&'a str>,
    /// The name of the first state.
    pub start_at: &'a str,
    /// The states by name.
    pub states: BTreeMap<&'a str, State<'a>>,
}

/// One state.
#[derive(Debug, Clone, Copy)]
pub struct State<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where it is.
    pub place: Place,
    /// Its definition.
    pub value: &'a Value,
}

/// Every scope of `definition`, the outermost first.
pub fn scopes(definition: &Value) -> Vec<Scope<'_>> {
    let mut found = vec![Scope::new(Place::Top, None, definition)];
    let mut next = 0;
    while next < found.len() {
        let inner: Vec<_> = found[next].states.values().flat_map(State::inner).collect();
        found.extend(inner);
        next += 1;
    }
    found
}

/// Every state of `definition`.
pub fn states(definition: &Value) -> Vec<State<'_>> {
    scopes(definition).into_iter().flat_map(|scope| scope.states.into_values()).collect()
}

impl<'a> Scope<'a> {
    fn new(place: Place, owner: Option<&'a str>, value: &'a Value) -> Self {
        let states = value["States"].as_object().into_iter().flatten();
        let states = states.map(|(name, value)| (name.as_str(), State { name, place, value })).collect();
        Self { place, owner, start_at: text(value, "StartAt"), states }
    }

    /// The names reachable from the state `from`, itself included, by the given ways on.
    pub fn reachable(&self, from: &'a str, ways: impl Fn(&State<'a>) -> Vec<&'a str>) -> BTreeSet<&'a str> {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(name) = open.pop() {
            if seen.insert(name) {
                open.extend(self.states.get(name).into_iter().flat_map(&ways));
            }
        }
        seen
    }
}

impl<'a> State<'a> {
    /// Its `Type`.
    pub fn kind(&self) -> &'a str {
        text(self.value, "Type")
    }

    /// Whether it waits until somebody answers its task token.
    pub fn is_gate(&self) -> bool {
        self.kind() == "Task" && text(self.value, "Resource").ends_with(".waitForTaskToken")
    }

    /// Whether it is a Map with one child for each batch in the manifest.
    pub fn is_over_the_manifest(&self) -> bool {
        self.kind() == "Map" && self.value.get("ItemReader").is_some()
    }

    /// Whether it can fail by what it calls: a Task, a Map or a Parallel.
    pub fn can_fail(&self) -> bool {
        matches!(self.kind(), "Task" | "Map" | "Parallel")
    }

    /// Whether nothing follows it in its scope.
    pub fn is_end(&self) -> bool {
        matches!(self.kind(), "Succeed" | "Fail") || self.value["End"] == true
    }

    /// Its `Catch` clauses, in order.
    pub fn catches(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        list(self.value, "Catch")
    }

    /// Where it goes unless it fails: `Next`, `Default` and choices.
    pub fn onward(&self) -> Vec<&'a str> {
        let choices = list(self.value, "Choices").map(|choice| text(choice, "Next"));
        let own = ["Next", "Default"].into_iter().filter_map(|field| self.value[field].as_str());
        own.chain(choices).collect()
    }

    /// Where it goes, failed or not.
    pub fn targets(&self) -> Vec<&'a str> {
        let caught = self.catches().map(|clause| text(clause, "Next"));
        self.onward().into_iter().chain(caught).collect()
    }

    /// The payload it sends to a function, if it is a Task.
    pub fn payload(&self) -> Option<&'a Value> {
        self.value.pointer("/Parameters/Payload")
    }

    /// The function it calls, as in `${<this>FunctionArn}`.
    pub fn function(&self) -> Option<&'a str> {
        let name = self.value.pointer("/Parameters/FunctionName")?.as_str()?;
        name.strip_prefix("${")?.strip_suffix("FunctionArn}")
    }

    fn inner(&self) -> Vec<Scope<'a>> {
        let branches = list(self.value, "Branches").map(|value| Scope::new(Place::Branch, Some(self.name), value));
        let processor =
            self.value.get("ItemProcessor").map(|value| Scope::new(Place::Processor, Some(self.name), value));
        branches.chain(processor).collect()
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value[field].as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finds_what_is_nested_and_where_it_is() {
        let machine = json!({"StartAt": "P", "States": {"P": {"Type": "Parallel", "End": true, "Branches": [
            {"StartAt": "M", "States": {"M": {"Type": "Map", "Next": "E", "Catch": [{"Next": "F"}], "ItemProcessor":
                {"StartAt": "T", "States": {"T": {"Type": "Task", "End": true}}}},
                "E": {"Type": "Succeed"}, "F": {"Type": "Fail"}, "Lost": {"Type": "Pass", "Next": "E"}}}]}}});
        let scopes = scopes(&machine);
        let places: Vec<_> = scopes.iter().map(|scope| (scope.place, scope.owner, scope.start_at)).collect();
        let expected = [(Place::Top, None, "P"), (Place::Branch, Some("P"), "M"), (Place::Processor, Some("M"), "T")];
        assert_eq!(places, expected);
        assert_eq!(scopes[1].reachable("M", State::targets), BTreeSet::from(["E", "F", "M"]));
        assert_eq!(scopes[1].reachable("M", State::onward), BTreeSet::from(["E", "M"]));
        assert_eq!(states(&machine).len(), 6);
    }
}
