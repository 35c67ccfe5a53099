//! Keys of compacted topics whose deletion the source forgets while they are copied, and holes that a log cleaner makes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use copy::recount::Recounter;
use documents::Memory;
use e2e::{Rehearsal, config, evidence, small};
use kafka::batch::{Codec, Entry, Record, Stamp, encode, entries};
use kafka::{Cluster, FetchOptions, FetchPosition, Isolation, OffsetSpec, TopicPartition, all_ok};
use migration::BatchId;
use stack::{Options, Side, Stack};

const TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(500);
/// What a cleaner has to be done within.
const CLEANED: Duration = Duration::from_secs(60);
/// A topic of which everything but its last segment is cleaned at once, and that forgets deletions half a second later.
const CLEANED_AT_ONCE: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.ms", "500"),
    ("min.cleanable.dirty.ratio", "0.001"),
    ("delete.retention.ms", "500"),
];
/// Keys that are deleted.
const DELETED: usize = 100;
/// Bytes of the values that lie between them and the end.
const FILLER: usize = 30_000;

fn partition() -> TopicPartition {
    TopicPartition::new("accounts", 0)
}

/// Records of these keys, each with `value`, in one batch for each of them.
async fn write(cluster: &Cluster, keys: impl Iterator<Item = String>, value: Option<Bytes>) {
    for key in keys {
        let record =
            Record { key: Some(Bytes::from(key)), value: value.clone(), timestamp: now(), ..Record::default() };
        let batch = encode(&[record], Codec::None, Stamp::NONE, 0).unwrap().to_produce();
        all_ok(cluster.produce_retrying(&[(partition(), batch)], TIMEOUT).await).unwrap();
    }
}

fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

fn deleted() -> impl Iterator<Item = String> {
    (0..DELETED).map(|number| format!("gone-{number}"))
}

/// End of the log, 0 as long as there is none.
async fn end(cluster: &Cluster) -> i64 {
    let ends = all_ok(cluster.list_offsets(&[partition()], OffsetSpec::Latest).await);
    ends.map_or(0, |ends| ends[&partition()])
}

/// Keys of all records, and their number.
async fn read(cluster: &Cluster) -> (BTreeSet<String>, i64) {
    let (mut keys, mut records, mut next, end) = (BTreeSet::new(), 0, 0, end(cluster).await);
    let options =
        FetchOptions { max_wait: PAUSE, min_bytes: 1, max_bytes: 1 << 24, isolation: Isolation::ReadUncommitted };
    while next < end {
        let position = FetchPosition { partition: partition(), offset: next, max_bytes: 1 << 24 };
        let answer = cluster.fetch(&[position], &options).await.pop().unwrap();
        for entry in entries(answer.1.unwrap().records) {
            let entry = entry.unwrap();
            let Entry::Batch(batch) = &entry else { panic!("an old message") };
            let found = batch.decode(kafka::batch::DecodeLimit::default()).unwrap();
            records += found.iter().filter(|record| record.offset >= next).count() as i64;
            keys.extend(found.into_iter().map(|record| String::from_utf8(record.key.unwrap().to_vec()).unwrap()));
            next = next.max(entry.next_offset());
        }
    }
    (keys, records)
}

/// Has cleaners look for work twice a second.
async fn clean_often(stack: &Stack, side: Side) {
    let server = stack.cluster(side).bootstrap();
    let mut args = vec!["--bootstrap-server", &server];
    args.extend("--alter --entity-type brokers --entity-default --add-config log.cleaner.backoff.ms=500".split(' '));
    stack.kafka_tool(side, "ConfigCommand", &args).await.unwrap();
}

/// Report 28: values are copied, then deleted, and the source forgets the deletions before the copy comes to them.
#[tokio::test(flavor = "multi_thread")]
async fn keys_whose_deletion_was_never_copied_stop_the_cutover_until_somebody_keeps_them() {
    let options = Options { name: "e2e-compacted".to_owned(), discard: true, quiet: true, ..Options::default() };
    let rehearsal = Rehearsal::start(options, "compacted").await.unwrap();
    let source = small::connect(&rehearsal.stack, Side::Source).await.unwrap();
    let target = small::connect(&rehearsal.stack, Side::Target).await.unwrap();
    clean_often(&rehearsal.stack, Side::Source).await;
    small::create(&source, "accounts", 1, &CLEANED_AT_ONCE).await.unwrap();
    write(&source, deleted(), Some(Bytes::from_static(b"alive"))).await;
    write(&source, (0..100).map(|number| format!("kept-{number}")), Some(vec![7; FILLER].into())).await;

    // Some of it is copied at once, and nothing behind it until the limit is lifted.
    let slow = config::yaml(&rehearsal.stack) + "    throttle:\n      bytes_per_second: 100\n";
    let cli = rehearsal.cli.clone().with(&config::write(&rehearsal.dir, "slow.yaml", &slow).unwrap(), rehearsal.id());
    let execute = cli.beside("execute");
    let copied = async {
        while end(&target).await < DELETED as i64 {
            assert!(!execute.is_finished(), "it ended too early");
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(CLEANED, copied).await.unwrap();
    write(&source, deleted(), None).await;
    let forgotten = async {
        for number in 0.. {
            // A cleaner leaves the last segment alone.
            write(&source, std::iter::once(format!("rolls-{}", number % 3)), Some(Bytes::from_static(b"r"))).await;
            tokio::time::sleep(PAUSE).await;
            if !read(&source).await.0.iter().any(|key| key.starts_with("gone-")) {
                break;
            }
        }
    };
    tokio::time::timeout(CLEANED, forgotten).await.expect("the source's cleaner takes values and deletions");
    assert!(end(&target).await < end(&source).await - 1, "the copy has not come to the deletions");
    cli.run("throttle", &["--off"]).await.unwrap().ok().unwrap();
    execute.await.unwrap().unwrap().ok().unwrap();
    assert!(read(&target).await.0.contains("gone-0"), "it had the values, and missed the deletions");

    let said = ["accounts/0", "100 of its keys live on the target alone", "topology.on_deleted_keys: keep"];
    cli.run("cutover", &[]).await.unwrap().refused(&said).unwrap();
    let kept = slow + "    topology:\n      on_deleted_keys: keep\n";
    let cli = cli.with(&config::write(&rehearsal.dir, "kept.yaml", &kept).unwrap(), rehearsal.id());
    cli.resume().await.unwrap();
    cli.run_all(&["cutover", "cutover-ack", "finalize"]).await.unwrap();
    let bundle = evidence::verify(&rehearsal.stack, rehearsal.id(), &rehearsal.dir.join("evidence")).await.unwrap();
    let validation = &bundle["validation"];
    assert_eq!(validation["overall"], "PASSED_WITH_WARNINGS", "{validation:#}");
    let problems = validation["counts_and_offsets"]["problems"].to_string();
    assert!(problems.contains("100 of 2") && problems.contains("lived on the target alone"), "{problems}");
    rehearsal.stack.stop().await.unwrap();
}

/// Report 16: a log cleaner takes records out of the midst of a log, whose start and end stay where they are.
#[tokio::test(flavor = "multi_thread")]
async fn records_that_a_cleaner_took_are_counted_by_reading() {
    let options = Options { name: "e2e-recount".to_owned(), discard: true, quiet: true, ..Options::default() };
    let stack = Stack::start(options).await.unwrap();
    let target = small::connect(&stack, Side::Target).await.unwrap();
    clean_often(&stack, Side::Target).await;
    small::create(&target, "accounts", 1, &CLEANED_AT_ONCE).await.unwrap();
    let ten = (0..500).map(|number| format!("key-{}", number % 10));
    write(&target, ten, Some(Bytes::from_static(b"value"))).await;
    let bucket = Memory::default();
    let cleaned = async {
        loop {
            write(&target, std::iter::once("last".to_owned()), Some(Bytes::from_static(b"value"))).await;
            tokio::time::sleep(PAUSE).await;
            if read(&target).await.1 < 100 {
                break;
            }
        }
    };
    tokio::time::timeout(CLEANED, cleaned).await.expect("the cleaner takes what is superseded");
    small::set(&target, "accounts", "cleanup.policy", "delete").await.unwrap();
    let end = end(&target).await;
    let mut recounter = Recounter::load(&target, &bucket, BatchId(0)).await.unwrap();
    while recounter.counted(&partition()).next < end {
        recounter.read_on(&partition(), end).await.unwrap();
        recounter.save().await.unwrap();
        recounter = Recounter::load(&target, &bucket, BatchId(0)).await.unwrap();
    }
    let counted = recounter.counted(&partition());
    let (_, there) = read(&target).await;
    assert_eq!((counted.records(), counted.next, counted.removed), (there, end, 0));
    assert!(counted.missing > 400, "{counted:?}");
    let faults = recounter.step(vec![(partition(), end)], usize::MAX).await;
    let said = format!("{} records that were copied to the target are missing there", counted.missing);
    assert!(faults[0].1.message.contains(&said), "{faults:?}");
    stack.stop().await.unwrap();
}
