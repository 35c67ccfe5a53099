//! The rules, and which of them a fence needs.

use std::collections::BTreeSet;
use std::sync::Arc;

use documents::FenceRules;
use kafka::{AclBinding, AclOperation, AclPermission, AclResource, PatternType};

/// The name that stands for every principal, of every type, and for every host.
const EVERYBODY: &str = "User:*";
const EVERYWHERE: &str = "*";

/// The rule that denies Write on `topic` to everybody. Idempotent and transactional producers need that permission too, and no other
/// one on a topic.
pub fn deny(topic: &str) -> AclBinding {
    AclBinding {
        resource: AclResource::Topic,
        name: topic.to_owned(),
        pattern: PatternType::Literal,
        principal: EVERYBODY.to_owned(),
        host: EVERYWHERE.to_owned(),
        operation: AclOperation::Write,
        permission: AclPermission::Deny,
    }
}

/// The rule beside it on a topic that was open: everybody may do what is not denied, as before.
pub fn allow(topic: &str) -> AclBinding {
    AclBinding { operation: AclOperation::All, permission: AclPermission::Allow, ..deny(topic) }
}

/// The rules of a fence, topic by topic and what allows first.
pub fn own(rules: &FenceRules) -> impl Iterator<Item = AclBinding> {
    topics(rules).flat_map(|topic| of_topic(rules, topic))
}

/// Topics of one request: a broker in ZooKeeper mode changes their rules one topic after another before it answers.
const PART: usize = 250;

/// The rules of a fence in parts of one request each, in the order in which they are set; they are removed in the other one.
///
/// Both rules of a topic are in one part. A broker in ZooKeeper mode from 2.4 on changes the rules of one topic at once
/// (`AclAuthorizer.updateResourceAcls`), so that nobody meets one of them alone, whoever else sets or removes them meanwhile. An older
/// one goes by their order.
pub fn parts(rules: &FenceRules) -> Vec<Vec<AclBinding>> {
    let topics: Vec<_> = topics(rules).collect();
    topics.chunks(PART).map(|part| part.iter().flat_map(|topic| of_topic(rules, topic)).collect()).collect()
}

fn topics(rules: &FenceRules) -> impl Iterator<Item = &String> {
    rules.denied.union(&rules.allowed)
}

fn of_topic(rules: &FenceRules, topic: &str) -> impl Iterator<Item = AclBinding> + use<> {
    let allows = rules.allowed.contains(topic).then(|| allow(topic));
    let denies = rules.denied.contains(topic).then(|| deny(topic));
    allows.into_iter().chain(denies)
}

/// What is on the source, as far as a fence is concerned.
#[derive(Debug)]
pub struct Found {
    /// Topics with a rule that denies like ours.
    denied: BTreeSet<String>,
    /// Topics with a rule of their own.
    literal: BTreeSet<String>,
    prefixes: Vec<String>,
    everything: bool,
}

impl Found {
    /// Looks through all `rules` of the cluster, those of an `earlier` fence of ours apart.
    pub fn new(rules: &[AclBinding], earlier: &FenceRules) -> Self {
        let ours: BTreeSet<_> = own(earlier).collect();
        let mut found =
            Self { denied: BTreeSet::new(), literal: BTreeSet::new(), prefixes: Vec::new(), everything: false };
        for rule in rules.iter().filter(|rule| rule.resource == AclResource::Topic && !ours.contains(*rule)) {
            if *rule == deny(&rule.name) {
                found.denied.insert(rule.name.clone());
            }
            match rule.pattern {
                PatternType::Prefixed => found.prefixes.push(rule.name.clone()),
                _ if rule.name == "*" => found.everything = true,
                _ => _ = found.literal.insert(rule.name.clone()),
            }
        }
        found
    }

    /// Whether no rule is about `topic`.
    fn is_bare(&self, topic: &str) -> bool {
        !self.everything
            && !self.literal.contains(topic)
            && !self.prefixes.iter().any(|prefix| topic.starts_with(prefix))
    }

    /// Those of `topics` that no rule is about.
    pub fn bare(&self, topics: &BTreeSet<Arc<str>>) -> Vec<Arc<str>> {
        topics.iter().filter(|topic| self.is_bare(topic)).cloned().collect()
    }

    /// The fence around `topics`, of which `open` are permitted to everybody because no rule is about them. What is left of an
    /// `earlier` fence of ours stays a part of it, so that it is removed with it.
    pub fn fence(&self, topics: &BTreeSet<Arc<str>>, open: &BTreeSet<Arc<str>>, earlier: FenceRules) -> FenceRules {
        let names = || topics.iter().map(|topic| topic.to_string());
        let mut rules = FenceRules { foreign: BTreeSet::new(), ..earlier };
        rules.foreign.extend(names().filter(|topic| self.denied.contains(topic)));
        rules.denied.extend(names().filter(|topic| !self.denied.contains(topic)));
        rules.allowed.extend(names().filter(|topic| open.contains(topic.as_str()) && self.is_bare(topic)));
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(names: &[&str]) -> BTreeSet<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn reads(topic: &str, pattern: PatternType) -> AclBinding {
        let (operation, permission) = (AclOperation::Read, AclPermission::Allow);
        AclBinding { principal: "User:alice".to_owned(), operation, permission, pattern, ..deny(topic) }
    }

    #[test]
    fn a_topic_that_no_rule_is_about_stays_open_to_all_but_writers() {
        let all = topics(&["bare", "closed", "own", "prefixed"]);
        let rules = [reads("own", PatternType::Literal), reads("pre", PatternType::Prefixed)];
        let found = Found::new(&rules, &FenceRules::default());
        assert_eq!(found.bare(&all), [Arc::from("bare"), Arc::from("closed")]);
        // Where nobody may read what no rule is about, nobody is to be allowed by the fence.
        let fence = found.fence(&all, &topics(&["bare"]), FenceRules::default());
        assert_eq!(fence.allowed, names(&["bare"]));
        assert_eq!(fence.denied, names(&["bare", "closed", "own", "prefixed"]));
        let everything = Found::new(&[reads("*", PatternType::Literal)], &FenceRules::default());
        assert!(everything.bare(&all).is_empty());
    }

    #[test]
    fn what_was_there_is_not_ours_and_what_is_left_of_ours_is() {
        let all = topics(&["a", "b", "c"]);
        let earlier = FenceRules { denied: names(&["b", "gone"]), allowed: names(&["b"]), foreign: names(&["x"]) };
        let there = [deny("a"), deny("b"), allow("b"), deny("gone")];
        let found = Found::new(&there, &earlier);
        assert_eq!(found.bare(&all), [Arc::from("b"), Arc::from("c")], "our own rules do not count");
        let fence = found.fence(&all, &all, earlier);
        assert_eq!(fence.foreign, names(&["a"]));
        assert_eq!(fence.denied, names(&["b", "c", "gone"]));
        assert_eq!(fence.allowed, names(&["b", "c"]));
    }

    #[test]
    fn a_rule_of_another_host_or_principal_is_another_rule() {
        let other = AclBinding { host: "192.0.2.1".to_owned(), ..deny("a") };
        let found = Found::new(&[other], &FenceRules::default());
        let fence = found.fence(&topics(&["a"]), &BTreeSet::new(), FenceRules::default());
        assert_eq!((fence.denied, fence.foreign.len()), (names(&["a"]), 0));
    }

    #[test]
    fn both_rules_of_a_topic_are_in_one_request_what_allows_first() {
        let all: BTreeSet<_> = (0..600).map(|number| format!("t{number}")).collect();
        let allowed: BTreeSet<_> = all.iter().step_by(3).cloned().collect();
        let rules = FenceRules { denied: all.clone(), allowed: allowed.clone(), foreign: BTreeSet::new() };
        let mut asked = BTreeSet::new();
        for part in parts(&rules) {
            assert!(part.len() <= 500);
            for topic in part.iter().map(|rule| rule.name.clone()).collect::<BTreeSet<_>>() {
                let expected = allowed.contains(&topic).then(|| allow(&topic)).into_iter().chain([deny(&topic)]);
                let there = part.iter().filter(|rule| rule.name == topic).cloned();
                assert_eq!(there.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
                assert!(asked.insert(topic), "of a part before, too");
            }
        }
        assert_eq!(asked, all);
    }
}
