//! Signs of life.

use journal::{Beat, CopyWork, Health, Lease};
use migration::{BatchId, Error, ErrorKind, TopicPartition};

use crate::support::Bench;

const BATCH: BatchId = BatchId(7);

fn lease(epoch: u64) -> Lease {
    Lease { batch: BATCH, epoch, owner: format!("owner-{epoch}"), checkpoints: 0 }
}

fn beat(health: Health) -> Beat {
    Beat { work: CopyWork::Tail, health, refused: Vec::new() }
}

#[tokio::test]
async fn a_beat_tells_who_is_at_work_since_when_and_what_is_refused() {
    let Some(bench) = Bench::empty().await else { return };
    let none = bench.journal.heartbeats([BATCH, BatchId(8)]).await.unwrap();
    assert_eq!(none, [(BATCH, None), (BatchId(8), None)]);
    let refused = (0..5).map(|number| TopicPartition::new("orders", number)).collect();
    let began = bench.journal.now();
    assert!(bench.journal.beat(&lease(2), &Beat { refused, ..beat(Health::Unproven) }).await.unwrap());
    let read = async || bench.journal.heartbeats([BATCH]).await.unwrap().remove(0).1.unwrap();
    let first = read().await;
    assert_eq!((first.at, first.epoch, first.owner.as_str()), (Some(began), 2, "owner-2"));
    assert_eq!((first.work, first.error, first.refused.unwrap().count), (Some(CopyWork::Tail), None, 5));
    assert!(bench.journal.partitions(BATCH).await.unwrap().is_empty(), "it is no batch's item");
    bench.wait(29);
    assert!(read().await.is_alive(bench.journal.now()));
    bench.wait(1);
    assert!(!read().await.is_alive(bench.journal.now()));
    assert!(bench.journal.beat(&lease(2), &beat(Health::Well)).await.unwrap());
    let again = read().await;
    assert!(again.is_alive(bench.journal.now()) && again.refused.is_none(), "{again:?}");
}

#[tokio::test]
async fn an_older_claim_is_not_heard_any_more() {
    let Some(bench) = Bench::empty().await else { return };
    assert!(bench.journal.beat(&lease(3), &beat(Health::Well)).await.unwrap());
    bench.wait(5);
    let late = beat(Health::Failing(Error::transient("late")));
    assert!(!bench.journal.beat(&lease(2), &late).await.unwrap());
    let stands = bench.journal.heartbeats([BATCH]).await.unwrap().remove(0).1.unwrap();
    assert_eq!((stands.epoch, stands.error), (3, None));
    assert!(bench.journal.beat(&lease(3), &beat(Health::Well)).await.unwrap());
    assert!(bench.journal.beat(&lease(4), &beat(Health::Well)).await.unwrap());
}

#[tokio::test]
async fn an_error_stays_until_something_was_done_after_it() {
    let Some(bench) = Bench::empty().await else { return };
    let error = async || bench.journal.heartbeats([BATCH]).await.unwrap().remove(0).1.unwrap().error;
    let refused = Error::blocked("the source refuses SCRAM").at(&TopicPartition::new("orders", 3));
    bench.journal.note_failure(BATCH, &refused).await.unwrap();
    let met = bench.journal.now();
    let found = bench.journal.heartbeats([BATCH]).await.unwrap().remove(0).1.unwrap();
    assert_eq!((found.at, found.epoch, found.work), (None, 0, None), "nobody took the batch");
    let kept = error().await.unwrap();
    assert_eq!((kept.kind, kept.at), (ErrorKind::Blocked, met));
    assert_eq!(kept.message, "the source refuses SCRAM (orders/3)");
    bench.wait(5);
    bench.journal.beat(&lease(1), &beat(Health::Unproven)).await.unwrap();
    assert_eq!(error().await, Some(kept), "the next one has just begun");
    let failing = Health::Failing(Error::transient("no leader"));
    bench.journal.beat(&lease(1), &beat(failing)).await.unwrap();
    assert_eq!(error().await.unwrap().message, "no leader");
    bench.journal.beat(&lease(1), &beat(Health::Well)).await.unwrap();
    assert_eq!(error().await, None);
}
