//! What proved that all of a partition was copied, looked at again: the last thing that the cutover saw on the source.
//!
//! A marker is read back at its offset on the source. A sentinel record was copied, so that it is looked for in its place on
//! both sides. A proven end, under a write fence or without, stands as long as the source's end is not before it.

use documents::cutover_plan::{EndProof, PartitionEnd};
use kafka::Cluster;
use kafka::batch::{ControlType, Entry, control_type};
use migration::progress::PartitionProgress;
use migration::report::validation::Problem;
use migration::{MigrationId, Result, TopicPartition};
use offsets::OffsetMap;
use runtime::Store;

use super::lookup::{At, Found, at, record_at};
use super::{Bench, Sides};
use crate::policy::Policy;
use crate::presence::Presence;
use crate::results::{ProvenBy, Sentinels};
use crate::second::Read;
use crate::switch::Switch;

/// Key of a sentinel record and name of the header that holds the migration's id.
const NAME: &str = "msk-kraft-sentinel";

/// The empty transaction of which a partition has the marker.
#[derive(Debug, Clone, Copy)]
struct Marker {
    offset: i64,
    producer_id: i64,
    producer_epoch: i16,
}

/// Looks at the proof of a partition's end; `map` has its offset runs.
///
/// # Errors
/// Transient when a cluster could not be asked; otherwise those of the store about the runs.
pub(crate) async fn look(
    bench: &Bench<'_>,
    progress: &PartitionProgress,
    end: Option<&PartitionEnd>,
    sides: Sides,
    map: &mut OffsetMap<'_, Store>,
) -> Result<Sentinels> {
    let partition = &progress.partition;
    let Some(end) = end else {
        let problem = Problem::failed(partition, "the cutover recorded nothing that proves this partition's end");
        return Ok(Sentinels { problems: vec![problem], ..Sentinels::default() });
    };
    let (by, problems) = match end.proof {
        EndProof::Marker { source_offset, producer_id, producer_epoch } => {
            let marker = Marker { offset: source_offset, producer_id, producer_epoch };
            (ProvenBy::Marker, look_for_marker(bench, progress, marker, sides).await?)
        }
        EndProof::Record { source_offset } => {
            (ProvenBy::Record, look_for_record(bench, partition, source_offset, sides, map).await?)
        }
        EndProof::End | EndProof::Fence => {
            let found = bench.source_ends.get(partition).filter(|_| sides.source == Presence::There);
            let by = if end.proof == EndProof::Fence { ProvenBy::Fence } else { ProvenBy::End };
            (by, judge_end(end, found.map(|(end, _)| *end), bench.switch))
        }
    };
    Ok(Sentinels { checked: 1, by: Some(by), problems })
}

/// The problem of a source that does not have the topic as it was.
fn absent(partition: &TopicPartition, presence: Presence, switch: Switch) -> Option<Problem> {
    let proof = "what proved the partition's end";
    match presence {
        Presence::There => None,
        Presence::Hidden => Some(Problem::failed(
            partition,
            format_args!(
                "{proof} cannot be looked at: the topic may not be described on the source; allow it and finalize again"
            ),
        )),
        Presence::Deleted | Presence::Recreated => {
            Some(switch.explains(partition, format_args!("{proof} was deleted on the source together with the topic")))
        }
    }
}

async fn look_for_marker(
    bench: &Bench<'_>,
    progress: &PartitionProgress,
    marker: Marker,
    sides: Sides,
) -> Result<Vec<Problem>> {
    let partition = &progress.partition;
    let mut problems = Vec::new();
    if progress.source_next <= marker.offset {
        let message = format_args!(
            "the copy ended at source offset {}, before the marker at {}",
            progress.source_next, marker.offset
        );
        problems.push(Problem::failed(partition, message));
    }
    if let Some(absent) = absent(partition, sides.source, bench.switch) {
        problems.push(absent);
        return Ok(problems);
    }
    let found = at(&bench.source, partition, marker.offset).await?;
    problems.extend(judge_marker(partition, marker, found, &bench.source_policy(partition)));
    Ok(problems)
}

/// What is at the marker's offset on the source.
fn judge_marker(partition: &TopicPartition, marker: Marker, found: At, policy: &Policy) -> Option<Problem> {
    let Marker { offset, producer_id, producer_epoch } = marker;
    match found {
        At::Batch(Entry::Batch(batch)) => {
            let header = batch.header();
            let ours = header.is_control()
                && (header.base_offset, header.producer_id, header.producer_epoch)
                    == (offset, producer_id, producer_epoch);
            // Compaction may have left the batch without its one record.
            match control_type(&batch) {
                Ok(Some(ControlType::Commit) | None) if ours => None,
                Ok(_) => Some(Problem::failed(
                    partition,
                    format_args!(
                        "the batch at source offset {offset} is not the marker that the cutover appended there"
                    ),
                )),
                Err(error) => {
                    Some(Problem::failed(partition, format_args!("the marker at source offset {offset}: {error}")))
                }
            }
        }
        At::Batch(Entry::Old(_)) => Some(Problem::failed(
            partition,
            format_args!("an old message lies at source offset {offset}, where the cutover appended a marker"),
        )),
        At::Removed(start) => Some(Problem::warning(
            partition,
            format_args!(
                "the marker at source offset {offset} was removed by now: the source's log starts at {start}, as retention or \
                 DeleteRecords left it"
            ),
        )),
        At::Hole if policy.compacts => Some(Problem::warning(
            partition,
            format_args!(
                "the marker at source offset {offset} was compacted away by now, as {} allows",
                policy.because
            ),
        )),
        At::Hole => Some(Problem::failed(
            partition,
            format_args!(
                "the marker at source offset {offset} is missing on the source, and the topic is not compacted ({})",
                policy.because
            ),
        )),
        At::Beyond => Some(Problem::failed(
            partition,
            format_args!(
                "the source ends before the marker at offset {offset}: was the topic created anew, or did an unclean leader \
                 election shorten it?"
            ),
        )),
        At::Unreadable(error) => {
            Some(Problem::failed(partition, format_args!("the source cannot be read at offset {offset}: {error}")))
        }
    }
}

/// A proven end stands as long as the source reaches it; what lies behind it is for the counts to name.
fn judge_end(end: &PartitionEnd, source_end: Option<i64>, switch: Switch) -> Vec<Problem> {
    let partition = &end.partition;
    let expected = end.source_end;
    match source_end {
        None => vec![switch.explains(
            partition,
            format_args!("the source's end, which was proven to be {expected}, is gone together with the topic"),
        )],
        Some(found) if found < expected => {
            let message =
                format_args!("the source ends at offset {found}, before {expected}, which was proven to be its end");
            vec![Problem::failed(partition, message)]
        }
        Some(_) => Vec::new(),
    }
}

/// A sentinel record in one place.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Ours,
    Another,
    Unreadable(String),
    Hole,
    Removed(i64),
    Beyond,
}

async fn look_for_record(
    bench: &Bench<'_>,
    partition: &TopicPartition,
    source_offset: i64,
    sides: Sides,
    map: &mut OffsetMap<'_, Store>,
) -> Result<Vec<Problem>> {
    let (target_offset, _) = map.find(source_offset).await?;
    if map.source_of(target_offset).await? != Some(source_offset) {
        let message = format_args!("the sentinel was not copied (source offset {source_offset})");
        return Ok(vec![Problem::failed(partition, message)]);
    }
    let place = format!("source offset {source_offset}, target offset {target_offset}");
    let mut problems = Vec::new();
    // What became of a topic on the target is said by the counts.
    if sides.target == Presence::There {
        let seen = seen_on_target(bench, partition, target_offset).await?;
        problems.extend(judge_on_target(partition, seen, &place, &bench.target_policy(partition), bench.switch));
    }
    match absent(partition, sides.source, bench.switch) {
        Some(absent) => problems.push(absent),
        None => {
            let seen = seen_through(&bench.source, partition, source_offset, bench.id).await?;
            problems.extend(judge_on_source(partition, seen, &place, &bench.source_policy(partition)));
        }
    }
    Ok(problems)
}

/// Through the second client where that can read it.
async fn seen_on_target(bench: &Bench<'_>, partition: &TopicPartition, offset: i64) -> Result<Seen> {
    match bench.second.record_at(partition, offset).await? {
        Read::Record(seen) => {
            let header = seen.headers.get(NAME).map(Vec::as_slice);
            let ours = is_ours(seen.key.as_deref(), seen.value.as_deref(), header, bench.id);
            return Ok(if ours { Seen::Ours } else { Seen::Another });
        }
        // It does not tell why there is none.
        Read::Missing => {}
        // A broker may have put a client's record that this client cannot read into the same answer.
        Read::Unreadable(error) => {
            tracing::debug!(%partition, offset, error, "reading the sentinel through the other client");
        }
    }
    seen_through(&bench.target, partition, offset, bench.id).await
}

async fn seen_through(cluster: &Cluster, partition: &TopicPartition, offset: i64, id: &MigrationId) -> Result<Seen> {
    Ok(match record_at(cluster, partition, offset).await? {
        Found::Record(record) => {
            let header = record.headers.iter().find(|(name, _)| name == NAME.as_bytes());
            let header = header.and_then(|(_, value)| value.as_deref());
            let ours = is_ours(record.key.as_deref(), record.value.as_deref(), header, id);
            if ours { Seen::Ours } else { Seen::Another }
        }
        Found::Hole => Seen::Hole,
        Found::Removed(start) => Seen::Removed(start),
        Found::Beyond => Seen::Beyond,
        Found::Unreadable(error) => Seen::Unreadable(error),
    })
}

fn judge_on_target(
    partition: &TopicPartition,
    seen: Seen,
    place: &str,
    policy: &Policy,
    switch: Switch,
) -> Option<Problem> {
    let because = &policy.because;
    Some(match seen {
        Seen::Ours => return None,
        Seen::Removed(start) => switch.explains(
            partition,
            format_args!("the sentinel was removed on the target, whose log starts at offset {start} ({place})"),
        ),
        Seen::Hole if policy.compacts => switch.explains(
            partition,
            format_args!("the sentinel was compacted away on the target, as {because} allows ({place})"),
        ),
        Seen::Hole | Seen::Beyond => {
            Problem::failed(partition, format_args!("the sentinel is missing on the target ({place}; {because})"))
        }
        Seen::Another => Problem::failed(
            partition,
            format_args!("the record in the sentinel's place on the target is another ({place})"),
        ),
        Seen::Unreadable(error) => {
            Problem::failed(partition, format_args!("the target cannot be read at the sentinel: {error} ({place})"))
        }
    })
}

fn judge_on_source(partition: &TopicPartition, seen: Seen, place: &str, policy: &Policy) -> Option<Problem> {
    Some(match seen {
        Seen::Ours => return None,
        Seen::Removed(start) => Problem::warning(
            partition,
            format_args!("the sentinel was removed on the source by now, whose log starts at offset {start} ({place})"),
        ),
        Seen::Hole if policy.compacts => Problem::warning(
            partition,
            format_args!(
                "the sentinel was compacted away on the source by now, as {} allows ({place})",
                policy.because
            ),
        ),
        Seen::Hole | Seen::Beyond => {
            Problem::failed(partition, format_args!("the sentinel is missing on the source ({place})"))
        }
        Seen::Another => Problem::failed(
            partition,
            format_args!("the record in the sentinel's place on the source is another ({place})"),
        ),
        Seen::Unreadable(error) => {
            Problem::failed(partition, format_args!("the source cannot be read at the sentinel: {error} ({place})"))
        }
    })
}

/// The header says whose it is; a sentinel in a format that has no headers says so in its value alone.
fn is_ours(key: Option<&[u8]>, value: Option<&[u8]>, header: Option<&[u8]>, id: &MigrationId) -> bool {
    let named = || {
        let value: serde_json::Value = serde_json::from_slice(value.unwrap_or_default()).unwrap_or_default();
        value["migration_id"] == id.as_str()
    };
    key == Some(NAME.as_bytes()) && header.map_or_else(named, |header| header == id.as_str().as_bytes())
}

#[cfg(test)]
mod tests;
