//! `status`: where a migration stands. Each figure says when and where it was measured, and what runs is asked, not inferred.

mod fence;
mod figures;
mod running;

use std::time::Duration;

use chrono::{DateTime, Utc};
use documents::late;
use journal::{Event, Freeze, FreezeState, Gate, GateState, Meta, Tails, WebhookCalls, WriteFence};
use migration::config::Throttle;
use migration::{Config, MigrationId, Phase, Result};
use runtime::run::{CHANGES, TOPOLOGY};
use serde::Serialize;

use self::figures::{Figures, Lag, Partition};
use self::running::Running;
use super::{Exit, throttle};
use crate::advice::{self, Next};
use crate::args::StatusArgs;
use crate::progress::Totals;
use crate::session::{Session, Snapshot};
use crate::{config_changes, render, words};

/// Partitions shown without `--all`.
const SHOWN: usize = 20;

/// Everything there is to say; its JSON form is what `--output json` prints.
#[derive(Debug, Serialize)]
struct Status {
    migration_id: MigrationId,
    phase: Phase,
    since: DateTime<Utc>,
    seconds_in_phase: u64,
    next: Next,
    failed_in: Option<Phase>,
    reason: String,
    committed: bool,
    executions: u32,
    created_at: DateTime<Utc>,
    fingerprint: String,
    gate: Option<Gate>,
    freezes: Option<Freeze>,
    producers_frozen: bool,
    write_fence: Option<WriteFence>,
    webhooks: WebhookCalls,
    running: Option<Running>,
    notes: Vec<String>,
    config_changes: Vec<String>,
    lag: Option<Lag>,
    checkpointed_at: Option<DateTime<Utc>>,
    tails: Option<Tails>,
    tails_at: Option<DateTime<Utc>>,
    totals: Totals,
    partitions: Vec<Partition>,
    events: Vec<Event>,
    facts: serde_json::Value,
    config: serde_json::Value,
}

/// Runs the verb.
pub(super) async fn run(args: &StatusArgs) -> Result<Exit> {
    let (session, snapshot) = Session::open(&args.run).await?;
    let events = session.events().await?;
    // Without access to the bucket the rest is still worth knowing.
    let (figures, unread) = match figures::gather(&session, &snapshot.meta).await {
        Ok(figures) => (figures, None),
        Err(error) => (Figures::default(), Some(format!("the progress of partitions cannot be read: {error}"))),
    };
    let running = running::find(&session, &snapshot.meta).await;
    let freeze = session.patiently("read the freeze", || session.journal().freeze_state()).await?;
    let config = Config::from_json(&snapshot.meta.config)?;
    let next = advice::next(&snapshot, &config, &session.line);
    let now = session.journal().now();
    let mut status = status(session.id(), snapshot, next, events, &figures, freeze, now, &config);
    status.set_running(running, || session.line.command("resume"));
    status.warn_before_cutover(&config, || session.line.command("status"));
    status.webhooks = session.patiently("read the calls of webhooks", || session.journal().webhook_calls()).await?;
    let fence = session.patiently("read the write fence", || session.journal().write_fence()).await?;
    status.set_write_fence(fence.map(|stored| stored.fence));
    status.notes.extend(unread);
    status.set_config_changes(session.config_changes());
    let control = session.patiently("read the throttle", || session.journal().copy_control()).await?;
    status.notes.extend(throttled(status.phase, control.throttle.unwrap_or(config.throttle)));
    if session.console.is_json() {
        session.console.json(&status)?;
    } else {
        let limit = if args.all { usize::MAX } else { SHOWN };
        session.console.data(text(&status, &figures, limit, now));
    }
    Ok(Exit::Done)
}

#[expect(clippy::too_many_arguments, reason = "each is read from another place, and this is where they meet")]
fn status(
    id: &MigrationId,
    Snapshot { meta, gate }: Snapshot,
    next: Next,
    events: Vec<Event>,
    figures: &Figures,
    freezes: Option<Freeze>,
    now: DateTime<Utc>,
    config: &Config,
) -> Status {
    let last = events.last();
    let since = last.map_or(meta.created_at, |event| event.at);
    let frozen = freezes.as_ref().is_some_and(|freeze| freeze.state() == FreezeState::Frozen);
    let totals = figures.totals.clone();
    let mut notes = notes(meta.phase, meta.committed, freezes.as_ref(), &totals, now, config);
    notes.extend(figures.notes());
    notes.extend(copy_time_configs(&meta));
    notes.extend([TOPOLOGY, CHANGES, late::FACT].iter().flat_map(|fact| lines(&meta, fact)));
    Status {
        migration_id: id.clone(),
        phase: meta.phase,
        since,
        seconds_in_phase: (now - since).num_seconds().max(0).unsigned_abs(),
        next,
        failed_in: meta.failed_in,
        reason: last.map_or_else(String::new, |event| event.reason.clone()),
        committed: meta.committed,
        executions: meta.executions,
        created_at: meta.created_at,
        fingerprint: meta.fingerprint,
        gate,
        producers_frozen: frozen,
        write_fence: None,
        webhooks: WebhookCalls::default(),
        running: None,
        notes,
        config_changes: Vec::new(),
        freezes,
        lag: figures.lag.clone(),
        checkpointed_at: figures.checkpoint,
        tails: figures.tails.clone(),
        tails_at: figures.tails_at,
        totals,
        partitions: figures.partitions.iter().map(Partition::from).collect(),
        events,
        facts: serde_json::json!(meta.facts),
        config: meta.config,
    }
}

impl Status {
    /// Enters what runs; where nothing does, that comes before everything else.
    fn set_running(&mut self, running: Option<Running>, resume: impl FnOnce() -> String) {
        if let Some(running) = &running {
            if let Some(next) = running.next(self.phase, resume) {
                self.next = next;
            }
            self.notes.splice(0..0, running.note(self.phase));
        }
        self.running = running;
    }

    /// Lets nobody start a cutover that would only freeze producers: while the copy is behind, or does not go on.
    fn warn_before_cutover(&mut self, config: &Config, status: impl FnOnce() -> String) {
        if self.phase != Phase::DrainReady || self.running == Some(Running::Nothing) {
            return;
        }
        let behind = self.lag.as_ref().is_some_and(|lag| lag.max > config.cutover.drain_max_partition_lag);
        if behind || self.totals.stopped > 0 || self.tails.as_ref().is_some_and(|tails| !tails.all_work()) {
            let action =
                "do not start the cutover yet: the copy is behind, or cannot go on (see the notes); look again";
            self.next = Next { action: action.to_owned(), command: Some(status()) };
        }
    }

    /// Enters the write fence, with what is to be said about it.
    fn set_write_fence(&mut self, fence: Option<WriteFence>) {
        self.notes.extend(fence.as_ref().and_then(|found| fence::note(found, self.phase, self.committed)));
        self.write_fence = fence;
    }

    /// Enters fields in which the given configuration differs.
    fn set_config_changes(&mut self, changes: &[String]) {
        self.notes.extend((!changes.is_empty()).then(|| config_changes::line(changes)));
        self.config_changes = changes.to_vec();
    }
}

/// That the copy is held back, while it goes on: a cutover would take longer, too.
fn throttled(phase: Phase, throttle: Throttle) -> Option<String> {
    let copies = matches!(phase, Phase::Seed | Phase::Tail | Phase::DrainReady | Phase::Cutover);
    let limited = copies && throttle != Throttle::default();
    limited.then(|| format!("the copy is throttled to {}; msk-kraft throttle changes that", throttle::text(&throttle)))
}

/// What somebody who looks should not miss.
fn notes(
    phase: Phase,
    committed: bool,
    freeze: Option<&Freeze>,
    totals: &Totals,
    now: DateTime<Utc>,
    config: &Config,
) -> Vec<String> {
    let mut notes = Vec::new();
    if totals.stopped > 0 {
        let (partitions, are) =
            (words::count(totals.stopped, "partition"), if totals.stopped == 1 { "is" } else { "are" });
        notes.push(format!("{partitions} stopped and {are} not copied any further: see the reasons"));
    }
    let allowed = config.cutover.drain_max_partition_lag;
    if matches!(phase, Phase::Tail | Phase::DrainReady) && totals.max_lag > allowed {
        notes.push(format!("the largest lag is above drain_max_partition_lag={allowed}"));
    }
    if let Some(freeze) = freeze.filter(|freeze| freeze.may_hold_producers()) {
        let limit: Duration = config.cutover.max_producer_freeze.into();
        let held = advice::held(freeze);
        if phase == Phase::RolledBack {
            notes.push(format!("{held}: `msk-kraft rollback`, repeated, lets them go"));
        } else if phase == Phase::Failed && !committed {
            notes.push(format!("{held} although the migration failed: `msk-kraft resume` or `rollback` lets them go"));
        } else if phase < Phase::Cutover {
            notes.push(format!("{held}: the cutover that froze them was given up; `msk-kraft resume` lets them go"));
        } else if phase == Phase::Cutover && freeze.length(now) > limit {
            notes.push(format!("producers are frozen for longer than max_producer_freeze={}", render::span(limit)));
        }
    }
    if committed && !phase.is_terminal() {
        notes.push("offsets are committed on the target: rollback is not available any more".to_owned());
    }
    notes
}

/// A stop between the commits and the topics' own configs, until a resume has made up for it.
fn copy_time_configs(meta: &Meta) -> Option<String> {
    (meta.committed && !meta.facts.contains_key("configs_restored_at")).then(|| {
        "topics on the target still have their copy-time configs (no retention, no compaction): the cutover has to be completed"
            .to_owned()
    })
}

/// The lines of a fact: what the topology copy could not bring over, or what changed on the source while it was copied.
fn lines(meta: &Meta, fact: &str) -> Vec<String> {
    let lines = meta.facts.get(fact).and_then(serde_json::Value::as_array);
    lines.into_iter().flatten().filter_map(|line| line.as_str().map(str::to_owned)).collect()
}

fn text(status: &Status, figures: &Figures, limit: usize, now: DateTime<Utc>) -> String {
    let mut lines = vec![
        format!("migration  {}", status.migration_id),
        format!("phase      {} for {}", status.phase, render::span(Duration::from_secs(status.seconds_in_phase))),
    ];
    if !status.reason.is_empty() {
        lines.push(format!("reason     {}", status.reason.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    lines.push(format!("next       {}", status.next.action));
    if let Some(command) = &status.next.command {
        lines.push(format!("           {command}"));
    }
    lines.extend(status.running.as_ref().map(|running| format!("runs       {}", running.text())));
    lines.push(format!("gate       {}", status.gate.as_ref().map_or_else(|| "none".to_owned(), gate_text)));
    lines.push(format!("producers  {}", advice::freeze(status.freezes.as_ref(), now)));
    lines.extend(status.write_fence.as_ref().map(|found| format!("fence      {}", fence::text(found))));
    lines.extend(status.notes.iter().map(|note| format!("note       {note}")));
    let Some(lag) = &status.lag else {
        lines.push("copied     nothing known".to_owned());
        return lines.join("\n");
    };
    let checkpoint = status
        .checkpointed_at
        .map(|at| format!("; last checkpoint at {} ({})", render::moment(at), render::ago(at, now)));
    lines.push(format!("copied     {}{}", render::totals(&status.totals), checkpoint.unwrap_or_default()));
    lines.push(format!("lag        {}", lag.text(now)));
    lines.extend(render::reencoded(&status.totals.reencoded).map(|counts| format!("reencoded  {counts}")));
    let stopped = figures.progress().filter_map(|progress| Some((&progress.partition, progress.stopped.as_ref()?)));
    lines.extend(stopped.map(|(partition, reason)| format!("STOPPED    {partition}: {reason}")));
    lines.extend(render::gaps(figures.progress(), limit));
    lines.push(String::new());
    lines.push(render::lags(figures.progress(), limit));
    lines.join("\n")
}

fn gate_text(gate: &Gate) -> String {
    let name = gate.name;
    match (gate.state, &gate.decision) {
        (GateState::Open, _) => format!("{name} is open since {}", gate.opened_at.format("%Y-%m-%dT%H:%M:%SZ")),
        (_, Some(decision)) => {
            format!("{name}: {} by {}", decision.verdict, gate.decided_by.as_deref().unwrap_or("somebody"))
        }
        (_, None) => format!("{name}: undecided"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_line::CommandLine;
    use crate::test_support::{config, meta, partition, start, way};
    use chrono::TimeDelta;
    use journal::{BatchProgress, GateName};
    use migration::BatchId;
    use migration::progress::{Gap, PartitionProgress};
    use serde_json::json;

    fn now() -> DateTime<Utc> {
        start() + TimeDelta::seconds(5 + 723)
    }

    /// Partitions as they were stored four seconds ago.
    fn figures(phase: Phase, partitions: &[PartitionProgress]) -> Figures {
        let at = Some(now() - TimeDelta::seconds(4));
        let batch = BatchProgress { batch: BatchId(0), at, partitions: partitions.to_vec() };
        Figures::of_journal(&meta(phase), &[batch], &[], None, now())
    }

    fn at(phase: Phase, partitions: &[PartitionProgress]) -> Status {
        let gate = (phase == Phase::DrainReady).then(|| Gate {
            name: GateName::Cutover,
            attempt: 1,
            state: GateState::Open,
            decision: None,
            decided_by: None,
            decided_at: None,
            opened_at: start(),
            deadline: None,
        });
        let snapshot = Snapshot { meta: meta(phase), gate };
        let id: MigrationId = "m1".parse().unwrap();
        let line = CommandLine { migration_id: id.clone(), config: None, journal_dir: None };
        let next = advice::next(&snapshot, &config(), &line);
        status(&id, snapshot, next, way(phase), &figures(phase, partitions), None, now(), &config())
    }

    #[test]
    fn a_status_is_read_from_top_to_bottom() {
        let mut stopped = partition("b", 0, 4, 10);
        stopped.stopped = Some("foreign record".to_owned());
        let mut reencoded = partition("a", 0, 10, 10);
        reencoded.reencoded.add("merged", 1200);
        reencoded.reencoded.add("holes", 2);
        reencoded.gaps.add(&Gap { from: 2, to: 5, at: "then".to_owned() }, 2);
        let partitions = [reencoded, stopped];
        let mut status = at(Phase::DrainReady, &partitions);
        let arn = "arn:aws:states:us-east-1:1:execution:migrations:m1-1".to_owned();
        status.set_running(Some(Running::Execution { arn, started: start() }), String::new);
        let text = text(&status, &figures(Phase::DrainReady, &partitions), 20, now());
        let expected = "migration  m1
phase      drain_ready for 12m 03s
next       prepare the clients, then start the cutover
           msk-kraft cutover --migration-id m1
runs       execution m1-1 since 2026-04-25T06:15:06Z
gate       cutover is open since 2026-04-25T06:15:06Z
producers  never frozen
note       1 partition stopped and is not copied any further: see the reasons
copied     2 partitions, 1 seeded; 14 records, 1.37 KiB copied; last checkpoint at 2026-04-25T06:27:10Z (4s ago)
lag        max 6, total 6 as the copy saw it last, as of 2026-04-25T06:27:10Z (4s ago)
reencoded  1,202 batches: 2 holes, 1200 merged
STOPPED    b/0: foreign record
gap        a/0: the source deleted 3 offsets before they were copied, at most as many records (1 gap: 2 to 5 at then)

 PARTITION  LAG  SOURCE NEXT  SOURCE END  COPIED  BYTES  SEEDED
 b/0          6            4          10       4    400  no
 a/0          0           10          10      10   1000  yes";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_status_without_progress_is_short() {
        let text = text(&at(Phase::Precheck, &[]), &figures(Phase::Precheck, &[]), 20, start());
        assert!(text.ends_with("copied     nothing known"), "{text}");
    }

    #[test]
    fn json_holds_every_partition() {
        let mut partitions: Vec<_> = (0..30).map(|number| partition("a", number, 1, 3)).collect();
        partitions[3].reencoded.add("old-format", 5);
        partitions[3].gaps.add(&Gap { from: 2, to: 5, at: "then".to_owned() }, 2);
        let json = serde_json::to_value(at(Phase::Tail, &partitions)).unwrap();
        assert_eq!(json["phase"], "tail");
        assert_eq!(json["partitions"].as_array().unwrap().len(), 30);
        assert_eq!(json["partitions"][3]["lag"], 2);
        assert_eq!(json["totals"]["total_lag"], 60);
        assert_eq!(json["partitions"][3]["reencoded"], serde_json::json!({"old-format": 5}));
        assert_eq!(json["partitions"][4]["reencoded"], serde_json::json!({}));
        assert_eq!(json["totals"]["reencoded"], json["partitions"][3]["reencoded"]);
        let gap = serde_json::json!({"from": 2, "to": 5, "at": "then"});
        assert_eq!(json["partitions"][3]["gaps"], serde_json::json!({"offsets": 3, "count": 1, "last": [gap]}));
        assert_eq!((&json["totals"]["gap_offsets"], &json["partitions"][4]["gaps"]["count"]), (&3.into(), &0.into()));
        assert_eq!(json["seconds_in_phase"], 724);
        assert_eq!(json["next"]["command"], "msk-kraft resume --migration-id m1");
        assert_eq!((&json["lag"]["max"], &json["lag"]["source"]), (&2.into(), &"journal".into()));
        assert_eq!(
            (&json["partitions"][3]["source"], &json["lag"]["measured_at"]),
            (&"journal".into(), &json["checkpointed_at"])
        );
    }

    #[test]
    fn where_nothing_runs_that_comes_first() {
        let mut status = at(Phase::DrainReady, &[partition("a", 0, 0, 900)]);
        status.set_running(Some(Running::Nothing), || "msk-kraft resume".to_owned());
        status.warn_before_cutover(&config(), || "msk-kraft status".to_owned());
        assert!(status.notes[0].starts_with("no execution of this migration runs"), "{:?}", status.notes);
        assert_eq!(status.next.command.as_deref(), Some("msk-kraft resume"));
    }

    #[test]
    fn nobody_is_sent_into_a_cutover_that_cannot_end() {
        let next = |partition: PartitionProgress, tails: Option<Tails>| {
            let mut status = at(Phase::DrainReady, &[partition]);
            status.tails = tails;
            status.warn_before_cutover(&config(), || "msk-kraft status".to_owned());
            status.next.command.unwrap()
        };
        let mut stopped = partition("a", 0, 10, 10);
        stopped.stopped = Some("foreign record".to_owned());
        let (cutover, status) = ("msk-kraft cutover --migration-id m1", "msk-kraft status");
        assert_eq!(next(partition("a", 0, 10, 110), None), cutover);
        assert_eq!(next(partition("a", 0, 10, 111), None), status);
        assert_eq!(next(stopped, None), status);
        assert_eq!(next(partition("a", 0, 10, 10), Some(Tails::of(&[(BatchId(0), None)], now()))), status);
    }

    #[test]
    fn another_configuration_is_noted_with_its_fields() {
        let mut status = at(Phase::DrainReady, &[]);
        status.set_config_changes(&["cutover.fence_window".to_owned()]);
        assert!(status.notes.last().unwrap().contains("cutover.fence_window differs"), "{:?}", status.notes);
        assert_eq!(status.config_changes, ["cutover.fence_window"]);
    }

    #[test]
    fn copy_time_configs_that_stayed_are_noted() {
        let mut meta = meta(Phase::Failed);
        assert_eq!(copy_time_configs(&meta), None);
        meta.committed = true;
        assert!(copy_time_configs(&meta).unwrap().contains("copy-time configs"));
        meta.facts.insert("configs_restored_at".to_owned(), serde_json::json!("2026-04-25T06:15:06Z"));
        assert_eq!(copy_time_configs(&meta), None);
    }

    #[test]
    fn changes_on_the_source_are_notes() {
        let mut meta = meta(Phase::Tail);
        assert!(lines(&meta, CHANGES).is_empty());
        meta.facts.insert(CHANGES.to_owned(), serde_json::json!(["topic a was created", "b/0: removed"]));
        assert_eq!(lines(&meta, CHANGES), ["topic a was created", "b/0: removed"]);
    }

    #[test]
    fn late_records_are_notes() {
        let mut meta = meta(Phase::Validating);
        let late =
            "orders/3: 2 records were written to the source behind the fence; msk-kraft late-records appends them";
        meta.facts.insert(late::FACT.to_owned(), json!([late]));
        let snapshot = Snapshot { meta, gate: None };
        let id: MigrationId = "m1".parse().unwrap();
        let line = CommandLine { migration_id: id.clone(), config: None, journal_dir: None };
        let next = advice::next(&snapshot, &config(), &line);
        let way = way(Phase::Validating);
        let status = status(&id, snapshot, next, way, &figures(Phase::Validating, &[]), None, now(), &config());
        assert!(status.notes.iter().any(|note| note == late), "{:?}", status.notes);
    }

    #[test]
    fn producers_that_stand_still_are_noted_in_every_phase_in_which_they_should_not() {
        let asked = json!([{"asked_at": start(), "how": "webhook", "by": "webhook"}]);
        let frozen = json!([{"asked_at": start(), "frozen_at": start(), "how": "webhook", "by": "webhook"}]);
        let unheard = json!([{"asked_at": start(), "reached": false, "how": "webhook", "by": "webhook"}]);
        let notes = |phase, committed, freeze: &serde_json::Value| {
            let freeze: Freeze = serde_json::from_value(freeze.clone()).unwrap();
            notes(phase, committed, Some(&freeze), &Totals::of(&[]), start() + TimeDelta::seconds(30), &config())
                .join("; ")
        };
        for phase in [Phase::Tail, Phase::DrainReady, Phase::Failed, Phase::RolledBack] {
            assert!(notes(phase, false, &frozen).contains("producers are still FROZEN"), "{phase}");
            assert!(notes(phase, false, &asked).contains("some may stand still"), "{phase}");
            assert_eq!(notes(phase, false, &unheard), "", "{phase}");
        }
        assert_eq!(notes(Phase::Cutover, false, &frozen), "", "as they should");
        assert!(
            !notes(Phase::Failed, true, &frozen).contains("rollback` lets"),
            "behind the point of no return they stay so"
        );
    }

    #[test]
    fn a_lag_that_is_too_large_is_noted() {
        let noted = |lag| !at(Phase::Tail, &[partition("a", 0, 0, lag)]).notes.is_empty();
        assert!(noted(101) && !noted(100));
    }
}
