//! What could not be read, so that nobody takes the silence of the other rules for an all-clear.

use std::fmt::Display;

use migration::Error;
use migration::config::AuthMode;
use migration::report::Finding;

use super::finding::{count, few, finding};
use crate::facts::{Facts, Leaving, Partly, Permitted};

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    [msk(facts), source(facts), target(facts), buckets(facts)].into_iter().flatten().collect()
}

/// The finding: what could not be read, why, and which codes were not checked for that.
fn unread(subject: &str, what: impl Display, error: &str, codes: &str) -> Finding {
    let fix = "allow the precheck function to read it, or check it yourself before starting";
    unread_fixed_by(subject, what, error, codes, fix)
}

fn unread_fixed_by(subject: &str, what: impl Display, error: &str, codes: &str, fix: impl Display) -> Finding {
    finding("W13", subject)
        .found(format_args!("{what} could not be read, so {codes} could not be checked: {error}"))
        .because("no finding with these codes does not mean that all is well")
        .fix(fix)
}

/// The same for what a `Result` holds.
fn failed<T, E: Display>(subject: &str, what: &str, outcome: &Result<T, E>, codes: &str) -> Option<Finding> {
    outcome.as_ref().err().map(|error| unread(subject, what, &error.to_string(), codes))
}

fn msk(facts: &Facts) -> Vec<Finding> {
    let describe = |side: &str, error: &Error, codes: &str| {
        let what = format!("the MSK API's description of the {side}");
        let fix = format!(
            "correct {side}.cluster_arn if there is no such cluster, else allow the functions kafka:DescribeClusterV2 on it"
        );
        unread_fixed_by(side, what, &error.message, codes, fix)
    };
    let source = facts.source.described.as_ref().err().map(|error| describe("source", error, "B02 and I02"));
    let target =
        facts.target.described.as_ref().err().map(|error| describe("target", error, "B02, B06, B20, W19 and W23"));
    source.into_iter().chain(target).collect()
}

fn source(facts: &Facts) -> Vec<Finding> {
    let Some(leaving) = &facts.leaving else { return Vec::new() };
    let transactions = leaving.transactions.as_ref();
    let iam = facts.config.source.auth.mode == AuthMode::Iam;
    let reached = facts.source.reached.as_ref().ok();
    let findings = [
        reached.and_then(|reached| {
            failed("source", "whether topics are hidden on the source", &reached.hidden, "B18, W06 and W20")
        }),
        reached.and_then(|reached| {
            let moving = &reached.replication.moving;
            failed("source", "which of the source's replicas are being moved", moving, "W29")
        }),
        reached.and_then(|reached| failed("source", "what requests the source serves", &reached.served, "W28")),
        failed("source", "the source's groups", &leaving.groups, "W05 and W11"),
        part("source", &leaving.static_members, "group", "members of", "W05"),
        failed("source", "the source's ACLs", &leaving.acls, "W09 and W27"),
        part("source", &leaving.configs, "topic", "configs of", "B17, B19, W07, W10, W14, W15 and W30"),
        failed("source", "the sizes of the source's topics", &leaving.sizes, "B17, W15, W16 and W23"),
        unsized_partitions(leaving),
        tiered(leaving),
        part("source", &leaving.logs, "partition", "log starts and ends of", "B17"),
        part("source", &leaving.sample, "partition", "the first records of", "B17"),
        failed("source", "the source's client quotas", &leaving.quotas, "W16"),
        transactions.and_then(|all| failed("source", "the source's transactional ids", &all.producers, "W06 and W20")),
        transactions.and_then(|all| failed("source", "the source's open transactions", &all.open, "W06 and W20")),
        permitted("source", &leaving.permitted).filter(|_| !iam),
        part("source", &leaving.permitted.groups, "group", "permissions on the source for", "B18").filter(|_| !iam),
    ];
    findings.into_iter().flatten().collect()
}

/// Partitions with records whose size no broker told: a leader that moved, or a disk that is offline.
fn unsized_partitions(leaving: &Leaving) -> Option<Finding> {
    let sizes = leaving.sizes.as_ref().ok()?;
    let silent =
        leaving.logs.known.iter().filter(|(partition, log)| !log.is_empty() && !sizes.contains_key(*partition));
    let silent: Vec<_> = silent.map(|(partition, _)| partition).collect();
    let what = format!("the sizes of {} with records ({})", count(silent.len(), "partition"), few(&silent));
    (!silent.is_empty()).then(|| unread("source", what, "no broker told them", "B17, W15, W16 and W23"))
}

/// What of topics is not on the brokers' disks.
fn tiered(leaving: &Leaving) -> Option<Finding> {
    let tiered: Vec<_> =
        leaving.configs.known.iter().filter(|(_, config)| config.tiered).map(|(name, _)| name).collect();
    let what = format!("the sizes in tiered storage of {} ({})", count(tiered.len(), "topic"), few(&tiered));
    let why = "brokers tell what is on their disks; the copy reads, and puts on the target's disks, everything";
    (!tiered.is_empty()).then(|| unread("source", what, why, "W15, W16 and W23"))
}

fn target(facts: &Facts) -> Vec<Finding> {
    let Some(arriving) = &facts.arriving else { return Vec::new() };
    let passing = arriving.refused.values().filter(|error| error.is_retryable());
    let untried = passing.clone().next().map(|error| {
        let what = format!("whether the target would create {}", count(passing.count(), "topic"));
        unread("target", what, &error.to_string(), "B18 and B19")
    });
    let iam = facts.config.target.auth.mode == AuthMode::Iam;
    let served = facts.target.reached.as_ref().ok().map(|reached| &reached.served);
    let findings = [
        served.and_then(|served| failed("target", "what requests the target serves", served, "W28")),
        failed("target", "the target's groups", &arriving.active_groups, "W11"),
        part("target", &arriving.ends, "partition", "end offsets on the target of", "B14"),
        failed("target", "the target's ACLs", &arriving.acls, "W21 and W27").filter(|_| !iam),
        failed("target", "the target's client quotas", &arriving.quotas, "W16"),
        permitted("target", &arriving.permitted).filter(|_| !iam),
        part("target", &arriving.permitted.groups, "group", "permissions on the target for", "B18").filter(|_| !iam),
        untried,
    ];
    findings.into_iter().flatten().collect()
}

/// A broker that does not tell is as good as one that cannot be asked.
fn permitted(side: &str, permitted: &Permitted) -> Option<Finding> {
    let what = format!("what the functions may do on the {side}");
    match (&permitted.cluster, &permitted.topics) {
        (Err(error), _) | (_, Err(error)) => Some(unread(side, what, &error.message, "B18")),
        (Ok(None), Ok(_)) => Some(unread(side, what, "its brokers do not tell (KIP-430)", "B18")),
        (Ok(Some(_)), Ok(_)) => None,
    }
}

fn buckets(facts: &Facts) -> Vec<Finding> {
    let backup = facts.backup.reachable.is_ok().then_some(&facts.backup);
    let evidence = facts.evidence.reachable.is_ok().then_some(&facts.evidence);
    let findings = [
        backup.and_then(|bucket| failed("backup", "the backup bucket's Object Lock", &bucket.lock, "W18")),
        evidence
            .and_then(|bucket| failed("evidence", "the evidence bucket's Object Lock", &bucket.lock, "B08 and W18")),
        evidence.and_then(|bucket| failed("evidence", "the evidence bucket's versioning", &bucket.versioned, "I04")),
        evidence.and_then(|bucket| failed("evidence", "the evidence bucket's encryption", &bucket.default_key, "W22")),
    ];
    findings.into_iter().flatten().collect()
}

fn part<T>(side: &str, partly: &Partly<T>, noun: &str, what: &str, codes: &str) -> Option<Finding> {
    let (number, error) = partly.missing.as_ref()?;
    Some(unread(side, format_args!("{what} {}", count(*number, noun)), &error.message, codes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Transactions;
    use crate::sample::{self, facts, one};

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
    fn w13_what_lies_in_tiered_storage() {
        let mut facts = sample::facts();
        sample::leaving(&mut facts).configs.known.get_mut("orders").unwrap().tiered = true;
        let finding = one(judge(&facts), "W13");
        assert!(finding.message.starts_with("the sizes in tiered storage of 1 topic (orders) could not be read"));
    }

    #[test]
    fn w13_the_msk_api() {
        let mut facts = facts();
        facts.source.described = Err(denied());
        facts.target.described = Err(denied());
        let messages = messages(&facts);
        assert_eq!(messages.len(), 2);
        assert!(
            messages[1]
                .contains("target could not be read, so B02, B06, B20, W19 and W23 could not be checked: denied")
        );
    }

    #[test]
    fn w13_each_part_of_the_source() {
        let mut facts = facts();
        sample::source(&mut facts).hidden = Err(denied());
        let leaving = sample::leaving(&mut facts);
        leaving.groups = Err(denied());
        leaving.static_members.missing = Some((2, denied()));
        leaving.acls = Err(denied());
        leaving.configs.missing = Some((1, denied()));
        leaving.sizes = Err(denied());
        leaving.sample.missing = Some((1, denied()));
        leaving.quotas = Err(denied());
        leaving.transactions = Some(Transactions { producers: Err(denied()), open: Err(denied()) });
        leaving.permitted.cluster = Ok(None);
        let messages = messages(&facts);
        assert_eq!(messages.len(), 11);
        assert!(
            messages[0].starts_with("whether topics are hidden on the source could not be read, so B18, W06 and W20")
        );
        assert!(messages[2].starts_with("members of 2 groups could not be read, so W05"));
        assert!(messages[10].ends_with("its brokers do not tell (KIP-430)"));
    }

    #[test]
    fn w13_what_both_sides_serve_and_what_is_being_moved() {
        let mut facts = facts();
        sample::source(&mut facts).replication.moving = Err(denied());
        sample::source(&mut facts).served = Err(denied());
        sample::target(&mut facts).served = Err(denied());
        let messages = messages(&facts);
        assert!(messages[0].starts_with("which of the source's replicas are being moved could not be read, so W29"));
        assert!(messages[2].starts_with("what requests the target serves could not be read, so W28"));
        assert_eq!(messages.len(), 3);
    }

    #[test]
    fn w13_logs_whose_size_or_ends_nobody_told() {
        let mut facts = facts();
        let leaving = sample::leaving(&mut facts);
        let orders = |partition| migration::TopicPartition::new("orders", partition);
        leaving.logs.known = [(orders(0), 0..9), (orders(1), 0..9), (orders(2), 9..9)].into();
        leaving.logs.missing = Some((3, denied()));
        let messages = messages(&facts);
        assert!(messages[0].starts_with("the sizes of 1 partition with records (orders/1) could not be read, so B17"));
        assert!(messages[1].starts_with("log starts and ends of 3 partitions could not be read, so B17"));
        assert_eq!(messages.len(), 2);
    }

    #[test]
    fn w13_each_part_of_the_target() {
        let mut facts = facts();
        let arriving = sample::arriving(&mut facts);
        arriving.active_groups = Err(denied());
        arriving.ends.missing = Some((3, denied()));
        arriving.acls = Err(denied());
        arriving.quotas = Err(denied());
        arriving.permitted.topics = Err(denied());
        arriving.permitted.groups.missing = Some((1, denied()));
        let unreachable = kafka::Error::Unreachable { message: "down".to_owned() };
        arriving.refused = [("a".into(), unreachable.clone()), ("b".into(), unreachable)].into();
        let messages = messages(&facts);
        assert_eq!(messages.len(), 7);
        assert!(messages[1].starts_with("end offsets on the target of 3 partitions"));
        assert!(messages[6].starts_with("whether the target would create 2 topics could not be read, so B18 and B19"));
    }

    #[test]
    fn w13_permissions_are_nothing_with_iam() {
        let mut facts = facts();
        facts.config.target.auth.mode = AuthMode::Iam;
        sample::arriving(&mut facts).permitted.cluster = Err(denied());
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn w13_buckets() {
        let mut facts = facts();
        facts.backup.lock = Err(denied());
        facts.evidence.lock = Err(denied());
        facts.evidence.versioned = Err(denied());
        facts.evidence.default_key = Err(denied());
        assert_eq!(messages(&facts).len(), 4);
        // Of a bucket that cannot be used at all nothing more is to be said.
        facts.evidence.reachable = Err(Error::blocked("gone"));
        assert_eq!(messages(&facts).len(), 1);
    }
}
