//! What the copy has to reach, beside what it reaches.

use comfy_table::Table;

use crate::report::{Contender, Figures, Middle, Report};
use crate::tables;

/// Data sets whose batches are large; MirrorMaker 2 has to be beaten there by a factor.
const LARGE_BATCHES: [&str; 2] = ["large-lz4", "one-partition"];

/// How much faster than MirrorMaker 2 with large batches, and with others.
const FASTER_LARGE: f64 = 3.0;
const FASTER: f64 = 1.0;

/// The copier's CPU time may be this part of MirrorMaker's.
const CPU_PART: f64 = 1.0 / 8.0;

/// Part of the bare relay's throughput that has to be reached.
const RELAY_PART: f64 = 0.8;

/// Most resident memory of a copy function in bytes.
const PEAK_RSS: f64 = 256e6;

/// A measured value beside what it has to be.
struct Target {
    set: String,
    what: &'static str,
    measured: f64,
    wanted: f64,
    /// Whether more is better.
    at_least: bool,
}

impl Target {
    fn is_met(&self) -> bool {
        if self.at_least { self.measured >= self.wanted } else { self.measured <= self.wanted }
    }
}

/// The targets for which there are measurements.
pub(crate) fn table(report: &Report) -> Option<Table> {
    let mut table = tables::new(&["data set", "what", "measured", "wanted", ""]);
    for target in targets(report) {
        table.add_row([
            target.set.clone(),
            target.what.to_owned(),
            format!("{:.2}", target.measured),
            format!("{} {:.2}", if target.at_least { "at least" } else { "at most" }, target.wanted),
            if target.is_met() { "met".to_owned() } else { "MISSED".to_owned() },
        ]);
    }
    tables::finished(table)
}

fn targets(report: &Report) -> Vec<Target> {
    let middles = report.middles();
    let figures = |of: &Middle<'_>, contender| {
        let same = |middle: &&Middle<'_>| {
            middle.copy.set.name == of.copy.set.name
                && middle.copy.broker_percent == of.copy.broker_percent
                && middle.copy.contender == contender
        };
        middles.iter().find(same).and_then(|middle| Some((middle.copy.figures.as_ref()?, middle.burst)))
    };
    let mut targets = Vec::new();
    for middle in middles.iter().filter(|middle| middle.copy.contender == Contender::Ours) {
        let Some(ours) = &middle.copy.figures else { continue };
        let set = middle.copy.title();
        let mut add = |what, measured, wanted, at_least| {
            targets.push(Target { set: set.clone(), what, measured, wanted, at_least });
        };
        add("peak RSS of a copy function, MB", middle.peak_rss as f64 / 1e6, PEAK_RSS / 1e6, false);
        if let Some((mirrormaker, _)) = figures(middle, Contender::Mirrormaker) {
            let faster = if LARGE_BATCHES.contains(&middle.copy.set.name.as_str()) { FASTER_LARGE } else { FASTER };
            add("throughput / MirrorMaker's", throughput(ours, mirrormaker), faster, true);
            add("copier's CPU / MirrorMaker's", ours.cpu.copier / mirrormaker.cpu.copier, CPU_PART, false);
        }
        if let Some((relay, relays_burst)) = figures(middle, Contender::Relay) {
            add("throughput / bare relay's", throughput(ours, relay), RELAY_PART, true);
            if let (Some(ours), Some(relay)) = (middle.burst, relays_burst) {
                add("burst caught up / relay's time", ours.caught_up_seconds / relay.caught_up_seconds, 1.0, false);
            }
        }
    }
    targets
}

fn throughput(ours: &Figures, theirs: &Figures) -> f64 {
    ours.megabytes_per_second() / theirs.megabytes_per_second()
}
