//! What could not be read, so that nobody takes the silence of the other rules for an all-clear.

use migration::Error;
use migration::report::Finding;

use super::{count, warning};
use crate::facts::{Facts, Partly};

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    [msk(facts), source(facts), target(facts), object_lock(facts)].into_iter().flatten().collect()
}

/// The finding: what could not be read, why, and which codes were not checked for that.
fn unread(what: impl std::fmt::Display, error: &Error, codes: &str) -> Finding {
    warning(
        "W13",
        format_args!("{what} could not be read, so {codes} could not be checked: {}", error.message),
        "allow the precheck function to read it, or check it yourself before starting",
    )
}

fn msk(facts: &Facts) -> Vec<Finding> {
    let source = facts.source.described.as_ref().err();
    let target = facts.target.described.as_ref().err();
    let fix = |side: &str| {
        format!(
            "correct {side}.cluster_arn if there is no such cluster, else allow the functions kafka:DescribeClusterV2 on it"
        )
    };
    let source = source
        .map(|error| Finding { fix: fix("source"), ..unread("the MSK API's description of the source", error, "B02") });
    let target = target.map(|error| Finding {
        fix: fix("target"),
        ..unread("the MSK API's description of the target", error, "B02 and B06")
    });
    source.into_iter().chain(target).collect()
}

fn source(facts: &Facts) -> Vec<Finding> {
    let Some(leaving) = &facts.leaving else { return Vec::new() };
    let findings = [
        leaving.groups.as_ref().err().map(|error| unread("the source's groups", error, "W05 and W11")),
        part(&leaving.static_members, "group", "members of", "W05"),
        leaving.acls.as_ref().err().map(|error| unread("the source's ACLs", error, "W09")),
        part(&leaving.configs, "topic", "configs of", "W07 and W10"),
    ];
    findings.into_iter().flatten().collect()
}

fn target(facts: &Facts) -> Vec<Finding> {
    let Some(arriving) = &facts.arriving else { return Vec::new() };
    let groups = arriving.active_groups.as_ref().err();
    let findings = [
        groups.map(|error| unread("the target's groups", error, "W11")),
        part(&arriving.ends, "partition", "end offsets on the target of", "B14"),
    ];
    findings.into_iter().flatten().collect()
}

fn object_lock(facts: &Facts) -> Vec<Finding> {
    let error = facts.evidence.object_lock.as_ref().and_then(|locked| locked.as_ref().err());
    error.map(|error| unread("the evidence bucket's Object Lock", error, "B08")).into_iter().collect()
}

fn part<T>(partly: &Partly<T>, noun: &str, what: &str, codes: &str) -> Option<Finding> {
    let (number, error) = partly.missing.as_ref()?;
    Some(unread(format_args!("{what} {}", count(*number, noun)), error, codes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, facts};

    fn messages(facts: &Facts) -> Vec<String> {
        let findings = judge(facts);
        assert!(findings.iter().all(|finding| finding.code == "W13"));
        findings.into_iter().map(|finding| finding.message).collect()
    }

    fn denied() -> Error {
        Error::blocked("denied")
    }

    #[test]
    fn everything_of_the_sample_was_read() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn w13_the_msk_api() {
        let mut facts = facts();
        facts.source.described = Err(denied());
        facts.target.described = Err(denied());
        let messages = messages(&facts);
        assert_eq!(messages.len(), 2);
        assert!(messages[1].contains("target could not be read, so B02 and B06 could not be checked: denied"));
    }

    #[test]
    fn w13_each_part_of_the_clusters() {
        let mut facts = facts();
        let leaving = sample::leaving(&mut facts);
        leaving.groups = Err(denied());
        leaving.static_members.missing = Some((2, denied()));
        leaving.acls = Err(denied());
        leaving.configs.missing = Some((1, denied()));
        let arriving = sample::arriving(&mut facts);
        arriving.active_groups = Err(denied());
        arriving.ends.missing = Some((3, denied()));
        let messages = messages(&facts);
        assert_eq!(messages.len(), 6);
        assert!(messages[1].starts_with("members of 2 groups could not be read, so W05"));
        assert!(messages[5].starts_with("end offsets on the target of 3 partitions"));
    }

    #[test]
    fn w13_object_lock() {
        let mut facts = facts();
        facts.evidence.object_lock = Some(Err(denied()));
        assert!(messages(&facts)[0].contains("Object Lock"));
    }
}
