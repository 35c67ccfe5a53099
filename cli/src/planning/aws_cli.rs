//! `aws-cli.sh`: creates what the migration needs in AWS and does not find.

use askama::Template;
use deployment::FUNCTIONS;
use migration::Result;
use migration::config::{AuthMode, ClusterConfig};
use migration::report::LimitToRaise;

use super::{Planning, policy, render};
use crate::command_line::quoted;

/// The script. Fields are words of a shell already.
#[derive(Template)]
#[template(path = "aws-cli.sh", escape = "none")]
struct Script<'a> {
    id: &'a str,
    partition: String,
    region: String,
    account: String,
    backup: String,
    evidence: String,
    key: Option<String>,
    locked: bool,
    table: String,
    target: String,
    target_region: String,
    source: String,
    source_region: String,
    limits: &'a [LimitToRaise],
    limits_known: bool,
    scram: Scram,
    policies: &'a str,
    functions: Vec<String>,
    state_machine: String,
}

/// What is to be done about SCRAM secrets of the target.
#[derive(Debug, PartialEq, Eq)]
enum Scram {
    /// Its clients do not sign in with SCRAM.
    None,
    /// It gets the secrets that the source has.
    FromSource,
    /// It gets at least the secret of the configuration's user.
    New,
}

impl Scram {
    fn of(source: &ClusterConfig, target: &ClusterConfig) -> Self {
        match (source.auth.mode, target.auth.mode) {
            (AuthMode::ScramSha512, AuthMode::ScramSha512) => Self::FromSource,
            (_, AuthMode::ScramSha512) => Self::New,
            _ => Self::None,
        }
    }

    fn is_from_source(&self) -> bool {
        *self == Self::FromSource
    }

    fn is_new(&self) -> bool {
        *self == Self::New
    }
}

/// The script's text.
///
/// # Errors
/// Internal when the template cannot be filled.
pub(super) fn text(planning: &Planning) -> Result<String> {
    let Planning { line, config, deployment, plan, .. } = planning;
    render(&Script {
        id: line.migration_id.as_str(),
        partition: quoted(&deployment.partition),
        region: quoted(&deployment.region),
        account: quoted(&deployment.account),
        backup: quoted(&config.backup.s3_bucket),
        evidence: quoted(&config.evidence.s3_bucket),
        key: config.backup.kms_key_arn.as_deref().map(quoted),
        locked: config.evidence.retention.is_some(),
        table: quoted(&deployment.table),
        target: quoted(&config.target.cluster_arn),
        target_region: quoted(config.target.region()),
        source: quoted(&config.source.cluster_arn),
        source_region: quoted(config.source.region()),
        limits: plan.as_ref().map_or(&[], |plan| &plan.limits_to_raise),
        limits_known: plan.is_some(),
        scram: Scram::of(&config.source, &config.target),
        policies: policy::CONCRETE,
        functions: FUNCTIONS.iter().map(|function| quoted(&deployment.function(function.name))).collect(),
        state_machine: quoted(&deployment.state_machine_arn()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn only_what_the_configuration_needs_is_in_the_script() {
        let mut planning = sample::planning();
        let parts = ["put-object-lock-configuration", "kms describe-key", "update-cluster-configuration"];
        let full = text(&planning).unwrap();
        assert!(parts.iter().all(|part| full.contains(part)), "{full}");
        planning.config.evidence.retention = None;
        planning.config.backup.kms_key_arn = None;
        planning.plan.as_mut().unwrap().limits_to_raise.clear();
        let plain = text(&planning).unwrap();
        assert!(!parts.iter().any(|part| plain.contains(part)) && !plain.contains("scram"), "{plain}");
    }

    #[test]
    fn a_script_that_knows_no_limits_says_so() {
        let mut planning = sample::planning();
        assert!(!text(&planning).unwrap().contains("did not see the clusters"));
        planning.plan = None;
        let script = text(&planning).unwrap();
        assert!(script.contains("did not see the clusters") && !script.contains("update-cluster-configuration"));
    }

    #[test]
    fn secrets_of_the_source_are_associated_with_the_target() {
        let mut planning = sample::planning();
        planning.config.target.auth.mode = AuthMode::ScramSha512;
        assert!(text(&planning).unwrap().contains("AmazonMSK_"));
        planning.config.source.auth.mode = AuthMode::ScramSha512;
        assert!(text(&planning).unwrap().contains("batch-associate-scram-secret"));
    }
}
