//! What must be true of a world in the end, from what really happened on the source and what really lies on the target.

use std::collections::BTreeSet;
use std::ops::Range;

use journal::Health;
use kafka::batch::Record;
use migration::config::RecordsDeleted;
use migration::progress::PartitionProgress;
use offsets::{OffsetRuns, store as runs_store};

use crate::client::Invocation;
use crate::cloud::Item;
use crate::schedule::GONE;
use crate::source::SourceLog;
use crate::target::TargetLog;
use crate::world::{PRODUCER, Shared, World, name};

/// A broken promise, in words.
type Verdict = Result<(), String>;

/// Judges every partition.
///
/// # Errors
/// The first broken promise.
pub(crate) async fn judge(world: &Shared) -> Verdict {
    if let Some(misdeed) = world.lock().knowledge.misdeed.take() {
        return Err(misdeed);
    }
    check_heartbeat(&world.lock().item)?;
    let partitions = world.lock().item.partitions.clone();
    for (index, progress) in partitions.iter().enumerate() {
        let runs = runs_store::load(copy::ports::Ports::bucket(&Invocation::new(world, 0)), progress).await;
        let runs = runs.map_err(|error| error.to_string())?;
        let world = &mut *world.lock();
        let case = Case::of(world, index, progress, runs);
        case.judge().map_err(|why| format!("{}: {why}", name(index)))?;
        let seen = case.kinds();
        seen.into_iter().for_each(|kind| world.saw(kind));
    }
    Ok(())
}

/// The last invocation, which nothing disturbed, is the one that was heard of last.
fn check_heartbeat(item: &Item) -> Verdict {
    match &item.heartbeat {
        Some((epoch, health)) if *epoch == item.epoch && !matches!(health, Health::Failing(_)) => Ok(()),
        other => Err(format!("claim {} was the last one, but what is known of it is {other:?}", item.epoch)),
    }
}

/// One partition at the end.
struct Case<'a> {
    source: &'a SourceLog,
    target: &'a TargetLog,
    first: i64,
    progress: &'a PartitionProgress,
    runs: OffsetRuns,
    /// Whether the copy was to go on behind deleted records in the end, and from the beginning.
    records_gaps: (bool, bool),
    /// Every gap that the journal ever had.
    gaps: Vec<Range<i64>>,
}

impl<'a> Case<'a> {
    fn of(world: &'a World, index: usize, progress: &'a PartitionProgress, runs: OffsetRuns) -> Self {
        let record = RecordsDeleted::RecordGap;
        let gaps = world.item.gaps.iter().filter(|(partition, ..)| *partition == progress.partition);
        Self {
            source: &world.source[index],
            target: &world.target[index],
            first: world.first,
            progress,
            runs,
            records_gaps: (world.topology.on_records_deleted == record, world.faults.on_records_deleted == record),
            gaps: gaps.map(|(_, from, to)| *from..*to).collect(),
        }
    }

    fn judge(&self) -> Verdict {
        if self.target.hole.is_some() {
            return self.check_hole();
        }
        self.check_stop()?;
        let copied = self.copied()?;
        self.check_gaps(&copied)?;
        self.check_nothing_lost(&copied)?;
        self.check_translation(&copied)
    }

    /// What the test should meet now and then.
    fn kinds(&self) -> Vec<&'static str> {
        let reason = self.progress.stopped.as_deref().unwrap_or_default();
        let wraps = self.first > 0 && self.progress.target_next > 1 << 31;
        let kinds = [
            (self.progress.stopped.is_none(), "partition whole"),
            (reason.contains("somebody else"), "stopped: foreign writer"),
            (reason.contains("are missing there"), "stopped: a hole on the target"),
            (reason.contains(GONE), "stopped: deleted on the source"),
            (!self.gaps.is_empty() && self.progress.stopped.is_none(), "gap in a whole partition"),
            (!self.gaps.is_empty() && !self.records_gaps.1, "gap behind a resume"),
            (
                self.gaps.iter().any(|gap| self.runs.translate(gap.end) < self.progress.target_next),
                "gap with records on both sides",
            ),
            (reason.contains("cannot be copied exactly"), "stopped: damaged"),
            (self.target.refused_size, "stopped: too large"),
            (!self.source.compacted.is_empty(), "compacted"),
            (wraps, "sequence wrapped"),
        ];
        kinds.into_iter().filter(|(seen, _)| *seen).map(|(_, kind)| kind).collect()
    }

    /// What lies on the target is not what was copied to it.
    fn check_hole(&self) -> Verdict {
        match (&self.progress.stopped, self.target.hole) {
            (None, Some(hole)) => Err(format!("the target lost the batch at {hole}, and nobody noticed")),
            _ => Ok(()),
        }
    }

    /// A partition stops when, and only when, it has to.
    fn check_stop(&self) -> Verdict {
        let end = self.target.end();
        match (&self.progress.stopped, self.target.spoiled) {
            (None, Some(spoiled)) => Err(format!("{spoiled:?} was not noticed")),
            (None, None) if end != self.progress.target_next => {
                Err(format!("the target ends at {end}, the journal says {}", self.progress.target_next))
            }
            (None, None) => Ok(()),
            (Some(reason), spoiled) => {
                let deleted = self.source.start() > self.progress.source_next;
                let named = |base: &i64| reason.contains(&format!("batch at offset {base} "));
                let damaged = self.source.damaged.iter().any(named);
                if reason.contains(GONE) && self.records_gaps.0 {
                    return Err(format!("stopped although the gap was to be recorded: {reason}"));
                }
                if spoiled.is_none() && !deleted && !damaged && !self.target.refused_size {
                    return Err(format!("stopped although nothing was wrong: {reason}"));
                }
                let place = format!("{}, offset ", self.progress.partition);
                if reason.contains(&place) { Ok(()) } else { Err(format!("the stop names no place: {reason}")) }
            }
        }
    }

    /// Source offsets of what lies on the target up to where the journal says, each record compared with the one that was
    /// committed there.
    fn copied(&self) -> Result<BTreeSet<i64>, String> {
        let ours = self.target.log().iter().take_while(|stored| stored.end() <= self.progress.target_next);
        let mut copied = BTreeSet::new();
        let mut next = self.first;
        for stored in ours {
            let batch = &stored.batch;
            let sequence = (stored.base & i64::from(i32::MAX)) as i32;
            if (batch.producer, batch.epoch, batch.sequence) != (PRODUCER, 0, sequence) || batch.append_time.is_some() {
                return Err(format!("target offset {next} is not as this producer writes: {batch:?}"));
            }
            for record in &batch.records {
                let source = self.runs.source_of(next).ok_or_else(|| format!("no run has target offset {next}"))?;
                let expected = self.source.committed.get(&source);
                if expected.map(content) != Some(content(record)) {
                    return Err(format!("target offset {next} is {record:?}, but {source} was {expected:?}"));
                }
                if copied.last().is_some_and(|last| *last >= source) {
                    return Err(format!("{source} comes behind {:?}", copied.last()));
                }
                copied.insert(source);
                next += 1;
            }
        }
        match next == self.progress.target_next {
            true => Ok(copied),
            false => Err(format!("the journal says {}, the copy ends at {next}", self.progress.target_next)),
        }
    }

    /// What the journal has of gaps is what was deleted, and each offset is counted once.
    fn check_gaps(&self, copied: &BTreeSet<i64>) -> Verdict {
        if !self.gaps.is_empty() && !self.records_gaps.0 {
            return Err(format!("gaps {:?} were to stop the partition", self.gaps));
        }
        let mut counted = 0;
        let mut reached = i64::MIN;
        for gap in &self.gaps {
            if !self.source.starts.contains(&gap.end) {
                return Err(format!("gap {gap:?} ends where the source's log never started"));
            }
            if let Some(there) = copied.range(gap.clone()).next() {
                return Err(format!("{there} was copied and is in the gap {gap:?}"));
            }
            counted += (gap.end - gap.start.max(reached)).max(0);
            reached = reached.max(gap.end);
        }
        match counted == self.progress.gaps.offsets {
            true => Ok(()),
            false => Err(format!("the journal counts {:?}, its gaps were {:?}", self.progress.gaps, self.gaps)),
        }
    }

    /// What a consumer would still find up to where the copy came is there, and so is what was deleted behind the first
    /// copied record, apart from gaps.
    fn check_nothing_lost(&self, copied: &BTreeSet<i64>) -> Verdict {
        let done = if self.progress.stopped.is_some() { self.progress.source_next } else { self.source.last_stable() };
        let present = self.source.present().filter(|offset| *offset >= self.progress.source_start);
        if let Some(lost) = present.take_while(|offset| *offset < done).find(|offset| !copied.contains(offset)) {
            return Err(format!("{lost} is on the source and not on the target"));
        }
        let first = copied.first().copied().unwrap_or(i64::MAX);
        let deleted = self.source.committed.keys().filter(|offset| (first..done).contains(*offset));
        let mut deleted = deleted.filter(|offset| !self.source.compacted.contains(offset));
        let is_known = |offset: &i64| copied.contains(offset) || self.gaps.iter().any(|gap| gap.contains(offset));
        match deleted.find(|offset| !is_known(offset)) {
            Some(lost) => Err(format!("{lost} was deleted before it was copied, and nobody noticed")),
            None => Ok(()),
        }
    }

    /// Offset runs translate every offset as counting does.
    fn check_translation(&self, copied: &BTreeSet<i64>) -> Verdict {
        let mut below = 0;
        for offset in self.progress.source_start..=self.source.end() {
            let expected = self.first + below;
            let translated = self.runs.translate(offset);
            if translated != expected {
                return Err(format!("{offset} translates to {translated}, counted was {expected}"));
            }
            below += i64::from(copied.contains(&offset));
        }
        Ok(())
    }
}

/// A record without its offset.
fn content(record: &Record) -> impl PartialEq + use<'_> {
    (record.timestamp, &record.key, &record.value, &record.headers)
}
