//! The runs of one partition, read part by part.

use futures::{Stream, StreamExt, stream};
use migration::progress::PartitionProgress;
use migration::{Result, TopicPartition};
use serde::Serialize;

use super::sealed::Part;
use super::{get, get_part, open_runs};
use crate::runs::OffsetRuns;
use documents::Objects;

/// Parts fetched ahead while they are read one after the other.
const AHEAD: usize = 3;

/// Where a source offset leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The record at this source offset was copied.
    Record,
    /// No record of this source offset was copied (a transaction marker, an aborted record, a compaction hole): the next
    /// record that was.
    NextRecord,
    /// Below the source's log start when the copy began: the first record that was copied.
    BelowStart,
    /// Every record up to this source offset was copied: where the next one comes to lie.
    End,
    /// Beyond the end of what was copied, which may be copied yet.
    Beyond,
}

/// The offset runs of one partition as of one state of its progress. Keeps the list of sealed parts, the open runs, and
/// the part that was looked at last.
#[derive(Debug)]
pub struct OffsetMap<'a, S> {
    store: &'a S,
    partition: TopicPartition,
    source_start: i64,
    source_next: i64,
    parts: Vec<Part>,
    /// Runs behind the last part.
    open: OffsetRuns,
    /// A part by its index.
    recent: Option<(usize, OffsetRuns)>,
}

impl<'a, S: Objects> OffsetMap<'a, S> {
    /// The map that `progress` refers to.
    ///
    /// # Errors
    /// Blocked when the newest sealed object is gone, Internal when the runs are damaged; otherwise those of the store.
    pub async fn open(store: &'a S, progress: &PartitionProgress) -> Result<Self> {
        let partition = progress.partition.clone();
        let (parts, recent) = match &progress.runs_key {
            Some(name) => {
                let sealed = get(store, name).await.map_err(|error| error.at(&partition))?;
                let last = sealed.parts.len() - 1;
                (sealed.parts, Some((last, sealed.runs)))
            }
            None => (Vec::new(), None),
        };
        let open = open_runs(progress)?;
        let PartitionProgress { source_start, source_next, .. } = *progress;
        Ok(Self { store, partition, source_start, source_next, parts, open, recent })
    }

    /// Number of runs at most; two stretches may meet within one.
    pub fn runs(&self) -> usize {
        self.parts.iter().map(|part| part.runs).sum::<usize>() + self.open.len()
    }

    /// The runs in stretches that follow each other, read ahead a few at a time. Together they are the whole map.
    pub fn stretches(&self) -> impl Stream<Item = Result<OffsetRuns>> + Send + '_
    where
        S: 'a,
    {
        let sealed = stream::iter(&self.parts).map(|part| get_part(self.store, &self.partition, part));
        sealed.buffered(AHEAD).chain(stream::once(async { Ok(self.open.clone()) }))
    }

    /// Target offset of the first copied record whose source offset is at least `source`, as
    /// [`OffsetRuns::translate`], and what is there. Reads one sealed object at most, and none when the one before led to
    /// the same: ask in ascending order.
    ///
    /// # Errors
    /// Those of [`OffsetMap::open`].
    pub async fn find(&mut self, source: i64) -> Result<(i64, Place)> {
        let stretch = self.stretch_of(source).await?;
        let target = stretch.translate(source);
        let place = match source {
            _ if stretch.source_of(target) == Some(source) => Place::Record,
            _ if source < self.source_start => Place::BelowStart,
            _ if source > self.source_next => Place::Beyond,
            _ if source == self.source_next || target == self.open.target_end() => Place::End,
            _ => Place::NextRecord,
        };
        Ok((target, place))
    }

    /// Source offset of the record at `target`, if it was copied. Reads one sealed object at most, and none when the one before
    /// led to the same: ask in ascending order.
    ///
    /// # Errors
    /// Those of [`OffsetMap::open`].
    pub async fn source_of(&mut self, target: i64) -> Result<Option<i64>> {
        if target >= self.open.target_start() {
            return Ok(self.open.source_of(target));
        }
        let after = self.parts.partition_point(|part| part.target <= target);
        let Some(index) = after.checked_sub(1) else { return Ok(None) };
        Ok(self.part(index).await?.source_of(target))
    }

    /// The stretch that decides about `source`: the last one that begins at or before it, else the first.
    async fn stretch_of(&mut self, source: i64) -> Result<&OffsetRuns> {
        if self.parts.is_empty() || self.open.as_slice().first().is_some_and(|first| first.source <= source) {
            return Ok(&self.open);
        }
        let index = self.parts.partition_point(|part| part.source <= source).saturating_sub(1);
        self.part(index).await
    }

    /// The runs of the part at `index`. Those of another one are let go before they are read, so that one is in memory at most.
    async fn part(&mut self, index: usize) -> Result<&OffsetRuns> {
        let known = self.recent.take_if(|(recent, _)| *recent == index);
        self.recent = None;
        let runs = match known {
            Some((_, runs)) => runs,
            None => get_part(self.store, &self.partition, &self.parts[index]).await?,
        };
        Ok(&self.recent.insert((index, runs)).1)
    }

    /// Number of sealed parts.
    pub const fn parts(&self) -> usize {
        self.parts.len()
    }
}

#[cfg(test)]
mod tests;
