//! SCRAM users of the source: who needs a secret on the target. Passwords cannot be read from a cluster and are never asked
//! for.

use std::collections::BTreeSet;

use kafka::{Cluster, ScramUser};
use migration::config::ClusterConfig;
use migration::{Config, Result};
use runtime::Aws;
use serde::Serialize;
use topology::refusal::unless_refused;

/// Users that a line names.
const NAMED: usize = 10;

/// Secrets in one request (<https://docs.aws.amazon.com/msk/1.0/apireference/clusters-clusterarn-scram-secrets.html>).
const SECRETS_AT_ONCE: usize = 10;

/// The SCRAM users of both sides.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Scram {
    /// Users of the source.
    users: Vec<ScramUser>,
    /// Names of those that the target does not have; none when it does not tell.
    missing_on_target: Option<Vec<String>>,
    /// Why the source does not tell its users.
    not_told: Option<String>,
    /// The commands that associate their secrets with the target.
    commands: Vec<String>,
}

/// Lists the users of both clusters.
///
/// # Errors
/// When a cluster cannot be asked. One that does not tell its users, as one of MSK may, is no error.
pub(crate) async fn list(source: &Cluster, target: &Cluster, aws: &Aws, config: &Config) -> Result<Scram> {
    let (from, to) = tokio::join!(source.scram_users(), target.scram_users());
    match unless_refused(from)? {
        Ok(users) if users.is_empty() => Ok(Scram::default()),
        Ok(users) => Ok(compare(users, unless_refused(to)?.ok(), &secrets(aws, config).await, &config.target)),
        Err(reason) => Ok(not_told(reason, &secrets(aws, config).await, &config.target)),
    }
}

/// ARNs of the secrets that are associated with the source, as far as MSK tells them and the target can take them: they
/// have to be in its region.
async fn secrets(aws: &Aws, config: &Config) -> Vec<String> {
    if config.source.region() != config.target.region() {
        return Vec::new();
    }
    let Ok(aws) = aws.acting_for(&config.source).await else { return Vec::new() };
    let request = aws.msk(config.source.region()).list_scram_secrets().cluster_arn(&config.source.cluster_arn);
    let secrets: std::result::Result<Vec<_>, _> = request.into_paginator().items().send().collect().await;
    secrets.unwrap_or_else(|error| {
        tracing::info!(%error, "MSK does not tell the source's SCRAM secrets");
        Vec::new()
    })
}

fn compare(users: Vec<ScramUser>, there: Option<Vec<ScramUser>>, secrets: &[String], target: &ClusterConfig) -> Scram {
    let there = there.map(|there| there.into_iter().map(|user| user.name).collect::<BTreeSet<_>>());
    let names = users.iter().map(|user| &user.name);
    let missing_on_target = there.map(|there| names.filter(|name| !there.contains(*name)).cloned().collect::<Vec<_>>());
    let commands = match &missing_on_target {
        Some(missing) if missing.is_empty() => Vec::new(),
        _ => commands(secrets, target),
    };
    Scram { users, missing_on_target, not_told: None, commands }
}

/// What is known where the source does not tell its users: the secrets that MSK tells.
fn not_told(reason: String, secrets: &[String], target: &ClusterConfig) -> Scram {
    let commands = if secrets.is_empty() { Vec::new() } else { commands(secrets, target) };
    Scram { not_told: Some(reason), commands, ..Scram::default() }
}

fn commands(secrets: &[String], target: &ClusterConfig) -> Vec<String> {
    let command = |arns: &str| {
        format!(
            "aws kafka batch-associate-scram-secret --region {} --cluster-arn {} --secret-arn-list {arns}",
            target.region(),
            target.cluster_arn
        )
    };
    match secrets {
        [] => vec![command("<the users' secret ARNs>")],
        secrets => secrets.chunks(SECRETS_AT_ONCE).map(|arns| command(&arns.join(" "))).collect(),
    }
}

impl Scram {
    /// One line for an operator when users lack their secrets, or may.
    pub(crate) fn line(&self) -> Option<String> {
        let command = self.commands.first();
        if let Some(reason) = &self.not_told {
            let secrets = command.map_or("MSK lists no secrets of it".to_owned(), |command| {
                format!(
                    "give the target the secrets that MSK lists before clients are switched: {command}{}",
                    self.further()
                )
            });
            return Some(format!("the source does not tell its SCRAM users ({reason}); {secrets}"));
        }
        let command = command?;
        let all: Vec<_> = self.users.iter().map(|user| &user.name).collect();
        let missing = self.missing_on_target.as_ref().map_or(all, |missing| missing.iter().collect());
        let named: Vec<_> = missing.iter().take(NAMED).map(|name| name.as_str()).collect();
        let more = missing.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Some(format!(
            "SCRAM users of the source that the target does not have, or does not tell: {}{more}; give it their secrets before \
             clients are switched: {command}{}",
            named.join(", "),
            self.further()
        ))
    }

    /// That there are more commands than the first.
    fn further(&self) -> String {
        match self.commands.len() {
            0 | 1 => String::new(),
            count => format!(" (and {} commands more, see scram.commands in topology/report.json)", count - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn user(name: &str) -> ScramUser {
        ScramUser { name: name.to_owned(), mechanisms: vec!["SCRAM-SHA-512".to_owned()] }
    }

    fn compared(there: Option<Vec<ScramUser>>, secrets: &[String]) -> Scram {
        compare(vec![user("alice"), user("bob")], there, secrets, &sample::config().target)
    }

    #[test]
    fn users_without_a_secret_are_named_with_the_command() {
        assert_eq!(
            compared(Some(vec![user("bob")]), &[]).line().unwrap(),
            "SCRAM users of the source that the target does not have, or does not tell: alice; give it their secrets before \
             clients are switched: aws kafka batch-associate-scram-secret --region eu-west-2 --cluster-arn \
             arn:aws:kafka:eu-west-2:123456789012:cluster/new/uuid-1 --secret-arn-list <the users' secret ARNs>"
        );
        assert!(compared(None, &[]).line().unwrap().contains("alice, bob;"));
    }

    #[test]
    fn the_secrets_that_msk_tells_are_in_as_many_commands_as_they_need() {
        let secrets: Vec<_> = (0..12).map(|number| format!("arn:secret-{number}")).collect();
        let scram = compared(None, &secrets);
        assert_eq!(scram.commands.len(), 2);
        assert!(scram.commands[1].ends_with("--secret-arn-list arn:secret-10 arn:secret-11"), "{scram:?}");
        assert!(
            scram
                .line()
                .unwrap()
                .ends_with("arn:secret-9 (and 1 commands more, see scram.commands in topology/report.json)")
        );
    }

    #[test]
    fn a_source_that_does_not_tell_its_users_has_its_secrets_named() {
        let said = |secrets: &[String]| {
            not_told("no permission".to_owned(), secrets, &sample::config().target).line().unwrap()
        };
        assert!(said(&["arn:secret".to_owned()]).ends_with("--secret-arn-list arn:secret"));
        assert_eq!(said(&[]), "the source does not tell its SCRAM users (no permission); MSK lists no secrets of it");
    }

    #[test]
    fn nothing_is_said_where_nothing_is_missing() {
        assert_eq!(Scram::default().line(), None);
        assert_eq!(compared(Some(vec![user("alice"), user("bob")]), &["arn:secret".to_owned()]).line(), None);
    }
}
