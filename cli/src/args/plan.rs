//! Flags of `plan`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use migration::MigrationId;

/// What the verb's `--help` ends with.
pub(super) const HELP: &str = "\
With --out-dir the files of the format are written and a summary is printed; without it the format itself is. The same
clusters give the same files under the same --migration-id.

Files of --format all:
  plan.json                    topics, bytes, times by phase, critical path, what becomes of offsets
  runbook.md                   this migration step by step, with its own names and commands
  aws-cli.sh                   creates what is missing in AWS; can be run again
  iam-policy-templated.json    policies by function, with placeholders
  iam-policy-concrete.json     policies by function, with this migration's names
  cost-estimate.json           what it may cost, and what that assumes

Examples:
  msk-kraft plan --config migration.yaml --format summary
  msk-kraft plan --config migration.yaml --format all --out-dir ./migration-plan --migration-id prod-to-kraft
  msk-kraft plan --config migration.yaml --format cost --prices ./our-prices.json | jq .total
  msk-kraft plan --config migration.yaml --format iam-policy | jq '.[\"tail-batch\"]'";

/// Forms of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanFormat {
    /// plan.json: all of it.
    Json,
    /// Clusters, totals and a few topics.
    Summary,
    /// runbook.md: step by step.
    Runbook,
    /// aws-cli.sh: commands that create what is missing.
    AwsCli,
    /// The concrete policies; both files with --out-dir.
    IamPolicy,
    /// cost-estimate.json.
    Cost,
    /// Every file; needs --out-dir.
    All,
}

/// Flags of `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Migration configuration
    #[arg(long, value_name = "PATH")]
    pub(crate) config: PathBuf,
    /// What to make
    #[arg(long, value_enum, default_value = "json", requires_if("all", "out_dir"))]
    pub(crate) format: PlanFormat,
    /// Folder to write files to
    #[arg(long, value_name = "PATH")]
    pub(crate) out_dir: Option<PathBuf>,
    /// Name of the migration in commands and paths [default: made from the clusters' names and the time]
    #[arg(long, value_name = "ID")]
    pub(crate) migration_id: Option<MigrationId>,
    /// Table of prices, in the form of the built-in one (docs/PLAN.md)
    #[arg(long, value_name = "PATH")]
    pub(crate) prices: Option<PathBuf>,
    /// Overwrite files in --out-dir
    #[arg(long, requires = "out_dir")]
    pub(crate) force: bool,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use clap::error::ErrorKind;

    use super::*;
    use crate::args::{Cli, Verb};

    fn parse(line: &str) -> Result<Verb, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.verb)
    }

    #[test]
    fn plan_has_its_defaults() {
        let Verb::Plan(plan) = parse("msk-kraft plan --config m.yaml").unwrap() else { panic!("another verb") };
        assert_eq!((plan.format, plan.out_dir, plan.force), (PlanFormat::Json, None, false));
        assert_eq!(parse("msk-kraft plan").unwrap_err().kind(), ErrorKind::MissingRequiredArgument);
        for format in ["json", "summary", "runbook", "aws-cli", "iam-policy", "cost"] {
            parse(&format!("msk-kraft plan --config m.yaml --format {format} --migration-id a --prices p.json"))
                .unwrap();
        }
        assert!(parse("msk-kraft plan --config m.yaml --format all").is_err(), "files need a folder");
        parse("msk-kraft plan --config m.yaml --format all --out-dir d --force").unwrap();
        assert!(parse("msk-kraft plan --config m.yaml --force").is_err());
    }
}
