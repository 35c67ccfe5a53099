//! `late-records`: the list, the question, and the append.

use migration::Phase;
use serde_json::{Value, json};

use crate::support::Bench;

const AT: &str = "2026-04-25T06:15:06.000000Z";

/// The list that the function answers with.
fn listing(records: &[i64], appends: &[Value]) -> Value {
    let late = |(number, records): (usize, &i64)| {
        json!({
            "topic": "orders", "partition": number, "from": 100, "to": 100 + records, "records": records, "producers": [7],
            "newest": AT, "first_seen": AT,
        })
    };
    let records: Vec<_> = records.iter().enumerate().map(late).collect();
    json!({
        "late": {"looked_at": AT, "unseen": null, "records": records, "removed": [], "unreadable": {}, "commits": []},
        "notices": ["orders/0 is compacted"], "appends": appends,
    })
}

fn append(done: bool) -> Value {
    let landed = json!([{"topic": "orders", "partition": 0, "first": 305, "next": 331, "problem": null}]);
    json!({
        "number": 1, "by": "ada", "begun_at": AT, "producer_id": 4, "producer_epoch": 0, "batches": "b", "removed": [],
        "partitions": [{"topic": "orders", "partition": 0, "from": 100, "to": 102, "records": 2, "target_end": 300}],
        "done": if done { json!({"done_at": AT, "partitions": landed}) } else { Value::Null },
    })
}

fn report(again: bool, left_out: &[&str]) -> Value {
    json!({"number": 1, "records": 2, "partitions": 1, "left_out": left_out, "problems": [], "again": again})
}

const LIST: [&str; 3] = ["late-records", "--migration-id", "m1"];
const APPEND: [&str; 4] = ["late-records", "--migration-id", "m1", "--append"];

#[tokio::test]
async fn late_records_are_listed_with_the_way_to_append_them() {
    let Some(bench) = Bench::new(Phase::Validating).await else { return };
    bench.answer("list_late", listing(&[2, 5], &[append(true)]));
    let run = bench.run(&LIST).await;
    run.exits(0).prints("not on the target").prints("orders/1").prints("append 1 for ada").prints("331");
    run.says("orders/0 is compacted").says("next_command: msk-kraft late-records --migration-id m1 --append");
    let run = bench.run(&[LIST.as_slice(), &["--output", "json"]].concat()).await;
    assert_eq!(run.exits(0).json()["late"]["records"][1]["records"], 5);
    bench.answer("list_late", listing(&[], &[]));
    let run = bench.run(&LIST).await;
    run.exits(0).prints("no late records that the target does not have");
    assert!(!run.stderr.contains("next_command"), "{run:#?}");
}

#[tokio::test]
async fn before_the_cutover_the_functions_reason_is_said() {
    let Some(bench) = Bench::new(Phase::Tail).await else { return };
    let message = "the migration is in phase tail: records can be late, and be appended, once the cutover is complete";
    bench.fail("list_late", json!({"errorType": "Blocked", "errorMessage": message}));
    bench.run(&LIST).await.exits(1).says(message);
}

#[tokio::test]
async fn nothing_is_appended_without_a_word() {
    let Some(bench) = Bench::new(Phase::Validating).await else { return };
    bench.answer("list_late", listing(&[2], &[]));
    bench.fail("append_late", json!({"errorType": "Internal", "errorMessage": "appended without a word"}));
    bench.run(&APPEND).await.exits(1).says("stdin is not a TTY: add --yes");
    let run = bench.on_terminal(&APPEND, "to go on:", "no\n").await.unwrap();
    run.exits(1).says("behind what clients have written").says("not confirmed: nothing was appended");
    let run = bench.on_terminal(&APPEND, "to go on:", "append\n").await.unwrap();
    run.exits(1).says("appended without a word");
}

#[tokio::test]
async fn an_append_ends_with_what_was_appended_and_what_was_left_out() {
    let Some(bench) = Bench::new(Phase::Validating).await else { return };
    bench.answer("list_late", listing(&[], &[append(true)]));
    bench.answer("append_late", report(false, &[]));
    let yes = [APPEND.as_slice(), &["--yes"]].concat();
    bench.run(&yes).await.exits(0).says("append 1: 2 records of 1 partition").prints("done at 2026-04-25T06:15:06Z");
    bench.answer("append_late", report(false, &["orders/4: the topic was deleted on the target"]));
    bench.run(&yes).await.exits(1).says("not appended: orders/4: the topic was deleted on the target");
    bench.answer(
        "append_late",
        json!({
            "number": null, "records": 0, "partitions": 0, "left_out": [], "problems": [], "again": false,
        }),
    );
    bench.run(&yes).await.exits(0).says("nothing to append");
}
