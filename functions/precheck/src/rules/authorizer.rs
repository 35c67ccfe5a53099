//! Whether topics that no ACL is about are open on the source and closed on the target.
//!
//! Brokers do not tell the values of an authorizer's configs, since they take those that they do not know themselves for
//! sensitive (`KafkaConfig.maybeSensitive`). What they permit this principal shows more (KIP-430), unless it is a super user.

use std::sync::Arc;

use kafka::{AclBinding, AclOperation, AclResource, Operations};
use migration::config::AuthMode;
use migration::report::Finding;

use super::finding::{count, few, finding};
use super::lockout::copied;
use crate::facts::{Arriving, BrokerConfig, Facts, Leaving, Permitted};

/// Decides over what no ACL is about (`AclAuthorizer`, `StandardAuthorizer`). False by default, true on MSK.
const ALLOW_EVERYONE: &str = "allow.everyone.if.no.acl.found";

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    // With IAM no ACL counts.
    if facts.config.target.auth.mode == AuthMode::Iam {
        return Vec::new();
    }
    let (Some(leaving), Some(arriving)) = (&facts.leaving, &facts.arriving) else { return Vec::new() };
    [closing(facts, leaving, arriving), super_users(leaving, arriving)].into_iter().flatten().collect()
}

/// What a cluster does with a topic that no ACL is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unnamed {
    /// Everybody may use it.
    Open,
    /// Nobody but super users may.
    Closed,
    /// Nothing shows it: whoever asks may use everything.
    Unknown,
}

impl Unnamed {
    /// Under `acls`, which are none without an authorizer. `permitted` is what brokers say that this principal may, where ACLs
    /// decide that.
    fn of(acls: Option<&[AclBinding]>, brokers: Option<&[BrokerConfig]>, permitted: Option<&Permitted>) -> Self {
        let Some(acls) = acls else { return Self::Open };
        let shown = permitted.and_then(|permitted| shown(acls, permitted));
        let values: Option<Vec<_>> = brokers.map(|brokers| {
            brokers.iter().map(|broker| Some(broker.settings.get(ALLOW_EVERYONE)?.value.as_deref())).collect()
        });
        let any = |value: Option<Option<&str>>| values.iter().flatten().any(|known| *known == value);
        let no_super_users = brokers.is_some_and(|brokers| brokers.iter().all(|broker| !broker.super_users));
        match shown {
            Some(false) => Self::Closed,
            Some(true) if no_super_users => Self::Open,
            _ if any(None) || any(Some(Some("false"))) => Self::Closed,
            _ if any(Some(Some("true"))) => Self::Open,
            _ => Self::Unknown,
        }
    }
}

/// Whether everything is permitted on topics that no ACL is about; `None` without any.
fn shown(acls: &[AclBinding], permitted: &Permitted) -> Option<bool> {
    let everything = |operations: &Operations| {
        [AclOperation::Describe, AclOperation::Read, AclOperation::Write].iter().all(|one| operations.contain(*one))
    };
    let topics = permitted.topics.as_ref().ok()?;
    let unnamed = topics.iter().filter(|(topic, _)| is_unnamed(acls, topic));
    unnamed.map(|(_, operations)| everything(operations)).reduce(|all, one| all && one)
}

fn is_unnamed(acls: &[AclBinding], topic: &str) -> bool {
    !acls.iter().any(|acl| acl.is_about(AclResource::Topic, topic))
}

fn closing(facts: &Facts, leaving: &Leaving, arriving: &Arriving) -> Option<Finding> {
    let there = arriving.acls.as_ref().ok()?.as_deref()?;
    let copied = copied(facts)?;
    let here = leaving.acls.as_ref().ok()?.as_deref();
    let with_acls = Some(&leaving.permitted).filter(|_| facts.config.source.auth.mode != AuthMode::Iam);
    let source = Unnamed::of(here, leaving.brokers.as_deref().ok(), with_acls);
    let target = Unnamed::of(Some(there), arriving.brokers.as_deref().ok(), Some(&arriving.permitted));
    // Who has no ACLs and is open on the source does not rely on them; there would be a finding for every such cluster.
    let relies = !copied.wanted().is_empty();
    if source == Unnamed::Closed || target == Unnamed::Open || (target == Unnamed::Unknown && !relies) {
        return None;
    }
    let then: Vec<_> = there.iter().chain(copied.wanted()).cloned().collect();
    let topics: Vec<_> = facts.source_topics().map(|(name, _)| name).filter(|topic| is_unnamed(&then, topic)).collect();
    (!topics.is_empty()).then(|| told(source, target, &topics))
}

fn told(source: Unnamed, target: Unnamed, topics: &[&Arc<str>]) -> Finding {
    let closed = match target {
        Unnamed::Closed => "the target is closed to everybody but super users where no ACL is about a topic",
        _ => {
            "whether the target is closed to everybody but super users where no ACL is about a topic cannot be seen, since \
             brokers do not tell and this principal may do everything"
        }
    };
    let open = match source {
        Unnamed::Open => "on the source everybody may use them",
        _ => "on the source they may be everybody's, which brokers do not tell",
    };
    finding("W27", "target")
        .found(format_args!("{closed} ({ALLOW_EVERYONE}), and {} would have none: {}", count(topics.len(), "topic"), few(topics)))
        .of(topics)
        .because(format_args!("{open}; a target that is closed answers their clients with TOPIC_AUTHORIZATION_FAILED"))
        .fix(format_args!(
            "compare {ALLOW_EVERYONE} in the MSK configurations of both sides (`aws kafka describe-configuration-revision`); give \
             the target the source's, or add ACLs for the clients of these topics before the switch"
        ))
}

/// Brokers tell that there are super users, and not who.
fn super_users(leaving: &Leaving, arriving: &Arriving) -> Option<Finding> {
    arriving.acls.as_ref().ok()?.as_ref()?;
    let any = |brokers: &[BrokerConfig]| brokers.iter().any(|broker| broker.super_users);
    let (source, target) = (leaving.brokers.as_ref().ok()?, arriving.brokers.as_ref().ok()?);
    (any(source) && !any(target)).then(|| {
        finding("W27", "target")
            .found("super.users is set on the source's brokers and not on the target's")
            .because("who is named there may do everything on the source without an ACL, and needs ACLs on the target")
            .fix("look up in the source's server.properties who that is, and add ACLs for them before the switch")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, acl, facts, one, set};
    use migration::config::AuthMode;

    /// An authorizer that is open on the source, and ACLs of `orders`; `users` has none.
    fn open_source() -> Facts {
        let mut facts = facts();
        sample::with_configs(&mut facts, &[("orders", sample::topic_config()), ("users", sample::topic_config())]);
        let leaving = sample::leaving(&mut facts);
        leaving.acls = Ok(Some(vec![acl("User:alice", "orders")]));
        leaving.permitted = sample::permitted(&["orders", "users"]);
        set(&mut leaving.brokers, ALLOW_EVERYONE, "true");
        facts
    }

    /// As brokers tell configs that they do not know.
    fn hide(facts: &mut Facts) {
        for broker in sample::arriving(facts).brokers.as_mut().unwrap() {
            let hidden = crate::facts::Setting { value: None, is_set: true };
            broker.settings.insert(ALLOW_EVERYONE.to_owned(), hidden);
        }
    }

    #[test]
    fn nothing_is_wrong_with_the_sample() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn w27_topics_without_acls_on_a_target_that_is_closed() {
        let finding = one(judge(&open_source()), "W27");
        assert!(finding.message.starts_with("the target is closed to everybody"), "{}", finding.message);
        assert!(finding.message.ends_with("(allow.everyone.if.no.acl.found), and 1 topic would have none: users"));
        assert_eq!(finding.resources, ["users"]);
        assert!(finding.cause.starts_with("on the source everybody may use them"));
    }

    #[test]
    fn w27_what_brokers_permit_shows_a_value_that_they_hide() {
        let mut facts = open_source();
        hide(&mut facts);
        let unseen = one(judge(&facts), "W27");
        assert!(unseen.message.starts_with("whether the target is closed"), "{}", unseen.message);
        sample::arriving(&mut facts).permitted.topics =
            Ok([("users".into(), Operations::of(&[AclOperation::Describe]))].into());
        assert!(one(judge(&facts), "W27").message.starts_with("the target is closed"));
        // Who is no super user and may use it shows that everybody may.
        sample::arriving(&mut facts).permitted = sample::permitted(&["orders", "users"]);
        for broker in sample::arriving(&mut facts).brokers.as_mut().unwrap() {
            broker.super_users = false;
        }
        let rest = one(judge(&facts), "W27");
        assert!(rest.message.starts_with("super.users is set on the source's"), "{}", rest.message);
    }

    #[test]
    fn w27_a_source_without_an_authorizer_is_open() {
        let mut facts = facts();
        sample::leaving(&mut facts).acls = Ok(None);
        assert!(one(judge(&facts), "W27").message.ends_with("1 topic would have none: orders"));
        // Brokers that hide it, and no ACLs that anybody relies on.
        hide(&mut facts);
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn not_where_the_source_is_closed_too_or_the_target_has_no_acls() {
        let mut facts = open_source();
        for broker in sample::leaving(&mut facts).brokers.as_mut().unwrap() {
            broker.settings.remove(ALLOW_EVERYONE);
        }
        assert!(judge(&facts).is_empty());
        let mut facts = open_source();
        set(&mut sample::arriving(&mut facts).brokers, ALLOW_EVERYONE, "true");
        assert!(judge(&facts).is_empty());
        let mut facts = open_source();
        sample::arriving(&mut facts).acls = Ok(None);
        assert!(judge(&facts).is_empty());
        let mut facts = open_source();
        facts.config.target.auth.mode = AuthMode::Iam;
        assert!(judge(&facts).is_empty());
    }
}
