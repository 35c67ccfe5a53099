//! `--force-restart`: a migration begins again under its id, and whoever reads the target afterwards finds each record once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use e2e::{Cli, Output, Rehearsal, config, records};
use serde_json::{Value, json};
use stack::{Options, SEGMENTS_BUCKET, Side, Stack};
use tokio::task::JoinHandle;

const ID: &str = "again";
/// Bytes a second at which the first seed does not come to its end.
const SLOW: &str = "2000";
/// How long to wait for something that has to happen.
const PATIENCE: Duration = Duration::from_secs(180);
/// Records of each topic, with one partition each.
const TOPICS: [(&str, usize); 3] = [("orders", 4_000), ("payments", 500), ("refunds", 300)];

fn lines(topic: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |number| format!("{topic} record {number} of the source"))
}

/// A configuration for these topics.
fn selecting(rehearsal: &Rehearsal, topics: &str, more: &str) -> PathBuf {
    let yaml = config::yaml(&rehearsal.stack) + &format!("    topology:\n      include: [{topics}]\n{more}");
    config::write(&rehearsal.dir, &format!("{}.yaml", topics.replace(", ", "-")), &yaml).unwrap()
}

async fn status(cli: &Cli) -> Option<Value> {
    let status = cli.run("status", &["--output", "json"]).await.unwrap();
    (status.code == 0).then(|| status.json().unwrap())
}

/// Waits until `is_so`.
async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let give_up = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < give_up, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Names of the target's topics, by Kafka's own tool.
async fn topics(stack: &Stack) -> Vec<String> {
    let server = stack.cluster(Side::Target).bootstrap();
    let args = ["--bootstrap-server", &server, "--list", "--exclude-internal"];
    let listed = stack.kafka_tool(Side::Target, "TopicCommand", &args).await.unwrap();
    listed.lines().map(str::to_owned).collect()
}

/// What Kafka's own tools find of a topic on the target: where it begins, where it ends, and every record in between.
async fn read(stack: &Stack, topic: &str) -> (String, i64, Vec<String>) {
    let server = stack.cluster(Side::Target).bootstrap();
    let args = ["--bootstrap-server", &server, "--topic-partitions", &format!("{topic}:0"), "--time", "earliest"];
    let start = stack.kafka_tool(Side::Target, "GetOffsetShell", &args).await.unwrap().trim().to_owned();
    let end = records::end(stack, Side::Target, topic).await.unwrap();
    let (most, wait) = (end.to_string(), PATIENCE.as_millis().to_string());
    let args = ["--bootstrap-server", &server, "--topic", topic, "--from-beginning", "--max-messages", &most];
    let args = [&args[..], &["--timeout-ms", &wait]].concat();
    let read = stack.kafka_tool(Side::Target, "ConsoleConsumer", &args).await.unwrap();
    (start, end, read.lines().map(str::to_owned).collect())
}

/// Whoever reads the topic on the target finds each of the source's records once, in order, and nothing else.
async fn holds_the_source(stack: &Stack, topic: &str, count: usize) {
    let (start, end, found) = read(stack, topic).await;
    assert_eq!((start, end), (format!("{topic}:0:0"), count as i64));
    assert!(found.iter().map(String::as_str).eq(lines(topic, count).collect::<Vec<_>>().iter().map(String::as_str)));
}

fn beside(cli: &Cli, verb: &'static str, flags: &'static [&'static str]) -> JoinHandle<anyhow::Result<Output>> {
    let cli = cli.clone();
    tokio::spawn(async move { cli.run(verb, flags).await })
}

/// An item of the migration's journal.
async fn item(stack: &Stack, sk: &str) -> Value {
    let key = json!({"pk": {"S": format!("run#{ID}")}, "sk": {"S": sk}});
    let body = json!({"TableName": "msk-kraft", "Key": key, "ConsistentRead": true});
    stack.aws_json("DynamoDB_20120810.GetItem", &body).await.unwrap()["Item"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_begins_again_and_doubles_nothing() {
    let options = Options { name: "e2e-restart-force".to_owned(), discard: true, quiet: true, ..Options::default() };
    let rehearsal = Rehearsal::start(options, ID).await.unwrap();
    let stack = &rehearsal.stack;
    for (topic, count) in TOPICS {
        records::create(stack, Side::Source, topic).await.unwrap();
        records::write(stack, Side::Source, topic, lines(topic, count)).await.unwrap();
    }
    let slow = format!("    throttle:\n      bytes_per_second: {SLOW}\n");
    let first = rehearsal.cli.clone().with(&selecting(&rehearsal, "orders, payments", &slow), ID);
    let second = rehearsal.cli.clone().with(&selecting(&rehearsal, "orders, refunds", ""), ID);

    // Half a seed.
    let execute = beside(&first, "execute", &[]);
    until("some of the seed is copied", || async {
        let found = status(&first).await;
        found.is_some_and(|status| status["phase"] == "seed" && status["totals"]["records"].as_i64().unwrap() > 0)
    })
    .await;
    execute.abort();

    // Other topics are another migration, unless it is to begin again; and that wants somebody's word.
    let refused = second.run("execute", &[]).await.unwrap();
    assert!(refused.code == 1 && refused.stderr.contains("--force-restart"), "{}", refused.stderr);
    let unasked = second.run("execute", &["--force-restart"]).await.unwrap();
    assert!(unasked.code == 1 && unasked.stderr.contains("add --yes"), "{}", unasked.stderr);
    for said in ["orders: 1 partitions", "payments: 1 partitions", "it will be stopped"] {
        assert!(unasked.stderr.contains(said), "{said} is not in:\n{}", unasked.stderr);
    }
    assert_eq!(topics(stack).await, ["orders", "payments"]);

    // What somebody else wrote is named, and nothing is removed or stopped.
    records::write(stack, Side::Target, "payments", ["not of the source".to_owned()].into_iter()).await.unwrap();
    let foreign = second.run("execute", &["--force-restart", "--yes"]).await.unwrap();
    assert_eq!(foreign.code, 1, "{}", foreign.stderr);
    for said in ["payments/0 (ends at", "did not write", "Nothing was removed"] {
        assert!(foreign.stderr.contains(said), "{said} is not in:\n{}", foreign.stderr);
    }
    assert_eq!(topics(stack).await, ["orders", "payments"]);
    stack.get_object(SEGMENTS_BUCKET, &format!("zk-to-kraft/{ID}/manifests/deal-0.json")).await.unwrap();
    assert!(status(&first).await.is_some());

    // The way out that it names.
    let server = stack.cluster(Side::Target).bootstrap();
    let delete = ["--bootstrap-server", &server, "--delete", "--topic", "payments"];
    stack.kafka_tool(Side::Target, "TopicCommand", &delete).await.unwrap();

    // Killed in the middle: first the function, which is invoked again, then the command.
    let killed = beside(&second, "execute", &["--force-restart", "--yes"]);
    until("the topic is deleted", || async { !topics(stack).await.contains(&"orders".to_owned()) }).await;
    stack.kill_function_instance("topology-copy").unwrap();
    until("the function works again", || async { stack.busy_instances("topology-copy") > 0 }).await;
    killed.abort();
    let marked = second.run("status", &[]).await.unwrap();
    assert!(marked.code == 1 && marked.stderr.contains("--force-restart"), "{}", marked.stderr);

    let again = second.run("execute", &["--force-restart", "--yes"]).await.unwrap().ok().unwrap();
    assert!(
        again.stdout.contains("null -> planned") && again.stdout.contains("tail -> drain_ready"),
        "{}",
        again.stdout
    );
    assert_eq!(topics(stack).await, ["orders", "refunds"]);
    holds_the_source(stack, "orders", TOPICS[0].1).await;
    holds_the_source(stack, "refunds", TOPICS[2].1).await;
    let restarted = item(stack, "restarted").await;
    let document = restarted["document"]["S"].as_str().unwrap().to_owned();
    let key = document.split_once(&format!("s3://{SEGMENTS_BUCKET}/")).unwrap().1;
    let document: Value = serde_json::from_slice(&stack.get_object(SEGMENTS_BUCKET, key).await.unwrap()).unwrap();
    assert_eq!(document["removal"]["topics"][0]["topic"], "orders", "{document:#}");
    assert_eq!(document["journal"][0]["to"], "planned", "{document:#}");

    // A run whose journal cannot be read any more, while its tail runs, with records that came meanwhile.
    let damaged = json!({
        "TableName": "msk-kraft",
        "Key": {"pk": {"S": format!("run#{ID}")}, "sk": {"S": "meta"}},
        "UpdateExpression": "SET facts = :v",
        "ExpressionAttributeValues": {":v": {"S": "{half"}},
    });
    stack.aws_json("DynamoDB_20120810.UpdateItem", &damaged).await.unwrap();
    let unreadable = second.run("resume", &[]).await.unwrap();
    assert!(unreadable.code == 1 && unreadable.stderr.contains("cannot be read"), "{}", unreadable.stderr);
    let more = lines("orders", TOPICS[0].1 + 50).skip(TOPICS[0].1);
    records::write(stack, Side::Source, "orders", more).await.unwrap();
    second.run("resume", &["--force-restart", "--yes"]).await.unwrap().ok().unwrap();
    holds_the_source(stack, "orders", TOPICS[0].1 + 50).await;
    holds_the_source(stack, "refunds", TOPICS[2].1).await;
    rehearsal.stack.stop().await.unwrap();
}
