//! The commands of Kafka's own tools that do by hand what the migration could not do, or does not do unasked.

use std::collections::BTreeMap;
use std::fmt::Display;

use kafka::{AclBinding, AclOperation, AclPermission, AclResource, ConfigOp, PatternType, QuotaEntity};

/// Commands for one cluster.
#[derive(Debug, Clone)]
pub(crate) struct Commands {
    servers: String,
}

impl Commands {
    /// For the cluster behind `servers`, a list as `bootstrap.servers` has it.
    pub(crate) fn of(servers: impl Into<String>) -> Self {
        Self { servers: servers.into() }
    }

    /// For the target, where its servers are not known.
    pub(crate) fn of_target() -> Self {
        Self::of("<target bootstrap servers>")
    }

    /// For the source, where its servers are not known.
    pub(crate) fn of_source() -> Self {
        Self::of("<source bootstrap servers>")
    }

    /// Changes configs of a topic.
    pub(crate) fn alter_topic(&self, topic: &str, ops: &[ConfigOp]) -> String {
        let (mut set, mut deleted) = (Vec::new(), Vec::new());
        for op in ops {
            match op {
                ConfigOp::Set { name, value } => set.push(format!("{name}={}", bracketed(value))),
                ConfigOp::Delete { name } => deleted.push(name.clone()),
            }
        }
        self.alter(&format!("--topic {}", quoted(topic)), &set, &deleted)
    }

    /// Changes limits of a client quota; none removes the limit.
    pub(crate) fn alter_quota(&self, entity: &QuotaEntity, limits: &BTreeMap<String, Option<f64>>) -> String {
        let set: Vec<_> = limits.iter().filter_map(|(name, limit)| Some(format!("{name}={}", (*limit)?))).collect();
        let deleted: Vec<_> =
            limits.iter().filter(|(_, limit)| limit.is_none()).map(|(name, _)| name.clone()).collect();
        let whom = |(kind, name): (&String, &Option<String>)| {
            let kind = if kind == "client-id" { "client" } else { kind };
            match name {
                Some(name) => format!("--{kind} {}", quoted(name)),
                None => format!("--{kind}-defaults"),
            }
        };
        let whom: Vec<_> = entity.0.iter().map(whom).collect();
        self.alter(&whom.join(" "), &set, &deleted)
    }

    fn alter(&self, whom: &str, set: &[String], deleted: &[String]) -> String {
        let part = |option: &str, values: &[String]| match values.is_empty() {
            true => String::new(),
            false => format!(" {option} {}", quoted(&values.join(","))),
        };
        let changes = part("--add-config", set) + &part("--delete-config", deleted);
        format!("`kafka-configs.sh --bootstrap-server {} --alter {whom}{changes}`", self.servers)
    }

    /// Adds an ACL.
    pub(crate) fn add_acl(&self, acl: &AclBinding) -> String {
        format!("`kafka-acls.sh --bootstrap-server {} --add {}`", self.servers, acl_options(acl))
    }

    /// Removes an ACL.
    pub(crate) fn remove_acl(&self, acl: &AclBinding) -> String {
        format!("`kafka-acls.sh --bootstrap-server {} --remove --force {}`", self.servers, acl_options(acl))
    }

    /// Allows `principal` every one of `operations` on resources that are named like `acl`.
    pub(crate) fn allow(&self, principal: &str, operations: &[AclOperation], acl: &AclBinding) -> String {
        let operations: Vec<_> = operations.iter().map(|operation| format!("--operation {operation:?}")).collect();
        format!(
            "`kafka-acls.sh --bootstrap-server {} --add --allow-principal {} {} {}`",
            self.servers,
            quoted(principal),
            operations.join(" "),
            resource_options(acl)
        )
    }
}

fn acl_options(acl: &AclBinding) -> String {
    let side = if acl.permission == AclPermission::Deny { "deny" } else { "allow" };
    let operation: &dyn Display = match acl.operation {
        AclOperation::Other(code) => &format!("<operation {code}>"),
        known => &format!("{known:?}"),
    };
    format!(
        "--{side}-principal {} --{side}-host {} --operation {operation} {}",
        quoted(&acl.principal),
        quoted(&acl.host),
        resource_options(acl)
    )
}

fn resource_options(acl: &AclBinding) -> String {
    let name = quoted(&acl.name);
    let resource = match acl.resource {
        AclResource::Topic => format!("--topic {name}"),
        AclResource::Group => format!("--group {name}"),
        AclResource::Cluster => "--cluster".to_owned(),
        AclResource::TransactionalId => format!("--transactional-id {name}"),
        AclResource::DelegationToken => format!("--delegation-token {name}"),
        AclResource::User => format!("--user-principal {name}"),
        AclResource::Other(code) => format!("<resource type {code}> {name}"),
    };
    let prefixed = if acl.pattern == PatternType::Prefixed { " --resource-pattern-type prefixed" } else { "" };
    resource + prefixed
}

/// A word for the shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A value for `--add-config`, which takes a comma for the next config unless it is in brackets
/// (`kafka.admin.ConfigCommand.parseConfigsToBeAdded`).
fn bracketed(value: &str) -> String {
    match value.is_empty() || value.contains([',', '=']) {
        true => format!("[{value}]"),
        false => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configs_are_set_and_deleted_in_one_command() {
        let set = |name: &str, value: &str| ConfigOp::Set { name: name.to_owned(), value: value.to_owned() };
        let ops = [
            set("cleanup.policy", "compact,delete"),
            ConfigOp::Delete { name: "retention.ms".to_owned() },
            set("segment.ms", "7"),
        ];
        assert_eq!(
            Commands::of("a:1,b:2").alter_topic("it's", &ops),
            r"`kafka-configs.sh --bootstrap-server a:1,b:2 --alter --topic 'it'\''s' --add-config 'cleanup.policy=[compact,delete],segment.ms=7' --delete-config 'retention.ms'`"
        );
    }

    #[test]
    fn quotas_of_every_kind_are_addressed() {
        let entity = |parts: &[(&str, Option<&str>)]| {
            QuotaEntity(parts.iter().map(|(kind, name)| ((*kind).to_owned(), name.map(str::to_owned))).collect())
        };
        let limits =
            BTreeMap::from([("consumer_byte_rate".to_owned(), None), ("request_percentage".to_owned(), Some(12.5))]);
        let both = entity(&[("user", Some("alice")), ("client-id", None)]);
        assert_eq!(
            Commands::of("t:1").alter_quota(&both, &limits),
            "`kafka-configs.sh --bootstrap-server t:1 --alter --client-defaults --user 'alice' --add-config \
             'request_percentage=12.5' --delete-config 'consumer_byte_rate'`"
        );
        let one = BTreeMap::from([("connection_creation_rate".to_owned(), Some(1e9))]);
        let command = Commands::of("t:1").alter_quota(&entity(&[("ip", Some("10.0.0.1"))]), &one);
        assert!(command.ends_with("--alter --ip '10.0.0.1' --add-config 'connection_creation_rate=1000000000'`"));
    }

    #[test]
    fn acls_are_added_removed_and_answered() {
        let acl = AclBinding {
            resource: AclResource::Topic,
            name: "ord".to_owned(),
            pattern: PatternType::Prefixed,
            principal: "User:CN=app,O=x".to_owned(),
            host: "*".to_owned(),
            operation: AclOperation::Write,
            permission: AclPermission::Deny,
        };
        let options = "--deny-principal 'User:CN=app,O=x' --deny-host '*' --operation Write --topic 'ord' \
                       --resource-pattern-type prefixed`";
        assert_eq!(Commands::of("t:1").add_acl(&acl), format!("`kafka-acls.sh --bootstrap-server t:1 --add {options}"));
        assert!(Commands::of_source().remove_acl(&acl).contains("<source bootstrap servers> --remove --force --deny"));
        let cluster = AclBinding { resource: AclResource::Cluster, pattern: PatternType::Literal, ..acl };
        assert_eq!(
            Commands::of_target().allow("User:m", &[AclOperation::Describe, AclOperation::Alter], &cluster),
            "`kafka-acls.sh --bootstrap-server <target bootstrap servers> --add --allow-principal 'User:m' --operation \
             Describe --operation Alter --cluster`"
        );
    }
}
