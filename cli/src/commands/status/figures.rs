//! How far every partition is, with the moment and the place that each figure is from: the source, asked for it now, or else
//! the journal, which has it as the copy saw it last.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use copy::measure::{Measured, MeasuredPartition};
use journal::{BatchProgress, Heartbeat, Meta, TailWanted, Tails};
use migration::progress::{Gaps, PartitionProgress, ReencodedCounts};
use migration::{BatchId, Phase, Result, TopicPartition};
use runtime::run::LEFT_OUT;
use serde::Serialize;

use crate::progress::Totals;
use crate::session::Session;
use crate::{render, words};

/// Partitions that a note names.
const NAMED: usize = 3;

/// Where a lag is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Origin {
    /// The source's end was asked for it.
    Source,
    /// The source's end is the one that the copy saw last.
    Journal,
}

/// A partition.
#[derive(Debug, Clone)]
pub(super) struct Figure {
    /// How far it is; its source end is that of `origin`.
    pub(super) progress: PartitionProgress,
    /// Where its lag is from.
    origin: Origin,
    /// When its lag was so; unknown where only an older release knew.
    measured_at: Option<DateTime<Utc>>,
    /// Where its log starts on the source, when that was asked.
    log_start: Option<i64>,
}

/// A partition as `--output json` shows it. Offsets and counts are in records.
#[derive(Debug, Serialize)]
pub(super) struct Partition {
    topic: String,
    partition: i32,
    lag: i64,
    source: Origin,
    measured_at: Option<DateTime<Utc>>,
    source_log_start: Option<i64>,
    source_start: i64,
    source_next: i64,
    source_end: i64,
    seed_end: i64,
    seeded: bool,
    copied: i64,
    bytes: i64,
    reencoded: ReencodedCounts,
    gaps: Gaps,
    stopped: Option<String>,
}

impl From<&Figure> for Partition {
    fn from(Figure { progress, origin, measured_at, log_start }: &Figure) -> Self {
        Self {
            topic: progress.partition.topic.to_string(),
            partition: progress.partition.partition,
            lag: progress.lag(),
            source: *origin,
            measured_at: *measured_at,
            source_log_start: *log_start,
            source_start: progress.source_start,
            source_next: progress.source_next,
            source_end: progress.source_end,
            seed_end: progress.seed_end,
            seeded: progress.is_seeded(),
            copied: progress.target_next,
            bytes: progress.bytes,
            reencoded: progress.reencoded.clone(),
            gaps: progress.gaps.clone(),
            stopped: progress.stopped.clone(),
        }
    }
}

/// The lag of all partitions, and where it is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Lag {
    /// Largest of a partition, in source offsets.
    pub(super) max: i64,
    /// Of all partitions.
    pub(super) total: i64,
    /// Where it is from.
    pub(super) source: Origin,
    /// When it was so: when the source was asked, or when the copy saw the oldest part of it.
    pub(super) measured_at: Option<DateTime<Utc>>,
    /// Partitions of which the source did not tell, whose lag is the one that the copy saw last.
    pub(super) unmeasured: usize,
    /// Why the source was not asked, or did not tell of some.
    pub(super) why_not: Option<String>,
}

/// Everything that is known of the copy.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Every partition, without those of topics that were left out.
    pub(super) partitions: Vec<Figure>,
    /// Sums over them.
    pub(super) totals: Totals,
    /// Their lag; nothing before there are partitions.
    pub(super) lag: Option<Lag>,
    /// When the newest checkpoint was made.
    pub(super) checkpoint: Option<DateTime<Utc>>,
    /// The functions that copy, in phases in which some should.
    pub(super) tails: Option<Tails>,
    /// When these were looked at.
    pub(super) tails_at: Option<DateTime<Utc>>,
}

/// Whether the lag of a migration means anything, so that the source is asked for it.
fn is_copied(meta: &Meta) -> bool {
    let copied = |phase| matches!(phase, Phase::Seed | Phase::Tail | Phase::DrainReady | Phase::Cutover);
    copied(meta.phase) || meta.phase == Phase::Failed && !meta.committed && meta.failed_in.is_some_and(copied)
}

/// Gathers everything, from the source as far as it can be asked.
///
/// # Errors
/// Those of the journal, and of S3 while batches are not known yet.
pub(super) async fn gather(session: &Session, meta: &Meta) -> Result<Figures> {
    let batches = session.progress(meta).await?;
    let known = batches.iter().any(|batch| !batch.partitions.is_empty());
    if !known || !is_copied(meta) {
        return Ok(Figures::of_journal(meta, &batches, &[], None, session.journal().now()));
    }
    let functions = session.functions();
    let (measured, heartbeats) = tokio::join!(functions.measure(session.id()), session.heartbeats(meta));
    let heartbeats = heartbeats?;
    let now = session.journal().now();
    Ok(match measured {
        Ok(measured) => Figures::measured(meta, &batches, measured, &heartbeats, now),
        Err(error) => {
            let control = session.patiently("read the copy's control", || session.journal().copy_control()).await?;
            let mut figures = Figures::of_journal(meta, &batches, &heartbeats, Some(error.to_string()), now);
            if control.wanted == TailWanted::Run {
                figures.tails = tails(meta.phase, &heartbeats, now);
                figures.tails_at = figures.tails.as_ref().map(|_| now);
            }
            figures
        }
    })
}

fn tails(phase: Phase, heartbeats: &[(BatchId, Option<Heartbeat>)], now: DateTime<Utc>) -> Option<Tails> {
    match phase {
        Phase::Seed => Some(Tails::seeding(heartbeats)),
        Phase::Tail | Phase::DrainReady | Phase::Cutover => Some(Tails::of(heartbeats, now)),
        _ => None,
    }
}

impl Figures {
    /// What the journal has; `why_not` says why the source was not asked, where it should have been.
    pub(super) fn of_journal(
        meta: &Meta,
        batches: &[BatchProgress],
        heartbeats: &[(BatchId, Option<Heartbeat>)],
        why_not: Option<String>,
        now: DateTime<Utc>,
    ) -> Self {
        let left_out = left_out(meta);
        let beats: BTreeMap<_, _> =
            heartbeats.iter().filter_map(|(batch, beat)| Some((*batch, beat.as_ref()?))).collect();
        let partitions: Vec<_> = batches
            .iter()
            .flat_map(|batch| {
                let measured_at = seen_at(batch, beats.get(&batch.batch).copied(), now);
                let kept = batch.partitions.iter().filter(|one| !left_out.contains(&*one.partition.topic));
                kept.map(move |one| Figure {
                    progress: one.clone(),
                    origin: Origin::Journal,
                    measured_at,
                    log_start: None,
                })
            })
            .collect();
        let checkpoint = batches.iter().filter_map(|batch| batch.at).max();
        Self { partitions, checkpoint, ..Self::default() }.summed(None, why_not)
    }

    /// What the source was asked for, with what the journal has beside it.
    fn measured(
        meta: &Meta,
        batches: &[BatchProgress],
        measured: Measured,
        heartbeats: &[(BatchId, Option<Heartbeat>)],
        now: DateTime<Utc>,
    ) -> Self {
        let Measured { at, topics, unmeasured, tails, .. } = measured;
        let mut asked: BTreeMap<TopicPartition, MeasuredPartition> = BTreeMap::new();
        for topic in topics {
            let named = |one: &MeasuredPartition| (TopicPartition::new(topic.topic.clone(), one.0), *one);
            asked.extend(topic.partitions.iter().map(named));
        }
        let mut figures = Self::of_journal(meta, batches, heartbeats, None, now);
        for figure in &mut figures.partitions {
            let Some(MeasuredPartition(_, start, next, end)) = asked.get(&figure.progress.partition) else { continue };
            (figure.progress.source_next, figure.progress.source_end) = (*next, *end);
            (figure.origin, figure.measured_at, figure.log_start) = (Origin::Source, Some(at), Some(*start));
        }
        let why_not = unmeasured.map(|unmeasured| unmeasured.reason);
        Self { tails_at: tails.as_ref().map(|_| at), tails, ..figures }.summed(Some(at), why_not)
    }

    /// Adds everything up. `asked` says when the source was asked, if it was.
    fn summed(mut self, asked: Option<DateTime<Utc>>, why_not: Option<String>) -> Self {
        self.totals = Totals::of(self.partitions.iter().map(|figure| &figure.progress));
        let of_journal = || self.partitions.iter().filter(|figure| figure.origin == Origin::Journal);
        self.lag = (!self.partitions.is_empty()).then(|| Lag {
            max: self.totals.max_lag,
            total: self.totals.total_lag,
            source: if asked.is_some() { Origin::Source } else { Origin::Journal },
            // One of an unknown age makes the age of all unknown.
            measured_at: asked.or_else(|| of_journal().map(|figure| figure.measured_at).min().flatten()),
            unmeasured: of_journal().count(),
            why_not,
        });
        self
    }

    /// Progress of every partition.
    pub(super) fn progress(&self) -> impl Iterator<Item = &PartitionProgress> {
        self.partitions.iter().map(|figure| &figure.progress)
    }

    /// What of the copy somebody who looks should not miss.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let (Some(tails), Some(at)) = (&self.tails, self.tails_at) {
            notes.extend(tails.lines(at));
        }
        notes.extend(self.overtaken());
        notes
    }

    /// That the source deletes records before they were copied.
    fn overtaken(&self) -> Option<String> {
        let overtaken = |figure: &&Figure| {
            let PartitionProgress { source_next, target_next, stopped, .. } = &figure.progress;
            *target_next > 0 && stopped.is_none() && figure.log_start.is_some_and(|start| start > *source_next)
        };
        let all: Vec<_> = self.partitions.iter().filter(overtaken).collect();
        let names: Vec<_> = all.iter().take(NAMED).map(|figure| figure.progress.partition.to_string()).collect();
        (!all.is_empty()).then(|| {
            format!(
                "the source deleted records of {} before they were copied ({}{}): raise their retention there, unless \
                 topology.record_gap_of or on_records_deleted lets the copy go on",
                words::count(all.len(), "partition"),
                names.join(", "),
                if all.len() > NAMED { ", ..." } else { "" }
            )
        })
    }
}

impl Lag {
    /// In words, with when and where it was measured.
    pub(super) fn text(&self, now: DateTime<Utc>) -> String {
        let lag = format!("max {}, total {}", self.max, self.total);
        let reason = || self.why_not.as_ref().map_or_else(String::new, |reason| format!(": {}", one_line(reason)));
        let moment = self.measured_at.map(render::moment);
        let moment = moment.unwrap_or_else(|| "an unknown time".to_owned());
        match self.source {
            Origin::Source if self.unmeasured == 0 => format!("{lag} at the source, asked at {moment}"),
            Origin::Source => format!(
                "{lag} at the source, asked at {moment}; of {} it did not tell{}, their lag is what the copy saw last",
                words::count(self.unmeasured, "partition"),
                reason()
            ),
            Origin::Journal => {
                let age = self.measured_at.map(|at| format!(" ({})", render::ago(at, now))).unwrap_or_default();
                let asked = if self.why_not.is_some() {
                    format!("; the source could not be asked{}", reason())
                } else {
                    String::new()
                };
                format!("{lag} as the copy saw it last, as of {moment}{age}{asked}")
            }
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// When what the journal has of `batch` was so. A function that copies without trouble would have said otherwise.
fn seen_at(batch: &BatchProgress, beat: Option<&Heartbeat>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let well = beat.filter(|beat| beat.is_alive(now) && beat.error.is_none() && beat.refused.is_none());
    batch.at.max(well.and_then(|beat| beat.at).filter(|_| batch.at.is_some()))
}

fn left_out(meta: &Meta) -> BTreeSet<String> {
    let names = meta.facts.get(LEFT_OUT).and_then(serde_json::Value::as_array);
    names.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests;
