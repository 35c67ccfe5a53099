//! `--force-restart` of `execute` and `resume`: beginning a migration again under its id.

use std::time::Duration;

use migration::report::{Finding, PrecheckReport, Severity};
use migration::restart::Removal;
use migration::{Config, Error, MigrationId, Result};
use serde_json::json;

use super::{Exit, resume};
use crate::args::ResumeArgs;
use crate::command_line::CommandLine;
use crate::executions::Executions;
use crate::follow::Follower;
use crate::session::{Session, load_config};
use crate::{console, render};

/// Pause between two questions whether a stopped execution has ended.
const ENDING: Duration = Duration::from_secs(2);

/// Findings about topics of the target that are in the way: records in them, another number of partitions.
const IN_THE_WAY: [&str; 2] = ["B14", "B15"];

/// Runs `resume --force-restart`.
pub(super) async fn resume(args: &ResumeArgs) -> Result<Exit> {
    let given = args.run.config.as_deref().map(load_config).transpose()?;
    let session = Session::new(CommandLine::from(&args.run), args.run.output).await?;
    session.executions()?;
    run(session, given, args.restart.yes).await
}

/// Removes what the migration of `session` made, having said what that is and asked, and begins it again with the configuration
/// `given`, else with its own.
///
/// # Errors
/// Those of the function that removes; Invalid when nobody can be asked.
pub(super) async fn run(session: Session, given: Option<Config>, yes: bool) -> Result<Exit> {
    let executions = session.executions()?;
    let (own, count) = left(&session).await?;
    let Some(config) = given.clone().or(own) else {
        return Err(Error::invalid(format_args!(
            "{} has no configuration to begin again with: give it with --config",
            session.id()
        )));
    };
    let functions = session.functions();
    let ask = async |apply| functions.restart(session.id(), given.as_ref(), apply).await;
    let removal = session.patiently("ask what would be removed", || ask(false)).await?.removal;
    let running = session.patiently("ask Step Functions", || executions.running(session.id(), count)).await?;
    tell(&session, &removal)?;
    if !is_clear(&session, &config, &removal).await? {
        return Ok(Exit::Failed);
    }
    if removal.is_empty() && running.is_none() {
        session.console.say("nothing of it is left: beginning");
    } else {
        if let Some(execution) = &running {
            session.console.say(format!("the execution {} is running; it will be stopped", execution.arn));
        }
        if !confirmed(&session, yes).await? {
            session.console.say("not confirmed: nothing was changed");
            return Ok(Exit::Failed);
        }
        if let Some(execution) = &running {
            stop(&session, &executions, &execution.arn).await?;
        }
        session.console.say(
            "removing; functions that were at work get up to 3 minutes to end. If this is interrupted, repeat the command ...",
        );
        while !session.patiently("remove", || ask(true)).await?.done {
            session.console.say("removing ...");
        }
        session.console.say("removed");
    }
    let (_, count) = left(&session).await?;
    let session = session.with_config(config);
    let mut follower = Follower::start_again(&session, count).await?;
    resume::advance(&session, &mut follower).await
}

/// The configuration that the migration has, and how many executions were started for it.
async fn left(session: &Session) -> Result<(Option<Config>, u32)> {
    let journal = session.journal();
    let (remains, restarted) = session
        .patiently("read the journal", || async { Ok((journal.remains().await?, journal.restarted().await?)) })
        .await?;
    // Of a run that was removed and not followed by another one yet.
    let (removed, earlier) = restarted.map_or((None, 0), |restarted| (restarted.config, restarted.executions));
    let (own, count) = remains.map_or((removed, 0), |remains| (remains.config, remains.executions));
    Ok((own.and_then(|config| Config::from_json(&config).ok()), count.max(earlier)))
}

/// Says what goes, and what stays.
fn tell(session: &Session, removal: &Removal) -> Result<()> {
    if session.console.is_json() {
        session.console.json_line(&json!({"migration_id": session.id(), "removal": removal}))?;
    }
    for line in lines(session.id(), removal) {
        session.console.say(line);
    }
    Ok(())
}

fn lines(id: &MigrationId, removal: &Removal) -> Vec<String> {
    let Removal { phase, target, topics, kept, working_data, objects, journal_items, interrupted, notes, .. } = removal;
    let phase = phase.map_or_else(String::new, |phase| format!(" (phase {phase})"));
    let rest = if *interrupted { ", as far as an earlier, interrupted removal has left it" } else { "" };
    let mut lines: Vec<_> = notes.iter().map(|note| format!("note: {note}")).collect();
    if removal.is_empty() {
        return lines;
    }
    lines.push(format!("to begin {id}{phase} again, this is removed{rest}:"));
    lines.push(format!("  on the target {target}: {} topics with {} records", topics.len(), removal.records()));
    let topic = |topic: &migration::restart::RemovedTopic| {
        format!("    {}: {} partitions, {} records", topic.topic, topic.partitions, topic.records)
    };
    lines.extend(topics.iter().map(topic));
    lines.push(format!("  {objects} objects below {working_data}"));
    lines.push(format!("  {journal_items} items of the journal"));
    if !kept.is_empty() {
        lines.push(format!("on the target stay {} topics that it has to do with:", kept.len()));
        lines.extend(kept.iter().map(|kept| format!("    {}: {}", kept.topic, kept.why)));
    }
    lines.push("ACLs, quotas and groups of the target stay as they are, and so does all evidence".to_owned());
    lines
}

/// Prechecks before anything is removed. What is found about topics that go is no obstacle. Whether nothing else stands in the
/// way.
async fn is_clear(session: &Session, config: &Config, removal: &Removal) -> Result<bool> {
    session.console.say("precheck ...");
    let report = without_removed(session.functions().precheck(config).await?, removal);
    session.console.say(render::findings(&report, false));
    let blocked = report.blockers().next().is_some();
    if blocked {
        session.console.say("nothing was removed: there are blockers");
    }
    Ok(!blocked)
}

fn without_removed(report: PrecheckReport, removal: &Removal) -> PrecheckReport {
    let goes = |topic: &str| removal.topics.iter().any(|removed| removed.topic == topic);
    // A name, or a name and what is wrong with it in parentheses.
    let name = |resource: &str| resource.split(" (").next().unwrap_or_default().to_owned();
    let is_settled = |finding: &Finding| {
        finding.severity == Severity::Blocker
            && IN_THE_WAY.contains(&finding.code.as_str())
            && !finding.resources.is_empty()
            && finding.resources.iter().all(|resource| goes(&name(resource)))
    };
    PrecheckReport { findings: report.findings.into_iter().filter(|finding| !is_settled(finding)).collect() }
}

async fn confirmed(session: &Session, yes: bool) -> Result<bool> {
    if yes {
        return Ok(true);
    }
    if !console::can_ask() {
        return Err(Error::invalid("--force-restart asks for confirmation and stdin is not a TTY: add --yes"));
    }
    let question = format!("All of this is removed for good. Type the migration's id, `{}`, to go on:", session.id());
    let answer = console::ask(&session.console, &question).await;
    Ok(answer.is_ok_and(|answer| answer == session.id().as_str()))
}

/// Stops an execution and waits for its end: from then on it starts no function any more.
async fn stop(session: &Session, executions: &Executions, arn: &str) -> Result<()> {
    session.console.say(format!("stopping {arn}"));
    let cause = "msk-kraft --force-restart";
    session.patiently("stop the execution", || executions.stop(arn, "BegunAgain", cause)).await?;
    while session
        .patiently("ask Step Functions", || executions.describe(arn))
        .await?
        .is_some_and(|execution| execution.running)
    {
        tokio::time::sleep(ENDING).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use migration::Phase;
    use migration::restart::{KeptTopic, RemovedTopic};

    fn removal() -> Removal {
        let topic = |name: &str, records| RemovedTopic { topic: name.to_owned(), id: None, partitions: 2, records };
        Removal {
            migration_id: "m1".parse().unwrap(),
            phase: Some(Phase::Seed),
            target: "arn:new".to_owned(),
            topics: vec![topic("orders", 7), topic("payments", 0)],
            kept: vec![KeptTopic { topic: "old".to_owned(), why: "it was there".to_owned() }],
            working_data: "s3://segments/runs/m1/".to_owned(),
            objects: 12,
            journal_items: 9,
            interrupted: false,
            notes: vec!["something is damaged".to_owned()],
        }
    }

    #[test]
    fn everything_that_goes_is_said_by_name_and_number() {
        let said = lines(&"m1".parse().unwrap(), &removal()).join("\n");
        for part in [
            "note: something is damaged",
            "to begin m1 (phase seed) again, this is removed:",
            "on the target arn:new: 2 topics with 7 records",
            "    orders: 2 partitions, 7 records",
            "    payments: 2 partitions, 0 records",
            "12 objects below s3://segments/runs/m1/",
            "9 items of the journal",
            "    old: it was there",
            "ACLs, quotas and groups of the target stay",
        ] {
            assert!(said.contains(part), "{part} is not in:\n{said}");
        }
        let nothing = Removal { topics: Vec::new(), objects: 0, journal_items: 0, notes: Vec::new(), ..removal() };
        assert!(lines(&"m1".parse().unwrap(), &nothing).is_empty());
    }

    #[test]
    fn only_what_is_found_about_topics_that_go_is_no_obstacle() {
        let finding = |code: &str, resources: &[&str]| Finding {
            code: code.to_owned(),
            severity: Severity::Blocker,
            subject: "target".to_owned(),
            message: String::new(),
            cause: String::new(),
            fix: String::new(),
            resources: resources.iter().map(|resource| (*resource).to_owned()).collect(),
        };
        let left = |findings: Vec<Finding>| without_removed(PrecheckReport { findings }, &removal()).findings.len();
        let reshaped = "payments (2 on the source, 3 on the target)";
        assert_eq!(left(vec![finding("B14", &["orders", "payments"]), finding("B15", &[reshaped])]), 0);
        assert_eq!(left(vec![finding("B14", &["orders", "other"])]), 1, "another topic is in the way too");
        assert_eq!(left(vec![finding("B14", &[]), finding("B16", &["orders"])]), 2);
    }
}
