//! The source's logs, as far as a cutover sees them: who wrote which offsets, what is decided, what a copy takes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cutover::ports::WrittenBatch;
use kafka::{AclBinding, ProducerIdentity};
use migration::TopicPartition;
use tokio::time::Instant;

/// The migration's transactional producer on the source.
pub(crate) const MARKER_PRODUCER: i64 = 9_000;

/// Who wrote a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// An application that obeys the freeze.
    Application,
    /// A producer that ignores it.
    Ignoring,
    /// The migration, as a sentinel.
    Sentinel,
}

/// What a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Records outside of transactions.
    Plain,
    /// Records of a transaction that is not decided.
    Open(i64),
    Committed,
    Aborted,
    /// A transaction marker.
    Control,
}

/// A batch in a log.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) base: i64,
    pub(crate) records: i64,
    pub(crate) kind: Kind,
    pub(crate) writer: Writer,
    pub(crate) identity: Option<ProducerIdentity>,
    /// When it was written, since the world began.
    pub(crate) at: Duration,
}

impl Entry {
    pub(crate) const fn end(&self) -> i64 {
        self.base + self.records
    }

    /// Whether a copy takes it.
    pub(crate) const fn is_copied(&self) -> bool {
        matches!(self.kind, Kind::Plain | Kind::Committed)
    }
}

/// One partition's log.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) entries: Vec<Entry>,
    pub(crate) start: i64,
    /// Why it takes no marker.
    pub(crate) no_marker: Option<&'static str>,
    /// Whether it takes no record of the migration.
    pub(crate) no_record: bool,
    /// Its leader is away until then.
    pub(crate) away_until: Option<Instant>,
    /// Whether its leader denies writing to everybody but super users, and by which edition of the rules.
    pub(crate) denies: bool,
    pub(crate) rules_edition: u64,
    /// The first offset of what its leader lost, and when, since the world began.
    pub(crate) lost: Option<(i64, Duration)>,
}

impl Log {
    pub(crate) fn starting_at(start: i64) -> Self {
        Self { start, ..Self::default() }
    }

    pub(crate) fn end(&self) -> i64 {
        self.entries.last().map_or(self.start, Entry::end)
    }

    /// Appends a batch and returns its first offset.
    pub(crate) fn append(&mut self, entry: Entry) -> i64 {
        let base = self.end();
        self.entries.push(Entry { base, ..entry });
        base
    }

    /// Decides the transaction of `producer` by a marker.
    pub(crate) fn decide(&mut self, producer: i64, commit: bool, at: Duration) {
        let decided = if commit { Kind::Committed } else { Kind::Aborted };
        let open = self.entries.iter_mut().filter(|entry| entry.kind == Kind::Open(producer));
        open.for_each(|entry| entry.kind = decided);
        self.append_marker(ProducerIdentity { id: producer, epoch: 0 }, at);
    }

    pub(crate) fn append_marker(&mut self, identity: ProducerIdentity, at: Duration) {
        let (kind, writer) = (Kind::Control, Writer::Application);
        self.append(Entry { base: 0, records: 1, kind, writer, identity: Some(identity), at });
    }

    pub(crate) fn last_stable(&self) -> i64 {
        let open = self.entries.iter().find(|entry| matches!(entry.kind, Kind::Open(_)));
        open.map_or_else(|| self.end(), |entry| entry.base)
    }

    /// Source offsets below `end` that a copy takes, ascending.
    pub(crate) fn copied_below(&self, end: i64) -> impl Iterator<Item = i64> + '_ {
        let copied = self.entries.iter().filter(|entry| entry.is_copied());
        copied.flat_map(|entry| entry.base..entry.end()).take_while(move |offset| *offset < end)
    }

    /// Batches that reach beyond `from`, as a leader describes them.
    pub(crate) fn batches_from(&self, from: i64) -> Vec<WrittenBatch> {
        let behind = self.entries.iter().filter(|entry| entry.end() > from);
        behind.map(written).collect()
    }

    /// Loses the last batch of an application and what follows it, unless a transaction is open there. Whether it did.
    pub(crate) fn lose_last(&mut self, at: Duration) -> bool {
        let of_application = |entry: &Entry| entry.is_copied() && entry.writer == Writer::Application;
        let Some(last) = self.entries.iter().rposition(of_application) else { return false };
        if self.entries.len() - last > 3 || self.last_stable() < self.end() {
            return false;
        }
        let base = self.entries[last].base;
        self.entries.truncate(last);
        self.lost = Some((self.lost.map_or(base, |(first, _)| first.min(base)), at));
        true
    }
}

fn written(entry: &Entry) -> WrittenBatch {
    WrittenBatch {
        base_offset: entry.base,
        next_offset: entry.end(),
        records: entry.records,
        is_control: entry.kind == Kind::Control,
        producer: entry.identity,
        timestamp: 1_777_000_000_000 + entry.at.as_millis() as i64,
    }
}

/// A group's offset of a transaction.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) group: String,
    pub(crate) partition: TopicPartition,
    pub(crate) offset: i64,
}

/// A transaction whose markers are not all written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transaction {
    /// Partitions by index, with the first offset of the transaction there.
    pub(crate) data: BTreeMap<usize, i64>,
    /// Partitions whose marker is still to be written.
    pub(crate) unmarked: BTreeSet<usize>,
    pub(crate) offsets: Vec<Pending>,
    /// Whether it committed, once it is ended.
    pub(crate) ended: Option<bool>,
    /// It is left open until then, since the world began.
    pub(crate) held_until: Option<Duration>,
    /// The sources' principals do not see of which partitions its offsets are.
    pub(crate) is_hidden: bool,
}

/// The source's logs and transactions.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) logs: Vec<Log>,
    pub(crate) transactions: BTreeMap<i64, Transaction>,
    /// Epoch of the migration's transactional producer.
    pub(crate) marker_epoch: i16,
    pub(crate) next_producer: i64,
    /// ACLs, and those of them that others have set.
    pub(crate) rules: BTreeSet<AclBinding>,
    pub(crate) foreign: BTreeSet<AclBinding>,
    pub(crate) rules_edition: u64,
}

impl Source {
    /// Offsets that transactions are about to commit.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (i64, bool, &Pending)> {
        let each = self.transactions.iter();
        each.flat_map(|(id, txn)| txn.offsets.iter().map(|pending| (*id, txn.is_hidden, pending)))
    }
}
