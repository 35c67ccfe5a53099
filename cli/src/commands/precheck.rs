//! `precheck`: what stands in the way of a migration.

use std::io::IsTerminal as _;

use migration::Result;

use super::Exit;
use crate::args::PrecheckArgs;
use crate::console::Console;
use crate::deployed::Deployed;
use crate::lambda::Functions;
use crate::{render, session};

/// Runs the verb.
pub(super) async fn run(args: &PrecheckArgs) -> Result<Exit> {
    let console = Console::new(args.output);
    let config = session::load_config(&args.config)?;
    let (host, deployed) = Deployed::connect().await?;
    let functions = Functions::new(&host.aws, &deployed);
    let report = functions.precheck(&config).await?;
    if console.is_json() {
        console.json(&report)?;
    } else {
        console.data(render::findings(&report, std::io::stdout().is_terminal()));
    }
    let blocked = report.blockers().next().is_some();
    Ok(if blocked { Exit::Failed } else { Exit::Done })
}
