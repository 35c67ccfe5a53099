//! What proves that everything before the freeze was copied: something of ours at the end of every partition, or the end
//! itself where nothing of ours can be written.

use std::collections::BTreeMap;
use std::time::Duration;

use documents::cutover_plan::EndProof;
use documents::sentinels::{self, SentinelsPlaced};
use journal::CutoverLease;
use migration::config::{Sentinels, WriteFence};
use migration::{Error, Result, TopicPartition};
use tokio::time::sleep;

use crate::Job;
use crate::fence;
use crate::ports::{Ledger, Offsets, Ports, Source, WrittenBatch};
use crate::steps::Steps;

/// Pause between two looks for markers, which leaders write behind the coordinator's answer.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where a partition has to be copied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// End of the source's log, the proof included.
    pub(crate) source_end: i64,
    /// What proves it.
    pub(crate) proof: EndProof,
}

/// The ends of all partitions.
pub(crate) type Ends = BTreeMap<TopicPartition, End>;

/// The offsets of `ends`.
pub(crate) fn offsets(ends: &Ends) -> Offsets {
    ends.iter().map(|(partition, end)| (partition.clone(), end.source_end)).collect()
}

/// Places a proof at the end of each partition, given that they end at `ends` and no transaction is open. Proofs that an
/// earlier attempt of the same cutover placed are taken where nothing lies behind them. Returns warnings too.
///
/// # Errors
/// Unsafe when records were written meanwhile; Blocked when a sentinel record is refused; Fenced when another invocation took
/// over; otherwise those of the source.
pub(crate) async fn place(
    ports: &impl Ports,
    job: &Job,
    lease: &CutoverLease,
    ends: &Offsets,
    steps: &Steps,
) -> Result<(Ends, Vec<String>)> {
    if job.limits.write_fence == WriteFence::Acl {
        // Nothing of ours could be written either, and nothing has to be: the ends cannot move.
        return Ok((at_ends(ends, EndProof::Fence), Vec::new()));
    }
    let key = sentinels::key(lease.version);
    let before: Option<SentinelsPlaced> = documents::read_if_there(ports.objects(), &key).await?;
    let mut placed: Ends = before.map(|placed| still_last(&placed, ends)).unwrap_or_default();
    let open: Offsets = ends.iter().filter(|(name, _)| !placed.contains_key(*name)).map(pair).collect();
    let mut warnings = Vec::new();
    if !open.is_empty() {
        // A record of an invocation that was overtaken would look to the other like a producer that ignores the freeze.
        ports.ledger().check(lease).await?;
        let new = match job.limits.sentinels {
            Sentinels::Markers => markers(ports, &open, steps, &mut warnings).await?,
            Sentinels::Records => records(ports, job, &open).await?,
            Sentinels::None => at_ends(&open, EndProof::End),
        };
        placed.extend(new);
        documents::write(ports.objects(), &key, &stored(&placed)).await?;
    }
    Ok((placed, warnings))
}

fn pair((partition, end): (&TopicPartition, &i64)) -> (TopicPartition, i64) {
    (partition.clone(), *end)
}

/// Those of an earlier attempt behind which nothing lies.
fn still_last(placed: &SentinelsPlaced, ends: &Offsets) -> Ends {
    let still = placed.partitions.iter().filter(|end| ends.get(&end.partition) == Some(&end.source_end));
    still.map(|end| (end.partition.clone(), End { source_end: end.source_end, proof: end.proof })).collect()
}

fn stored(placed: &Ends) -> SentinelsPlaced {
    let partitions = placed.iter().map(|(partition, end)| sentinels::Placed {
        partition: partition.clone(),
        source_end: end.source_end,
        proof: end.proof,
    });
    SentinelsPlaced { partitions: partitions.collect() }
}

/// The ends themselves.
fn at_ends(ends: &Offsets, proof: EndProof) -> Ends {
    ends.iter().map(|(name, end)| (name.clone(), End { source_end: *end, proof })).collect()
}

/// A marker on each partition that takes one.
async fn markers(ports: &impl Ports, ends: &Offsets, steps: &Steps, warnings: &mut Vec<String>) -> Result<Ends> {
    let partitions: Vec<_> = ends.keys().cloned().collect();
    let markers = ports.source().append_markers(&partitions).await?;
    if let Some((first, reason)) = markers.refused.iter().next() {
        let more = fence::and_more(markers.refused.len(), "partition", "partitions");
        warnings.push(format!("{first}{more}: takes no marker, so that its end alone is proof: {reason}"));
    }
    let refused: Offsets = ends.iter().filter(|(name, _)| markers.refused.contains_key(*name)).map(pair).collect();
    let mut placed = at_ends(&refused, EndProof::End);
    let mut open: Vec<_> = ends.iter().filter(|(name, _)| !markers.refused.contains_key(*name)).map(pair).collect();
    while !open.is_empty() {
        let written = ports.source().batches(&open).await?;
        fence::refuse_records(&written, ends)?;
        let found = open.iter().filter_map(|(partition, _)| {
            Some((partition.clone(), marker(written.get(partition)?, &markers.identity)?))
        });
        placed.extend(found);
        open.retain(|(partition, _)| !placed.contains_key(partition));
        if let Some((first, _)) = open.first() {
            let more = fence::and_more(open.len(), "partition", "partitions");
            steps.waits_for(format!("the marker on {first}{more}"));
            sleep(LOOK_EVERY).await;
        }
    }
    Ok(placed)
}

/// The last batch of `found`, if it is ours; what other markers lie before it does not matter.
fn marker(found: &[WrittenBatch], identity: &kafka::ProducerIdentity) -> Option<End> {
    let ours = found.iter().rfind(|batch| batch.is_control && batch.producer == Some(*identity))?;
    let proof =
        EndProof::Marker { source_offset: ours.base_offset, producer_id: identity.id, producer_epoch: identity.epoch };
    Some(End { source_end: ours.next_offset, proof })
}

/// A record on each partition, those of excluded topics apart.
async fn records(ports: &impl Ports, job: &Job, ends: &Offsets) -> Result<Ends> {
    let excluded = |topic: &str| job.limits.sentinel_exclude.iter().any(|pattern| pattern.matches(topic));
    let (excluded, wanted): (Offsets, Offsets) =
        ends.iter().map(pair).partition(|(partition, _)| excluded(&partition.topic));
    let mut placed = at_ends(&excluded, EndProof::End);
    let partitions: Vec<_> = wanted.keys().cloned().collect();
    for (partition, outcome) in ports.source().append_records(&partitions).await {
        let offset = outcome.map_err(|error| {
            let error = Error::from(error).at(&partition);
            Error {
                message: format!(
                    "the sentinel could not be written to the source: {}. What stops producers there stops it too: use \
                     cutover.sentinels markers or none, or exclude the topic by cutover.sentinel_exclude",
                    error.message
                ),
                ..error
            }
        })?;
        placed.insert(partition, End { source_end: offset + 1, proof: EndProof::Record { source_offset: offset } });
    }
    Ok(placed)
}
