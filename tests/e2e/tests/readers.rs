//! What applications see of a cutover on either side: their own records and nothing else. Kafka Streams restores its stores from
//! changelogs that were migrated, a typed consumer and a sink go on where they stood; on the source, which a cutover
//! that failed leaves as it was, and on the target.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::time::Duration;

use e2e::Rehearsal;
use e2e::readers::{INPUT, PER_HOUR, Readers};
use kafka::batch::{Codec, Record, Stamp, encode};
use kafka::{Cluster, NewTopic, OffsetSpec, Settings, TopicPartition, all_ok};
use serde_json::{Value, json};
use stack::Options;

/// Hours of input before the migration, and behind the switch.
const BEFORE: u64 = 10;
const BEHIND: u64 = 2;
const KEYS: u64 = 5;
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the applications know of `hours`, of which the groups met `met` records since they stood still.
fn knowing(hours: u64, met: u64) -> Value {
    let counted = hours * PER_HOUR;
    let store = |entries: u64| json!({"entries": entries, "counted": counted});
    json!({
        "streams": {"plain": store(KEYS), "windowed": store(KEYS * hours), "sessions": store(KEYS * hours)},
        "typed": met,
        "sink": met,
    })
}

async fn create(source: &Cluster, name: &str, partitions: i32) {
    // The records are from the past.
    let configs = [("retention.ms".to_owned(), "-1".to_owned())].into();
    let topic = NewTopic { name: name.into(), partitions, replication_factor: 1, configs };
    all_ok(source.create_topics(&[topic]).await).unwrap();
}

/// Ends of the logs of every topic of the applications.
async fn ends(cluster: &Cluster) -> Vec<(TopicPartition, i64)> {
    let topics = cluster.topics().await.unwrap().into_iter().filter(|topic| topic.name.starts_with("readers-"));
    let partitions: Vec<_> = topics
        .flat_map(|topic| {
            let name = topic.name.clone();
            topic
                .partitions
                .iter()
                .map(|found| found.partition)
                .map(move |at| TopicPartition::new(name.clone(), at))
                .collect::<Vec<_>>()
        })
        .collect();
    all_ok(cluster.list_offsets(&partitions, OffsetSpec::Latest).await).unwrap().into_iter().collect()
}

/// A producer that never hears of the freeze writes on while `work` goes on.
async fn while_one_ignores_the_freeze<T>(source: &Cluster, work: impl Future<Output = T>) -> T {
    let record = Record {
        offset: 0,
        timestamp: chrono::Utc::now().timestamp_millis(),
        key: None,
        value: Some("on and on".into()),
        headers: Vec::new(),
    };
    let batch = encode(&[record], Codec::None, Stamp::NONE, 0).unwrap().to_produce();
    let writes = async {
        loop {
            let request = [(TopicPartition::new("noise", 0), batch.clone())];
            all_ok(source.produce_retrying(&request, TIMEOUT).await).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        done = work => done,
        () = writes => unreachable!("it never ends"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_meet_their_own_records_and_nothing_else_on_either_side() {
    let options = Options { name: "e2e-readers".to_owned(), discard: true, quiet: true, ..Options::default() };
    let rehearsal = Rehearsal::start(options, "readers").await.unwrap();
    let (on_source, on_target) = (rehearsal.stack.source_bootstrap(), rehearsal.stack.target_bootstrap());
    let readers = Readers::ready(&rehearsal.dir).await.unwrap();
    let source = Cluster::connect(Settings::parse(&on_source)).await.unwrap();
    create(&source, INPUT, 3).await;
    create(&source, "noise", 1).await;
    readers.write(&on_source, 0, BEFORE).await.unwrap();
    assert_eq!(readers.run(&on_source).await.unwrap(), knowing(BEFORE, BEFORE * PER_HOUR));
    rehearsal.cli.run("execute", &[]).await.unwrap().ok().unwrap();

    // A cutover that places its sentinels and fails.
    let before = ends(&source).await;
    let failed = while_one_ignores_the_freeze(&source, rehearsal.cli.run("cutover", &[])).await.unwrap();
    assert!(failed.code == 1 && failed.stderr.contains("ignores the freeze"), "{}\n{}", failed.stdout, failed.stderr);
    let after = ends(&source).await;
    let placed = before.iter().zip(&after).all(|((_, before), (_, after))| after > before);
    assert!(placed, "a sentinel was placed in every partition: {before:?} {after:?}");
    assert_eq!(readers.run(&on_source).await.unwrap(), knowing(BEFORE, 0), "the source is as it was");

    let resumed = rehearsal.cli.run("resume", &[]).await.unwrap();
    assert!(matches!(resumed.code, 0 | 10), "{}\n{}", resumed.stdout, resumed.stderr);
    for verb in ["cutover", "cutover-ack"] {
        rehearsal.cli.run(verb, &[]).await.unwrap().ok().unwrap();
    }
    assert_eq!(readers.run(&on_target).await.unwrap(), knowing(BEFORE, 0), "everything was restored, nothing is new");
    readers.write(&on_target, BEFORE, BEHIND).await.unwrap();
    assert_eq!(readers.run(&on_target).await.unwrap(), knowing(BEFORE + BEHIND, BEHIND * PER_HOUR));
    assert_eq!(
        readers.run(&on_source).await.unwrap(),
        knowing(BEFORE, 0),
        "who stayed on the source sees what was there"
    );
    rehearsal.cli.run("finalize", &[]).await.unwrap().ok().unwrap();
    rehearsal.stack.stop().await.unwrap();
}
