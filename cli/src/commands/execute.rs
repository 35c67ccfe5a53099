//! `execute`: from nothing to `drain_ready`.

use chrono::Utc;
use migration::{Config, Error, Phase, Result};

use super::{Exit, restart, resume};
use crate::args::{ExecuteArgs, RunArgs};
use crate::command_line::CommandLine;
use crate::follow::Follower;
use crate::session::{Session, load_config};
use crate::{naming, render};

/// Runs the verb.
pub(super) async fn run(args: &ExecuteArgs) -> Result<Exit> {
    let config = load_config(&args.config)?;
    let migration_id = match &args.migration_id {
        Some(id) => id.clone(),
        None => naming::migration_id(&config, Utc::now())?,
    };
    let (config_path, journal_dir) = (Some(args.config.clone()), args.journal_dir.clone());
    let line = CommandLine {
        migration_id: migration_id.clone(),
        config: config_path.clone(),
        journal_dir: journal_dir.clone(),
    };
    let session = Session::new(line, args.output).await?.with_config(config.clone());
    // Before anything else is done: without it nothing can be started.
    session.executions()?;
    session.console.say(format!("migration_id: {migration_id}"));
    if args.restart.force_restart {
        return restart::run(session, Some(config), args.restart.yes).await;
    }
    let events = session.events().await?;
    if let Some(last) = events.last().filter(|last| last.to.is_terminal()) {
        let again = if last.to == Phase::RolledBack { ", or this one begins again (--force-restart)" } else { "" };
        return Err(Error::blocked(format_args!(
            "{migration_id} is {} since {}: nothing was started. Another migration needs an id of its own (--migration-id){again}",
            last.to,
            journal::timestamp(last.at)
        )));
    }
    if !events.is_empty() {
        session.console.say("the migration exists already: resuming it");
        return resume::run(&RunArgs { config: config_path, migration_id, journal_dir, output: args.output }).await;
    }
    if !is_clear(&session, &config).await? {
        return Ok(Exit::Failed);
    }
    let mut follower = Follower::start(&session, None).await?;
    resume::advance(&session, &mut follower).await
}

/// Prechecks, and says what was found. Whether nothing stands in the way.
async fn is_clear(session: &Session, config: &Config) -> Result<bool> {
    session.console.say("precheck ...");
    let report = session.functions().precheck(config).await?;
    session.console.say(render::findings(&report, false));
    let blocked = report.blockers().next().is_some();
    if blocked {
        session.console.say("nothing was started: there are blockers");
    }
    Ok(!blocked)
}
