//! What is wrong with a configuration file, and where.

use std::fmt;
use std::path::Path;

use granit_parser::Marker;

/// A line and a column of the file, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

impl Place {
    /// The file's first character.
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

impl From<Marker> for Place {
    fn from(marker: Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// The field, as `source.auth.mode`; empty when the file as a whole is meant.
    pub path: String,
    /// What is wrong, and the way out. Never holds a secret.
    pub message: String,
}

impl Problem {
    /// A problem of the field `path`.
    pub(super) fn at(place: Place, path: &str, message: impl Into<String>) -> Self {
        Self { place, path: path.to_owned(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    /// `line:column: path: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place: Place { line, column }, path, message } = self;
        match path.as_str() {
            "" => write!(f, "{line}:{column}: {message}"),
            path => write!(f, "{line}:{column}: {path}: {message}"),
        }
    }
}

/// Everything that is wrong with a file, in the file's order; at least one problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub(super) Vec<Problem>);

impl Problems {
    /// The problems.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// A line for each problem, begun with the file's name as compilers do.
    pub fn in_file(&self, path: &Path) -> String {
        let lines = self.0.iter().map(|problem| format!("{}:{problem}", path.display()));
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Problems {
    /// A line for each problem.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}
