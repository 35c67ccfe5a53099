//! `offsets` on runs as the copy stores them, in the stand-in's S3.

use journal::Journal;
use migration::progress::PartitionProgress;
use migration::{BatchId, Phase, TopicPartition};
use offsets::{OffsetRuns, store as runs_store};
use runtime::Store;
use serde_json::{Value, json};

use super::support::Bench;

/// Records of `orders/0`, each followed by a transaction marker.
const RECORDS: i64 = 3000;
/// Source offset of the first.
const FIRST: i64 = 100;
/// Log start of the source when the copy began.
const START: i64 = 90;
const END: i64 = FIRST + 2 * RECORDS;

/// A migration in `phase` with a partition of many runs and one of a single run.
async fn bench(phase: Phase) -> Option<Bench> {
    let bench = Bench::new(Phase::Planned).await?;
    let store = bench.with_bucket(phase).await;
    let partitions = [transactional(&store).await, plain()];
    bench.journal.init_partitions(BatchId(0), &partitions).await.unwrap();
    bench.journal.set_fact("batches", &json!(1)).await.unwrap();
    Some(bench)
}

async fn transactional(store: &Store) -> PartitionProgress {
    let mut progress = PartitionProgress::new(TopicPartition::new("orders", 0), START, END);
    while progress.target_next < RECORDS {
        let mut runs = OffsetRuns::starting_at(progress.target_next);
        (runs.target_end()..runs.target_end() + 75).for_each(|record| runs.push(FIRST + 2 * record, 1).unwrap());
        runs_store::append(store, &mut progress, &runs, 1).await.unwrap();
        progress.target_next = runs.target_end();
    }
    progress.source_next = END;
    assert!(progress.runs_key.is_some(), "the test is about sealed runs too");
    progress
}

fn plain() -> PartitionProgress {
    let mut progress = PartitionProgress::new(TopicPartition::new("orders", 1), 0, 50);
    let mut runs = OffsetRuns::starting_at(0);
    runs.push(0, 40).unwrap();
    (progress.source_next, progress.target_next, progress.runs_open) = (40, 40, runs.to_text());
    progress
}

/// Says that nothing is copied any more.
async fn commit(journal: &Journal) {
    let (lease, _) = journal.claim_cutover().await.unwrap();
    journal.mark_committed(&lease, "cutover/plans/1.json").await.unwrap();
}

/// T(s) by counting.
fn translated(source: i64) -> i64 {
    (0..RECORDS).find(|record| FIRST + 2 * record >= source).unwrap_or(RECORDS)
}

#[tokio::test]
async fn one_offset_is_looked_up() {
    let Some(bench) = bench(Phase::Tail).await else { return };
    let find = async |offset: i64, output: &str| {
        let offset = offset.to_string();
        let at =
            ["offsets", "--migration-id", "m1", "--topic", "orders", "--partition", "0", "--source-offset", &offset];
        bench.run(&[at.as_slice(), &["--output", output]].concat()).await
    };
    find(FIRST + 200, "table")
        .await
        .exits(0)
        .prints("orders/0 source offset 300 is target offset 100\nthe record itself");
    for (offset, target, place) in [
        (FIRST + 4000, 2000, "record"),
        (FIRST + 4001, 2001, "next_record"),
        (FIRST - 1, 0, "next_record"),
        (START - 1, 0, "below_start"),
        (END - 1, RECORDS, "end"),
        (END, RECORDS, "end"),
    ] {
        let found = find(offset, "json").await.exits(0).json();
        assert_eq!((&found["target_offset"], &found["place"]), (&json!(target), &json!(place)), "{offset}");
    }
    let run = find(END + 1, "json").await;
    run.exits(1).says("copied up to source offset 6100, not 6101");
    assert_eq!((&run.json()["target_offset"], &run.json()["place"]), (&Value::Null, &json!("not_copied")));
    let elsewhere =
        ["offsets", "--migration-id", "m1", "--topic", "orders", "--partition", "7", "--source-offset", "1"];
    bench.run(&elsewhere).await.exits(1).says("orders/7 is not part of the migration");
}

#[tokio::test]
async fn beyond_the_end_of_a_finished_copy_is_its_end() {
    let Some(bench) = bench(Phase::Cutover).await else { return };
    commit(&bench.journal).await;
    let args = ["offsets", "--migration-id", "m1", "--topic", "orders", "--partition", "1", "--source-offset", "41"];
    bench.run(&args).await.exits(0).prints("is target offset 40").prints("beyond the source's end");
}

#[tokio::test]
async fn a_file_of_offsets_is_translated_in_its_order() {
    let Some(bench) = bench(Phase::Tail).await else { return };
    let offsets: Vec<i64> = (0..2000).map(|n| START + (n * 7919) % (END - START)).collect();
    let lines: String = offsets.iter().map(|offset| format!("orders,0,{offset}\n")).collect();
    let path = bench.dir().join("lookup.csv");
    std::fs::write(&path, format!("topic,partition,offset\n{lines}orders,1,3\n")).unwrap();
    let args = ["offsets", "--migration-id", "m1", "--lookup", path.to_str().unwrap()];
    let run = bench.run(&args).await;
    run.exits(0);
    let found: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(found[0], "topic,partition,source_offset,target_offset,place");
    assert_eq!(found.last(), Some(&"orders,1,3,3,record"));
    for (line, offset) in found[1..].iter().zip(&offsets) {
        assert!(line.starts_with(&format!("orders,0,{offset},{},", translated(*offset))), "{line}");
    }
    std::fs::write(&path, "orders,1,3\norders,1,41\nelsewhere,0,1\n").unwrap();
    let run = bench.run(&[args.as_slice(), &["--format", "json"]].concat()).await;
    run.exits(1).says("2 of 3 offsets have no place");
    let places: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        places.iter().map(|found| &found["place"]).collect::<Vec<_>>(),
        ["record", "not_copied", "unknown_partition"]
    );
    std::fs::write(&path, "orders;1;3\n").unwrap();
    bench.run(&args).await.exits(1).says("lookup.csv, line 1");
}

#[tokio::test]
async fn maps_are_written_whole_and_not_overwritten() {
    let Some(bench) = bench(Phase::Tail).await else { return };
    let args = ["offsets", "--migration-id", "m1", "--out-dir", "DIR/maps"];
    bench.run(&args).await.exits(0).says("wrote 2 files");
    let map = std::fs::read_to_string(bench.dir().join("maps/orders-0.csv")).unwrap();
    let records = (0..RECORDS).map(|record| format!("orders,0,{},{record},1\n", FIRST + 2 * record));
    let expected = format!(
        "topic,partition,source_offset,target_offset,records\norders,0,{START},0,0\n{}orders,0,{END},{RECORDS},0\n",
        records.collect::<String>()
    );
    assert!(map == expected, "{map}");
    let plain =
        "topic,partition,source_offset,target_offset,records\norders,1,0,0,0\norders,1,0,0,40\norders,1,40,40,0\n";
    assert_eq!(std::fs::read_to_string(bench.dir().join("maps/orders-1.csv")).unwrap(), plain);
    bench.run(&args).await.exits(1).says("orders-0.csv exists").says("--force");
    bench.run(&[args.as_slice(), &["--force"]].concat()).await.exits(0);
    let json = [args.as_slice(), &["--format", "json", "--topic", "orders", "--partition", "1"]].concat();
    bench.run(&json).await.exits(0).says("goes on; orders/1 is copied up to offset 40");
    let map: Value = serde_json::from_slice(&std::fs::read(bench.dir().join("maps/orders-1.json")).unwrap()).unwrap();
    assert_eq!((&map["runs"], &map["complete"]), (&json!([[0, 0, 40]]), &json!(false)));
    assert_eq!(std::fs::read_dir(bench.dir().join("maps")).unwrap().count(), 3, "nothing else is left");
    let stdout = ["offsets", "--migration-id", "m1", "--topic", "orders", "--partition", "1"];
    assert_eq!(bench.run(&stdout).await.exits(0).stdout, plain);
    bench.run(&stdout[..3]).await.exits(1).says("2 partitions do not fit on stdout");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_keeps_no_other_from_it() {
    let Some(bench) = bench(Phase::Tail).await else { return };
    let in_the_way = bench.dir().join("maps/orders-0.csv/something");
    std::fs::create_dir_all(&in_the_way).unwrap();
    let args = ["offsets", "--migration-id", "m1", "--out-dir", "DIR/maps", "--force"];
    bench.run(&args).await.exits(1).says("orders-0.csv").says("1 of 2 files are whole");
    assert!(bench.dir().join("maps/orders-1.csv").is_file() && in_the_way.is_dir());
}

#[tokio::test]
async fn an_interrupted_download_leaves_no_half_file() {
    let Some(mut bench) = bench(Phase::Tail).await else { return };
    // A store that takes connections and never answers: whatever lies in S3 is waited for.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    bench.set_env("AWS_ENDPOINT_URL_S3", format!("http://{}", listener.local_addr().unwrap()));
    let dir = bench.dir().join("maps");
    let line = format!("offsets --migration-id m1 --out-dir {}", dir.display());
    let args: Vec<&str> = line.split(' ').collect();
    let run = bench.on_terminal(&args, "1/2 partitions", "\u{3}").await.unwrap();
    run.exits(130);
    let left: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["orders-1.csv"]);
}

#[tokio::test]
async fn a_missing_object_is_named() {
    let Some(bench) = bench(Phase::Tail).await else { return };
    let mut progress = bench.journal.partitions(BatchId(0)).await.unwrap().remove(0);
    progress.partition = TopicPartition::new("orders", 2);
    progress.runs_key = Some("runs/orders/2/gone.runs".to_owned());
    bench.journal.init_partitions(BatchId(1), &[progress]).await.unwrap();
    bench.journal.set_fact("batches", &json!(2)).await.unwrap();
    let args = ["offsets", "--migration-id", "m1", "--topic", "orders", "--partition", "2", "--source-offset", "1"];
    bench.run(&args).await.exits(1).says("runs/orders/2/gone.runs was deleted").says("orders/2");
}
