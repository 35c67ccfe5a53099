//! `late-records`: what was written to the source behind the fence, listed and appended to the target.

use comfy_table::{CellAlignment, Table};
use cutover::late::Report;
use cutover::late::live::Listing;
use documents::late::LateRecords;
use documents::late_append::{Append, LateRange};
use migration::{Error, Result};
use serde_json::json;

use super::Exit;
use crate::args::LateRecordsArgs;
use crate::session::Session;
use crate::{console, naming, render, words};

/// What the operator types to confirm.
const CONFIRMATION: &str = "append";

/// Calls after which a producer that never stops is left to another run of the verb.
const MOST_CALLS: u32 = 1_000;

/// Runs the verb.
pub(super) async fn run(args: &LateRecordsArgs) -> Result<Exit> {
    let (session, _) = Session::open(&args.run).await?;
    let functions = session.functions();
    let listing = functions.list_late(session.id()).await?;
    if !args.append {
        return show(&session, &listing);
    }
    tell(&session, &listing);
    if !confirmed(&session, &listing, args.yes).await? {
        session.console.say("not confirmed: nothing was appended");
        return Ok(Exit::Failed);
    }
    let reports = append(&session).await?;
    let listing = functions.list_late(session.id()).await?;
    let done = reports.iter().all(|report| report.left_out.is_empty() && report.problems.is_empty());
    show(&session, &listing)?;
    Ok(if done { Exit::Done } else { Exit::Failed })
}

/// Says what reached the source behind the fence, before clients are confirmed to be on the target: what is appended before they
/// write there comes in its order. A source that cannot be looked at, since it may be gone, holds nothing up.
pub(super) async fn warn(session: &Session) {
    match session.functions().list_late(session.id()).await {
        Ok(Listing { late, .. }) if late.records.is_empty() => {}
        Ok(listing) => {
            let records: i64 = listing.late.records.iter().map(|late| late.records).sum();
            session.console.say(format!(
                "warning: {} of {} were written to the source behind the fence, and are not on the target",
                words::count(usize::try_from(records).unwrap_or_default(), "record"),
                words::count(listing.late.records.len(), "partition")
            ));
            tell(session, &listing);
        }
        Err(error) => session.console.say(format!("the source was not looked at for late records: {error}")),
    }
}

/// Prints what there is.
fn show(session: &Session, listing: &Listing) -> Result<Exit> {
    if session.console.is_json() {
        session.console.json(&json!(listing))?;
    } else {
        session.console.data(text(listing));
        tell(session, listing);
    }
    Ok(Exit::Done)
}

/// Says what belongs beside the table.
fn tell(session: &Session, listing: &Listing) {
    for (partition, why) in &listing.late.unreadable {
        session.console.say(format!("note: {partition}: {why}"));
    }
    listing.notices.iter().for_each(|notice| session.console.say(format!("note: {notice}")));
    let wanted = !listing.late.records.is_empty() || listing.appends.iter().any(|append| append.done.is_none());
    if wanted {
        session.console.say(format!("next_command: {} --append", session.line.command("late-records")));
    }
}

async fn confirmed(session: &Session, listing: &Listing, yes: bool) -> Result<bool> {
    let open = listing.appends.iter().find(|append| append.done.is_none());
    if yes || (listing.late.records.is_empty() && open.is_none()) {
        return Ok(true);
    }
    if !console::can_ask() {
        return Err(Error::invalid("late-records --append asks for confirmation and stdin is not a TTY: add --yes"));
    }
    let question = question(listing);
    Ok(console::ask(&session.console, &question).await.is_ok_and(|answer| answer == CONFIRMATION))
}

fn question(listing: &Listing) -> String {
    let records: i64 = listing.late.records.iter().map(|late| late.records).sum();
    let at_least = if listing.late.records.iter().any(|late| late.at_least) { "at least " } else { "" };
    let open = listing.appends.iter().find(|append| append.done.is_none());
    let open = open.map_or_else(String::new, |append| format!("Append {} is completed first. ", append.number));
    format!(
        "{open}{at_least}{} of {} will be appended to the target, with whatever is written to the source until then.\n\
         They come to lie behind what clients have written there since the switch: consumers see them after newer records, and \
         those that are to\nread them have to be running, or to begin before them. Nothing takes them back. Type `{CONFIRMATION}` \
         to go on:",
        words::count(usize::try_from(records).unwrap_or_default(), "late record"),
        words::count(listing.late.records.len(), "partition"),
    )
}

/// Appends until nothing is left of what was there.
async fn append(session: &Session) -> Result<Vec<Report>> {
    let (functions, by) = (session.functions(), naming::operator());
    let mut reports = Vec::new();
    for _ in 0..MOST_CALLS {
        let report = session.patiently("append", || functions.append_late(session.id(), &by)).await?;
        match report.number {
            Some(number) => session.console.say(format!(
                "append {number}: {} of {}",
                words::count(usize::try_from(report.records).unwrap_or_default(), "record"),
                words::count(report.partitions, "partition")
            )),
            None => session.console.say(nothing(&report)),
        }
        report.left_out.iter().for_each(|line| session.console.say(format!("not appended: {line}")));
        report.problems.iter().for_each(|line| session.console.say(format!("not known whether appended: {line}")));
        let again = report.again;
        reports.push(report);
        if !again {
            break;
        }
    }
    Ok(reports)
}

/// What is said when nothing was appended.
const fn nothing(report: &Report) -> &'static str {
    match (report.again, report.left_out.is_empty()) {
        (true, _) => {
            "nothing was appended yet: what clients have written to the target since the switch is looked through first"
        }
        (false, true) => "nothing to append",
        (false, false) => "nothing that can be appended",
    }
}

/// Everything on stdout.
fn text(listing: &Listing) -> String {
    let mut parts = Vec::new();
    match listing.late.records.as_slice() {
        [] => parts.push("no late records that the target does not have".to_owned()),
        late => parts.push(format!("not on the target\n\n{}", missing(late))),
    }
    let removed = listing.late.removed.iter().map(|removed| {
        format!("REMOVED    {}: offsets {} to {} of the source", removed.partition, removed.from, removed.to - 1)
    });
    let removed: Vec<_> = removed.collect();
    parts.extend((!removed.is_empty()).then(|| removed.join("\n")));
    parts.extend(listing.appends.iter().map(appended));
    parts.join("\n\n")
}

fn missing(late: &[LateRecords]) -> String {
    let mut table = render::table(["PARTITION", "RECORDS", "FROM", "TO", "PRODUCER IDS", "NEWEST"]);
    for late in late {
        let ids: Vec<_> = late.producers.iter().map(ToString::to_string).collect();
        table.add_row([
            late.partition.to_string(),
            if late.at_least { format!("at least {}", late.records) } else { late.records.to_string() },
            late.from.to_string(),
            late.to.to_string(),
            if ids.is_empty() { "none".to_owned() } else { ids.join(" ") },
            late.newest.map_or_else(|| "unknown".to_owned(), render::moment),
        ]);
    }
    numbers_right(&mut table, 1..4);
    table.trim_fmt()
}

fn appended(append: &Append) -> String {
    let mut table = render::table(["PARTITION", "RECORDS", "FROM", "TO", "TARGET FROM", "TARGET TO"]);
    for LateRange { partition, from, to, records, .. } in &append.plan.partitions {
        let landed = append.done.iter().flat_map(|done| &done.partitions).find(|landed| landed.partition == *partition);
        let offset = |offset: Option<i64>| offset.map_or_else(|| "unknown".to_owned(), |offset| offset.to_string());
        table.add_row([
            partition.to_string(),
            records.to_string(),
            from.to_string(),
            to.to_string(),
            offset(landed.and_then(|landed| landed.first)),
            offset(landed.and_then(|landed| landed.next)),
        ]);
    }
    numbers_right(&mut table, 1..6);
    let state = match &append.done {
        Some(done) => format!("done at {}", render::moment(done.done_at)),
        None => "NOT DONE".to_owned(),
    };
    let begun = render::moment(append.plan.begun_at);
    format!("append {} for {}, begun at {begun}, {state}\n\n{}", append.number, append.plan.by, table.trim_fmt())
}

fn numbers_right(table: &mut Table, columns: std::ops::Range<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Utc};
    use documents::LateAppend;
    use documents::late::Late;
    use documents::late_append::{Landed, LateAppended, LateRemoved};
    use migration::TopicPartition;

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_777_097_706, 0).unwrap()
    }

    fn listing() -> Listing {
        let partition = TopicPartition::new("orders", 3);
        let late = LateRecords {
            partition: partition.clone(),
            from: 120,
            to: 130,
            records: 9,
            at_least: false,
            producers: vec![7, 12],
            newest: Some(at()),
            first_seen: at(),
        };
        let removed = LateRemoved { partition: TopicPartition::new("orders", 4), from: 5, to: 8 };
        let plan = LateAppend {
            by: "ada".to_owned(),
            begun_at: at(),
            producer_id: 4,
            producer_epoch: 0,
            batches: "b".to_owned(),
            partitions: vec![LateRange {
                partition: partition.clone(),
                from: 100,
                to: 120,
                records: 20,
                target_end: 300,
            }],
            removed: Vec::new(),
        };
        let landed = Landed { partition, first: Some(305), next: Some(331), problem: None };
        let done = LateAppended { done_at: at(), partitions: vec![landed] };
        Listing {
            late: Late { records: vec![late], removed: vec![removed], ..Late::default() },
            notices: Vec::new(),
            appends: vec![Append { number: 1, plan, done: Some(done) }],
        }
    }

    #[test]
    fn what_is_missing_and_what_was_appended_are_tables() {
        let expected = "not on the target

 PARTITION  RECORDS  FROM   TO  PRODUCER IDS  NEWEST
 orders/3         9   120  130  7 12          2026-04-25T06:15:06Z

REMOVED    orders/4: offsets 5 to 7 of the source

append 1 for ada, begun at 2026-04-25T06:15:06Z, done at 2026-04-25T06:15:06Z

 PARTITION  RECORDS  FROM   TO  TARGET FROM  TARGET TO
 orders/3        20   100  120          305        331";
        let lines: Vec<_> = text(&listing()).lines().map(|line| line.trim_end().to_owned()).collect();
        assert_eq!(lines.join("\n"), expected);
        assert_eq!(
            text(&Listing { late: Late::default(), notices: Vec::new(), appends: Vec::new() }),
            "no late records that the target does not have"
        );
    }

    #[test]
    fn what_could_not_be_appended_is_not_called_nothing() {
        let report = |again, left_out: &[&str]| Report {
            again,
            left_out: left_out.iter().map(|line| (*line).to_owned()).collect(),
            ..Report::default()
        };
        assert_eq!(nothing(&report(false, &[])), "nothing to append");
        assert_eq!(nothing(&report(false, &["orders/4: refused"])), "nothing that can be appended");
        assert!(nothing(&report(true, &[])).contains("looked through first"));
    }

    #[test]
    fn an_operator_is_told_where_the_records_will_lie() {
        let question = question(&listing());
        for part in
            ["9 late records of 1 partition", "behind what clients have written", "Nothing takes them back", "`append`"]
        {
            assert!(question.contains(part), "{part}: {question}");
        }
        let mut many = listing();
        many.late.records[0].at_least = true;
        assert!(super::question(&many).starts_with("at least 9 late records of 1 partition"));
        assert!(text(&many).contains("at least 9"));
        let mut open = listing();
        open.appends[0].done = None;
        assert!(super::question(&open).starts_with("Append 1 is completed first."));
        assert!(text(&open).contains("NOT DONE"));
    }
}
