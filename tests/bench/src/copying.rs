//! Watching a copy from outside, in the same way for everybody who copies: by the end offsets of the target.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::data::DataSet;
use crate::ground::Ground;
use crate::report::Burst;
use crate::topics::{self, Ends};

/// How often the target is asked.
const POLL: Duration = Duration::from_millis(50);

/// Longest wait for a copy.
pub(crate) const COPY_LIMIT: Duration = Duration::from_secs(240);

/// A copy without any progress for this long has failed.
const STANDSTILL: Duration = Duration::from_secs(60);

/// How long nothing may be added behind the last record; a copier that doubles does it here.
const AFTERMATH: Duration = Duration::from_secs(1);

/// A partition that lags by fewer records counts as caught up.
const CAUGHT_UP: i64 = 100;

/// When a copy began and ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// When the target was last seen without a record.
    pub(crate) first: DateTime<Utc>,
    /// When the last one was.
    pub(crate) last: DateTime<Utc>,
}

/// Waits until the target has as many records as `source` ends say.
///
/// # Errors
/// When it takes too long or nothing moves any more.
pub(crate) async fn finished(ground: &Ground, set: &DataSet, source: &Ends) -> anyhow::Result<Span> {
    let wanted: i64 = source.values().sum();
    let began = Instant::now();
    while !topics::exists(&ground.target, set).await? {
        anyhow::ensure!(began.elapsed() < STANDSTILL, "there is no topic on the target after {STANDSTILL:?}");
        tokio::time::sleep(POLL).await;
    }
    let (mut first, mut seen, mut moved) = (Utc::now(), 0, Instant::now());
    loop {
        let now = Utc::now();
        let there: i64 = topics::ends(&ground.target, set).await?.values().sum();
        if there == 0 {
            first = now;
        }
        if there > seen {
            (seen, moved) = (there, Instant::now());
        }
        if there >= wanted {
            return Ok(Span { first, last: Utc::now() });
        }
        anyhow::ensure!(moved.elapsed() < STANDSTILL, "{there} of {wanted} records, and none more for {STANDSTILL:?}");
        anyhow::ensure!(began.elapsed() < COPY_LIMIT, "{there} of {wanted} records after {COPY_LIMIT:?}");
        tokio::time::sleep(POLL).await;
    }
}

/// Records on the target less those on the source, and the partitions in which they differ, once nothing moves any more.
///
/// # Errors
/// When a cluster cannot be asked.
pub(crate) async fn difference(ground: &Ground, set: &DataSet) -> anyhow::Result<(i64, usize)> {
    tokio::time::sleep(AFTERMATH).await;
    let source = topics::ends(&ground.source, set).await?;
    let target = topics::ends(&ground.target, set).await?;
    let differences = source.iter().map(|(partition, end)| target.get(partition).copied().unwrap_or(0) - end);
    let differences: Vec<i64> = differences.filter(|difference| *difference != 0).collect();
    Ok((differences.iter().sum(), differences.len()))
}

/// Writes the burst of `set`, if it has one, behind a copy that is caught up, and waits until no more than a few records are
/// missing.
///
/// # Errors
/// When the burst cannot be written, or is not caught up with in time.
pub(crate) async fn burst(ground: &Ground, set: &DataSet) -> anyhow::Result<Option<Burst>> {
    if set.burst_bytes == 0 {
        return Ok(None);
    }
    let began = Instant::now();
    let loaded = topics::load(&ground.source, set, set.burst_bytes).await?;
    let producing_seconds = began.elapsed().as_secs_f64();
    let wanted: i64 = topics::ends(&ground.source, set).await?.values().sum();
    loop {
        let there: i64 = topics::ends(&ground.target, set).await?.values().sum();
        if wanted - there < CAUGHT_UP {
            break;
        }
        anyhow::ensure!(began.elapsed() < COPY_LIMIT, "{} records behind after {COPY_LIMIT:?}", wanted - there);
        tokio::time::sleep(POLL).await;
    }
    let caught_up_seconds = began.elapsed().as_secs_f64();
    let (surplus, _) = difference(ground, set).await?;
    Ok(Some(Burst { bytes: loaded.bytes, producing_seconds, caught_up_seconds, surplus }))
}
