//! Reading a tree into a type and finding everything that is wrong with it, not only the first thing.
//!
//! Types are read by their own `Deserialize`, so there is no second description of the fields. A derived `Deserialize`
//! gives up at the first thing it cannot use. So it runs again and again: each pass leaves out what the passes before it
//! could not use, and makes up what is required and missing, until a pass gets to the end. What a made-up value leads to
//! is not believed, and nothing that was made up leaves this module unless there is a problem to report with it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use serde::de::DeserializeOwned;

use super::fault::{Fault, What};
use super::problem::{Place, Problem, Problems};
use super::value::Value;
use super::yaml::{Kind, Node};

/// What is known about a file so far.
#[derive(Debug)]
pub(super) struct Reading {
    root: Rc<Node>,
    /// Path of what the caller calls the configuration; problems name paths below it.
    prefix: &'static str,
    problems: RefCell<BTreeSet<Problem>>,
    /// Paths of values that cannot be used.
    unusable: BTreeSet<String>,
    /// Paths of values that are required and not there, or not usable.
    made_up: BTreeSet<String>,
    /// Paths of mappings with a choice that was made up: what its other fields need is not known then.
    undecided: RefCell<BTreeSet<String>>,
}

impl Reading {
    /// Begins to read the tree under `root`.
    pub(super) fn new(root: Rc<Node>, prefix: &'static str) -> Self {
        Self {
            root,
            prefix,
            problems: RefCell::default(),
            unusable: BTreeSet::new(),
            made_up: BTreeSet::new(),
            undecided: RefCell::default(),
        }
    }

    /// Reads the whole tree. `None` when not even a value with made-up parts can be had.
    pub(super) fn read<T: DeserializeOwned>(&mut self) -> Option<T> {
        loop {
            match T::deserialize(Value::root(&self.root, self)) {
                Ok(value) => return Some(value),
                Err(fault) => {
                    if !self.learn(fault) {
                        return None;
                    }
                }
            }
        }
    }

    /// Takes note of why a pass ended. Whether another pass will get further.
    fn learn(&mut self, Fault { at, what }: Fault) -> bool {
        let (place, path) = at.unwrap_or((Place::START, String::new()));
        match what {
            What::Missing(field) => {
                let field = join(&path, field);
                if !self.unusable.contains(&field) && !self.made_up.contains(&path) {
                    self.report(Problem::at(place, &field, "is required and missing"));
                }
                self.made_up.insert(field)
            }
            What::Unusable(_) if self.made_up.contains(&path) => false,
            What::Unusable(message) => {
                self.report(Problem::at(place, &path, message));
                !path.is_empty() && self.unusable.insert(path)
            }
        }
    }

    /// Takes note of a value that was found to be unusable before reading.
    pub(super) fn refuse(&mut self, problem: Problem) {
        self.unusable.insert(problem.path.clone());
        self.report(problem);
    }

    /// Takes note of a problem that does not keep the rest from being read.
    pub(super) fn report(&self, mut problem: Problem) {
        let below = problem.path.strip_prefix(self.prefix).and_then(|path| path.strip_prefix('.'));
        problem.path = below.map(str::to_owned).unwrap_or(problem.path);
        self.problems.borrow_mut().insert(problem);
    }

    /// Takes note of what a check of the read value says: the field's path, a space, and what is wrong with it. Not when it
    /// is about a value that is not in the file.
    pub(super) fn judge(&self, finding: &str) {
        let (path, message) = finding.split_once(' ').unwrap_or(("", finding));
        let path = join(self.prefix, path.trim_end_matches(':'));
        let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
        let made_up = self.made_up.contains(&path) || self.unusable.contains(&path);
        if !made_up && !self.undecided.borrow().contains(parent) {
            self.report(Problem::at(self.place(&path), &path, message));
        }
    }

    /// Where the field `path` stands: its value, else what it would be in.
    fn place(&self, path: &str) -> Place {
        let (mut node, mut place) = (&self.root, Place::START);
        for part in path.split('.') {
            let Kind::Mapping(entries) = &node.kind else { break };
            let Some(entry) = entries.iter().find(|entry| entry.key == part) else { return place };
            (node, place) = (&entry.value, entry.place);
        }
        node.place
    }

    /// `value`, unless there was a problem.
    pub(super) fn end<T>(self, value: Option<T>) -> Result<T, Problems> {
        let mut problems: Vec<_> = self.problems.into_inner().into_iter().collect();
        match value {
            Some(value) if problems.is_empty() => Ok(value),
            _ => {
                if problems.is_empty() {
                    problems.push(Problem::at(Place::START, "", "the file cannot be read"));
                }
                Err(Problems(problems))
            }
        }
    }

    /// Whether the value at `path` is to be left out.
    pub(super) fn leaves_out(&self, path: &str) -> bool {
        self.unusable.contains(path)
    }

    /// Whether a value at `path` is to be made up.
    pub(super) fn makes_up(&self, path: &str) -> bool {
        self.made_up.contains(path)
    }

    /// Takes note that the choice at `path` was made up.
    pub(super) fn guessed(&self, path: &str) {
        let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
        self.undecided.borrow_mut().insert(parent.to_owned());
    }
}

/// The path of `field` in what is at `path`.
pub(super) fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use serde::Deserialize;

    use super::super::yaml;
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Colour {
        Red,
        Blue,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Paint {
        colour: Colour,
        litres: NonZeroU64,
        #[serde(default)]
        names: Vec<String>,
        layers: Option<Box<Paint>>,
        share: Option<f64>,
    }

    fn read(text: &str) -> Result<Paint, String> {
        let mut reading = Reading::new(yaml::parse(text).map_err(|problem| problem.to_string())?, "");
        let paint = reading.read();
        reading.end(paint).map_err(|problems| problems.to_string())
    }

    #[test]
    fn types_that_the_configuration_does_not_have_yet_are_read() {
        let paint =
            read("colour: blue\nlitres: 5\nnames: [navy, '7', 7]\nlayers: {colour: red, litres: 1}\nshare: 0.5")
                .unwrap();
        assert_eq!((paint.colour, paint.names.len(), paint.share), (Colour::Blue, 3, Some(0.5)));
        assert_eq!(paint.layers.unwrap().colour, Colour::Red);
    }

    #[test]
    fn every_item_and_every_level_is_looked_at() {
        let text = "colour: green\nlitres: 0\nnames: [a, [b], {c: d}]\nlayers:\n  litres: x\n  names: a\n";
        let expected = "1:9: colour: \"green\" is not one of red, blue
2:9: litres: a nonzero u64 is expected, this is 0
3:12: names[1]: text is expected, this is a list
3:17: names[2]: text is expected, this is a mapping
4:1: layers.colour: is required and missing
5:11: layers.litres: a whole number is expected, this is text
6:10: layers.names: a list is expected, this is text";
        assert_eq!(read(text).unwrap_err(), expected);
    }

    #[test]
    fn what_depends_on_a_made_up_choice_is_not_said() {
        let mut reading = Reading::new(yaml::parse("can: {colour: green, litres: 1}").unwrap(), "");
        #[derive(Deserialize)]
        struct Shelf {
            #[allow(dead_code, reason = "only read to be judged")]
            can: Paint,
        }
        assert!(reading.read::<Shelf>().is_some());
        reading.judge("can.names are needed with red");
        reading.judge("can.litres.unit is beside the point");
        let problems = reading.end(Some(())).unwrap_err().to_string();
        assert!(!problems.contains("needed with red") && problems.contains("beside the point"), "{problems}");
    }
}
