//! Groups that the target would not take, groups whose commits are not decided, and groups that went on: each is named while
//! producers run, nothing keeps a cutover from its end, and nobody is set back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use e2e::{Cli, Holding, Rehearsal, config, small};
use kafka::{Cluster, GroupType, NewOffset, TopicPartition, all_ok};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use stack::process::Process;
use stack::{Options, SEGMENTS_BUCKET, Side, Weather};
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(120);
/// Longest metadata string that the target takes, and what its coordinators take at once.
const METADATA: usize = 512;
const BATCH: usize = 16_384;
/// Partitions of the topic that `heavy` reads, whose offsets are several times [`BATCH`].
const WIDE: i32 = 60;
/// Groups of the second wave: several chunks of commits.
const MANY: usize = 300;
/// Records of each topic, and where each group stands.
const RECORDS: i64 = 50;
const COMMITTED: i64 = 20;
/// What Kafka's console consumer reads of a group that was brought over.
const READ: i64 = 5;

/// Both clusters of a rehearsal.
struct Clusters {
    rehearsal: Rehearsal,
    source: Cluster,
    target: Cluster,
    producer: Holding,
}

impl Clusters {
    async fn start() -> Self {
        let target_config = [
            ("offset.metadata.max.bytes", METADATA.to_string()),
            ("share.coordinator.state.topic.replication.factor", "1".to_owned()),
            ("share.coordinator.state.topic.min.isr", "1".to_owned()),
        ];
        let options = Options {
            name: "e2e-cutover-groups".to_owned(),
            target_version: "4.3.1".to_owned(),
            target_config: target_config.map(|(name, value)| (name.to_owned(), value)).into(),
            linked: true,
            discard: true,
            quiet: true,
            ..Options::default()
        };
        let rehearsal = Rehearsal::start(options, "unused").await.unwrap();
        let source = small::connect(&rehearsal.stack, Side::Source).await.unwrap();
        let target = small::connect(&rehearsal.stack, Side::Target).await.unwrap();
        let producer = Holding::register(rehearsal.stack.webhook()).unwrap();
        Self { rehearsal, source, target, producer }
    }

    /// The CLI for the wave `id` of topics whose names begin with it, with further lines of the section `cutover`.
    fn wave(&self, id: &str, cutover: &str) -> Cli {
        let yaml = config::yaml(&self.rehearsal.stack).replace("      max_producer_freeze: 60s\n", cutover)
            + &format!("    topology:\n      include: ['{id}-.*']\n");
        let path = config::write(&self.rehearsal.dir, &format!("{id}.yaml"), &yaml).unwrap();
        self.rehearsal.cli.clone().with(&path, id)
    }

    /// Kafka's own consumer on the target.
    fn console_consumer(&self, group: &str, topic: &str, args: &[&str]) -> Command {
        let target = self.rehearsal.stack.cluster(Side::Target);
        let server = target.bootstrap();
        let all = [&["--bootstrap-server", server.as_str(), "--group", group, "--topic", topic], args].concat();
        let mut command = target.tool_command("ConsoleConsumer", &all).unwrap();
        command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        command
    }

    /// The cutover's own account.
    async fn report(&self, id: &str) -> Value {
        let key = format!("zk-to-kraft/{id}/cutover/report.json");
        serde_json::from_slice(&self.rehearsal.stack.get_object(SEGMENTS_BUCKET, &key).await.unwrap()).unwrap()
    }

    /// Kafka's consumers read the same next on both sides, for every group of the topics.
    async fn judge(&self, id: &str, but: &[&str]) {
        let (topics, but) = (format!("{id}-.*"), but.join(","));
        let args = ["--topics", &topics, "--skip", "configs,acls", "--ignore-groups", &but];
        let (verdict, equal) = self.rehearsal.java.judge(&args).await.unwrap();
        assert!(equal, "{verdict:#}");
    }
}

/// Code and subject of the findings of a rehearsal that weigh `weight`.
async fn found(cli: &Cli, weight: &str) -> BTreeSet<(String, String)> {
    let rehearsal = cli.run("cutover", &["--rehearse", "--output", "json"]).await.unwrap().json().unwrap();
    let findings = rehearsal["findings"].as_array().unwrap().iter().filter(|finding| finding["weight"] == weight);
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap().to_owned();
    findings.map(|finding| (text(finding, "code"), text(finding, "subject"))).collect()
}

fn pairs(found: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    found.iter().map(|(code, subject)| ((*code).to_owned(), (*subject).to_owned())).collect()
}

/// Whether one of the warnings of a report holds all of `parts`.
fn warns(report: &Value, parts: &[&str]) -> bool {
    let warnings = report["warnings"].as_array().unwrap();
    warnings.iter().any(|warning| parts.iter().all(|part| warning.as_str().unwrap().contains(part)))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_group_is_brought_over_or_named_and_none_is_set_back() {
    let clusters = Clusters::start().await;
    groups_that_the_target_refuses_are_named_before_producers_stop(&clusters).await;
    a_group_that_went_on_stays_where_it_is_when_the_cutover_is_completed(&clusters).await;
    clusters.rehearsal.stack.stop().await.unwrap();
}

async fn groups_that_the_target_refuses_are_named_before_producers_stop(clusters: &Clusters) {
    let Clusters { source, target, producer, .. } = clusters;
    groups(clusters).await;
    let freeze = "      max_producer_freeze: 15s\n";
    let cli = clusters.wave("first", &format!("{freeze}      skip_groups: ['tmp-.*']\n"));
    cli.run_all(&["execute"]).await.unwrap();
    let pending = a_pending_commit_ends_the_freeze_by_name(clusters, &cli).await;

    // It is older than a freeze may last by now.
    small::commit(source, "too-large", "first-orders", COMMITTED, &"m".repeat(METADATA + 1)).await.unwrap();
    share_group(clusters, "same-name").await;
    let blockers = pairs(&[
        ("cutover.group_refused", "too-large"),
        ("cutover.group_type", "same-name"),
        ("cutover.pending_commit", "pending"),
    ]);
    assert_eq!(found(&cli, "blocker").await, blockers);
    let limit = format!("offset.metadata.max.bytes is {METADATA}");
    let refused =
        [limit.as_str(), "share group", "an open transaction of pending (producer id ", "cutover.skip_groups"];
    cli.run("cutover", &[]).await.unwrap().refused(&refused).unwrap();
    assert_eq!(
        (producer.freezes(), producer.state().as_str()),
        (1, "running source"),
        "nobody was asked to stop again"
    );

    // The ways out that were said.
    pending.terminate(PATIENCE);
    assert!(pending.exited().is_some_and(|status| status.code() == Some(143)), "{}", pending.tail());
    small::commit(source, "too-large", "first-orders", COMMITTED, &"m".repeat(METADATA)).await.unwrap();
    let cli = clusters.wave("first", &format!("{freeze}      skip_groups: ['tmp-.*', 'same-name']\n"));
    assert_eq!(cli.resume().await.unwrap(), "drain_ready");
    assert_eq!(found(&cli, "blocker").await, pairs(&[]));
    cli.run_all(&["cutover"]).await.unwrap();

    let report = clusters.report("first").await;
    for group in ["same-name", "tmp-1"] {
        assert!(warns(&report, &[&format!("group {group}: cutover.skip_groups leaves it out")]), "{report:#}");
    }
    assert_eq!(report["not_committed"], json!([]), "{report:#}");
    assert_eq!(small::committed(target, "tmp-1", "first-orders").await.unwrap(), None);
    assert_eq!(small::committed(target, "pending", "first-orders").await.unwrap(), Some(COMMITTED));
    assert_eq!(target.committed_offsets("heavy").await.unwrap().len(), usize::try_from(WIDE).unwrap());
    clusters.judge("first", &["same-name", "tmp-1", "there-before"]).await;
    cli.run_all(&["cutover-ack", "finalize"]).await.unwrap();
}

/// Groups of the source, one of which is too heavy for one commit, and what the target takes.
async fn groups(clusters: &Clusters) {
    let Clusters { source, target, .. } = clusters;
    small::create(source, "first-orders", 2, &[]).await.unwrap();
    small::create(source, "first-wide", WIDE, &[]).await.unwrap();
    small::fill(source, "first-orders", 0, RECORDS).await.unwrap();
    for partition in 0..WIDE {
        small::fill(source, "first-wide", partition, 2).await.unwrap();
    }
    for (group, metadata) in [("plain", 0), ("same-name", 0), ("tmp-1", 2 * METADATA)] {
        small::commit(source, group, "first-orders", COMMITTED, &"m".repeat(metadata)).await.unwrap();
    }
    let heavy = (0..WIDE).map(|partition| NewOffset {
        partition: TopicPartition::new("first-wide", partition),
        offset: 1,
        metadata: "m".repeat(METADATA),
    });
    all_ok(source.commit_offsets("heavy", &heavy.collect::<Vec<_>>()).await).unwrap();

    small::create(target, "elsewhere", 1, &[]).await.unwrap();
    small::commit(target, "there-before", "elsewhere", 0, "").await.unwrap();
    small::set(target, "__consumer_offsets", "max.message.bytes", &BATCH.to_string()).await.unwrap();
}

/// Lets a share group be on the target, without members.
async fn share_group(clusters: &Clusters, group: &str) {
    let cluster = clusters.rehearsal.stack.cluster(Side::Target);
    let server = cluster.bootstrap();
    let args = ["--bootstrap-server", &server, "--topic", "elsewhere", "--group", group, "--timeout-ms", "2000"];
    let ended = cluster.tool_command("ConsoleShareConsumer", &args).unwrap().output().await.unwrap();
    let listed = clusters.target.list_groups().await.unwrap();
    let found = listed.iter().find(|listing| listing.id == group).and_then(|listing| listing.group_type.clone());
    assert_eq!(found, Some(GroupType::Share), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// An application that is asked to stop opens a transaction for its group's first offset, and leaves it open. Returns it.
async fn a_pending_commit_ends_the_freeze_by_name(clusters: &Clusters, cli: &Cli) -> Process {
    let Clusters { rehearsal, target, producer, .. } = clusters;
    producer.hold().unwrap();
    let cutover = cli.beside("cutover");
    producer.asked().await.unwrap();
    let file = rehearsal.dir.join("pending");
    let args = ["--group", "pending", "--topic", "first-orders", "--offset", &COMMITTED.to_string()];
    let args = [args.as_slice(), &["--file", file.to_str().unwrap()]].concat();
    let pending = rehearsal.java.client("PendingOffsets", "pending", &args).unwrap();
    pending.ready(PATIENCE, || async { file.exists() }).await.unwrap();
    producer.obey().unwrap();

    let ended = cutover.await.unwrap().unwrap();
    let waited =
        "waiting for the pending commit of group pending for first-orders/0, which cutover.skip_groups can leave out";
    ended.refused(&["Deadline: max_producer_freeze of 15s passed", waited]).unwrap();
    assert_eq!(producer.state(), "running source", "producers were let go");
    assert!(small::committed(target, "plain", "first-orders").await.unwrap().is_none(), "nothing was committed");

    assert_eq!(cli.resume().await.unwrap(), "drain_ready");
    pending
}

/// The cutover is interrupted in the middle of its commits. One group reads on the target before it is completed, another has a
/// member there.
async fn a_group_that_went_on_stays_where_it_is_when_the_cutover_is_completed(clusters: &Clusters) {
    let Clusters { source, target, .. } = clusters;
    small::create(source, "second-orders", 1, &[]).await.unwrap();
    small::fill(source, "second-orders", 0, RECORDS).await.unwrap();
    let (first, last) = (group(0), group(MANY - 1));
    let commits = (0..MANY).map(|number| async move {
        small::commit(source, &group(number), "second-orders", COMMITTED, "").await.unwrap();
    });
    futures::future::join_all(commits).await;
    let cli = clusters.wave("second", "      max_producer_freeze: 60s\n");
    cli.run_all(&["execute"]).await.unwrap();
    interrupted_behind_the_mark(clusters, &cli, &first).await;
    assert!(small::committed(target, &last, "second-orders").await.unwrap().is_none(), "the fault came too late");
    let refused = cli.run("rollback", &["--yes"]).await.unwrap();
    refused.refused(&["offsets are committed on the target"]).unwrap();

    let count = READ.to_string();
    let reader =
        clusters.console_consumer(&first, "second-orders", &["--max-messages", &count]).output().await.unwrap();
    let expected: String = (COMMITTED..COMMITTED + READ).map(|at| format!("second-orders/0 {at}\n")).collect();
    assert_eq!(String::from_utf8_lossy(&reader.stdout), expected, "it reads on where it stood on the source");
    assert_eq!(small::committed(target, &first, "second-orders").await.unwrap(), Some(COMMITTED + READ));
    let mut member = member(clusters, &last).await;

    assert_eq!(cli.resume().await.unwrap(), "awaiting_client_switch");
    let report = clusters.report("second").await;
    let went_on = [&format!("group {first} is at offset 25 of second-orders/0, beyond 20"), "stays there"];
    assert!(warns(&report, &went_on), "{report:#}");
    assert_eq!(report["not_committed"][0]["group"], json!(last), "{report:#}");
    assert_eq!(report["not_committed"].as_array().unwrap().len(), 1, "{report:#}");
    assert_eq!(small::committed(target, &first, "second-orders").await.unwrap(), Some(COMMITTED + READ));
    // In an orderly way, so that its coordinator need not wait for it.
    kill(Pid::from_raw(member.id().unwrap().try_into().unwrap()), Signal::SIGTERM).unwrap();
    member.wait().await.unwrap();
    repair(clusters, &report, &last).await;
    clusters.judge("second", &[&first]).await;
    cli.run_all(&["cutover-ack", "finalize"]).await.unwrap();
}

fn group(number: usize) -> String {
    format!("many-{number:03}")
}

/// Begins the cutover, and ends its execution and its function when the offset of `group` is on the target, which is slow.
async fn interrupted_behind_the_mark(clusters: &Clusters, cli: &Cli, group: &str) {
    let Clusters { rehearsal, target, producer, .. } = clusters;
    let link = rehearsal.stack.cluster(Side::Target).link(1).unwrap();
    producer.hold().unwrap();
    let cutover = cli.beside("cutover");
    producer.asked().await.unwrap();
    link.set(Weather { delay: Duration::from_millis(200), ..Weather::default() });
    producer.obey().unwrap();
    let until = Instant::now() + PATIENCE;
    while small::committed(target, group, "second-orders").await.unwrap().is_none() {
        assert!(Instant::now() < until && !cutover.is_finished(), "{group} was not committed");
    }
    link.set(Weather { refuses: true, ..Weather::default() });
    link.cut();
    let running = cli.status().await.unwrap();
    assert_eq!((&running["phase"], &running["committed"]), (&"cutover".into(), &true.into()), "{running:#}");
    let arn = running["running"]["arn"].as_str().unwrap();
    rehearsal.stack.aws_json("AWSStepFunctions.StopExecution", &json!({"executionArn": arn})).await.unwrap();
    // One that has given up meanwhile is as good.
    let _ = rehearsal.stack.kill_function_instance("cutover");
    link.set(Weather::default());
    cutover.await.unwrap().unwrap().refused(&[]).unwrap();
    has_ended(clusters, arn).await;
    assert_eq!(producer.state(), "frozen", "behind the mark producers stay where they are");
}

/// Waits until an execution that was stopped has ended, which is at once in AWS.
async fn has_ended(clusters: &Clusters, arn: &str) {
    let until = Instant::now() + PATIENCE;
    let asked = json!({"executionArn": arn});
    loop {
        let described = clusters.rehearsal.stack.aws_json("AWSStepFunctions.DescribeExecution", &asked).await.unwrap();
        if described["status"] != "RUNNING" {
            return;
        }
        assert!(Instant::now() < until, "{described:#}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A member of `group` on the target that reads and commits nothing.
async fn member(clusters: &Clusters, group: &str) -> Child {
    let args = ["--consumer-property", "enable.auto.commit=false"];
    let member = clusters.console_consumer(group, "second-orders", &args).spawn().unwrap();
    let until = Instant::now() + PATIENCE;
    let ids = [group.to_owned()];
    loop {
        let described = clusters.target.describe_groups(&ids).await.pop().unwrap().1;
        if described.is_ok_and(|group| group.state.is_active()) {
            return member;
        }
        assert!(Instant::now() < until, "{group} has no member");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Commits an offset as the warning says that names the group.
async fn repair(clusters: &Clusters, report: &Value, group: &str) {
    let warnings = report["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap());
    let wanted = format!("group {group} has no offset of second-orders/0 on the target");
    let warning = warnings.into_iter().find(|warning| warning.starts_with(&wanted)).unwrap();
    let (_, command) = warning.rsplit_once("kafka-consumer-groups.sh ").unwrap();
    let server = clusters.rehearsal.stack.target_bootstrap();
    let command = command.replace("TARGET", &server).replace('\'', "");
    let args: Vec<_> = command.split_whitespace().collect();
    let until = Instant::now() + PATIENCE;
    // Its coordinator may not have noticed yet that the member has gone.
    while clusters.rehearsal.stack.kafka_tool(Side::Target, "ConsumerGroupCommand", &args).await.is_err()
        || small::committed(&clusters.target, group, "second-orders").await.unwrap() != Some(COMMITTED)
    {
        assert!(Instant::now() < until, "{command} repairs nothing");
    }
}
