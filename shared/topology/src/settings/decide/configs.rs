//! The final configs of topics: chosen, and checked by the target.

use std::collections::BTreeSet;
use std::sync::Arc;

use documents::rehearsal::Weight;
use kafka::AclOperation;
use migration::Result;

use super::{Context, Decision, Refusal, code, is_denial};
use crate::defaults::TargetDefaults;
use crate::final_configs::{FinalConfigs, NotCopied, OfTarget, changes};
use crate::inventory::Topics;
use crate::known::KnownConfigs;
use crate::replication::Replication;

pub(super) async fn decide(context: &Context<'_>, decision: &mut Decision) -> Result<()> {
    let Context { basis, target, asked, there, .. } = context;
    let known = match there.keys().next() {
        Some(topic) => KnownConfigs::ask(target, topic).await?,
        None => KnownConfigs::default(),
    };
    let replicas = there.iter().map(|(name, topic)| (name.clone(), topic.replication_factor())).collect();
    let defaults = TargetDefaults::ask(target, replicas).await?;
    let of_target = OfTarget { known: &known, defaults: &defaults, before: basis.before };
    let wanted = FinalConfigs::of(&asked.topics, of_target, &basis.config.topology);
    decision.warnings.extend(wanted.left_to_defaults());
    decision.warnings.extend(unlike_the_source(context, &wanted));
    let missing = missing(context);
    decision.refusals.extend(missing.iter().map(|topic| without_topic(topic)));
    for (topic, outcome) in target.check_topic_configs(&changes(wanted.topics(), there)).await {
        match outcome {
            Ok(()) => {}
            Err(error) if error.is_retryable() => return Err(migration::Error::from(error).at_topic(&topic)),
            Err(error) => decision.refusals.push(refusal(&topic, &error)),
        }
    }
    decision.settings.configs = wanted.into_topics();
    Ok(())
}

/// Copied topics that the target does not have. Hidden ones are lacking permissions.
fn missing<'a>(context: &'a Context<'_>) -> BTreeSet<&'a Arc<str>> {
    let Context { asked, there, permitted, .. } = context;
    let is_hidden = |topic: &Arc<str>| {
        let known = permitted.and_then(|permitted| permitted.topics.get(topic));
        known.is_some_and(|operations| !operations.contain(AclOperation::Describe))
    };
    asked.topics.keys().filter(|topic| !there.contains_key(*topic) && !is_hidden(topic)).collect()
}

fn without_topic(topic: &str) -> Refusal {
    Refusal {
        weight: Weight::Blocker,
        code: code::TOPIC_MISSING,
        subject: format!("topic {topic}"),
        message:
            "the target does not list the topic, which was copied: somebody deleted it there, or the principal of \
                  target.auth may not describe it"
                .to_owned(),
        way_out: "let the principal describe it, or, if it was deleted, roll back and start a new migration".to_owned(),
    }
}

fn refusal(topic: &str, error: &kafka::Error) -> Refusal {
    let (code, way_out) = match is_denial(error) {
        true => (
            code::PERMISSION_MISSING,
            "allow the principal of target.auth AlterConfigs on the topic (with IAM \
             kafka-cluster:AlterTopicDynamicConfiguration)",
        ),
        false => (
            code::CONFIG_REFUSED,
            "change the config on the source's topic to something that the target takes, or remove it there; the next \
             rehearsal takes what is set then",
        ),
    };
    Refusal {
        weight: Weight::Blocker,
        code,
        subject: format!("topic {topic}"),
        message: format!("the target refuses the topic's configs: {error}"),
        way_out: way_out.to_owned(),
    }
}

/// Lines about what is not as on the source and could not be said when the topology was copied: configs that were altered
/// since, and topics that were newly found.
fn unlike_the_source(context: &Context<'_>, wanted: &FinalConfigs) -> Vec<String> {
    let beginning = &context.basis.beginning;
    let newly_found = context.asked.topics.iter().filter(|(name, _)| !beginning.contains_key(name));
    let newly_found: Topics = newly_found.map(|(name, topic)| (name.clone(), topic.clone())).collect();
    let there = context.there.iter().map(|(name, topic)| (name.clone(), topic.into())).collect();
    let not_copied = wanted.not_copied_since(beginning);
    not_copied.iter().map(NotCopied::line).chain(Replication::between(&newly_found, &there).line()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::{Api, Code, Place};

    #[test]
    fn what_the_target_says_and_what_to_do_are_told_apart_by_the_cause() {
        let error = |code, message: &str| kafka::Error::Broker {
            api: Api::IncrementalAlterConfigs,
            code,
            place: Place::Topic("orders".into()),
            message: Some(message.to_owned()),
        };
        let invalid = refusal("orders", &error(Code::InvalidConfig, "Invalid value 0 for configuration segment.ms"));
        assert_eq!((invalid.code, invalid.subject.as_str()), (code::CONFIG_REFUSED, "topic orders"));
        assert!(
            invalid.message.ends_with("InvalidConfig: Invalid value 0 for configuration segment.ms"),
            "{invalid:?}"
        );
        let denied = refusal("orders", &error(Code::TopicAuthorizationFailed, ""));
        assert_eq!(denied.code, code::PERMISSION_MISSING);
        assert!(denied.way_out.contains("AlterConfigs on the topic"), "{denied:?}");
        assert_eq!(without_topic("orders").code, code::TOPIC_MISSING);
    }
}
