//! What clients of the source would meet on the target that is otherwise: the configs of brokers.
//!
//! One table says what a difference means; a config that it does not know is named, not passed over.

mod compare;
mod table;

use migration::report::Finding;

use compare::{Brokers, Outcome};
use table::{Class, JUDGED, Judged, Known, known};

use super::finding::{count, few, finding};
use crate::facts::Facts;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let Some(brokers) = both(facts) else { return Vec::new() };
    let classes = [Class::Refused, Class::Forgotten, Class::NewTopics];
    classes.into_iter().filter_map(|class| differing(facts, brokers, class)).chain(not_judged(brokers)).collect()
}

/// The brokers of both sides, unless they are the same ones.
fn both(facts: &Facts) -> Option<Brokers<'_>> {
    let (leaving, arriving) = (facts.leaving.as_ref()?, facts.arriving.as_ref()?);
    let (source, target) = (leaving.brokers.as_ref().ok()?, arriving.brokers.as_ref().ok()?);
    (!facts.is_one_cluster()).then_some(Brokers { source, target })
}

fn differing(facts: &Facts, brokers: Brokers<'_>, class: Class) -> Option<Finding> {
    let of_class = JUDGED.iter().filter(|judged| judged.class == class);
    let worse: Vec<_> = of_class.filter_map(|judged| Some((judged, worse(brokers, judged)?))).collect();
    if worse.is_empty() {
        return None;
    }
    let (code, what) = match class {
        Class::Refused => ("W24", "the target's brokers treat clients otherwise than the source's"),
        Class::Forgotten => ("W25", "the target's brokers keep less for clients than the source's"),
        Class::NewTopics => ("W26", "topics that are created later are others on the target"),
    };
    let texts: Vec<_> = worse.iter().map(|(_, text)| text).collect();
    let seen: Vec<_> = worse.iter().map(|(judged, _)| format!("{}: {}", judged.name, judged.seen)).collect();
    Some(
        finding(code, "target")
            .found(format_args!("{what}, by {}: {}", count(worse.len(), "config"), few(&texts)))
            .of(texts)
            .because(seen.join("; "))
            .fix(revise(facts)),
    )
}

fn worse(brokers: Brokers<'_>, judged: &Judged) -> Option<String> {
    match brokers.compare(judged.name, judged.meaning) {
        Outcome::Worse(source, target) => Some(told(judged.name, &source, &target)),
        Outcome::Fine | Outcome::Unclear(..) => None,
    }
}

fn told(name: &str, source: &str, target: &str) -> String {
    format!("{name} ({source} on the source, {target} on the target)")
}

fn revise(facts: &Facts) -> String {
    let target = &facts.config.target;
    format!(
        "give the target the source's values in a new revision of its MSK configuration, then `aws kafka \
         update-cluster-configuration --cluster-arn {} --region {} --current-version {} --configuration-info \
         '{{\"Arn\":\"<configuration ARN>\",\"Revision\":<n>}}'`, or see that no client depends on them",
        target.cluster_arn,
        target.region(),
        facts.target.current_version()
    )
}

/// Configs that differ and of which nobody has said what that means.
fn not_judged(brokers: Brokers<'_>) -> Option<Finding> {
    let unclear = |name: &str| {
        let outcome = match known(name) {
            Known::Judged(judged) => brokers.compare(name, judged.meaning),
            Known::Elsewhere => Outcome::Fine,
            Known::Nothing => brokers.unclear(name),
        };
        match outcome {
            Outcome::Unclear(source, target) => Some(told(name, &source, &target)),
            Outcome::Fine | Outcome::Worse(..) => None,
        }
    };
    let differing: Vec<_> = brokers.names().into_iter().filter_map(unclear).collect();
    (!differing.is_empty()).then(|| {
        finding("I05", "source and target")
            .found(format_args!(
                "{} of brokers differ and were not judged: {}",
                count(differing.len(), "config"),
                few(&differing)
            ))
            .of(&differing)
            .because("somebody has set them, and this version does not know what they mean to clients")
            .fix("look whether clients or data depend on them")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, codes, facts, one, set};

    fn on_target(name: &str, value: &str) -> Facts {
        let mut facts = facts();
        set(&mut sample::arriving(&mut facts).brokers, name, value);
        facts
    }

    #[test]
    fn nothing_is_wrong_with_the_sample() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn w24_lower_limits_that_clients_meet() {
        let mut facts = on_target("transaction.max.timeout.ms", "60000");
        set(&mut sample::arriving(&mut facts).brokers, "group.max.session.timeout.ms", "30000");
        let finding = one(judge(&facts), "W24");
        assert_eq!(
            finding.message,
            "the target's brokers treat clients otherwise than the source's, by 2 configs: transaction.max.timeout.ms (900000 \
             on the source, 60000 on the target), group.max.session.timeout.ms (1800000 on the source, 30000 on the target)"
        );
        assert!(
            finding.cause.contains("45000") && finding.cause.contains("INVALID_SESSION_TIMEOUT"),
            "{}",
            finding.cause
        );
        assert!(finding.cause.contains("INVALID_TRANSACTION_TIMEOUT"), "{}", finding.cause);
        assert_eq!(finding.resources.len(), 2);
    }

    #[test]
    fn w24_of_one_broker_alone() {
        let mut facts = facts();
        let brokers = sample::arriving(&mut facts).brokers.as_mut().unwrap();
        brokers[1].settings.insert("group.min.session.timeout.ms".to_owned(), sample::setting("10000", true));
        let finding = one(judge(&facts), "W24");
        assert!(finding.message.contains("(6000 on the source, 10000 or 6000 on the target)"), "{}", finding.message);
    }

    #[test]
    fn w25_what_the_target_forgets_sooner() {
        let mut facts = on_target("offsets.retention.minutes", "60");
        assert_eq!(codes(&judge(&facts)), ["I05"], "one side does not tell");
        set(&mut sample::leaving(&mut facts).brokers, "offsets.retention.minutes", "10080");
        assert!(one(judge(&facts), "W25").cause.contains("auto.offset.reset"));
    }

    #[test]
    fn w26_topics_that_come_later() {
        let finding = one(judge(&on_target("auto.create.topics.enable", "false")), "W26");
        assert!(finding.message.contains("auto.create.topics.enable (true on the source, false on the target)"));
    }

    #[test]
    fn i05_what_the_table_does_not_know() {
        let finding = one(judge(&on_target("some.new.limit", "7")), "I05");
        assert!(finding.message.contains("some.new.limit (not known on the source, 7 on the target)"));
    }

    #[test]
    fn more_than_the_source_has_is_harmless_and_what_is_compared_elsewhere_is_not_repeated() {
        let mut facts = on_target("transaction.max.timeout.ms", "3600000");
        for (name, value) in [("log.retention.hours", "1"), ("advertised.listeners", "x"), ("super.users", "User:a")] {
            set(&mut sample::arriving(&mut facts).brokers, name, value);
        }
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn nothing_is_compared_with_itself_or_with_what_could_not_be_read() {
        let mut facts = on_target("transaction.max.timeout.ms", "1");
        facts.config.target.cluster_arn = facts.config.source.cluster_arn.clone();
        assert!(judge(&facts).is_empty());
        let mut facts = on_target("transaction.max.timeout.ms", "1");
        sample::leaving(&mut facts).brokers = Err(migration::Error::blocked("denied"));
        assert!(judge(&facts).is_empty(), "W04 says it");
    }
}
