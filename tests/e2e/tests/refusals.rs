//! What cannot be migrated is refused with one clear error, before anything on the target is changed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use e2e::{Cli, Output, Rehearsal, config};
use stack::{Options, SEGMENTS_BUCKET, Side};

/// Executes a changed configuration; what is printed has to hold `expected`.
async fn refused(rehearsal: &Rehearsal, id: &str, yaml: &str, expected: &[&str]) {
    let path = config::write(&rehearsal.dir, &format!("{id}.yaml"), yaml).unwrap();
    let cli: Cli = rehearsal.cli.clone().with(&path, id);
    let Output { code, stdout, stderr } = cli.run("execute", &[]).await.unwrap();
    assert_eq!(code, 1, "{id}: {stdout}\n{stderr}");
    for part in expected {
        assert!(format!("{stdout}\n{stderr}").contains(part), "{id}: {part} is missing in:\n{stdout}\n{stderr}");
    }
    assert!(!format!("{stdout}{stderr}").contains("hunter2"), "{id}: a password was printed");
    assert_eq!(topics(rehearsal, Side::Target).await, "", "{id}: the target was changed");
}

async fn topics(rehearsal: &Rehearsal, side: Side) -> String {
    let server = rehearsal.stack.cluster(side).bootstrap();
    let args = ["--bootstrap-server", &server, "--list", "--exclude-internal"];
    rehearsal.stack.kafka_tool(side, "TopicCommand", &args).await.unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_configurations_are_refused_before_the_target_is_touched() {
    let options = Options { name: "e2e-refusals".to_owned(), discard: true, quiet: true, ..Options::default() };
    let rehearsal = Rehearsal::start(options, "unused").await.unwrap();
    let server = rehearsal.stack.source_bootstrap();
    let create = ["--bootstrap-server", &server, "--create", "--topic", "orders", "--partitions", "2"];
    rehearsal.stack.kafka_tool(Side::Source, "TopicCommand", &create).await.unwrap();
    let good = config::yaml(&rehearsal.stack);
    let (source, target) = (rehearsal.stack.cluster_arn(Side::Source), rehearsal.stack.cluster_arn(Side::Target));

    let unreachable = good.replacen(
        "      auth:\n        mode: plaintext",
        "      bootstrap_servers: 127.0.0.1:1\n      auth:\n        mode: plaintext",
        1,
    );
    refused(&rehearsal, "wrong-bootstrap", &unreachable, &["B09", "127.0.0.1:1"]).await;

    let bucket = good.replace(SEGMENTS_BUCKET, "no-such-bucket");
    refused(&rehearsal, "missing-bucket", &bucket, &["B07", "no-such-bucket"]).await;

    let unknown = good.replace("drain_timeout:", "drain_timeot:");
    refused(
        &rehearsal,
        "unknown-field",
        &unknown,
        &["unknown-field.yaml:19:7: cutover.drain_timeot", "did you mean drain_timeout?"],
    )
    .await;

    let swapped = good.replace(source, "SOURCE").replace(target, source).replace("SOURCE", target);
    refused(&rehearsal, "kraft-source", &swapped, &["B03", "B04"]).await;

    let literal =
        good.replacen("mode: plaintext", "mode: scram-sha-512\n        username: u\n        password: hunter2", 1);
    refused(&rehearsal, "literal-password", &literal, &["${NAME}"]).await;

    one_target_takes_one_migration(&rehearsal, &good).await;
    rehearsal.stack.stop().await.unwrap();
}

/// Before the first record nothing on the target says that another migration is about to write there.
async fn one_target_takes_one_migration(rehearsal: &Rehearsal, good: &str) {
    let cli = |id: &str| {
        let path = config::write(&rehearsal.dir, &format!("{id}.yaml"), good).unwrap();
        rehearsal.cli.clone().with(&path, id)
    };
    let (first, second) = (cli("first"), cli("second"));
    first.run("execute", &[]).await.unwrap().ok().unwrap();
    let Output { code, stdout, stderr } = second.run("execute", &[]).await.unwrap();
    assert_eq!(code, 1, "{stdout}\n{stderr}");
    let owner = "migration first, in phase drain_ready, copies to topic orders of this target already";
    assert!(format!("{stdout}{stderr}").contains(owner), "{stdout}\n{stderr}");
    // What was given up is free.
    first.run("rollback", &["--yes"]).await.unwrap().ok().unwrap();
    second.run("resume", &[]).await.unwrap().ok().unwrap();
    second.run("rollback", &["--yes"]).await.unwrap().ok().unwrap();
}
