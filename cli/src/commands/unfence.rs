//! `unfence`: removing the write fence that stands on the source behind the cutover.

use journal::WriteFence;
use migration::{Error, Phase, Result};
use serde_json::json;

use super::Exit;
use crate::args::UnfenceArgs;
use crate::session::{Session, Snapshot};
use crate::{console, naming, words};

/// What the operator types to confirm.
const CONFIRMATION: &str = "unfence";

/// Runs the verb.
pub(super) async fn run(args: &UnfenceArgs) -> Result<Exit> {
    let (session, snapshot) = Session::open(&args.run).await?;
    let stored = session.patiently("read the write fence", || session.journal().write_fence()).await?;
    let fence = stored.map(|stored| stored.fence).filter(WriteFence::may_hold);
    check(&session, &snapshot)?;
    let Some(fence) = fence else {
        session.console.say("no write fence stands: there is nothing to remove");
        return tell(&session, 0);
    };
    if !confirmed(&session, &fence, args).await? {
        session.console.say("not confirmed: nothing was changed");
        return Ok(Exit::Failed);
    }
    let (functions, by) = (session.functions(), naming::operator());
    let rules =
        session.patiently("lift the write fence", || functions.unfence(session.id(), &by, args.by_hand)).await?;
    if args.by_hand {
        session.console.say("recorded: the write fence was removed by hand");
        return tell(&session, rules);
    }
    let removed = words::count(rules, "ACL");
    session
        .console
        .say(format!("{removed} of the write fence removed: clients may write to the source's topics again"));
    tell(&session, rules)
}

fn tell(session: &Session, rules: usize) -> Result<Exit> {
    if session.console.is_json() {
        session.console.json(&json!({"migration_id": session.id(), "rules_removed": rules}))?;
    }
    Ok(Exit::Done)
}

/// Refuses where the fence belongs to a cutover.
fn check(session: &Session, snapshot: &Snapshot) -> Result<()> {
    let meta = &snapshot.meta;
    let phase = meta.failed_in.unwrap_or(meta.phase);
    let is_behind = matches!(phase, Phase::AwaitingClientSwitch | Phase::Validating | Phase::Finalized);
    if meta.committed && is_behind {
        return Ok(());
    }
    let way = match meta.phase {
        _ if meta.committed => "Offsets are committed on the target: the cutover goes forward under the fence",
        _ => "Before its point of no return the way back lifts the fence",
    };
    Err(Error::blocked(format_args!(
        "{} is in phase {}: unfence is for a migration that is cut over. {way}: {}",
        session.id(),
        meta.phase,
        session.line.command(if meta.phase == Phase::RolledBack { "rollback" } else { "resume" })
    )))
}

async fn confirmed(session: &Session, fence: &WriteFence, args: &UnfenceArgs) -> Result<bool> {
    if args.yes {
        return Ok(true);
    }
    if !console::can_ask() {
        return Err(Error::invalid("unfence asks for confirmation and stdin is not a TTY: add --yes"));
    }
    Ok(console::ask(&session.console, &question(fence, args.by_hand)).await.is_ok_and(|answer| answer == CONFIRMATION))
}

fn question(fence: &WriteFence, by_hand: bool) -> String {
    if by_hand {
        return format!(
            "You say that the ACLs of the write fence on {} of the source were removed by hand. The source is not asked, and the \
             journal will say that it was you.\nType `{CONFIRMATION}` to go on:",
            words::count(fence.topics, "topic")
        );
    }
    format!(
        "The write fence keeps everybody from writing to {} of the source since {}.\nWithout it a producer that was not switched \
         writes to the source again, and nobody copies that.\nType `{CONFIRMATION}` to remove its {}:",
        words::count(fence.topics, "topic"),
        journal::timestamp(fence.since),
        words::count(fence.own, "ACL")
    )
}
