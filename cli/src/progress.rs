//! How far the copy has come, as a bar on a terminal and as lines elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressFinish, ProgressStyle};
use migration::Phase;
use migration::progress::{PartitionProgress, ReencodedCounts};
use serde::Serialize;

use crate::console::Console;

/// How often progress is read for a terminal, and for anything else.
const EVERY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(5));

/// Sums over all partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    /// Partitions.
    pub(crate) partitions: usize,
    /// Partitions whose seed is complete.
    pub(crate) seeded: usize,
    /// Partitions that stopped and need a person.
    pub(crate) stopped: usize,
    /// Source offsets there were when the seed began.
    pub(crate) seed_offsets: i64,
    /// Of those, the ones passed.
    pub(crate) seed_offsets_done: i64,
    /// Records copied.
    pub(crate) records: i64,
    /// Bytes of record batches copied.
    pub(crate) bytes: i64,
    /// Largest lag of a partition, in offsets.
    pub(crate) max_lag: i64,
    /// Lag of all partitions, in offsets.
    pub(crate) total_lag: i64,
    /// Batches that did not pass through raw, by reason.
    pub(crate) reencoded: ReencodedCounts,
    /// Source offsets that were deleted before they were copied.
    pub(crate) gap_offsets: i64,
}

impl Totals {
    /// Sums over `partitions`.
    pub(crate) fn of<'a>(partitions: impl IntoIterator<Item = &'a PartitionProgress>) -> Self {
        let mut totals = Self::default();
        for partition in partitions {
            totals.partitions += 1;
            totals.seeded += usize::from(partition.is_seeded());
            totals.stopped += usize::from(partition.stopped.is_some());
            totals.seed_offsets += partition.seed_end - partition.source_start;
            totals.seed_offsets_done += partition.source_next.min(partition.seed_end) - partition.source_start;
            totals.records += partition.target_next;
            totals.bytes += partition.bytes;
            totals.max_lag = totals.max_lag.max(partition.lag());
            totals.total_lag += partition.lag();
            totals.reencoded.add_all(&partition.reencoded);
            totals.gap_offsets += partition.gaps.offsets;
        }
        totals
    }

    /// What matters in `phase`, on one line of `key=value` pairs. The lag is the one that the copy saw last.
    fn plain(&self, phase: Phase) -> String {
        let Self { partitions, seeded, records, bytes, max_lag, total_lag, .. } = self;
        let mut line = match phase {
            Phase::Seed => {
                format!(
                    "progress phase={phase} partitions_seeded={seeded}/{partitions} records={records} bytes={bytes}"
                )
            }
            _ => format!(
                "progress phase={phase} max_lag_seen={max_lag} total_lag_seen={total_lag} records={records} bytes={bytes}"
            ),
        };
        if self.stopped > 0 {
            line.push_str(&format!(" partitions_stopped={}", self.stopped));
        }
        line
    }

    /// The same for a bar.
    fn message(&self, phase: Phase) -> String {
        let copied =
            format!("{} records, {}", HumanCount(self.records.unsigned_abs()), HumanBytes(self.bytes.unsigned_abs()));
        let mut line = match phase {
            Phase::Seed => format!("{}/{} partitions, {copied}", self.seeded, self.partitions),
            _ => format!("max lag seen {}, {copied}", HumanCount(self.max_lag.unsigned_abs())),
        };
        if self.stopped > 0 {
            line.push_str(&format!(", {} STOPPED", self.stopped));
        }
        line
    }
}

/// Shows progress while a migration is followed.
#[derive(Debug)]
pub(crate) struct Progress {
    terminal: bool,
    next: Option<Instant>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Nothing shown yet.
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), next: Some(Instant::now()), bar: None }
    }

    /// Whether it is time to read progress in `phase` again.
    pub(crate) fn is_due(&mut self, phase: Phase) -> bool {
        // Not in the cutover: while producers are frozen the journal is left to what ends the freeze.
        let copies = matches!(phase, Phase::Seed | Phase::Tail);
        let due = copies && self.next.is_some_and(|next| Instant::now() >= next);
        if due {
            self.next = Some(Instant::now() + if self.terminal { EVERY.0 } else { EVERY.1 });
        }
        due
    }

    /// Shows where the copy stands.
    pub(crate) fn show(&mut self, console: &Console, phase: Phase, totals: &Totals) {
        if totals.partitions == 0 {
            return;
        }
        if !self.terminal {
            return console.say(totals.plain(phase));
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(0).with_finish(ProgressFinish::AndClear);
            console.set_bar(&bar);
            bar
        });
        bar.set_style(style(phase));
        bar.set_prefix(phase.name());
        bar.set_length(totals.seed_offsets.unsigned_abs());
        bar.set_position(totals.seed_offsets_done.unsigned_abs());
        bar.set_message(totals.message(phase));
        bar.enable_steady_tick(Duration::from_millis(200));
    }

    /// Is not due any more.
    pub(crate) const fn pause(&mut self) {
        self.next = None;
    }

    /// Is due again after [`Progress::pause`].
    pub(crate) fn go_on(&mut self) {
        self.next = Some(Instant::now());
    }

    /// Takes the bar away.
    pub(crate) fn hide(&mut self, console: &Console) {
        self.bar = None;
        console.clear_bar();
    }
}

const fn template(phase: Phase) -> &'static str {
    match phase {
        Phase::Seed => "{prefix} {bar:24} {percent:>3}% {msg} ({elapsed}, {eta} to go)",
        _ => "{prefix} {spinner} {msg} ({elapsed})",
    }
}

fn style(phase: Phase) -> ProgressStyle {
    // The test below keeps the fallback from being needed.
    ProgressStyle::with_template(template(phase)).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::partition;
    use migration::progress::Gap;

    #[test]
    fn totals_add_up() {
        let mut ahead = partition("a", 0, 12, 10);
        ahead.source_end = 15;
        ahead.reencoded.add("holes", 2);
        let mut stopped = partition("b", 0, 0, 5);
        stopped.stopped = Some("foreign record".to_owned());
        stopped.reencoded.add("holes", 1);
        stopped.gaps.add(&Gap { from: 0, to: 3, at: "then".to_owned() }, 0);
        let totals = Totals::of(&[ahead.clone(), partition("a", 1, 4, 10), stopped]);
        ahead.reencoded.add("holes", 1);
        let expected = Totals {
            partitions: 3,
            seeded: 1,
            stopped: 1,
            seed_offsets: 25,
            seed_offsets_done: 14,
            records: 16,
            bytes: 1600,
            max_lag: 6,
            total_lag: 14,
            reencoded: ahead.reencoded,
            gap_offsets: 3,
        };
        assert_eq!(totals, expected);
    }

    #[test]
    fn lines_say_what_matters_in_the_phase() {
        let totals = Totals::of(&[partition("a", 0, 10, 10), partition("a", 1, 4, 10)]);
        assert_eq!(totals.plain(Phase::Seed), "progress phase=seed partitions_seeded=1/2 records=14 bytes=1400");
        assert_eq!(
            totals.plain(Phase::Tail),
            "progress phase=tail max_lag_seen=6 total_lag_seen=6 records=14 bytes=1400"
        );
        assert_eq!(totals.message(Phase::Tail), "max lag seen 6, 14 records, 1.37 KiB");
    }

    #[test]
    fn templates_are_sound() {
        for phase in Phase::ALL {
            ProgressStyle::with_template(template(phase)).unwrap();
        }
    }

    #[test]
    fn progress_is_read_where_something_is_copied() {
        let mut progress = Progress::new();
        assert!(!progress.is_due(Phase::TopologyCopy));
        assert!(progress.is_due(Phase::Seed));
        assert!(!progress.is_due(Phase::Seed), "not again at once");
    }
}
