//! A file that has lost its indentation: one hint in place of a problem for each line.

use super::problem::Problem;
use super::yaml::{Entry, Kind, Node};

/// What every configuration has.
const SECTIONS: [&str; 4] = ["source", "target", "backup", "evidence"];

/// The way out.
const HINT: &str = "stands beside enterprise.msk_kraft_migration and belongs below it: indent it, and what comes after it, by four \
                    spaces (enterprise: by none, msk_kraft_migration: by two)";

/// Says so when sections stand beside what they belong below.
pub(super) fn problem(root: &Node) -> Option<Problem> {
    let entries = |node: &Node| match &node.kind {
        Kind::Mapping(entries) => entries.clone(),
        _ => Vec::new(),
    };
    let outer = entries(root);
    let inner = outer.iter().filter(|entry| entry.key == "enterprise").flat_map(|entry| entries(&entry.value));
    let inner: Vec<_> = inner.collect();
    let misplaced = [outer, inner].into_iter().flatten().find(is_section)?;
    Some(Problem::at(misplaced.place, &misplaced.key, HINT))
}

fn is_section(entry: &Entry) -> bool {
    SECTIONS.contains(&entry.key.as_str())
}
