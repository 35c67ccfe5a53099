//! A YAML file as a tree whose nodes know where they stand.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, Span};

use super::problem::{Place, Problem};

/// Most nodes of a file, with aliases counted as what they name: a few lines of aliases of aliases could stand for more
/// than a machine holds.
const MOST_NODES: usize = 100_000;

/// A node of the file.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Where it begins.
    pub(super) place: Place,
    /// What it is.
    pub(super) kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// A single value, read by the type it is wanted for.
    Scalar {
        /// The value without quotes and escapes.
        text: String,
        /// Whether it was written without quotes, so that it may be a number, a boolean or nothing.
        plain: bool,
    },
    /// `[a, b]`, or lines that begin with `-`.
    Sequence(Vec<Rc<Node>>),
    /// `{a: b}`, or lines of `a: b`; entries in the file's order, repeated keys included.
    Mapping(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The key.
    pub(super) key: String,
    /// Where the key stands.
    pub(super) place: Place,
    /// The value. Shared where an alias names it.
    pub(super) value: Rc<Node>,
}

impl Node {
    /// Whether this is nothing, in one of the ways of YAML's core schema.
    pub(super) fn is_nothing(&self) -> bool {
        let null = |text: &str| matches!(text, "" | "~" | "null" | "Null" | "NULL");
        matches!(&self.kind, Kind::Scalar { text, plain: true } if null(text))
    }
}

/// Reads the one document of `text`.
///
/// # Errors
/// The first place at which it is no YAML, or something that a configuration does not need: a second document, keys that
/// are no plain text, an alias inside of what it names.
pub(super) fn parse(text: &str) -> Result<Rc<Node>, Problem> {
    let mut options = Options::default();
    options.emit_comments = false;
    let events = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader { events, anchors: HashMap::new(), nodes: 0 };
    loop {
        match reader.next()? {
            (Event::StreamStart | Event::DocumentStart(..), _) => {}
            (Event::StreamEnd, _) => return Err(Problem::at(Place::START, "", "the file is empty")),
            (event, span) => {
                let root = reader.node(event, span)?;
                return reader.end(root);
            }
        }
    }
}

struct Reader<I> {
    events: I,
    /// What anchors name, and how many nodes that is.
    anchors: HashMap<usize, (Rc<Node>, usize)>,
    /// Nodes so far.
    nodes: usize,
}

impl<'a, I: Iterator<Item = Result<(Event<'a>, Span), ScanError>>> Reader<I> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Problem> {
        match self.events.next() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(Problem::at(Place::from(*error.marker()), "", error.info())),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// The node that begins with `event`.
    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Rc<Node>, Problem> {
        let place = Place::from(span.start);
        let before = self.nodes;
        self.count(1, place)?;
        let (anchor, kind) = match event {
            Event::Scalar(text, style, anchor, _) => {
                (anchor, Kind::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain })
            }
            Event::SequenceStart(_, anchor, _) => (anchor, Kind::Sequence(self.items()?)),
            Event::MappingStart(_, anchor, _) => (anchor, Kind::Mapping(self.entries()?)),
            Event::Alias(anchor) => {
                let named = self.anchors.get(&anchor).cloned();
                let (node, nodes) = named.ok_or_else(|| Problem::at(place, "", "an alias inside of what it names"))?;
                self.count(nodes, place)?;
                return Ok(node);
            }
            _ => return Err(Problem::at(place, "", "a value is expected here")),
        };
        let node = Rc::new(Node { place, kind });
        if anchor > 0 {
            self.anchors.insert(anchor, (Rc::clone(&node), self.nodes - before));
        }
        Ok(node)
    }

    /// Counts `nodes` more, as long as there are not too many.
    fn count(&mut self, nodes: usize, place: Place) -> Result<(), Problem> {
        self.nodes += nodes;
        if self.nodes > MOST_NODES {
            return Err(Problem::at(place, "", format!("the file stands for more than {MOST_NODES} values")));
        }
        Ok(())
    }

    fn items(&mut self) -> Result<Vec<Rc<Node>>, Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, span)?),
            }
        }
    }

    fn entries(&mut self) -> Result<Vec<Entry>, Problem> {
        let (mut entries, mut merged) = (Vec::new(), Vec::new());
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => {
                    merge(&mut entries, merged);
                    return Ok(entries);
                }
                event => self.node(event, span)?,
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span)?;
            match &key.kind {
                Kind::Scalar { text, plain: true } if text == "<<" => merged.extend(mergeable(&value)?),
                Kind::Scalar { text, .. } => entries.push(Entry { key: text.clone(), place: key.place, value }),
                _ => return Err(Problem::at(key.place, "", "a key must be plain text")),
            }
        }
    }

    /// Makes sure that nothing follows `root`.
    fn end(mut self, root: Rc<Node>) -> Result<Rc<Node>, Problem> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(root),
                (Event::DocumentStart(..), span) => {
                    return Err(Problem::at(
                        Place::from(span.start),
                        "",
                        "a second document begins here: only one is read",
                    ));
                }
                _ => {}
            }
        }
    }
}

/// The entries that `<<: *anchor` or `<<: [*anchor, *another]` stands for, those of the first mapping first.
fn mergeable(value: &Node) -> Result<Vec<Entry>, Problem> {
    match &value.kind {
        Kind::Mapping(entries) => Ok(entries.clone()),
        Kind::Sequence(mappings) if mappings.iter().all(|one| matches!(one.kind, Kind::Mapping(_))) => {
            let entries: Result<Vec<_>, _> = mappings.iter().map(|mapping| mergeable(mapping)).collect();
            Ok(entries?.concat())
        }
        _ => Err(Problem::at(value.place, "", "<< wants the alias of a mapping, or a list of such aliases")),
    }
}

/// `<<` (<https://yaml.org/type/merge.html>): the entries of other mappings, unless the key is given here or by an earlier one.
fn merge(entries: &mut Vec<Entry>, merged: Vec<Entry>) {
    for entry in merged {
        if !entries.iter().any(|there| there.key == entry.key) {
            entries.push(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<Entry> {
        let Kind::Mapping(entries) = parse(text).unwrap().kind.clone() else { panic!("no mapping") };
        entries
    }

    #[test]
    fn nodes_know_their_line_and_column() {
        let entries = entries("# first\na: 1\nb: {c: x}\n");
        let places: Vec<_> = entries.iter().map(|entry| (entry.place, entry.value.place)).collect();
        let at = |line, column| Place { line, column };
        assert_eq!(places, [(at(2, 1), at(2, 4)), (at(3, 1), at(3, 4))]);
    }

    #[test]
    fn aliases_and_merges_are_followed() {
        let entries = entries("a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, x: 3}\n");
        assert!(Rc::ptr_eq(&entries[0].value, &entries[1].value));
        let Kind::Mapping(merged) = &entries[2].value.kind else { panic!("no mapping") };
        assert_eq!(merged.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["x", "y"]);
        assert!(matches!(&merged[0].value.kind, Kind::Scalar { text, .. } if text == "3"), "what is given here counts");
    }

    #[test]
    fn of_several_merged_mappings_the_first_counts() {
        let entries = entries("a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b], z: 3}\n");
        let Kind::Mapping(merged) = &entries[2].value.kind else { panic!("no mapping") };
        let text = |entry: &Entry| match &entry.value.kind {
            Kind::Scalar { text, .. } => format!("{}={text}", entry.key),
            _ => panic!("no scalar"),
        };
        assert_eq!(merged.iter().map(text).collect::<Vec<_>>(), ["z=3", "x=1", "y=2"]);
        for refused in ["a: {<<: 1}", "a: {<<: [1]}", "b: &b [1]\na: {<<: *b}"] {
            assert!(parse(refused).unwrap_err().message.starts_with("<< wants"), "{refused}");
        }
    }

    #[test]
    fn what_is_no_single_document_is_refused_with_its_place() {
        for (text, line) in
            [("", 1), ("# nothing\n", 1), ("a: 1\n---\nb: 2\n", 2), ("a: [1\nb: 2", 2), ("? [a]\n: b", 1)]
        {
            let problem = parse(text).unwrap_err();
            assert_eq!(problem.place.line, line, "{text:?}: {problem}");
        }
        assert!(parse("a: &x [*x]").is_err());
    }

    #[test]
    fn aliases_of_aliases_do_not_explode() {
        let mut text = "a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]\n".to_owned();
        for level in 1..=20 {
            let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
            text += &format!("a{level}: &a{level} [{aliases}]\n");
        }
        assert!(parse(&text).unwrap_err().message.contains("more than 100000 values"));
    }

    #[test]
    fn nothing_is_told_from_quoted_text() {
        let entries = entries("a:\nb: ~\nc: 'null'\nd: ''\n");
        assert_eq!(
            entries.iter().map(|entry| entry.value.is_nothing()).collect::<Vec<_>>(),
            [true, true, false, false]
        );
    }
}
