//! SCRAM users of the source: who needs a secret on the target. Passwords cannot be read from a cluster and are never asked
//! for.

use std::collections::BTreeSet;

use kafka::{Cluster, ScramUser};
use migration::Result;
use migration::config::ClusterConfig;
use serde::Serialize;
use topology::refusal::unless_refused;

/// Users that a line names.
const NAMED: usize = 10;

/// The SCRAM users of both sides.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Scram {
    /// Users of the source.
    users: Vec<ScramUser>,
    /// Names of those that the target does not have; none when it does not tell.
    missing_on_target: Option<Vec<String>>,
    /// Why the source does not tell its users.
    not_told: Option<String>,
    /// The command that associates their secrets with the target.
    command: Option<String>,
}

/// Lists the users of both clusters.
///
/// # Errors
/// When a cluster cannot be asked. One that does not tell its users, as one of MSK may, is no error.
pub(crate) async fn list(source: &Cluster, target: &Cluster, config: &ClusterConfig) -> Result<Scram> {
    let (from, to) = tokio::join!(source.scram_users(), target.scram_users());
    let users = match unless_refused(from)? {
        Ok(users) => users,
        Err(reason) => return Ok(Scram { not_told: Some(reason), ..Scram::default() }),
    };
    Ok(compare(users, unless_refused(to)?.ok(), config))
}

fn compare(users: Vec<ScramUser>, there: Option<Vec<ScramUser>>, config: &ClusterConfig) -> Scram {
    let there = there.map(|there| there.into_iter().map(|user| user.name).collect::<BTreeSet<_>>());
    let names = users.iter().map(|user| &user.name);
    let missing_on_target = there.map(|there| names.filter(|name| !there.contains(*name)).cloned().collect::<Vec<_>>());
    let all_there = missing_on_target.as_ref().is_some_and(Vec::is_empty);
    let command = (!users.is_empty() && !all_there).then(|| {
        format!(
            "aws kafka batch-associate-scram-secret --region {} --cluster-arn {} --secret-arn-list <the users' secret ARNs>",
            config.region(),
            config.cluster_arn
        )
    });
    Scram { users, missing_on_target, not_told: None, command }
}

impl Scram {
    /// One line for an operator when users lack their secrets.
    pub(crate) fn line(&self) -> Option<String> {
        let command = self.command.as_ref()?;
        let all: Vec<_> = self.users.iter().map(|user| &user.name).collect();
        let missing = self.missing_on_target.as_ref().map_or(all, |missing| missing.iter().collect());
        let named: Vec<_> = missing.iter().take(NAMED).map(|name| name.as_str()).collect();
        let more = missing.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Some(format!(
            "SCRAM users of the source that the target does not have, or does not tell: {}{more}; give it their secrets before \
             clients are switched: {command}",
            named.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use migration::Config;

    fn user(name: &str) -> ScramUser {
        ScramUser { name: name.to_owned(), mechanisms: vec!["SCRAM-SHA-512".to_owned()] }
    }

    fn target() -> ClusterConfig {
        let yaml = "
enterprise:
  msk_kraft_migration:
    source:
      cluster_arn: arn:aws:kafka:us-east-1:123456789012:cluster/old/abc-1
      auth: {mode: plaintext}
    target:
      cluster_arn: arn:aws:kafka:eu-west-2:123456789012:cluster/new/def-2
      auth: {mode: plaintext}
    backup: {s3_bucket: segments, s3_prefix: zk-to-kraft/}
    evidence: {s3_bucket: evidence, s3_prefix: runs/}
";
        Config::from_yaml(yaml, |_| None).unwrap().target
    }

    #[test]
    fn users_without_a_secret_are_named_with_the_command() {
        let scram = compare(vec![user("alice"), user("bob")], Some(vec![user("bob")]), &target());
        assert_eq!(
            scram.line().unwrap(),
            "SCRAM users of the source that the target does not have, or does not tell: alice; give it their secrets before \
             clients are switched: aws kafka batch-associate-scram-secret --region eu-west-2 --cluster-arn \
             arn:aws:kafka:eu-west-2:123456789012:cluster/new/def-2 --secret-arn-list <the users' secret ARNs>"
        );
        assert!(compare(vec![user("alice")], None, &target()).line().unwrap().contains("alice;"));
    }

    #[test]
    fn nothing_is_said_where_nothing_is_missing() {
        assert_eq!(compare(Vec::new(), None, &target()).line(), None);
        assert_eq!(compare(vec![user("alice")], Some(vec![user("alice")]), &target()).line(), None);
    }
}
