//! The one way in which rules make findings, and the words that messages share.

use std::fmt::Display;

use migration::report::{Finding, Severity};

/// Names that a message lists before it only counts.
const NAMED: usize = 5;

/// Names that a finding has beside its message: a report has to fit into the 6 MB of a function's answer.
const MOST_NAMES: usize = 5_000;

/// A finding that has yet to say what was found, why it matters and what to do: in this order.
#[derive(Debug)]
pub(super) struct Draft(Finding);

/// Begins a finding about `subject`. The letter of its code says how much it matters.
pub(super) fn finding(code: &str, subject: &str) -> Draft {
    let severity = match code.as_bytes().first() {
        Some(b'B') => Severity::Blocker,
        Some(b'W') => Severity::Warning,
        _ => Severity::Info,
    };
    let (code, subject) = (code.to_owned(), subject.to_owned());
    Draft(Finding {
        code,
        severity,
        subject,
        message: String::new(),
        cause: String::new(),
        fix: String::new(),
        resources: Vec::new(),
    })
}

impl Draft {
    /// What was found.
    pub(super) fn found(mut self, message: impl Display) -> Self {
        self.0.message = message.to_string();
        self
    }

    /// All that it is about, of which the message names a few.
    pub(super) fn of<T: Display>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.0.resources = names.into_iter().take(MOST_NAMES).map(|name| name.to_string()).collect();
        self
    }

    /// Why it matters.
    pub(super) fn because(mut self, cause: impl Display) -> Self {
        self.0.cause = cause.to_string();
        self
    }

    /// What to do about it.
    pub(super) fn fix(mut self, fix: impl Display) -> Finding {
        self.0.fix = fix.to_string();
        self.0
    }
}

/// The first few of `names`, and how many there are besides.
pub(crate) fn few<T: Display>(names: impl IntoIterator<Item = T>) -> String {
    let mut names = names.into_iter();
    let mut text = names.by_ref().take(NAMED).map(|name| name.to_string()).collect::<Vec<_>>().join(", ");
    match names.count() {
        0 => {}
        more => text.push_str(&format!(" and {more} more")),
    }
    text
}

/// `1 topic`, `2 topics`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_says_how_much_it_matters() {
        let severity = |code| finding(code, "source").found("f").because("b").fix("x").severity;
        assert_eq!(
            [severity("B02"), severity("W01"), severity("I01")],
            [Severity::Blocker, Severity::Warning, Severity::Info]
        );
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(few(["a", "b"]), "a, b");
        assert_eq!(few(1..=5), "1, 2, 3, 4, 5");
        assert_eq!(few(1..=8), "1, 2, 3, 4, 5 and 3 more");
        assert_eq!((count(1, "topic"), count(2, "topic")), ("1 topic".into(), "2 topics".into()));
    }
}
