//! The write fence of `cutover.write_fence: acl`: set and proven before anything else is looked at, and proven once more at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clock::Deadline;
use journal::CutoverLease;
use migration::{Error, Result, TopicPartition};
use tokio::time::sleep;
use write_fence::ports::Acls;
use write_fence::{Claim, proven};

use crate::fence::and_more;
use crate::ports::{Ledger, Ports};
use crate::steps::Steps;

/// Pause between two looks at leaders, which get to know rules behind the answer.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long the end of an invocation may take for what it has on its way.
const MOMENT: Duration = Duration::from_secs(1);

/// Sets the fence around the topics of `partitions`, and waits until every leader refuses to write.
///
/// # Errors
/// Those of [`write_fence::raise`] and of the source. The wait itself has no end: the freeze's limit ends it.
pub(crate) async fn raise(
    ports: &impl Ports,
    lease: &CutoverLease,
    attempt: u32,
    partitions: &[TopicPartition],
    steps: &Steps,
) -> Result<()> {
    let topics: BTreeSet<_> = partitions.iter().map(|partition| partition.topic.clone()).collect();
    let (acls, record, objects) = (ports.acls(), ports.fence(), ports.objects());
    let holds = ports.ledger().check(lease);
    let set = write_fence::raise(acls, record, objects, Claim { lease, attempt }, &topics, holds);
    steps.time("set the write fence", set).await?;
    steps.time("prove the write fence", prove(ports, partitions, steps)).await
}

/// Ends what an invocation that ends before the mark still has on its way, as far as that can be done in a moment.
pub(crate) async fn settle(ports: &impl Ports, lease: &CutoverLease) {
    let settle = write_fence::settle(ports.acls(), ports.fence(), ports.objects(), lease.epoch);
    match Deadline::after(MOMENT).limit(settle).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::info!(%error, "the write fence at the end of an invocation"),
        Err(_) => tracing::warn!("the write fence counts as being set for as long as an invocation may last"),
    }
}

async fn prove(ports: &impl Ports, partitions: &[TopicPartition], steps: &Steps) -> Result<()> {
    loop {
        let open = ports.acls().unrefused(partitions).await?;
        let Some(waits) = first(&open) else { break };
        steps.waits_for(format!("leaders to refuse writing: {waits}"));
        sleep(LOOK_EVERY).await;
    }
    steps.waits_no_more();
    proven(ports.fence()).await
}

/// Checks that every leader of `partitions` still refuses to write.
///
/// # Errors
/// Transient, naming the first one that does not.
pub(crate) async fn hold(ports: &impl Ports, partitions: &[TopicPartition]) -> Result<()> {
    match first(&ports.acls().unrefused(partitions).await?) {
        None => Ok(()),
        Some(open) => Err(Error::transient(format_args!("a leader does not refuse writing any more: {open}"))),
    }
}

/// The first partition whose leader does not refuse, what it says, and how many more there are.
fn first(open: &BTreeMap<TopicPartition, String>) -> Option<String> {
    let (partition, said) = open.iter().next()?;
    Some(format!("{partition}{} ({said})", and_more(open.len(), "partition", "partitions")))
}
