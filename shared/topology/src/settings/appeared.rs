//! What appeared, changed or disappeared on the source since the cutover was rehearsed.
//!
//! An ACL, a quota or a config of a topic may be what an operator stops clients with. On the target it would stop them for
//! good, so nothing of it is carried over unasked; each line says how to do that on purpose.

use std::collections::{BTreeMap, BTreeSet};

use documents::SettingsFound;
use kafka::{AclBinding, ConfigOp};

use super::commands::Commands;
use crate::configs::{TopicConfigs, same_value};
use crate::quotas::{AlteredQuota, altered};

/// Names everything that differs on the source between the rehearsal, which found `before`, and `now`, with both values.
pub fn appeared(before: &SettingsFound, now: &SettingsFound) -> Vec<String> {
    let mut lines = acls(before, now);
    lines.extend(quotas(before, now));
    lines.extend(configs(before, now));
    lines
}

/// Both of what was found, or a line about why they cannot be compared.
fn both<'a, T>(
    what: &str,
    before: &'a Option<Vec<T>>,
    now: &'a Option<Vec<T>>,
) -> Result<(&'a [T], &'a [T]), Option<String>> {
    match (before, now) {
        (Some(before), Some(now)) => Ok((before, now)),
        (None, None) => Err(None),
        (Some(_), None) => Err(Some(format!(
            "the source does not describe its {what} any more: what changed there since the rehearsal is not known; it is not \
             carried to the target"
        ))),
        (None, Some(_)) => Err(Some(format!(
            "the source describes its {what} now and did not at the rehearsal: what changed there since is not known; none of \
             them is carried to the target"
        ))),
    }
}

fn acls(before: &SettingsFound, now: &SettingsFound) -> Vec<String> {
    let (before, now) = match both("ACLs", &before.acls, &now.acls) {
        Ok((before, now)) => (before.iter().collect::<BTreeSet<_>>(), now.iter().collect::<BTreeSet<_>>()),
        Err(line) => return line.into_iter().collect(),
    };
    let target = Commands::of_target();
    let added = |acl: &&AclBinding| {
        format!(
            "ACL was added on the source since the rehearsal and is not carried to the target: {acl}; to carry it over: {}",
            target.add_acl(acl)
        )
    };
    let removed = |acl: &&AclBinding| {
        format!(
            "ACL was removed on the source since the rehearsal and stays on the target, if it is there: {acl}; to remove it: {}",
            target.remove_acl(acl)
        )
    };
    now.difference(&before).map(added).chain(before.difference(&now).map(removed)).collect()
}

fn quotas(before: &SettingsFound, now: &SettingsFound) -> Vec<String> {
    let (before, now) = match both("client quotas", &before.quotas, &now.quotas) {
        Ok(both) => both,
        Err(line) => return line.into_iter().collect(),
    };
    altered(before, now).iter().map(quota).collect()
}

fn quota(quota: &AlteredQuota) -> String {
    let AlteredQuota { entity, limit, was, is } = quota;
    let value = |limit: &Option<f64>| limit.map_or_else(|| "not set".to_owned(), |limit| limit.to_string());
    let command = Commands::of_target().alter_quota(entity, &BTreeMap::from([(limit.clone(), *is)]));
    format!(
        "client quota of {entity}: {limit} was changed on the source from {} to {} since the rehearsal, which is not carried to \
         the target; to carry it over: {command}",
        value(was),
        value(is)
    )
}

fn configs(before: &SettingsFound, now: &SettingsFound) -> Vec<String> {
    let mut lines = Vec::new();
    for (topic, was) in &before.configs {
        match now.configs.get(topic) {
            None => lines.push(format!("topic {topic} is not listed by the source any more since the rehearsal")),
            Some(is) => lines.extend(differences(topic, was, is)),
        }
    }
    let new = now.configs.keys().filter(|topic| !before.configs.contains_key(*topic));
    lines.extend(
        new.map(|topic| format!("topic {topic} is copied only since the rehearsal, which did not decide its configs")),
    );
    lines
}

fn differences(topic: &str, was: &TopicConfigs, is: &TopicConfigs) -> Vec<String> {
    let names: BTreeSet<_> = was.keys().chain(is.keys()).collect();
    let is_same = |name: &str| match (was.get(name), is.get(name)) {
        (Some(was), Some(is)) => same_value(name, was, is),
        (was, is) => was == is,
    };
    let line = |name: &String| {
        let value = |configs: &TopicConfigs| configs.get(name).cloned().unwrap_or_else(|| "not set".to_owned());
        let op = match is.get(name) {
            Some(value) => ConfigOp::Set { name: name.clone(), value: value.clone() },
            None => ConfigOp::Delete { name: name.clone() },
        };
        format!(
            "topic {topic}: config {name} was changed on the source from {} to {} since the rehearsal, which is not carried to \
             the target; to carry it over: {}",
            value(was),
            value(is),
            Commands::of_target().alter_topic(topic, &[op])
        )
    };
    names.into_iter().filter(|name| !is_same(name)).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::{AclOperation, AclPermission, AclResource, ClientQuota, PatternType, QuotaEntity};

    fn acl(principal: &str, permission: AclPermission) -> AclBinding {
        AclBinding {
            resource: AclResource::Topic,
            name: "orders".to_owned(),
            pattern: PatternType::Literal,
            principal: principal.to_owned(),
            host: "*".to_owned(),
            operation: AclOperation::Write,
            permission,
        }
    }

    fn quota(parts: &[(&str, Option<&str>)], limits: &[(&str, f64)]) -> ClientQuota {
        let entity = parts.iter().map(|(kind, name)| ((*kind).to_owned(), name.map(str::to_owned))).collect();
        let limits = limits.iter().map(|(name, limit)| ((*name).to_owned(), *limit)).collect();
        ClientQuota { entity: QuotaEntity(entity), limits }
    }

    fn found(configs: &[(&str, &str)], quotas: Vec<ClientQuota>, acls: Vec<AclBinding>) -> SettingsFound {
        let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        SettingsFound { configs: [("orders".into(), configs)].into(), quotas: Some(quotas), acls: Some(acls) }
    }

    #[test]
    fn whatever_may_stop_clients_is_named_with_both_values_and_the_way_to_carry_it_over() {
        use AclPermission::{Allow, Deny};
        let before = found(
            &[("retention.ms", "5"), ("cleanup.policy", "delete")],
            vec![quota(&[("user", Some("alice"))], &[("producer_byte_rate", 1e6), ("request_percentage", 50.0)])],
            vec![acl("User:alice", Allow), acl("User:old", Allow)],
        );
        let now = found(
            &[("max.message.bytes", "300"), ("cleanup.policy", "delete, delete")],
            vec![
                quota(&[("user", Some("alice"))], &[("producer_byte_rate", 10.0)]),
                quota(&[("ip", None)], &[("connection_creation_rate", 1.0)]),
            ],
            vec![acl("User:alice", Allow), acl("User:alice", Deny)],
        );
        let lines = appeared(&before, &now);
        let expected = [
            "ACL was added on the source since the rehearsal and is not carried to the target: Deny Write on Topic orders \
             (Literal) for User:alice from host *; to carry it over: `kafka-acls.sh --bootstrap-server <target bootstrap \
             servers> --add --deny-principal 'User:alice' --deny-host '*' --operation Write --topic 'orders'`",
            "ACL was removed on the source since the rehearsal and stays on the target, if it is there: Allow Write on Topic \
             orders (Literal) for User:old from host *; to remove it: `kafka-acls.sh --bootstrap-server <target bootstrap \
             servers> --remove --force --allow-principal 'User:old' --allow-host '*' --operation Write --topic 'orders'`",
            "client quota of ip <default>: connection_creation_rate was changed on the source from not set to 1 since the \
             rehearsal, which is not carried to the target; to carry it over: `kafka-configs.sh --bootstrap-server <target \
             bootstrap servers> --alter --ip-defaults --add-config 'connection_creation_rate=1'`",
            "client quota of user alice: producer_byte_rate was changed on the source from 1000000 to 10 since the rehearsal, \
             which is not carried to the target; to carry it over: `kafka-configs.sh --bootstrap-server <target bootstrap \
             servers> --alter --user 'alice' --add-config 'producer_byte_rate=10'`",
            "client quota of user alice: request_percentage was changed on the source from 50 to not set since the rehearsal, \
             which is not carried to the target; to carry it over: `kafka-configs.sh --bootstrap-server <target bootstrap \
             servers> --alter --user 'alice' --delete-config 'request_percentage'`",
            "topic orders: config max.message.bytes was changed on the source from not set to 300 since the rehearsal, which is \
             not carried to the target; to carry it over: `kafka-configs.sh --bootstrap-server <target bootstrap servers> \
             --alter --topic 'orders' --add-config 'max.message.bytes=300'`",
            "topic orders: config retention.ms was changed on the source from 5 to not set since the rehearsal, which is not \
             carried to the target; to carry it over: `kafka-configs.sh --bootstrap-server <target bootstrap servers> --alter \
             --topic 'orders' --delete-config 'retention.ms'`",
        ];
        assert_eq!(lines, expected);
        assert!(appeared(&before, &before).is_empty() && appeared(&now, &now).is_empty());
    }

    #[test]
    fn what_cannot_be_compared_is_said_and_a_topic_that_came_or_went_is_named() {
        let told = found(&[], Vec::new(), Vec::new());
        let silent = SettingsFound { quotas: None, acls: None, ..told.clone() };
        assert!(appeared(&silent, &silent).is_empty());
        let lines = appeared(&told, &silent);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("the source does not describe its ACLs any more"), "{lines:?}");
        assert!(appeared(&silent, &told)[1].starts_with("the source describes its client quotas now"));

        let mut moved = told.clone();
        let configs = moved.configs.remove("orders").unwrap();
        moved.configs.insert("late".into(), configs);
        let lines = appeared(&told, &moved);
        assert!(
            lines[0].starts_with("topic orders is not listed by the source") && lines[1].starts_with("topic late is")
        );
    }
}
