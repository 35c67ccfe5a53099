//! How far a copy is behind now: the source is asked, the journal is read, and the answer fits into one of Lambda's.
//!
//! A checkpoint has the source's end as the copy last saw it. Where nothing is copied, for whatever reason, nothing is seen
//! either, and the lag of the last checkpoint stays as small as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use journal::{TailWanted, Tails};
use kafka::{Cluster, Each, OffsetSpec};
use migration::progress::PartitionProgress;
use migration::{Phase, Result, TopicPartition};
use runtime::Run;
use serde::{Deserialize, Serialize};

/// About the most bytes of partitions in an answer. Lambda passes on 6 MB
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of one partition in an answer at most: four numbers of up to 20 digits.
const PARTITION_BYTES: usize = 96;

/// Bytes of a topic in an answer, beside its name.
const TOPIC_BYTES: usize = 32;

/// Partitions that are named where only some can be.
const NAMED: usize = 20;

/// A measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// When the source was asked, by the clock of the function that did.
    #[serde(with = "clock::micros")]
    pub at: DateTime<Utc>,
    /// The migration's phase then.
    pub phase: Phase,
    /// Sums over all partitions of which the source told.
    pub totals: LagTotals,
    /// Partitions by topic.
    pub topics: Vec<MeasuredTopic>,
    /// Partitions that were measured and did not fit in: those with the smallest lags.
    pub omitted: usize,
    /// Partitions of which the source did not tell.
    pub unmeasured: Option<Unmeasured>,
    /// Partitions that stopped.
    pub stopped: Stopped,
    /// The functions that copy, in phases in which some should.
    pub tails: Option<Tails>,
}

/// Sums over the partitions that were measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LagTotals {
    /// Partitions.
    pub partitions: usize,
    /// Largest lag of one, in source offsets.
    pub max_lag: i64,
    /// Lag of all.
    pub total_lag: i64,
}

/// The partitions of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredTopic {
    /// The topic's name.
    pub topic: Arc<str>,
    /// Its partitions.
    pub partitions: Vec<MeasuredPartition>,
}

/// A partition; in JSON an array of these four numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredPartition(
    /// Its number.
    pub i32,
    /// Where its log starts on the source.
    pub i64,
    /// Next source offset to copy, as the journal had it before the source was asked.
    pub i64,
    /// Last stable offset of the source.
    pub i64,
);

impl MeasuredPartition {
    /// Source offsets still to go.
    pub fn lag(&self) -> i64 {
        (self.3 - self.2).max(0)
    }
}

/// Partitions of which the source did not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmeasured {
    /// How many.
    pub count: usize,
    /// The first of them.
    pub first: Vec<TopicPartition>,
    /// Why the first was not measured.
    pub reason: String,
}

/// Partitions that stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// How many.
    pub count: usize,
    /// The first of them, with the reasons.
    pub first: Vec<(TopicPartition, String)>,
}

/// Measures the copy of `run` against its source. In phases in which nothing is copied the lag is that of what was copied
/// before.
///
/// # Errors
/// Internal before the topology was copied; those of the journal; when the source cannot be asked at all.
pub async fn measure(run: &Run<'_>, source: &Cluster) -> Result<Measured> {
    // Read before the source is asked: what is copied meanwhile makes the lag too large, never too small.
    let partitions = run.all_partitions().await?;
    let tails = tails(run).await?;
    let at = run.journal.now();
    let there = source.topics().await?;
    let led = there.iter().flat_map(|topic| {
        let led = topic.partitions.iter().filter(|info| info.leader.is_some());
        led.map(|info| TopicPartition::new(topic.name.clone(), info.partition))
    });
    let led: BTreeSet<_> = led.collect();
    // One without a leader would be waited for.
    let names: Vec<_> = partitions.iter().map(|one| one.partition.clone()).filter(|name| led.contains(name)).collect();
    let (starts, ends) = tokio::join!(
        source.list_offsets(&names, OffsetSpec::Earliest),
        source.list_offsets(&names, OffsetSpec::LastStable)
    );
    Ok(answer(at, run.meta.phase, &partitions, starts, ends, tails))
}

/// The functions that copy `run`; nothing in phases in which none should, or when the cutover has told them to stop.
///
/// # Errors
/// Those of the journal.
pub async fn tails(run: &Run<'_>) -> Result<Option<Tails>> {
    let copies = matches!(run.meta.phase, Phase::Seed | Phase::Tail | Phase::DrainReady | Phase::Cutover);
    if !copies || run.journal.tail_wanted().await? == TailWanted::Stop {
        return Ok(None);
    }
    let heartbeats = run.journal.heartbeats(run.batches()?).await?;
    Ok(Some(match run.meta.phase {
        Phase::Seed => Tails::seeding(&heartbeats),
        _ => Tails::of(&heartbeats, run.journal.now()),
    }))
}

fn answer(
    at: DateTime<Utc>,
    phase: Phase,
    partitions: &[PartitionProgress],
    starts: Each<TopicPartition, i64>,
    ends: Each<TopicPartition, i64>,
    tails: Option<Tails>,
) -> Measured {
    let starts: BTreeMap<_, _> = starts.into_iter().collect();
    let ends: BTreeMap<_, _> = ends.into_iter().collect();
    let mut measured = Vec::with_capacity(partitions.len());
    let mut unmeasured = None::<Unmeasured>;
    for progress in partitions {
        let name = &progress.partition;
        match (starts.get(name), ends.get(name)) {
            (Some(Ok(start)), Some(Ok(end))) => {
                measured.push((name, MeasuredPartition(name.partition, *start, progress.source_next, *end)));
            }
            (start, end) => {
                let error = [start, end].into_iter().flatten().find_map(|outcome| outcome.as_ref().err());
                let reason = error.map_or_else(|| "the source has no leader of it".to_owned(), ToString::to_string);
                let all = unmeasured.get_or_insert_with(|| Unmeasured { count: 0, first: Vec::new(), reason });
                all.count += 1;
                if all.first.len() < NAMED {
                    all.first.push(name.clone());
                }
            }
        }
    }
    let totals = LagTotals {
        partitions: measured.len(),
        max_lag: measured.iter().map(|(_, one)| one.lag()).max().unwrap_or(0),
        total_lag: measured.iter().map(|(_, one)| one.lag()).sum(),
    };
    let (topics, omitted) = by_topic(measured);
    Measured { at, phase, totals, topics, omitted, unmeasured, stopped: stopped(partitions), tails }
}

/// The partitions with the largest lags, as many as an answer may hold, by topic; and how many others there are.
fn by_topic(mut measured: Vec<(&TopicPartition, MeasuredPartition)>) -> (Vec<MeasuredTopic>, usize) {
    measured.sort_by(|(a, a_at), (b, b_at)| b_at.lag().cmp(&a_at.lag()).then_with(|| a.cmp(b)));
    let all = measured.len();
    let mut topics: BTreeMap<&Arc<str>, Vec<MeasuredPartition>> = BTreeMap::new();
    let (mut bytes, mut held) = (0, 0);
    for (name, one) in measured {
        let known = topics.contains_key(&name.topic);
        bytes += PARTITION_BYTES + if known { 0 } else { TOPIC_BYTES + name.topic.len() };
        if bytes > MOST_BYTES {
            break;
        }
        topics.entry(&name.topic).or_default().push(one);
        held += 1;
    }
    let topics = topics.into_iter().map(|(topic, partitions)| MeasuredTopic { topic: topic.clone(), partitions });
    (topics.collect(), all - held)
}

fn stopped(partitions: &[PartitionProgress]) -> Stopped {
    let all = partitions.iter().filter_map(|one| Some((one.partition.clone(), one.stopped.clone()?)));
    let mut all: Vec<_> = all.collect();
    let count = all.len();
    all.truncate(NAMED);
    Stopped { count, first: all }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(topic: &str, partition: i32, next: i64) -> PartitionProgress {
        PartitionProgress::new(TopicPartition::new(topic, partition), next, next)
    }

    fn offsets(partitions: &[PartitionProgress], offset: i64) -> Each<TopicPartition, i64> {
        partitions.iter().map(|one| (one.partition.clone(), Ok(offset))).collect()
    }

    fn measured(partitions: &[PartitionProgress], starts: Each<TopicPartition, i64>, end: i64) -> Measured {
        answer(DateTime::UNIX_EPOCH, Phase::Tail, partitions, starts, offsets(partitions, end), None)
    }

    #[test]
    fn the_lag_is_against_the_sources_end_of_now() {
        let mut partitions = [progress("a", 0, 90), progress("b", 1, 100), progress("a", 1, 40), progress("c", 0, 7)];
        partitions[2].stopped = Some("foreign record".to_owned());
        let mut starts = offsets(&partitions, 5);
        starts.pop();
        let measured = measured(&partitions, starts, 100);
        assert_eq!(measured.totals, LagTotals { partitions: 3, max_lag: 60, total_lag: 70 });
        let json = serde_json::to_value(&measured).unwrap();
        assert_eq!(
            json["topics"][0],
            serde_json::json!({"topic": "a", "partitions": [[1, 5, 40, 100], [0, 5, 90, 100]]})
        );
        assert_eq!(measured.stopped.first, [(partitions[2].partition.clone(), "foreign record".to_owned())]);
        let unmeasured = measured.unmeasured.clone().unwrap();
        assert_eq!((unmeasured.count, unmeasured.reason.as_str()), (1, "the source has no leader of it"));
        assert_eq!(serde_json::from_value::<Measured>(json).unwrap(), measured);
    }

    #[test]
    fn ten_thousand_partitions_fit_into_an_answer_of_lambda_and_more_leave_the_smallest_lags_out() {
        let limit = 6 * 1024 * 1024;
        let all = |count: i64| -> Vec<_> {
            let topic = |number| format!("{number:0>249}");
            (0..count).map(|number| progress(&topic(number), i32::MAX, i64::MAX - 1 - number)).collect()
        };
        let partitions = all(10_000);
        let whole = measured(&partitions, offsets(&partitions, i64::MAX), i64::MAX);
        assert_eq!((whole.omitted, whole.topics.len()), (0, 10_000));
        assert!(serde_json::to_vec(&whole).unwrap().len() < limit);
        let partitions = all(30_000);
        let cut = measured(&partitions, offsets(&partitions, i64::MAX), i64::MAX);
        assert!(serde_json::to_vec(&cut).unwrap().len() < limit);
        assert_eq!(cut.topics.len() + cut.omitted, 30_000);
        let least = cut.topics.iter().flat_map(|topic| &topic.partitions).map(MeasuredPartition::lag).min();
        assert_eq!(least.unwrap(), cut.omitted as i64 + 1, "the largest lags are in");
        assert_eq!(cut.totals.max_lag, 30_000);
    }
}
