//! From what was gathered to findings: pure functions, one for each concern.
//!
//! Codes are stable: `B` blocks, `W` warns, `I` informs. A number is never used again for something else.

mod buckets;
mod clients;
mod clusters;
mod security;
mod sizes;
mod topics;
mod unread;

use std::fmt::Display;

use migration::report::{Finding, PrecheckReport, Severity};

use crate::facts::Facts;

/// Names that a message lists before it only counts.
const NAMED: usize = 5;

/// Judges what was gathered.
pub(crate) fn judge(facts: &Facts) -> PrecheckReport {
    const RULES: [fn(&Facts) -> Vec<Finding>; 7] =
        [clusters::judge, buckets::judge, sizes::judge, topics::judge, clients::judge, security::judge, unread::judge];
    report(RULES.iter().flat_map(|rule| rule(facts)).collect())
}

/// A report of `findings` in the order in which they are shown.
pub(crate) fn report(mut findings: Vec<Finding>) -> PrecheckReport {
    findings.sort_by(|a, b| (a.severity, &a.code).cmp(&(b.severity, &b.code)));
    PrecheckReport { findings }
}

pub(crate) use buckets::cannot_store;
pub(crate) use sizes::too_small;

/// Something without which the migration cannot begin.
fn blocker(code: &str, message: impl Display, fix: impl Display) -> Finding {
    finding(Severity::Blocker, code, message, fix)
}

/// Something that somebody should know.
fn warning(code: &str, message: impl Display, fix: impl Display) -> Finding {
    finding(Severity::Warning, code, message, fix)
}

fn finding(severity: Severity, code: &str, message: impl Display, fix: impl Display) -> Finding {
    Finding { code: code.to_owned(), severity, message: message.to_string(), fix: fix.to_string() }
}

/// The first few of `names`, and how many there are besides.
fn few<T: Display>(names: impl IntoIterator<Item = T>) -> String {
    let mut names = names.into_iter();
    let mut text = names.by_ref().take(NAMED).map(|name| name.to_string()).collect::<Vec<_>>().join(", ");
    match names.count() {
        0 => {}
        more => text.push_str(&format!(" and {more} more")),
    }
    text
}

/// `1 topic`, `2 topics`.
fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_healthy_pair_of_clusters_has_no_finding() {
        assert_eq!(judge(&sample::facts()), PrecheckReport::default());
    }

    #[test]
    fn blockers_come_first_then_codes() {
        let mut facts = sample::facts();
        facts.config.cutover.reverse_replication_enabled = true;
        facts.config.backup.kms_key_arn = Some("arn:aws:kms:us-east-1:1:key/k".into());
        facts.config.target.cluster_arn = facts.config.source.cluster_arn.clone();
        assert_eq!(sample::codes(&judge(&facts).findings), ["B05", "B13", "W03"]);
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(few(["a", "b"]), "a, b");
        assert_eq!(few(1..=5), "1, 2, 3, 4, 5");
        assert_eq!(few(1..=8), "1, 2, 3, 4, 5 and 3 more");
        assert_eq!((count(1, "topic"), count(2, "topic")), ("1 topic".into(), "2 topics".into()));
    }
}
