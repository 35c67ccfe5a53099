//! A plan's artifacts: from a plan to texts, without any I/O and without a clock, so that the same plan under the same
//! migration id gives the same bytes.

mod aws_cli;
mod cost;
mod names;
mod policy;
mod prices;
mod runbook;
#[cfg(test)]
pub(crate) mod sample;

use deployment::Names;
use migration::config::TopicPattern;
use migration::report::Plan;
use migration::{Config, Error, Result};
use serde::Serialize;

pub(crate) use names::names;
pub(crate) use prices::Prices;

use crate::args::PlanFormat;
use crate::command_line::CommandLine;

/// Version of the shape of `plan.json`.
const SCHEMA: u32 = 1;

/// What the artifacts are made from.
#[derive(Debug)]
pub(crate) struct Planning {
    /// How to call this program about the migration.
    pub(crate) line: CommandLine,
    /// The configuration.
    pub(crate) config: Config,
    /// Where msk-kraft is, or will be, deployed.
    pub(crate) deployment: Names,
    /// What both clusters said; none before there is a function that can ask them.
    pub(crate) plan: Option<Plan>,
    /// What AWS asks for its services.
    pub(crate) prices: Prices,
}

/// One file of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Artifact {
    /// All of it, for programs.
    Plan,
    /// What to do, step by step.
    Runbook,
    /// Commands that create what is missing.
    AwsCli,
    /// Policies with placeholders, for review and for other migrations.
    PolicyTemplated,
    /// Policies with this migration's names.
    PolicyConcrete,
    /// What it may cost.
    Cost,
}

impl Artifact {
    /// Every artifact.
    pub(crate) const ALL: [Self; 6] =
        [Self::Plan, Self::Runbook, Self::AwsCli, Self::PolicyTemplated, Self::PolicyConcrete, Self::Cost];

    /// The artifacts of a format.
    pub(crate) const fn of(format: PlanFormat) -> &'static [Self] {
        match format {
            PlanFormat::Json | PlanFormat::Summary => &[Self::Plan],
            PlanFormat::Runbook => &[Self::Runbook],
            PlanFormat::AwsCli => &[Self::AwsCli],
            PlanFormat::IamPolicy => &[Self::PolicyConcrete, Self::PolicyTemplated],
            PlanFormat::Cost => &[Self::Cost],
            PlanFormat::All => &Self::ALL,
        }
    }

    /// The file's name.
    pub(crate) const fn file(self) -> &'static str {
        match self {
            Self::Plan => "plan.json",
            Self::Runbook => "runbook.md",
            Self::AwsCli => "aws-cli.sh",
            Self::PolicyTemplated => "iam-policy-templated.json",
            Self::PolicyConcrete => policy::CONCRETE,
            Self::Cost => "cost-estimate.json",
        }
    }

    /// Whether it is made from what both clusters said. The script does without it as long as it has to.
    pub(crate) const fn needs_plan(self) -> bool {
        matches!(self, Self::Plan | Self::Runbook | Self::Cost)
    }

    /// Whether the file is a program.
    pub(crate) const fn is_executable(self) -> bool {
        matches!(self, Self::AwsCli)
    }
}

/// `plan.json`.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: u32,
    migration_id: &'a str,
    config_fingerprint: String,
    /// Patterns of the topics to migrate, when the migration is one of several waves.
    #[serde(skip_serializing_if = "Option::is_none")]
    wave: Option<Wave<'a>>,
    #[serde(flatten)]
    plan: &'a Plan,
}

/// What one wave takes of a cluster.
#[derive(Debug, Serialize)]
struct Wave<'a> {
    include: &'a [TopicPattern],
    exclude: &'a [TopicPattern],
}

impl Planning {
    /// The text of `artifact`.
    ///
    /// # Errors
    /// Internal when it cannot be encoded, or when it needs a plan and there is none.
    pub(crate) fn text(&self, artifact: Artifact) -> Result<String> {
        match artifact {
            Artifact::Plan => json(&self.document(self.plan()?)),
            Artifact::Runbook => runbook::text(self, self.plan()?),
            Artifact::AwsCli => aws_cli::text(self),
            Artifact::PolicyTemplated => json(&policy::templated()),
            Artifact::PolicyConcrete => {
                json(&policy::policies(self.line.migration_id.as_str(), &self.config, &self.deployment))
            }
            Artifact::Cost => json(&cost::estimate(self, self.plan()?)),
        }
    }

    fn plan(&self) -> Result<&Plan> {
        self.plan.as_ref().ok_or_else(|| Error::internal("the clusters were not asked"))
    }

    fn document<'a>(&'a self, plan: &'a Plan) -> Document<'a> {
        let topology = &self.config.topology;
        Document {
            schema: SCHEMA,
            migration_id: self.line.migration_id.as_str(),
            config_fingerprint: self.config.fingerprint(),
            wave: topology.is_partial().then_some(Wave { include: &topology.include, exclude: &topology.exclude }),
            plan,
        }
    }
}

fn json(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n").map_err(|error| Error::internal(format_args!("encode the plan: {error}")))
}

/// The text of a template.
fn render(template: &impl askama::Template) -> Result<String> {
    let text = template.render();
    text.map(|text| text + "\n").map_err(|error| Error::internal(format_args!("fill a template of the plan: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_plan_gives_the_same_bytes() {
        for artifact in Artifact::ALL {
            let texts = [sample::planning(), sample::planning()].map(|planning| planning.text(artifact).unwrap());
            assert_eq!(texts[0], texts[1], "{}", artifact.file());
            assert!(texts[0].ends_with('\n'), "{}", artifact.file());
        }
    }

    #[test]
    fn every_artifact_is_as_it_was() {
        let planning = sample::planning();
        for artifact in Artifact::ALL {
            insta::assert_snapshot!(artifact.file(), planning.text(artifact).unwrap());
        }
    }
}
