//! Claims, fencing and checkpoints.

use std::time::Instant;

use futures::future::join_all;
use journal::{Claimed, Lease};
use migration::progress::PartitionProgress;
use migration::{BatchId, ErrorKind, TopicPartition};

use crate::support::Bench;

const BATCH: BatchId = BatchId(7);

fn partitions(count: i32) -> Vec<PartitionProgress> {
    (0..count).map(|n| PartitionProgress::new(TopicPartition::new("orders.v1_a-b", n), 100, 1000)).collect()
}

/// `from` after `records` more records each, of which one source offset was a marker.
fn moved(from: &[PartitionProgress], records: i64) -> Vec<PartitionProgress> {
    let mut partitions = from.to_vec();
    for progress in &mut partitions {
        progress.source_next += records + 1;
        progress.target_next += records;
        progress.bytes += records * 70;
    }
    partitions
}

/// A batch of `count` partitions, claimed.
async fn claimed(count: i32) -> Option<(Bench, Vec<PartitionProgress>, Lease)> {
    let bench = Bench::empty().await?;
    let stored = partitions(count);
    assert_eq!(bench.journal.init_partitions(BATCH, &stored).await.unwrap(), stored.len());
    let claimed = bench.journal.claim(BATCH, "one").await.unwrap();
    assert_eq!((&claimed.partitions, claimed.tail_next), (&stored, 0));
    Some((bench, stored, claimed.lease))
}

#[tokio::test]
async fn partitions_are_stored_once_and_come_back_in_order() {
    let Some((bench, stored, mut lease)) = claimed(12).await else { return };
    assert_eq!(bench.journal.partitions(BATCH).await.unwrap(), stored);
    let next = moved(&stored, 5);
    bench.journal.checkpoint(&mut lease, &next, 0).await.unwrap();
    assert_eq!(bench.journal.init_partitions(BATCH, &partitions(14)).await.unwrap(), 0, "the first one decides");
    assert!(bench.journal.partitions(BatchId(70)).await.unwrap().is_empty(), "batches do not mix");
    let all = bench.journal.progress([BatchId(70), BATCH]).await.unwrap();
    assert_eq!(all, [(BatchId(70), vec![]), (BATCH, next)]);
}

#[tokio::test]
async fn it_is_known_since_when_a_batch_is_where_it_is() {
    let Some((bench, stored, mut lease)) = claimed(1).await else { return };
    let at = async || bench.journal.batch_progress([BATCH]).await.unwrap().remove(0).at.unwrap();
    let began = bench.journal.now();
    assert_eq!(at().await, began);
    bench.wait(7);
    bench.journal.claim(BATCH, "two").await.unwrap();
    assert_eq!(at().await, began, "a claim moves nothing");
    lease.epoch += 1;
    bench.journal.checkpoint(&mut lease, &moved(&stored, 5), 0).await.unwrap();
    assert_eq!(at().await, bench.journal.now());
    let none = bench.journal.batch_progress([BatchId(70)]).await.unwrap().remove(0);
    assert_eq!((none.at, none.partitions), (None, Vec::new()));
}

#[tokio::test]
async fn a_claim_may_come_before_the_partitions() {
    let Some(bench) = Bench::empty().await else { return };
    let early = bench.journal.claim(BATCH, "early").await.unwrap();
    assert!(early.partitions.is_empty());
    assert_eq!(bench.journal.init_partitions(BATCH, &partitions(2)).await.unwrap(), 2);
    let next = bench.journal.claim(BATCH, "one").await.unwrap();
    assert_eq!((next.partitions, next.lease.epoch), (partitions(2), 2));
}

#[tokio::test]
async fn every_field_of_a_checkpoint_is_stored_and_can_be_repeated() {
    let Some((bench, stored, lease)) = claimed(1).await else { return };
    let mut next = moved(&stored, 900);
    next[0].runs_key = Some("runs/orders/0".into());
    next[0].runs_open = "AQID".into();
    next[0].source_end = 1200;
    next[0].stopped = Some("stopped for a \"reason\"".into());
    for _ in 0..3 {
        let mut repeated = lease.clone();
        bench.journal.checkpoint(&mut repeated, &next, 4).await.unwrap();
        assert_eq!(repeated.checkpoints, lease.checkpoints + 1);
        assert_eq!(bench.journal.partitions(BATCH).await.unwrap(), next);
    }
    let Claimed { lease, partitions, tail_next } = bench.journal.claim(BATCH, "two").await.unwrap();
    assert_eq!((lease.checkpoints, partitions, tail_next), (1, next, 4), "handed to the next owner");
}

#[tokio::test]
async fn the_newest_claim_fences_the_others() {
    let Some((bench, stored, mut old)) = claimed(3).await else { return };
    let first = moved(&stored, 10);
    bench.journal.checkpoint(&mut old, &first, 1).await.unwrap();
    let mut new = bench.journal.claim(BATCH, "two").await.unwrap().lease;
    assert_eq!((old.epoch, new.epoch), (1, 2));
    for error in [
        bench.journal.checkpoint(&mut old, &moved(&first, 1), 2).await.unwrap_err(),
        bench.journal.check_lease(&old).await.unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
        assert!(error.message.contains("claimed by two with epoch 2; one with epoch 1 stops"), "{error}");
    }
    assert_eq!(bench.journal.partitions(BATCH).await.unwrap(), first);
    bench.journal.check_lease(&new).await.unwrap();
    bench.journal.checkpoint(&mut new, &moved(&first, 1), 2).await.unwrap();
}

#[tokio::test]
async fn of_concurrent_claims_exactly_the_newest_can_write() {
    let Some((bench, stored, _)) = claimed(20).await else { return };
    let owners: Vec<_> = (0..6).map(|n| format!("owner-{n}")).collect();
    let claims = join_all(owners.iter().map(|owner| bench.journal.claim(BATCH, owner))).await;
    let mut leases: Vec<_> = claims.into_iter().map(|claim| claim.unwrap().lease).collect();
    leases.sort_by_key(|lease| lease.epoch);
    let mut newest = leases.pop().unwrap();
    assert_eq!(newest.epoch, 7);
    for lease in &mut leases {
        let error = bench.journal.checkpoint(lease, &moved(&stored, 3), 1).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
    }
    assert_eq!(bench.journal.partitions(BATCH).await.unwrap(), stored, "nobody older wrote anything");
    bench.journal.checkpoint(&mut newest, &moved(&stored, 3), 1).await.unwrap();
}

#[tokio::test]
async fn a_writer_that_is_fenced_while_it_writes_leaves_whole_steps() {
    let Some((bench, stored, mut old)) = claimed(8).await else { return };
    let writer = async {
        let mut from = stored.clone();
        let started = Instant::now();
        loop {
            assert!(started.elapsed().as_secs() < 30, "it was never fenced");
            let next = moved(&from, 2);
            match bench.journal.checkpoint(&mut old, &next, 0).await {
                Ok(()) => from = next,
                Err(error) => break (error, from),
            }
        }
    };
    let taker = async {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        bench.journal.claim(BATCH, "two").await.unwrap()
    };
    let ((error, from), new) = tokio::join!(writer, taker);
    assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
    assert_eq!(new.partitions, from, "what the older owner was told is what the newer one found");
    assert_eq!(bench.journal.partitions(BATCH).await.unwrap(), from, "nothing moved after the claim returned");
    assert!(new.lease.checkpoints > 0);
}

#[tokio::test]
async fn another_checkpoint_under_the_same_claim_is_unsafe() {
    let Some((bench, stored, lease)) = claimed(2).await else { return };
    let (mut one, mut other) = (lease.clone(), lease);
    bench.journal.checkpoint(&mut one, &moved(&stored, 10), 0).await.unwrap();
    let error = bench.journal.checkpoint(&mut other, &moved(&stored, 11), 0).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsafe);
    assert!(error.message.contains("batch 0007") && error.message.contains("epoch 1"), "{error}");
    assert_eq!(other.checkpoints, 0, "what was refused does not count");
    bench.journal.checkpoint(&mut one, &moved(&stored, 12), 0).await.unwrap();
    let late = bench.journal.checkpoint(&mut other, &moved(&stored, 10), 0).await.unwrap_err();
    assert_eq!(late.kind, ErrorKind::Unsafe, "an older step of its own is no replay either");
}

#[tokio::test]
async fn the_largest_batch_that_a_configuration_allows_fits_into_an_item() {
    let Some(bench) = Bench::empty().await else { return };
    let most = i32::try_from(migration::config::MAX_PARTITIONS_PER_BATCH).unwrap();
    let topic = "t".repeat(249);
    let mut stored: Vec<_> =
        (0..most).map(|n| PartitionProgress::new(TopicPartition::new(topic.as_str(), n), i64::MAX, i64::MAX)).collect();
    for progress in &mut stored {
        progress.runs_open = "r".repeat(256);
        progress.runs_key = Some(format!("runs/{topic}/0/{:020}-1.runs", 1));
    }
    bench.journal.init_partitions(BATCH, &stored).await.unwrap();
    assert_eq!(bench.journal.claim(BATCH, "one").await.unwrap().partitions, stored);
}
