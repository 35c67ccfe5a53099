//! The reading stage: what goes into a round, and when reading ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use journal::TailWanted;
use migration::{Result, TopicPartition};
use runtime::{Budget, Run};
use tokio::sync::mpsc;

use super::stopped::Stopped;
use super::{Outcome, Round, Work};
use crate::reader::Reader;
use crate::slice::Slice;

/// Most bytes after which a seed's round is handed on. Up to four rounds are in memory at a time.
const ROUND_BYTES: usize = 16 * 1024 * 1024;

/// How often the journal is asked whether to go on.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Reads rounds into `rounds` until the work is done, the time is up, the journal says stop, or nobody takes them.
pub(super) async fn read(
    run: &Run<'_>,
    work: Work,
    budget: Budget,
    reader: &mut Reader,
    goals: BTreeMap<TopicPartition, i64>,
    stopped: &Stopped,
    rounds: mpsc::Sender<Round>,
) -> Result<Outcome> {
    let mut asked = None::<Instant>;
    loop {
        // Sending would tell as well, but a source on which nothing happens gives nothing to send.
        if rounds.is_closed() {
            return Ok(Outcome::Done);
        }
        if asked.is_none_or(|at| at.elapsed() >= ASK_EVERY) {
            asked = Some(Instant::now());
            if run.journal.tail_wanted().await? == TailWanted::Stop {
                return Ok(Outcome::Stopped);
            }
        }
        if budget.is_spent() {
            return Ok(Outcome::OutOfTime);
        }
        let Some(round) = next_round(work, reader, &goals, stopped).await? else { return Ok(Outcome::Done) };
        if !round.is_empty() && rounds.send(round).await.is_err() {
            // The next stage ended first and says why.
            return Ok(Outcome::Done);
        }
    }
}

/// The next round, possibly empty; `None` when there is nothing left to read.
async fn next_round(
    work: Work,
    reader: &mut Reader,
    goals: &BTreeMap<TopicPartition, i64>,
    stopped: &Stopped,
) -> Result<Option<Round>> {
    let unfinished = |reader: &Reader, partition: &TopicPartition| match work {
        Work::Seed { .. } => reader.position(partition).is_some_and(|at| at.source_next < goals[partition]),
        Work::Tail => reader.position(partition).is_some(),
    };
    let (window, enough) = match work {
        Work::Seed { window, segment_bytes } => (window, segment_bytes.min(ROUND_BYTES)),
        Work::Tail => (usize::MAX, 0),
    };
    let open = goals.keys().filter(|partition| unfinished(reader, partition) && !stopped.contains(partition));
    let mut active: Vec<_> = open.take(window).cloned().collect();
    if active.is_empty() && matches!(work, Work::Seed { .. }) {
        return Ok(None);
    }
    let mut round: BTreeMap<TopicPartition, Slice> = BTreeMap::new();
    loop {
        let moved = read_into(&mut round, reader, &active).await?;
        active.retain(|partition| unfinished(reader, partition) && !stopped.contains(partition));
        let bytes: usize = round.values().map(Slice::bytes).sum();
        if !moved || active.is_empty() || bytes >= enough {
            return Ok(Some(round.into_values().collect()));
        }
    }
}

/// Reads once and appends to `round`; whether any partition moved on.
async fn read_into(
    round: &mut BTreeMap<TopicPartition, Slice>,
    reader: &mut Reader,
    active: &[TopicPartition],
) -> Result<bool> {
    let mut moved = false;
    for slice in reader.read(active).await {
        if slice.to == slice.from && slice.fault.is_none() {
            continue;
        }
        moved |= slice.to != slice.from;
        match round.get_mut(&slice.partition) {
            Some(earlier) => earlier.join(slice)?,
            None => drop(round.insert(slice.partition.clone(), slice)),
        }
    }
    Ok(moved)
}
