//! Two clusters' values of one config.

use std::collections::BTreeSet;

use super::table::Meaning;
use crate::facts::{BrokerConfig, Setting};

/// The value of a side, as its brokers wrote it.
pub(super) type Shown = String;

/// The brokers of both sides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Brokers<'a> {
    pub(super) source: &'a [BrokerConfig],
    pub(super) target: &'a [BrokerConfig],
}

/// What comparing shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Equal, or better on the target.
    Fine,
    /// Worse on the target.
    Worse(Shown, Shown),
    /// It was set somewhere, and one side does not know it or the values are no values of that kind.
    Unclear(Shown, Shown),
}

impl Brokers<'_> {
    /// Compares what both sides have for `name`. Brokers of one side can differ, and a client may meet any: the worst value of
    /// the target counts, and of the source the one that lets clients do most.
    pub(super) fn compare(&self, name: &str, meaning: Meaning) -> Outcome {
        let (source, target) = (settings(self.source, name), settings(self.target, name));
        if source.is_empty() || target.is_empty() {
            return self.unclear(name);
        }
        let worse = match meaning {
            Meaning::AtLeast(_) | Meaning::AtMost => match (numbers(&source, meaning), numbers(&target, meaning)) {
                (Some(source), Some(target)) if meaning == Meaning::AtMost => target.max() > source.min(),
                (Some(source), Some(target)) => target.min() < source.max(),
                _ => return self.unclear(name),
            },
            Meaning::Same => words(&source) != words(&target),
            Meaning::Includes => !members(&source).is_subset(&common(&target)),
        };
        if worse { Outcome::Worse(shown(&source), shown(&target)) } else { Outcome::Fine }
    }

    /// As [`Brokers::compare`] for a config that nothing is known of: any difference counts that somebody has made.
    pub(super) fn unclear(&self, name: &str) -> Outcome {
        let (source, target) = (settings(self.source, name), settings(self.target, name));
        let is_set = source.iter().chain(&target).any(|setting| setting.is_set);
        // Values that both sides hide are taken for the same.
        if !is_set || words(&source) == words(&target) {
            return Outcome::Fine;
        }
        Outcome::Unclear(shown(&source), shown(&target))
    }

    /// Every name that a broker of either side has.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        self.source.iter().chain(self.target).flat_map(|broker| broker.settings.keys()).map(String::as_str).collect()
    }
}

fn settings<'a>(brokers: &'a [BrokerConfig], name: &str) -> Vec<&'a Setting> {
    brokers.iter().filter_map(|broker| broker.settings.get(name)).collect()
}

/// The smallest and the largest of some numbers.
struct Span(i64, i64);

impl Span {
    fn min(&self) -> i64 {
        self.0
    }

    fn max(&self) -> i64 {
        self.1
    }
}

/// The numbers that `settings` are, with what stands for no limit as the largest; `None` where one is no number.
fn numbers(settings: &[&Setting], meaning: Meaning) -> Option<Span> {
    let number = |setting: &&Setting| {
        let number: i64 = setting.value.as_deref()?.trim().parse().ok()?;
        Some(if meaning == Meaning::AtLeast(Some(number)) { i64::MAX } else { number })
    };
    let numbers = settings.iter().map(number).collect::<Option<Vec<_>>>()?;
    Some(Span(*numbers.iter().min()?, *numbers.iter().max()?))
}

/// Values without what does not matter in them.
fn words(settings: &[&Setting]) -> BTreeSet<String> {
    let value = |setting: &&Setting| setting.value.as_deref().map(|value| value.trim().to_lowercase());
    settings.iter().map(|setting| value(setting).unwrap_or_default()).collect()
}

/// Kafka's own assignors, which brokers before 4.0 name by class and later ones by a word (`GroupCoordinatorConfig`).
const ASSIGNORS: &str = "org.apache.kafka.coordinator.group.assignor.";

fn list(setting: &Setting) -> BTreeSet<String> {
    let value = setting.value.as_deref().unwrap_or_default();
    let parts = value.trim_matches(['[', ']']).split(',').map(|part| part.trim().to_lowercase());
    let short = |part: String| match part.strip_prefix(ASSIGNORS) {
        Some(class) => class.trim_end_matches("assignor").to_owned(),
        None => part,
    };
    parts.map(short).filter(|part| !part.is_empty()).collect()
}

/// What any of them lists.
fn members(settings: &[&Setting]) -> BTreeSet<String> {
    settings.iter().flat_map(|setting| list(setting)).collect()
}

/// What all of them list.
fn common(settings: &[&Setting]) -> BTreeSet<String> {
    let lists = settings.iter().map(|setting| list(setting));
    lists.reduce(|all, more| &all & &more).unwrap_or_default()
}

/// The values of a side, each once.
fn shown(settings: &[&Setting]) -> Shown {
    let values: BTreeSet<_> = settings.iter().map(|setting| setting.value.as_deref().unwrap_or("(hidden)")).collect();
    match values.is_empty() {
        true => "not known".to_owned(),
        false => {
            let named = values.into_iter().map(|value| if value.is_empty() { "nothing" } else { value });
            named.collect::<Vec<_>>().join(" or ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::setting;

    const NAME: &str = "some.config";

    fn brokers(values: &[&str]) -> Vec<BrokerConfig> {
        let broker = |value: &&str| BrokerConfig {
            settings: [(NAME.to_owned(), setting(value, true))].into(),
            ..BrokerConfig::default()
        };
        values.iter().map(broker).collect()
    }

    fn is_worse(source: &[&str], target: &[&str], meaning: Meaning) -> bool {
        let (source, target) = (brokers(source), brokers(target));
        match (Brokers { source: &source, target: &target }).compare(NAME, meaning) {
            Outcome::Worse(..) => true,
            Outcome::Fine => false,
            unclear => panic!("{unclear:?}"),
        }
    }

    #[test]
    fn of_limits_only_the_lower_is_worse() {
        let limit = Meaning::AtLeast(None);
        assert!(is_worse(&["60000"], &["30000"], limit));
        assert!(!is_worse(&["30000"], &["60000"], limit) && !is_worse(&["5"], &["5"], limit));
        assert!(
            is_worse(&["30000"], &["60000"], Meaning::AtMost) && !is_worse(&["60000"], &["30000"], Meaning::AtMost)
        );
    }

    #[test]
    fn no_limit_is_more_than_any() {
        let limit = Meaning::AtLeast(Some(-1));
        assert!(is_worse(&["-1"], &["600000"], limit) && !is_worse(&["600000"], &["-1"], limit));
        assert!(!is_worse(&["-1"], &["-1"], limit));
    }

    #[test]
    fn a_broker_that_differs_from_its_peers_counts() {
        let limit = Meaning::AtLeast(None);
        assert!(is_worse(&["10", "10"], &["10", "9"], limit) && is_worse(&["9", "10"], &["9", "9"], limit));
        assert!(!is_worse(&["8", "9"], &["9", "10"], limit));
        assert!(is_worse(&["5", "6"], &["5", "6"], Meaning::AtMost));
        assert!(is_worse(&["true", "true"], &["true", "false"], Meaning::Same));
    }

    #[test]
    fn words_and_lists_are_compared_by_what_they_mean() {
        assert!(!is_worse(&["TRUE "], &["true"], Meaning::Same) && is_worse(&["true"], &["false"], Meaning::Same));
        assert!(!is_worse(&["classic, consumer"], &["[consumer,classic,streams]"], Meaning::Includes));
        assert!(is_worse(&["classic,consumer"], &["classic"], Meaning::Includes));
        let by_class = "org.apache.kafka.coordinator.group.assignor.UniformAssignor";
        assert!(!is_worse(&[by_class], &["uniform,range"], Meaning::Includes));
    }

    #[test]
    fn what_one_side_does_not_know_counts_only_if_it_was_set() {
        let (source, none) = (brokers(&["7"]), Vec::new());
        let sides = Brokers { source: &source, target: &none };
        let unclear = Outcome::Unclear("7".to_owned(), "not known".to_owned());
        assert_eq!(sides.compare(NAME, Meaning::Same), unclear);
        let mut default = source.clone();
        default[0].settings.insert(NAME.to_owned(), setting("7", false));
        assert_eq!(Brokers { source: &default, ..sides }.compare(NAME, Meaning::Same), Outcome::Fine);
        assert_eq!(Brokers { source: &none, target: &source }.names(), [NAME].into());
    }
}
