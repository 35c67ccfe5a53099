//! What differs between two rehearsals, as far as it matters to whoever approved the first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use documents::rehearsal::{Finding, Rehearsal, Weight};

use super::findings::code;

/// One line for each difference: findings that are new, groups that changed sides, and settings that the target would get
/// otherwise. Offsets, lags and times differ always, and do not count.
pub fn differences(before: &Rehearsal, now: &Rehearsal) -> Vec<String> {
    let mut lines = Vec::new();
    let known: BTreeSet<_> = before.findings.iter().map(identity).collect();
    let counts = |finding: &&Finding| match finding.weight {
        Weight::Blocker => true,
        Weight::Warning => !code::PASSING.contains(&finding.code.as_str()),
        Weight::Info => false,
    };
    let new = now.findings.iter().filter(|finding| counts(finding) && !known.contains(&identity(finding)));
    lines.extend(new.map(|finding| {
        let weight = if finding.weight == Weight::Blocker { "blocker" } else { "warning" };
        format!("new {weight} {} {}: {}", finding.code, finding.subject, finding.message)
    }));
    let skipped = |rehearsal: &Rehearsal| -> BTreeMap<String, Option<String>> {
        rehearsal.groups.iter().map(|group| (group.group.clone(), group.skipped.clone())).collect()
    };
    let was = skipped(before);
    for (group, is) in skipped(now) {
        match was.get(&group) {
            None if is.is_none() => lines.push(format!("group {group} is new")),
            Some(None) => lines.extend(is.map(|reason| format!("group {group} is no longer brought over: {reason}"))),
            Some(Some(_)) if is.is_none() => lines.push(format!("group {group} is brought over now")),
            _ => {}
        }
    }
    changed(&mut lines, "configs of topic", &before.settings.configs, &now.settings.configs);
    let by_entity = |rehearsal: &Rehearsal| -> BTreeMap<String, String> {
        let quotas = rehearsal.settings.quotas.iter();
        quotas.map(|quota| (format!("{:?}", quota.entity), format!("{:?}", quota.limits))).collect()
    };
    changed(&mut lines, "quotas of", &by_entity(before), &by_entity(now));
    let acls = |rehearsal: &Rehearsal| -> BTreeMap<String, ()> {
        rehearsal.settings.acls.iter().map(|acl| (acl.to_string(), ())).collect()
    };
    changed(&mut lines, "ACL", &acls(before), &acls(now));
    lines
}

/// What makes a finding the same one. Its words hold numbers that change; they count where it names nothing else.
fn identity(finding: &Finding) -> (Weight, &str, &str) {
    let subject = if finding.subject.is_empty() { &finding.message } else { &finding.subject };
    (finding.weight, &finding.code, subject)
}

fn changed<K: Ord + ToString, V: PartialEq + Debug>(
    lines: &mut Vec<String>,
    what: &str,
    before: &BTreeMap<K, V>,
    now: &BTreeMap<K, V>,
) {
    let names: BTreeSet<_> = before.keys().chain(now.keys()).collect();
    for name in names {
        let line = match (before.get(name), now.get(name)) {
            (Some(was), Some(is)) if was == is => continue,
            (None, _) => "would be added",
            (_, None) => "would not be added any more",
            _ => "would be otherwise",
        };
        lines.push(format!("{what} {} {line}", name.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_rehearsal::rehearsal;
    use documents::rehearsal::RehearsedGroup;

    fn group(name: &str, skipped: Option<&str>) -> RehearsedGroup {
        RehearsedGroup { group: name.to_owned(), skipped: skipped.map(str::to_owned), offsets: 1, bytes: 1 }
    }

    #[test]
    fn what_matters_differs_and_what_always_differs_does_not() {
        let mut before = rehearsal();
        before.groups = vec![group("a", None), group("b", None), group("c", Some("why"))];
        let mut now = before.clone();
        (now.id, now.lag.total) = ("later".to_owned(), 99);
        now.groups[0].offsets = 7;
        assert!(differences(&before, &now).is_empty());

        now.groups = vec![group("a", None), group("b", Some("active")), group("c", None), group("d", None)];
        now.settings.configs.insert("t".into(), [("retention.ms".to_owned(), "1".to_owned())].into());
        let finding = |weight, code: &str| Finding {
            weight,
            code: code.to_owned(),
            subject: "t/0".to_owned(),
            message: "m".to_owned(),
            way_out: String::new(),
        };
        now.findings = vec![
            finding(Weight::Blocker, "cutover.x"),
            finding(Weight::Info, "cutover.y"),
            finding(Weight::Warning, code::OPEN_TRANSACTION),
        ];
        assert_eq!(
            differences(&before, &now),
            [
                "new blocker cutover.x t/0: m",
                "group b is no longer brought over: active",
                "group c is brought over now",
                "group d is new",
                "configs of topic t would be added",
            ]
        );
    }
}
