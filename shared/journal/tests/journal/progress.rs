//! Claims, fencing and checkpoints.

use std::time::Instant;

use futures::future::join_all;
use journal::{Checkpoint, Lease, Position};
use migration::progress::PartitionProgress;
use migration::{BatchId, ErrorKind, TopicPartition};
use serde_json::json;

use crate::support::Bench;

const BATCH: BatchId = BatchId(7);

fn partitions(count: i32) -> Vec<PartitionProgress> {
    (0..count).map(|n| PartitionProgress::new(TopicPartition::new("orders.v1_a-b", n), 100, 1000)).collect()
}

/// `progress` after `records` more records, of which one source offset was a marker.
fn moved(progress: &PartitionProgress, records: i64) -> PartitionProgress {
    let mut next = progress.clone();
    next.source_next += records + 1;
    next.target_next += records;
    next.bytes += records * 70;
    next
}

fn steps(from: &[PartitionProgress], records: i64) -> Vec<Checkpoint> {
    from.iter().map(|progress| Checkpoint::new(progress, moved(progress, records))).collect()
}

fn after(steps: &[Checkpoint]) -> Vec<PartitionProgress> {
    steps.iter().map(|step| step.next.clone()).collect()
}

/// A batch of `count` partitions, claimed.
async fn claimed(count: i32) -> Option<(Bench, Vec<PartitionProgress>, Lease)> {
    let bench = Bench::empty().await?;
    let stored = partitions(count);
    assert_eq!(bench.journal.init_partitions(BATCH, &stored).await.unwrap(), stored.len());
    let lease = bench.journal.claim(BATCH, "one").await.unwrap();
    Some((bench, stored, lease))
}

#[tokio::test]
async fn partitions_are_stored_once_and_come_back_in_order() {
    let Some((bench, stored, lease)) = claimed(12).await else { return };
    assert_eq!(bench.journal.partitions(BATCH).await.unwrap(), stored);
    bench.journal.checkpoint(&lease, steps(&stored, 5).remove(3)).await.unwrap();
    assert_eq!(bench.journal.init_partitions(BATCH, &partitions(14)).await.unwrap(), 2, "only what is new");
    let read = bench.journal.partitions(BATCH).await.unwrap();
    assert_eq!((read.len(), read[3].target_next), (14, 5));
    assert!(bench.journal.partitions(BatchId(70)).await.unwrap().is_empty(), "batches do not mix");
    let all = bench.journal.progress([BatchId(70), BATCH]).await.unwrap();
    assert_eq!(all, [(BatchId(70), vec![]), (BATCH, read)]);
}

#[tokio::test]
async fn every_field_of_a_checkpoint_is_stored_and_can_be_repeated() {
    let Some((bench, stored, lease)) = claimed(1).await else { return };
    let mut next = moved(&stored[0], 900);
    next.runs_key = Some("runs/orders/0".into());
    next.runs_open = "AQID".into();
    (next.reencoded, next.source_end, next.stopped) = (2, 1200, Some("stopped for a reason".into()));
    let step = Checkpoint::new(&stored[0], next.clone());
    for _ in 0..3 {
        bench.journal.checkpoint(&lease, step.clone()).await.unwrap();
        assert_eq!(bench.journal.partitions(BATCH).await.unwrap(), [next.clone()]);
    }
    let resumed = PartitionProgress { stopped: None, ..next.clone() };
    bench.journal.checkpoint(&lease, Checkpoint::new(&next, resumed.clone())).await.unwrap();
    assert_eq!(bench.journal.partitions(BATCH).await.unwrap(), [resumed], "the same position, other fields");
}

#[tokio::test]
async fn the_newest_claim_fences_the_others() {
    let Some((bench, stored, old)) = claimed(3).await else { return };
    let first = steps(&stored, 10);
    bench.journal.checkpoint_many(&old, &first[..1], None).await.unwrap();
    let new = bench.journal.claim(BATCH, "two").await.unwrap();
    assert_eq!((old.epoch, new.epoch), (1, 2));
    for error in [
        bench.journal.checkpoint_many(&old, &first[1..], None).await.unwrap_err(),
        bench.journal.checkpoint(&old, first[0].clone()).await.unwrap_err(),
        bench.journal.checkpoint_many(&old, &[], Some(4)).await.unwrap_err(),
        bench.journal.set_batch_state(&old, &json!(1)).await.unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
        assert!(error.message.contains("claimed by two with epoch 2; one with epoch 1 stops"), "{error}");
    }
    let read = bench.journal.partitions(BATCH).await.unwrap();
    assert_eq!(read, [first[0].next.clone(), stored[1].clone(), stored[2].clone()]);
    bench.journal.checkpoint_many(&new, &steps(&read, 1), None).await.unwrap();
}

#[tokio::test]
async fn of_concurrent_claims_exactly_the_newest_can_write() {
    let Some((bench, stored, _)) = claimed(20).await else { return };
    let owners: Vec<_> = (0..6).map(|n| format!("owner-{n}")).collect();
    let claims = join_all(owners.iter().map(|owner| bench.journal.claim(BATCH, owner))).await;
    let mut leases = Vec::new();
    for claim in claims {
        match claim {
            Ok(lease) => leases.push(lease),
            Err(error) => assert_eq!(error.kind, ErrorKind::Fenced, "{error}"),
        }
    }
    leases.sort_by_key(|lease| lease.epoch);
    let newest = leases.pop().unwrap();
    assert_eq!(newest.epoch, 7);
    let step = steps(&stored, 3);
    for lease in &leases {
        let error = bench.journal.checkpoint_many(lease, &step, Some(1)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
    }
    assert_eq!(bench.journal.partitions(BATCH).await.unwrap(), stored, "nobody older wrote anything");
    bench.journal.checkpoint_many(&newest, &step, Some(1)).await.unwrap();
    assert_eq!(bench.journal.partitions(BATCH).await.unwrap(), after(&step));
}

#[tokio::test]
async fn a_writer_that_is_fenced_while_it_writes_leaves_a_prefix_of_its_steps() {
    let Some((bench, stored, old)) = claimed(8).await else { return };
    let writer = async {
        let mut from = stored.clone();
        let started = Instant::now();
        loop {
            assert!(started.elapsed().as_secs() < 30, "it was never fenced");
            let step = steps(&from, 2);
            match bench.journal.checkpoint_many(&old, &step, None).await {
                Ok(()) => from = after(&step),
                Err(error) => break (error, from),
            }
        }
    };
    let taker = async {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        let lease = bench.journal.claim(BATCH, "two").await.unwrap();
        (lease, bench.journal.partitions(BATCH).await.unwrap())
    };
    let ((error, from), (lease, read)) = tokio::join!(writer, taker);
    assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
    assert_eq!(bench.journal.partitions(BATCH).await.unwrap(), read, "nothing moved after the claim returned");
    for (stood, found) in from.iter().zip(&read) {
        assert!(found == stood || *found == moved(stood, 2), "{found:?} is neither before nor after the last step");
    }
    bench.journal.checkpoint_many(&lease, &steps(&read, 1), None).await.unwrap();
}

#[tokio::test]
async fn a_position_that_differs_under_the_same_claim_is_unsafe() {
    let Some((bench, stored, lease)) = claimed(2).await else { return };
    bench.journal.checkpoint(&lease, steps(&stored, 10).remove(0)).await.unwrap();
    let other = bench.journal.checkpoint_many(&lease, &steps(&stored, 11), Some(1)).await.unwrap_err();
    assert_eq!(other.kind, ErrorKind::Unsafe);
    assert_eq!((other.context.partition, other.context.offset), (Some(0), Some(100)));
    assert!(
        other.message.contains("stands at source offset 111 and target offset 10, its checkpoint expected 100 and 0")
    );
    let lease = bench.journal.claim(BATCH, "one").await.unwrap();
    assert_eq!(lease.tail_next, None, "a round that is not complete does not move the tail");
    let unknown = Checkpoint {
        previous: Position { source_next: 0, target_next: 0 },
        next: PartitionProgress::new(TopicPartition::new("nobody", 0), 0, 0),
    };
    let error = bench.journal.checkpoint(&lease, unknown).await.unwrap_err();
    assert!(error.kind == ErrorKind::Unsafe && error.message.contains("not a partition of batch 0007"), "{error}");
}

#[tokio::test]
async fn a_position_of_an_older_claim_is_no_replay() {
    let Some((bench, stored, old)) = claimed(1).await else { return };
    let step = steps(&stored, 10);
    bench.journal.checkpoint_many(&old, &step, None).await.unwrap();
    let new = bench.journal.claim(BATCH, "two").await.unwrap();
    let error = bench.journal.checkpoint_many(&new, &step, None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsafe, "the new owner did not read where the partition stands");
    assert_eq!(bench.journal.partitions(BATCH).await.unwrap(), after(&step));
}

#[tokio::test]
async fn a_partition_stored_after_the_claim_can_be_checkpointed_by_the_newest_claim_only() {
    let Some((bench, _, old)) = claimed(1).await else { return };
    let new = bench.journal.claim(BATCH, "two").await.unwrap();
    bench.journal.init_partitions(BATCH, &partitions(2)).await.unwrap();
    let step = steps(&partitions(2), 4).remove(1);
    assert_eq!(bench.journal.checkpoint(&old, step.clone()).await.unwrap_err().kind, ErrorKind::Fenced);
    bench.journal.checkpoint(&new, step.clone()).await.unwrap();
    bench.journal.checkpoint(&new, step).await.unwrap();
}

#[tokio::test]
async fn the_tail_and_the_batch_state_are_handed_to_the_next_owner() {
    let Some((bench, stored, lease)) = claimed(2).await else { return };
    assert_eq!((lease.tail_next, &lease.state), (None, &None));
    let step = steps(&stored, 1);
    for _ in 0..2 {
        bench.journal.checkpoint_many(&lease, &step, Some(1)).await.unwrap();
    }
    let error = bench.journal.checkpoint_many(&lease, &[], Some(0)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsafe);
    bench.journal.set_batch_state(&lease, &json!({"round": 3})).await.unwrap();
    assert_eq!(bench.journal.batch_state(BATCH).await.unwrap(), Some(json!({"round": 3})));
    assert_eq!(bench.journal.batch_state(BatchId(1)).await.unwrap(), None);
    let next = bench.journal.claim(BATCH, "two").await.unwrap();
    assert_eq!((next.tail_next, next.state), (Some(1), Some(json!({"round": 3}))));
}

#[tokio::test]
async fn a_batch_beyond_one_page_and_one_transaction_is_read_and_checkpointed_whole() {
    let Some(bench) = Bench::empty().await else { return };
    let mut stored = partitions(250);
    for progress in &mut stored {
        progress.runs_open = "r".repeat(6_000);
    }
    bench.journal.init_partitions(BATCH, &stored).await.unwrap();
    let started = Instant::now();
    let lease = bench.journal.claim(BATCH, "one").await.unwrap();
    let claimed_in = started.elapsed();
    let started = Instant::now();
    assert_eq!(bench.journal.partitions(BATCH).await.unwrap(), stored, "1.5 MB come in two pages");
    let read_in = started.elapsed();
    let step = steps(&stored, 8);
    let started = Instant::now();
    bench.journal.checkpoint_many(&lease, &step, Some(1)).await.unwrap();
    println!("250 partitions: claim {claimed_in:?}, read {read_in:?}, checkpoint {:?}", started.elapsed());
    assert_eq!(bench.journal.partitions(BATCH).await.unwrap(), after(&step));
}
