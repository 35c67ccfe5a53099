//! `journal`: the transitions, for people or as `journal.jsonl`.

use migration::Result;

use super::Exit;
use crate::args::RunArgs;
use crate::mirror;
use crate::session::Session;

/// Runs the verb.
pub(super) async fn run(args: &RunArgs) -> Result<Exit> {
    let (session, _) = Session::open(args).await?;
    let events = session.events().await?;
    if session.console.is_json() {
        session.console.data(mirror::lines(&events)?);
    } else {
        events.iter().for_each(|event| session.console.data(event.to_string()));
    }
    Ok(Exit::Done)
}
