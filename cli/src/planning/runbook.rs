//! `runbook.md`: this migration, step by step, with its own names and commands.

use std::time::Duration;

use askama::Template;
use indicatif::HumanBytes;
use migration::config::{TopicPattern, Topology, WriteFence};
use migration::report::{CriticalPath, Meaning, Outlook, Plan, PlannedTopic};
use migration::{Config, Result};

use super::{Planning, render};
use crate::command_line::quoted;
use crate::render::span;

/// Topics that are listed: the largest.
const TOPICS: usize = 20;

/// The document. Commands come from [`crate::command_line::CommandLine`], so that they are what the program takes.
#[derive(Template)]
#[template(path = "runbook.md", escape = "none")]
struct Runbook<'a> {
    id: &'a str,
    config: &'a Config,
    plan: &'a Plan,
    phases: Vec<Phase>,
    topics: Vec<Topic<'a>>,
    unlisted: usize,
    identity: usize,
    translated: usize,
    unknown: usize,
    bytes: String,
    rate: String,
    critical: Option<String>,
    deployment: Option<String>,
    state_machine: String,
    table: String,
    prefix: String,
    region: String,
    webhook: bool,
    /// Whether a write fence stands during the cutover.
    fenced: bool,
    wave: Option<String>,
    evidence_url: String,
    backup_url: String,
    cutover_report: String,
    commands: Commands,
}

/// A row of the table of phases.
struct Phase {
    name: &'static str,
    time: String,
    bound_by: String,
    why: String,
}

/// A row of the table of topics.
struct Topic<'a> {
    topic: &'a PlannedTopic,
    bytes: String,
    offsets: &'static str,
}

/// The commands, as they are typed.
struct Commands {
    precheck: String,
    execute: String,
    status: String,
    watch: String,
    resume: String,
    throttle: String,
    cutover: String,
    ack_freeze: String,
    reject_freeze: String,
    cutover_ack: String,
    finalize: String,
    rollback: String,
    journal: String,
    offsets: String,
    lookup: String,
}

impl Commands {
    fn of(planning: &Planning) -> Self {
        let line = &planning.line;
        let path = config_path(planning);
        Self {
            precheck: format!("msk-kraft precheck --config {path}"),
            execute: line.command("execute"),
            status: line.command("status"),
            // With -x the words are not read by a second shell.
            watch: format!("watch -x -n 10 {}", line.command("status")),
            resume: line.command("resume"),
            throttle: format!("{} --bytes-per-second 50MB", line.command("throttle")),
            cutover: line.command("cutover"),
            ack_freeze: line.ack("freeze"),
            reject_freeze: format!("{} --reject", line.ack("freeze")),
            cutover_ack: line.command("cutover-ack"),
            finalize: line.command("finalize"),
            rollback: format!("{} --reason 'window closed'", line.command("rollback")),
            journal: line.command("journal"),
            offsets: format!("{} --out-dir ./offsets", line.command("offsets")),
            lookup: format!("{} --lookup checkpoint.csv", line.command("offsets")),
        }
    }
}

fn config_path(planning: &Planning) -> String {
    planning.line.config.as_deref().map_or_else(|| "migration.yaml".to_owned(), |path| quoted(&path.to_string_lossy()))
}

/// The document's text for `plan`.
///
/// # Errors
/// Internal when the template cannot be filled.
pub(super) fn text(planning: &Planning, plan: &Plan) -> Result<String> {
    let Planning { line, config, deployment, .. } = planning;
    let id = line.migration_id.as_str();
    let url = |bucket: &str, prefix: &str| format!("s3://{bucket}/{prefix}{id}/");
    let backup_url = url(&config.backup.s3_bucket, &config.backup.s3_prefix);
    let count = |outlook| plan.topics.iter().filter(|topic| topic.offsets.outlook == outlook).count();
    let mut topics: Vec<_> = plan.topics.iter().collect();
    topics.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    render(&Runbook {
        id,
        config,
        plan,
        phases: plan.phases.iter().map(phase).collect(),
        unlisted: topics.len().saturating_sub(TOPICS),
        topics: topics.into_iter().take(TOPICS).map(topic).collect(),
        identity: count(Outlook::Identity),
        translated: count(Outlook::Translated),
        unknown: count(Outlook::Unknown),
        bytes: bytes(plan.estimated_seed_bytes),
        rate: HumanBytes(plan.estimated_seed.bytes_per_second).to_string(),
        critical: plan.critical_path.as_ref().map(critical),
        deployment: deployment.deployment.as_deref().map(quoted),
        state_machine: quoted(&deployment.state_machine_arn()),
        table: quoted(&deployment.table),
        prefix: quoted(&deployment.prefix),
        region: quoted(&deployment.region),
        wave: wave(&config.topology),
        webhook: config.cutover.producer_freeze_webhook.is_some(),
        fenced: config.cutover.write_fence == WriteFence::Acl,
        cutover_report: quoted(&format!("{backup_url}cutover/report.json")),
        evidence_url: quoted(&url(&config.evidence.s3_bucket, &config.evidence.s3_prefix)),
        backup_url: quoted(&backup_url),
        commands: Commands::of(planning),
    })
}

/// The patterns that make the migration one of several waves.
fn wave(topology: &Topology) -> Option<String> {
    let named = |field: &str, patterns: &[TopicPattern]| {
        let patterns: Vec<_> = patterns.iter().map(|pattern| format!("`{}`", pattern.as_str())).collect();
        (!patterns.is_empty()).then(|| format!("`topology.{field}` {}", patterns.join(", ")))
    };
    let both = [named("include", &topology.include), named("exclude", &topology.exclude)];
    let given: Vec<_> = both.into_iter().flatten().collect();
    (!given.is_empty()).then(|| given.join(" and "))
}

fn critical(path: &CriticalPath) -> String {
    let length = |seconds| span(Duration::from_secs(seconds));
    let CriticalPath { partition, bytes: size, seconds, batch_partitions, batch_seconds } = path;
    let alone = format!(
        "{partition} ({}) is the largest partition; one function copies it, which takes {} at least.",
        bytes(*size),
        length(*seconds)
    );
    match batch_partitions - 1 {
        0 => alone,
        others => format!(
            "{alone} With the {others} others of its batch that is {}: a smaller `seed.partitions_per_batch` brings it down.",
            length(*batch_seconds)
        ),
    }
}

fn bytes(bytes: i64) -> String {
    HumanBytes(bytes.unsigned_abs()).to_string()
}

fn phase(estimate: &migration::report::PhaseEstimate) -> Phase {
    let length = span(Duration::from_secs(estimate.seconds));
    let time = match estimate.meaning {
        Meaning::Estimated => format!("about {length}"),
        Meaning::AtLeast => format!("at least {length}"),
        Meaning::AtMost => format!("at most {length}"),
    };
    Phase { name: estimate.phase.name(), time, bound_by: estimate.bound_by.clone(), why: estimate.why.clone() }
}

fn topic(topic: &PlannedTopic) -> Topic<'_> {
    let offsets = match topic.offsets.outlook {
        Outlook::Identity => "stay",
        Outlook::Translated => "move",
        Outlook::Unknown => "may move",
    };
    Topic { topic, bytes: bytes(topic.bytes), offsets }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Artifact, sample};
    use super::*;
    use crate::args::Cli;

    fn text(planning: &Planning) -> Result<String> {
        super::text(planning, planning.plan.as_ref().unwrap())
    }

    /// Lines of shell in `text`, each as its words.
    fn shell(text: &str) -> Vec<Vec<String>> {
        let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().replace("\\\n", " "));
        blocks.flat_map(|block| block.lines().map(|line| shlex::split(line).expect(line)).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn every_command_is_one_that_the_program_takes() {
        let mut planning = sample::planning();
        planning.line.config = Some("it's here/prod migration.yaml".into());
        let text = text(&planning).unwrap();
        let mut verbs = std::collections::BTreeSet::new();
        for words in shell(&text) {
            let Some(begin) = words.iter().position(|word| word == "msk-kraft") else { continue };
            let words = words[begin..].split(|word| word == "|" || word == ">").next().unwrap();
            Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
            verbs.insert(words[1].clone());
            let path = words.iter().position(|word| word == "--config").map(|at| words[at + 1].as_str());
            assert!(path.is_none_or(|path| path == "it's here/prod migration.yaml"), "{words:?}");
        }
        let wanted =
            ["precheck", "execute", "status", "cutover", "cutover-ack", "finalize", "rollback", "resume", "journal"];
        for verb in wanted {
            assert!(verbs.contains(verb), "{verb} is not in {verbs:?}");
        }
    }

    #[test]
    fn without_a_webhook_the_operator_freezes() {
        let mut planning = sample::planning();
        planning.config.cutover.producer_freeze_webhook = None;
        let by_hand = text(&planning).unwrap();
        assert!(by_hand.contains("type `frozen`"), "{by_hand}");
        planning.config.cutover.producer_freeze_webhook =
            Some("https://deploy.example.com/freeze?token=hunter2".to_owned());
        let webhook = text(&planning).unwrap();
        assert!(webhook.contains("https://deploy.example.com") && !webhook.contains("type `frozen`"));
        assert!(!webhook.contains("hunter2"));
    }

    #[test]
    fn a_wave_says_that_it_is_one() {
        let mut planning = sample::planning();
        assert!(!text(&planning).unwrap().contains("one wave"));
        planning.config.topology.exclude.push("audit".parse().unwrap());
        planning.plan.as_mut().unwrap().topics_left_out = 4;
        let text = text(&planning).unwrap();
        assert!(text.contains("one wave of several") && text.contains("`topology.exclude` `audit`"), "{text}");
        assert!(text.contains("leaves 4 topics"), "{text}");
        let document: serde_json::Value = serde_json::from_str(&planning.text(Artifact::Plan).unwrap()).unwrap();
        assert_eq!((&document["wave"]["exclude"][0], &document["topics_left_out"]), (&"audit".into(), &4.into()));
    }

    #[test]
    fn the_other_artifacts_are_named_by_their_names() {
        let text = text(&sample::planning()).unwrap();
        for artifact in [Artifact::Plan, Artifact::AwsCli, Artifact::PolicyConcrete, Artifact::Cost] {
            assert!(text.contains(artifact.file()), "{}", artifact.file());
        }
    }
}
