//! `input` and `ack`: for whoever runs the state machine with other tools.

use chrono::Utc;
use journal::{Decision, GateName};
use migration::{Config, Result};
use serde_json::json;

use super::{Exit, decide};
use crate::args::{AckArgs, InputArgs, Output};
use crate::console::Console;
use crate::deployed::Deployed;
use crate::lambda::Functions;
use crate::{advice, naming, session};

/// Runs `input`.
pub(super) fn input(args: &InputArgs) -> Result<Exit> {
    let config = session::load_config(&args.config)?;
    let id = match &args.migration_id {
        Some(id) => id.clone(),
        None => naming::migration_id(&config, Utc::now())?,
    };
    let console = Console::new(Output::Json);
    console.say(format!("migration_id: {id}; name its first execution {id}-1"));
    console.json_line(&json!({"migration_id": id, "config": config.to_json()}))?;
    Ok(Exit::Done)
}

/// Runs `ack`.
pub(super) async fn run(args: &AckArgs) -> Result<Exit> {
    let (host, deployed) = Deployed::connect().await?;
    let meta = host.journal(&args.migration_id).meta().await?;
    let reason = args.reason.as_str();
    let decision = if args.reject { Decision::reject(reason) } else { Decision::approve(reason) };
    let decision = Decision { rehearsal: args.rehearsal.clone(), ..decision };
    let by = args.by.clone().unwrap_or_else(naming::operator);
    let answered = Functions::new(&host.aws, &deployed).decide(&args.migration_id, args.gate, &decision, &by).await?;
    let console = Console::new(Output::Table);
    decide::tell(&console, &answered, decision.verdict, &by)?;
    if args.gate == GateName::Freeze && !args.reject {
        console.say(advice::outage_limit(&Config::from_json(&meta.config)?));
    }
    Ok(Exit::Done)
}
