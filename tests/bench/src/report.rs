//! What was measured, as it is kept in JSON.

use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde::Serialize;
use stack::layout;

use crate::data::DataSet;
use crate::usage::Cpu;

/// Everything of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// When it began.
    pub(crate) started: DateTime<Utc>,
    /// Commit of the working tree, with `-dirty` when it differs.
    pub(crate) commit: String,
    /// Processors of the machine.
    pub(crate) processors: usize,
    /// Model of the processor.
    pub(crate) processor: String,
    /// Version of both Kafka clusters and of MirrorMaker.
    pub(crate) kafka: String,
    /// The part of the full sizes that was used.
    pub(crate) scale: f64,
    /// Properties of MirrorMaker by data set.
    pub(crate) mirrormaker: Vec<String>,
    /// Why nothing was measured with slow brokers.
    pub(crate) without_slow_brokers: Option<String>,
    /// Copies, in the order in which they ran.
    pub(crate) copies: Vec<Measurement>,
}

/// Who copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// msk-kraft.
    Ours,
    /// The bare relay.
    Relay,
    /// MirrorMaker 2.
    Mirrormaker,
    /// kafka-producer-perf-test, which only writes to the target.
    ProducerPerf,
    /// kafka-consumer-perf-test, which only reads from the source.
    ConsumerPerf,
}

impl Contender {
    /// As it is printed.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "msk-kraft",
            Self::Relay => "bare relay",
            Self::Mirrormaker => "MirrorMaker 2",
            Self::ProducerPerf => "producer-perf-test",
            Self::ConsumerPerf => "consumer-perf-test",
        }
    }
}

/// The most that each broker may use, in percent of a processor; `None` for all that the machine has.
pub(crate) type BrokerPercent = Option<u32>;

/// One copy of one data set.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measurement {
    /// What was copied.
    pub(crate) set: DataSet,
    /// By whom.
    pub(crate) contender: Contender,
    /// With what kind of brokers.
    pub(crate) broker_percent: BrokerPercent,
    /// Why there is nothing more to say, when it failed.
    pub(crate) failure: Option<String>,
    /// The figures of a copy that came to its end.
    pub(crate) figures: Option<Figures>,
}

/// Figures of a copy.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    /// Records of the data set.
    pub(crate) records: i64,
    /// Bytes of its batches as the source stores them.
    pub(crate) bytes: u64,
    /// Seconds of the copy itself.
    pub(crate) seconds: f64,
    /// Seconds before that: until MirrorMaker's first record was there, until our seed began.
    pub(crate) startup_seconds: f64,
    /// Records on the target less those on the source.
    pub(crate) surplus: i64,
    /// Partitions whose ends differ.
    pub(crate) wrong_partitions: usize,
    /// CPU seconds during the copy.
    pub(crate) cpu: Cpu,
    /// Processes of the copier.
    pub(crate) copiers: usize,
    /// Largest resident memory of one of them, in bytes.
    pub(crate) peak_rss: u64,
    /// Requests to S3 until the copy was caught up.
    pub(crate) s3_requests: Option<u64>,
    /// Requests to DynamoDB until the copy was caught up.
    pub(crate) dynamodb_requests: Option<u64>,
    /// How a burst behind the copy was caught up with.
    pub(crate) burst: Option<Burst>,
}

/// A burst of records while the copy is caught up.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Burst {
    /// Its size in bytes.
    pub(crate) bytes: u64,
    /// Seconds it took to produce it.
    pub(crate) producing_seconds: f64,
    /// Seconds from its begin until fewer than 100 records were missing on the target.
    pub(crate) caught_up_seconds: f64,
    /// Records on the target less those on the source, afterwards.
    pub(crate) surplus: i64,
}

/// What stands for the rounds of a copy.
#[derive(Debug)]
pub(crate) struct Middle<'a> {
    /// The copy in the middle.
    pub(crate) copy: &'a Measurement,
    /// The fastest and the slowest round, in seconds.
    pub(crate) seconds: (f64, f64),
    /// The largest resident memory of all rounds, in bytes: in the middle a bad one would not be seen.
    pub(crate) peak_rss: u64,
    /// The burst in the middle of theirs.
    pub(crate) burst: Option<&'a Burst>,
}

impl<'a> Middle<'a> {
    /// What stands for `rounds`, of which `first` is one.
    fn of(first: &'a Measurement, mut rounds: Vec<&'a Measurement>) -> Self {
        let seconds = |copy: &&Measurement| copy.figures.as_ref().map_or(f64::INFINITY, |figures| figures.seconds);
        rounds.sort_by(|one, other| seconds(one).total_cmp(&seconds(other)));
        let mut bursts: Vec<_> = rounds.iter().filter_map(|copy| copy.figures.as_ref()?.burst.as_ref()).collect();
        bursts.sort_by(|one, other| one.caught_up_seconds.total_cmp(&other.caught_up_seconds));
        let bad = rounds.iter().find(|copy| copy.figures.as_ref().is_none_or(|figures| !figures.is_exact()));
        let bad_burst = bursts.iter().find(|burst| burst.surplus != 0);
        Self {
            copy: bad.or(rounds.get(rounds.len() / 2)).copied().unwrap_or(first),
            seconds: (rounds.first().map_or(0.0, seconds), rounds.last().map_or(0.0, seconds)),
            peak_rss: rounds.iter().filter_map(|copy| Some(copy.figures.as_ref()?.peak_rss)).max().unwrap_or(0),
            burst: bad_burst.or(bursts.get(bursts.len() / 2)).copied(),
        }
    }
}

impl Measurement {
    /// The data set's name, and the kind of brokers unless it is the usual one.
    pub(crate) fn title(&self) -> String {
        match self.broker_percent {
            Some(percent) => format!("{}, {percent} %", self.set.name),
            None => self.set.name.clone(),
        }
    }

    /// Whether both are rounds of the same.
    fn is_round_of(&self, other: &Self) -> bool {
        let key = |copy: &Self| (copy.set.name.clone(), copy.contender, copy.broker_percent);
        key(self) == key(other)
    }
}

impl Figures {
    /// Megabytes (10^6) a second, as the source stores them.
    pub(crate) fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.seconds
    }

    /// Records a second.
    pub(crate) fn records_per_second(&self) -> f64 {
        self.records as f64 / self.seconds
    }

    /// CPU seconds for 10^9 bytes.
    pub(crate) fn per_gigabyte(&self, cpu: f64) -> f64 {
        cpu / (self.bytes as f64 / 1e9)
    }

    /// Whether every record is there once.
    pub(crate) const fn is_exact(&self) -> bool {
        self.surplus == 0 && self.wrong_partitions == 0
    }
}

impl Report {
    /// A report of nothing yet.
    pub(crate) fn new(kafka: &str, scale: f64) -> Self {
        let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model =
            processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, m)| m));
        Self {
            started: Utc::now(),
            commit: commit(),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            processor: model.unwrap_or("unknown").to_owned(),
            kafka: kafka.to_owned(),
            scale,
            mirrormaker: Vec::new(),
            without_slow_brokers: None,
            copies: Vec::new(),
        }
    }

    /// One copy for all the rounds of a contender with a data set and a kind of brokers, in the order in which they ran, with the
    /// fastest and the slowest in seconds: the one in the middle, or one that failed or was not exact.
    pub(crate) fn middles(&self) -> Vec<Middle<'_>> {
        let mut middles: Vec<Middle<'_>> = Vec::new();
        for copy in &self.copies {
            if !middles.iter().any(|middle| middle.copy.is_round_of(copy)) {
                let rounds = self.copies.iter().filter(|other| other.is_round_of(copy)).collect();
                middles.push(Middle::of(copy, rounds));
            }
        }
        middles
    }

    /// Writes `target/bench/<start>.json` and `latest.json`, which is the same; returns the former's path.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) fn save(&self) -> anyhow::Result<PathBuf> {
        let dir = layout::workspace().join("target/bench");
        std::fs::create_dir_all(&dir)?;
        let path = dir.join(format!("{}.json", self.started.format("%Y-%m-%dT%H-%M-%SZ")));
        let json = serde_json::to_vec_pretty(self)?;
        for path in [path.as_path(), &dir.join("latest.json")] {
            write(path, &json)?;
        }
        Ok(path)
    }
}

fn write(path: &Path, json: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, json).with_context(|| format!("writing {}", path.display()))
}

fn commit() -> String {
    let mut git = std::process::Command::new("git");
    git.args(["describe", "--always", "--dirty", "--abbrev=12"]).current_dir(layout::workspace());
    let output = git.output().ok().filter(|output| output.status.success());
    output.map_or_else(|| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data;

    fn round(contender: Contender, seconds: Option<f64>, surplus: i64) -> Measurement {
        let figures = |seconds| Figures {
            records: 10,
            bytes: 1000,
            seconds,
            startup_seconds: 0.0,
            surplus,
            wrong_partitions: 0,
            cpu: Cpu::default(),
            copiers: 1,
            peak_rss: 0,
            s3_requests: None,
            dynamodb_requests: None,
            burst: None,
        };
        let set = data::sets().remove(0);
        Measurement { set, contender, broker_percent: None, failure: None, figures: seconds.map(figures) }
    }

    fn middles(copies: Vec<Measurement>) -> Vec<(Contender, Option<f64>)> {
        let report = Report { copies, ..Report::new("3.9.1", 1.0) };
        let middle = |middle: &Middle<'_>| (middle.copy.contender, middle.copy.figures.as_ref().map(|one| one.seconds));
        report.middles().iter().map(middle).collect()
    }

    #[test]
    fn the_round_in_the_middle_stands_for_all_of_a_contender() {
        use Contender::{Ours, Relay};
        let copies = [(Ours, 3.0), (Relay, 1.0), (Ours, 1.0), (Relay, 5.0), (Ours, 2.0)];
        let copies = copies.map(|(contender, seconds)| round(contender, Some(seconds), 0)).into();
        assert_eq!(middles(copies), [(Ours, Some(2.0)), (Relay, Some(5.0))]);
    }

    #[test]
    fn a_round_that_failed_or_was_not_exact_is_not_hidden_by_others() {
        let exact = || round(Contender::Ours, Some(2.0), 0);
        assert_eq!(middles(vec![exact(), exact(), round(Contender::Ours, None, 0)]), [(Contender::Ours, None)]);
        let doubled = round(Contender::Ours, Some(1.0), 3);
        assert_eq!(middles(vec![exact(), doubled, exact()]), [(Contender::Ours, Some(1.0))]);
    }

    #[test]
    fn the_largest_memory_of_all_rounds_counts() {
        let mut copies = [1.0, 2.0, 3.0].map(|seconds| round(Contender::Ours, Some(seconds), 0));
        copies[2].figures.as_mut().unwrap().peak_rss = 7;
        let report = Report { copies: copies.into(), ..Report::new("3.9.1", 1.0) };
        assert_eq!(report.middles()[0].peak_rss, 7);
    }
}
