//! Where figures are from.

use super::*;
use crate::test_support::{meta, partition, start};
use chrono::TimeDelta;
use copy::measure::{LagTotals, MeasuredTopic, Stopped, Unmeasured};
use journal::{CopyWork, LastError};
use migration::ErrorKind;

fn later(seconds: i64) -> DateTime<Utc> {
    start() + TimeDelta::seconds(seconds)
}

/// Two batches: a/0 and a/1 stored at second 10, b/0 at second 20.
fn batches() -> Vec<BatchProgress> {
    let batch = |number, at, partitions| BatchProgress { batch: BatchId(number), at: Some(later(at)), partitions };
    vec![
        batch(0, 10, vec![partition("a", 0, 10, 10), partition("a", 1, 4, 4)]),
        batch(1, 20, vec![partition("b", 0, 7, 9)]),
    ]
}

fn beat(at: i64, error: Option<&str>) -> Heartbeat {
    let error =
        error.map(|message| LastError { kind: ErrorKind::Transient, message: message.to_owned(), at: later(at) });
    let work = Some(CopyWork::Tail);
    Heartbeat { at: Some(later(at)), epoch: 1, owner: String::new(), work, error, refused: None }
}

fn measured(unmeasured: Option<Unmeasured>) -> Measured {
    let all = vec![MeasuredPartition(0, 0, 10, 10), MeasuredPartition(1, 6, 4, 5010)];
    Measured {
        at: later(60),
        phase: Phase::DrainReady,
        totals: LagTotals::default(),
        topics: vec![MeasuredTopic { topic: "a".into(), partitions: all }],
        omitted: 0,
        unmeasured,
        stopped: Stopped::default(),
        tails: Some(Tails::of(&[(BatchId(0), Some(beat(58, Some("no leader")))), (BatchId(1), None)], later(60))),
    }
}

#[test]
fn what_the_source_was_asked_for_counts_and_the_rest_is_marked() {
    let first = vec![TopicPartition::new("b", 0)];
    let unmeasured = Some(Unmeasured { count: 1, first, reason: "the source has no leader of it".to_owned() });
    let figures = Figures::measured(&meta(Phase::DrainReady), &batches(), measured(unmeasured), &[], later(61));
    let lag = figures.lag.clone().unwrap();
    assert_eq!((lag.max, lag.total, lag.source, lag.unmeasured), (5006, 5008, Origin::Source, 1));
    let expected = format!(
        "max 5006, total 5008 at the source, asked at {}; of 1 partition it did not tell: the source has no leader of it, their \
         lag is what the copy saw last",
        render::moment(later(60))
    );
    assert_eq!(lag.text(later(61)), expected);
    let json: Vec<_> =
        figures.partitions.iter().map(|one| serde_json::to_value(Partition::from(one)).unwrap()).collect();
    assert_eq!((&json[1]["source"], &json[1]["source_end"]), (&"source".into(), &5010.into()));
    assert_eq!((&json[1]["lag"], &json[1]["source_log_start"]), (&5006.into(), &6.into()));
    assert_eq!((&json[2]["source"], &json[2]["lag"]), (&"journal".into(), &2.into()));
    assert_eq!(json[2]["measured_at"], serde_json::json!(later(20)));
    let notes = figures.notes();
    assert!(notes[0].starts_with("no function follows 1 of 2 batches: 0001"), "{notes:?}");
    assert!(notes[1].contains("0000") && notes[1].contains("no leader"), "{notes:?}");
    assert_eq!(
        notes[2],
        "the source deleted records of 1 partition before they were copied (a/1): raise their retention there, unless \
         topology.record_gap_of or on_records_deleted lets the copy go on"
    );
}

#[test]
fn without_an_answer_the_age_of_the_oldest_part_is_said() {
    let reason = Some("function tail-batch did not answer within 20 s".to_owned());
    let of = |beats: &[(BatchId, Option<Heartbeat>)], reason: Option<String>| {
        let figures = Figures::of_journal(&meta(Phase::DrainReady), &batches(), beats, reason, later(71));
        figures.lag.unwrap().text(later(71))
    };
    let expected = format!(
        "max 2, total 2 as the copy saw it last, as of {} (1m 01s ago); the source could not be asked: function tail-batch did \
         not answer within 20 s",
        render::moment(later(10))
    );
    assert_eq!(of(&[], reason), expected);
    // A function at work without trouble has seen nothing newer; one with trouble, or that is silent, says nothing.
    let text = of(&[(BatchId(0), Some(beat(69, None))), (BatchId(1), Some(beat(68, None)))], None);
    assert!(text.ends_with("(3s ago)"), "{text}");
    let text = of(&[(BatchId(0), Some(beat(69, Some("refused")))), (BatchId(1), Some(beat(30, None)))], None);
    assert!(text.ends_with("(1m 01s ago)"), "{text}");
    let mut old = batches();
    old[1].at = None;
    let figures = Figures::of_journal(&meta(Phase::Seed), &old, &[], None, later(71));
    assert!(figures.lag.unwrap().text(later(71)).ends_with("as of an unknown time"));
}

#[test]
fn topics_that_were_left_out_have_no_lag() {
    let mut meta = meta(Phase::Tail);
    meta.facts.insert(LEFT_OUT.to_owned(), serde_json::json!(["b"]));
    let figures = Figures::of_journal(&meta, &batches(), &[], None, later(71));
    assert_eq!((figures.partitions.len(), figures.lag.unwrap().max), (2, 0));
}

#[test]
fn the_source_is_asked_where_something_is_copied_or_was_until_it_failed() {
    assert!(
        [Phase::Seed, Phase::Tail, Phase::DrainReady, Phase::Cutover].into_iter().all(|phase| is_copied(&meta(phase)))
    );
    assert!(!is_copied(&meta(Phase::TopologyCopy)) && !is_copied(&meta(Phase::Validating)));
    let failed =
        |failed_in, committed| is_copied(&Meta { failed_in: Some(failed_in), committed, ..meta(Phase::Failed) });
    assert!(failed(Phase::DrainReady, false) && !failed(Phase::Cutover, true) && !failed(Phase::Precheck, false));
}
